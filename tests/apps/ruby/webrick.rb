# The application of parsed.ru under WEBrick, on a port that the system chooses.

require 'rack'
require 'rack/handler/webrick'

load File.join(__dir__, 'parsed.ru')

$stdout.sync = true
Rack::Handler::WEBrick.run(APP, Host: '127.0.0.1', Port: 0, AccessLog: []) do |server|
  puts "Listening at: http://127.0.0.1:#{server.listeners.first.addr[1]}"
end
