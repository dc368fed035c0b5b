# SQLite's own busy timeout sleeps while it holds Ruby's global lock. The thread with the database lock then cannot continue, and
# both wait until the timeout. This handler releases Ruby's lock.
require "active_record/connection_adapters/sqlite3_adapter"

module ConnectionWithBusyHandler
  private

  def configure_connection
    super
    @connection.busy_handler { |tries| sleep(0.005) && tries < 4000 }
  end
end

ActiveRecord::ConnectionAdapters::SQLite3Adapter.prepend(ConnectionWithBusyHandler)
