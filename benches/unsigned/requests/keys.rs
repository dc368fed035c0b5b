//! Keys of every kind, and well-formed signatures that none of them has made.

use super::NOW;
use super::sender::{EXPECTED, Sender};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookgate::scheme::{Algorithm, KeyEncoding, SignatureEncoding};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HEX_SECRET: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const BASIC: &str = "hooks:MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ED25519_HEX: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
const ED25519_BASE64: &str = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
/// Signatures of other messages: a signature that no message can have would be refused without a hash.
const ED25519_SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
const ES256_SIGNATURE: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const DER_SIGNATURE: &str =
    "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";

/// The key set of a provider whose keys are fetched: one RSA key and one for P-256 (RFC 7515, appendices A.2 and A.3).
pub(super) const KEY_SET: &str = r#"{"keys":[{"kid":"rsa","kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},{"kid":"p256","kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gMzHV76e8TUs9uPHRvVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

/// A key that the configuration would have.
pub(super) fn key_text(algorithm: Algorithm, encoding: Option<KeyEncoding>) -> String {
    let is_hex = encoding == Some(KeyEncoding::Hex);
    match algorithm {
        Algorithm::Basic => BASIC.to_owned(),
        Algorithm::Ed25519 if is_hex => ED25519_HEX.to_owned(),
        Algorithm::Ed25519 => ED25519_BASE64.to_owned(),
        Algorithm::EcdsaP256 => P256.to_owned(),
        Algorithm::RsaSha1 | Algorithm::RsaSha256 | Algorithm::RsaPssSha256 => {
            let vectors: serde_json::Value =
                serde_json::from_str(include_str!("../../../tests/vectors/paddle-classic.json")).unwrap();
            vectors[0]["public_key_pem"].as_str().unwrap().to_owned()
        }
        Algorithm::HmacSha1
        | Algorithm::HmacSha256
        | Algorithm::HmacSha512
        | Algorithm::Token
        | Algorithm::Md5
        | Algorithm::Sha1
        | Algorithm::Sha256
        | Algorithm::Sha512 => if is_hex { HEX_SECRET } else { SECRET }.to_owned(),
    }
}

pub(super) fn key_is_public(algorithm: Algorithm) -> bool {
    match algorithm {
        Algorithm::Ed25519
        | Algorithm::EcdsaP256
        | Algorithm::RsaSha1
        | Algorithm::RsaSha256
        | Algorithm::RsaPssSha256 => true,
        Algorithm::HmacSha1
        | Algorithm::HmacSha256
        | Algorithm::HmacSha512
        | Algorithm::Token
        | Algorithm::Basic
        | Algorithm::Md5
        | Algorithm::Sha1
        | Algorithm::Sha256
        | Algorithm::Sha512 => false,
    }
}

/// A signature that is well formed and made by no key of ours.
pub(super) fn signature(algorithm: Algorithm, encoding: Option<SignatureEncoding>) -> String {
    let bytes = match algorithm {
        Algorithm::HmacSha1 | Algorithm::Sha1 => vec![1; 20],
        Algorithm::HmacSha256 | Algorithm::Sha256 => vec![1; 32],
        Algorithm::HmacSha512 | Algorithm::Sha512 => vec![1; 64],
        Algorithm::Md5 => vec![1; 16],
        Algorithm::Ed25519 => hex::decode(ED25519_SIGNATURE).unwrap(),
        Algorithm::EcdsaP256 => decoded(DER_SIGNATURE),
        Algorithm::RsaSha1 | Algorithm::RsaSha256 | Algorithm::RsaPssSha256 => vec![1; 512],
        Algorithm::Token => return "another-token-of-some-length".to_owned(),
        Algorithm::Basic => return STANDARD.encode("hooks:another-password"),
    };
    match encoding.unwrap_or(SignatureEncoding::Hex) {
        SignatureEncoding::Hex => hex::encode(bytes),
        SignatureEncoding::HexUpper => hex::encode_upper(bytes),
        SignatureEncoding::Base64 => STANDARD.encode(&bytes),
        SignatureEncoding::Base64url => URL_SAFE_NO_PAD.encode(&bytes),
    }
}

/// A token with the claims that the scheme asks for, signed by nobody.
pub(super) fn token(sender: &Sender) -> String {
    let description = sender.verifier.description();
    let jwt = description.jwt.clone().unwrap_or_default();
    let (header, signature) = match (&description.keys, sender.key.as_ref().map(|key| key.id.as_str())) {
        (Some(_), Some("p256")) => (json!({"alg": "ES256", "kid": "p256"}), decoded_url(ES256_SIGNATURE)),
        (Some(_), Some(_)) => (json!({"alg": "RS256", "kid": "rsa"}), vec![1; 256]),
        (_, None) | (None, Some(_)) => (json!({"alg": "HS256", "typ": "JWT"}), vec![1; 32]),
    };
    let mut claims = json!({"iat": NOW, "exp": NOW + 60});
    for (name, texts) in &jwt.claims {
        claims[name] = texts.as_slice()[0].clone().into();
    }
    for name in &jwt.required {
        claims[name] = EXPECTED.into();
    }
    if let Some(name) = jwt.body_claim {
        let hash = Sha256::digest("another body");
        claims[name] = match jwt.body_encoding {
            Some(SignatureEncoding::Base64) => STANDARD.encode(hash).into(),
            _ => hex::encode(hash).into(),
        };
    }
    if let Some(name) = jwt.request_claim {
        claims[name] = hex::encode(Sha256::digest("POST&/p&")).into();
    }
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{}",
        part(&header),
        part(&claims),
        URL_SAFE_NO_PAD.encode(signature)
    )
}

/// The `Content-Digest` of another body (RFC 9530).
pub(super) fn content_digest() -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest("another body")))
}

/// The signature of a message, an HMAC-SHA256 under no key.
pub(super) fn message_signature() -> String {
    STANDARD.encode([1; 32])
}

fn decoded(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

fn decoded_url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
