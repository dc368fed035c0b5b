//! A preset with a key, and the head of a request under no key.

use super::{NOW, keys};
use hookgate::scheme::{
    Algorithm, Expected, FetchedKey, HeadRef, KeySettings, ListedKeys, NamedSecret, RouteContext, SchemeDescription,
    SignRequest, TimeUnit, UrlOfRoute, Verifier, presets,
};
use hookgate::secret::Secret;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use std::sync::Arc;

/// The value of every claim that a route must state.
pub(super) const EXPECTED: &str = "us";

/// A preset with a key of one algorithm.
pub(super) struct Sender {
    pub(super) verifier: Verifier,
    algorithm: Algorithm,
    /// The text before a signature.
    pub(super) prefix: String,
    /// The fetched key.
    pub(super) key: Option<Arc<FetchedKey>>,
}

/// The keys of a preset that are used in place of its usual ones.
pub(super) struct Alternative {
    pub(super) key_prefix: String,
    pub(super) algorithm: Algorithm,
    pub(super) prefix: String,
}

impl Sender {
    pub(super) fn of(provider: &str, alternative: Option<Alternative>) -> Self {
        let mut row = presets::description(provider).unwrap().clone();
        let own = match row.form_digest {
            Some(_) => Algorithm::Md5,
            None => Algorithm::HmacSha256,
        };
        let signature = row.signature.clone().unwrap_or_default();
        let alternative = alternative.unwrap_or_else(|| Alternative {
            key_prefix: String::new(),
            algorithm: row.algorithm.unwrap_or(own),
            prefix: signature.prefix.unwrap_or_default(),
        });
        let Alternative {
            key_prefix,
            algorithm,
            prefix,
        } = alternative;
        let encoding = row.key.as_ref().and_then(|key| key.encoding);
        let named = NamedSecret {
            name: "k".to_owned(),
            secret: Secret::new((key_prefix + &keys::key_text(algorithm, encoding)).into_bytes()),
        };
        let fetched_id = fetched_id(&row);
        let key = fetched_id.map(|id| {
            let set = FetchedKey::of_set(keys::KEY_SET.as_bytes()).unwrap();
            Arc::new(set.into_iter().find(|key| key.id == id).unwrap())
        });
        // The key of a certificate does the same work as a public key of the configuration.
        let is_certificate = row.keys.as_ref().is_some_and(|keys| keys.certificate.is_some());
        let custom = is_certificate.then(|| {
            row.keys = None;
            row.clone()
        });
        let payload = row.payload.as_deref().unwrap_or_default();
        let required = row.signature_token().into_iter().flat_map(|jwt| jwt.required.clone());
        let names = required.chain(placeholders(payload, "expect:").map(str::to_owned));
        let expect: Expected = names.map(|name| (name, vec![EXPECTED.to_owned()])).collect();
        let lists = match (&key, keys::key_is_public(algorithm)) {
            (Some(_), _) => ListedKeys::default(),
            (None, true) => ListedKeys {
                public_keys: vec![named],
                ..ListedKeys::default()
            },
            (None, false) => ListedKeys {
                secrets: vec![named],
                ..ListedKeys::default()
            },
        };
        let mut key_settings = KeySettings::default();
        if row.keys.as_ref().is_some_and(|keys| keys.plaid.is_some()) {
            key_settings.client_id = Some("id".to_owned());
            key_settings.secret = Some(Secret::new(b"a secret of the account".to_vec()));
        }
        let route = RouteContext {
            url: UrlOfRoute {
                public: (payload.contains("{url}") || row.message.is_some()).then_some("https://h.example/p"),
                credentials: None,
                is_path_fixed: true,
            },
            expect: &expect,
            keys: &key_settings,
        };
        let name = if is_certificate { "custom" } else { provider };
        let verifier = Verifier::for_route(name, custom, lists, &route);
        Self {
            verifier: verifier.unwrap_or_else(|faults| panic!("{provider}: {faults:?}")),
            algorithm,
            prefix,
            key,
        }
    }

    /// Target and header fields.
    pub(super) fn head(&self) -> (String, Vec<(HeaderName, HeaderValue)>) {
        // The most signatures that the preset accepts.
        for count in (1..=8).rev() {
            let (target, fields) = self.head_with(count);
            let headers = fields.iter().cloned().collect();
            let head = HeadRef {
                method: &Method::POST,
                target: &target,
                headers: &headers,
            };
            if self.verifier.present(&head).is_ok() {
                return (target, fields);
            }
        }
        panic!("{}: no head is accepted", self.verifier.name())
    }

    fn head_with(&self, count: usize) -> (String, Vec<(HeaderName, HeaderValue)>) {
        let description = self.verifier.description();
        let signature = description.signature.clone().unwrap_or_default();
        let mut query = Vec::new();
        let mut fields = Vec::new();
        // The sender's side of hookgate writes everything but signatures under public keys.
        let request = SignRequest {
            method: &Method::POST,
            target: "/p",
            delivery_id: Some("id-1"),
            body: b"another body",
        };
        // A token would be the right one.
        let is_token = matches!(self.algorithm, Algorithm::Token | Algorithm::Basic);
        let is_other = is_token || keys::key_is_public(self.algorithm);
        if description.signature_token().is_some() {
            let header = signature
                .header
                .as_ref()
                .map_or("", |names| names.as_slice()[0].as_str());
            let token = format!("{}{}", self.prefix, keys::token(self));
            fields.push((
                HeaderName::try_from(header).unwrap(),
                HeaderValue::try_from(token).unwrap(),
            ));
        } else if let Some(message) = &description.message {
            let components: Vec<String> = message
                .required
                .iter()
                .flatten()
                .map(|name| format!("\"{name}\""))
                .collect();
            let input = format!("sig=({});created={};keyid=\"k\"", components.join(" "), self.now());
            let mut set = |name: &'static str, value: String| {
                fields.push((HeaderName::from_static(name), HeaderValue::try_from(value).unwrap()));
            };
            set("host", "h.example".to_owned());
            set("content-digest", keys::content_digest());
            set("signature-input", input);
            set("signature", format!("sig=:{}:", keys::message_signature()));
        } else if self.algorithm == Algorithm::Basic {
            let value = format!("Basic {}", self.signature());
            fields.push((AUTHORIZATION, HeaderValue::try_from(value).unwrap()));
        } else if let Some(signed) = self.verifier.sign(0, &request, NOW).filter(|_| !is_other) {
            fields = signed;
        } else if let Some(names) = &signature.header {
            let each = format!("{}{}", self.prefix, self.signature());
            let each = signature
                .field
                .as_ref()
                .map_or(each.clone(), |field| format!("{field}={each}"));
            let mut parts = vec![each; if signature.separator.is_some() { count } else { 1 }];
            let time = description.timestamp.clone().unwrap_or_default();
            if let Some(field) = &time.field {
                parts.insert(0, format!("{field}={}", self.now()));
            }
            let separator = signature.separator.unwrap_or(' ').to_string();
            let mut set = |name: &str, value: String| {
                let name = HeaderName::try_from(name).unwrap();
                fields.push((name, HeaderValue::try_from(value).unwrap()));
            };
            set(&names.as_slice()[0], parts.join(&separator));
            if let Some(name) = &time.header {
                set(name, self.now());
            }
            for name in placeholders(description.payload.as_deref().unwrap_or_default(), "header:") {
                set(name, "value-1".to_owned());
            }
            if let Some(name) = description.delivery_id.as_ref().and_then(|id| id.header.as_ref()) {
                set(name, "id-1".to_owned());
            }
        }
        if let Some(name) = &signature.query {
            query.push(format!("{name}={}{}", self.prefix, self.signature()));
        }
        if let Some(name) = description.timestamp.as_ref().and_then(|time| time.query.as_ref()) {
            query.push(format!("{name}={}", self.now()));
        }
        let target = format!("/p{}{}", if query.is_empty() { "" } else { "?" }, query.join("&"));
        (target, fields)
    }

    /// A signature that is well formed and made by no key of ours.
    pub(super) fn signature(&self) -> String {
        keys::signature(self.algorithm, self.verifier.description().encoding)
    }

    /// The time as this preset's sender writes it.
    pub(super) fn now(&self) -> String {
        let unit = self
            .verifier
            .description()
            .timestamp
            .as_ref()
            .and_then(|time| time.unit);
        match unit.unwrap_or(TimeUnit::Seconds) {
            TimeUnit::Seconds => NOW.to_string(),
            TimeUnit::Milliseconds => format!("{NOW}000"),
            TimeUnit::Rfc3339 => "2023-11-14T22:13:20Z".to_owned(),
            TimeUnit::DateTime => "2023-11-14 22:13:20".to_owned(),
            TimeUnit::HttpDate => "Tue, 14 Nov 2023 22:13:20 GMT".to_owned(),
        }
    }
}

/// The id of the fetched key of a preset; `None` where its keys are in the configuration, or those of certificates.
fn fetched_id(row: &SchemeDescription) -> Option<&'static str> {
    let keys = row.keys.as_ref()?;
    // Tokens in the body are verified only once the signature is genuine.
    row.jwt.as_ref().is_none_or(|jwt| !jwt.is_in_body()).then_some(())?;
    match (&keys.jwks, &keys.plaid) {
        (Some(url), _) if !url.is_empty() => Some("rsa"),
        (None, Some(_)) => Some("p256"),
        (Some(_) | None, _) => None,
    }
}

/// The names of the placeholders of this kind.
pub(super) fn placeholders<'p>(payload: &'p str, kind: &'p str) -> impl Iterator<Item = &'p str> {
    let all = payload.split('{').skip(1).filter_map(|part| part.split('}').next());
    all.filter_map(move |part| part.strip_prefix(kind))
}
