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

/// A scheme with its keys: everything that is the same for all requests of a route.
#[derive(Debug)]
pub struct Verifier;

impl Verifier {
    /// The header that carries the signature, for the header rules (a duplicate is refused, an alias is refused).
    #[must_use]
    pub fn signature_headers(&self) -> &[HeaderName] {
        &[]
    }
}

/// What the headers claim.
#[derive(Debug)]
pub struct Presented<'v>(&'v Verifier);

/// The running check of one body. Owns its state, so it can live across an await.
#[derive(Debug)]
pub struct Check;

impl Verifier {
    /// Reads the claim from the headers: signatures and timestamp. Bounded work, no allocation a sender can grow.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`.
    pub fn present(&self, _head: &Head<'_>) -> Result<Presented<'_>, Rejection> {
        Ok(Presented(self))
    }
}

impl Presented<'_> {
    /// Judges the claimed timestamp against `now` (Unix seconds), both ways.
    ///
    /// # Errors
    /// `TimestampStale`, `TimestampFuture`.
    pub fn age(&self, _now: u64, _tolerance: Option<u64>) -> Result<(), Rejection> {
        Ok(())
    }

    /// Starts the check: keyed states are cloned, the part of the signed payload before the body is absorbed.
    #[must_use]
    pub fn check(self) -> Check {
        Check
    }
}

impl Check {
    /// Absorbs the next piece of the body. Called once for every byte, in order.
    pub fn update(&mut self, _piece: &[u8]) {}

    /// The verdict: every active secret against every candidate, in constant time. `body` is what was absorbed, in
    /// pieces, for the schemes that must look inside (form, JSON pointer).
    ///
    /// # Errors
    /// `SignatureMismatch`; `SignatureMissing`, `SignatureMalformed`, `TimestampStale` and `TimestampFuture` where
    /// signature or time stand in the body.
    pub fn finish(self, _body: &[Bytes], _now: u64) -> Result<Verified, Rejection> {
        Err(Rejection::SignatureMismatch)
    }
}
