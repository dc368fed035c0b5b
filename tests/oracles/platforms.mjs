// More libraries that providers publish. Each of them verifies only, unless it says otherwise, so hookgate signs.

import { generateKeyPairSync, sign as signWith } from 'node:crypto';
import { lower, providers, require, wanted } from './base.mjs';

/** A library that verifies; `load` is called once, for the providers that the tests ask for. */
const verifies = async (provider, library, load) => {
  if (wanted(provider)) providers[provider] = { library, verify: await load() };
};
/** Whether a function returns without an error; the libraries throw when they refuse. */
const passes = async (check) => {
  await check();
  return true;
};

// Payments.
await verifies('razorpay', 'razorpay', () => {
  const Razorpay = require('razorpay');
  return ({ secret, body, headers }) => Razorpay.validateWebhookSignature(body, headers['x-razorpay-signature'], secret);
});
await verifies('gocardless', 'gocardless-nodejs', () => {
  const { verifySignature } = require('gocardless-nodejs/webhooks');
  return ({ secret, body, headers }) => passes(() => verifySignature(body, secret, headers['webhook-signature']));
});
await verifies('cashfree', 'cashfree-pg', () => {
  const { Cashfree, CFEnvironment } = require('cashfree-pg');
  return ({ secret, body, headers }) => passes(() => new Cashfree(CFEnvironment.SANDBOX, 'id', secret)
    .PGVerifyWebhookSignature(headers['x-webhook-signature'], body, headers['x-webhook-timestamp']));
});
await verifies('modern-treasury', 'modern-treasury', () => {
  const ModernTreasury = require('modern-treasury');
  const client = new ModernTreasury({ organizationID: 'o', apiKey: 'k' });
  return ({ secret, body, headers }) => client.webhooks.validateSignature(body, headers, { key: secret });
});
await verifies('lithic', 'lithic', () => {
  const Lithic = require('lithic');
  const client = new Lithic({ apiKey: 'k' });
  return ({ secret, body, headers }) => passes(() => client.webhooks.verifySignature(body, headers, secret));
});
await verifies('dodo', 'dodopayments', () => {
  const DodoPayments = require('dodopayments');
  const client = new DodoPayments({ bearerToken: 'k' });
  return ({ secret, body, headers }) => passes(() => client.webhooks.unwrap(body, { headers, key: secret }));
});

// Identity.
await verifies('workos', '@workos-inc/node', () => {
  const { WorkOS } = require('@workos-inc/node');
  const { webhooks } = new WorkOS('k', { clientId: 'c' });
  // It serialises the parsed body again, so it can verify compact JSON only.
  return ({ secret, body, headers }) => webhooks.verifyHeader({ payload: JSON.parse(body), sigHeader: headers['workos-signature'], secret });
});
await verifies('clerk', '@clerk/backend', () => {
  const { verifyWebhook } = require('@clerk/backend/webhooks');
  return ({ secret, body, headers }) => passes(() => verifyWebhook(new Request('https://a.example/', { method: 'POST', headers, body }), { signingSecret: secret }));
});
await verifies('onfido', '@onfido/api', () => {
  const { WebhookEventVerifier } = require('@onfido/api');
  return ({ secret, body, headers }) => passes(() => new WebhookEventVerifier(secret).readPayload(body, headers['x-sha2-signature']));
});
await verifies('finch', '@tryfinch/finch-api', () => {
  const Finch = require('@tryfinch/finch-api');
  const client = new Finch({ clientID: 'c', clientSecret: 's' });
  return ({ secret, body, headers }) => passes(() => client.webhooks.verifySignature(body, headers, secret));
});

// Models and voices.
await verifies('openai', 'openai', () => {
  const OpenAI = require('openai');
  const client = new OpenAI({ apiKey: 'k' });
  return ({ secret, body, headers }) => passes(() => client.webhooks.verifySignature(body, headers, secret));
});
await verifies('anthropic', '@anthropic-ai/sdk', () => {
  const Anthropic = require('@anthropic-ai/sdk');
  const client = new Anthropic({ apiKey: 'k' });
  return ({ secret, body, headers }) => passes(() => client.beta.webhooks.unwrap(body, { headers, key: secret }));
});
await verifies('replicate', 'replicate', () => {
  const { validateWebhook } = require('replicate');
  return ({ secret, body, headers }) => validateWebhook({ headers, body }, secret);
});
await verifies('retell', 'retell-sdk', () => {
  const { Retell } = require('retell-sdk');
  return ({ secret, body, headers }) => Retell.verify(body, secret, headers['x-retell-signature']);
});

// Messages.
await verifies('line', '@line/bot-sdk', () => {
  const { validateSignature } = require('@line/bot-sdk');
  return ({ secret, body, headers }) => validateSignature(body, secret, headers['x-line-signature']);
});
await verifies('telegram', 'grammy', () => {
  const { Bot, webhookCallback } = require('grammy');
  const botInfo = { id: 1, is_bot: true, first_name: 'b', username: 'b' };
  return async ({ secret, body, headers }) => {
    const handle = webhookCallback(new Bot('1:a', { botInfo }), 'std/http', { secretToken: secret });
    return (await handle(new Request('https://a.example/', { method: 'POST', headers, body }))).status === 200;
  };
});
if (wanted('telnyx')) {
  const { TelnyxWebhook } = require('telnyx/lib/webhooks');
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64');
  providers.telnyx = {
    library: 'telnyx',
    sign: async ({ body, now }) => ({ public_key: key, headers: { 'telnyx-signature-ed25519': signWith(null, Buffer.from(`${now}|${body}`), privateKey).toString('base64'), 'telnyx-timestamp': `${now}` } }),
    verify: ({ body, headers }) => passes(() => new TelnyxWebhook(key).verify(body, headers)),
  };
}
await verifies('pusher', 'pusher', () => {
  const Pusher = require('pusher');
  return ({ secret, body, headers }) => new Pusher({ appId: '1', key: 'k', secret, cluster: 'c' })
    .webhook({ headers: { 'x-pusher-key': 'k', 'content-type': 'application/json', ...headers }, rawBody: body }).isValid();
});
await verifies('stream-chat', 'stream-chat', () => {
  const { CheckSignature } = require('stream-chat');
  return ({ secret, body, headers }) => CheckSignature(body, secret, headers['x-signature']);
});
await verifies('crisp', 'crisp-api', () => {
  const { Crisp } = require('crisp-api');
  // It serialises the parsed body again, so it can verify compact JSON only.
  return ({ secret, body, headers }) => new Crisp().verifyWidget(secret, JSON.parse(body), headers['x-crisp-request-timestamp'], headers['x-crisp-signature']);
});
await verifies('resend', 'resend', () => {
  const { Resend } = require('resend');
  const { webhooks } = new Resend('re_k');
  return ({ secret, body, headers }) => passes(() => webhooks.verify({ webhookSecret: secret, payload: body, headers: { id: headers['svix-id'], timestamp: headers['svix-timestamp'], signature: headers['svix-signature'] } }));
});
await verifies('feishu', '@larksuiteoapi/node-sdk', () => {
  const { EventDispatcher } = require('@larksuiteoapi/node-sdk');
  // It serialises the parsed body again, so it can verify compact JSON only. Its adapters put the headers into the prototype.
  return ({ secret, body, headers }) => new EventDispatcher({ encryptKey: secret }).requestHandle
    .checkIsEventValidated(Object.assign(Object.create({ headers }), JSON.parse(body)));
});

// Content, media, parcels.
await verifies('mux', '@mux/mux-node', () => {
  const Mux = require('@mux/mux-node');
  const client = new Mux({ tokenId: 't', tokenSecret: 's' });
  return ({ secret, body, headers }) => passes(() => client.webhooks.verifySignature(body, headers, secret));
});
if (wanted('sanity')) {
  const { encodeSignatureHeader, isValidSignature, SIGNATURE_HEADER_NAME } = require('@sanity/webhook');
  providers.sanity = {
    library: '@sanity/webhook',
    sign: async ({ secret, body, now }) => ({ headers: { [SIGNATURE_HEADER_NAME]: await encodeSignatureHeader(body, now * 1000 + 7, secret) } }),
    verify: ({ secret, body, headers }) => isValidSignature(body, lower(headers)[SIGNATURE_HEADER_NAME], secret),
  };
}
await verifies('cloudinary', 'cloudinary', () => {
  const { v2: cloudinary } = require('cloudinary');
  return ({ secret, body, headers }) => {
    cloudinary.config({ api_secret: secret });
    return cloudinary.utils.verifyNotificationSignature(body, Number(headers['x-cld-timestamp']), headers['x-cld-signature']);
  };
});
await verifies('webflow', 'webflow-api', () => {
  const { WebflowClient } = require('webflow-api');
  const client = new WebflowClient({ accessToken: 'k' });
  return ({ secret, body, headers }) => client.webhooks.verifySignature({ headers, body, secret });
});
await verifies('kontent-ai', '@kontent-ai/webhook-helper', () => {
  const { signatureHelper } = require('@kontent-ai/webhook-helper');
  return ({ secret, body, headers }) => signatureHelper.isValidSignatureFromString(body, secret, headers['x-kontent-ai-signature']);
});
await verifies('box', 'box-node-sdk', () => {
  const { WebhooksManager } = require('box-node-sdk/managers');
  const fixed = { 'box-signature-version': '1', 'box-signature-algorithm': 'HmacSHA256' };
  return ({ secret, body, headers }) => WebhooksManager.validateMessage(body, { ...fixed, ...headers }, secret);
});
await verifies('easypost', '@easypost/api', () => {
  const EasyPost = require('@easypost/api');
  const client = new (EasyPost.default ?? EasyPost)('k');
  return ({ secret, body, headers }) => passes(() => client.Utils.validateWebhook(Buffer.from(body), headers, secret));
});
await verifies('notion', '@notionhq/client', () => {
  const { verifyWebhookSignature } = require('@notionhq/client');
  return ({ secret, body, headers }) => verifyWebhookSignature({ body, signature: headers['x-notion-signature'], verificationToken: secret });
});
if (wanted('hygraph')) {
  const { generateWebhookSignature, verifyWebhookSignature } = require('@hygraph/utils');
  providers.hygraph = {
    library: '@hygraph/utils',
    sign: async ({ secret, body }) => ({ headers: { 'gcms-signature': generateWebhookSignature({ rawPayload: body, environmentName: 'master', secret }) } }),
    // It takes the parts in one order.
    verify: async ({ secret, body, headers }) => {
      const part = (name) => new RegExp(`(?:^|, ?)(${name}=[^,]*)`).exec(headers['gcms-signature'])?.[1];
      return verifyWebhookSignature({ rawPayload: body, signature: ['sign', 'env', 't'].map(part).join(', '), secret });
    },
  };
}

// More payments.
await verifies('fintoc', 'fintoc', () => {
  const { WebhookSignature } = require('fintoc');
  return ({ secret, body, headers }) => passes(() => WebhookSignature.verifyHeader(body, headers['fintoc-signature'], secret));
});
await verifies('worldline', 'onlinepayments-sdk-nodejs', () => {
  const { webhooks } = require('onlinepayments-sdk-nodejs');
  return ({ secret, body, headers }) => passes(() => webhooks.init({ getSecretKey: async () => secret }).validate(body, { 'X-GCS-KeyId': 'key', ...headers }));
});
