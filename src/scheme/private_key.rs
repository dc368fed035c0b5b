//! A private key with which `send` and `sign` play the provider of a scheme with public keys. No gateway has one.
//!
//! aws-lc makes every signature except RSA with SHA-1 (Paddle Classic), which it verifies only; see [`rsa_sha1`].

mod rsa_sha1;

use super::asymmetric::PublicKeyAlgorithm;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// A kind of private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateKeyKind {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256.
    P256,
    /// RSA; a new key has 2048 bits.
    Rsa,
}

impl PrivateKeyKind {
    /// The name for messages, with its article.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "an Ed25519 key",
            Self::P256 => "a P-256 key",
            Self::Rsa => "an RSA key of 2048 bits or more",
        }
    }

    /// The kind of key that signs with this algorithm; `None` for P-384, which no preset needs.
    pub(super) const fn of(algorithm: PublicKeyAlgorithm) -> Option<Self> {
        match algorithm {
            PublicKeyAlgorithm::Ed25519 => Some(Self::Ed25519),
            PublicKeyAlgorithm::EcdsaP256 | PublicKeyAlgorithm::EcdsaP256Fixed => Some(Self::P256),
            PublicKeyAlgorithm::EcdsaP384Fixed => None,
            PublicKeyAlgorithm::RsaSha1
            | PublicKeyAlgorithm::RsaSha256
            | PublicKeyAlgorithm::RsaPssSha256
            | PublicKeyAlgorithm::RsaPssSha512 => Some(Self::Rsa),
        }
    }
}

/// A private key.
pub struct PrivateKey {
    pair: Pair,
    /// The key in DER (PKCS #8, PKCS #1 or SEC 1), for [`rsa_sha1`].
    der: Zeroizing<Vec<u8>>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    /// The same key for both notations of a signature: ASN.1 DER, and two numbers.
    P256(EcdsaKeyPair, EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl PrivateKey {
    /// Parses PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted. `None` for another text, and for a key that no preset uses.
    #[must_use]
    pub fn from_pem(text: &[u8]) -> Option<Self> {
        let der = PrivateKeyDer::from_pem_slice(text).ok()?;
        let bytes = der.secret_der();
        let pair = match &der {
            PrivateKeyDer::Pkcs1(_) => Pair::Rsa(RsaKeyPair::from_der(bytes).ok()?),
            PrivateKeyDer::Sec1(_) => Pair::P256(
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes).ok()?,
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes).ok()?,
            ),
            // PKCS #8; the list of the library is open.
            PrivateKeyDer::Pkcs8(_) | _ => Pair::from_pkcs8(bytes)?,
        };
        Some(Self {
            pair,
            der: Zeroizing::new(bytes.to_vec()),
        })
    }

    /// Makes a key, and its PEM (PKCS #8). `None` when the system has no random numbers.
    #[must_use]
    pub fn generate(kind: PrivateKeyKind) -> Option<(Self, Zeroizing<String>)> {
        let der = match kind {
            PrivateKeyKind::Ed25519 => Ed25519KeyPair::generate().ok()?.to_pkcs8v1().ok()?.as_ref().to_vec(),
            PrivateKeyKind::P256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok()?;
                pair.to_pkcs8v1().ok()?.as_ref().to_vec()
            }
            PrivateKeyKind::Rsa => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
                let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().ok()?;
                der.as_ref().to_vec()
            }
        };
        let pem = Zeroizing::new(pem("PRIVATE KEY", &der));
        Some((Self::from_pem(pem.as_bytes())?, pem))
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> PrivateKeyKind {
        match self.pair {
            Pair::Ed25519(_) => PrivateKeyKind::Ed25519,
            Pair::P256(..) => PrivateKeyKind::P256,
            Pair::Rsa(_) => PrivateKeyKind::Rsa,
        }
    }

    /// The public key as SPKI in DER.
    fn spki(&self) -> Option<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = match &self.pair {
            Pair::Ed25519(pair) => pair.public_key().as_der().ok()?,
            Pair::P256(pair, _) => pair.public_key().as_der().ok()?,
            Pair::Rsa(pair) => pair.public_key().as_der().ok()?,
        };
        Some(der.as_ref().to_vec())
    }

    /// The public key in PEM (SPKI).
    #[must_use]
    pub fn public_pem(&self) -> Option<String> {
        Some(pem("PUBLIC KEY", &self.spki()?))
    }

    /// The bytes of an Ed25519 public key; `None` for the other kinds.
    pub(super) fn raw_public(&self) -> Option<&[u8]> {
        match &self.pair {
            Pair::Ed25519(pair) => Some(pair.public_key().as_ref()),
            Pair::P256(..) | Pair::Rsa(_) => None,
        }
    }

    /// The id that tokens and key sets of this key have: the first half of the hex SHA-256 of its SPKI.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        let hash = Sha256::digest(self.spki()?);
        Some(hex::encode(hash.get(..16)?))
    }

    /// The public key in the notation of a key set (RFC 7517).
    #[must_use]
    pub fn public_jwk(&self) -> Option<Value> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) }),
            Pair::P256(pair, _) => {
                // The point is one byte and two numbers of 32 bytes.
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": text(point.get(1..33)?), "y": text(point.get(33..65)?) })
            }
            Pair::Rsa(pair) => {
                let key = pair.public_key();
                let modulus = key.modulus();
                let exponent = key.exponent();
                json!({
                    "kty": "RSA",
                    "n": text(modulus.big_endian_without_leading_zero()),
                    "e": text(exponent.big_endian_without_leading_zero()),
                })
            }
        };
        let fields = jwk.as_object_mut()?;
        fields.insert("kid".to_owned(), self.id()?.into());
        fields.insert("use".to_owned(), "sig".into());
        fields.insert("alg".to_owned(), self.token_algorithm().0.into());
        Some(jwk)
    }

    /// The algorithm of tokens that this key signs: its name (RFC 7518), and how it signs.
    pub(super) const fn token_algorithm(&self) -> (&'static str, PublicKeyAlgorithm) {
        match self.pair {
            Pair::Ed25519(_) => ("EdDSA", PublicKeyAlgorithm::Ed25519),
            Pair::P256(..) => ("ES256", PublicKeyAlgorithm::EcdsaP256Fixed),
            Pair::Rsa(_) => ("RS256", PublicKeyAlgorithm::RsaSha256),
        }
    }

    /// Signs a message; `None` for an algorithm of another kind of key.
    pub(super) fn sign(&self, algorithm: PublicKeyAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match (&self.pair, algorithm) {
            (Pair::Ed25519(pair), PublicKeyAlgorithm::Ed25519) => Some(pair.sign(message).as_ref().to_vec()),
            (Pair::P256(pair, _), PublicKeyAlgorithm::EcdsaP256)
            | (Pair::P256(_, pair), PublicKeyAlgorithm::EcdsaP256Fixed) => {
                Some(pair.sign(&random, message).ok()?.as_ref().to_vec())
            }
            (Pair::Rsa(_), PublicKeyAlgorithm::RsaSha1) => rsa_sha1::sign(&self.der, message),
            (Pair::Rsa(pair), PublicKeyAlgorithm::RsaSha256) => rsa(pair, &RSA_PKCS1_SHA256, message),
            (Pair::Rsa(pair), PublicKeyAlgorithm::RsaPssSha256) => rsa(pair, &RSA_PSS_SHA256, message),
            (Pair::Rsa(pair), PublicKeyAlgorithm::RsaPssSha512) => rsa(pair, &RSA_PSS_SHA512, message),
            (Pair::Ed25519(_) | Pair::P256(..) | Pair::Rsa(_), _) => None,
        }
    }
}

impl Pair {
    fn from_pkcs8(bytes: &[u8]) -> Option<Self> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
            return Some(Self::Ed25519(pair));
        }
        if let Ok(pair) = RsaKeyPair::from_pkcs8(bytes) {
            return Some(Self::Rsa(pair));
        }
        Some(Self::P256(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes).ok()?,
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes).ok()?,
        ))
    }
}

fn rsa(pair: &RsaKeyPair, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Option<Vec<u8>> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
        .ok()?;
    Some(signature)
}

/// PEM (RFC 7468) with this label.
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut lines = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    lines.push_str(&format!("-----END {label}-----\n"));
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::asymmetric::{PublicKey, SignedMessage, pem as public_der};
    use super::super::fetched::FetchedKey;
    use super::*;

    const KINDS: [PrivateKeyKind; 3] = [PrivateKeyKind::Ed25519, PrivateKeyKind::P256, PrivateKeyKind::Rsa];
    const ALGORITHMS: [PublicKeyAlgorithm; 8] = [
        PublicKeyAlgorithm::Ed25519,
        PublicKeyAlgorithm::EcdsaP256,
        PublicKeyAlgorithm::EcdsaP256Fixed,
        PublicKeyAlgorithm::EcdsaP384Fixed,
        PublicKeyAlgorithm::RsaSha1,
        PublicKeyAlgorithm::RsaSha256,
        PublicKeyAlgorithm::RsaPssSha256,
        PublicKeyAlgorithm::RsaPssSha512,
    ];

    #[test]
    fn what_a_key_signs_is_verified_with_its_public_key_and_no_other_kind_signs() {
        for kind in KINDS {
            let (key, text) = PrivateKey::generate(kind).unwrap();
            assert_eq!(key.kind(), kind);
            let again = PrivateKey::from_pem(text.as_bytes()).unwrap();
            assert_eq!(again.id(), key.id());
            let public = public_der(key.public_pem().unwrap().as_bytes()).unwrap();
            for algorithm in ALGORITHMS {
                let signature = key.sign(algorithm, b"message");
                let Some(public) = PublicKey::parse(algorithm, &public) else {
                    assert_eq!(signature, None, "{kind:?} {algorithm:?}");
                    continue;
                };
                let signature = signature.unwrap();
                assert!(
                    public.verifies(&SignedMessage::new(b"message"), &signature),
                    "{algorithm:?}"
                );
                assert!(
                    !public.verifies(&SignedMessage::new(b"other"), &signature),
                    "{algorithm:?}"
                );
            }
        }
    }

    #[test]
    fn a_key_set_has_the_public_key_that_verifies_tokens() {
        for kind in KINDS {
            let (key, _) = PrivateKey::generate(kind).unwrap();
            let set = json!({ "keys": [key.public_jwk().unwrap()] }).to_string();
            let fetched = FetchedKey::of_set(set.as_bytes()).unwrap().remove(0);
            assert_eq!(fetched.id, key.id().unwrap());
            let (name, algorithm) = key.token_algorithm();
            let signature = URL_SAFE_NO_PAD.encode(key.sign(algorithm, b"a.b").unwrap());
            assert!(
                fetched.verifies_token(name.parse().unwrap(), "a.b", &signature),
                "{name}"
            );
        }
    }

    #[test]
    fn keys_in_the_older_notations_are_read_and_others_are_not() {
        let pair = rcgen::KeyPair::generate().unwrap();
        assert_eq!(
            PrivateKey::from_pem(pair.serialize_pem().as_bytes()).unwrap().kind(),
            PrivateKeyKind::P256
        );
        for text in [
            "",
            "a secret",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            assert!(PrivateKey::from_pem(text.as_bytes()).is_none(), "{text}");
        }
        let (key, _) = PrivateKey::generate(PrivateKeyKind::Rsa).unwrap();
        assert!(PrivateKey::from_pem(key.public_pem().unwrap().as_bytes()).is_none());
    }
}
