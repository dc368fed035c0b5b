//! Published test vectors of all providers, and the rule that every preset has some.

use super::*;
use serde_json::Value;
use std::collections::BTreeSet;

const VECTORS: &str = include_str!("../../../tests/vectors/providers.json");
const ORACLES: [&str; 2] = [
    include_str!("../../../tests/vectors/oracles-npm.json"),
    include_str!("../../../tests/vectors/oracles-pypi.json"),
];

/// Presets that equal another preset except for the name and the delivery id; the other preset's vectors also test
/// them.
const SAME_AS: &[(&str, &str)] = &[("gitlab", "standard-webhooks"), ("meta", "github")];

/// Vectors that are refused for another reason than in the reference, which checks the signature before the time and
/// treats a signature that cannot be decoded as one that does not match.
const OTHER_REASON: &[(&str, Rejection)] = &[
    ("paddle-node-ts-changed", Rejection::TimestampStale),
    ("paddle-node-garbage-sig", Rejection::SignatureMalformed),
    // docs/schemes.md requires every h1 to be 64 hex digits; these have `h1=dummy`. The Python and PHP libraries accept
    // the first of them.
    ("paddle-python-rotation-3-secrets", Rejection::SignatureMalformed),
    ("paddle-python-rotation-secret1-only", Rejection::SignatureMalformed),
    ("paddle-python-rotation-secret2-only", Rejection::SignatureMalformed),
    ("stdwh-v2-ignored", Rejection::SignatureMalformed),
    ("sendgrid-python-bad-ts", Rejection::SignatureMalformed),
    ("square-python-wrong-sig", Rejection::SignatureMalformed),
    ("adyen-header-mismatch", Rejection::SignatureMalformed),
    ("convoy-advanced-t-infinity", Rejection::SignatureMalformed),
    ("convoy-advanced-numeric-signature", Rejection::SignatureMalformed),
    ("generic-sha1-list-none-valid", Rejection::SignatureMalformed),
    ("generic-sha256-list-none-valid", Rejection::SignatureMalformed),
    ("generic-sha512-list-none-valid", Rejection::SignatureMalformed),
];

fn custom(text: &str) -> Option<SchemeDescription> {
    Some(toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

/// The preset of a vector, or the description that an operator would configure.
fn scheme_of(vector: &Value) -> (String, Option<SchemeDescription>) {
    let headers = &vector["headers"];
    let scheme = &vector["scheme"];
    let custom = match vector["provider"].as_str().unwrap() {
        "adyen" if !vector["body"].as_str().unwrap().contains("notificationItems") => custom(
            r#"
            signature = { pointer = "/additionalData/hmacSignature" }
            encoding = "base64"
            key = { encoding = "hex" }
            payload = "{json?:/pspReference}:{json?:/originalReference}:{json?:/merchantAccountCode}:{json?:/merchantReference}:{json?:/amount/value}:{json?:/amount/currency}:{json?:/eventCode}:{json?:/success}"
            any_text = "json?:/merchantReference"
            "#,
        ),
        "adyen-header" => return ("adyen-platform".into(), None),
        "hubspot" if headers["X-HubSpot-Signature-v3"].is_string() => return ("hubspot-v3".into(), None),
        "hubspot" => {
            let payload = match headers["X-HubSpot-Signature-Version"].as_str().unwrap() {
                "v1" => "{secret}{body}",
                _ => "{secret}{method}{url}{body}",
            };
            custom(&format!(
                "signature = {{ header = 'X-HubSpot-Signature' }}\nalgorithm = 'sha256'\npayload = '{payload}'"
            ))
        }
        "convoy" => {
            let hash = scheme["hash"].as_str().unwrap().to_lowercase();
            let encoding = scheme["encoding"].as_str().unwrap();
            let rest = match scheme["advanced"].as_bool().unwrap() {
                true => {
                    "signature = { header = 'X-Convoy-Signature', field = 'v1' }\ntimestamp = { field = 't' }\npayload = '{timestamp},{body}'"
                }
                false => "signature = { header = 'X-Convoy-Signature' }",
            };
            custom(&format!("algorithm = 'hmac-{hash}'\nencoding = '{encoding}'\n{rest}"))
        }
        "generic" => {
            let text = |key: &str| scheme[key].as_str().unwrap();
            custom(&format!(
                "signature = {{ header = '{}', prefix = '{}', separator = '{}' }}\nalgorithm = 'hmac-{}'\nencoding = '{}'",
                text("header"),
                text("prefix"),
                text("list_sep"),
                text("algorithm"),
                text("encoding"),
            ))
        }
        preset => return (preset.to_owned(), None),
    };
    ("custom".into(), custom)
}

/// Verifies one vector as the gateway does.
fn run(vector: &Value) -> Result<Verified, Rejection> {
    let (provider, custom) = scheme_of(vector);
    let secrets: Vec<&str> = match (&vector["secret"], &vector["public_key"]) {
        (Value::Array(list), _) => list.iter().map(|secret| secret.as_str().unwrap()).collect(),
        (Value::String(secret), _) => vec![secret],
        (_, key) => vec![key.as_str().unwrap()],
    };
    let url = vector["url"].as_str();
    let public_url = url.map(|url| url.split('?').next().unwrap().to_owned());
    let target = url
        .and_then(|url| url.split_once('?'))
        .map_or("/".to_owned(), |(_, query)| format!("/?{query}"));
    // HubSpot's first version does not sign the URL, although the vector has one.
    let signs_url = custom
        .as_ref()
        .is_none_or(|custom| custom.payload.as_ref().is_some_and(|p| p.contains("{url}")));
    let verifier = Verifier::new(&provider, custom, keys(&secrets), public_url.filter(|_| signs_url)).unwrap();
    let mut headers = hyper::HeaderMap::new();
    for (name, value) in vector["headers"].as_object().unwrap() {
        headers.insert(
            HeaderName::try_from(name).unwrap(),
            HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
        );
    }
    let method: Method = vector["method"].as_str().unwrap().parse().unwrap();
    let head = HeadRef {
        method: &method,
        target: &target,
        headers: &headers.iter().collect(),
    };
    let now = vector["now"].as_u64().unwrap_or_default();
    verify(
        &verifier,
        &head,
        vector["body"].as_str().unwrap().as_bytes(),
        now,
        vector["tolerance"].as_u64(),
    )
}

fn vectors(text: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(text).unwrap();
    document["vectors"].as_array().unwrap().clone()
}

#[test]
fn published_vectors_have_their_expected_result() {
    let vectors = vectors(VECTORS);
    assert_eq!(vectors.len(), 112);
    let mut others = 0;
    for vector in &vectors {
        let id = vector["id"].as_str().unwrap();
        let got = run(vector);
        if let Some((_, reason)) = OTHER_REASON.iter().find(|(other, _)| *other == id) {
            assert_eq!(got, Err(*reason), "{id}");
            others += 1;
            continue;
        }
        match vector["expect"].as_str().unwrap() {
            "valid" => assert!(got.is_ok(), "{id}: {got:?}"),
            "invalid:missing_header" => assert_eq!(got, Err(Rejection::SignatureMissing), "{id}"),
            "invalid:malformed" | "invalid:bad_timestamp" => {
                assert_eq!(got, Err(Rejection::SignatureMalformed), "{id}");
            }
            "invalid:mismatch" => assert_eq!(got, Err(Rejection::SignatureMismatch), "{id}"),
            "invalid:stale" => {
                assert!(
                    matches!(got, Err(Rejection::TimestampStale | Rejection::TimestampFuture)),
                    "{id}: {got:?}"
                );
            }
            other => panic!("{id}: unknown class {other}"),
        }
    }
    assert_eq!(others, OTHER_REASON.len());
}

/// Requests signed by the providers' own libraries or, where none of them signs, by an implementation in another
/// language. They are accepted, and refused when one byte of the body is changed.
#[test]
fn requests_signed_by_other_implementations_are_accepted() {
    let vectors: Vec<Value> = ORACLES.iter().flat_map(|text| vectors(text)).collect();
    assert!(vectors.len() >= 80);
    for vector in &vectors {
        let id = vector["id"].as_str().unwrap();
        assert!(
            vector["implementation"].as_str().is_some_and(|name| !name.is_empty()),
            "{id}"
        );
        let got = run(vector);
        assert!(got.is_ok(), "{id}: {got:?}");
        let mut tampered = vector.clone();
        let body = vector["body"].as_str().unwrap();
        // A letter inside a value is changed, so that the body is still JSON.
        tampered["body"] = body.replacen("hookgate", "hookgats", 1).into();
        assert_ne!(
            tampered["body"], vector["body"],
            "{id}: the body has no value to tamper with"
        );
        if !vector["unsigned_body"].as_bool().unwrap_or_default() {
            assert!(run(&tampered).is_err(), "{id}");
        }
        if vector["now"].is_u64() {
            let mut late = vector.clone();
            late["now"] = (vector["now"].as_u64().unwrap() + 10_000).into();
            late["tolerance"] = 300.into();
            assert_eq!(run(&late), Err(Rejection::TimestampStale), "{id}");
        }
    }
}

/// A new preset without test vectors fails here.
#[test]
fn every_preset_has_vectors_or_an_independent_implementation() {
    let mut tested: BTreeSet<String> = vectors(VECTORS)
        .iter()
        .chain(&ORACLES.iter().flat_map(|text| vectors(text)).collect::<Vec<_>>())
        .map(|vector| scheme_of(vector).0)
        .collect();
    tested.insert("paddle-classic".into());
    for (name, same) in SAME_AS {
        assert!(tested.contains(*same));
        tested.insert((*name).to_owned());
    }
    // Their tokens and keys are made in every run, with the libraries of tests/it/schemes/token_oracles.
    let is_live = |name: &&str| presets::find(name).is_ok_and(|row| row.jwt.is_some() || row.keys.is_some());
    tested.extend(presets::names().filter(is_live).map(str::to_owned));
    let missing: Vec<_> = presets::names().filter(|name| !tested.contains(*name)).collect();
    assert!(
        missing.is_empty(),
        "presets without vectors or an independent implementation: {missing:?}"
    );
    assert!(presets::names().count() >= 28);
}

/// The presets of [`SAME_AS`] do not differ in what is signed.
#[test]
fn presets_with_shared_vectors_sign_the_same() {
    for (name, same) in SAME_AS {
        let (one, mut two) = (presets::find(name).unwrap(), presets::find(same).unwrap());
        two.alternative = None;
        two.delivery_id.clone_from(&one.delivery_id);
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
    }
}
