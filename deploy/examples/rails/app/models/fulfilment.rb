# An event that was fulfilled.
class Fulfilment < ActiveRecord::Base
  # Fulfils an event once, even if Paddle delivers it several times.
  def self.once(event:, transaction_id:, seats:)
    create!(event: event, transaction_id: transaction_id, seats: seats)
    logger.info("fulfilled #{event}: #{seats} seats")
  rescue ActiveRecord::RecordNotUnique
    logger.info("known #{event}")
  end
end
