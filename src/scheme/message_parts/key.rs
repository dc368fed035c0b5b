//! The algorithms of message signatures (RFC 9421, 3.3), and public keys that verify them.

use super::super::asymmetric::{PublicKey, PublicKeyAlgorithm, SignedMessage};

/// An algorithm of the HTTP Signature Algorithms registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scheme) enum MessageAlgorithm {
    RsaPssSha512,
    RsaV15Sha256,
    HmacSha256,
    EcdsaP256Sha256,
    EcdsaP384Sha384,
    Ed25519,
}

impl MessageAlgorithm {
    /// The algorithms with public keys.
    const PUBLIC: [Self; 5] = [
        Self::Ed25519,
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::RsaPssSha512,
        Self::RsaV15Sha256,
    ];

    /// The algorithm with this name in the registry.
    pub(in crate::scheme) fn named(name: &str) -> Option<Self> {
        match name {
            "rsa-pss-sha512" => Some(Self::RsaPssSha512),
            "rsa-v1_5-sha256" => Some(Self::RsaV15Sha256),
            "hmac-sha256" => Some(Self::HmacSha256),
            "ecdsa-p256-sha256" => Some(Self::EcdsaP256Sha256),
            "ecdsa-p384-sha384" => Some(Self::EcdsaP384Sha384),
            "ed25519" => Some(Self::Ed25519),
            _ => None,
        }
    }

    /// The algorithm of the same signatures in tokens (RFC 7518, 3.1); `None` for the one with a shared secret, which is
    /// never published.
    pub(in crate::scheme) const fn of_tokens(self) -> Option<jsonwebtoken::Algorithm> {
        match self {
            Self::RsaPssSha512 => Some(jsonwebtoken::Algorithm::PS512),
            Self::RsaV15Sha256 => Some(jsonwebtoken::Algorithm::RS256),
            Self::HmacSha256 => None,
            Self::EcdsaP256Sha256 => Some(jsonwebtoken::Algorithm::ES256),
            Self::EcdsaP384Sha384 => Some(jsonwebtoken::Algorithm::ES384),
            Self::Ed25519 => Some(jsonwebtoken::Algorithm::EdDSA),
        }
    }

    const fn of_public_key(self) -> Option<PublicKeyAlgorithm> {
        match self {
            Self::RsaPssSha512 => Some(PublicKeyAlgorithm::RsaPssSha512),
            Self::RsaV15Sha256 => Some(PublicKeyAlgorithm::RsaSha256),
            Self::HmacSha256 => None,
            Self::EcdsaP256Sha256 => Some(PublicKeyAlgorithm::EcdsaP256Fixed),
            Self::EcdsaP384Sha384 => Some(PublicKeyAlgorithm::EcdsaP384Fixed),
            Self::Ed25519 => Some(PublicKeyAlgorithm::Ed25519),
        }
    }
}

/// A public key with every algorithm that it may be used with: one, or two for RSA.
#[derive(Clone, Debug)]
pub(in crate::scheme) struct MessageKey(Vec<(MessageAlgorithm, PublicKey)>);

impl MessageKey {
    /// Parses SPKI DER; `None` for another kind of key.
    pub(in crate::scheme) fn parse(spki: &[u8]) -> Option<Self> {
        let keys = MessageAlgorithm::PUBLIC.into_iter().filter_map(|algorithm| {
            let key = PublicKey::parse(algorithm.of_public_key()?, spki)?;
            Some((algorithm, key))
        });
        let keys: Vec<_> = keys.collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Whether the key made the signature, with this algorithm or, without one, with any of its own.
    pub(in crate::scheme) fn verifies(
        &self,
        wanted: Option<MessageAlgorithm>,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let message = SignedMessage::new(message);
        let mut allowed = self
            .0
            .iter()
            .filter(|(own, _)| wanted.is_none_or(|wanted| wanted == *own));
        allowed.any(|(_, key)| key.verifies(&message, signature))
    }

    /// An estimate of the time that one signature takes.
    pub(in crate::scheme) fn verification_ns(&self) -> u64 {
        self.0.iter().map(|(_, key)| key.verification_ns()).sum()
    }
}
