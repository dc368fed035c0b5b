//! The groups of the key exchange: which a listener offers, and which a handshake used.

use rustls::crypto::aws_lc_rs::kx_group;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{CommonState, NamedGroup};
use std::sync::Arc;

/// The groups of a listener, in order of preference. The first one is also safe from the quantum computers of the future:
/// what is recorded today cannot be decrypted then.
static PREFERRED: [&dyn SupportedKxGroup; 4] = [
    kx_group::X25519MLKEM768,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

/// The group of a completed handshake, as a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyExchange {
    /// X25519 with ML-KEM-768.
    X25519MlKem768,
    /// X25519.
    X25519,
    /// NIST P-256.
    Secp256r1,
    /// NIST P-384.
    Secp384r1,
    /// No key exchange: a session of TLS 1.2 that was resumed.
    None,
}

impl KeyExchange {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::X25519MlKem768,
        Self::X25519,
        Self::Secp256r1,
        Self::Secp384r1,
        Self::None,
    ];

    /// The group of a completed handshake.
    #[must_use]
    pub fn of(session: &CommonState) -> Self {
        let name = session.negotiated_key_exchange_group().map(SupportedKxGroup::name);
        let named = Self::ALL.into_iter().find(|group| group.name() == name);
        named.unwrap_or(Self::None)
    }

    /// The label in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::X25519MlKem768 => "x25519mlkem768",
            Self::X25519 => "x25519",
            Self::Secp256r1 => "secp256r1",
            Self::Secp384r1 => "secp384r1",
            Self::None => "none",
        }
    }

    const fn name(self) -> Option<NamedGroup> {
        match self {
            Self::X25519MlKem768 => Some(NamedGroup::X25519MLKEM768),
            Self::X25519 => Some(NamedGroup::X25519),
            Self::Secp256r1 => Some(NamedGroup::secp256r1),
            Self::Secp384r1 => Some(NamedGroup::secp384r1),
            Self::None => None,
        }
    }
}

/// The cryptography of a listener.
pub(super) fn listener_provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: PREFERRED.to_vec(),
        ..rustls::crypto::aws_lc_rs::default_provider()
    })
}
