// What the descriptions of libraries share: the table of providers, a clock that the tests set, and HMAC.

import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire, register } from 'node:module';
import { createInterface } from 'node:readline';

// nuxt-webhook-validators reads its secrets from Nuxt's runtime configuration, a module that Nuxt generates during its build.
const runtime = 'data:text/javascript,export const useRuntimeConfig = () => ({ webhook: globalThis.webhookSecrets });';
register(`data:text/javascript,${encodeURIComponent(`export const resolve = (name, context, next) =>
  name === '#imports' ? { url: ${JSON.stringify(runtime)}, shortCircuit: true } : next(name, context);`)}`, import.meta.url);

// Standard output carries the answers, so output of the libraries is suppressed.
console.log = console.debug = console.info = console.warn = console.error = () => {};

// The clock is an argument: several libraries refuse requests that are a few seconds old, and a loaded machine may take longer.
const { Date: RealDate } = globalThis;
let frozen = null;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    if (given.length === 0 && frozen !== null) super(frozen);
    else super(...given);
  }
  static now() {
    return frozen ?? RealDate.now();
  }
};

/** Sets the clock of the libraries, in Unix seconds. */
export const setClock = (now) => {
  frozen = now * 1000;
};
export const require = createRequire(import.meta.url);
/** The folder of the installed libraries, beside the folder of these files. */
export const modules = new URL('../node_modules/', import.meta.url);
export const hmac = (hash, key, text, encoding) => createHmac(hash, key).update(text, 'utf8').digest(encoding);
/** The name and the version of a library; only the name of one that is part of Node. */
export const version = (name) => (name.startsWith('node:') ? `${name} ${process.version}` : `${name} ${JSON.parse(readFileSync(new URL(`${name}/package.json`, modules))).version}`);
export const lower = (headers) => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
/**
 * The libraries by name of the preset. `verify(request)` is the library's verdict. `sign(request)` makes a request with the
 * library, or with node:crypto where the library only verifies; without it, hookgate signs.
 */
export const providers = {};
/** Whether a provider's library is to be loaded: all of them, or those named on the command line. */
export const wanted = (...names) => process.argv.length === 2 || names.some((name) => process.argv.includes(name));
/** `header(request)` makes the headers with node:crypto, for libraries that only verify. */
export const verifier = (library, header, verify) => ({ library, sign: async (request) => ({ headers: header(request) }), verify });

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

/** Answers each line of standard input, a request, with one line. */
export async function serve() {
  for await (const line of createInterface({ input: process.stdin })) {
    let reply;
    try {
      reply = await answer(JSON.parse(line));
    } catch (error) {
      reply = { failed: String(error?.stack ?? error) };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}
