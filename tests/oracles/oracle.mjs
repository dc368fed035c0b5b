// Signs and verifies requests with the libraries that providers (and others) publish. It reads one JSON object per line
// and answers each with one line.
//
// The tests keep one process running. `sign` returns the library's own signature; where a library only verifies,
// node:crypto signs, and the operation fails unless the library accepts it. `verify` returns the library's verdict on a
// request that hookgate signed. Bodies are text, because most of these libraries accept nothing else.

import { createInterface } from 'node:readline';
import { lower, providers, setClock, version } from './base.mjs';
import './own.mjs';
import './platforms.mjs';
import './others.mjs';
import './documents.mjs';

async function answer(request) {
  if (request.op === 'list') {
    return Object.fromEntries(Object.entries(providers).map(([name, { library, sign }]) => [name, { library: version(library), signs: sign !== undefined }]));
  }
  setClock(request.now);
  const provider = providers[request.provider];
  request.headers = lower(request.headers ?? {});
  if (request.op === 'challenge') return provider.challenge(request);
  if (request.op === 'verify') {
    try {
      return { genuine: (await provider.verify(request)) === true };
    } catch (error) {
      return { genuine: false, error: String(error) };
    }
  }
  const signed = await provider.sign(request);
  if (provider.verify) {
    const own = { ...request, ...signed, headers: lower(signed.headers) };
    if ((await provider.verify(own)) !== true) throw new Error(`${provider.library} refuses the signature that was made for it`);
  }
  return signed;
}

for await (const line of createInterface({ input: process.stdin })) {
  let reply;
  try {
    reply = await answer(JSON.parse(line));
  } catch (error) {
    reply = { failed: String(error?.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
