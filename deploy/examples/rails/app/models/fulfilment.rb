# An event whose work was done.
class Fulfilment < ActiveRecord::Base
  # Does it once, however often Paddle delivers the event.
  def self.once(event:, transaction_id:, seats:)
    create!(event: event, transaction_id: transaction_id, seats: seats)
    logger.info("fulfilled #{event}: #{seats} seats")
  rescue ActiveRecord::RecordNotUnique
    logger.info("known #{event}")
  end
end
