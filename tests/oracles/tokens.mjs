// Signs and verifies tokens, and requests whose keys are published, with the libraries of providers and others. It works as
// oracle.mjs does. For published keys, `sign` also returns the document with the keys, as the provider's server answers.

import { constants, createHash, createPrivateKey, createSign, generateKeyPairSync, randomUUID } from 'node:crypto';
import https from 'node:https';
import { Readable } from 'node:stream';
import { lower, modules, providers, require, serve } from './base.mjs';

const { SignJWT, jwtVerify, createLocalJWKSet, exportJWK } = await import('jose');
const sha256 = (text, encoding) => createHash('sha256').update(text, 'utf8').digest(encoding);
const bytes = (secret) => new TextEncoder().encode(secret);
const at = ({ now }) => ({ currentDate: new Date(now * 1000) });
/** A token with a shared secret, made by jose. */
const shared = (secret, claims) => new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(bytes(secret));
const bearer = (headers, prefix) => {
  const value = headers.authorization ?? '';
  if (!value.startsWith(prefix)) throw new Error('no token');
  return value.slice(prefix.length);
};

{
  const validators = 'nuxt-webhook-validators/dist/runtime/server/lib/validators/';
  const [validate] = Object.values(await import(new URL(`${validators}netlify.js`, modules)));
  providers.netlify = {
    library: 'nuxt-webhook-validators',
    sign: async ({ secret, body }) => ({ headers: { 'X-Webhook-Signature': await shared(secret, { iss: 'netlify', sha256: sha256(body, 'hex') }) } }),
    verify: async ({ secret, body, headers }) => {
      globalThis.webhookSecrets = { netlify: { secretKey: secret } };
      return validate({ headers: new Headers(headers), node: { req: { headers, rawBody: body, method: 'POST' } }, method: 'POST' });
    },
  };
}
{
  const { verifySignature } = require('@vonage/jwt');
  providers.vonage = {
    library: '@vonage/jwt',
    sign: async ({ secret, body, now }) => ({
      headers: { Authorization: `Bearer ${await shared(secret, { iss: 'Vonage', iat: now, jti: randomUUID(), payload_hash: sha256(body, 'hex') })}` },
    }),
    verify: async ({ secret, body, headers }) => {
      const token = bearer(headers, 'Bearer ');
      if (verifySignature(token, secret) !== true) return false;
      // The library leaves the comparison of the hash to its caller.
      const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
      return claims.payload_hash === sha256(body, 'hex');
    },
  };
}
{
  const { AccessToken, WebhookReceiver } = await import('livekit-server-sdk');
  providers.livekit = {
    library: 'livekit-server-sdk',
    sign: async ({ secret, body }) => {
      const token = new AccessToken('key', secret);
      token.sha256 = sha256(body, 'base64');
      return { headers: { Authorization: await token.toJwt() } };
    },
    verify: async ({ secret, body, headers }) => (await new WebhookReceiver('key', secret).receive(body, headers.authorization)) !== undefined,
  };
}
{
  const atlassian = require('atlassian-jwt');
  const hash = (url) => {
    const { pathname, search } = new URL(url);
    return atlassian.createQueryStringHash(atlassian.fromMethodAndUrl('POST', pathname + search), false, '');
  };
  providers['atlassian-connect'] = {
    library: 'atlassian-jwt',
    sign: async ({ secret, url, now }) => ({
      headers: { Authorization: `JWT ${atlassian.encodeSymmetric({ iss: 'client', iat: now, exp: now + 180, qsh: hash(url) }, secret, 'HS256')}` },
    }),
    verify: async ({ secret, url, headers }) => atlassian.decodeSymmetric(bearer(headers, 'JWT '), secret, 'HS256').qsh === hash(url),
  };
}
providers.fusionauth = {
  library: 'jose',
  sign: async ({ secret, body }) => ({ headers: { 'X-FusionAuth-Signature-JWT': await shared(secret, { request_body_sha256: sha256(body, 'base64') }) } }),
  verify: async (request) => {
    const { payload } = await jwtVerify(request.headers['x-fusionauth-signature-jwt'], bytes(request.secret), at(request));
    return payload.request_body_sha256 === sha256(request.body, 'base64');
  },
};

/** A token with a new key, and the document in which the key is published. */
async function published(alg, claims, pair) {
  const { privateKey, publicKey } = pair ?? generateKeyPairSync(...(alg === 'RS256' ? ['rsa', { modulusLength: 2048 }] : alg === 'ES256' ? ['ec', { namedCurve: 'P-256' }] : ['ed25519']));
  const kid = randomUUID();
  const jwk = { ...await exportJWK(publicKey), kid, alg, use: 'sig' };
  const token = await new SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'JWT' }).sign(privateKey);
  const keys = { keys: [jwk] };
  await jwtVerify(token, createLocalJWKSet(keys), { currentDate: new Date((claims.iat ?? Date.now() / 1000) * 1000) });
  return { token, kid, jwk, keys: JSON.stringify(keys) };
}
providers['google-pubsub'] = {
  library: 'jose',
  sign: async ({ now }) => {
    const claims = { iss: 'https://accounts.google.com', aud: 'audience', email: 'push@example.iam.gserviceaccount.com', email_verified: true, iat: now, exp: now + 3600, sub: '1' };
    const { token, kid, keys } = await published('RS256', claims);
    return { headers: { Authorization: `Bearer ${token}` }, kid, keys };
  },
};
providers['azure-event-grid'] = {
  library: 'jose',
  sign: async ({ now }) => {
    const claims = { iss: 'https://login.microsoftonline.com/tenant/v2.0', aud: 'audience', iat: now, nbf: now, exp: now + 3600 };
    const { token, kid, keys } = await published('RS256', claims);
    return { headers: { Authorization: `Bearer ${token}` }, kid, keys };
  },
};
/** The notifications of a body with this `clientState`, and tokens of Microsoft in both of its versions, with two keys. */
providers['ms-graph'] = {
  library: 'jose',
  sign: async ({ secret, now, publisher = '0bf30f3b-4a52-48df-9a82-234910c4a086', audience = 'audience' }) => {
    const times = { iat: now, nbf: now, exp: now + 3600 };
    const first = await published('RS256', { aud: audience, iss: 'https://sts.windows.net/tenant/', appid: publisher, tid: 'tenant', ver: '1.0', ...times });
    const second = await published('RS256', { aud: audience, iss: 'https://login.microsoftonline.com/tenant/v2.0', azp: publisher, tid: 'tenant', ver: '2.0', ...times });
    const value = ['1', '2'].map((id) => ({ id, clientState: secret, changeType: 'created', encryptedContent: { data: 'x' } }));
    const body = JSON.stringify({ value, validationTokens: [first.token, second.token, first.token] });
    return { headers: {}, body, kid: first.kid, keys: JSON.stringify({ keys: [first.jwk, second.jwk] }) };
  },
};
providers.plaid = {
  library: 'jose',
  sign: async ({ body, now }) => {
    const { token, kid, jwk } = await published('ES256', { iat: now, request_body_sha256: sha256(body, 'hex') });
    return { headers: { 'Plaid-Verification': token }, kid, keys: JSON.stringify({ key: { ...jwk, created_at: now, expired_at: null }, request_id: 'x' }) };
  },
};
providers['fusionauth+published'] = {
  library: 'jose',
  sign: async ({ body }, algorithm = ['RS256', 'ES256', 'EdDSA'][Math.floor(Math.random() * 3)]) => {
    const { token, kid, keys } = await published(algorithm, { request_body_sha256: sha256(body, 'base64') });
    return { headers: { 'X-FusionAuth-Signature-JWT': token }, kid, keys };
  },
};
{
  // The request has the certificate and its key: what the library fetches is answered here.
  const MessageValidator = require('sns-validator');
  const real = https.get;
  const text = (message) => {
    const names = message.Type === 'Notification'
      ? ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type']
      : ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'];
    return names.filter((name) => name in message).map((name) => `${name}\n${message[name]}\n`).join('');
  };
  providers['aws-sns'] = {
    library: 'sns-validator',
    sign: async ({ message, key, version: signatureVersion, certificate }) => {
      const signer = createSign(signatureVersion === '1' ? 'RSA-SHA1' : 'RSA-SHA256');
      const signed = { ...message, SignatureVersion: signatureVersion };
      signed.Signature = signer.update(text(message), 'utf8').sign(createPrivateKey(key), 'base64');
      https.get = (url, answer) => {
        const response = Readable.from([certificate]);
        response.statusCode = 200;
        answer(response);
        return { on: () => {} };
      };
      await new Promise((resolve, reject) => new MessageValidator().validate({ ...signed }, (error) => (error ? reject(error) : resolve())));
      https.get = real;
      return { headers: {}, body: JSON.stringify(signed) };
    },
  };
}
{
  // The key of `public` is new each time; with a secret it is HMAC.
  const { httpbis, createSigner, createVerifier } = require('http-message-signatures');
  const keys = {
    ed25519: () => generateKeyPairSync('ed25519'),
    'ecdsa-p256-sha256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    'ecdsa-p384-sha384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    'rsa-pss-sha512': () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    'rsa-v1_5-sha256': () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  };
  const digest = (body) => `sha-256=:${sha256(body, 'base64')}:`;
  const read = (url, headers, body, key, algorithm) => httpbis.verifyMessage({
    keyLookup: async () => ({ id: 'k', algs: [algorithm], verify: createVerifier(key, algorithm) }),
    tolerance: 300,
    requiredFields: ['@method', 'content-digest'],
  }, { method: 'POST', url, headers }).then((genuine) => genuine === true && headers['content-digest'] === digest(body));
  const sign = async ({ secret, url, body, now, algorithm = 'hmac-sha256', fields, parameters }) => {
    const pair = algorithm === 'hmac-sha256' ? undefined : keys[algorithm]();
    const key = createSigner(pair?.privateKey ?? Buffer.from(secret), algorithm, 'k');
    // RFC 9421, 3.3.1 has a salt of 64 bytes; the library takes the longest one.
    if (algorithm === 'rsa-pss-sha512') key.sign = async (data) => createSign('RSA-SHA512').update(data).sign({ key: pair.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 });
    const message = { method: 'POST', url, headers: { 'content-type': 'application/json', 'content-digest': digest(body) } };
    const { headers } = await httpbis.signMessage({
      key,
      name: 'sig1',
      fields: fields ?? ['@method', '@target-uri', 'content-type', 'content-digest'],
      params: parameters ?? ['created', 'keyid', 'alg'],
      paramValues: { created: new Date(now * 1000), expires: new Date((now + 60) * 1000), nonce: randomUUID() },
    }, message);
    const jwk = pair && { ...await exportJWK(pair.publicKey), kid: 'k' };
    const publicKey = pair?.publicKey.export({ type: 'spki', format: 'pem' });
    if (pair && !(await read(url, lower(headers), body, pair.publicKey, algorithm))) throw new Error('the library refuses its own signature');
    return { headers, public: publicKey, keys: JSON.stringify({ keys: [jwk] }), kid: 'k' };
  };
  providers['http-signatures'] = {
    library: 'http-message-signatures',
    sign: (request) => sign({ ...request, algorithm: 'hmac-sha256' }),
    verify: ({ secret, url, headers, body }) => read(url, headers, body, Buffer.from(secret), 'hmac-sha256'),
  };
  providers['http-signatures+public'] = { library: 'http-message-signatures', sign };
}

await serve();
