//! Fast verification for payloads that are parts of the head around the body: the MAC of every key absorbs the body
//! while it arrives.
//!
//! There is one MAC per active secret, whatever the number of candidates. One secret with one candidate needs no
//! allocation.

use super::boundary::BodyStart;
use super::compiled::CompiledScheme;
use super::header::{self, Candidates};
use super::identity::IdentityHash;
use super::keys::VerificationKey;
use super::location::{TimestampLocation, TimestampSource};
use super::mac::{HmacHash, Mac};
use super::plain;
use super::template::{PayloadPart, SmallBuffer};
use super::tenant::ChosenTenant;
use super::types::{HeadRef, Verified, contiguous};
use crate::outcome::Rejection;
use crate::secret::Secret;
use bytes::Bytes;
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable};

/// What was read from the head, before any key is used.
#[derive(Debug)]
pub(super) struct StreamingHead {
    candidates: Candidates,
    /// The signed time of the head, Unix seconds.
    pub(super) timestamp_unix: Option<u64>,
    /// The signed bytes before the body.
    before: SmallBuffer,
    /// The signed bytes after the body; empty for most schemes, and then without an allocation.
    after: Vec<u8>,
    /// The length of a body with which the payload could be a challenge's text; see [`StreamingCheck`].
    plain_bytes: Option<usize>,
    /// How the body may begin.
    body_start: BodyStart,
}

impl StreamingHead {
    /// Reads the head. `parts` are the fields of [`PayloadPlan::Streamed`](super::compiled::PayloadPlan::Streamed).
    ///
    /// # Errors
    /// `SignatureMissing`, `SignatureMalformed`.
    pub(super) fn read(
        scheme: &CompiledScheme,
        head: &HeadRef<'_>,
        parts: (&[PayloadPart], &[PayloadPart], HmacHash),
    ) -> Result<Self, Rejection> {
        let (before_body, after_body, hash) = parts;
        let prefix = scheme.prefixes.first().map_or("", String::as_str);
        let mut candidates = Candidates::default();
        let values = scheme.read(head, |text| {
            let bare = if prefix.is_empty() {
                Some(text)
            } else {
                text.strip_prefix(prefix)
            };
            match bare.and_then(|text| header::decode_tag(text, scheme.encoding, hash)) {
                Some(tag) => candidates.push(tag),
                None if scheme.strict => Err(Rejection::SignatureMalformed),
                None => Ok(()),
            }
        })?;
        if candidates.is_empty() {
            return Err(Rejection::SignatureMalformed);
        }
        let body_start = scheme.check_boundaries(head, &values)?;
        let fill = |parts: &[PayloadPart], into: &mut dyn FnMut(&[u8])| {
            parts.iter().try_for_each(|part| {
                if *part == PayloadPart::Url {
                    let urls = scheme
                        .public_url
                        .as_ref()
                        .map(|url| url.candidates(&scheme.signed_target(head.target)));
                    into(urls.iter().flatten().next().map(Secret::expose).unwrap_or_default());
                    return Ok(());
                }
                scheme
                    .write_head_part(part, head, &values, &mut |bytes| into(bytes))
                    .map(drop)
            })
        };
        let (mut before, mut after) = (SmallBuffer::default(), Vec::new());
        fill(before_body, &mut |bytes| before.push(bytes))?;
        fill(after_body, &mut |bytes| after.extend_from_slice(bytes))?;
        let around = before.as_slice().len() + after.len();
        let is_plain = || plain::is_plain_part(before.as_slice()) && plain::is_plain_part(&after);
        let plain_bytes = match scheme.refuses_plain_payloads() && is_plain() {
            true => plain::MAX_PLAIN_BYTES.checked_sub(around),
            false => None,
        };
        Ok(Self {
            candidates,
            timestamp_unix: values.timestamp_unix,
            before,
            after,
            plain_bytes,
            body_start,
        })
    }

    /// The identity of the request with this body, in pieces.
    pub(super) fn identity(&self, hash: IdentityHash, body: &[Bytes]) -> [u8; 32] {
        signed_identity(hash, &self.before, body, &self.after)
    }

    /// Clones the keyed states and absorbs what is signed before the body. `tolerance` in seconds, for a time in the
    /// body. `identity`: how the result's identity is computed.
    pub(super) fn start(
        self,
        scheme: &Arc<CompiledScheme>,
        tolerance: Option<u64>,
        identity: IdentityHash,
        tenant: Option<&ChosenTenant>,
    ) -> StreamingCheck {
        let of_tenant = tenant.map(|tenant| tenant.keys(scheme));
        let of_scheme = scheme.keys.iter().filter(|_| tenant.is_none());
        let keys = of_tenant.into_iter().flatten().chain(of_scheme);
        let mut macs = keys.filter_map(|key| match &key.key {
            VerificationKey::Mac(mac) => {
                let mut mac = mac.clone();
                mac.update(self.before.as_slice());
                Some(mac)
            }
            VerificationKey::Public(_)
            | VerificationKey::Token(..)
            | VerificationKey::Digest(..)
            | VerificationKey::Message(_)
            | VerificationKey::Fetched => None,
        });
        let is_in_body = matches!(
            &scheme.timestamp,
            Some(TimestampSource {
                location: TimestampLocation::Json(_),
                ..
            })
        );
        StreamingCheck {
            first: macs.next(),
            more: macs.collect(),
            timestamp_unix: self.timestamp_unix,
            candidates: self.candidates,
            before: self.before,
            identity,
            after: self.after,
            plain_bytes: self.plain_bytes,
            body_start: self.body_start,
            timestamp_in_body: is_in_body.then(|| (Arc::clone(scheme), tolerance)),
            tenant: tenant.map_or([0; 32], ChosenTenant::digest),
        }
    }
}

/// The running check of one body.
#[derive(Debug)]
pub(super) struct StreamingCheck {
    /// The state of the first active secret.
    first: Option<Mac>,
    /// The states of the other active secrets; empty, and then without an allocation, for the usual single secret.
    more: Vec<Mac>,
    /// The signed time of the head, Unix seconds.
    timestamp_unix: Option<u64>,
    candidates: Candidates,
    /// The signed bytes before the body, for the identity.
    before: SmallBuffer,
    /// How the identity is computed: for genuine requests only, so that a forged one costs one hash of its body and not
    /// two.
    identity: IdentityHash,
    /// The signed bytes after the body.
    after: Vec<u8>,
    /// On a route that answers the HMAC of a challenge's text: the length up to which a plain body makes the payload such
    /// a text, and the request is refused. `None` where the payload cannot be one.
    plain_bytes: Option<usize>,
    /// How the body may begin.
    body_start: BodyStart,
    /// SHA-256 of the tenant's name; zero on a route without tenants.
    tenant: [u8; 32],
    /// The scheme and the tolerance in seconds, where the time is in the body.
    timestamp_in_body: Option<(Arc<CompiledScheme>, Option<u64>)>,
}

impl StreamingCheck {
    /// The number of candidate signatures.
    pub(super) fn candidates(&self) -> usize {
        self.candidates.iter().count()
    }

    /// Absorbs the next piece of the body.
    pub(super) fn update(&mut self, piece: &[u8]) {
        for mac in self.first.iter_mut().chain(&mut self.more) {
            mac.update(piece);
        }
    }

    /// Compares every secret with every candidate, in constant time. `body` is what was absorbed, in pieces.
    ///
    /// # Errors
    /// `SignatureMismatch`; for a time in the body also `SignatureMalformed`, `TimestampStale` and `TimestampFuture`.
    pub(super) fn finish(mut self, body: &[Bytes], now_unix: u64) -> Result<Verified, Rejection> {
        self.body_start.check(body.iter().map(|piece| piece.as_ref()))?;
        let after = std::mem::take(&mut self.after);
        self.update(&after);
        let mut found = Choice::from(0);
        let mut secret = 0u64;
        for (index, mac) in (0u64..).zip(self.first.into_iter().chain(self.more)) {
            let tag = mac.finish();
            let hit = self
                .candidates
                .iter()
                .fold(Choice::from(0), |hit, candidate| hit | tag.same(candidate));
            secret.conditional_assign(&index, hit & !found);
            found |= hit;
        }
        let length: usize = body.iter().map(Bytes::len).sum();
        let is_plain = self
            .plain_bytes
            .is_some_and(|most| (1..=most).contains(&length) && body.iter().all(|piece| plain::is_plain_part(piece)));
        if is_plain || !bool::from(found) {
            return Err(Rejection::SignatureMismatch);
        }
        let timestamp = match &self.timestamp_in_body {
            None => self.timestamp_unix,
            Some((scheme, tolerance)) => scheme.timestamp_in_json(&contiguous(body), now_unix, *tolerance)?,
        };
        Ok(Verified {
            secret: usize::try_from(secret).unwrap_or_default(),
            timestamp,
            identity: signed_identity(self.identity, &self.before, body, &after),
            tenant: self.tenant,
            sealed: (),
        })
    }
}

/// The identity of a signed payload: what is before the body, the body in pieces, and what is after it.
fn signed_identity(hash: IdentityHash, before: &SmallBuffer, body: &[Bytes], after: &[u8]) -> [u8; 32] {
    let body = body.iter().map(|piece| piece.as_ref());
    hash.of([before.as_slice()].into_iter().chain(body).chain([after]))
}
