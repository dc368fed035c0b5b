//! Descriptions of schemes that are accepted or refused at start, and the sender's side of every preset.

use super::*;
use base64::Engine as _;
use hyper::HeaderMap;

const HMAC_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: u64 = 1_700_000_000;

fn new(description: &str, secret: &str, url: Option<&str>) -> Result<Verifier, Vec<String>> {
    let custom = toml::from_str(description).unwrap_or_else(|error| panic!("{description}: {error}"));
    Verifier::new("custom", Some(custom), keys(&[secret]), url.map(str::to_owned))
}

/// The example of docs/schemes.md, with a signature made by another implementation.
#[test]
fn the_documented_example_works() {
    let docs = include_str!("../../../docs/schemes.md");
    let example = docs
        .split_once("[route.custom]\n")
        .unwrap()
        .1
        .split_once("```")
        .unwrap()
        .0;
    let verifier = new(example, "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", None).unwrap();
    let key = base64::engine::general_purpose::STANDARD
        .decode("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0")
        .unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA512, &key);
    let signed = b"POST /hooks/acme\n1700000000123\nd-1\n{\"a\":1}";
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed));
    let mut headers = HeaderMap::new();
    headers.insert(
        "x-acme-signature",
        format!("time=1700000000123; sig=s1:{signature}; sig=s1:")
            .parse()
            .unwrap(),
    );
    headers.insert("x-acme-delivery", "d-1".parse().unwrap());
    let head = HeadRef {
        method: &Method::POST,
        target: "/hooks/acme?x=1",
        headers: &headers.iter().collect(),
    };
    let verified = verify(&verifier, &head, b"{\"a\":1}", NOW, Some(60)).unwrap();
    assert_eq!(verified.timestamp, Some(NOW));
    assert_eq!(verifier.default_tolerance(), Some(Duration::from_secs(120)));
    assert_eq!(verifier.signature_headers(), ["x-acme-signature", "x-acme-delivery"]);
    assert_eq!(verifier.delivery_id(&head, &[]).as_deref(), Some(&b"d-1"[..]));
    assert_eq!(
        verify(&verifier, &head, b"{\"a\":2}", NOW, Some(60)),
        Err(Rejection::SignatureMismatch)
    );
}

#[test]
fn all_faults_are_reported_at_once_and_say_what_to_write() {
    let faults = new(
        "signature = { field = 'v1' }\ntimestamp = {}\ntolerance = 'soon'\npayload = '{bodi}'\ndelivery_id = {}\nkey = { encoding = 'base64' }",
        "not base64!",
        Some("example.com"),
    )
    .unwrap_err();
    assert_eq!(faults.len(), 7, "{faults:#?}");
    for (description, secret, url, hint) in [
        ("", "a secret", None, "`signature` is the location"),
        ("signature = { header = 'a b' }", "s", None, "not a header name"),
        (
            "signature = { header = 'S', separator = 'x' }",
            "s",
            None,
            "`signature.separator` cannot be `x`",
        ),
        (
            "signature = { header = 'S' }\npayload = '{url}'",
            "s",
            None,
            "public_url",
        ),
        (
            "signature = { header = 'S' }",
            "s",
            Some("https://a.example"),
            "remove it",
        ),
        (
            "signature = { header = 'S' }\ntolerance = '5s'",
            "s",
            None,
            "`tolerance` needs a time",
        ),
        (
            "signature = { header = 'S' }\ntimestamp = { header = 'T' }\ntolerance = '0s'",
            "s",
            None,
            "no tolerance",
        ),
        (
            "signature = { header = 'S' }\ntimestamp = { field = 't' }",
            "s",
            None,
            "`timestamp` is the location",
        ),
        (
            "signature = { header = 'S' }\npayload = '{field:h}'",
            "s",
            None,
            "the signature header's list",
        ),
        (
            "signature = { header = 'S' }\npayload = '{secret}{body}'",
            "s",
            None,
            "needs `{secret}`",
        ),
        (
            "signature = { header = 'S' }\nalgorithm = 'md5'",
            "s",
            None,
            "needs `{secret}`",
        ),
        (
            "signature = { header = 'S' }\nalgorithm = 'token'\npayload = '{body}'",
            "s",
            None,
            "A token signs nothing",
        ),
        (
            "signature = { header = 'S' }\nalgorithm = 'ed25519'",
            "s",
            None,
            "not an Ed25519 public key",
        ),
        (
            "signature = { header = 'S' }\nkey = { encoding = 'hex' }",
            "xyz",
            None,
            "not hex",
        ),
        (
            "signature = { header = 'S' }\nkey = { prefix = 'whsec_' }",
            "whsec_",
            None,
            "after its prefix",
        ),
        (
            "signature = { header = 'S' }\nform_digest = {}",
            "s",
            None,
            "`form_digest` includes",
        ),
        ("form_digest = { algorithm = 'hmac-sha256' }", "s", None, "one of `md5`"),
        ("signature = { header = 'S' }", " ", None, "is empty"),
    ] {
        let faults = new(description, secret, url).unwrap_err();
        assert!(
            faults.iter().any(|fault| fault.contains(hint)),
            "{description}: {faults:#?}"
        );
        assert!(faults.iter().all(|fault| fault.ends_with(['.', '?'])), "{faults:#?}");
    }
    assert!(toml::from_str::<SchemeDescription>("signatur = { header = 'S' }").is_err());
    for (provider, described, hint) in [
        ("custom", false, "[route.custom]"),
        ("stripe", true, "`provider = \"custom\"`"),
        ("strip", false, "did you mean `stripe`?"),
        ("Git_Hub", false, "did you mean `github`?"),
        ("qqq", false, "write one of `adyen`, "),
    ] {
        let faults =
            Verifier::new(provider, described.then(SchemeDescription::default), keys(&["s"]), None).unwrap_err();
        assert!(faults[0].contains(hint), "{faults:?}");
    }
    // Presets that sign the URL report that it is missing.
    assert!(Verifier::new("twilio", None, keys(&["s"]), None).unwrap_err()[0].contains("public_url = \"https://"));
}

#[test]
fn warnings_describe_the_weaknesses_of_a_scheme() {
    let long = "a-secret-that-is-long-enough-for-anybody";
    let of = |provider: &str, secret: &str| Verifier::new(provider, None, keys(&[secret]), None).unwrap();
    assert_eq!(of("paddle", long).warnings(), [""; 0]);
    assert_eq!(of("github", long).warnings(), [""; 0]);
    assert!(!of("github", long).has_timestamp());
    assert!(of("mailgun", long).warnings()[0].contains("does not sign the whole body"));
    assert!(of("gitlab-token", long).warnings()[0].contains("signs nothing"));
    assert!(of("intercom", long).warnings()[0].contains("HMAC-SHA1"));
    assert!(new("form_digest = {}", long, None).unwrap().warnings()[0].contains("MD5"));
    for (algorithm, expected) in [("sha1", "SHA-1"), ("sha256", "append")] {
        let description =
            format!("signature = {{ header = 'S' }}\nalgorithm = '{algorithm}'\npayload = '{{secret}}{{body}}'");
        assert!(new(&description, long, None).unwrap().warnings()[0].contains(expected));
    }
}

/// Every preset that can be signed with a secret verifies its own request and refuses a changed one.
#[test]
fn presets_verify_what_they_sign() {
    let body = format!("{{\"event_id\":\"e\",\"webhookTimestamp\":{NOW}000}}");
    let mut signed = Vec::new();
    for provider in presets::names() {
        if presets::takes_public_keys(provider) || presets::fetches_keys(provider) {
            continue;
        }
        let secret = example_secret(provider);
        let verifier = Verifier::new(provider, None, keys(&[secret]), example_url(provider)).unwrap();
        let request = SignRequest {
            method: &Method::POST,
            target: "/h%3Ak?a=1",
            delivery_id: Some("id-1"),
            body: body.as_bytes(),
        };
        let Some(fields) = verifier.sign(0, &request, NOW) else {
            assert!(
                ["mailgun", "adyen", "figma", "ms-graph"].contains(&provider),
                "{provider}"
            );
            continue;
        };
        assert_eq!(Some(&fields[0].0), verifier.signature_headers().first(), "{provider}");
        let headers: Headers = fields.into_iter().collect();
        let head = HeadRef {
            method: &Method::POST,
            target: "/h%3Ak?a=1",
            headers: &headers,
        };
        let verified =
            verify(&verifier, &head, body.as_bytes(), NOW, Some(5)).unwrap_or_else(|e| panic!("{provider}: {e:?}"));
        assert_eq!(
            verified.timestamp,
            verifier.has_timestamp().then_some(NOW),
            "{provider}"
        );
        let other = verify(&verifier, &head, body.replace("e\"", "f\"").as_bytes(), NOW, Some(5));
        if verifier.coverage() == Coverage::Part {
            assert_eq!((other.is_ok(), verifier.coverage()), (true, Coverage::Part));
        } else {
            assert_eq!(other, Err(Rejection::SignatureMismatch), "{provider}");
        }
        if verifier.has_timestamp() {
            assert_eq!(
                verify(&verifier, &head, body.as_bytes(), NOW + 6, Some(5)),
                Err(Rejection::TimestampStale)
            );
            assert_eq!(
                verify(&verifier, &head, body.as_bytes(), NOW - 6, Some(5)),
                Err(Rejection::TimestampFuture)
            );
            assert!(verify(&verifier, &head, body.as_bytes(), NOW * 2, None).is_ok());
        }
        // Of several signature headers, the sender sets the first.
        let sent = HeaderMap::from(&headers);
        for name in verifier
            .signature_headers()
            .iter()
            .filter(|name| sent.contains_key(*name))
        {
            let mut changed = HeaderMap::from(&headers);
            let refused = |headers: &HeaderMap| {
                let headers = &headers.iter().collect();
                verifier.present(&HeadRef { headers, ..head }).unwrap_err()
            };
            changed.append(name, "x".parse().unwrap());
            assert_eq!(refused(&changed), Rejection::SignatureMalformed, "{provider} {name}");
            changed.remove(name);
            assert_eq!(refused(&changed), Rejection::SignatureMissing, "{provider} {name}");
        }
        signed.push(provider);
    }
    assert!(signed.len() >= 70, "{signed:?}");
}

/// A time inside the body is checked with the tolerance that [`Presented::age`] got.
#[test]
fn a_time_in_the_body_is_checked_at_the_end() {
    let verifier = Verifier::new("linear", None, keys(&[HMAC_KEY]), None).unwrap();
    let body = format!("{{\"webhookTimestamp\":{NOW}000}}");
    let request = SignRequest {
        method: &Method::POST,
        target: "/",
        delivery_id: None,
        body: body.as_bytes(),
    };
    let headers: Headers = verifier.sign(0, &request, NOW).unwrap().into_iter().collect();
    let head = HeadRef {
        method: &Method::POST,
        target: "/",
        headers: &headers,
    };
    for (now, expected) in [(NOW + 60, Ok(Some(NOW))), (NOW + 61, Err(Rejection::TimestampStale))] {
        let tolerance = verifier.default_tolerance().map(|tolerance| tolerance.as_secs());
        let mut aged = verifier.present(&head).unwrap().age(now, tolerance).unwrap();
        aged.update(body.as_bytes());
        let got = aged
            .verify(&[Bytes::from(body.clone())], now)
            .map(|verified| verified.timestamp);
        assert_eq!(got, expected);
    }
}

/// SHA-1 of the values and the secret, in every order that the options allow.
#[test]
fn form_digests_follow_their_options() {
    let sha1 = |text: &str| {
        hex::encode(aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
            text.as_bytes(),
        ))
    };
    let headers = Headers::default();
    let fields = "b=2&a=1+x&skip=z";
    for (options, signed) in [
        ("", "21 xzKEY"),
        (", fields = 'sorted'", "1 x2zKEY"),
        (
            ", fields = 'sorted', leave_out = ['skip'], separator = '|'",
            "1 x|2|KEY",
        ),
        (
            ", fields = ['a', 'none', 'b'], separator = ',', secret_position = 'first'",
            "KEY,1 x,,2",
        ),
    ] {
        let description = format!("form_digest = {{ hash_field = 'hash', algorithm = 'sha1'{options} }}");
        let verifier = new(&description, "KEY", None).unwrap();
        let form = format!("{fields}&hash={}", sha1(signed));
        let post = HeadRef {
            method: &Method::POST,
            target: "/",
            headers: &headers,
        };
        let verified = verify(&verifier, &post, form.as_bytes(), 0, None).unwrap();
        let target = format!("/?{form}");
        let get = HeadRef {
            method: &Method::GET,
            target: &target,
            headers: &headers,
        };
        assert_eq!(verify(&verifier, &get, b"", 0, None), Ok(verified));
        assert_eq!(
            verify(&verifier, &post, form.replace("b=2", "b=3").as_bytes(), 0, None),
            Err(Rejection::SignatureMismatch)
        );
        assert_eq!(
            verify(&verifier, &post, format!("b=3&{form}").as_bytes(), 0, None),
            Err(Rejection::SignatureMalformed)
        );
        assert_eq!(
            verify(&verifier, &post, fields.as_bytes(), 0, None),
            Err(Rejection::SignatureMissing)
        );
    }
}

/// A signature must not be read from a body that two readers understand differently.
#[test]
fn bodies_that_two_readers_could_read_differently_are_refused() {
    let verifier = Verifier::new("mailgun", None, keys(&[HMAC_KEY]), None).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, HMAC_KEY.as_bytes());
    let signature = hex::encode(aws_lc_rs::hmac::sign(&key, format!("{NOW}tok").as_bytes()));
    let headers = Headers::default();
    let head = HeadRef {
        method: &Method::POST,
        target: "/",
        headers: &headers,
    };
    let inner = format!("\"timestamp\":\"{NOW}\",\"token\":\"tok\",\"signature\":\"{signature}\"");
    let verdict = |body: String| verify(&verifier, &head, body.as_bytes(), NOW, Some(5)).map(drop);
    assert_eq!(verdict(format!("{{\"signature\":{{{inner}}}}}")), Ok(()));
    for body in [
        format!("{{\"signature\":{{}},\"signature\":{{{inner}}}}}"),
        format!("{{\"signature\":{{{inner},\"token\":\"tok\"}}}}"),
        format!("{{\"signature\":{{{inner}}}}} x"),
        format!("{{\"signature\":{{{inner},\"Token\":\"other\"}}}}"),
        format!("{{\"signature\":{{{inner}}},\"\u{17f}ignature\":{{}}}}"),
    ] {
        assert_eq!(verdict(body.clone()), Err(Rejection::SignatureMalformed), "{body}");
    }
    assert_eq!(verdict("{}".into()), Err(Rejection::SignatureMissing));
    // Adyen signs one item, so a second item would be unsigned.
    let adyen = Verifier::new("adyen", None, keys(&["44782DEF547AAA06C910C43932B1EB0C"]), None).unwrap();
    let two = r#"{"notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":"AA=="}}},{}]}"#;
    assert_eq!(
        verify(&adyen, &head, two.as_bytes(), 0, None),
        Err(Rejection::SignatureMalformed)
    );
}
