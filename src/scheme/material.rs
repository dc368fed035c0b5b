//! Recognises what a key's text is, whatever it was configured as: a public key, a private key, a certificate.
//!
//! A public key is known to everybody, so a MAC that is keyed with its text can be made by everybody. Such a text is
//! therefore refused where a secret belongs. A private key belongs to the provider alone, so it is refused everywhere.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;
use zeroize::Zeroizing;

/// Base64 in both alphabets, with optional padding and any bits after the last byte: this is recognition, not decoding.
const ANY_BASE64: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT),
    GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT),
];
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// What a text is, when it is not a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyMaterial {
    /// A public key: SPKI or PKCS #1 (PEM, or DER in base64 or hex), SSH, JWK, `whpk_`.
    PublicKey,
    /// A private key: PKCS #8, PKCS #1 or SEC 1 in the same notations, JWK with `d`, `whsk_`.
    PrivateKey,
    /// An X.509 certificate or a request for one.
    Certificate,
    /// PEM of another kind.
    OtherPem,
}

impl KeyMaterial {
    /// Recognises a text or its decoded bytes; `None` for what may be a shared secret.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        if let Some(material) = pem(text) {
            return Some(material);
        }
        let trimmed = text.trim_ascii();
        if trimmed.starts_with(b"whpk_") || SSH.iter().any(|start| trimmed.starts_with(start)) {
            return Some(Self::PublicKey);
        }
        if trimmed.starts_with(b"whsk_") {
            return Some(Self::PrivateKey);
        }
        jwk(trimmed).or_else(|| der(text)).or_else(|| encoded_der(trimmed))
    }

    /// The name of this material, with its article.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PublicKey => "a public key",
            Self::PrivateKey => "a private key",
            Self::Certificate => "a certificate",
            Self::OtherPem => "a PEM file",
        }
    }
}

/// Beginnings of public keys in the notation of OpenSSH.
const SSH: [&[u8]; 4] = [b"ssh-rsa ", b"ssh-ed25519 ", b"ecdsa-sha2-", b"ssh-dss "];

/// Recognises PEM by its label, wherever the text has one: before it may be a byte order mark, a quote or attributes.
fn pem(text: &[u8]) -> Option<KeyMaterial> {
    let at = memmem::find(text, b"-----BEGIN ")?;
    let label = text.get(at + 11..)?;
    let label = memmem::find(label, b"-----")
        .and_then(|end| label.get(..end))
        .unwrap_or(label);
    let has = |word: &[u8]| memmem::find(label, word).is_some();
    Some(if has(b"PRIVATE KEY") {
        KeyMaterial::PrivateKey
    } else if has(b"PUBLIC KEY") {
        KeyMaterial::PublicKey
    } else if has(b"CERTIFICATE") {
        KeyMaterial::Certificate
    } else {
        KeyMaterial::OtherPem
    })
}

/// Recognises a JSON Web Key, or a set of them. A symmetric one (`oct`) is not recognised.
fn jwk(text: &[u8]) -> Option<KeyMaterial> {
    if !text.starts_with(b"{") {
        return None;
    }
    let document: serde_json::Value = serde_json::from_slice(text).ok()?;
    let key = document.get("keys").and_then(|keys| keys.get(0)).unwrap_or(&document);
    match key.get("kty")?.as_str()? {
        "oct" => None,
        _ if key.get("d").is_some() => Some(KeyMaterial::PrivateKey),
        _ => Some(KeyMaterial::PublicKey),
    }
}

/// Recognises DER that is written in base64 or hex, with or without line ends.
fn encoded_der(text: &[u8]) -> Option<KeyMaterial> {
    let joined: Zeroizing<Vec<u8>> = Zeroizing::new(
        text.iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect(),
    );
    let hex = hex::decode(&*joined).ok().map(Zeroizing::new);
    if let Some(material) = hex.and_then(|bytes| der(&bytes)) {
        return Some(material);
    }
    ANY_BASE64.iter().find_map(|engine| {
        let bytes = Zeroizing::new(engine.decode(&*joined).ok()?);
        der(&bytes)
    })
}

/// Tags of DER that begin the structures of keys.
mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const BIT_STRING: u8 = 0x03;
    pub(super) const OCTET_STRING: u8 = 0x04;
    pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(super) const SEQUENCE: u8 = 0x30;
}

/// Recognises a key or a certificate in DER by its outer structure. The whole text must be one sequence, so a random
/// secret does not look like one.
fn der(bytes: &[u8]) -> Option<KeyMaterial> {
    let (tag::SEQUENCE, inner, []) = element(bytes)? else {
        return None;
    };
    let (first, content, rest) = element(inner)?;
    let (second, second_content, rest) = element(rest)?;
    let begins_with = |content: &[u8], wanted: u8| element(content).is_some_and(|(tag, ..)| tag == wanted);
    match (first, second) {
        (tag::SEQUENCE, tag::BIT_STRING) if begins_with(content, tag::OBJECT_IDENTIFIER) => {
            Some(KeyMaterial::PublicKey)
        }
        (tag::SEQUENCE, tag::SEQUENCE) if element(rest).is_some_and(|(tag, ..)| tag == tag::BIT_STRING) => {
            Some(KeyMaterial::Certificate)
        }
        (tag::INTEGER, tag::SEQUENCE) if begins_with(second_content, tag::OBJECT_IDENTIFIER) => {
            Some(KeyMaterial::PrivateKey)
        }
        (tag::INTEGER, tag::OCTET_STRING) => Some(KeyMaterial::PrivateKey),
        (tag::INTEGER, tag::INTEGER) if rest.is_empty() => Some(KeyMaterial::PublicKey),
        (tag::INTEGER, tag::INTEGER) => Some(KeyMaterial::PrivateKey),
        _ => None,
    }
}

/// The number of bits of an RSA key's modulus, of its SPKI or PKCS #1 in DER; `None` for anything else.
pub(super) fn rsa_modulus_bits(bytes: &[u8]) -> Option<usize> {
    let (tag::SEQUENCE, inner, []) = element(bytes)? else {
        return None;
    };
    let modulus = match element(inner)? {
        (tag::INTEGER, modulus, _) => modulus,
        (tag::SEQUENCE, _, rest) => {
            let (tag::BIT_STRING, bits, []) = element(rest)? else {
                return None;
            };
            // The first byte of a bit string is the number of unused bits.
            let (tag::SEQUENCE, key, []) = element(bits.get(1..)?)? else {
                return None;
            };
            let (tag::INTEGER, modulus, _) = element(key)? else {
                return None;
            };
            modulus
        }
        _ => return None,
    };
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let significant = modulus.get(zeros..)?;
    let first = significant.first()?;
    Some(significant.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or_default())
}

/// The first element of DER: its tag, its content and what follows it.
pub(super) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = digits.iter().try_fold(0_usize, |length, digit| {
            length.checked_mul(256)?.checked_add(usize::from(*digit))
        })?;
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    /// SPKI of an Ed25519 key, of RFC 8410.
    const ED25519_SPKI: &str = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    /// PKCS #8 of an Ed25519 key, of RFC 8410.
    const ED25519_PKCS8: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";

    #[test]
    fn keys_and_certificates_are_recognised_in_every_notation() {
        let spki = STANDARD.decode(ED25519_SPKI).unwrap();
        let (public, private) = (Some(KeyMaterial::PublicKey), Some(KeyMaterial::PrivateKey));
        let wrapped = format!("{}\n{}", &ED25519_SPKI[..20], &ED25519_SPKI[20..]);
        for (text, expected) in [
            (ED25519_SPKI.to_owned(), public),
            (wrapped, public),
            (hex::encode(&spki), public),
            (URL_SAFE_NO_PAD.encode(&spki), public),
            (
                format!("-----BEGIN PUBLIC KEY-----\n{ED25519_SPKI}\n-----END PUBLIC KEY-----"),
                public,
            ),
            (format!("\u{feff}-----BEGIN PUBLIC KEY-----{ED25519_SPKI}"), public),
            ("-----BEGIN RSA PUBLIC KEY-----\n".to_owned(), public),
            ("whpk_AAAA".to_owned(), public),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5".to_owned(), public),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#.to_owned(), public),
            (r#"{"keys":[{"kty":"RSA","n":"AA","e":"AQAB"}]}"#.to_owned(), public),
            (STANDARD.encode([0x30, 6, 2, 1, 5, 2, 1, 3]), public),
            (ED25519_PKCS8.to_owned(), private),
            (STANDARD.encode([0x30, 9, 2, 1, 0, 2, 1, 5, 2, 1, 3]), private),
            (STANDARD.encode([0x30, 6, 2, 1, 1, 4, 1, 7]), private),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----".to_owned(), private),
            ("-----BEGIN EC PRIVATE KEY-----".to_owned(), private),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"}"#.to_owned(), private),
            ("whsk_AAAA".to_owned(), private),
            ("-----BEGIN CERTIFICATE-----".to_owned(), Some(KeyMaterial::Certificate)),
            (
                STANDARD.encode([0x30, 8, 0x30, 0, 0x30, 0, 3, 2, 0, 1]),
                Some(KeyMaterial::Certificate),
            ),
            ("-----BEGIN PGP MESSAGE-----".to_owned(), Some(KeyMaterial::OtherPem)),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), None),
            (r#"{"kty":"oct","k":"AA"}"#.to_owned(), None),
            ("f00dfeed0123456789abcdef01234567".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(KeyMaterial::of(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(KeyMaterial::of(&spki), public);
    }

    proptest! {
        #[test]
        fn random_secrets_are_no_keys(secret in proptest::collection::vec(any::<u8>(), 16..64)) {
            prop_assert_eq!(KeyMaterial::of(&secret), None);
            prop_assert_eq!(KeyMaterial::of(STANDARD.encode(&secret).as_bytes()), None);
            prop_assert_eq!(KeyMaterial::of(hex::encode(&secret).as_bytes()), None);
        }
    }
}
