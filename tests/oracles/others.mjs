// Libraries of others, which verify the webhooks of several providers.

import { generateKeyPairSync, randomUUID, sign as signWith } from 'node:crypto';
import { hmac, modules, providers, require, verifier, wanted } from './base.mjs';

/** A validator of nuxt-webhook-validators, and the name under which it reads its key. */
async function nuxt(file, key) {
  const folder = 'nuxt-webhook-validators/dist/runtime/server/lib/validators/';
  const [validate] = Object.values(await import(new URL(folder + file, modules)));
  return async ({ secret, body, headers }) => {
    globalThis.webhookSecrets = { [file.split('.')[0]]: { [key]: secret } };
    // What h3 passes on: Node's request, with the body that a framework has already read.
    return validate({ context: {}, headers: new Headers(headers), node: { req: { headers, rawBody: body, method: 'POST' } }, method: 'POST' });
  };
}

if (wanted('intercom')) {
  const { default: XHubSignature } = await import('x-hub-signature');
  providers.intercom = {
    library: 'x-hub-signature',
    sign: async ({ secret, body }) => ({ headers: { 'X-Hub-Signature': new XHubSignature('sha1', secret).sign(body) } }),
    verify: async ({ secret, body, headers }) => new XHubSignature('sha1', secret).verify(headers['x-hub-signature'], body),
  };
}
if (wanted('lemonsqueezy')) {
  const { whatwgWebhooksHandler } = require('lemonsqueezy-webhooks');
  providers.lemonsqueezy = verifier('lemonsqueezy-webhooks',
    ({ secret, body }) => ({ 'X-Signature': hmac('sha256', secret, body, 'hex') }),
    async ({ secret, body, headers }) => {
      const request = new Request('https://a.example/', { method: 'POST', headers, body });
      return (await whatwgWebhooksHandler({ secret, request, onData: async () => {}, onError: async () => {} })).status === 200;
    });
}
for (const [provider, file, header, make, key] of [
  ['dropbox', 'dropbox.js', 'X-Dropbox-Signature', (secret, body) => hmac('sha256', secret, body, 'hex'), 'appSecret'],
  ['vercel', 'vercel.js', 'x-vercel-signature', (secret, body) => hmac('sha1', secret, body, 'hex'), 'secretKey'],
  ['meta', 'meta.js', 'X-Hub-Signature-256', (secret, body) => `sha256=${hmac('sha256', secret, body, 'hex')}`, 'appSecret'],
  ['gitlab-token', 'gitlab.js', 'X-Gitlab-Token', (secret) => secret, 'secretToken'],
]) {
  if (wanted(provider)) providers[provider] = verifier('nuxt-webhook-validators', ({ secret, body }) => ({ [header]: make(secret, body) }), await nuxt(file, key));
}
for (const [provider, file] of [
  ['bitbucket', 'bitbucket.js'], ['cal-com', 'calcom.post.js'], ['docusign', 'docusign.js'], ['fourthwall', 'fourthwall.js'],
  ['heroku', 'heroku.js'], ['polar', 'polar.js'], ['twitch', 'twitch.js'],
]) {
  if (wanted(provider)) providers[provider] = { library: 'nuxt-webhook-validators', verify: await nuxt(file, 'secretKey') };
}
if (wanted('brevo')) {
  const verify = await nuxt('brevo.js', 'token');
  // One of the addresses that it accepts.
  providers.brevo = { library: 'nuxt-webhook-validators', verify: (request) => verify({ ...request, headers: { ...request.headers, 'x-forwarded-for': '1.179.112.5' } }) };
}
if (wanted('kick')) {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = publicKey.export({ type: 'spki', format: 'pem' });
  const verify = await nuxt('kick.js', 'publicKey');
  providers.kick = {
    library: 'nuxt-webhook-validators',
    sign: async ({ body, now }) => {
      const [id, time] = [randomUUID(), new Date(now * 1000).toISOString()];
      const signature = signWith('sha256', Buffer.from(`${id}.${time}.${body}`), privateKey).toString('base64');
      return { public_key: key, headers: { 'Kick-Event-Message-Id': id, 'Kick-Event-Message-Timestamp': time, 'Kick-Event-Signature': signature } };
    },
    verify: (request) => verify({ ...request, secret: key }),
  };
}
if (wanted('jira')) {
  const { default: XHubSignature } = await import('x-hub-signature');
  providers.jira = {
    library: 'x-hub-signature',
    sign: async ({ secret, body }) => ({ headers: { 'X-Hub-Signature': new XHubSignature('sha256', secret).sign(body) } }),
    verify: async ({ secret, body, headers }) => new XHubSignature('sha256', secret).verify(headers['x-hub-signature'], body),
  };
}
for (const platform of ['woocommerce', 'sentry', 'grafana', 'doppler']) {
  if (!wanted(platform)) continue;
  const { WebhookVerificationService } = require('@hookflo/tern');
  providers[platform] = {
    library: '@hookflo/tern',
    verify: async ({ secret, body, headers }) => {
      const request = new Request('https://a.example/', { method: 'POST', headers, body });
      return (await WebhookVerificationService.verify(request, { platform, secret })).isValid;
    },
  };
}
// These document the library of Standard Webhooks and publish none of their own.
for (const provider of ['brex', 'etsy', 'gemini', 'render', 'supabase']) {
  if (!wanted(provider)) continue;
  const { Webhook } = require('standardwebhooks');
  providers[provider] = {
    library: 'standardwebhooks',
    verify: async ({ secret, body, headers }) => {
      new Webhook(secret).verify(body, headers);
      return true;
    },
  };
}

