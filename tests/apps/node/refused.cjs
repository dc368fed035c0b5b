// Sends uploads that hookgate answers before it has read them, each on a connection of its own, with Node's clients:
// refused.cjs http2|http1 URL CERTIFICATE BYTES TRIES. Prints one line for each: status and reason, or the error.
'use strict';

const fs = require('node:fs');
const http2 = require('node:http2');
const https = require('node:https');

const [version, address, certificate, bytes, tries] = process.argv.slice(2);
const url = new URL(address);
const ca = fs.readFileSync(certificate);
const body = Buffer.alloc(Number(bytes), 'x');

function overHttp2() {
  return new Promise((resolve, reject) => {
    const session = http2.connect(url.origin, { ca });
    session.on('error', reject);
    const stream = session.request({ ':method': 'POST', ':path': url.pathname });
    let status;
    let text = '';
    stream.setEncoding('utf8');
    stream.on('response', (headers) => { status = headers[':status']; });
    stream.on('data', (piece) => { text += piece; });
    stream.on('error', reject);
    stream.on('close', () => {
      session.close();
      resolve([status, text]);
    });
    stream.end(body);
  });
}

function overHttp1() {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { ca, method: 'POST', agent: false });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece) => { text += piece; });
      response.on('error', reject);
      response.on('end', () => resolve([response.statusCode, text]));
    });
    request.end(body);
  });
}

(async () => {
  for (let i = 0; i < Number(tries); i += 1) {
    try {
      const [status, text] = await (version === 'http2' ? overHttp2() : overHttp1());
      console.log(status, JSON.parse(text).reason);
    } catch (error) {
      console.log(String(error));
    }
  }
})();
