//! A key has a kind, and every algorithm takes one kind: what is refused at start, and what is said about it.

use super::*;
use crate::scheme::UrlOfRoute;
use crate::scheme::strength::Weakness;

const HMAC_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// SPKI of an Ed25519 key, of RFC 8410.
const SPKI: &str = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

/// Compiles a scheme with one key in one of the two lists, and returns its faults.
fn faults_of(provider: &str, list: KeyList, key: &str) -> Vec<String> {
    let named = vec![NamedSecret {
        name: "k".to_owned(),
        secret: Secret::new(key.into()),
    }];
    let lists = match list {
        KeyList::Secrets => ListedKeys {
            secrets: named,
            ..ListedKeys::default()
        },
        KeyList::PublicKeys => ListedKeys {
            public_keys: named,
            ..ListedKeys::default()
        },
    };
    let url = presets::signs_url(provider).then_some("https://hooks.example.com");
    let url = UrlOfRoute {
        public: url,
        credentials: None,
        is_path_fixed: true,
    };
    let route = RouteContext {
        url,
        expect: &Expected::new(),
        keys: &KeySettings::default(),
    };
    let faults = Verifier::for_route(provider, None, lists, &route)
        .err()
        .unwrap_or_default();
    assert!(faults.iter().all(|fault| fault.key == Some(0)), "{faults:?}");
    faults.into_iter().map(|fault| fault.text).collect()
}

/// Whoever knows a public key could otherwise sign with it.
#[test]
fn a_public_key_is_never_the_secret_of_a_mac() {
    let raw = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{SPKI}\n-----END PUBLIC KEY-----");
    for provider in presets::names().filter(|name| !presets::fetches_keys(name)) {
        if presets::takes_public_keys(provider) {
            let faults = faults_of(provider, KeyList::Secrets, &pem);
            assert!(faults[0].contains("move it to `public_keys`"), "{provider}: {faults:?}");
            continue;
        }
        // Message signatures have secrets or public keys, each in its own list.
        if presets::description(provider).is_some_and(|row| row.message.is_some()) {
            let faults = faults_of(provider, KeyList::Secrets, &pem);
            assert!(
                faults[0].contains("everyone who knows that key could sign"),
                "{faults:?}"
            );
            let faults = faults_of(provider, KeyList::PublicKeys, HMAC_KEY);
            assert!(faults[0].contains("public key"), "{faults:?}");
            continue;
        }
        for key in [raw, &pem, SPKI, HMAC_KEY] {
            let faults = faults_of(provider, KeyList::PublicKeys, key);
            assert!(faults[0].contains("`secrets`"), "{provider}: {faults:?}");
        }
        for key in [
            &pem,
            SPKI,
            &pem.replace("PUBLIC KEY", "PRIVATE KEY"),
            "whpk_AAAA",
            "whsk_AAAA",
        ] {
            let faults = faults_of(provider, KeyList::Secrets, key);
            assert_eq!(faults.len(), 1, "{provider} {key}: {faults:?}");
            assert!(
                ["`secrets`", "`public_keys`"]
                    .iter()
                    .any(|list| faults[0].contains(list)),
                "{provider}: {faults:?}"
            );
        }
        // The lists are not known to `hookgate sign`; the text of the key still is.
        assert!(
            Verifier::new(provider, None, keys(&[&pem]), None).is_err(),
            "{provider}"
        );
    }
    // What the prefix or the encoding hides is recognised too.
    let hidden = format!("whsec_{SPKI}");
    assert!(faults_of("svix", KeyList::Secrets, &hidden)[0].contains("a public key in another notation"));
    let hidden = hex::encode(&pem);
    assert!(faults_of("adyen", KeyList::Secrets, &hidden)[0].contains("a public key in another notation"));
    // The right kind is accepted.
    let key = format!("whpk_{raw}");
    assert_eq!(faults_of("standard-webhooks", KeyList::PublicKeys, &key), [""; 0]);
    assert_eq!(
        faults_of("svix", KeyList::Secrets, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        [""; 0]
    );
}

#[test]
fn what_is_no_public_key_says_how_to_get_one() {
    for (key, hint) in [
        ("-----BEGIN PRIVATE KEY-----", "openssl pkey"),
        ("-----BEGIN CERTIFICATE-----", "openssl x509"),
        ("whsec_AAAAAAAA", "shared secret"),
        (
            "0000000000000000000000000000000000000000000000000000000000000000",
            "not an Ed25519 public key",
        ),
        (
            "0100000000000000000000000000000000000000000000000000000000000000",
            "not an Ed25519 public key",
        ),
    ] {
        let faults = faults_of("discord", KeyList::PublicKeys, key);
        assert!(faults[0].contains(hint), "{key}: {faults:?}");
    }
}

/// A long text may decode to a short or constant key. The configuration judges the text itself.
#[test]
fn strength_is_judged_after_decoding() {
    let placeholder = hex::encode("your-webhook-secret");
    for (provider, key, expected) in [
        ("svix", "whsec_AAAAAAAAAAAAAAAAAAA=", Some(Weakness::Placeholder)),
        ("adyen", &placeholder, Some(Weakness::Placeholder)),
        ("svix", "whsec_MfKQ9r8GKYqrTwjUPD8ILA==", Some(Weakness::Short)),
        (
            "svix",
            "whsec_YWJjYWJjYWJjYWJjYWJjYWJjYWJjYWJj",
            Some(Weakness::FewDifferentBytes(3)),
        ),
        ("svix", HMAC_KEY, None),
        ("paddle", HMAC_KEY, None),
    ] {
        let verifier = Verifier::new(provider, None, keys(&[key]), None).unwrap();
        let weak: Vec<_> = verifier.weak_keys().iter().map(|(_, weakness)| *weakness).collect();
        assert_eq!(weak, Vec::from_iter(expected), "{provider} {key}");
    }
}

/// Ed25519 hashes the whole body for each signature, so one request may have two of them, as a rotation needs.
#[test]
fn at_most_two_signatures_are_tried_that_each_cost_a_hash_of_the_body() {
    let key = "whpk_Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    let verifier = Verifier::new("standard-webhooks", None, keys(&[key, HMAC_KEY]), None).unwrap();
    let verdict = |signatures: &[&str]| {
        let headers = [
            ("webhook-id", "msg_1".to_owned()),
            ("webhook-timestamp", "1700000000".to_owned()),
            ("webhook-signature", signatures.join(" ")),
        ];
        let named = |(name, value): (&'static str, String)| {
            (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap())
        };
        let headers = headers.into_iter().map(named).collect();
        let head = HeadRef {
            method: &Method::POST,
            target: "/",
            headers: &headers,
        };
        verify(&verifier, &head, b"{}", 1_700_000_000, Some(5)).unwrap_err()
    };
    assert_eq!(verdict(&["v1a,AA==", "v1a,AQ=="]), Rejection::SignatureMismatch);
    assert_eq!(
        verdict(&["v1a,AA==", "v1a,AQ==", "v1a,Ag=="]),
        Rejection::SignatureMalformed
    );
    assert_eq!(
        verdict(&["v1a,AA==", "v1,AQ==", "v1,Ag==", "v1,Aw=="]),
        Rejection::SignatureMismatch
    );
}
