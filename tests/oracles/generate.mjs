// Writes tests/vectors/oracles.json: requests that the providers' own libraries signed or accepted.
//
//     cd tests/oracles && npm install && npm run generate
//
// A library that only verifies must accept what node:crypto signed here, or this script fails. Providers without a
// library are signed with node:crypto alone: this is a second implementation of the cryptography and of the encodings,
// while the rules of the scheme rest on the providers' documentation. Keys and bodies are fresh in every run.

import { createHash, createHmac, generateKeyPairSync, randomBytes, randomUUID, sign as signWith } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const vectors = [];
const now = Math.floor(Date.now() / 1000);
const version = (name) => {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return `${name} ${JSON.parse(readFileSync(file)).version}`;
};
const secret = () => randomBytes(24).toString('base64url');
const hmac = (hash, key, text, encoding) => createHmac(hash, key).update(text, 'utf8').digest(encoding);
const body = (fields = {}) => JSON.stringify({ ...fields, from: 'hookgate', name: 'Zoë Ünïcode 日本 \u0001 "\\/ é', n: Math.floor(Math.random() * 1e9) });

function add(provider, implementation, vector) {
  vectors.push({ id: `${provider}-${vectors.length}`, kind: 'generated', provider, implementation, method: 'POST', now: null, ...vector });
}
function must(accepted, what) {
  if (!accepted) throw new Error(`${what} does not accept what was signed`);
}
const crypto = `node:crypto of Node ${process.version}`;

{
  const { default: Stripe } = await import('stripe');
  const stripe = new Stripe('sk_test_unused');
  const key = `whsec_${secret()}`;
  const payload = body({ id: 'evt_1', object: 'event' });
  const header = stripe.webhooks.generateTestHeaderString({ payload, secret: key, timestamp: now });
  must(stripe.webhooks.constructEvent(payload, header, key), 'stripe');
  add('stripe', version('stripe'), { secret: key, headers: { 'Stripe-Signature': header }, body: payload, now, tolerance: 300 });
}
{
  const { sign, verify } = await import('@octokit/webhooks-methods');
  const key = secret();
  const payload = body();
  const header = await sign(key, payload);
  must(await verify(key, payload, header), 'octokit');
  add('github', version('@octokit/webhooks-methods'), { secret: key, headers: { 'X-Hub-Signature-256': header }, body: payload });
}
{
  const { shopifyApi, ApiVersion } = await import('@shopify/shopify-api');
  await import('@shopify/shopify-api/adapters/node');
  const key = secret();
  const shopify = shopifyApi({ apiKey: 'k', apiSecretKey: key, apiVersion: Object.values(ApiVersion).at(-1), isEmbeddedApp: false, hostName: 'a.example', logger: { level: 0 } });
  const payload = body();
  const headers = { 'X-Shopify-Hmac-Sha256': hmac('sha256', key, payload, 'base64'), 'X-Shopify-Topic': 't/t', 'X-Shopify-API-Version': '2026-01', 'X-Shopify-Shop-Domain': 'a.myshopify.com', 'X-Shopify-Webhook-Id': randomUUID() };
  const verdict = await shopify.webhooks.validate({ rawBody: payload, rawRequest: { method: 'POST', url: '/', headers: Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v])) }, rawResponse: {} });
  must(verdict.valid, `shopify (${JSON.stringify(verdict)})`);
  add('shopify', `${version('@shopify/shopify-api')} (verifies)`, { secret: key, headers, body: payload });
}
{
  const { verifySlackRequest } = require('@slack/bolt/dist/receivers/verify-request.js');
  const key = secret();
  const payload = body({ event_id: 'Ev1' });
  const headers = { 'X-Slack-Request-Timestamp': `${now}`, 'X-Slack-Signature': `v0=${hmac('sha256', key, `v0:${now}:${payload}`, 'hex')}` };
  verifySlackRequest({ signingSecret: key, body: payload, headers: { 'x-slack-signature': headers['X-Slack-Signature'], 'x-slack-request-timestamp': now } });
  add('slack', `${version('@slack/bolt')} (verifies)`, { secret: key, headers, body: payload, now, tolerance: 300 });
}
for (const [provider, name, prefix] of [['svix', 'svix', 'svix'], ['standard-webhooks', 'standardwebhooks', 'webhook']]) {
  const { Webhook } = await import(name);
  const key = `whsec_${randomBytes(24).toString('base64')}`;
  const payload = body();
  const id = `msg_${secret()}`;
  const signature = new Webhook(key).sign(id, new Date(now * 1000), payload);
  const headers = { [`${prefix}-id`]: id, [`${prefix}-timestamp`]: `${now}`, [`${prefix}-signature`]: signature };
  must(new Webhook(key).verify(payload, headers), name);
  add(provider, version(name), { secret: key, headers, body: payload, now, tolerance: 300 });
}
{
  const twilio = require('twilio');
  const key = secret();
  const url = 'https://hooks.example.com/twilio?a=1&b=%20x';
  const params = { From: '+14158675309', Body: 'hookgate says Zoë & co = 100% +1', Empty: '', Zed: 'z', 'a b': 'c' };
  const signature = twilio.getExpectedTwilioSignature(key, url, params);
  must(twilio.validateRequest(key, signature, url, params), 'twilio');
  add('twilio', version('twilio'), { secret: key, url, headers: { 'X-Twilio-Signature': signature }, body: new URLSearchParams(params).toString() });
  const payload = body();
  const signed = `${url}&bodySHA256=${createHash('sha256').update(payload).digest('hex')}`;
  const header = twilio.getExpectedTwilioSignature(key, signed, {});
  must(twilio.validateRequestWithBody(key, header, signed, payload), 'twilio with a body');
  add('twilio', version('twilio'), { secret: key, url: signed, headers: { 'X-Twilio-Signature': header }, body: payload });
}
{
  const { EventWebhook } = require('@sendgrid/eventwebhook');
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  const payload = `${body()}\r\n`;
  const signature = signWith('sha256', Buffer.from(`${now}${payload}`), privateKey).toString('base64');
  const verifier = new EventWebhook();
  must(verifier.verifySignature(verifier.convertPublicKeyToECDSA(key), payload, signature, `${now}`), 'sendgrid');
  const headers = { 'X-Twilio-Email-Event-Webhook-Signature': signature, 'X-Twilio-Email-Event-Webhook-Timestamp': `${now}` };
  add('sendgrid', `${version('@sendgrid/eventwebhook')} (verifies)`, { public_key: key, headers, body: payload, now, tolerance: 300 });
}
{
  const { WebhooksHelper } = require('square');
  const key = secret();
  const url = 'https://hooks.example.com/square';
  const payload = body({ event_id: randomUUID() });
  const signature = hmac('sha256', key, url + payload, 'base64');
  must(await WebhooksHelper.verifySignature({ requestBody: payload, signatureHeader: signature, signatureKey: key, notificationUrl: url }), 'square');
  add('square', `${version('square')} (verifies)`, { secret: key, url, headers: { 'x-square-hmacsha256-signature': signature }, body: payload });
}
{
  const { LinearWebhookClient } = await import('@linear/sdk/webhooks');
  const key = secret();
  const payload = body({ webhookTimestamp: now * 1000 + 123 });
  const signature = hmac('sha256', key, payload, 'hex');
  must(new LinearWebhookClient(key).verify(Buffer.from(payload), signature, now * 1000 + 123), 'linear');
  add('linear', `${version('@linear/sdk')} (verifies)`, { secret: key, headers: { 'Linear-Signature': signature }, body: payload, now, tolerance: 60 });
}
{
  const { verifyKey } = require('discord-interactions');
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex');
  const payload = body({ id: '1', type: 1 });
  const signature = signWith(null, Buffer.from(`${now}${payload}`), privateKey).toString('hex');
  must(await verifyKey(payload, signature, `${now}`, key), 'discord');
  const headers = { 'X-Signature-Ed25519': signature, 'X-Signature-Timestamp': `${now}` };
  add('discord', `${version('discord-interactions')} (verifies)`, { public_key: key, headers, body: payload, now, tolerance: 300 });
}
{
  const key = secret();
  const mailgun = require('mailgun-js')({ apiKey: key, domain: 'a.example' });
  const token = randomBytes(25).toString('hex');
  const signature = hmac('sha256', key, `${now}${token}`, 'hex');
  must(mailgun.validateWebhook(`${now}`, token, signature), 'mailgun');
  const payload = body({ signature: { timestamp: `${now}`, token, signature }, 'event-data': { event: 'opened' } });
  add('mailgun', `${version('mailgun-js')} (verifies)`, { secret: key, headers: {}, body: payload, now, tolerance: 300, unsigned_body: true });
}
{
  const { verifyWebhookSignature } = require('hook0-client');
  const key = randomUUID();
  const payload = body();
  const headers = { 'content-type': 'application/json', 'x-event-id': randomUUID() };
  const names = Object.keys(headers).join(' ');
  const signed = [`${now}`, names, ...Object.values(headers), payload].join('.');
  const header = `t=${now},h=${names},v1=${hmac('sha256', key, signed, 'hex')}`;
  must(verifyWebhookSignature(header, Buffer.from(payload), new Headers(headers), key, 300), 'hook0');
  add('coinbase-cdp', `${version('hook0-client')} (verifies)`, { secret: key, headers: { ...headers, 'X-Hook0-Signature': header }, body: payload, now, tolerance: 300 });
}

const key = secret();
const plain = (provider, header, hash, encoding, prefix, fields) => {
  const payload = body(fields);
  add(provider, crypto, { secret: key, headers: { [header]: prefix + hmac(hash, key, payload, encoding) }, body: payload });
};
plain('intercom', 'X-Hub-Signature', 'sha1', 'hex', 'sha1=');
plain('vercel', 'x-vercel-signature', 'sha1', 'hex', '', { id: 'e' });
plain('dropbox', 'X-Dropbox-Signature', 'sha256', 'hex', '');
plain('lemonsqueezy', 'X-Signature', 'sha256', 'hex', '');
plain('typeform', 'Typeform-Signature', 'sha256', 'base64', 'sha256=');
{
  const payload = body();
  const headers = { 'x-zm-request-timestamp': `${now}`, 'x-zm-signature': `v0=${hmac('sha256', key, `v0:${now}:${payload}`, 'hex')}` };
  add('zoom', crypto, { secret: key, headers, body: payload, now, tolerance: 300 });
}
{
  const payload = body();
  const header = `t=${now},v1=${hmac('sha256', key, `${now}.${payload}`, 'hex')}`;
  add('calendly', crypto, { secret: key, headers: { 'Calendly-Webhook-Signature': header }, body: payload, now, tolerance: 180 });
}
{
  const payload = body();
  const time = new Date(now * 1000).toISOString().replace('.000', '');
  const headers = { 'X-Zendesk-Webhook-Signature-Timestamp': time, 'X-Zendesk-Webhook-Signature': hmac('sha256', key, time + payload, 'base64') };
  add('zendesk', crypto, { secret: key, headers, body: payload, now, tolerance: 300 });
}
add('gitlab-token', crypto, { secret: key, headers: { 'X-Gitlab-Token': key }, body: body(), unsigned_body: true });

process.stdout.write(`${JSON.stringify({ format: 'as providers.json; implementation: who signed or accepted it', vectors }, null, 1)}\n`);
