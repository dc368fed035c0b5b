//! What identifies a verified webhook in the replay store. Pure.
//!
//! No key is part of an identity: adding, removing and reordering the secrets of a route changes nothing, and replicas that
//! are one configuration apart agree. The route's name and its scheme are part of it ([`key_space`]).

use crate::outcome::Rejection;
use crate::replay::{ClaimRequest, KeyKind, KeyLifetime, ReplayKey, key_space};
use crate::scheme::facts::{EqualBytes, IdScope};
use crate::scheme::{Coverage, DeliveryId, HeadRef, IdentityHash, Verified, Work};
use crate::settings::{Dedupe, Order, Route};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// The key spaces of one route.
#[derive(Debug)]
pub(super) struct ReplayIdentity {
    request: u64,
    delivery: u64,
    token: u64,
    /// Whether different notifications can be the same bytes, so that the delivery id is part of the identity although it
    /// is not signed.
    adds_id: bool,
}

impl ReplayIdentity {
    pub(super) fn new(route: &Route) -> Self {
        let space = |kind| key_space(&route.name, route.verifier.name(), kind);
        let facts = route.verifier.facts();
        Self {
            request: space(KeyKind::Request),
            delivery: space(KeyKind::Delivery),
            token: space(KeyKind::Token),
            adds_id: facts.is_some_and(|facts| facts.equal_bytes == EqualBytes::UnlessId),
        }
    }

    /// An estimate of the work to read from a body what identifies it, for the replay guard and for the inbox.
    pub(super) fn work(route: &Route) -> Work {
        let verifier = &route.verifier;
        let of_id = verifier
            .delivery_id_location()
            .map_or(Work::default(), DeliveryId::work);
        let adds_id = verifier
            .facts()
            .is_some_and(|facts| facts.equal_bytes == EqualBytes::UnlessId);
        let rest = match verifier.coverage() {
            Coverage::Whole | Coverage::BodyOnly => Work::default(),
            Coverage::Part | Coverage::SingleUseToken => Work::ONE_HASH.times(2),
        };
        let dedupe = route.dedupe.as_ref().map_or(Work::default(), |dedupe| dedupe.id.work());
        let of_inbox = match &route.delivery {
            None => Work::default(),
            Some(delivery) => match &delivery.order {
                Order::None | Order::Route => of_id,
                Order::Key(location) => of_id.and(location.work()),
            },
        };
        let of_guard = if adds_id { of_id } else { Work::default() };
        rest.and(of_guard).and(dedupe).and(of_inbox)
    }

    /// All key spaces of the route.
    pub(super) const fn spaces(&self) -> [u64; 3] {
        [self.request, self.delivery, self.token]
    }

    /// What a verified request must claim before it is forwarded at `now_unix` (seconds); `body` in pieces.
    ///
    /// # Errors
    /// `DeliveryIdMissing` on a route that refuses requests without a delivery id.
    pub(super) fn claim_request(
        &self,
        route: &Route,
        verified: &Verified,
        head: &HeadRef<'_>,
        body: &[Bytes],
        now_unix: u64,
    ) -> Result<ClaimRequest, Rejection> {
        let mut claim = ClaimRequest::default();
        let key = |space, identity, keep, timestamp| {
            let lifetime = KeyLifetime { keep, timestamp };
            Some((ReplayKey { space, identity }, lifetime))
        };
        // With an unlimited tolerance an older time says nothing about a forgotten key.
        let timestamp = verified.timestamp.filter(|_| route.tolerance.is_some());
        let coverage = route.verifier.coverage();
        if let Some(keep) = remember(route, timestamp, now_unix) {
            let signed = of_tenant(verified, verified.identity);
            let is_empty = || body.iter().all(Bytes::is_empty);
            match coverage {
                // Every request without a body has this signature: nothing tells a repetition from another request.
                Coverage::BodyOnly if is_empty() => {}
                Coverage::Whole | Coverage::BodyOnly => {
                    let identity = match self.adds_id.then(|| route.verifier.delivery_id(head, body)).flatten() {
                        Some(id) => Sha256::new().chain_update(signed).chain_update(&id).finalize().into(),
                        None => signed,
                    };
                    claim.request = key(self.request, identity, keep, timestamp);
                }
                Coverage::Part => {
                    let identity = self.with_rest(route, signed, head, body);
                    claim.request = key(self.request, identity, keep, timestamp);
                }
                Coverage::SingleUseToken => {
                    let identity = self.with_rest(route, signed, head, body);
                    claim.request = key(self.request, identity, keep, timestamp);
                    // A token stays used at least as long as its delivery is known.
                    let known = route.dedupe.as_ref().map_or(Duration::ZERO, |dedupe| dedupe.window);
                    claim.token = key(self.token, signed, keep.max(known), timestamp);
                }
            }
        }
        if let Some(dedupe) = &route.dedupe {
            match dedupe.id.find(head, body) {
                Some(id) => {
                    let id = self.delivery(route, dedupe, verified, &id);
                    let identity = match coverage {
                        Coverage::SingleUseToken => self.with_rest(route, id, head, body),
                        Coverage::Whole | Coverage::BodyOnly | Coverage::Part => id,
                    };
                    claim.delivery = key(self.delivery, identity, dedupe.window, None);
                }
                None if dedupe.reject_missing => return Err(Rejection::DeliveryIdMissing),
                None => {}
            }
        }
        Ok(claim)
    }

    /// What identifies the webhook for the inbox: the provider's delivery id, else what was signed. `None` where different
    /// webhooks can be the same bytes, or where what was signed is not remembered.
    pub(super) fn delivery_id(
        &self,
        route: &Route,
        verified: &Verified,
        head: &HeadRef<'_>,
        body: &[Bytes],
        claim: &ClaimRequest,
    ) -> Option<[u8; 32]> {
        let dedupe = route.dedupe.as_ref();
        let location = dedupe.map(|dedupe| &dedupe.id);
        let location = location.or_else(|| route.verifier.delivery_id_location());
        let Some(id) = location.and_then(|location| location.find(head, body)) else {
            let (key, _) = claim.request.as_ref()?;
            return match route.verifier.identity_hash() {
                IdentityHash::None | IdentityHash::Sha256 => Some(key.identity),
                // The id must be the same after a restart and on other replicas.
                IdentityHash::ThisProcess => {
                    let identity = route.verifier.stable_identity(head, body)?;
                    Some(of_tenant(verified, identity))
                }
            };
        };
        let facts = route.verifier.facts();
        let is_event = facts.is_some_and(|facts| facts.id == Some(IdScope::Event));
        let mut hash = Sha256::new();
        if dedupe.map_or(is_event, |dedupe| dedupe.per_secret) {
            let secret = route.verifier.key_names().get(verified.secret);
            hash.update(secret.map_or("", String::as_str));
        }
        let hash: [u8; 32] = hash.chain_update([0]).chain_update(&id).finalize().into();
        let hash = of_tenant(verified, hash);
        match route.verifier.coverage() {
            Coverage::SingleUseToken => Some(self.with_rest(route, hash, head, body)),
            Coverage::Whole | Coverage::BodyOnly | Coverage::Part => Some(hash),
        }
    }

    /// The identity of a request whose signature does not cover it: what is signed, and the rest.
    fn with_rest(&self, route: &Route, signed: [u8; 32], head: &HeadRef<'_>, body: &[Bytes]) -> [u8; 32] {
        let id = self.adds_id.then(|| route.verifier.delivery_id(head, body)).flatten();
        let texts = [
            head.method.as_str().as_bytes(),
            head.target.as_bytes(),
            id.as_deref().unwrap_or_default(),
        ];
        let lengths = texts.map(|text| text.len().to_be_bytes());
        let texts = lengths
            .iter()
            .zip(texts)
            .flat_map(|(length, text)| [length.as_slice(), text]);
        let body = body.iter().map(|piece| piece.as_ref());
        let hash = match route.verifier.identity_hash() {
            // The guard is off, and this identifies a delivery.
            IdentityHash::None => IdentityHash::Sha256,
            hash @ (IdentityHash::Sha256 | IdentityHash::ThisProcess) => hash,
        };
        hash.of([signed.as_slice()].into_iter().chain(texts).chain(body))
    }

    /// The identity of a delivery by the provider's id, under the secret that signed it where that makes a difference. The
    /// secret's name stands for it, so that a secret may get another value.
    fn delivery(&self, route: &Route, dedupe: &Dedupe, verified: &Verified, id: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        if dedupe.per_secret {
            let secret = route.verifier.key_names().get(verified.secret);
            hash.update(secret.map_or("", String::as_str));
            hash.update([0]);
        }
        of_tenant(verified, hash.chain_update(id).finalize().into())
    }
}

/// An identity among those of one tenant: two tenants may have the same secret or send the same id. Unchanged on a route
/// without tenants.
fn of_tenant(verified: &Verified, identity: [u8; 32]) -> [u8; 32] {
    match verified.tenant == [0; 32] {
        true => identity,
        false => Sha256::new()
            .chain_update(verified.tenant)
            .chain_update(identity)
            .finalize()
            .into(),
    }
}

/// How long a delivered request is remembered: the route's replay window, or until a copy would be stale. `None` when the
/// guard is off, or when the route has neither a window nor a signed time.
fn remember(route: &Route, signed: Option<u64>, now_unix: u64) -> Option<Duration> {
    let tolerance = route.tolerance.map(|tolerance| tolerance.as_secs());
    match (route.replay.window, signed, tolerance) {
        (Some(window), ..) => Some(window).filter(|window| !window.is_zero()),
        (None, Some(signed), Some(tolerance)) => Some(Duration::from_secs(
            signed.saturating_add(tolerance).saturating_sub(now_unix),
        )),
        (None, ..) => None,
    }
}
