//! The shared store: one guard for all replicas, in Redis or Valkey.
//!
//! A claim takes one round trip, and so does settling it: a script over all keys of the claim (`script.rs`), or one
//! command for a claim with a single key. In a Redis Cluster the keys of a claim are on different nodes: each key has a
//! call of its own, in a fixed order, and what was claimed is released if a later key is refused. If the process ends
//! between two calls, the claim of the first key ends with its lease. A claim has a lease a little longer than a delivery may take, so that a
//! replica that dies cannot block a webhook for long, and a token that only its owner knows. Settling does not delay
//! the answer to the sender: until it is done, a copy finds the claim in flight, which is refused as well. If the store
//! does not answer in time, the exchange is decided without it (`on_store_failure`). Keys expire by the server's clock,
//! with a margin for replicas whose clocks differ.
//!
//! Each module imports only from those below it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`worker_connection`] | one worker's connection: calls, answers, reconnecting |
//! | [`opening`] | what a connection sends first |
//! | [`call`] | what is sent for each operation, and what its replies mean |
//! | [`script`] | the scripts that the server runs |

mod call;
mod opening;
mod script;
mod worker_connection;

use super::store_metrics::{ReplayStoreMetrics, StoreResult};
use super::{ClaimError, ClaimRequest, KeyKind};
use crate::outcome::Rejection;
use crate::settings;
use call::{Call, Failure};
use script::Operation;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use worker_connection::WorkerConnection;

/// The largest difference between replicas' clocks with which no replica accepts what another has already forgotten.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(10);
/// The first and the longest wait between two attempts to settle.
const SETTLE_RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Timeout of one attempt to settle. It may be long, because no request waits for it.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// The order in which the keys of a claim are claimed in a cluster: delivery, token, request. Every replica uses the same
/// one, so that of two claims with common keys one succeeds.
const CLUSTER_ORDER: [usize; ClaimRequest::KINDS.len()] = [1, 2, 0];
/// If more claims than this are being settled, each is tried once only: retries would overload the store further.
const MAX_SETTLING_WITH_RETRY: usize = 20_000;

/// The client of the shared store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RedisStore(Arc<SharedState>);

struct SharedState {
    settings: settings::Redis,
    tls: Option<TlsConnector>,
    /// By index of the worker.
    connections: Vec<WorkerConnection>,
    metrics: ReplayStoreMetrics,
    /// First half of every token: random, different in every process.
    process: [u8; 8],
    /// Second half of the next token.
    tokens: AtomicU64,
    /// Number of claims that are being settled.
    settling: AtomicUsize,
    /// Whether the warning about the eviction policy has been logged.
    warned: AtomicBool,
    /// Origin of [`SharedState::milliseconds`].
    epoch: Instant,
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedState")
            .field("settings", &self.settings)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// A claim in the shared store. Dropping it without [`RedisClaim::commit`] releases it.
#[derive(Debug)]
pub struct RedisClaim {
    shared: Arc<SharedState>,
    worker: usize,
    call: Call,
    claimed_at: Instant,
    settled: bool,
}

impl RedisStore {
    /// Makes a client for `workers` workers; `process` is random. Each worker connects with [`RedisStore::attach`].
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
            connections: (0..workers).map(|_| WorkerConnection::new()).collect(),
            metrics,
            process,
            tokens: AtomicU64::new(0),
            settling: AtomicUsize::new(0),
            warned: AtomicBool::new(false),
            epoch: Instant::now(),
        }))
    }

    /// Starts the connection of this worker. To be called on the worker's runtime.
    pub fn attach(&self, worker: usize) {
        worker_connection::start(&self.0, worker);
    }

    /// Whether at least one worker has a connection.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.connections.iter().any(WorkerConnection::is_up)
    }

    /// Whether requests are accepted while the store fails (`on_store_failure = "accept"`).
    #[must_use]
    pub fn accepts_failure(&self) -> bool {
        self.0.settings.accept_on_failure
    }

    /// Number of claims that are still being settled after their exchanges have ended.
    #[must_use]
    pub fn settling(&self) -> usize {
        self.0.settling.load(Ordering::Relaxed)
    }

    /// Counts an exchange that was accepted without the store.
    pub(super) fn fell_back(&self) {
        self.0.metrics.fallbacks.inc();
    }

    /// Claims the keys of `request` for at most `lease`, in one round trip, or in a cluster in one for each key. `None`: the store did not answer.
    ///
    /// # Errors
    /// `Replayed`, `Duplicate`, `TokenReused`, `InFlight`.
    pub async fn claim(
        &self,
        worker: usize,
        request: &ClaimRequest,
        lease: Duration,
    ) -> Result<Option<RedisClaim>, Rejection> {
        let shared = &self.0;
        let Some(connection) = shared.connections.get(worker) else {
            return Ok(None);
        };
        let claimed_at = Instant::now();
        let keys = request.keys().map(|key| {
            let (key, lifetime) = key?;
            // A signed time is compared with the clocks of several replicas.
            let margin = lifetime.timestamp.map_or(Duration::ZERO, |_| MAX_CLOCK_SKEW);
            Some((key, lifetime.keep + margin))
        });
        let call = Call {
            operation: Operation::Claim,
            token: shared.token(),
            keys,
            lease,
        };
        let answer = shared
            .ask(connection, &call, claimed_at + shared.settings.timeout)
            .await;
        let held = || RedisClaim {
            shared: Arc::clone(shared),
            worker,
            call,
            claimed_at,
            settled: false,
        };
        match answer {
            Ok(0) => Ok(Some(held())),
            Ok(answer) => {
                if shared.settings.servers.cluster
                    && ClaimRequest::KINDS
                        .iter()
                        .zip(keys)
                        .filter(|(_, key)| key.is_some())
                        .count()
                        > 1
                {
                    // Other keys may have been claimed before one was refused.
                    drop(held());
                }
                // An odd answer means delivered; two answers belong to each key that was sent.
                let sent = ClaimRequest::KINDS.iter().zip(keys).filter(|(_, key)| key.is_some());
                let index = usize::try_from((answer - 1) / 2).unwrap_or_default();
                let kind = sent.map(|(kind, _)| *kind).nth(index).unwrap_or(KeyKind::Request);
                let error = if answer % 2 == 1 {
                    ClaimError::Delivered
                } else {
                    ClaimError::InFlight
                };
                Err(error.rejection(kind))
            }
            Err(failure) => {
                if failure.maybe_done {
                    // The server may have made the claim: it is released, so that a retry need not wait for the lease.
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

    /// Makes one call, or in a cluster one for each key, and records its result and duration.
    async fn ask(&self, connection: &WorkerConnection, call: &Call, deadline: Instant) -> Result<i64, Failure> {
        let started = Instant::now();
        let answer = match (self.settings.servers.cluster, call.operation) {
            (false, _) => connection.call(self, call, deadline).await,
            (true, Operation::Claim | Operation::Look) => self.claim_each(connection, call, deadline).await,
            (true, Operation::Commit | Operation::Release) => self.settle_each(connection, call, deadline).await,
        };
        self.metrics.record(
            call.operation.metric(),
            answer.err().map_or(StoreResult::Ok, |failure| failure.result),
            started.elapsed(),
        );
        answer
    }

    /// Claims each key by itself. After a refusal the other keys are only looked at, so that the answer is the one that a
    /// single server gives.
    async fn claim_each(&self, connection: &WorkerConnection, call: &Call, deadline: Instant) -> Result<i64, Failure> {
        let mut held: [Option<i64>; CLUSTER_ORDER.len()] = [None; CLUSTER_ORDER.len()];
        let mut operation = Operation::Claim;
        for index in CLUSTER_ORDER {
            let single = Call {
                operation,
                ..call.only(index)
            };
            if single.keys.iter().all(Option::is_none) {
                continue;
            }
            let answer = connection.call(self, &single, deadline).await;
            let answer = answer.map_err(|failure| Failure {
                // An earlier key may have been claimed.
                maybe_done: failure.maybe_done || held.iter().any(Option::is_some),
                ..failure
            })?;
            if answer > 0 {
                operation = Operation::Look;
            }
            if let Some(held) = held.get_mut(index) {
                *held = Some(answer);
            }
        }
        let answers = || (0..).zip(held.into_iter().flatten());
        let first = |wanted| answers().find(|(_, answer)| *answer == wanted);
        let refused = first(1).or_else(|| first(2));
        Ok(refused.map_or(0, |(position, answer)| 2 * position + answer))
    }

    /// Settles each key by itself. All keys are tried; the first failure is returned.
    async fn settle_each(&self, connection: &WorkerConnection, call: &Call, deadline: Instant) -> Result<i64, Failure> {
        let mut result = Ok(0);
        for index in CLUSTER_ORDER {
            let single = call.only(index);
            if single.keys.iter().any(Option::is_some) {
                result = result.and(connection.call(self, &single, deadline).await);
            }
        }
        result
    }

    /// Logs a new connection, and a warning if the server may evict keys.
    fn log_connected(&self, address: &str, evicts: Option<&str>) {
        tracing::info!(%address, "connected to the replay store");
        self.metrics.evicts.set(i64::from(evicts.is_some()));
        if let Some(policy) = evicts
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                %address,
                %policy,
                "the replay store may evict keys when its memory is full, and a webhook whose key is evicted can be replayed: set `maxmemory-policy noeviction`"
            );
        }
    }
}

impl RedisClaim {
    /// Records the delivery: from now on every copy is a repetition.
    pub fn commit(mut self) {
        self.settled = true;
        let passed = self.claimed_at.elapsed();
        let mut call = Call {
            operation: Operation::Commit,
            ..self.call
        };
        for (_, keep) in call.keys.iter_mut().flatten() {
            *keep = keep.saturating_sub(passed).max(MAX_CLOCK_SKEW);
        }
        self.settle(call);
    }

    /// Settles the claim in a task, with retries until the lease is over; after that the server has forgotten the
    /// claim.
    fn settle(&self, call: Call) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (shared, worker, until) = (Arc::clone(&self.shared), self.worker, self.claimed_at + self.call.lease);
        shared.settling.fetch_add(1, Ordering::Relaxed);
        let settling = Settling(Arc::clone(&shared));
        runtime.spawn(async move {
            let _settling = settling;
            let Some(connection) = shared.connections.get(worker) else {
                return;
            };
            let mut wait = SETTLE_RETRY.0;
            while shared
                .ask(
                    connection,
                    &call,
                    Instant::now() + shared.settings.timeout.max(SETTLE_TIMEOUT),
                )
                .await
                .is_err()
            {
                let is_overloaded = shared.settling.load(Ordering::Relaxed) > MAX_SETTLING_WITH_RETRY;
                if is_overloaded || Instant::now() + wait > until {
                    tracing::warn!(
                        operation = call.operation.metric().label(),
                        "a claim could not be settled within its lease"
                    );
                    return;
                }
                sleep(wait).await;
                wait = (wait * 2).min(SETTLE_RETRY.1);
            }
        });
    }
}

impl Drop for RedisClaim {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(Call {
                operation: Operation::Release,
                ..self.call
            });
        }
    }
}

/// Counts a claim that is being settled. A guard object, so that a task that is dropped with its runtime is also
/// counted.
struct Settling(Arc<SharedState>);

impl Drop for Settling {
    fn drop(&mut self) {
        self.0.settling.fetch_sub(1, Ordering::Relaxed);
    }
}
