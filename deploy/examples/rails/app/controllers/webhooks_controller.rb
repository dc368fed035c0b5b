# Receives Paddle's webhooks and verifies them again, as Paddle's documentation describes: over the raw body and the unchanged
# header. hookgate changes neither, so this code is the same with and without hookgate.
class WebhooksController < ApplicationController
  # A provider has no session and no CSRF token. The signature proves who sent the request.
  skip_forgery_protection
  before_action :verify

  def paddle
    event = JSON.parse(request.raw_post)
    logger.info("received #{event['event_id']}")
    return render(json: { ignored: event["event_type"] }) unless event["event_type"] == "transaction.completed"

    transaction = event.dig("data", "id")
    seats = event.dig("data", "items").sum { |item| item["quantity"] }
    Fulfilment.once(event: event["event_id"], transaction_id: transaction, seats: seats)
    # One line for each seat, generated while it is sent. Without Last-Modified, Rack::ETag would buffer the whole body.
    headers["Last-Modified"] = Time.now.httpdate
    headers["Content-Type"] = "text/plain; charset=utf-8"
    self.response_body = (1..seats).lazy.map { |seat| "#{licence(transaction, seat)}\r\n" }
  end

  private

  def verify
    parts = request.headers["Paddle-Signature"].to_s.split(";").map { |part| part.split("=", 2) }.to_h
    signed = OpenSSL::HMAC.hexdigest("SHA256", ENV.fetch("PADDLE_WEBHOOK_SECRET"), "#{parts['ts']}:#{request.raw_post}")
    return if ActiveSupport::SecurityUtils.secure_compare(signed, parts["h1"].to_s)

    render plain: "The signature is not genuine.\n", status: :bad_request
  end

  def licence(transaction, seat)
    key = OpenSSL::HMAC.hexdigest("SHA256", ENV.fetch("LICENCE_SECRET"), "#{transaction}/#{seat}")[0, 20].upcase
    key.scan(/.{5}/).join("-")
  end
end
