# Returns how a Rack server parsed each request: the same as tests/apps/python/parsed.py, for puma
# (`puma parsed.ru`) and WEBrick (`ruby webrick.rb`).

require 'json'

SEEN = []

APP = lambda do |env|
  if env['PATH_INFO'] == '/seen'
    body = JSON.generate(SEEN)
    SEEN.clear
  else
    headers = env.select { |name, _| name.start_with?('HTTP_') && name != 'HTTP_VERSION' }
    SEEN << {
      method: env['REQUEST_METHOD'],
      path: env['PATH_INFO'],
      query: env['QUERY_STRING'].to_s,
      length: env['CONTENT_LENGTH'] || '0',
      type: env['CONTENT_TYPE'].to_s,
      body: env['rack.input'].read.unpack1('H*'),
      headers: headers.to_h { |name, value| [name.delete_prefix('HTTP_'), value.dup.force_encoding('ISO-8859-1').encode('UTF-8')] },
    }
    body = 'parsed'
  end
  [200, { 'Content-Type' => 'text/plain', 'Content-Length' => body.bytesize.to_s }, [body]]
end

run APP if respond_to?(:run)
