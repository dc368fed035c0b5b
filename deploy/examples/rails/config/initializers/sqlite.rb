# SQLite's own busy timeout sleeps with Ruby's global lock held, so that the thread with the database lock cannot go on and
# both wait until the time is over. This handler lets it.
require "active_record/connection_adapters/sqlite3_adapter"

module PatientConnection
  private

  def configure_connection
    super
    @connection.busy_handler { |tries| sleep(0.005) && tries < 4000 }
  end
end

ActiveRecord::ConnectionAdapters::SQLite3Adapter.prepend(PatientConnection)
