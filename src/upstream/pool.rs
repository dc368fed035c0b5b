//! One endpoint: its connections on every worker, idle and in use, and one attempt to send a request to it.
//!
//! A request is sent once. It is sent again to the same endpoint only when a connection from the pool was closed before
//! any byte of the request was written. When no byte could be sent at all, the caller decides what to do with the
//! request. Connections never move between workers, so workers do not wait for each other; they share only counters.

use super::Answer;
use super::connection::{SendError, UpstreamConnection};
use super::endpoint_health::EndpointHealth;
use super::forward_error::AttemptError;
use super::message::OutgoingRequest;
use super::server::{Shared, UpstreamServer};
use super::stream::{Unread, UpstreamStream};
use super::wait_queue::WaitQueue;
use crate::http::message::Response;
use crate::outcome::Rejection;
use crate::settings::UpstreamTarget;
use crate::time::shutdown::ShutdownSignal;
use hyper::StatusCode;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// When a server closes an idle connection within this time after its answer, it does not really keep connections open.
const EARLY_CLOSE: Duration = Duration::from_secs(1);
/// For how long connections of such a server are not reused.
const NO_REUSE: Duration = Duration::from_secs(60);

/// The id of the next endpoint; ids are unique in the process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One address of a server, with its pool of connections.
pub(super) struct Endpoint {
    /// Unique in the process.
    pub(super) id: u64,
    pub(super) server: Arc<UpstreamServer>,
    /// For TCP and TLS: one address, or both loopback addresses for `localhost`, which are tried in this order. Empty
    /// for a Unix socket.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) shared: Arc<Shared>,
    pub(super) health: EndpointHealth,
    /// Triggered when no new request is sent to this endpoint.
    pub(super) retired: ShutdownSignal,
    /// Idle connections of each worker, by the worker's index. The lock is contended only when one worker closes an
    /// idle connection of another to stay within `max_connections`.
    idle: Vec<Mutex<Vec<UpstreamConnection>>>,
    /// Number of connections: idle, in use and being opened.
    open: AtomicUsize,
    /// Number of requests that have a connection or open one.
    active: AtomicUsize,
    /// Requests that wait because `open` has reached `max_connections`.
    queue: WaitQueue<Lease>,
    /// Whether the last request got an answer.
    reached: AtomicBool,
    /// Connections are not reused before this time, in seconds after `Shared::created_at`.
    no_reuse_until_seconds: AtomicU64,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("server", &self.server.name)
            .field("addresses", &self.addresses)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(super) fn new(shared: &Arc<Shared>, server: &Arc<UpstreamServer>, addresses: Vec<SocketAddr>) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            server: server.clone(),
            addresses,
            shared: shared.clone(),
            health: EndpointHealth::default(),
            retired: ShutdownSignal::default(),
            idle: (0..shared.workers.max(1)).map(|_| Mutex::default()).collect(),
            open: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            queue: WaitQueue::default(),
            reached: AtomicBool::new(true),
            no_reuse_until_seconds: AtomicU64::new(0),
        })
    }

    pub(super) fn target(&self) -> &UpstreamTarget {
        &self.server.settings.target
    }

    /// Number of requests in flight.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Number of requests that wait for a connection.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Number of idle connections.
    pub(super) fn idle(&self) -> usize {
        self.idle.iter().map(|pool| lock(pool).len()).sum()
    }

    /// Whether the last request to this endpoint got an answer.
    pub(super) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Sends `request` at `now` and returns the head of the final answer. `connect_timeout` limits the opening of a new
    /// connection, TLS handshake included. With `may_wait` the request waits in the queue while there are
    /// `max_connections`.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        worker: usize,
        request: &mut OutgoingRequest,
        mut now: Instant,
        connect_timeout: Duration,
        may_wait: bool,
    ) -> Result<Response<Answer>, AttemptError> {
        loop {
            let lease = self.lease(worker, now, connect_timeout, may_wait).await;
            let (mut lease, is_from_pool) = lease.map_err(AttemptError::NotSent)?;
            if !is_from_pool {
                now = Instant::now();
            }
            let Some(connection) = &mut lease.connection else {
                return Err(AttemptError::MaybeSent(Rejection::Internal));
            };
            let deadline = now + self.shared.settings.timeout;
            match connection.send(request, deadline).await {
                Ok(response) => {
                    if response.status == StatusCode::SWITCHING_PROTOCOLS {
                        return Err(AttemptError::MaybeSent(self.failed(Rejection::UpstreamInvalid)));
                    }
                    if response.status.is_server_error() {
                        self.failed_with_server_error();
                    } else {
                        self.succeeded();
                    }
                    return Ok(response.map(|body| Answer::new(lease, body, deadline)));
                }
                Err(SendError::NotSent) if is_from_pool => now = Instant::now(),
                Err(SendError::NotSent) => {
                    return Err(AttemptError::NotSent(self.unreachable(Rejection::UpstreamReset)));
                }
                Err(SendError::MaybeSent(rejection)) => {
                    if is_from_pool && rejection == Rejection::UpstreamReset {
                        self.disable_reuse();
                    }
                    return Err(AttemptError::MaybeSent(self.failed(rejection)));
                }
            }
        }
    }

    /// Closes the idle connections of `worker` that have reached the idle timeout or that the other side has closed.
    pub(super) fn sweep(&self, worker: usize, now: Instant) {
        let Some(pool) = self.idle.get(worker) else { return };
        let mut pool = lock(pool);
        let before = pool.len();
        pool.retain_mut(|connection| {
            now.saturating_duration_since(connection.idle_since) < self.shared.settings.idle_timeout
                && connection.is_idle()
        });
        self.open.fetch_sub(before - pool.len(), Ordering::Relaxed);
    }

    /// Closes idle connections and ends health checks. Connections in use are closed after their answers.
    pub(super) fn retire(&self) {
        self.retired.trigger();
        for pool in &self.idle {
            let closed = std::mem::take(&mut *lock(pool));
            self.open.fetch_sub(closed.len(), Ordering::Relaxed);
        }
    }

    /// Opens a stream that is not counted in `open` and does not enter the pool.
    pub(super) async fn open_stream(&self) -> std::io::Result<UpstreamStream> {
        UpstreamStream::open(self.target(), &self.addresses, self.shared.tls.as_ref()).await
    }

    fn succeeded(&self) {
        self.mark_reached();
        if self.shared.ejection.is_some() {
            self.health
                .succeeded(self.shared.milliseconds_since_start(Instant::now()));
        }
    }

    fn failed_with_server_error(&self) {
        self.mark_reached();
        self.record_failure(false);
    }

    fn mark_reached(&self) {
        // Stores only a change, because all workers share this cache line.
        if !self.was_reached() {
            self.reached.store(true, Ordering::Relaxed);
        }
    }

    /// Records a request whose answer failed or was incomplete. Returns `rejection`.
    pub(super) fn failed(&self, rejection: Rejection) -> Rejection {
        self.reached.store(false, Ordering::Relaxed);
        self.record_failure(false);
        rejection
    }

    /// Records a request that could not be sent. Returns `rejection`.
    fn unreachable(&self, rejection: Rejection) -> Rejection {
        self.reached.store(false, Ordering::Relaxed);
        self.record_failure(true);
        rejection
    }

    fn record_failure(&self, is_unreachable: bool) {
        let Some(policy) = &self.shared.ejection else { return };
        let now_ms = self.shared.milliseconds_since_start(Instant::now());
        if let Some(backoff) = self.health.failed(now_ms, is_unreachable, policy) {
            self.server.counters.ejections.add(1);
            tracing::warn!(
                upstream = %self.server.name, addresses = ?self.addresses, unreachable = is_unreachable, ?backoff,
                "the upstream endpoint failed repeatedly and receives no requests until the back-off ends"
            );
        }
    }

    /// Stops the reuse of connections for a while ([`NO_REUSE`]). Some servers announce keep-alive and close the
    /// connection right after the answer; a request that was already written to it is then lost.
    fn disable_reuse(&self) {
        let until = self.shared.created_at.elapsed().saturating_add(NO_REUSE).as_secs();
        self.no_reuse_until_seconds.store(until, Ordering::Relaxed);
    }

    fn is_reuse_disabled(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.shared.created_at).as_secs()
            < self.no_reuse_until_seconds.load(Ordering::Relaxed)
    }

    /// A connection from the pool, or a new one, and whether it may have been used before.
    async fn lease(
        self: &Arc<Self>,
        worker: usize,
        now: Instant,
        connect_timeout: Duration,
        may_wait: bool,
    ) -> Result<(Lease, bool), Rejection> {
        if let Some(lease) = self.checkout(worker, now).await {
            return Ok((lease, true));
        }
        // In a box, because it is rare and would make the future of every request larger.
        Box::pin(self.connect(worker, connect_timeout, may_wait)).await
    }

    /// Takes the most recently used idle connection from the pool: it is the most likely to be open, and the others can
    /// reach the idle timeout.
    async fn checkout(self: &Arc<Self>, worker: usize, now: Instant) -> Option<Lease> {
        loop {
            let mut lease = Lease::new(self, worker, Some(lock(self.idle.get(worker)?).pop()?));
            let Some(connection) = &mut lease.connection else {
                continue;
            };
            let is_open = match connection.unread(now) {
                Unread::Nothing => true,
                Unread::End | Unread::Bytes => false,
                // TLS sends records without content on an idle connection, such as session tickets. The kernel has
                // them, so the runtime learns of them when it asks for its next events.
                Unread::Records => {
                    Box::pin(connection.readable()).await;
                    true
                }
            };
            let idle_since = connection.idle_since;
            if is_open && connection.is_idle() {
                return Some(lease);
            }
            if now.saturating_duration_since(idle_since) < EARLY_CLOSE {
                self.disable_reuse();
            }
        }
    }

    /// Closes the connection that has been idle longest in the first pool that has one, to make room for a new
    /// connection. Returns whether there was one.
    fn evict(&self) -> bool {
        self.idle.iter().any(|pool| {
            let mut pool = lock(pool);
            let oldest = if pool.is_empty() { None } else { Some(pool.remove(0)) };
            if oldest.is_some() {
                self.open.fetch_sub(1, Ordering::Relaxed);
            }
            oldest.is_some()
        })
    }

    /// Counts one more connection in `open`; `false` if there are `max_connections` in use.
    fn reserve(&self) -> bool {
        let is_reserved =
            self.open.fetch_add(1, Ordering::SeqCst) < self.shared.settings.max_connections || self.evict();
        if !is_reserved {
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
        is_reserved
    }

    /// Opens a connection. At `max_connections` it waits for one, which may then have been used before (the flag).
    async fn connect(
        self: &Arc<Self>,
        worker: usize,
        connect_timeout: Duration,
        may_wait: bool,
    ) -> Result<(Lease, bool), Rejection> {
        let lease = if self.reserve() {
            // From here on, dropping the lease decrements `open`.
            Lease::new(self, worker, None)
        } else if may_wait {
            self.wait_for_lease(worker).await?
        } else {
            return Err(Rejection::Overloaded);
        };
        if lease.connection.is_some() {
            return Ok((lease, true));
        }
        Ok((self.open(lease, connect_timeout).await?, false))
    }

    /// Waits in the queue until another request has finished, at most for the queue's timeout.
    async fn wait_for_lease(self: &Arc<Self>, worker: usize) -> Result<Lease, Rejection> {
        let settings = &self.shared.settings;
        let counters = &self.server.counters;
        let Some(lease) = self.queue.push(worker, settings.queue_limit) else {
            counters.queue_full.add(1);
            return Err(Rejection::Overloaded);
        };
        // A connection may have ended just before the request was in the queue.
        self.serve_queue();
        match timeout(settings.queue_timeout, lease).await {
            Ok(Ok(mut lease)) => {
                counters.queue_served.add(1);
                lease.worker = worker;
                Ok(lease)
            }
            Ok(Err(_)) | Err(_) => {
                counters.queue_timeouts.add(1);
                Err(Rejection::Overloaded)
            }
        }
    }

    /// Gives the first requests of the queue the right to open connections, as long as there may be more.
    fn serve_queue(self: &Arc<Self>) {
        while !self.queue.is_empty() && self.reserve() {
            // The worker of the waiting request is set by itself.
            let lease = Lease::new(self, 0, None);
            match self.queue.pop() {
                Some(waiter) => drop(waiter.send(lease)),
                None => return,
            }
        }
    }

    async fn open(self: &Arc<Self>, mut lease: Lease, connect_timeout: Duration) -> Result<Lease, Rejection> {
        let stream = match timeout(connect_timeout, self.open_stream()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, upstream = %self.server.name, addresses = ?self.addresses, "cannot connect to the upstream");
                return Err(self.unreachable(Rejection::UpstreamUnreachable));
            }
            Err(_) => return Err(self.unreachable(Rejection::UpstreamTimeout)),
        };
        lease.connection = Some(UpstreamConnection::new(stream));
        Ok(lease)
    }
}

/// A connection in use or being opened. It counts in `Endpoint::open` until it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) endpoint: Arc<Endpoint>,
    /// Index of the worker whose pool the connection belongs to.
    worker: usize,
    /// `None` while it is being opened.
    pub(super) connection: Option<UpstreamConnection>,
    /// The connection went back into the pool, so it still counts in `Endpoint::open`.
    is_pooled: bool,
}

impl Lease {
    fn new(endpoint: &Arc<Endpoint>, worker: usize, connection: Option<UpstreamConnection>) -> Self {
        endpoint.active.fetch_add(1, Ordering::Relaxed);
        Self {
            endpoint: endpoint.clone(),
            worker,
            connection,
            is_pooled: false,
        }
    }

    /// Returns the connection to the pool if it can be reused and the pool has room. Closes it otherwise.
    pub(super) fn return_to_pool(mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if !connection.is_idle() {
            return;
        }
        let now = Instant::now();
        connection.idle_since = now;
        let endpoint = &self.endpoint;
        let Some(pool) = endpoint.idle.get(self.worker) else {
            return;
        };
        let mut pool = lock(pool);
        // Checked under the lock: `retire` triggers the signal first and empties the pool afterwards.
        let is_reusable = !endpoint.is_reuse_disabled(now) && !endpoint.retired.is_triggered();
        if is_reusable && !endpoint.queue.is_empty() {
            drop(pool);
            if let Some(waiter) = endpoint.queue.pop_for(self.worker) {
                self.connection = Some(connection);
                let _ = waiter.send(self);
            }
            return;
        }
        if is_reusable && pool.len() < endpoint.shared.settings.idle_connections {
            pool.push(connection);
            drop(pool);
            self.is_pooled = true;
            // A request may have come into the queue meanwhile.
            endpoint.serve_queue();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.active.fetch_sub(1, Ordering::Relaxed);
        if !self.is_pooled {
            self.endpoint.open.fetch_sub(1, Ordering::SeqCst);
            self.endpoint.serve_queue();
        }
    }
}

fn lock<T>(pool: &Mutex<T>) -> MutexGuard<'_, T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}
