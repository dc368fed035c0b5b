// Providers for which no library was found: node:crypto, by the providers' documents. This is a second implementation of the
// cryptography and of the encodings; the rules of the scheme rest on the documents alone.

import { createHash, generateKeyPairSync, randomUUID, sign as signWith, verify as verifyWith } from 'node:crypto';
import { hmac, providers, wanted } from './base.mjs';

/** The value of a header that has a code over the body. */
const body = (header, hash, encoding, prefix = '', key = (secret) => secret) => ({ secret, body }) => ({ [header]: prefix + hmac(hash, key(secret), body, encoding) });
/** A header that is a list of a time and a code over both. */
const list = (header, time, code) => ({ secret, body, headers }) => {
  const t = new RegExp(`(?:^|,)${time}=([0-9]+)`).exec(headers[header])?.[1];
  return { [header]: `${time}=${t},${code}=${hmac('sha256', secret, `${t}.${body}`, 'hex')}` };
};
/** The user and the password. */
const basic = ({ secret }) => ({ authorization: `Basic ${Buffer.from(secret).toString('base64')}` });
const base64 = (text) => Buffer.from(text, 'base64');

/** The headers that a request must have. */
const all = {
  airwallex: ({ secret, body, headers }) => ({ 'x-signature': hmac('sha256', secret, headers['x-timestamp'] + body, 'hex') }),
  attio: body('attio-signature', 'sha256', 'hex'),
  buildkite: list('x-buildkite-signature', 'timestamp', 'signature'),
  chargebee: basic,
  checkr: body('x-checkr-signature', 'sha256', 'hex'),
  'checkout-com': body('cko-signature', 'sha256', 'hex'),
  circleci: body('circleci-signature', 'sha256', 'hex', 'v1='),
  clickup: body('x-signature', 'sha256', 'hex'),
  'cloudflare-stream': list('webhook-signature', 'time', 'sig1'),
  cursor: body('x-webhook-signature', 'sha256', 'hex', 'sha256='),
  'customer-io': ({ secret, body, headers }) => ({ 'x-cio-signature': hmac('sha256', secret, `v0:${headers['x-cio-timestamp']}:${body}`, 'hex') }),
  deepgram: basic,
  expo: body('expo-signature', 'sha1', 'hex', 'sha1='),
  fastspring: body('x-fs-signature', 'sha256', 'base64'),
  flutterwave: ({ secret }) => ({ 'verif-hash': secret }),
  forgejo: body('x-forgejo-signature', 'sha256', 'hex'),
  formstack: body('x-fs-signature', 'sha256', 'hex', 'sha256='),
  gitea: body('x-gitea-signature', 'sha256', 'hex'),
  'hcp-terraform': body('x-tfe-notification-signature', 'sha512', 'hex'),
  jobber: body('x-jobber-hmac-sha256', 'sha256', 'base64'),
  klaviyo: ({ secret, body, headers }) => ({ 'klaviyo-signature': hmac('sha256', secret, body + headers['klaviyo-timestamp'], 'hex'), 'klaviyo-timestamp': new Date(Date.now()).toUTCString() }),
  launchdarkly: body('x-ld-signature', 'sha256', 'hex'),
  linkedin: ({ secret, body }) => ({ 'x-li-signature': hmac('sha256', secret, `hmacsha256=${body}`, 'hex') }),
  mautic: body('webhook-signature', 'sha256', 'base64'),
  'ms-teams': body('authorization', 'sha256', 'base64', 'HMAC ', base64),
  nylas: body('x-nylas-signature', 'sha256', 'hex'),
  onfleet: body('x-onfleet-signature', 'sha512', 'hex', '', (secret) => Buffer.from(secret, 'hex')),
  pagerduty: body('x-pagerduty-signature', 'sha256', 'hex', 'v1='),
  paystack: body('x-paystack-signature', 'sha512', 'hex'),
  quickbooks: body('intuit-signature', 'sha256', 'base64'),
  recharge: ({ secret, body }) => ({ 'x-recharge-hmac-sha256': createHash('sha256').update(secret + body).digest('hex') }),
  recurly: ({ secret, body, headers }) => {
    const [t] = headers['recurly-signature'].split(',');
    return { 'recurly-signature': `${t},${hmac('sha256', secret, `${t}.${body}`, 'hex')}` };
  },
  tailscale: list('tailscale-webhook-signature', 't', 'v1'),
  tally: body('tally-signature', 'sha256', 'base64'),
  tiktok: list('tiktok-signature', 't', 's'),
  trello: ({ secret, body, url }) => ({ 'x-trello-webhook': hmac('sha1', secret, body + url, 'base64') }),
  x: body('x-twitter-webhooks-signature', 'sha256', 'base64', 'sha256='),
  xero: body('x-xero-signature', 'sha256', 'base64'),
  zendesk: ({ secret, body, headers }) => ({ 'x-zendesk-webhook-signature': hmac('sha256', secret, headers['x-zendesk-webhook-signature-timestamp'] + body, 'base64') }),
};
for (const [name, headers] of Object.entries(all)) {
  if (!wanted(name)) continue;
  const verify = async (request) => Object.entries(headers(request)).every(([header, value]) => request.headers[header] === value);
  providers[name] = { library: 'node:crypto', verify };
}
if (wanted('figma')) {
  providers.figma = {
    library: 'node:crypto',
    // The passcode is a field of the body, so the body is completed here.
    sign: async ({ secret, body }) => ({ headers: {}, body: JSON.stringify({ event_type: 'PING', passcode: secret, text: body }) }),
    verify: async ({ secret, body }) => JSON.parse(body).passcode === secret,
  };
}
if (wanted('wise')) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = publicKey.export({ type: 'spki', format: 'pem' });
  providers.wise = {
    library: 'node:crypto',
    sign: async ({ body }) => ({ public_key: key, headers: { 'X-Delivery-Id': randomUUID(), 'X-Signature-SHA256': signWith('sha256', Buffer.from(body), privateKey).toString('base64') } }),
    verify: async ({ body, headers }) => verifyWith('sha256', Buffer.from(body), publicKey, base64(headers['x-signature-sha256'])),
  };
}
