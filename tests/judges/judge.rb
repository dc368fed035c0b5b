# Parses streams of HTTP/1.1 requests with the parser of Puma. It reads heads only, so that bodies are found by
# Content-Length: for requests as hookgate forwards them. Input and output are those of judge.py.
require 'json'
require 'puma/puma_http11'

def judge(stream)
  requests = []
  until stream.empty?
    head = {}
    parser = Puma::HttpParser.new
    used = parser.execute(head, stream, 0)
    raise 'an incomplete head' unless parser.finished?
    raise 'a transfer coding' if head.key?('HTTP_TRANSFER_ENCODING')
    length = Integer(head.fetch('HTTP_CONTENT_LENGTH') { head['CONTENT_LENGTH'] }, 10)
    body = stream.byteslice(used, length)
    raise 'an incomplete body' if body.bytesize < length
    requests << [head['REQUEST_METHOD'], body.unpack1('H*')]
    stream = stream.byteslice(used + length, stream.bytesize)
  end
  { requests: requests, error: nil }
rescue StandardError => error
  { requests: requests, error: error.message[0, 120] }
end

$stdin.each_line { |line| puts JSON.generate(puma: judge([line.strip].pack('H*'))) }
