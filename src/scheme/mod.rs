//! Signature schemes: what a provider signs, where it says so, and the verdict on one request.
//!
//! Pure and synchronous: no IO, no clock, no metrics. A request passes through four steps, in this order:
//! [`Verifier::present`] reads the claim from the headers, [`Presented::age`] judges its timestamp, [`Check::update`]
//! absorbs the body as it arrives, [`Check::finish`] gives the verdict. The first two need no byte of the body.
//! The rows of providers are data in `presets`; facts and sources are in `docs/schemes.md`.

mod asymmetric;
pub mod challenge;
mod claim;
mod compile;
mod custom;
mod delivery;
mod form;
mod header;
mod json;
mod keys;
mod mac;
mod place;
pub mod presets;
mod sign;
mod stream;
mod template;
mod time;
mod url;
mod whole;

pub use custom::*;
pub use delivery::DeliveryId;

use crate::http::message::Headers;
use crate::outcome::Rejection;
use crate::secret::Secret;
use bytes::Bytes;
use compile::{Payload, Scheme};
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use stream::Stream;
use whole::Whole;

/// What a verifier may look at before the body: borrowed from the request, never copied.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method as received.
    pub method: &'a Method,
    /// Raw path and query as received (`/hook?a=%20b`).
    pub target: &'a str,
    /// All header fields as received.
    pub headers: &'a Headers,
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
#[derive(Clone, Debug)]
pub struct Verifier {
    scheme: Arc<Scheme>,
}

/// The replay window of schemes that sign no time: short, because a redelivery by hand must still get through.
const REPLAY_WINDOW: Duration = Duration::from_secs(300);

impl Verifier {
    /// Compiles a scheme: a preset by name, or `custom` with its description. `public_url` is what the provider calls,
    /// for schemes that sign the URL: an origin, or an origin with a path that replaces the request's; the query is
    /// always the request's own.
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
        let description = match (provider, custom) {
            (presets::CUSTOM, Some(custom)) => Ok(custom),
            (presets::CUSTOM, None) => {
                Err("`provider = \"custom\"` needs a description: write a table `[route.custom]`, see docs/schemes.md.".to_owned())
            }
            (preset, None) => presets::find(preset),
            (preset, Some(_)) => presets::find(preset).and_then(|_| {
                Err(format!("`custom` describes a scheme of your own: write `provider = \"custom\"` in place of `{preset}`, or remove it."))
            }),
        };
        let scheme = match description {
            Ok(description) => compile::compile(provider, description, &keys, public_url.as_deref())?,
            Err(fault) => return Err([vec![fault], keys::faults(&keys)].concat()),
        };
        Ok(Self {
            scheme: Arc::new(scheme),
        })
    }

    /// The scheme's name, for `Hookgate-Verified`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.scheme.name
    }

    /// Names of the keys, in configuration order: `Verified::secret` is an index into them.
    #[must_use]
    pub fn key_names(&self) -> &[String] {
        &self.scheme.key_names
    }

    /// The headers that the verdict depends on, the one with the signature first (a duplicate is refused, an alias is
    /// refused). Empty for schemes that sign inside the body.
    #[must_use]
    pub fn signature_headers(&self) -> &[HeaderName] {
        &self.scheme.headers
    }

    /// What an operator should know of this scheme at start: a body that is not covered, a weak algorithm. That a scheme
    /// signs no time is [`Verifier::has_timestamp`]; what is odd about a secret, the configuration says.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.scheme.warnings
    }

    /// Whether a signed time exists, so that a request can be stale and `tolerance` means something.
    #[must_use]
    pub fn has_timestamp(&self) -> bool {
        self.scheme.time.is_some()
    }

    /// The tolerance of a route that names none; `None` where the scheme has no time.
    #[must_use]
    pub fn default_tolerance(&self) -> Option<Duration> {
        self.scheme.tolerance
    }

    /// How long a delivered request is remembered on a route that does not say: `None` stands for the timestamp plus
    /// tolerance; schemes without a time have five minutes.
    #[must_use]
    pub fn default_replay_window(&self) -> Option<Duration> {
        (!self.has_timestamp()).then_some(REPLAY_WINDOW)
    }

    /// Reads the claim from the headers: signatures and timestamp. Bounded work, no allocation a sender can grow.
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`.
    pub fn present(&self, head: &Head<'_>) -> Result<Presented<'_>, Rejection> {
        let claim = match &self.scheme.payload {
            Payload::Stream { before, after, hash } => {
                Claimed::Stream(stream::Claimed::read(&self.scheme, head, (before, after, *hash))?)
            }
            Payload::Whole(_) => Claimed::Whole(Box::new(Whole::read(&self.scheme, head)?)),
        };
        let tolerance = Cell::new(self.scheme.tolerance.map(|tolerance| tolerance.as_secs()));
        Ok(Presented {
            verifier: self,
            claim,
            tolerance,
        })
    }

    /// The provider's id of this delivery, where the scheme has one and the request carries it. `body` in pieces.
    #[must_use]
    pub fn delivery_id<'a>(&self, head: &Head<'a>, body: &[Bytes]) -> Option<Cow<'a, [u8]>> {
        self.scheme.delivery_id.as_ref()?.find(head, body)
    }

    /// Where the provider's id of a delivery stands, for the schemes that have one.
    #[must_use]
    pub fn delivery_place(&self) -> Option<&DeliveryId> {
        self.scheme.delivery_id.as_ref()
    }

    /// The headers that a sender with the key of this index would set at `now` (Unix seconds). `None` when there is no
    /// such key, or when this scheme cannot be signed with what is configured (a public key, a signature in the body).
    #[must_use]
    pub fn sign(&self, key: usize, request: &SignRequest<'_>, now: u64) -> Option<Vec<(HeaderName, HeaderValue)>> {
        self.sign_with(&[key], request, now)
    }

    /// The hex MAC of a text under the key of this index, for a handshake that asks for proof that the receiver holds the
    /// key (Zoom). The caller sees to it that the text cannot be a signed payload. `None` for schemes without a MAC.
    #[must_use]
    pub fn prove(&self, key: usize, text: &[u8]) -> Option<String> {
        match &self.scheme.keys.get(key)?.key {
            keys::Key::Mac(mac) => {
                let mut mac = mac.clone();
                mac.update(text);
                Some(hex::encode(mac.finish().as_slice()))
            }
            keys::Key::Public(_) | keys::Key::Token(..) | keys::Key::Digest(..) => None,
        }
    }

    /// Like [`Verifier::sign`], with several keys at once, as a sender does during a rotation; `None` also where the
    /// scheme has room for one signature only.
    #[must_use]
    pub fn sign_with(
        &self,
        keys: &[usize],
        request: &SignRequest<'_>,
        now: u64,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        sign::sign(&self.scheme, keys, request, now)
    }
}

/// What the headers claim.
#[derive(Debug)]
pub struct Presented<'v> {
    verifier: &'v Verifier,
    claim: Claimed,
    /// What [`Presented::age`] was told, for a time that stands in the body and is judged at the end; the scheme's own
    /// until then, so that leaving `age` out cannot switch the judgement off.
    tolerance: Cell<Option<u64>>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // The large one is the common one, and its point is not to allocate.
enum Claimed {
    Stream(stream::Claimed),
    Whole(Box<Whole>),
}

impl Presented<'_> {
    /// Judges the claimed timestamp against `now` (Unix seconds), both ways.
    ///
    /// # Errors
    /// `TimestampStale`, `TimestampFuture`.
    pub fn age(&self, now: u64, tolerance: Option<u64>) -> Result<(), Rejection> {
        self.tolerance.set(tolerance);
        let seconds = match &self.claim {
            Claimed::Stream(claim) => claim.seconds,
            Claimed::Whole(whole) => whole.seconds,
        };
        seconds.map_or(Ok(()), |seconds| time::judge(seconds, now, tolerance))
    }

    /// Starts the check: keyed states are cloned, the part of the signed payload before the body is absorbed.
    #[must_use]
    pub fn check(self) -> Check {
        let tolerance = self.tolerance.get();
        Check(match self.claim {
            Claimed::Stream(claim) => Running::Stream(claim.start(&self.verifier.scheme, tolerance)),
            Claimed::Whole(mut whole) => {
                whole.tolerance = tolerance;
                Running::Whole(whole)
            }
        })
    }
}

/// The running check of one body. Owns its state, so it can live across an await.
#[derive(Debug)]
pub struct Check(Running);

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // As above.
enum Running {
    Stream(Stream),
    Whole(Box<Whole>),
}

impl Check {
    /// Absorbs the next piece of the body. Called once for every byte, in order.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.0 {
            Running::Stream(stream) => stream.update(piece),
            Running::Whole(_) => {}
        }
    }

    /// The verdict: every active secret against every candidate, in constant time. `body` is what was absorbed, in
    /// pieces, for the schemes that must look inside (form, JSON pointer).
    ///
    /// # Errors
    /// `SignatureMismatch`; `SignatureMissing`, `SignatureMalformed`, `TimestampStale` and `TimestampFuture` where
    /// signature or time stand in the body.
    pub fn finish(self, body: &[Bytes], now: u64) -> Result<Verified, Rejection> {
        match self.0 {
            Running::Stream(stream) => stream.finish(body, now),
            Running::Whole(whole) => whole.finish(body, now),
        }
    }
}

/// The pieces of a body as one; copied only when there are several.
fn contiguous(body: &[Bytes]) -> Cow<'_, [u8]> {
    match body {
        [one] => Cow::Borrowed(one),
        pieces => Cow::Owned(pieces.concat()),
    }
}

#[cfg(test)]
mod tests;
