//! One endpoint: its connections, idle and in use, on every worker, and one attempt to send a request there.
//!
//! A request is sent once. On the same endpoint it is sent again only when a pooled connection closed before a byte of it
//! was written; what becomes of a request of which nothing left is for the caller to decide. Connections never move
//! between workers, so no core waits for another; only counts are shared.

use super::Answer;
use super::connection::{Connection, Failure};
use super::message::Message;
use super::standing::Standing;
use super::stream::Stream;
use super::tally::Tally;
use crate::http::message::Response;
use crate::outcome::Rejection;
use crate::settings::{self, Ejection, Target};
use crate::time::shutdown::Drain;
use hyper::StatusCode;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// A connection that is closed this soon after an answer was never meant to be kept.
const AT_ONCE: Duration = Duration::from_secs(1);
/// For how long such an endpoint's connections are not used again.
const DISTRUST: Duration = Duration::from_secs(60);

/// Makes endpoints distinct over the whole process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What all endpoints of one upstream share.
pub(super) struct Shared {
    pub(super) settings: Arc<settings::Upstream>,
    pub(super) tls: Option<TlsConnector>,
    pub(super) workers: usize,
    pub(super) made: Instant,
    /// `None` where there is only one endpoint, which is never left alone.
    pub(super) ejection: Option<Ejection>,
}

impl Shared {
    /// Milliseconds, for an endpoint's standing.
    pub(super) fn milliseconds(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.made);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// One of an upstream's servers.
#[derive(Debug)]
pub(super) struct Server {
    /// Index into the upstream's servers.
    pub(super) index: usize,
    pub(super) settings: settings::Server,
    /// Its URL without a path.
    pub(super) name: String,
    pub(super) tally: Tally,
}

/// One address of a server, with its pool.
pub(super) struct Endpoint {
    pub(super) id: u64,
    pub(super) server: Arc<Server>,
    /// Of a TCP target: one, or those of the loopback name, which are tried in this order.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) shared: Arc<Shared>,
    pub(super) standing: Standing,
    /// Begun once no new request comes here.
    pub(super) retired: Drain,
    /// One a worker; the lock is contended only when one worker makes room by closing another's.
    idle: Vec<Mutex<Vec<Connection>>>,
    /// Connections, idle ones included, and places of those that are being opened.
    open: AtomicUsize,
    /// Requests that have, or wait for, a connection.
    active: AtomicUsize,
    /// The last attempt succeeded.
    reached: AtomicBool,
    /// Seconds after `made` until which connections are not used again.
    distrusted: AtomicU64,
}

/// Why an attempt brought no answer.
#[derive(Debug)]
pub(super) enum Missed {
    /// Not a byte was sent: safe to send it elsewhere.
    Unsent(Rejection, Message),
    /// Perhaps sent.
    Lost(Rejection),
}

impl Missed {
    pub(super) fn rejection(&self) -> Rejection {
        match self {
            Self::Unsent(rejection, _) | Self::Lost(rejection) => *rejection,
        }
    }
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
    pub(super) fn new(shared: &Arc<Shared>, server: &Arc<Server>, addresses: Vec<SocketAddr>) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            server: server.clone(),
            addresses,
            shared: shared.clone(),
            standing: Standing::default(),
            retired: Drain::default(),
            idle: (0..shared.workers.max(1)).map(|_| Mutex::default()).collect(),
            open: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            reached: AtomicBool::new(true),
            distrusted: AtomicU64::new(0),
        })
    }

    pub(super) fn target(&self) -> &Target {
        &self.server.settings.target
    }

    /// Requests in flight.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Idle connections now.
    pub(super) fn idle(&self) -> usize {
        self.idle.iter().map(|pool| lock(pool).len()).sum()
    }

    /// Whether the last attempt to reach it succeeded.
    pub(super) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Sends `request` at `now` and returns the head of the final answer; a new connection has `within` to come about.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        worker: usize,
        request: Message,
        now: Instant,
        within: Duration,
    ) -> Result<Response<Answer>, Missed> {
        let (mut request, mut now) = (request, now);
        loop {
            let (mut lease, pooled) = match self.checkout(worker, now) {
                Some(lease) => (lease, true),
                None => match self.connect(worker, within).await {
                    Ok(lease) => (lease, false),
                    Err(rejection) => return Err(Missed::Unsent(rejection, request)),
                },
            };
            if !pooled {
                now = Instant::now();
            }
            let Some(connection) = &mut lease.connection else {
                return Err(Missed::Lost(Rejection::Internal));
            };
            let deadline = now + self.shared.settings.timeout;
            match connection.send(request, deadline).await {
                Ok(response) => {
                    if response.status == StatusCode::SWITCHING_PROTOCOLS {
                        return Err(Missed::Lost(self.failed(Rejection::UpstreamInvalid)));
                    }
                    if response.status.is_server_error() {
                        self.answered_with_error();
                    } else {
                        self.succeeded();
                    }
                    return Ok(response.map(|body| Answer::new(lease, body, deadline)));
                }
                Err(Failure::NotSent(unsent)) if pooled => (request, now) = (unsent, Instant::now()),
                Err(Failure::NotSent(unsent)) => {
                    return Err(Missed::Unsent(self.unreachable(Rejection::UpstreamReset), unsent));
                }
                Err(Failure::Lost(rejection)) => {
                    if pooled && rejection == Rejection::UpstreamReset {
                        self.distrust();
                    }
                    return Err(Missed::Lost(self.failed(rejection)));
                }
            }
        }
    }

    /// Closes idle connections whose time is over.
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

    /// Closes idle connections; those in use are closed behind their answers. Its health checks end.
    pub(super) fn retire(&self) {
        self.retired.begin();
        for pool in &self.idle {
            let closed = std::mem::take(&mut *lock(pool));
            self.open.fetch_sub(closed.len(), Ordering::Relaxed);
        }
    }

    /// Opens a stream of its own, that no count knows of.
    pub(super) async fn open_stream(&self) -> std::io::Result<Stream> {
        Stream::open(self.target(), &self.addresses, self.shared.tls.as_ref()).await
    }

    fn succeeded(&self) {
        self.answered();
        if self.shared.ejection.is_some() {
            self.standing.succeeded(self.shared.milliseconds(Instant::now()));
        }
    }

    fn answered_with_error(&self) {
        self.answered();
        self.note_failure(false);
    }

    fn answered(&self) {
        // Written only when it changes: the line is shared by all workers.
        if !self.was_reached() {
            self.reached.store(true, Ordering::Relaxed);
        }
    }

    /// Notes a request that got no whole answer.
    pub(super) fn failed(&self, rejection: Rejection) -> Rejection {
        self.reached.store(false, Ordering::Relaxed);
        self.note_failure(false);
        rejection
    }

    /// Notes a request that could not be sent.
    fn unreachable(&self, rejection: Rejection) -> Rejection {
        self.reached.store(false, Ordering::Relaxed);
        self.note_failure(true);
        rejection
    }

    fn note_failure(&self, is_unreachable: bool) {
        let Some(policy) = &self.shared.ejection else { return };
        let now = self.shared.milliseconds(Instant::now());
        if let Some(length) = self.standing.failed(now, is_unreachable, policy) {
            self.server.tally.ejections.add(1);
            tracing::warn!(
                upstream = %self.server.name, addresses = ?self.addresses, unreachable = is_unreachable, ?length,
                "an upstream fails: left alone for a while"
            );
        }
    }

    /// Some servers promise to keep a connection and close it behind their answer: a request that is already written to
    /// it is lost. Where that was seen, every request gets a connection of its own for a while.
    fn distrust(&self) {
        let until = self.shared.made.elapsed().saturating_add(DISTRUST).as_secs();
        self.distrusted.store(until, Ordering::Relaxed);
    }

    fn is_distrusted(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.shared.made).as_secs() < self.distrusted.load(Ordering::Relaxed)
    }

    /// The connection that was used last: it is the likeliest to be alive, and the others may grow old and be closed.
    fn checkout(self: &Arc<Self>, worker: usize, now: Instant) -> Option<Lease> {
        loop {
            let connection = lock(self.idle.get(worker)?).pop()?;
            let mut lease = Lease::new(self, worker, Some(connection));
            let Some(connection) = &mut lease.connection else {
                continue;
            };
            if connection.is_alive(now) {
                return Some(lease);
            }
            if now.saturating_duration_since(connection.idle_since) < AT_ONCE {
                self.distrust();
            }
        }
    }

    /// Closes the connection that has been idle longest in some worker's pool, to make room for a new one.
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

    async fn connect(self: &Arc<Self>, worker: usize, within: Duration) -> Result<Lease, Rejection> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.shared.settings.max_connections && !self.evict() {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Rejection::Overloaded);
        }
        // From here on the lease's drop keeps the count.
        let mut lease = Lease::new(self, worker, None);
        let stream = match timeout(within, self.open_stream()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, upstream = %self.server.name, addresses = ?self.addresses, "upstream unreachable");
                return Err(self.unreachable(Rejection::UpstreamUnreachable));
            }
            Err(_) => return Err(self.unreachable(Rejection::UpstreamTimeout)),
        };
        lease.connection = Some(Connection::new(stream));
        Ok(lease)
    }
}

/// A connection in use, or the place of one that is being opened; gives its place back on drop.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) endpoint: Arc<Endpoint>,
    worker: usize,
    pub(super) connection: Option<Connection>,
    /// The place went back into the pool with the connection.
    parked: bool,
}

impl Lease {
    fn new(endpoint: &Arc<Endpoint>, worker: usize, connection: Option<Connection>) -> Self {
        endpoint.active.fetch_add(1, Ordering::Relaxed);
        Self {
            endpoint: endpoint.clone(),
            worker,
            connection,
            parked: false,
        }
    }

    /// Back into the pool, if another request can be sent on it and there is room.
    pub(super) fn park(mut self) {
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
        // Asked under the lock: what retires the endpoint empties the pool afterwards.
        if pool.len() < endpoint.shared.settings.idle_connections
            && !endpoint.is_distrusted(now)
            && !endpoint.retired.has_begun()
        {
            pool.push(connection);
            self.parked = true;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.active.fetch_sub(1, Ordering::Relaxed);
        if !self.parked {
            self.endpoint.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn lock<T>(pool: &Mutex<T>) -> MutexGuard<'_, T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}
