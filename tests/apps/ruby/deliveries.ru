# frozen_string_literal: true

# An application that appends the id of each webhook that it took to the file DELIVERIES, one in a line.
require "json"

run lambda { |env|
  event = JSON.parse(env["rack.input"].read)
  File.open(ENV.fetch("DELIVERIES"), "a") { |log| log.write("#{event['event_id']}\n") }
  [200, { "content-type" => "text/plain" }, ["thanks"]]
}
