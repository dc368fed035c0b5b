//! Every preset against independent libraries, live and in both directions: hookgate verifies what a library signs, a
//! library verifies what hookgate signs, and both refuse it when a byte is changed. Bodies, secrets and URLs are new in
//! every run.

use crate::support::oracle::{Oracle, Random};
use crate::support::paddle::now;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookgate::outcome::Rejection;
use hookgate::scheme::{HeadRef, NamedSecret, SignRequest, Verified, Verifier, presets};
use hookgate::secret::Secret;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Requests for each provider and library, each verified six times.
const ROUNDS: usize = 20;

/// No library for these was found on npm or PyPI; each with its replacement (`docs/schemes.md`).
const WITHOUT: [(&str, &str); 2] = [("paddle-classic", "PHP 8.2"), ("zendesk", "node:crypto")];

/// Keys of the providers that have a format for them; any text for the others.
fn secret(provider: &str, random: &mut Random) -> String {
    match provider {
        "svix" | "standard-webhooks" | "gitlab" => format!("whsec_{}", STANDARD.encode(random.bytes(24))),
        "adyen" | "adyen-platform" => hex::encode(random.bytes(32)).to_uppercase(),
        "stripe" => format!("whsec_{}", hex::encode(random.bytes(16))),
        "gitlab-token" => hex::encode(random.bytes(16)),
        _ => format!("pdl_ntfset_{}+/ é=", STANDARD.encode(random.bytes(20))),
    }
}

/// A body that the library can read: JSON with the fields that it needs, a form for Twilio.
fn body(provider: &str, random: &mut Random, now: u64) -> String {
    if provider == "twilio" {
        let mut fields: Vec<String> = (0..random.below(6))
            .map(|number| format!("F{}={}", random.below(4) + number * 4, escaped(&random.text(8))))
            .collect();
        fields.push("From=%2B14158675309".into());
        return fields.join("&");
    }
    let event = json!({
        "event": "x", "id": random.next().to_string(), "webhookTimestamp": now * 1000, "meta": { "event_name": "x" },
        "data": random.text(60), "more": { "n": random.next() % 1000, "t": random.text(9) },
    });
    // Zoom's library signs its own serialisation, which is compact; all others take the bytes as they are.
    match (provider, random.below(3)) {
        ("zoom", _) | (_, 0) => event.to_string(),
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

    /// The same request as a question for a library.
    fn question(&self, op: &str, url: &str, body: &str) -> Value {
        let headers: Value = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), Value::from(value.to_str().unwrap())))
            .collect::<serde_json::Map<_, _>>()
            .into();
        json!({ "op": op, "provider": self.provider, "secret": self.key, "url": url, "headers": headers, "body": body, "now": self.now })
    }
}

/// Changes a byte of a value, so that JSON stays JSON.
fn tampered(body: &str) -> String {
    let other = match body.contains("\"event_name\":\"x\"") || body.contains("\"event_name\": \"x\"") {
        true => body.replacen("\"x\"", "\"y\"", 1),
        false => body.replacen("From=%2B1415", "From=%2B1416", 1),
    };
    assert_ne!(other, body);
    other
}

const URLS: [&str; 4] = [
    "https://hooks.example.com/in?a=1&b=%20x",
    "https://hooks.example.com/in/%E6%97%A5?q=a%2Cb%3A%2Fc",
    "https://hooks.example.com/",
    "https://hooks.example.com/in",
];

/// Providers whose signature cannot be made as headers by the holder of the secret: those with public keys, and those
/// whose signature is in the body.
const SIGNED_ELSEWHERE: [&str; 4] = ["sendgrid", "discord", "mailgun", "adyen"];

/// A change of bytes that the signature does not cover cannot be refused.
const UNCOVERED: [&str; 3] = ["mailgun", "adyen", "gitlab-token"];

fn both_ways(oracle: &mut Oracle, name: &str, library: &str, can_sign: bool, random: &mut Random) -> usize {
    let provider = name.split('+').next().unwrap();
    let mut verified = 0;
    for _ in 0..ROUNDS {
        let seed = random.0;
        let shown = format!("{name} by {library}, seed {seed}");
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
        let mut text = body(if name == "twilio+json" { "json" } else { provider }, random, at);
        // The library signs, hookgate verifies.
        if can_sign {
            let mut question = request.question("sign", &url, &text);
            question["provider"] = name.into();
            let signed = oracle.ask(&question);
            for (name, value) in signed["headers"].as_object().unwrap() {
                let name = HeaderName::try_from(name).unwrap();
                request
                    .headers
                    .insert(name, HeaderValue::from_str(value.as_str().unwrap()).unwrap());
            }
            if let Some(made) = signed["body"].as_str() {
                made.clone_into(&mut text);
            }
            if let Some(signed) = signed["url"].as_str() {
                signed.clone_into(&mut url);
            }
            if let Some(key) = signed["public_key"].as_str() {
                key.clone_into(&mut request.key);
            }
        }
        address(&mut request, &url);
        request.body = text.clone().into_bytes();
        if can_sign {
            let got = request.verify(&request.body);
            assert!(got.is_ok(), "{shown}: {got:?} for {text:?}");
            if !UNCOVERED.contains(&provider) {
                assert!(request.verify(tampered(&text).as_bytes()).is_err(), "{shown}");
            }
            verified += 2;
        }
        // hookgate signs, the library verifies.
        if !SIGNED_ELSEWHERE.contains(&provider) && name != "twilio+json" {
            let verifier = request.verifier();
            let signed = SignRequest {
                method: &Method::POST,
                target: &request.target,
                delivery_id: None,
                body: &request.body,
            };
            request.headers = verifier
                .sign(0, &signed, at)
                .unwrap_or_else(|| panic!("{shown} cannot be signed"))
                .into_iter()
                .collect();
            let genuine = oracle.ask(&request.question("verify", &url, &text));
            assert_eq!(genuine["genuine"], true, "{shown}: {genuine} for {text:?}");
            if !UNCOVERED.contains(&provider) {
                let forged = oracle.ask(&request.question("verify", &url, &tampered(&text)));
                assert_eq!(forged["genuine"], false, "{shown} accepts a changed body");
            }
            request.key = secret(provider, random);
            let stranger = oracle.ask(&request.question("verify", &url, &text));
            assert_eq!(stranger["genuine"], false, "{shown} accepts another secret");
            verified += 3;
        }
    }
    verified
}

/// Target and public URL of a provider that signs the URL.
fn address(request: &mut Request, url: &str) {
    let path = url.strip_prefix("https://hooks.example.com").unwrap();
    request.target = path.into();
    if ["twilio", "square", "hubspot-v3"].contains(&request.provider.as_str()) {
        request.public_url = Some("https://hooks.example.com".into());
    }
}

/// The libraries of `tests/oracles/oracle.mjs`.
const NODE: [(&str, &str); 28] = [
    ("paddle", "@paddle/paddle-node-sdk"),
    ("stripe", "stripe"),
    ("calendly", "stripe"),
    ("github", "@octokit/webhooks-methods"),
    ("intercom", "x-hub-signature"),
    ("shopify", "@shopify/shopify-api"),
    ("slack", "@slack/bolt"),
    ("svix", "svix"),
    ("standard-webhooks", "standardwebhooks"),
    ("gitlab", "standardwebhooks"),
    ("twilio", "twilio"),
    ("twilio+json", "twilio"),
    ("sendgrid", "@sendgrid/eventwebhook"),
    ("square", "square"),
    ("zoom", "@zoom/rivet"),
    ("linear", "@linear/sdk"),
    ("discord", "discord-interactions"),
    ("mailgun", "mailgun-js"),
    ("hubspot-v3", "@hubspot/api-client"),
    ("adyen", "@adyen/api-library"),
    ("adyen-platform", "@adyen/api-library"),
    ("lemonsqueezy", "lemonsqueezy-webhooks"),
    ("coinbase-commerce", "coinbase-commerce-node"),
    ("coinbase-cdp", "hook0-client"),
    ("dropbox", "nuxt-webhook-validators"),
    ("vercel", "nuxt-webhook-validators"),
    ("meta", "nuxt-webhook-validators"),
    ("gitlab-token", "nuxt-webhook-validators"),
];

/// The libraries of `tests/oracles/oracle.py`.
const PYTHON: [(&str, &str); 4] = [
    ("paddle", "paddle-python-sdk"),
    ("slack", "slack-sdk"),
    ("typeform", "fastapi-security-typeform"),
    ("meta", "pywa"),
];

fn all(oracle: &mut Oracle, expected: &[(&str, &str)], can_sign: bool) {
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let mut random = Random(seed.as_nanos() as u64);
    let found: BTreeSet<(String, String)> = oracle
        .providers()
        .into_iter()
        .map(|(name, library)| (name, library.rsplit_once(' ').unwrap().0.to_owned()))
        .collect();
    let expected: BTreeSet<_> = expected
        .iter()
        .map(|(name, library)| ((*name).to_owned(), (*library).to_owned()))
        .collect();
    assert_eq!(found, expected);
    for (name, library) in found {
        let verified = both_ways(oracle, &name, &library, can_sign, &mut random);
        assert!(verified >= 2 * ROUNDS, "{name} by {library}: {verified}");
    }
}

#[test]
fn node_libraries_agree_both_ways() {
    all(&mut Oracle::node(&[]), &NODE, true);
}

#[test]
fn python_libraries_agree() {
    all(&mut Oracle::python(), &PYTHON, false);
}

/// A preset that no independent code has verified, or whose proof the documentation does not name, fails here.
#[test]
fn every_preset_has_an_oracle_and_the_documentation_names_it() {
    let docs = include_str!("../../../docs/schemes.md");
    let named = || {
        NODE.iter()
            .chain(&PYTHON)
            .chain(&WITHOUT)
            .map(|(name, library)| (name.split('+').next().unwrap(), *library))
    };
    for (provider, library) in named() {
        assert!(
            presets::names().any(|name| name == provider),
            "{provider} is not a preset"
        );
        let row = docs.lines().find(|line| line.starts_with(&format!("| `{provider}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/schemes.md has no row of {provider}"));
        assert!(row.contains(library), "the row of {provider} does not name {library}");
    }
    for preset in presets::names() {
        assert!(
            named().any(|(provider, _)| provider == preset),
            "no independent library covers {preset}"
        );
    }
}
