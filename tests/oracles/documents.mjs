// Providers for which no library was found: node:crypto, by the providers' documents. This is a second implementation of the
// cryptography and of the encodings; the rules of the scheme rest on the documents alone.

import { hmac, providers, wanted } from './base.mjs';

/** Compares the signature headers with those that `headers(request)` makes. */
const documented = (headers) => ({
  library: 'node:crypto',
  verify: async (request) => Object.entries(headers(request)).every(([name, value]) => request.headers[name] === value),
});
const all = {
  zendesk: ({ secret, body, headers }) => ({ 'x-zendesk-webhook-signature': hmac('sha256', secret, headers['x-zendesk-webhook-signature-timestamp'] + body, 'base64') }),
};
for (const [name, headers] of Object.entries(all)) {
  if (wanted(name)) providers[name] = documented(headers);
}
