//! Every preset against independent libraries, live and in both directions: hookgate verifies what a library signs, a
//! library verifies what hookgate signs, and both refuse it when a byte is changed. Bodies, secrets and URLs are new in
//! every run.

use crate::support::oracle::{Library, Oracle, Random};
use crate::support::paddle::now;
use crate::support::tools::repository;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookgate::outcome::Rejection;
use hookgate::scheme::{Algorithm, HeadRef, KeyEncoding, NamedSecret, SignRequest, Verified, Verifier, facts, presets};
use hookgate::secret::Secret;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Requests for each provider and library, each verified six times.
const ROUNDS: usize = 20;

/// Keys in the format of the preset.
fn secret(provider: &str, random: &mut Random) -> String {
    let row = presets::description(provider).unwrap();
    let key = row.key.clone().unwrap_or_default();
    let prefix = key.prefix.as_ref().map_or("", |prefix| &prefix.as_slice()[0]);
    match (row.algorithm, key.encoding) {
        (Some(Algorithm::Token), _) => hex::encode(random.bytes(16)),
        (Some(Algorithm::Basic), _) => format!("user:{}", hex::encode(random.bytes(16))),
        (_, Some(KeyEncoding::Base64)) => format!("{prefix}{}", STANDARD.encode(random.bytes(24))),
        (_, Some(KeyEncoding::Hex)) => hex::encode(random.bytes(32)).to_uppercase(),
        _ if ASCII_SECRETS.contains(&provider) => hex::encode(random.bytes(20)),
        _ => format!("{prefix}pdl_ntfset_{}+/ é=", STANDARD.encode(random.bytes(20))),
    }
}

/// A body that the library can read: JSON with the fields that it needs, a form for Twilio.
fn body(provider: &str, random: &mut Random, now: u64) -> String {
    if FORMS.contains(&provider) {
        let mut fields: Vec<String> = (0..random.below(6))
            .map(|number| format!("F{}={}", random.below(4) + number * 4, escaped(&random.text(8))))
            .collect();
        fields.push("From=%2B14158675309&Note=hookgate".into());
        return fields.join("&");
    }
    let is_ascii = ASCII_BODIES.contains(&provider);
    let text = |longest: usize, random: &mut Random| match is_ascii {
        true => random.text(longest).replace(|c: char| !c.is_ascii(), "?"),
        false => random.text(longest),
    };
    let event = json!({
        "about": "hookgate", "event": "x", "id": random.next().to_string(), "webhookTimestamp": now * 1000, "meta": { "event_name": "x" },
        "data": text(60, random), "more": { "n": random.next() % 1000, "t": text(9, random) },
    });
    match (provider, random.below(3)) {
        _ if COMPACT.contains(&provider) => event.to_string(),
        (_, 0) => event.to_string(),
        (_, 1) => format!("{event:#}\r\n"),
        _ => format!(" {event}\n"),
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

struct Request {
    provider: String,
    key: String,
    public_url: Option<String>,
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
    now: u64,
}

impl Request {
    fn verifier(&self) -> Verifier {
        let key = NamedSecret {
            name: "key".into(),
            secret: Secret::new(self.key.clone().into_bytes()),
        };
        Verifier::new(&self.provider, None, vec![key], self.public_url.clone()).unwrap()
    }

    fn verify(&self, body: &[u8]) -> Result<Verified, Rejection> {
        let verifier = self.verifier();
        let head = HeadRef {
            method: &Method::POST,
            target: &self.target,
            headers: &self.headers.iter().collect(),
        };
        let presented = verifier.present(&head)?;
        let mut aged = presented.age(
            self.now,
            verifier.default_tolerance().map(|tolerance| tolerance.as_secs()),
        )?;
        aged.update(body);
        aged.verify(&[Bytes::copy_from_slice(body)], self.now)
    }

    /// hookgate accepts the request, and refuses it with another body. Returns the number of checks.
    fn is_accepted_and_a_changed_body_is_not(&self, text: &str, shown: &str) -> usize {
        let got = self.verify(&self.body);
        assert!(got.is_ok(), "{shown}: {got:?} for {text:?}, {:?}", self.headers);
        if covers_body(&self.provider) {
            assert!(self.verify(tampered(text).as_bytes()).is_err(), "{shown}");
        }
        2
    }

    /// The request in the format of `tests/vectors/providers.json`.
    fn record(&self, library: &Library, url: &str, body: &str) -> Value {
        let headers = self.headers.iter();
        let headers: serde_json::Map<_, _> = headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
            .collect();
        let tolerance = self.verifier().default_tolerance().map(|tolerance| tolerance.as_secs());
        let key = match presets::takes_public_keys(&self.provider) {
            true => "public_key",
            false => "secret",
        };
        let mut vector = json!({
            "id": library.provider, "kind": "generated", "provider": self.provider, "method": "POST",
            "implementation": format!("{} {}", library.name, library.version),
            key: self.key, "headers": headers, "body": body, "now": tolerance.map(|_| self.now), "tolerance": tolerance,
        });
        if self.public_url.is_some() {
            vector["url"] = url.into();
        }
        if !covers_body(&self.provider) {
            vector["unsigned_body"] = true.into();
        }
        vector
    }

    /// The same request as a question for a library.
    fn question(&self, op: &str, library: &Library, url: &str, body: &str) -> Value {
        let headers: Value = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), Value::from(value.to_str().unwrap())))
            .collect::<serde_json::Map<_, _>>()
            .into();
        json!({ "op": op, "provider": library.provider, "secret": self.key, "url": url, "headers": headers, "body": body, "now": self.now })
    }
}

/// Changes a byte of a value, so that JSON stays JSON.
fn tampered(body: &str) -> String {
    let other = body.replacen("hookgate", "hookgats", 1);
    assert_ne!(other, body);
    other
}

const URLS: [&str; 4] = [
    "https://hooks.example.com/in?a=1&b=%20x",
    "https://hooks.example.com/in/%E6%97%A5?q=a%2Cb%3A%2Fc",
    "https://hooks.example.com/",
    "https://hooks.example.com/in",
];

/// Providers that send forms.
const FORMS: [&str; 2] = ["twilio", "mandrill"];

/// Libraries that parse the body and verify their own serialisation of it, which is compact.
const COMPACT: [&str; 4] = ["zoom", "workos", "crisp", "feishu"];

/// Libraries that take a body of ASCII only.
const ASCII_BODIES: [&str; 1] = ["airtable"];

/// Libraries that take a secret of ASCII only, or change another one.
const ASCII_SECRETS: [&str; 3] = ["mandrill", "easypost", "viber"];

/// A change of bytes that the signature does not cover cannot be refused.
fn covers_body(provider: &str) -> bool {
    let row = presets::description(provider).unwrap();
    let is_token = matches!(row.algorithm, Some(Algorithm::Token | Algorithm::Basic));
    !is_token && !["mailgun", "adyen"].contains(&provider)
}

/// One library with one provider: what it signs or accepts, hookgate accepts, and the reverse. Returns a request on which
/// both agree.
fn both_ways(oracle: &mut Oracle, library: &Library, random: &mut Random) -> Value {
    let provider = library.provider.split('+').next().unwrap();
    let mut recorded = Value::Null;
    let mut verified = 0;
    for _ in 0..ROUNDS {
        let shown = format!("{} by {}, seed {}", library.provider, library.name, random.0);
        let at = now();
        let mut url = (*random.of(&URLS)).to_owned();
        let mut request = Request {
            provider: provider.into(),
            key: secret(provider, random),
            public_url: None,
            target: "/".into(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            now: at,
        };
        let kind = if library.provider.ends_with("+json") {
            "json"
        } else {
            provider
        };
        let mut text = body(kind, random, at);
        // The library signs, hookgate verifies.
        if library.signs {
            let signed = oracle.ask(&request.question("sign", library, &url, &text));
            for (name, value) in signed["headers"].as_object().unwrap() {
                let name = HeaderName::try_from(name).unwrap();
                let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
                request.headers.insert(name, value);
            }
            for (of, into) in [("body", &mut text), ("url", &mut url), ("public_key", &mut request.key)] {
                if let Some(made) = signed[of].as_str() {
                    made.clone_into(into);
                }
            }
        }
        address(&mut request, &url);
        request.body = text.clone().into_bytes();
        if library.signs {
            verified += request.is_accepted_and_a_changed_body_is_not(&text, &shown);
            if recorded.is_null() {
                recorded = request.record(library, &url, &text);
            }
        }
        // hookgate signs, the library verifies.
        let signed = SignRequest {
            method: &Method::POST,
            target: &request.target,
            delivery_id: None,
            body: &request.body,
        };
        let Some(headers) = request.verifier().sign(0, &signed, at) else {
            continue;
        };
        if library.provider.contains('+') && library.signs {
            continue;
        }
        request.headers = headers.into_iter().collect();
        verified += request.is_accepted_and_a_changed_body_is_not(&text, &shown);
        let genuine = oracle.ask(&request.question("verify", library, &url, &text));
        assert_eq!(
            genuine["genuine"], true,
            "{shown}: {genuine} for {text:?}, {:?}",
            request.headers
        );
        if covers_body(provider) {
            let forged = oracle.ask(&request.question("verify", library, &url, &tampered(&text)));
            assert_eq!(forged["genuine"], false, "{shown} accepts a changed body");
        }
        if recorded.is_null() {
            recorded = request.record(library, &url, &text);
        }
        request.key = secret(provider, random);
        let stranger = oracle.ask(&request.question("verify", library, &url, &text));
        assert_eq!(stranger["genuine"], false, "{shown} accepts another secret");
        verified += 3;
    }
    assert!(verified >= 2 * ROUNDS, "{library:?}: {verified}");
    recorded
}

/// Target and public URL of a provider that signs the URL.
fn address(request: &mut Request, url: &str) {
    let path = url.strip_prefix("https://hooks.example.com").unwrap();
    request.target = path.into();
    if presets::signs_url(&request.provider) {
        request.public_url = Some("https://hooks.example.com".into());
    }
}

/// Checks every library of an oracle, and that the facts name each of them and no other.
fn all(oracle: &mut Oracle, registry: &str) -> Vec<Value> {
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let mut random = Random(seed.as_nanos() as u64);
    let libraries = oracle.libraries();
    let found: BTreeSet<(String, String)> = libraries
        .iter()
        .map(|library| {
            let provider = library.provider.split('+').next().unwrap();
            (provider.to_owned(), judge(registry, &library.name))
        })
        .collect();
    let expected: BTreeSet<_> = judges()
        .filter(|(_, judge)| judge.starts_with(registry) || (registry == "npm " && *judge == "node:crypto"))
        .filter(|(provider, _)| !is_judged_elsewhere(provider))
        .map(|(provider, judge)| (provider.to_owned(), judge.to_owned()))
        .collect();
    assert_eq!(found, expected);
    let mut recorded = Vec::new();
    let mut failed = Vec::new();
    for library in &libraries {
        // All disagreements are reported together.
        let outcome = catch_unwind(AssertUnwindSafe(|| both_ways(oracle, library, &mut random)));
        match outcome {
            Ok(request) => recorded.push(request),
            Err(_) => failed.push(&library.provider),
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
    recorded
}

/// A library as the facts name it.
fn judge(registry: &str, library: &str) -> String {
    match library {
        "node:crypto" => library.to_owned(),
        _ => format!("{registry}{library}"),
    }
}

/// Every preset with each of its judges.
fn judges() -> impl Iterator<Item = (&'static str, &'static str)> {
    presets::names().flat_map(|name| {
        let judges = &facts::find(name).unwrap().judges;
        judges.iter().map(move |judge| (name, judge.as_str()))
    })
}

/// Whether the tests of tokens ask the libraries of this preset.
fn is_judged_elsewhere(provider: &str) -> bool {
    presets::description(provider).is_some_and(|row| row.jwt.is_some() || row.keys.is_some())
}

#[test]
fn node_libraries_agree_both_ways() {
    record("npm", all(&mut Oracle::node(&[]), "npm "));
}

#[test]
fn python_libraries_agree() {
    record("pypi", all(&mut Oracle::python(), "PyPI "));
}

/// With `UPDATE_LISTS=1`, writes one request for each library, for the tests that run without the libraries.
fn record(registry: &str, requests: Vec<Value>) {
    if std::env::var_os("UPDATE_LISTS").is_none() {
        return;
    }
    let requests: Vec<Value> = requests.into_iter().filter(|request| !request.is_null()).collect();
    let document = json!({
        "format": "as providers.json; implementation: who signed or accepted it. Made by UPDATE_LISTS=1 cargo test --test it libraries_agree",
        "vectors": requests,
    });
    let path = repository(&format!("tests/vectors/oracles-{registry}.json"));
    std::fs::write(path, format!("{document:#}\n")).unwrap();
}

/// A preset that no independent code has verified fails here. One that only the provider's documents support is counted
/// apart.
#[test]
fn eighty_presets_have_a_judge_and_sixty_of_them_more_than_documents() {
    let mut documents_only = 0;
    let mut proven = 0;
    for name in presets::names() {
        let judges = &facts::find(name).unwrap().judges;
        assert!(!judges.is_empty(), "no independent code has verified {name}");
        match judges.iter().any(|judge| judge != "node:crypto") {
            true => proven += 1,
            false => documents_only += 1,
        }
    }
    println!("{proven} presets are proven by other code, {documents_only} by documents only");
    assert!(proven + documents_only >= LEAST_PRESETS, "{proven} + {documents_only}");
    assert!(proven >= LEAST_PROVEN, "{proven}");
}
const LEAST_PRESETS: usize = 120;
const LEAST_PROVEN: usize = 78;
