// The libraries that the providers publish.

import { createHash, generateKeyPairSync, randomUUID, sign as signWith } from 'node:crypto';
import { hmac, lower, providers, require, verifier, wanted } from './base.mjs';

if (wanted('paddle')) {
  const { Paddle } = require('@paddle/paddle-node-sdk');
  const { webhooks } = new Paddle('no-api-key');
  providers.paddle = verifier('@paddle/paddle-node-sdk',
    ({ secret, body, now }) => ({ 'Paddle-Signature': `ts=${now};h1=${hmac('sha256', secret, `${now}:${body}`, 'hex')}` }),
    ({ secret, body, headers }) => webhooks.isSignatureValid(body, secret, headers['paddle-signature'] ?? ''));
}
if (wanted('stripe', 'calendly')) {
  const { default: Stripe } = await import('stripe');
  const { webhooks } = new Stripe('sk_test_unused');
  const accepts = (header, { secret, body }) => webhooks.constructEvent(body, header, secret) !== undefined;
  const text = ({ secret, body, now }) => webhooks.generateTestHeaderString({ payload: body, secret, timestamp: now });
  providers.stripe = {
    library: 'stripe',
    sign: async (request) => ({ headers: { 'Stripe-Signature': text(request) } }),
    verify: async (request) => accepts(request.headers['stripe-signature'], request),
  };
  // Calendly uses the same scheme with another header name, and has no library of its own.
  providers.calendly = {
    library: 'stripe',
    sign: async (request) => ({ headers: { 'Calendly-Webhook-Signature': text(request) } }),
    verify: async (request) => accepts(request.headers['calendly-webhook-signature'], request),
  };
}
if (wanted('github')) {
  const { sign, verify } = await import('@octokit/webhooks-methods');
  const octokit = {
    library: '@octokit/webhooks-methods',
    sign: async ({ secret, body }) => ({ headers: { 'X-Hub-Signature-256': await sign(secret, body) } }),
    verify: async ({ secret, body, headers }) => verify(secret, body, headers['x-hub-signature-256']),
  };
  providers.github = octokit;
}
if (wanted('shopify')) {
  const { shopifyApi, ApiVersion } = await import('@shopify/shopify-api');
  await import('@shopify/shopify-api/adapters/node');
  const rest = () => ({ 'X-Shopify-Topic': 't/t', 'X-Shopify-API-Version': '2026-01', 'X-Shopify-Shop-Domain': 'a.myshopify.com', 'X-Shopify-Webhook-Id': randomUUID() });
  providers.shopify = verifier('@shopify/shopify-api',
    ({ secret, body }) => ({ 'X-Shopify-Hmac-Sha256': hmac('sha256', secret, body, 'base64'), ...rest() }),
    async ({ secret, body, headers }) => {
      const shopify = shopifyApi({ apiKey: 'k', apiSecretKey: secret, apiVersion: Object.values(ApiVersion).at(-1), isEmbeddedApp: false, hostName: 'a.example', logger: { level: 0 } });
      const verdict = await shopify.webhooks.validate({ rawBody: body, rawRequest: { method: 'POST', url: '/', headers: { ...lower(rest()), ...headers } }, rawResponse: {} });
      return verdict.valid;
    });
}
if (wanted('slack')) {
  const { verifySlackRequest } = require('@slack/bolt/dist/receivers/verify-request.js');
  providers.slack = verifier('@slack/bolt',
    ({ secret, body, now }) => ({ 'X-Slack-Request-Timestamp': `${now}`, 'X-Slack-Signature': `v0=${hmac('sha256', secret, `v0:${now}:${body}`, 'hex')}` }),
    async ({ secret, body, headers }) => {
      const timestamp = Number(headers['x-slack-request-timestamp']);
      verifySlackRequest({ signingSecret: secret, body, headers: { 'x-slack-signature': headers['x-slack-signature'], 'x-slack-request-timestamp': timestamp } });
      return true;
    });
}
for (const [provider, library, prefix] of [['svix', 'svix', 'svix'], ['vanta', 'svix', 'svix'], ['standard-webhooks', 'standardwebhooks', 'webhook'], ['gitlab', 'standardwebhooks', 'webhook']]) {
  if (!wanted(provider)) continue;
  const { Webhook } = await import(library);
  providers[provider] = {
    library,
    sign: async ({ secret, body, now }) => {
      const id = `msg_${randomUUID()}`;
      const signature = new Webhook(secret).sign(id, new Date(now * 1000), body);
      return { headers: { [`${prefix}-id`]: id, [`${prefix}-timestamp`]: `${now}`, [`${prefix}-signature`]: signature } };
    },
    verify: async ({ secret, body, headers }) => {
      // It throws when it refuses; its return value differs between versions.
      await new Webhook(secret).verify(body, headers);
      return true;
    },
  };
}
if (wanted('twilio')) {
  const twilio = require('twilio');
  const form = (body) => Object.fromEntries(new URLSearchParams(body));
  providers.twilio = {
    library: 'twilio',
    sign: async ({ secret, body, url }) => ({ headers: { 'X-Twilio-Signature': twilio.getExpectedTwilioSignature(secret, url, form(body)) } }),
    verify: async ({ secret, body, url, headers }) => twilio.validateRequest(secret, headers['x-twilio-signature'], url, form(body)),
  };
  providers['twilio+json'] = {
    library: 'twilio',
    sign: async ({ secret, body, url }) => {
      const signed = `${url}${url.includes('?') ? '&' : '?'}bodySHA256=${createHash('sha256').update(body).digest('hex')}`;
      const header = twilio.getExpectedTwilioSignature(secret, signed, {});
      if (!twilio.validateRequestWithBody(secret, header, signed, body)) throw new Error('twilio refuses its own signature');
      return { url: signed, headers: { 'X-Twilio-Signature': header } };
    },
  };
}
if (wanted('sendgrid')) {
  const { EventWebhook } = require('@sendgrid/eventwebhook');
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  const validator = new EventWebhook();
  providers.sendgrid = {
    library: '@sendgrid/eventwebhook',
    sign: async ({ body, now }) => {
      const signature = signWith('sha256', Buffer.from(`${now}${body}`), privateKey).toString('base64');
      return { public_key: key, headers: { 'X-Twilio-Email-Event-Webhook-Signature': signature, 'X-Twilio-Email-Event-Webhook-Timestamp': `${now}` } };
    },
    verify: async ({ body, headers }) => validator.verifySignature(validator.convertPublicKeyToECDSA(key), body, headers['x-twilio-email-event-webhook-signature'], headers['x-twilio-email-event-webhook-timestamp']),
  };
}
if (wanted('square')) {
  const { WebhooksHelper } = require('square');
  providers.square = verifier('square',
    ({ secret, body, url }) => ({ 'x-square-hmacsha256-signature': hmac('sha256', secret, url + body, 'base64') }),
    ({ secret, body, url, headers }) => WebhooksHelper.verifySignature({ requestBody: body, signatureHeader: headers['x-square-hmacsha256-signature'], signatureKey: secret, notificationUrl: url }));
}
if (wanted('zoom')) {
  const { AwsLambdaReceiver } = await import('@zoom/rivet/meetings');
  // It parses the body and signs its own serialisation, so it can verify compact JSON only, and only events whose form it knows.
  const receive = (secret, body, headers) => {
    const receiver = new AwsLambdaReceiver({ webhooksSecretToken: secret });
    return receiver.start()({ body, headers, isBase64Encoded: false }, {});
  };
  const header = ({ secret, body, now }) => ({ 'x-zm-request-timestamp': `${now}`, 'x-zm-signature': `v0=${hmac('sha256', secret, `v0:${now}:${body}`, 'hex')}` });
  providers.zoom = {
    ...verifier('@zoom/rivet', header, async ({ secret, body, headers }) => (await receive(secret, body, headers)).statusCode === 200),
    // The answer of Zoom's own receiver to a validation of the URL.
    challenge: async (request) => JSON.parse((await receive(request.secret, request.body, header(request))).body),
  };
}
if (wanted('linear')) {
  const { LinearWebhookClient } = await import('@linear/sdk/webhooks');
  providers.linear = verifier('@linear/sdk',
    ({ secret, body }) => ({ 'Linear-Signature': hmac('sha256', secret, body, 'hex') }),
    async ({ secret, body, headers }) => new LinearWebhookClient(secret).verify(Buffer.from(body), headers['linear-signature'], JSON.parse(body).webhookTimestamp));
}
if (wanted('discord')) {
  const { verifyKey } = require('discord-interactions');
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex');
  providers.discord = {
    library: 'discord-interactions',
    sign: async ({ body, now }) => ({ public_key: key, headers: { 'X-Signature-Ed25519': signWith(null, Buffer.from(`${now}${body}`), privateKey).toString('hex'), 'X-Signature-Timestamp': `${now}` } }),
    verify: async ({ body, headers }) => verifyKey(body, headers['x-signature-ed25519'], headers['x-signature-timestamp'], key),
  };
}
if (wanted('mailgun')) {
  const mailgun = require('mailgun-js');
  providers.mailgun = {
    library: 'mailgun-js',
    // The signature is a field of the body, so the body is completed here.
    sign: async ({ secret, body, now }) => {
      const token = randomUUID().repeat(2).slice(0, 50);
      const signature = { timestamp: `${now}`, token, signature: hmac('sha256', secret, `${now}${token}`, 'hex') };
      return { headers: {}, body: JSON.stringify({ signature, 'event-data': { text: body } }) };
    },
    verify: async ({ secret, body }) => {
      const { timestamp, token, signature } = JSON.parse(body).signature;
      return mailgun({ apiKey: secret, domain: 'a.example' }).validateWebhook(timestamp, token, signature);
    },
  };
}
if (wanted('hubspot-v3')) {
  const { Signature } = require('@hubspot/api-client');
  const url = (url) => url.replace(/%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)/gi, (escape) => decodeURIComponent(escape));
  const options = ({ secret, body, url: called, headers }) => ({ clientSecret: secret, url: url(called), requestBody: body, timestamp: Number(headers['x-hubspot-request-timestamp']) });
  providers['hubspot-v3'] = {
    library: '@hubspot/api-client',
    sign: async (request) => {
      const headers = { 'X-HubSpot-Request-Timestamp': `${request.now}000` };
      return { headers: { ...headers, 'X-HubSpot-Signature-v3': Signature.getSignature('POST', 'v3', options({ ...request, headers: lower(headers) })) } };
    },
    verify: async (request) => Signature.isValid({ signatureVersion: 'v3', method: 'POST', signature: request.headers['x-hubspot-signature-v3'], ...options(request) }),
  };
}
if (wanted('adyen', 'adyen-platform')) {
  const { hmacValidator: Validator } = require('@adyen/api-library');
  const validator = new Validator();
  providers['adyen-platform'] = {
    library: '@adyen/api-library',
    sign: async ({ secret, body }) => ({ headers: { HmacSignature: validator.calculateHmac(body, secret) } }),
    verify: async ({ secret, body, headers }) => validator.validateHMACSignature(secret, headers.hmacsignature, body),
  };
  providers.adyen = {
    library: '@adyen/api-library',
    sign: async ({ secret, body }) => {
      const item = { pspReference: randomUUID(), originalReference: '', merchantAccountCode: 'Acme', merchantReference: body.slice(0, 40), amount: { value: body.length, currency: 'EUR' }, eventCode: 'AUTHORISATION', success: 'true' };
      item.additionalData = { hmacSignature: validator.calculateHmac(item, secret) };
      return { headers: {}, body: JSON.stringify({ live: 'false', notificationItems: [{ NotificationRequestItem: item }] }) };
    },
    verify: async ({ secret, body }) => validator.validateHMAC(JSON.parse(body).notificationItems[0].NotificationRequestItem, secret),
  };
}
if (wanted('coinbase-commerce')) {
  const { Webhook } = require('coinbase-commerce-node');
  providers['coinbase-commerce'] = {
    library: 'coinbase-commerce-node',
    sign: async ({ secret, body }) => ({ headers: { 'X-CC-Webhook-Signature': Webhook.computeSignature(body, secret) } }),
    verify: async ({ secret, body, headers }) => Webhook.verifySigHeader(body, headers['x-cc-webhook-signature'], secret),
  };
}
if (wanted('coinbase-cdp')) {
  const { verifyWebhookSignature } = require('hook0-client');
  providers['coinbase-cdp'] = verifier('hook0-client',
    ({ secret, body, now }) => {
      const headers = { 'content-type': 'application/json', 'x-event-id': randomUUID() };
      const names = Object.keys(headers).join(' ');
      const signed = [`${now}`, names, ...Object.values(headers), body].join('.');
      return { ...headers, 'X-Hook0-Signature': `t=${now},h=${names},v1=${hmac('sha256', secret, signed, 'hex')}` };
    },
    async ({ secret, body, headers }) => {
      verifyWebhookSignature(headers['x-hook0-signature'], Buffer.from(body), new Headers(headers), secret, 300);
      return true;
    });
}
