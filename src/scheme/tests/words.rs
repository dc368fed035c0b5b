//! The words of `custom` that no preset uses: each accepts a request signed by another implementation, and refuses a
//! changed one.

use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const NOW: u64 = 1_700_000_000;
const KEY: &str = "a signing secret that is long enough";

/// A `custom` scheme, or its faults.
fn described(description: &str, secrets: &[&str]) -> Result<Verifier, Vec<String>> {
    let custom = toml::from_str(description).unwrap_or_else(|error| panic!("{description}: {error}"));
    Verifier::new("custom", Some(custom), keys(secrets), None)
}

/// A request with these headers, verified at [`NOW`] with a tolerance of 60 seconds.
fn sent(
    verifier: &Verifier,
    target: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> Result<Verified, Rejection> {
    let field =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    let headers: Headers = headers.iter().map(field).collect();
    let head = HeadRef {
        method: &Method::POST,
        target,
        headers: &headers,
    };
    verify(verifier, &head, body.as_bytes(), NOW, Some(60))
}

fn hmac(signed: &str) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, KEY.as_bytes());
    aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
}

#[test]
fn rsa_with_sha256_is_verified_with_both_paddings() {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
        aws_lc_rs::encoding::AsDer::as_der(pair.public_key()).unwrap();
    let public = STANDARD.encode(public.as_ref());
    for (algorithm, padding, other) in [
        ("rsa-sha256", &RSA_PKCS1_SHA256, &RSA_PSS_SHA256),
        ("rsa-pss-sha256", &RSA_PSS_SHA256, &RSA_PKCS1_SHA256),
    ] {
        let description = format!("signature = {{ header = 'S' }}\nalgorithm = '{algorithm}'\nencoding = 'base64'");
        let verifier = described(&description, &[&public]).unwrap();
        assert_eq!(verifier.warnings(), [""; 0]);
        let sign = |padding| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &SystemRandom::new(), b"{}", &mut signature).unwrap();
            STANDARD.encode(signature)
        };
        assert!(sent(&verifier, "/", &[("s", &sign(padding))], "{}").is_ok());
        assert_eq!(
            sent(&verifier, "/", &[("s", &sign(padding))], "{} "),
            Err(Rejection::SignatureMismatch)
        );
        assert_eq!(
            sent(&verifier, "/", &[("s", &sign(other))], "{}"),
            Err(Rejection::SignatureMismatch)
        );
        assert!(described(&description, &["not a key"]).unwrap_err()[0].contains("an RSA public key"));
    }
}

#[test]
fn upper_case_hex_is_an_encoding_of_its_own() {
    let verifier = described("signature = { header = 'S' }\nencoding = 'hex-upper'", &[KEY]).unwrap();
    let signature = hex::encode_upper(hmac("{}"));
    assert!(sent(&verifier, "/", &[("s", &signature)], "{}").is_ok());
    assert_eq!(
        sent(&verifier, "/", &[("s", &signature.to_lowercase())], "{}"),
        Err(Rejection::SignatureMalformed)
    );
}

/// A dashboard that shows the signature's version before the secret is copied whole.
#[test]
fn a_secret_is_accepted_with_the_version_before_it() {
    let plain = STANDARD.encode(KEY);
    for provider in ["standard-webhooks", "svix", "gitlab"] {
        let of = |text: String| Verifier::new(provider, None, keys(&[&text]), None).unwrap();
        let headers = of(format!("whsec_{plain}"));
        let request = SignRequest {
            method: &Method::POST,
            target: "/",
            delivery_id: Some("msg_1"),
            body: b"{}",
        };
        let headers: Headers = headers.sign(0, &request, NOW).unwrap().into_iter().collect();
        let head = HeadRef {
            method: &Method::POST,
            target: "/",
            headers: &headers,
        };
        assert!(
            verify(&of(format!("v1,whsec_{plain}")), &head, b"{}", NOW, Some(60)).is_ok(),
            "{provider}"
        );
    }
}

#[test]
fn a_digest_over_secret_and_body_is_verified() {
    let verifier = described(
        "signature = { header = 'S' }\nalgorithm = 'sha512'\npayload = '{secret}{body}'",
        &[KEY],
    )
    .unwrap();
    let digest = |text: String| hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, text.as_bytes()));
    let signature = digest(format!("{KEY}{{}}"));
    assert!(sent(&verifier, "/", &[("s", &signature)], "{}").is_ok());
    assert_eq!(
        sent(&verifier, "/", &[("s", &digest("{}".to_owned()))], "{}"),
        Err(Rejection::SignatureMismatch)
    );
    assert!(verifier.warnings()[0].contains("SHA-512"));
}

#[test]
fn one_of_several_headers_has_the_signature() {
    let verifier = described("signature = { header = ['S-1', 'S-2'] }", &[KEY]).unwrap();
    assert_eq!(verifier.signature_headers(), ["s-1", "s-2"]);
    let (ours, other) = (hex::encode(hmac("{}")), hex::encode(hmac("[]")));
    for headers in [
        &[("s-1", ours.as_str())][..],
        &[("s-2", &ours)],
        &[("s-1", &other), ("s-2", &ours)],
        &[("s-1", "?"), ("s-2", &ours)],
    ] {
        assert!(sent(&verifier, "/", headers, "{}").is_ok(), "{headers:?}");
    }
    assert_eq!(sent(&verifier, "/", &[], "{}"), Err(Rejection::SignatureMissing));
    assert_eq!(
        sent(&verifier, "/", &[("s-2", &other)], "{}"),
        Err(Rejection::SignatureMismatch)
    );
    assert_eq!(
        sent(&verifier, "/", &[("s-1", &ours), ("s-1", &ours)], "{}"),
        Err(Rejection::SignatureMalformed)
    );
}

#[test]
fn parameters_of_the_query_are_signed() {
    let verifier = described(
        "signature = { header = 'S' }\npayload = 'id:{query:data.id};{query};{body}'",
        &[KEY],
    )
    .unwrap();
    let signature = hex::encode(hmac("id:1 2;data.id=1%202&x;{}"));
    let headers = [("s", signature.as_str())];
    assert!(sent(&verifier, "/h?data.id=1%202&x", &headers, "{}").is_ok());
    assert_eq!(
        sent(&verifier, "/h?data.id=1%203&x", &headers, "{}"),
        Err(Rejection::SignatureMismatch)
    );
    assert_eq!(
        sent(&verifier, "/h?x", &headers, "{}"),
        Err(Rejection::SignatureMissing)
    );
    assert_eq!(
        sent(&verifier, "/h?data.id=1%202&data.id=1%202", &headers, "{}"),
        Err(Rejection::SignatureMalformed)
    );
}

/// The signature cannot cover its own parameter, which is left out of `{target}` and `{query}`.
#[test]
fn the_query_may_have_the_signature_and_the_time() {
    let verifier = described(
        "signature = { query = 'sig' }\nencoding = 'base64'\ntimestamp = { query = 'ts' }\ntolerance = '60s'\npayload = '{timestamp}.{target}.{body}'",
        &[KEY],
    )
    .unwrap();
    let signature = STANDARD.encode(hmac(&format!("{NOW}./h?ts={NOW}&a=b.{{}}")));
    let escaped = signature.replace('+', "%2B").replace('=', "%3D");
    for text in [&signature, &escaped] {
        let target = format!("/h?ts={NOW}&sig={text}&a=b");
        assert_eq!(sent(&verifier, &target, &[], "{}").unwrap().timestamp, Some(NOW));
        assert_eq!(sent(&verifier, &target, &[], "[]"), Err(Rejection::SignatureMismatch));
        assert_eq!(
            sent(&verifier, &format!("{target}&sig=x"), &[], "{}"),
            Err(Rejection::SignatureMalformed)
        );
    }
    assert_eq!(
        sent(&verifier, &format!("/h?ts={NOW}"), &[], "{}"),
        Err(Rejection::SignatureMissing)
    );
}

#[test]
fn a_list_without_names_is_read_by_position() {
    let verifier = described(
        "signature = { header = 'S', position = 2 }\ntimestamp = { position = 1, unit = 'ms' }\ntolerance = '60s'\npayload = '{timestamp}.{body}'",
        &[KEY],
    )
    .unwrap();
    let signature = hex::encode(hmac(&format!("{NOW}000.{{}}")));
    for list in [format!("{NOW}000,{signature}"), format!("{NOW}000, 00, {signature}")] {
        assert_eq!(
            sent(&verifier, "/", &[("s", &list)], "{}").unwrap().timestamp,
            Some(NOW),
            "{list}"
        );
    }
    let stale = format!("{}000,{signature}", NOW - 61);
    assert_eq!(
        sent(&verifier, "/", &[("s", &stale)], "{}"),
        Err(Rejection::TimestampStale)
    );
    for malformed in [signature.clone(), format!("{signature},{NOW}000"), format!("{NOW}000")] {
        assert_eq!(
            sent(&verifier, "/", &[("s", &malformed)], "{}"),
            Err(Rejection::SignatureMalformed),
            "{malformed}"
        );
    }
    let request = SignRequest {
        method: &Method::POST,
        target: "/",
        delivery_id: None,
        body: b"{}",
    };
    assert_eq!(
        verifier.sign(0, &request, NOW).unwrap()[0].1,
        format!("{NOW}000,{signature}")
    );
    let turned = described(
        "signature = { header = 'S', position = 1, separator = ':' }\ntimestamp = { position = 2 }\ntolerance = '60s'\npayload = '{timestamp}.{body}'",
        &[KEY],
    )
    .unwrap();
    let signature = hex::encode(hmac(&format!("{NOW}.{{}}")));
    assert!(sent(&turned, "/", &[("s", &format!("{signature}:{NOW}"))], "{}").is_ok());
    assert_eq!(
        turned.sign(0, &request, NOW).unwrap()[0].1,
        format!("{signature}:{NOW}")
    );
}

#[test]
fn basic_authentication_is_compared_with_user_and_password() {
    let verifier = described("algorithm = 'basic'", &["chargebee:a long password"]).unwrap();
    let text = format!("Basic {}", STANDARD.encode("chargebee:a long password"));
    assert!(sent(&verifier, "/", &[("authorization", &text)], "{}").is_ok());
    assert_eq!(sent(&verifier, "/", &[], "{}"), Err(Rejection::SignatureMissing));
    let other = format!("Basic {}", STANDARD.encode("chargebee:a long passwort"));
    assert_eq!(
        sent(&verifier, "/", &[("authorization", &other)], "{}"),
        Err(Rejection::SignatureMismatch)
    );
    assert_eq!(
        sent(
            &verifier,
            "/",
            &[("authorization", &text.replace("Basic", "Bearer"))],
            "{}"
        ),
        Err(Rejection::SignatureMalformed)
    );
    assert!(verifier.warnings()[0].contains("signs nothing"));
    assert!(described("algorithm = 'basic'", &["a long password"]).unwrap_err()[0].contains("user:password"));
}

#[test]
fn a_hash_of_the_body_is_part_of_the_payload() {
    let verifier = described(
        "signature = { header = 'S' }\npayload = '{path}.{sha256:body}.{sha1:body:base64}'",
        &[KEY],
    )
    .unwrap();
    let sha1 = STANDARD.encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        b"{}",
    ));
    let sha256 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"{}"));
    let signature = hex::encode(hmac(&format!("/h.{sha256}.{sha1}")));
    assert!(sent(&verifier, "/h", &[("s", &signature)], "{}").is_ok());
    assert_eq!(
        sent(&verifier, "/h", &[("s", &signature)], "[]"),
        Err(Rejection::SignatureMismatch)
    );
    assert_eq!(verifier.warnings(), [""; 0]);
}

#[test]
fn faults_of_the_words_say_what_to_write() {
    for (description, hint) in [
        ("signature = { header = [] }", "has no name"),
        ("signature = { header = ['A', 'B'], field = 'x' }", "one signature each"),
        ("signature = { header = 'A', position = 0 }", "has the number 1"),
        (
            "signature = { header = 'A', position = 1, field = 'x' }",
            "names or numbers",
        ),
        ("signature = { query = 'a', position = 1 }", "is the location"),
        (
            "signature = { header = 'A' }\ntimestamp = { position = 1 }",
            "is the location of the time",
        ),
        (
            "signature = { header = 'A' }\npayload = '{sha256:path}'",
            "{sha256:body}",
        ),
    ] {
        let faults = described(description, &[KEY]).unwrap_err();
        assert!(faults[0].contains(hint), "{description}: {faults:?}");
    }
}

/// A provider that signs values with nothing between them can be described, and the operator is warned.
#[test]
fn undivided_values_are_accepted_where_the_description_says_so() {
    let parts = "signature = { header = 'S' }\npayload = '{json:/a}{json:/b}'";
    assert!(described(parts, &[KEY]).unwrap_err()[0].contains("undivided = true"));
    let verifier = described(&format!("{parts}\nundivided = true"), &[KEY]).unwrap();
    assert!(
        verifier
            .warnings()
            .iter()
            .any(|warning| warning.contains("move the end"))
    );
    let signature = hex::encode(hmac("x1"));
    assert!(sent(&verifier, "/", &[("s", &signature)], "{\"a\":\"x\",\"b\":1}").is_ok());
    let trello = "signature = { header = 'S' }\npayload = '{body}{target}'";
    let trello = described(trello, &[KEY]).unwrap();
    let signature = hex::encode(hmac("{}/h"));
    assert!(sent(&trello, "/h", &[("s", &signature)], "{}").is_ok());
    let signature = hex::encode(hmac("{\"a\":1}/h"));
    assert_eq!(
        sent(&trello, "\"a\":1}/h", &[("s", &signature)], "{"),
        Err(Rejection::SignatureMalformed)
    );
}
