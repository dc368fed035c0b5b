//! Signature schemes: what a provider signs, where it says so, and the verdict on one request.
//!
//! Pure and synchronous: no IO, no clock, no metrics. A request passes through four steps, in this order:
//! [`Verifier::present`] reads the claim from the headers, [`Presented::age`] judges its timestamp, [`Check::update`]
//! absorbs the body as it arrives, [`Check::finish`] gives the verdict. The first two need no byte of the body.
//! The rows of providers are data in `presets`; facts and sources are in `docs/schemes.md`.

use crate::outcome::Rejection;
use crate::secret::Secret;
use bytes::Bytes;
use hyper::{HeaderMap, Method, header::HeaderName};

/// What a verifier may look at before the body: borrowed from the request, never copied.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method as received.
    pub method: &'a Method,
    /// Raw path and query as received (`/hook?a=%20b`).
    pub target: &'a str,
    /// All header fields as received.
    pub headers: &'a HeaderMap,
}

/// One secret (or public key) as configured.
#[derive(Clone, Debug)]
pub struct NamedSecret {
    /// Label for metrics, the audit line and `Hookgate-Key`; never the secret itself.
    pub name: String,
    /// The bytes, verbatim.
    pub secret: Secret,
}

/// A request whose signature is genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Index of the active secret that matched, in configuration order.
    pub secret: usize,
    /// The signed timestamp, Unix seconds, where the scheme has one.
    pub timestamp: Option<u64>,
    /// Names what was signed, whatever the header's text looked like: the first active secret's MAC (or a SHA-256 of
    /// the signed payload for schemes without a MAC). Equal for two requests exactly when their signed bytes are equal.
    pub identity: [u8; 32],
}
