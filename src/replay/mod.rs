//! The replay guard: it remembers which webhooks were delivered, in two steps, so that a retry after a failure is
//! accepted.
//!
//! A request is *claimed* before it is forwarded, and the claim is *committed* when the upstream has answered 2xx.
//! Anything else, also a panic, releases the claim, and the sender's retry is accepted. A plain set of seen requests
//! would lose that webhook. One claim has up to three keys: the *request* (its signed bytes, against replays), the
//! *delivery* (the provider's id, against the sender's own retries, `[route.dedupe]`), and the *token* of a scheme that signs a
//! single-use token and not the body. Only verified requests are
//! claimed, so forged requests never reach the store.
//!
//! Read this file first. Each module imports only from those below it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`redis`] | the shared store, in Redis or Valkey |
//! | [`memory`] | the store in this process |
//! | [`shard`] | one shard of the store in this process |
//! | [`shares`] | how many keys each route may hold in it |
//! | [`store_metrics`] | the metrics of a shared store |

mod memory;
mod redis;
mod shard;
mod shares;
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
    /// A signed token that is used once, where the signature does not cover the rest of the request.
    Token,
}

/// The key space of one kind of identity on the route of this name with this scheme. It is the same after a reload, on every
/// replica and in every version; a route with another name or another scheme remembers nothing.
#[must_use]
pub fn key_space(route: &str, scheme: &str, kind: KeyKind) -> u64 {
    let kind: &[u8] = match kind {
        KeyKind::Request => b"request\0",
        KeyKind::Delivery => b"delivery\0",
        KeyKind::Token => b"token\0",
    };
    let hash = Sha256::new()
        .chain_update(kind)
        .chain_update(scheme)
        .chain_update(b"\0");
    let digest: [u8; 32] = hash.chain_update(route).finalize().into();
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

/// The keys that one exchange claims: all of them or none. A repetition is judged by the first key that is known, so the order
/// is from the most specific one to the least.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClaimRequest {
    /// Key of the signed bytes, and of what the signature does not cover; `None` where the replay guard is off.
    pub request: Option<(ReplayKey, KeyLifetime)>,
    /// Key of the delivery id; `None` where the route does not deduplicate, or the request has no id.
    pub delivery: Option<(ReplayKey, KeyLifetime)>,
    /// Key of the signed token that is used once; `None` for schemes without one.
    pub token: Option<(ReplayKey, KeyLifetime)>,
}

impl ClaimRequest {
    /// The kinds of keys, in the order of [`ClaimRequest::keys`].
    const KINDS: [KeyKind; 3] = [KeyKind::Request, KeyKind::Delivery, KeyKind::Token];

    /// The keys in the order in which they are looked for.
    const fn keys(&self) -> [Option<(ReplayKey, KeyLifetime)>; 3] {
        [self.request, self.delivery, self.token]
    }
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
            (Self::Delivered, KeyKind::Token) => Rejection::TokenReused,
            (Self::InFlight, _) => Rejection::InFlight,
            (Self::Forgotten, _) => Rejection::TimestampStale,
            (Self::Full, _) => Rejection::ReplayStoreFull,
        }
    }
}

/// The right to deliver one webhook. Dropping it without [`Claim::commit`] releases it.
#[derive(Debug)]
pub enum Claim {
    /// A claim in this process, on each key of the request.
    Memory([Option<MemoryClaim>; 3]),
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
            Self::Memory(claims) => claims.into_iter().flatten().for_each(MemoryClaim::commit),
            Self::Redis(held) => held.commit(),
        }
    }
}

impl Guard {
    /// Claims the keys of `request` for an exchange of this worker that takes at most `lease`; `None` if it has no key.
    ///
    /// # Errors
    /// `Replayed`, `Duplicate`, `TokenReused`, `InFlight`, `TimestampStale`, `ReplayStoreFull`, `ReplayStoreDown`.
    pub async fn claim(
        &self,
        worker: usize,
        request: &ClaimRequest,
        lease: Duration,
        now: Instant,
    ) -> Result<Option<Claim>, Rejection> {
        if request.keys().iter().all(Option::is_none) {
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

    /// Divides the store in this process among these routes, each given by its key spaces. Called at the start and at each
    /// reload.
    pub fn share(&self, routes: &[[u64; 3]]) {
        match self {
            Self::Memory(store) | Self::Redis { fallback: store, .. } => store.share(routes),
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
        matches!((self, claim), (Self::Redis { .. }, Some(Claim::Memory(_))))
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
    let mut claims = [None, None, None];
    for ((claimed, key), kind) in claims.iter_mut().zip(keys.keys()).zip(ClaimRequest::KINDS) {
        if let Some((key, lifetime)) = key {
            // An error drops the claims on the earlier keys, which releases them.
            *claimed = Some(store.claim(key, lifetime, now).map_err(|error| error.rejection(kind))?);
        }
    }
    Ok(Claim::Memory(claims))
}
