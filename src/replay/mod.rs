//! The guard: remembers what was delivered, in two steps, so that a retry after a failure is not a repetition.
//!
//! A request is *claimed* before it is forwarded and *committed* when the upstream answered 2xx; anything else, a panic
//! included, releases the claim, and the sender's retry is let in. A plain "seen before" set would lose that webhook.
//! One claim has up to two keys: the *request* (its signed bytes, against replays) and the *delivery* (the provider's id,
//! against the sender's own retries, `[route.dedupe]`). Only verified requests are claimed, so a flood of forgeries never
//! touches the store.

mod memory;
mod store_metrics;
mod redis;
mod shard;

pub use memory::MemoryStore;
pub use store_metrics::{StoreResult, StoreOperation, ReplayStoreMetrics};
pub use redis::RedisStore;

use crate::outcome::Rejection;
use memory::MemoryClaim;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Where claims are kept.
#[derive(Debug)]
pub enum Guard {
    /// In this process. Claims never wait and never allocate beyond the store's own growth.
    Memory(Arc<MemoryStore>),
    /// In Redis or Valkey, shared by replicas.
    Redis {
        /// The store.
        shared: RedisStore,
        /// What guards while the store does not answer, if requests are then accepted.
        fallback: Arc<MemoryStore>,
    },
}

/// One thing that is delivered once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey {
    /// The route and the kind of identity, see [`key_space`]; so that the same bytes on two routes are two webhooks.
    pub space: u64,
    /// [`crate::scheme::Verified::identity`], or the hash of a delivery's id.
    pub identity: [u8; 32],
}

/// What the identities of a space are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// What was signed.
    Request,
    /// The provider's id of the delivery.
    Delivery,
}

/// Names the identities of one kind on the route of this name: the same after a reload, on every replica, in every version.
#[must_use]
pub fn key_space(route: &str, kind: KeyKind) -> u64 {
    let kind: &[u8] = match kind {
        KeyKind::Request => b"request\0",
        KeyKind::Delivery => b"delivery\0",
    };
    let digest: [u8; 32] = Sha256::new().chain_update(kind).chain_update(route).finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// When a claim may be forgotten, and what must not come back once it is.
#[derive(Clone, Copy, Debug)]
pub struct KeyLifetime {
    /// From now until a copy of the request would be refused as stale anyway (or the route's window).
    pub keep: Duration,
    /// The signed timestamp, Unix seconds. Once a key is forgotten nothing that is signed as old or older is let in
    /// again, even if the wall clock steps back.
    pub timestamp: Option<u64>,
}

/// What is to be claimed, all of it or nothing.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest {
    /// The signed bytes; `None` where the replay guard is off.
    pub request: Option<(ReplayKey, KeyLifetime)>,
    /// The delivery's id; `None` where the route does not deduplicate, or the request has none.
    pub delivery: Option<(ReplayKey, KeyLifetime)>,
}

/// Why there is no claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// Committed before, and not yet forgotten.
    Delivered,
    /// Claimed by an exchange that has not settled.
    InFlight,
    /// Signed no later than something already forgotten: the clock stepped back.
    Forgotten,
    /// At capacity, and nothing has expired.
    Full,
}

impl ClaimError {
    /// The rejection, for a claim of this kind.
    const fn of(self, kind: KeyKind) -> Rejection {
        match (self, kind) {
            (Self::Delivered, KeyKind::Request) => Rejection::Replayed,
            (Self::Delivered, KeyKind::Delivery) => Rejection::Duplicate,
            (Self::InFlight, _) => Rejection::InFlight,
            (Self::Forgotten, _) => Rejection::TimestampStale,
            (Self::Full, _) => Rejection::ReplayStoreFull,
        }
    }
}

/// The right to deliver one webhook. Dropping it without [`Claim::commit`] releases it.
#[derive(Debug)]
pub enum Claim {
    /// In this process.
    Memory {
        /// The request's key.
        request: Option<MemoryClaim>,
        /// The delivery's key.
        delivery: Option<MemoryClaim>,
    },
    /// In the shared store.
    Redis(Box<redis::RedisClaim>),
}

impl Claim {
    /// The upstream took it: every copy is a repetition from now on.
    pub fn commit(self) {
        match self {
            Self::Memory { request, delivery } => request.into_iter().chain(delivery).for_each(MemoryClaim::commit),
            Self::Redis(held) => held.commit(),
        }
    }
}

impl Guard {
    /// Claims what is wanted, for the exchange of a worker that takes at most `lease`; `None` when that is nothing.
    ///
    /// # Errors
    /// `Replayed`, `Duplicate`, `InFlight`, `TimestampStale`, `ReplayStoreFull`, `ReplayStoreDown`.
    pub async fn claim(
        &self,
        worker: usize,
        wanted: &ClaimRequest,
        lease: Duration,
        now: Instant,
    ) -> Result<Option<Claim>, Rejection> {
        if wanted.request.is_none() && wanted.delivery.is_none() {
            return Ok(None);
        }
        match self {
            Self::Memory(store) => memory_claim(store, wanted, now).map(Some),
            // Boxed, so that exchanges guarded in memory do not carry the room for it.
            Self::Redis { shared, fallback } => match Box::pin(shared.claim(worker, wanted, lease)).await? {
                Some(held) => Ok(Some(Claim::Redis(Box::new(held)))),
                None if shared.accepts_failure() => {
                    shared.fell_back();
                    memory_claim(fallback, wanted, now).map(Some)
                }
                None => Err(Rejection::ReplayStoreDown),
            },
        }
    }

    /// Forgets what has expired. Called now and then.
    pub fn sweep(&self, now: Instant) {
        match self {
            Self::Memory(store) | Self::Redis { fallback: store, .. } => store.sweep(now),
        }
    }

    /// Keys held in this process, for the gauge.
    #[must_use]
    pub fn keys(&self) -> usize {
        match self {
            Self::Memory(store) | Self::Redis { fallback: store, .. } => store.len(),
        }
    }

    /// Whether this claim was made without the shared store that should have been asked.
    #[must_use]
    pub const fn fell_back(&self, claim: Option<&Claim>) -> bool {
        matches!((self, claim), (Self::Redis { .. }, Some(Claim::Memory { .. })))
    }

    /// The shared store, where there is one.
    #[must_use]
    pub const fn shared(&self) -> Option<&RedisStore> {
        match self {
            Self::Memory(_) => None,
            Self::Redis { shared, .. } => Some(shared),
        }
    }
}

fn memory_claim(store: &Arc<MemoryStore>, wanted: &ClaimRequest, now: Instant) -> Result<Claim, Rejection> {
    let hold = |wanted: Option<(ReplayKey, KeyLifetime)>, kind| {
        let hold = |(key, lifetime)| store.claim(key, lifetime, now).map_err(|refused| refused.of(kind));
        wanted.map(hold).transpose()
    };
    let request = hold(wanted.request, KeyKind::Request)?;
    // A refusal here drops, and so releases, the request's key.
    let delivery = hold(wanted.delivery, KeyKind::Delivery)?;
    Ok(Claim::Memory { request, delivery })
}
