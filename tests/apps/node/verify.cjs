// An application that verifies every webhook again with Paddle's official Node SDK.
//
// The integration tests run it behind hookgate. It proves that header and body arrived as signed: it answers 200 only
// when the SDK agrees, and its answer describes what it received.
'use strict';

const crypto = require('node:crypto');
const http = require('node:http');
const path = require('node:path');
const { Paddle } = require('@paddle/paddle-node-sdk');

// The package exports no path to its package.json; it lies three folders above its entry point (dist/cjs/x.js).
const entry = require.resolve('@paddle/paddle-node-sdk');
const { version } = require(path.join(path.dirname(entry), '../../package.json'));

const secret = process.env.APP_SECRET;
// As in the SDK's documentation: without a client it has no crypto provider. No request is sent to Paddle.
const { webhooks } = new Paddle('no-api-key');

const server = http.createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', async () => {
    const body = Buffer.concat(pieces);
    const agrees = await webhooks
      .isSignatureValid(body.toString('utf8'), secret, request.headers['paddle-signature'] ?? '')
      .catch(() => false);
    const answer = JSON.stringify({
      sdk: `paddle-node-sdk ${version}`,
      agrees,
      length: body.length,
      sha256: crypto.createHash('sha256').update(body).digest('hex'),
      verified: request.headers['hookgate-verified'] ?? null,
      transfer_encoding: request.headers['transfer-encoding'] ?? null,
      content_length: request.headers['content-length'] ?? null,
    });
    response.writeHead(agrees ? 200 : 422, { 'content-type': 'application/json' });
    response.end(answer);
  });
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => console.log(`Listening at: http://127.0.0.1:${server.address().port}`));
