//! Signature schemes: what a provider signs, where it says so, and the verdict on one request.
//!
//! Pure and synchronous: no IO, no clock, no metrics. A request passes through four steps, in this order:
//! [`Verifier::present`] reads the claim from the headers, [`Presented::age`] judges its timestamp, [`Check::update`]
//! absorbs the body as it arrives, [`Check::finish`] gives the verdict. The first two need no byte of the body.
//! The rows of providers are data in `presets`; facts and sources are in `docs/schemes.md`.

mod custom;
mod header;
mod mac;
mod paddle;
pub mod presets;
mod time;

pub use custom::*;

use crate::outcome::Rejection;
use crate::secret::Secret;
use bytes::Bytes;
use header::Candidates;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use mac::{Hash, Mac};
use std::borrow::Cow;
use std::time::Duration;
use subtle::{Choice, ConditionallySelectable};

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

/// What a sender would sign: the input of [`Verifier::sign`].
#[derive(Clone, Copy, Debug)]
pub struct SignRequest<'a> {
    /// The method that the request will have.
    pub method: &'a Method,
    /// Raw path and query that the request will have.
    pub target: &'a str,
    /// Id of the delivery, for schemes that send one in a header; made from the time where there is none.
    pub delivery_id: Option<&'a str>,
    /// The exact body.
    pub body: &'a [u8],
}

/// A scheme with its keys: everything that is the same for all requests of a route.
#[derive(Debug)]
pub struct Verifier {
    name: String,
    key_names: Vec<String>,
    /// Expanded keys, in configuration order; never empty.
    keys: Vec<Mac>,
    header: HeaderName,
}

impl Verifier {
    /// Compiles a scheme: a preset by name, or `custom` with its description.
    ///
    /// # Errors
    /// Every fault at once, each a sentence that says what to write instead and shows no secret.
    #[allow(clippy::needless_pass_by_value)] // The keys are consumed: no copy of a secret stays with the caller.
    pub fn new(
        provider: &str,
        custom: Option<Custom>,
        keys: Vec<NamedSecret>,
        public_url: Option<String>,
    ) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        if let Err(fault) = presets::find(provider) {
            faults.push(fault);
        }
        if custom.is_some() {
            faults.push(format!("`custom` describes a scheme of your own: write `provider = \"custom\"` in place of `{provider}`, or remove `custom`."));
        }
        if public_url.is_some() {
            faults.push(format!(
                "`public_url` belongs to schemes that sign the URL; remove it, `{provider}` does not."
            ));
        }
        faults.extend(key_faults(&keys));
        let expanded: Vec<Mac> = keys
            .iter()
            .filter_map(|key| Mac::new(Hash::Sha256, key.secret.expose()))
            .collect();
        if !faults.is_empty() || expanded.len() != keys.len() {
            return Err(faults);
        }
        Ok(Self {
            name: provider.to_owned(),
            key_names: keys.into_iter().map(|key| key.name).collect(),
            keys: expanded,
            header: HeaderName::from_static("paddle-signature"),
        })
    }

    /// The scheme's name, for `Hookgate-Verified`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the keys, in configuration order: `Verified::secret` is an index into them.
    #[must_use]
    pub fn key_names(&self) -> &[String] {
        &self.key_names
    }

    /// The header that carries the signature, for the header rules (a duplicate is refused, an alias is refused).
    #[must_use]
    pub const fn signature_headers(&self) -> &[HeaderName] {
        std::slice::from_ref(&self.header)
    }

    /// Whether a signed time exists, so that a request can be stale and `tolerance` means something.
    #[must_use]
    pub const fn has_timestamp(&self) -> bool {
        true
    }

    /// The tolerance of a route that names none; `None` where the scheme has no time.
    #[must_use]
    pub const fn default_tolerance(&self) -> Option<Duration> {
        Some(paddle::TOLERANCE)
    }

    /// How long a delivered request is remembered on a route that does not say: `None` stands for the timestamp plus
    /// tolerance; schemes without a time have five minutes, because a redelivery by hand must still get through.
    #[must_use]
    pub const fn default_replay_window(&self) -> Option<Duration> {
        None
    }

    /// Reads the claim from the headers: signatures and timestamp. Bounded work, no allocation a sender can grow.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`.
    pub fn present(&self, head: &Head<'_>) -> Result<Presented<'_>, Rejection> {
        let claim = paddle::read(header::only(head.headers, &self.header)?)?;
        Ok(Presented { verifier: self, claim })
    }

    /// The provider's id of this delivery, where the scheme has one and the request carries it. `body` in pieces.
    #[must_use]
    pub fn delivery_id<'a>(&self, _head: &Head<'a>, body: &'a [Bytes]) -> Option<Cow<'a, [u8]>> {
        paddle::delivery_id(body)
    }

    /// The headers that a sender with the key of this index would set at `now` (Unix seconds). `None` when there is no
    /// such key, or when this scheme cannot be signed with what is configured (a public key).
    #[must_use]
    pub fn sign(&self, key: usize, request: &SignRequest<'_>, now: u64) -> Option<Vec<(HeaderName, HeaderValue)>> {
        self.sign_with(&[key], request, now)
    }

    /// Like [`Verifier::sign`], with several keys at once, as a sender does during a rotation.
    #[must_use]
    pub fn sign_with(
        &self,
        keys: &[usize],
        request: &SignRequest<'_>,
        now: u64,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let macs = keys.iter().map(|&key| self.keys.get(key)).collect::<Option<Vec<_>>>()?;
        let value = HeaderValue::try_from(paddle::sign(&macs, request.body, now)?).ok()?;
        Some(vec![(self.header.clone(), value)])
    }
}

/// Faults of keys that no scheme can work with.
fn key_faults(keys: &[NamedSecret]) -> Vec<String> {
    let mut faults = Vec::new();
    if keys.is_empty() {
        faults.push(
            "No secret is configured: write `secrets = [{ env = \"NAME\" }]` or `[{ file = \"/path\" }]`.".to_owned(),
        );
    }
    for (index, key) in keys.iter().enumerate() {
        let bytes = key.secret.expose();
        if bytes.trim_ascii().is_empty() {
            faults.push(format!(
                "The secret `{}` is empty: put the provider's whole signing secret there.",
                key.name
            ));
        } else if bytes.eq_ignore_ascii_case(b"changeme") {
            faults.push(format!(
                "The secret `{}` is a placeholder: put the provider's signing secret there.",
                key.name
            ));
        } else if let Some(other) = keys.iter().take(index).find(|other| other.secret == key.secret) {
            faults.push(format!(
                "The secrets `{}` and `{}` are the same: remove one of them.",
                other.name, key.name
            ));
        }
        if keys.iter().take(index).any(|other| other.name == key.name) {
            faults.push(format!(
                "Two secrets are named `{}`: give each a `name` of its own.",
                key.name
            ));
        }
    }
    faults
}

/// What the headers claim.
#[derive(Debug)]
pub struct Presented<'v> {
    verifier: &'v Verifier,
    claim: paddle::Claim,
}

impl Presented<'_> {
    /// Judges the claimed timestamp against `now` (Unix seconds), both ways.
    ///
    /// # Errors
    /// `TimestampStale`, `TimestampFuture`.
    pub const fn age(&self, now: u64, tolerance: Option<u64>) -> Result<(), Rejection> {
        time::judge(self.claim.seconds, now, tolerance)
    }

    /// Starts the check: keyed states are cloned, the part of the signed payload before the body is absorbed.
    #[must_use]
    pub fn check(self) -> Check {
        let Self { verifier, claim } = self;
        let prefix = claim.prefix();
        let mut macs = verifier.keys.iter().cloned().map(|mut mac| {
            mac.update(prefix);
            mac
        });
        Check {
            first: macs.next(),
            more: macs.collect(),
            timestamp: claim.seconds,
            candidates: claim.candidates,
        }
    }
}

/// The running check of one body. Owns its state, so it can live across an await.
#[derive(Debug)]
pub struct Check {
    first: Option<Mac>,
    /// States of the other active secrets; empty, and so without an allocation, for the common single one.
    more: Vec<Mac>,
    timestamp: u64,
    candidates: Candidates,
}

impl Check {
    /// Absorbs the next piece of the body. Called once for every byte, in order.
    pub fn update(&mut self, piece: &[u8]) {
        for mac in self.first.iter_mut().chain(&mut self.more) {
            mac.update(piece);
        }
    }

    /// The verdict: every active secret against every candidate, in constant time. `body` is what was absorbed, in
    /// pieces, for the schemes that must look inside (form, JSON pointer).
    ///
    /// # Errors
    /// `SignatureMismatch`; `SignatureMissing`, `SignatureMalformed`, `TimestampStale` and `TimestampFuture` where
    /// signature or time stand in the body.
    pub fn finish(self, _body: &[Bytes], _now: u64) -> Result<Verified, Rejection> {
        let mut identity = [0; 32];
        let mut found = Choice::from(0);
        let mut secret = 0u64;
        for (index, mac) in (0u64..).zip(self.first.into_iter().chain(self.more)) {
            let tag = mac.finish();
            if index == 0 {
                identity = tag.identity();
            }
            let hit = self.candidates.iter().fold(Choice::from(0), |hit, candidate| {
                hit | tag.matches(candidate.as_slice())
            });
            secret.conditional_assign(&index, hit & !found);
            found |= hit;
        }
        let secret = usize::try_from(secret).unwrap_or_default();
        if found.into() {
            Ok(Verified {
                secret,
                timestamp: Some(self.timestamp),
                identity,
            })
        } else {
            Err(Rejection::SignatureMismatch)
        }
    }
}

#[cfg(test)]
mod tests;
