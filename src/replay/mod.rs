//! The replay guard: it remembers which webhooks were delivered, in two steps, so that a retry after a failure is
//! accepted.
//!
//! A request is *claimed* before it is forwarded, and the claim is *committed* when the upstream has answered 2xx.
//! Anything else, also a panic, releases the claim, and the sender's retry is accepted. A plain set of seen requests
//! would lose that webhook. One claim has up to two keys: the *request* (its signed bytes, against replays) and the
//! *delivery* (the provider's id, against the sender's own retries, `[route.dedupe]`). Only verified requests are
//! claimed, so forged requests never reach the store.
//!
//! Read this file first. Each module imports only from those below it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`redis`] | the shared store, in Redis or Valkey |
//! | [`memory`] | the store in this process |
//! | [`shard`] | one shard of the store in this process |
//! | [`store_metrics`] | the metrics of a shared store |

mod memory;
mod redis;
mod shard;
mod store_metrics;

pub use memory::MemoryStore;
pub use redis::RedisStore;
pub use store_metrics::{ReplayStoreMetrics, StoreOperation, StoreResult};

use crate::outcome::Rejection;
use memory::MemoryClaim;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The replay guard, with its store of claims.
#[derive(Debug)]
pub enum Guard {
    /// Claims are kept in this process. Claiming never waits, and allocates only when the store grows.
    Memory(Arc<MemoryStore>),
    /// Claims are kept in Redis or Valkey, shared by replicas.
    Redis {
        /// The shared store.
        shared: RedisStore,
        /// Guards while the shared store does not answer, if the configuration accepts requests then.
        fallback: Arc<MemoryStore>,
    },
}

/// Identifies what may be delivered only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey {
    /// The route and the kind of identity, see [`key_space`]: the same bytes on two routes are two webhooks.
    pub space: u64,
    /// [`crate::scheme::Verified::identity`], or the hash of a delivery's id.
    pub identity: [u8; 32],
}

/// The kind of identity in a key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The signed bytes.
    Request,
    /// The provider's delivery id.
    Delivery,
}

/// The key space of one kind of identity on the route of this name. It is the same after a reload, on every replica and
/// in every version.
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

/// How long a committed key is remembered, and what stays refused after that.
#[derive(Clone, Copy, Debug)]
pub struct KeyLifetime {
    /// From now until a copy of the request would be refused as stale, or the route's replay window.
    pub keep: Duration,
    /// The signed timestamp, Unix seconds. After a key has been forgotten, requests with this timestamp or an older one
    /// stay refused, even if the wall clock steps back.
    pub timestamp: Option<u64>,
}

/// The keys that one exchange claims: all of them or none.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest {
    /// Key of the signed bytes; `None` where the replay guard is off.
    pub request: Option<(ReplayKey, KeyLifetime)>,
    /// Key of the delivery id; `None` where the route does not deduplicate, or the request has no id.
    pub delivery: Option<(ReplayKey, KeyLifetime)>,
}

/// Why a key could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// It was committed before and is not forgotten yet.
    Delivered,
    /// Another exchange holds the claim.
    InFlight,
    /// Its timestamp is not newer than that of a forgotten key: the wall clock stepped back.
    Forgotten,
    /// The store is full, and none of its keys has expired.
    Full,
}

impl ClaimError {
    /// The rejection for a key of this kind.
    const fn rejection(self, kind: KeyKind) -> Rejection {
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
    /// A claim in this process.
    Memory {
        /// Claim on the request's key.
        request: Option<MemoryClaim>,
        /// Claim on the delivery's key.
        delivery: Option<MemoryClaim>,
    },
    /// A claim in the shared store.
    Redis(Box<redis::RedisClaim>),
}

impl Claim {
    /// Whether the claim ends by itself after a time (the lease that it was made with).
    #[must_use]
    pub const fn has_lease(&self) -> bool {
        match self {
            Self::Memory { .. } => false,
            Self::Redis(_) => true,
        }
    }

    /// Records that the webhook was delivered: from now on every copy is a repetition.
    pub fn commit(self) {
        match self {
            Self::Memory { request, delivery } => request.into_iter().chain(delivery).for_each(MemoryClaim::commit),
            Self::Redis(held) => held.commit(),
        }
    }
}

impl Guard {
    /// Claims the keys of `request` for an exchange of this worker that takes at most `lease`; `None` if it has no key.
    ///
    /// # Errors
    /// `Replayed`, `Duplicate`, `InFlight`, `TimestampStale`, `ReplayStoreFull`, `ReplayStoreDown`.
    pub async fn claim(
        &self,
        worker: usize,
        request: &ClaimRequest,
        lease: Duration,
        now: Instant,
    ) -> Result<Option<Claim>, Rejection> {
        if request.request.is_none() && request.delivery.is_none() {
            return Ok(None);
        }
        match self {
            Self::Memory(store) => memory_claim(store, request, now).map(Some),
            // Boxed, so that exchanges with the store in memory do not need the space for it.
            Self::Redis { shared, fallback } => match Box::pin(shared.claim(worker, request, lease)).await? {
                Some(held) => Ok(Some(Claim::Redis(Box::new(held)))),
                None if shared.accepts_failure() => {
                    shared.fell_back();
                    memory_claim(fallback, request, now).map(Some)
                }
                None => Err(Rejection::ReplayStoreDown),
            },
        }
    }

    /// Forgets expired keys. Called at intervals.
    pub fn sweep(&self, now: Instant) {
        match self {
            Self::Memory(store) | Self::Redis { fallback: store, .. } => store.sweep(now),
        }
    }

    /// Number of keys held in this process, for the gauge.
    #[must_use]
    pub fn keys(&self) -> usize {
        match self {
            Self::Memory(store) | Self::Redis { fallback: store, .. } => store.len(),
        }
    }

    /// Whether this claim was made in memory because the shared store had failed.
    #[must_use]
    pub const fn fell_back(&self, claim: Option<&Claim>) -> bool {
        matches!((self, claim), (Self::Redis { .. }, Some(Claim::Memory { .. })))
    }

    /// The shared store, if one is configured.
    #[must_use]
    pub const fn shared(&self) -> Option<&RedisStore> {
        match self {
            Self::Memory(_) => None,
            Self::Redis { shared, .. } => Some(shared),
        }
    }
}

fn memory_claim(store: &Arc<MemoryStore>, keys: &ClaimRequest, now: Instant) -> Result<Claim, Rejection> {
    let claim = |key: Option<(ReplayKey, KeyLifetime)>, kind| {
        let claim = |(key, lifetime)| store.claim(key, lifetime, now).map_err(|error| error.rejection(kind));
        key.map(claim).transpose()
    };
    let request = claim(keys.request, KeyKind::Request)?;
    // An error here drops the claim on the request's key, which releases it.
    let delivery = claim(keys.delivery, KeyKind::Delivery)?;
    Ok(Claim::Memory { request, delivery })
}
