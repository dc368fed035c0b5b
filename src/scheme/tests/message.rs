//! Message signatures: the published vectors of RFC 9421 (appendix B.2), and requests that must be refused.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256, Sha512};

const AT: u64 = 1_618_884_473;
const BODY: &str = r#"{"hello": "world"}"#;
const DIGEST: &str =
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
const TARGET: &str = "/foo?param=Value&Pet=dog";
const SECRET: &str = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
const RSA_PSS: &str = concat!(
    "-----BEGIN PUBLIC KEY-----\n",
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x",
    "28Rw3Ry53mm+oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd1",
    "1nqqzi+bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d+nb4bnNkQVklLQ3fVAvJm",
    "+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI2wIDAQAB\n",
    "-----END PUBLIC KEY-----\n"
);
const ED25519: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n";

/// Appendix B.2.1 to B.2.3, B.2.5 and B.2.6: label, parameters and components, signature, key.
const VECTORS: [(&str, &str, &str, &str); 5] = [
    (
        "sig-b21",
        r#"();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
        "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==",
        RSA_PSS,
    ),
    (
        "sig-b22",
        r#"("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
        "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==",
        RSA_PSS,
    ),
    (
        "sig-b23",
        r#"("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
        "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==",
        RSA_PSS,
    ),
    (
        "sig-b25",
        r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
        "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
        SECRET,
    ),
    (
        "sig-b26",
        r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
        ED25519,
    ),
];

/// A verifier with a description below `message = { … }`, for one key.
fn custom(message: &str, key: &str, expect: &[(&str, &str)]) -> Verifier {
    let text = format!(
        "signature = {{ header = \"Signature\" }}\nmessage = {{ {message} }}\ntimestamp = {{ claim = \"created\" }}\nkey = {{ encoding = \"base64\" }}\n"
    );
    let lists = match key.starts_with("-----") {
        true => ListedKeys {
            public_keys: keys(&[key]),
            ..ListedKeys::default()
        },
        false => ListedKeys {
            secrets: keys(&[key]),
            ..ListedKeys::default()
        },
    };
    let expect: Expected = expect
        .iter()
        .map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]))
        .collect();
    let route = RouteContext {
        url: UrlOfRoute {
            public: Some("https://example.com"),
            ..UrlOfRoute::default()
        },
        expect: &expect,
        keys: &KeySettings::default(),
    };
    Verifier::for_route("custom", Some(toml::from_str(&text).unwrap()), lists, &route).unwrap()
}

fn head_of(input: &str, signature: &str) -> Vec<(&'static str, String)> {
    vec![
        ("host", "other.example".to_owned()),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("content-digest", DIGEST.to_owned()),
        ("content-length", "18".to_owned()),
        ("signature-input", input.to_owned()),
        ("signature", signature.to_owned()),
    ]
}

fn check(
    verifier: &Verifier,
    target: &str,
    pairs: &[(&'static str, String)],
    body: &str,
) -> Result<Verified, Rejection> {
    check_at(verifier, target, pairs, body, AT)
}

fn check_at(
    verifier: &Verifier,
    target: &str,
    pairs: &[(&'static str, String)],
    body: &str,
    at: u64,
) -> Result<Verified, Rejection> {
    let headers: Headers = pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    let head = HeadRef {
        method: &Method::POST,
        target,
        headers: &headers,
    };
    super::verify(verifier, &head, body.as_bytes(), at, Some(300))
}

/// Signs with HMAC as RFC 9421 says, independently of the code under test: `lines` are those before `@signature-params`.
fn signed(label: &str, lines: &[(&str, &str)], parameters: &str) -> (String, String) {
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    let input = format!("({}){parameters}", names.join(" "));
    let mut base = String::new();
    for (name, value) in lines {
        base.push_str(&format!("{name}: {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {input}"));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &STANDARD.decode(SECRET).unwrap());
    let code = STANDARD.encode(aws_lc_rs::hmac::sign(&key, base.as_bytes()));
    (format!("{label}={input}"), format!("{label}=:{code}:"))
}

const ALL: [(&str, &str); 5] = [
    ("\"@method\"", "POST"),
    ("\"@authority\"", "example.com"),
    ("\"@path\"", "/foo"),
    ("\"@query\"", "?param=Value&Pet=dog"),
    ("\"content-digest\"", DIGEST),
];

#[test]
fn the_vectors_of_rfc_9421_verify_and_every_change_is_seen() {
    for (label, input, signature, key) in VECTORS {
        let verifier = custom("required = []", key, &[]);
        let pairs = head_of(&format!("{label}={input}"), &format!("{label}=:{signature}:"));
        let verified = check(&verifier, TARGET, &pairs, BODY).unwrap_or_else(|reason| panic!("{label}: {reason:?}"));
        assert_eq!(verified.timestamp, Some(AT));
        for (name, from, to) in [
            ("date", "02:07:55", "02:07:56"),
            ("content-type", "json", "text"),
            ("signature-input", "created=1618884473", "created=1618884474"),
            ("signature-input", "keyid=\"t", "keyid=\"T"),
        ] {
            let mut changed = pairs.clone();
            let one = changed.iter_mut().find(|(found, _)| *found == name).unwrap();
            one.1 = one.1.replace(from, to);
            let is_covered = name == "signature-input" || input.contains(&format!("\"{name}\""));
            assert_eq!(
                check(&verifier, TARGET, &changed, BODY).is_err(),
                is_covered,
                "{label} {name}"
            );
        }
        let moved = check(&verifier, "/foo?param=Value&Pet=cat", &pairs, BODY);
        assert_eq!(moved.is_err(), input.contains("@query"), "{label}");
        let elsewhere = check(&verifier, "/bar?param=Value&Pet=dog", &pairs, BODY);
        assert_eq!(elsewhere.is_err(), input.contains("@path"), "{label}");
        // A stated hash that is wrong is refused whether it is covered or not.
        assert!(
            check(&verifier, TARGET, &pairs, "{\"hello\": \"there\"}").is_err(),
            "{label}"
        );
    }
}

#[test]
fn a_signature_must_cover_what_the_route_requires() {
    let verifier = custom("", SECRET, &[]);
    let try_lines = |lines: &[(&str, &str)], target: &str, body: &str| {
        let (input, signature) = signed("s", lines, ";created=1618884473");
        check(&verifier, target, &head_of(&input, &signature), body)
    };
    assert!(try_lines(&ALL, TARGET, BODY).is_ok());
    for (left_out, component) in ALL.into_iter().enumerate() {
        let mut some = ALL.to_vec();
        some.remove(left_out);
        assert_eq!(
            try_lines(&some, TARGET, BODY),
            Err(Rejection::SignatureMalformed),
            "{component:?}"
        );
    }
    // What contains a component stands for it.
    let whole = [
        ("\"@method\"", "POST"),
        ("\"@target-uri\"", "https://example.com/foo?param=Value&Pet=dog"),
        ("\"content-digest\"", DIGEST),
    ];
    assert!(try_lines(&whole, TARGET, BODY).is_ok());
    let request_target = [ALL[0], ALL[1], ("\"@request-target\"", TARGET), ALL[4]];
    assert!(try_lines(&request_target, TARGET, BODY).is_ok());
    // One parameter does not stand for the query, and the parts of a digest that nobody checks do not stand for the body.
    let parameter = [ALL[0], ALL[1], ALL[2], ("\"@query-param\";name=\"Pet\"", "dog"), ALL[4]];
    assert_eq!(try_lines(&parameter, TARGET, BODY), Err(Rejection::SignatureMalformed));
    // Without a query nothing of it must be covered.
    let without = [ALL[0], ALL[1], ALL[2], ALL[4]];
    assert!(try_lines(&without, "/foo", BODY).is_ok());
    assert_eq!(try_lines(&without, "/foo?", BODY), Err(Rejection::SignatureMalformed));
}

#[test]
fn the_body_is_bound_by_hashes_that_are_checked_and_covered() {
    let verifier = custom("", SECRET, &[]);
    let sha256 = STANDARD.encode(Sha256::digest(BODY));
    let sha512 = STANDARD.encode(Sha512::digest(BODY));
    let try_digest = |field: &str, identifier: &str, value: &str| {
        let lines = [ALL[0], ALL[1], ALL[2], ALL[3], (identifier, value)];
        let (input, signature) = signed("s", &lines, ";created=1618884473");
        let mut pairs = head_of(&input, &signature);
        pairs.iter_mut().find(|(name, _)| *name == "content-digest").unwrap().1 = field.to_owned();
        check(&verifier, TARGET, &pairs, BODY)
    };
    let both = format!("sha-256=:{sha256}:, sha-512=:{sha512}:");
    assert!(try_digest(&both, "\"content-digest\"", &both).is_ok());
    let one = format!(":{sha256}:");
    assert!(try_digest(&both, "\"content-digest\";key=\"sha-256\"", &one).is_ok());
    let spaced = format!("sha-256=:{sha256}:,   sha-512=:{sha512}:");
    assert!(try_digest(&spaced, "\"content-digest\";sf", &both).is_ok());
    let bytes = format!(":{}:", STANDARD.encode(&both));
    assert!(try_digest(&both, "\"content-digest\";bs", &bytes).is_ok());
    // Weak hashes, and one that is wrong beside one that is right.
    let weak = "md5=:Sd/dVLAcvNLSq16eXua5uQ==:, unixsum=:AAA=:";
    assert_eq!(
        try_digest(weak, "\"content-digest\"", weak),
        Err(Rejection::SignatureMalformed)
    );
    let member = format!("{weak}, sha-256=:{sha256}:");
    let got = try_digest(&member, "\"content-digest\";key=\"md5\"", ":Sd/dVLAcvNLSq16eXua5uQ==:");
    assert_eq!(got, Err(Rejection::SignatureMalformed));
    let wrong = format!("sha-256=:{sha256}:, sha-512=:{}:", STANDARD.encode([0; 64]));
    assert_eq!(
        try_digest(&wrong, "\"content-digest\"", &wrong),
        Err(Rejection::SignatureMismatch)
    );
    let text = format!("sha-256=\"{sha256}\"");
    assert_eq!(
        try_digest(&text, "\"content-digest\"", &text),
        Err(Rejection::SignatureMalformed)
    );
}

#[test]
fn a_message_without_a_body_needs_no_digest_and_gets_no_body() {
    let verifier = custom("", SECRET, &[]);
    let (input, signature) = signed("s", &ALL[..4], ";created=1618884473");
    let mut pairs = head_of(&input, &signature);
    pairs.retain(|(name, _)| *name != "content-digest");
    assert_eq!(check(&verifier, TARGET, &pairs, ""), Err(Rejection::SignatureMalformed));
    pairs.iter_mut().find(|(name, _)| *name == "content-length").unwrap().1 = "0".to_owned();
    assert!(check(&verifier, TARGET, &pairs, "").is_ok());
    assert_eq!(
        check(&verifier, TARGET, &pairs, BODY),
        Err(Rejection::SignatureMismatch)
    );
}

#[test]
fn parameters_are_judged() {
    let expect = [("tag", "orders"), ("keyid", "k")];
    let verifier = custom("", SECRET, &expect);
    let try_parameters = |parameters: &str, at: u64| {
        let (input, signature) = signed("s", &ALL, parameters);
        check_at(&verifier, TARGET, &head_of(&input, &signature), BODY, at)
    };
    let usual = ";created=1618884473;keyid=\"k\";tag=\"orders\"";
    assert!(try_parameters(usual, AT).is_ok());
    assert!(try_parameters(&format!("{usual};alg=\"hmac-sha256\";nonce=\"n\";x"), AT).is_ok());
    assert_eq!(try_parameters(usual, AT + 301), Err(Rejection::TimestampStale));
    assert_eq!(try_parameters(usual, AT - 301), Err(Rejection::TimestampFuture));
    let expiring = format!("{usual};expires=1618884500");
    assert!(try_parameters(&expiring, 1_618_884_500).is_ok());
    assert_eq!(try_parameters(&expiring, 1_618_884_501), Err(Rejection::TimestampStale));
    for (parameters, reason) in [
        (";created=1618884473;keyid=\"k\"", Rejection::SignatureMismatch),
        (
            ";created=1618884473;keyid=\"other\";tag=\"orders\"",
            Rejection::SignatureMismatch,
        ),
        (";keyid=\"k\";tag=\"orders\"", Rejection::SignatureMalformed),
        (";created=-1;keyid=\"k\";tag=\"orders\"", Rejection::SignatureMalformed),
        (
            ";created=\"1618884473\";keyid=\"k\";tag=\"orders\"",
            Rejection::SignatureMalformed,
        ),
        (
            ";created=1618884473;expires=1618884472;keyid=\"k\";tag=\"orders\"",
            Rejection::SignatureMalformed,
        ),
    ] {
        assert_eq!(try_parameters(parameters, AT), Err(reason), "{parameters}");
    }
    // The algorithm belongs to the key.
    for (alg, reason) in [
        ("ed25519", Rejection::SignatureMismatch),
        ("none", Rejection::SignatureMalformed),
        ("HMAC-SHA256", Rejection::SignatureMalformed),
    ] {
        let got = try_parameters(&format!("{usual};alg=\"{alg}\""), AT);
        assert_eq!(got, Err(reason), "{alg}");
    }
}

#[test]
fn components_that_a_request_does_not_have_are_refused() {
    let verifier = custom("", SECRET, &[]);
    for (name, value) in [
        ("\"@status\"", "200"),
        ("\"@method\";req", "POST"),
        ("\"date\";tr", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("\"x-absent\"", ""),
        ("\"Date\"", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("\"date\";sf", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("\"content-digest\";key=\"absent\"", ""),
        ("\"@query-param\";name=\"absent\"", ""),
        ("\"@method\"", "POST"),
        ("\"@signature-params\"", ""),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    ] {
        let lines: Vec<_> = ALL.into_iter().chain([(name, value)]).collect();
        let (input, signature) = signed("s", &lines, ";created=1618884473");
        let got = check(&verifier, TARGET, &head_of(&input, &signature), BODY);
        let reason = match name {
            "\"x-absent\"" => Rejection::SignatureMissing,
            _ => Rejection::SignatureMalformed,
        };
        assert_eq!(got, Err(reason), "{name}");
    }
    let twice = [
        ALL[0],
        ALL[1],
        ALL[2],
        ALL[4],
        ("\"@query\"", "?a=1&a=1"),
        ("\"@query-param\";name=\"a\"", "1"),
    ];
    let (input, signature) = signed("s", &twice, ";created=1618884473");
    let got = check(&verifier, "/foo?a=1&a=1", &head_of(&input, &signature), BODY);
    assert_eq!(got, Err(Rejection::SignatureMalformed));
    let spaces = [
        ALL[0],
        ALL[1],
        ALL[2],
        ALL[4],
        ("\"@query\"", "?a%20b=x+y%2F"),
        ("\"@query-param\";name=\"a%20b\"", "x%20y%2F"),
    ];
    let (input, signature) = signed("s", &spaces, ";created=1618884473");
    assert!(check(&verifier, "/foo?a%20b=x+y%2F", &head_of(&input, &signature), BODY).is_ok());
}

#[test]
fn fields_that_are_not_structured_are_refused() {
    let verifier = custom("", SECRET, &[]);
    let (input, signature) = signed("s", &ALL, ";created=1618884473");
    for (bad_input, bad_signature) in [
        ("s", signature.as_str()),
        ("s=1", &signature),
        ("s=(", &signature),
        ("", &signature),
        (&input, "s"),
        (&input, "s=\"text\""),
        (&input, "other=:AAAA:"),
        (&input, "s=::"),
        (&input, ""),
    ] {
        let got = check(&verifier, TARGET, &head_of(bad_input, bad_signature), BODY);
        let is_absent = bad_input.is_empty() || bad_signature.is_empty();
        let reason = if is_absent {
            Rejection::SignatureMissing
        } else {
            Rejection::SignatureMalformed
        };
        assert_eq!(got, Err(reason), "{bad_input} {bad_signature}");
    }
    let many: Vec<String> = (0..17)
        .map(|number| input.replacen('s', &format!("s{number}"), 1))
        .collect();
    let got = check(&verifier, TARGET, &head_of(&many.join(", "), &signature), BODY);
    assert_eq!(got, Err(Rejection::SignatureMalformed));
}

#[test]
fn one_of_several_signatures_is_enough_and_all_have_one_identity() {
    let verifier = custom("", SECRET, &[]);
    let (first, first_code) = signed("a", &ALL, ";created=1618884473;keyid=\"a\"");
    let reversed: Vec<_> = ALL.into_iter().rev().collect();
    let (second, second_code) = signed("b", &reversed, ";created=1618884473;keyid=\"b\";nonce=\"n\"");
    let forged = "a=:AAAA:";
    let one = check(&verifier, TARGET, &head_of(&first, &first_code), BODY).unwrap();
    let other = check(&verifier, TARGET, &head_of(&second, &second_code), BODY).unwrap();
    let inputs = format!("{first}, {second}");
    let both = check(
        &verifier,
        TARGET,
        &head_of(&inputs, &format!("{forged}, {second_code}")),
        BODY,
    )
    .unwrap();
    assert_eq!((one.identity, both.identity), (other.identity, one.identity));
    let (later, later_code) = signed("a", &ALL, ";created=1618884474;keyid=\"a\"");
    let later = check(&verifier, TARGET, &head_of(&later, &later_code), BODY).unwrap();
    assert_ne!(
        later.identity, one.identity,
        "a message that was sent again was signed again"
    );
}

#[test]
fn our_own_signature_verifies() {
    let keys = ListedKeys {
        secrets: keys(&["a shared secret of some length"]),
        ..ListedKeys::default()
    };
    let route = RouteContext {
        url: UrlOfRoute {
            public: Some("https://example.com"),
            ..UrlOfRoute::default()
        },
        expect: &[("tag".to_owned(), vec!["orders".to_owned()])].into(),
        keys: &KeySettings::default(),
    };
    let verifier = Verifier::for_route("http-signatures", None, keys, &route).unwrap();
    let request = SignRequest {
        method: &Method::POST,
        target: TARGET,
        delivery_id: None,
        body: BODY.as_bytes(),
    };
    let headers: Headers = verifier.sign(0, &request, AT).unwrap().into_iter().collect();
    let head = HeadRef {
        method: &Method::POST,
        target: TARGET,
        headers: &headers,
    };
    assert!(super::verify(&verifier, &head, BODY.as_bytes(), AT, Some(300)).is_ok());
    assert!(super::verify(&verifier, &head, b"{}", AT, Some(300)).is_err());
}

#[test]
fn what_a_route_must_say_is_a_fault_at_start() {
    let faults = |text: &str, url: Option<&str>| {
        let route = RouteContext {
            url: UrlOfRoute {
                public: url,
                ..UrlOfRoute::default()
            },
            expect: &Expected::new(),
            keys: &KeySettings::default(),
        };
        let lists = ListedKeys {
            secrets: keys(&["a shared secret of some length"]),
            ..ListedKeys::default()
        };
        let text = format!("signature = {{ header = \"Signature\" }}\n{text}");
        let faults = Verifier::for_route("custom", Some(toml::from_str(&text).unwrap()), lists, &route);
        faults.err().map_or_else(String::new, |faults| faults[0].text.clone())
    };
    let url = Some("https://example.com");
    let whole = "message = {}\ntimestamp = { claim = \"created\" }";
    assert_eq!(faults(whole, url), "");
    assert!(faults(whole, None).contains("`public_url"), "{}", faults(whole, None));
    assert!(faults("message = {}", url).contains("`created`"));
    let unknown = "message = { required = [\"@status\"] }\ntimestamp = { claim = \"created\" }";
    assert!(faults(unknown, url).contains("`@status`"));
    let payload = format!("{whole}\npayload = \"{{body}}\"");
    assert!(faults(&payload, url).contains("remove"));
}
