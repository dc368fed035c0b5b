//! Webhooks of every preset that hookgate can sign itself, each with a route of its own: what the released binary is
//! trained with, and what instructions are counted of.

use crate::support::paddle::now;
use crate::support::{Setup, Webhook};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookgate::scheme::{Algorithm, HeadRef, KeyEncoding, NamedSecret, SignRequest, Verifier, presets};
use hookgate::secret::Secret;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};

/// One preset with its key and its route.
pub(crate) struct Kind {
    pub(crate) provider: &'static str,
    verifier: Verifier,
    key: String,
}

/// A key in the format of the preset, the same in every run.
fn key(provider: &str) -> String {
    let row = presets::description(provider).unwrap();
    let key = row.key.clone().unwrap_or_default();
    let prefix = key.prefix.as_ref().map_or("", |prefix| &prefix.as_slice()[0]);
    let digits = format!("{:0<40}", hex::encode(provider));
    match (row.algorithm, key.encoding) {
        (Some(Algorithm::Basic), _) => format!("user:{digits}"),
        (_, Some(KeyEncoding::Base64)) => format!("{prefix}{}", STANDARD.encode(&digits[..32])),
        (_, Some(KeyEncoding::Hex)) => hex::encode(&digits[..32]),
        _ => format!("{prefix}{}", &digits[..40]),
    }
}

/// Every preset whose webhooks hookgate can make: it signs a JSON body, and the body has all that the preset needs.
pub(crate) fn kinds() -> Vec<Kind> {
    let kind = |provider: &'static str| {
        let key = key(provider);
        let secret = NamedSecret {
            name: "key".into(),
            secret: Secret::new(key.clone().into_bytes()),
        };
        let url = presets::signs_url(provider).then(|| public_url(provider));
        let verifier = Verifier::new(provider, None, vec![secret], url).ok()?;
        let kind = Kind {
            provider,
            verifier,
            key,
        };
        kind.is_genuine(&body(0, 100)).then_some(kind)
    };
    presets::names().filter_map(kind).collect()
}

fn path(provider: &str) -> String {
    format!("/of/{provider}")
}

fn public_url(provider: &str) -> String {
    format!("https://shop.example{}", path(provider))
}

impl Kind {
    /// Whether hookgate accepts the webhook that it signs.
    fn is_genuine(&self, body: &str) -> bool {
        let Some(webhook) = self.webhook(body) else {
            return false;
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &webhook.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let head = HeadRef {
            method: &Method::POST,
            target: &path(self.provider),
            headers: &headers.iter().collect(),
        };
        let tolerance = self.verifier.default_tolerance().map(|tolerance| tolerance.as_secs());
        let presented = self.verifier.present(&head);
        let aged = presented.and_then(|presented| presented.age(now(), tolerance));
        let verified = aged.and_then(|mut aged| {
            aged.update(body.as_bytes());
            aged.verify(&[Bytes::copy_from_slice(body.as_bytes())], now())
        });
        verified.is_ok()
    }

    /// A genuine webhook with this body; `None` if hookgate cannot sign it.
    pub(crate) fn webhook(&self, body: &str) -> Option<Webhook> {
        let target = path(self.provider);
        let request = SignRequest {
            method: &Method::POST,
            target: &target,
            delivery_id: None,
            body: body.as_bytes(),
        };
        let signed = self.verifier.sign_with(&[0], &request, now())?;
        let mut webhook = Webhook::new(body).signature(None).path(&target);
        webhook.headers.push(("Content-Type".into(), "application/json".into()));
        for (name, value) in signed {
            webhook
                .headers
                .push((name.to_string(), value.to_str().ok()?.to_owned()));
        }
        Some(webhook)
    }
}

/// A JSON body of about `bytes` bytes, which is different for each `number`.
pub(crate) fn body(number: usize, bytes: usize) -> String {
    let text = "abcdefghij klmnop, qrstuvwxyz 0123456789; ".repeat(bytes / 42);
    let now_ms = now() * 1000;
    format!(
        r#"{{"id":"evt_{number:012}","event_id":"evt_{number:012}","type":"transaction.paid","webhookTimestamp":{now_ms},"data":{{"text":"{text}"}}}}"#
    )
}

/// Adds a route for each kind, without a replay guard: some schemes sign nothing that changes.
pub(crate) fn with_routes(mut setup: Setup, kinds: &[Kind], upstream: &str) -> Setup {
    for (index, kind) in kinds.iter().enumerate() {
        let provider = kind.provider;
        let url = match presets::signs_url(provider) {
            true => format!("public_url = {:?}\n", public_url(provider)),
            false => String::new(),
        };
        setup = setup.variable(&format!("KEY_{index}"), &kind.key).more(&format!(
            "[[route]]\npath = {:?}\nprovider = {provider:?}\nsecrets = [{{ env = \"KEY_{index}\" }}]\n\
             upstream = {upstream:?}\nbody_limit = \"8MiB\"\n{url}",
            path(provider)
        ));
    }
    setup
}
