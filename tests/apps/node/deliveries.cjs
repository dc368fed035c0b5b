// An application that keeps a log of its deliveries in a file, so that the log survives a kill.
//
// The integration tests kill it under load. It appends `got BODY` to the file in DELIVERIES before it answers and
// `sent BODY` once its answer is with the operating system, so that its requests and answers can be compared with the
// answers that senders received.
'use strict';

const fs = require('node:fs');
const http = require('node:http');

const log = fs.openSync(process.env.DELIVERIES, 'a');

const server = http.createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const body = Buffer.concat(pieces).toString('utf8');
    fs.writeSync(log, `got ${body}\n`);
    response.end(body, () => fs.writeSync(log, `sent ${body}\n`));
  });
});

// A keep-alive time longer than any test: connections end only when the process is killed.
server.keepAliveTimeout = 600_000;
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => console.log(`Listening at: http://127.0.0.1:${server.address().port}`));
