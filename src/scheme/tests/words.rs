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
