// Parses streams of HTTP/1.1 requests with llhttp, the parser of Node. Input and output are those of judge.py.
'use strict';
const { HTTPParser, allMethods, methods } = process.binding('http_parser');
const names = allMethods ?? methods;

function judge(stream) {
  const requests = [];
  let method = '';
  let body = [];
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {});
  parser[HTTPParser.kOnHeaders | 0] = () => {};
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, headers, index) => {
    method = names[index];
    body = [];
    return 0;
  };
  parser[HTTPParser.kOnBody | 0] = (piece, start, length) => {
    body.push(Buffer.from(start === undefined ? piece : piece.subarray(start, start + length)));
  };
  parser[HTTPParser.kOnMessageComplete | 0] = () => requests.push([method, Buffer.concat(body).toString('hex')]);
  const result = parser.execute(stream, 0, stream.length);
  return { requests, error: result instanceof Error ? result.code ?? String(result) : null };
}

const input = require('fs').readFileSync(0, 'utf8');
// A line without digits is an empty stream; nothing follows the last line end.
for (const line of input.split('\n').slice(0, -1)) {
  console.log(JSON.stringify({ llhttp: judge(Buffer.from(line, 'hex')) }));
}
