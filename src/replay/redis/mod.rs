//! The shared store: one guard for all replicas, in Redis or Valkey.
//!
//! One round trip claims, one settles: a script over all keys of the claim (`script.rs`), or one command where a claim has a
//! single key. A claim has a lease a little
//! longer than the upstream may take, so that a replica that dies cannot hold a webhook back for long, and a token that only
//! its owner knows. Settling runs beside the answer: until it is done a copy finds the claim in flight, which is refused
//! as well. When the store does not answer in time the exchange is decided without it (`on_store_failure`). Keys expire by
//! the server's clock, with a margin for replicas whose clocks differ.

mod connect;
mod worker_connection;
mod resp;
mod script;

use super::store_metrics::{StoreResult, StoreOperation, ReplayStoreMetrics};
use super::{ReplayKey, KeyKind, ClaimError, ClaimRequest};
use crate::outcome::Rejection;
use crate::settings;
use connect::OpenConnection;
use worker_connection::{Call, Failure, WorkerConnection};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

/// What replicas' clocks may differ by before one takes for fresh what another has forgotten.
const CLOCKS: Duration = Duration::from_secs(10);
/// Between two attempts to settle, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// For one attempt to settle: nobody waits for it.
const SETTLE: Duration = Duration::from_secs(2);
/// Settling claims beyond this are tried once: a store that cannot follow is not asked twice.
const CROWD: usize = 20_000;

/// The shared store, from one process's side. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RedisStore(Arc<SharedState>);

struct SharedState {
    settings: settings::Redis,
    tls: Option<TlsConnector>,
    links: Vec<WorkerConnection>,
    metrics: ReplayStoreMetrics,
    /// Makes tokens: drawn at start, different in every process.
    process: [u8; 8],
    tokens: AtomicU64,
    /// Claims that are being settled.
    settling: AtomicUsize,
    /// Whether the eviction policy has been complained about.
    warned: AtomicBool,
    epoch: Instant,
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedState")
            .field("settings", &self.settings)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

/// A claim in the shared store. Dropping it without [`RedisClaim::commit`] releases it.
#[derive(Debug)]
pub struct RedisClaim {
    shared: Arc<SharedState>,
    worker: usize,
    call: Call,
    taken: Instant,
    settled: bool,
}

impl RedisStore {
    /// A guard for `workers` workers; `process` is random. It connects when the workers say so with [`RedisStore::attach`].
    #[must_use]
    pub fn new(
        settings: settings::Redis,
        tls: Option<TlsConnector>,
        workers: usize,
        metrics: ReplayStoreMetrics,
        process: [u8; 8],
    ) -> Self {
        Self(Arc::new(SharedState {
            settings,
            tls,
            links: (0..workers).map(|_| WorkerConnection::new()).collect(),
            metrics,
            process,
            tokens: AtomicU64::new(0),
            settling: AtomicUsize::new(0),
            warned: AtomicBool::new(false),
            epoch: Instant::now(),
        }))
    }

    /// Starts the connection of this worker, whose runtime calls.
    pub fn attach(&self, worker: usize) {
        worker_connection::start(&self.0, worker);
    }

    /// Whether the store answers, as far as any worker knows.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.links.iter().any(WorkerConnection::is_up)
    }

    /// Whether requests are accepted without the store.
    #[must_use]
    pub fn accepts_failure(&self) -> bool {
        self.0.settings.accept_on_failure
    }

    /// Claims that are not settled yet, although their exchanges have ended.
    #[must_use]
    pub fn settling(&self) -> usize {
        self.0.settling.load(Ordering::Relaxed)
    }

    /// Counts an exchange that went on without the store.
    pub(super) fn fell_back(&self) {
        self.0.metrics.fallbacks.inc();
    }

    /// Claims what is wanted in one round trip, for at most `lease`. `None`: the store did not answer.
    ///
    /// # Errors
    /// `Replayed`, `Duplicate`, `InFlight`.
    pub async fn claim(&self, worker: usize, wanted: &ClaimRequest, lease: Duration) -> Result<Option<RedisClaim>, Rejection> {
        let shared = &self.0;
        let Some(link) = shared.links.get(worker) else {
            return Ok(None);
        };
        let taken = Instant::now();
        let request = wanted.request.map(|(key, lifetime)| (key, lifetime.keep + CLOCKS));
        let delivery = wanted.delivery.map(|(key, lifetime)| (key, lifetime.keep));
        let call = Call {
            script: StoreOperation::Claim,
            token: shared.token(),
            keys: [request, delivery],
            lease,
        };
        let answer = shared.ask(link, call, taken + shared.settings.timeout).await;
        let held = || RedisClaim {
            shared: Arc::clone(shared),
            worker,
            call,
            taken,
            settled: false,
        };
        match answer {
            Ok(0) => Ok(Some(held())),
            Ok(answer) => {
                // Odd: delivered. The first key is the request's, if there is one.
                let kind = if answer <= 2 && request.is_some() {
                    KeyKind::Request
                } else {
                    KeyKind::Delivery
                };
                let refused = if answer % 2 == 1 {
                    ClaimError::Delivered
                } else {
                    ClaimError::InFlight
                };
                Err(refused.of(kind))
            }
            Err(failure) => {
                if failure.maybe_done {
                    // It may be ours after all: given back, so that the sender's retry need not wait for the lease.
                    drop(held());
                }
                Ok(None)
            }
        }
    }
}

impl SharedState {
    fn token(&self) -> [u8; 16] {
        let mut token = [0; 16];
        let (process, number) = token.split_at_mut(8);
        process.copy_from_slice(&self.process);
        number.copy_from_slice(&self.tokens.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        token
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }

    /// One call, measured.
    async fn ask(&self, link: &WorkerConnection, call: Call, deadline: Instant) -> Result<i64, Failure> {
        let started = Instant::now();
        let answer = link.call(self, call, deadline).await;
        self.metrics.record(
            call.script,
            answer.err().map_or(StoreResult::Ok, |failure| failure.answer),
            started.elapsed(),
        );
        answer
    }

    /// A connection is there: says so, and what is wrong with the server.
    fn found(&self, ready: &OpenConnection) {
        tracing::info!(address = %ready.address, "connected to the replay store");
        self.metrics.evicts.set(i64::from(ready.evicts.is_some()));
        if let Some(policy) = &ready.evicts
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                address = %ready.address,
                %policy,
                "the replay store may drop keys when its memory is full, and what it drops can be replayed: set `maxmemory-policy noeviction`"
            );
        }
    }
}

impl RedisClaim {
    /// Delivered: every copy is a repetition from now on.
    pub fn commit(mut self) {
        self.settled = true;
        let passed = self.taken.elapsed();
        let mut call = Call {
            script: StoreOperation::Commit,
            ..self.call
        };
        for (_, keep) in call.keys.iter_mut().flatten() {
            *keep = keep.saturating_sub(passed).max(CLOCKS);
        }
        self.settle(call);
    }

    /// Tells the server, again and again until the lease is over: after that there is nothing to tell.
    fn settle(&self, call: Call) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (shared, worker, until) = (Arc::clone(&self.shared), self.worker, self.taken + self.call.lease);
        shared.settling.fetch_add(1, Ordering::Relaxed);
        let settling = Settling(Arc::clone(&shared));
        runtime.spawn(async move {
            let _settling = settling;
            let Some(link) = shared.links.get(worker) else { return };
            let mut wait = AGAIN.0;
            while shared
                .ask(link, call, Instant::now() + shared.settings.timeout.max(SETTLE))
                .await
                .is_err()
            {
                let crowded = shared.settling.load(Ordering::Relaxed) > CROWD;
                if crowded || Instant::now() + wait > until {
                    tracing::warn!(
                        operation = call.script.label(),
                        "a claim could not be settled within its lease"
                    );
                    return;
                }
                sleep(wait).await;
                wait = (wait * 2).min(AGAIN.1);
            }
        });
    }
}

impl Drop for RedisClaim {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(Call {
                script: StoreOperation::Release,
                ..self.call
            });
        }
    }
}

/// Counts a claim that is being settled, a task that is dropped with its runtime included.
struct Settling(Arc<SharedState>);

impl Drop for Settling {
    fn drop(&mut self) {
        self.0.settling.fetch_sub(1, Ordering::Relaxed);
    }
}
