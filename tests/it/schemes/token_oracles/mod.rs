//! Presets with tokens, and with published keys, against independent libraries. Bodies and keys are new in every run.

mod certificates;

use crate::support::oracle::{Oracle, Random};
use crate::support::paddle::now;
use bytes::Bytes;
use hookgate::http::message::Headers;
use hookgate::outcome::Rejection;
use hookgate::scheme::facts;
use hookgate::scheme::{
    Expected, FetchedKey, HeadRef, KeySettings, KeySource, ListedKeys, NamedSecret, RouteContext, SignRequest,
    UrlOfRoute, Verified, Verifier, WantedKey, presets,
};
use hookgate::secret::Secret;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The libraries of `tests/oracles/tokens.mjs`.
const TOKENS: [(&str, &str); 13] = [
    ("netlify", "nuxt-webhook-validators"),
    ("vonage", "@vonage/jwt"),
    ("livekit", "livekit-server-sdk"),
    ("atlassian-connect", "atlassian-jwt"),
    ("fusionauth", "jose"),
    ("google-pubsub", "jose"),
    ("azure-event-grid", "jose"),
    ("ms-graph", "jose"),
    ("plaid", "jose"),
    ("fusionauth+published", "jose"),
    ("aws-sns", "sns-validator"),
    ("http-signatures", "http-message-signatures"),
    ("http-signatures+public", "http-message-signatures"),
];

/// The libraries of `tests/oracles/tokens.py`.
const PYTHON_TOKENS: [(&str, &str); 3] = [
    ("google-pubsub", "google-auth"),
    ("http-signatures", "http-message-signatures"),
    ("paypal", "cryptography"),
];

const SECRET: &str = "a secret of more than 32 bytes, for tokens";
const CERTIFICATE_URL: &str = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem";

/// A route of this provider, as its configuration would say it.
fn verifier(provider: &str, secret: Option<&str>, keys: &KeySettings) -> Verifier {
    let expected = |pairs: &[(&str, &str)]| -> Expected {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]))
            .collect()
    };
    let expect = match provider {
        "livekit" => expected(&[("iss", "key")]),
        "google-pubsub" => expected(&[("aud", "audience"), ("email", "push@example.iam.gserviceaccount.com")]),
        "azure-event-grid" => expected(&[
            ("aud", "audience"),
            ("iss", "https://login.microsoftonline.com/tenant/v2.0"),
        ]),
        "paypal" => expected(&[("webhook_id", "WH-1")]),
        _ => Expected::new(),
    };
    let secrets = secret.map(|secret| NamedSecret {
        name: "key".into(),
        secret: Secret::new(secret.as_bytes().to_vec()),
    });
    let lists = ListedKeys {
        secrets: secrets.into_iter().collect(),
        ..ListedKeys::default()
    };
    let route = RouteContext {
        url: UrlOfRoute {
            public: presets::signs_url(provider).then_some("https://hooks.example.com"),
            ..UrlOfRoute::default()
        },
        expect: &expect,
        keys,
    };
    Verifier::for_route(provider, None, lists, &route).unwrap()
}

/// Verifies a request at `at`, with this fetched key.
fn verify(
    verifier: &Verifier,
    target: &str,
    headers: &Headers,
    body: &str,
    key: Option<&Arc<FetchedKey>>,
    at: u64,
) -> Result<Verified, Rejection> {
    let head = HeadRef {
        method: &Method::POST,
        target,
        headers,
    };
    let tolerance = verifier.default_tolerance().map(|tolerance| tolerance.as_secs());
    let mut aged = verifier.present(&head)?.age(at, tolerance)?;
    let pieces = [Bytes::copy_from_slice(body.as_bytes())];
    if let Some(key) = key {
        let wanted = aged.wanted_key(Some(&pieces))?;
        assert_eq!(wanted, WantedKey::Id(key.id.clone()));
        aged.use_key(key.clone());
    }
    aged.update(body.as_bytes());
    aged.verify(&pieces, at)
}

fn headers(answer: &Value) -> Headers {
    let pairs = answer["headers"].as_object().unwrap_or_else(|| panic!("{answer}"));
    let pairs = pairs.iter().map(|(name, value)| {
        let name = HeaderName::try_from(name).unwrap();
        (name, HeaderValue::from_str(value.as_str().unwrap()).unwrap())
    });
    pairs.collect()
}

fn event(random: &mut Random) -> String {
    json!({ "event": "x", "id": random.next().to_string(), "text": random.text(40) }).to_string()
}

#[test]
fn libraries_are_those_that_the_documentation_names() {
    let oracles = [
        (Oracle::tokens(), &TOKENS[..], "npm"),
        (Oracle::python_tokens(), &PYTHON_TOKENS[..], "PyPI"),
    ];
    for (mut oracle, expected, registry) in oracles {
        let libraries = oracle.libraries().into_iter();
        let found: BTreeSet<(String, String)> = libraries.map(|library| (library.provider, library.name)).collect();
        for (name, library) in expected {
            let provider = name.split('+').next().unwrap();
            let judges = &facts::find(provider).unwrap().judges;
            assert!(judges.contains(&format!("{registry} {library}")), "{name}: {judges:?}");
        }
        let named = expected
            .iter()
            .map(|(name, library)| ((*name).to_owned(), (*library).to_owned()));
        assert_eq!(found, named.collect());
    }
}

#[test]
fn tokens_with_a_shared_secret_agree_both_ways() {
    let (node, python) = (&mut Oracle::tokens(), &mut Oracle::python_tokens());
    let mut random = Random(now());
    for (provider, in_python) in [
        ("netlify", false),
        ("vonage", false),
        ("livekit", false),
        ("atlassian-connect", false),
        ("fusionauth", false),
        ("http-signatures", false),
        ("http-signatures", true),
    ] {
        let oracle: &mut Oracle = if in_python { python } else { node };
        for round in 0..10 {
            let (body, at) = (event(&mut random), now());
            let target = *random.of(&["/in", "/in?b=2&a=%20x+y&a=1", "/in/?q=%C3%A9*~&jwt=t", "/a%26b/c"]);
            let url = format!("https://hooks.example.com{target}");
            let ask = |op: &str, secret: &str, headers: Value, body: &str| json!({ "op": op, "provider": provider, "secret": secret, "url": url, "headers": headers, "body": body, "now": at });
            let ours = verifier(provider, Some(SECRET), &KeySettings::default());
            let other = verifier(
                provider,
                Some("another secret of more than 32 bytes"),
                &KeySettings::default(),
            );
            let theirs = headers(&oracle.ask(&ask("sign", SECRET, json!({}), &body)));
            let shown = format!("{provider} {round} {target}");
            assert!(verify(&ours, target, &theirs, &body, None, at).is_ok(), "{shown}");
            assert_eq!(
                verify(&other, target, &theirs, &body, None, at),
                Err(Rejection::SignatureMismatch),
                "{shown}"
            );
            let changed = body.replace("\"x\"", "\"y\"");
            // Atlassian's token covers method, path and query, and not the body.
            if provider == "atlassian-connect" {
                let moved = format!("/y{target}");
                assert_eq!(
                    verify(&ours, &moved, &theirs, &body, None, at),
                    Err(Rejection::SignatureMismatch),
                    "{shown}"
                );
            } else {
                assert_eq!(
                    verify(&ours, target, &theirs, &changed, None, at),
                    Err(Rejection::SignatureMismatch),
                    "{shown}"
                );
            }
            let request = SignRequest {
                method: &Method::POST,
                target,
                delivery_id: None,
                body: body.as_bytes(),
            };
            let signed = ours.sign(0, &request, at).unwrap();
            let own: Value = signed
                .iter()
                .map(|(name, value)| (name.to_string(), Value::from(value.to_str().unwrap())))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let genuine = oracle.ask(&ask("verify", SECRET, own.clone(), &body));
            assert_eq!(genuine["genuine"], true, "{shown}: {genuine}");
            let stranger = oracle.ask(&ask(
                "verify",
                "another secret of more than 32 bytes",
                own.clone(),
                &body,
            ));
            assert_eq!(stranger["genuine"], false, "{shown}");
            if provider != "atlassian-connect" {
                let forged = oracle.ask(&ask("verify", SECRET, own, &changed));
                assert_eq!(forged["genuine"], false, "{shown}");
            }
        }
    }
}

#[test]
fn tokens_with_published_keys_agree() {
    let (node, python) = (&mut Oracle::tokens(), &mut Oracle::python_tokens());
    let mut random = Random(now());
    for (name, in_python) in [
        ("google-pubsub", false),
        ("google-pubsub", true),
        ("azure-event-grid", false),
        ("plaid", false),
        ("fusionauth+published", false),
    ] {
        let oracle: &mut Oracle = if in_python { python } else { node };
        let provider = name.split('+').next().unwrap();
        for _ in 0..6 {
            let (body, at) = (event(&mut random), now());
            let settings = KeySettings {
                url: (provider == "fusionauth").then(|| "https://auth.example.com/jwks.json".into()),
                client_id: (provider == "plaid").then(|| "client".into()),
                secret: (provider == "plaid").then(|| Secret::new(b"secret".to_vec())),
                ..KeySettings::default()
            };
            let ours = verifier(provider, None, &settings);
            let sign = |oracle: &mut Oracle| {
                let question = json!({ "op": "sign", "provider": name, "secret": "", "url": "", "headers": {}, "body": body, "now": at });
                let answer = oracle.ask(&question);
                let source: &KeySource = ours.key_source().unwrap();
                let kid = answer["kid"].as_str().unwrap();
                let keys = source.parse(source.document(kid), answer["keys"].as_str().unwrap().as_bytes(), at);
                (headers(&answer), Arc::new(keys.unwrap().remove(0)))
            };
            let (theirs, key) = sign(oracle);
            assert!(verify(&ours, "/in", &theirs, &body, Some(&key), at).is_ok(), "{name}");
            // Google and Microsoft do not sign the body.
            if ["plaid", "fusionauth"].contains(&provider) {
                let changed = body.replace("\"x\"", "\"y\"");
                let got = verify(&ours, "/in", &theirs, &changed, Some(&key), at);
                assert_eq!(got, Err(Rejection::SignatureMismatch), "{name}");
            }
            if provider != "fusionauth" {
                let late = verify(&ours, "/in", &theirs, &body, Some(&key), at + 4_000);
                assert_eq!(late, Err(Rejection::TimestampStale), "{name}");
                let early = verify(&ours, "/in", &theirs, &body, Some(&key), at - 4_000);
                assert_eq!(early, Err(Rejection::TimestampFuture), "{name}");
            }
            // The same id with another key, as after a theft of the name.
            let (_, other) = sign(oracle);
            let head = HeadRef {
                method: &Method::POST,
                target: "/in",
                headers: &theirs,
            };
            let mut aged = ours.present(&head).unwrap().at_any_time();
            aged.use_key(other);
            aged.update(body.as_bytes());
            let got = aged.verify(&[Bytes::copy_from_slice(body.as_bytes())], at);
            assert_eq!(got, Err(Rejection::SignatureMismatch), "{name}");
            // Without a key nothing is genuine.
            let mut aged = ours.present(&head).unwrap().at_any_time();
            aged.update(body.as_bytes());
            let got = aged.verify(&[Bytes::copy_from_slice(body.as_bytes())], at);
            assert_eq!(got, Err(Rejection::SignatureMismatch), "{name}");
        }
    }
}

/// The tokens of rich notifications of Microsoft Graph, in both of Microsoft's versions.
#[test]
fn tokens_in_the_body_agree() {
    let mut oracle = Oracle::tokens();
    let graph = |audience: &str| {
        let expect: Expected = [("aud".to_owned(), vec![audience.to_owned()])].into();
        let lists = ListedKeys {
            secrets: vec![NamedSecret {
                name: "key".into(),
                secret: Secret::new(SECRET.as_bytes().to_vec()),
            }],
            ..ListedKeys::default()
        };
        let route = RouteContext {
            url: UrlOfRoute::default(),
            expect: &expect,
            keys: &KeySettings::default(),
        };
        Verifier::for_route("ms-graph", None, lists, &route).unwrap()
    };
    let at = now();
    let sign = |oracle: &mut Oracle, publisher: &str| {
        let mut question = json!({ "op": "sign", "provider": "ms-graph", "secret": SECRET, "url": "", "headers": {}, "body": "", "now": at });
        if !publisher.is_empty() {
            question["publisher"] = publisher.into();
        }
        let answer = oracle.ask(&question);
        let body = answer["body"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        let verifier = graph("audience");
        let source = verifier.key_source().unwrap();
        let keys = source
            .parse("", answer["keys"].as_str().unwrap().as_bytes(), at)
            .unwrap();
        (body, keys.into_iter().map(Arc::new).collect::<Vec<_>>())
    };
    let none = Headers::default();
    let verify = |ours: &Verifier, body: &str, keys: &[Arc<FetchedKey>], at: u64| {
        let head = HeadRef {
            method: &Method::POST,
            target: "/in",
            headers: &none,
        };
        let mut aged = ours.present(&head)?.age(at, None)?;
        let pieces = [Bytes::copy_from_slice(body.as_bytes())];
        assert_eq!(aged.wanted_key(None)?, WantedKey::InBody);
        let mut asked = 0;
        while let WantedKey::Id(id) = aged.wanted_key(Some(&pieces))? {
            let key = keys.iter().find(|key| key.id == id).ok_or(Rejection::KeyUnknown)?;
            aged.use_key(key.clone());
            asked += 1;
        }
        assert_eq!(asked, 2);
        aged.update(body.as_bytes());
        aged.verify(&pieces, at)
    };
    for _ in 0..4 {
        let (body, keys) = sign(&mut oracle, "");
        let ours = graph("audience");
        assert!(verify(&ours, &body, &keys, at).is_ok(), "{body}");
        let refused = |changed: &str, expected| {
            assert_ne!(changed, body);
            assert_eq!(verify(&ours, changed, &keys, at), Err(expected), "{changed}");
        };
        // Without the right text no key is asked for.
        refused(
            &body.replace(SECRET, "another text of a stranger"),
            Rejection::SignatureMismatch,
        );
        refused(
            &body.replacen(SECRET, "another text of a stranger", 1),
            Rejection::SignatureMismatch,
        );
        refused(&body.replace("validationTokens", "tokens"), Rejection::SignatureMissing);
        let start = body.find("\"validationTokens\":[").unwrap() + 20;
        refused(&format!("{}]}}", &body[..start]), Rejection::SignatureMissing);
        refused(
            &format!("{}\"a.b.c\",{}", &body[..start], &body[start..]),
            Rejection::SignatureMalformed,
        );
        assert_eq!(
            verify(&graph("other"), &body, &keys, at),
            Err(Rejection::SignatureMismatch)
        );
        assert_eq!(verify(&ours, &body, &keys, at + 4_000), Err(Rejection::TimestampStale));
        assert_eq!(verify(&ours, &body, &keys, at - 4_000), Err(Rejection::TimestampFuture));
        // A token of another application of Microsoft's customers.
        let (body, keys) = sign(&mut oracle, "11111111-2222-3333-4444-555555555555");
        assert_eq!(verify(&ours, &body, &keys, at), Err(Rejection::SignatureMismatch));
        // The ids of the keys with other keys.
        let (body, keys) = sign(&mut oracle, "");
        let swapped = [(0, 1), (1, 0)].map(|(name, key)| (keys[name].id.clone(), keys[key].clone()));
        let head = HeadRef {
            method: &Method::POST,
            target: "/in",
            headers: &none,
        };
        let mut aged = ours.present(&head).unwrap().at_any_time();
        let pieces = [Bytes::copy_from_slice(body.as_bytes())];
        while let WantedKey::Id(id) = aged.wanted_key(Some(&pieces)).unwrap() {
            let (_, key) = swapped.iter().find(|(name, _)| *name == id).unwrap();
            aged.use_key(key.clone());
        }
        assert_eq!(aged.verify(&pieces, at), Err(Rejection::SignatureMismatch));
        // Without keys nothing is genuine.
        let aged = ours.present(&head).unwrap().at_any_time();
        assert_eq!(aged.verify(&pieces, at), Err(Rejection::SignatureMismatch));
    }
}

/// Every algorithm with a public key, as the operator writes it and as it is published.
#[test]
fn message_signatures_of_every_algorithm_agree() {
    let mut oracle = Oracle::tokens();
    let mut random = Random(now());
    let algorithms = [
        "ed25519",
        "ecdsa-p256-sha256",
        "ecdsa-p384-sha384",
        "rsa-pss-sha512",
        "rsa-v1_5-sha256",
    ];
    for (round, algorithm) in algorithms.iter().cycle().take(15).enumerate() {
        let (body, at) = (event(&mut random), now());
        let target = *random.of(&["/in", "/in?b=2&a=%20x+y&a=1", "/in/?q=%C3%A9*~", "/a%26b/c?"]);
        let url = format!("https://hooks.example.com{target}");
        let fields: &[&str] = [
            &["@method", "@target-uri", "content-digest"] as &[&str],
            &[
                "@method",
                "@authority",
                "@path",
                "@query",
                "content-digest",
                "content-type",
            ],
            &["content-digest", "@query", "@path", "@authority", "@scheme", "@method"],
        ][round % 3];
        let parameters: &[&str] = [
            &["created", "keyid"] as &[&str],
            &["created", "keyid", "alg", "expires", "nonce"],
        ][round % 2];
        let answer = oracle.ask(&json!({
            "op": "sign", "provider": "http-signatures+public", "secret": "", "url": url, "headers": {}, "body": body, "now": at,
            "algorithm": algorithm, "fields": fields, "parameters": parameters,
        }));
        let signed = headers(&answer);
        let pem = answer["public"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let lists = ListedKeys {
            public_keys: vec![NamedSecret {
                name: "key".into(),
                secret: Secret::new(pem.as_bytes().to_vec()),
            }],
            ..ListedKeys::default()
        };
        let route = RouteContext {
            url: UrlOfRoute {
                public: Some("https://hooks.example.com"),
                ..UrlOfRoute::default()
            },
            expect: &Expected::new(),
            keys: &KeySettings::default(),
        };
        let configured = Verifier::for_route("http-signatures", None, lists, &route).unwrap();
        let settings = KeySettings {
            url: Some("https://keys.example.com/jwks.json".into()),
            ..KeySettings::default()
        };
        let published = verifier("http-signatures", None, &settings);
        let source = published.key_source().unwrap();
        let keys = source.parse("", answer["keys"].as_str().unwrap().as_bytes(), at);
        let key = Arc::new(keys.unwrap().remove(0));
        for (ours, key) in [(&configured, None), (&published, Some(&key))] {
            let shown = format!("{algorithm} {fields:?} {parameters:?} {target}");
            let got = verify(ours, target, &signed, &body, key, at);
            assert!(got.is_ok(), "{shown}: {got:?}");
            let changed = body.replace("\"x\"", "\"y\"");
            let got = verify(ours, target, &signed, &changed, key, at);
            assert_eq!(got, Err(Rejection::SignatureMismatch), "{shown}");
            let moved = verify(ours, &format!("/y{target}"), &signed, &body, key, at);
            assert_eq!(moved, Err(Rejection::SignatureMismatch), "{shown}");
            let late = verify(ours, target, &signed, &body, key, at + 4_000);
            assert_eq!(late, Err(Rejection::TimestampStale), "{shown}");
        }
    }
}

#[test]
fn every_preset_with_fetched_keys_is_proven_here() {
    for preset in presets::names() {
        let fetches = presets::description(preset).is_some_and(|row| row.jwt.is_some() || row.keys.is_some());
        let fetches = fetches || presets::description(preset).is_some_and(|row| row.message.is_some());
        let is_named = TOKENS
            .iter()
            .chain(&PYTHON_TOKENS)
            .any(|(name, _)| name.split('+').next() == Some(preset));
        assert!(!fetches || is_named, "{preset}");
    }
}
