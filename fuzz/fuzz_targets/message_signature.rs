//! Any `Signature-Input`, `Signature` and `Content-Digest`, and any target: no panic, and nothing is genuine without the key.
#![no_main]
use bytes::Bytes;
use hookgate::http::message::Headers;
use hookgate::scheme::{Expected, HeadRef, KeySettings, ListedKeys, NamedSecret, RouteContext, UrlOfRoute, Verifier};
use hookgate::secret::Secret;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let description = "signature = { header = 'Signature' }\nmessage = { required = [] }\ntimestamp = { claim = 'created' }";
    let lists = ListedKeys {
        secrets: vec![NamedSecret {
            name: "key".into(),
            secret: Secret::new(b"a key that no input has".to_vec()),
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
    Verifier::for_route("custom", toml::from_str(description).ok(), lists, &route).unwrap()
});

fuzz_target!(|input: (&[u8], &[u8], &[u8], &str, &[u8])| {
    let (signature_input, signature, digest, query, body) = input;
    let fields = [
        ("signature-input", signature_input),
        ("signature", signature),
        ("content-digest", digest),
    ];
    let fields = fields.iter().filter_map(|(name, value)| {
        let value = HeaderValue::from_bytes(value).ok()?;
        Some((HeaderName::from_static(name), value))
    });
    let headers: Headers = fields.collect();
    let target = format!("/in?{query}");
    let head = HeadRef {
        method: &Method::POST,
        target: &target,
        headers: &headers,
    };
    if let Ok(presented) = VERIFIER.present(&head) {
        let mut aged = presented.at_any_time();
        aged.update(body);
        assert!(aged.verify(&[Bytes::copy_from_slice(body)], 0).is_err());
    }
});
