//! A key that is not in the configuration but fetched: one of a JSON Web Key Set, or that of a certificate.
//!
//! Parsing and verifying are here; what fetches is [`crate::remote::keyring`], and it is above this folder. A key has the
//! algorithms that it may be used with, so that a request cannot choose another one.

use super::asymmetric::{PublicKey, PublicKeyAlgorithm, SignedMessage};
use super::description::Algorithm as SchemeAlgorithm;
use super::message_parts::MessageAlgorithm;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, KeyAlgorithm};
use jsonwebtoken::jwk::{EllipticCurve, Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey};
use std::fmt;
use x509_parser::certificate::X509Certificate;

/// Maximum number of keys of one set.
const MAX_KEYS: usize = 100;

/// A key by its id.
#[derive(Clone)]
pub struct FetchedKey {
    /// The id by which a request names it: `kid` of a key set, or the URL of a certificate. Empty for a key without one.
    pub id: String,
    /// The thumbprint of a key of a set (RFC 7638), by which a message signature may name it.
    pub thumbprint: String,
    kind: Kind,
    /// The first and the last second (Unix) in which it may be used.
    valid_unix: (u64, u64),
}

#[derive(Clone)]
enum Kind {
    /// A key of a set.
    Jwk {
        key: Box<DecodingKey>,
        /// The one algorithm of its tokens.
        algorithm: Algorithm,
        /// Whether the set names that algorithm. The signatures of messages have no other then.
        is_named: bool,
    },
    /// The RSA key of a certificate, for SHA-1 and SHA-256.
    Certificate(PublicKey, PublicKey),
}

impl fmt::Debug for FetchedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl FetchedKey {
    /// Whether the key may be used at `now_unix` (seconds).
    #[must_use]
    pub fn is_valid(&self, now_unix: u64) -> bool {
        (self.valid_unix.0..=self.valid_unix.1).contains(&now_unix)
    }

    /// The last second (Unix) in which the key may be used.
    #[must_use]
    pub const fn valid_until_unix(&self) -> u64 {
        self.valid_unix.1
    }

    /// The usable keys of a JSON Web Key Set; `None` for a document that is not one. Keys for encryption, shared secrets
    /// and algorithms that are not verified are left out.
    #[must_use]
    pub fn of_set(document: &[u8]) -> Option<Vec<Self>> {
        let document: serde_json::Value = serde_json::from_slice(document).ok()?;
        let keys = document.get("keys")?.as_array()?;
        Some(keys.iter().take(MAX_KEYS).filter_map(Self::of_jwk).collect())
    }

    /// A single key in the notation of a key set.
    pub(super) fn of_jwk(value: &serde_json::Value) -> Option<Self> {
        let mut jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        // The name of EdDSA with this curve alone (RFC 9864), which the library does not know.
        if value.get("alg").and_then(serde_json::Value::as_str) == Some("Ed25519") {
            jwk.common.key_algorithm = Some(KeyAlgorithm::EdDSA);
        }
        if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
            return None;
        }
        let algorithm = algorithm_of(&jwk)?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self {
            thumbprint: jwk.thumbprint(ThumbprintHash::SHA256).unwrap_or_default(),
            id: jwk.common.key_id.unwrap_or_default(),
            kind: Kind::Jwk {
                key: Box::new(key),
                algorithm,
                is_named: jwk.common.key_algorithm.is_some(),
            },
            valid_unix: (0, u64::MAX),
        })
    }

    /// The RSA key of a certificate whose chain and names have been checked. `None` for another kind of key.
    pub(super) fn of_certificate(id: &str, certificate: &X509Certificate<'_>) -> Option<Self> {
        let spki = certificate.public_key().raw;
        let time = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or_default();
        let validity = certificate.validity();
        Some(Self {
            id: id.to_owned(),
            thumbprint: String::new(),
            kind: Kind::Certificate(
                PublicKey::parse(PublicKeyAlgorithm::RsaSha1, spki)?,
                PublicKey::parse(PublicKeyAlgorithm::RsaSha256, spki)?,
            ),
            valid_unix: (time(validity.not_before), time(validity.not_after)),
        })
    }

    /// Whether the key made the signature (base64url) of a token over its first two parts.
    pub(super) fn verifies_token(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        match &self.kind {
            Kind::Jwk {
                key, algorithm: own, ..
            } => {
                *own == algorithm
                    && jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key, algorithm).unwrap_or(false)
            }
            Kind::Certificate(..) => false,
        }
    }

    /// Whether the key of a certificate made the signature.
    pub(super) fn verifies(&self, algorithm: SchemeAlgorithm, message: &SignedMessage<'_>, signature: &[u8]) -> bool {
        match (&self.kind, algorithm) {
            (Kind::Certificate(sha1, _), SchemeAlgorithm::RsaSha1) => sha1.verifies(message, signature),
            (Kind::Certificate(_, sha256), SchemeAlgorithm::RsaSha256) => sha256.verifies(message, signature),
            (Kind::Certificate(..) | Kind::Jwk { .. }, _) => false,
        }
    }

    /// Whether the key of a set made the signature of a message, with this algorithm or, without one, with any that the key
    /// may be used with: an RSA key without an algorithm has two.
    pub(super) fn verifies_message(&self, wanted: Option<MessageAlgorithm>, message: &[u8], signature: &[u8]) -> bool {
        let Kind::Jwk {
            key,
            algorithm,
            is_named,
        } = &self.kind
        else {
            return false;
        };
        let other = (*algorithm == Algorithm::RS256 && !is_named).then_some(Algorithm::PS512);
        let mut allowed = [Some(*algorithm), other].into_iter().flatten();
        let signature = URL_SAFE_NO_PAD.encode(signature);
        allowed.any(|own| {
            wanted.is_none_or(|wanted| wanted.of_tokens() == Some(own))
                && matches!(
                    own,
                    Algorithm::RS256 | Algorithm::PS512 | Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA
                )
                && jsonwebtoken::crypto::verify(&signature, message, key, own).unwrap_or(false)
        })
    }
}

/// The algorithm of the tokens that a key makes: the one that it names, else the usual one of its kind. `None` for kinds
/// that are not verified, shared secrets among them: everyone can read the set.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's lists are open")]
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    let named = jwk.common.key_algorithm;
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => match named {
            None | Some(KeyAlgorithm::RS256) => Some(Algorithm::RS256),
            Some(KeyAlgorithm::RS384) => Some(Algorithm::RS384),
            Some(KeyAlgorithm::RS512) => Some(Algorithm::RS512),
            Some(KeyAlgorithm::PS256) => Some(Algorithm::PS256),
            Some(KeyAlgorithm::PS384) => Some(Algorithm::PS384),
            Some(KeyAlgorithm::PS512) => Some(Algorithm::PS512),
            Some(_) => None,
        },
        AlgorithmParameters::EllipticCurve(key) => match (&key.curve, named) {
            (EllipticCurve::P256, None | Some(KeyAlgorithm::ES256)) => Some(Algorithm::ES256),
            (EllipticCurve::P384, None | Some(KeyAlgorithm::ES384)) => Some(Algorithm::ES384),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(key) => match (&key.curve, named) {
            (EllipticCurve::Ed25519, None | Some(KeyAlgorithm::EdDSA)) => Some(Algorithm::EdDSA),
            _ => None,
        },
        _ => None,
    }
}
