//! Where verified requests go: a bounded LIFO pool of connections for each worker, and the one exchange on one of them.
//!
//! A request is sent once. It is sent again only when the connection closed before a byte of it was written, which
//! happens when an idle connection dies in the pool. Connections never move between workers, so no core waits for
//! another; only the count of open ones is shared.

mod connection;
mod framing;
pub mod headers;
mod message;
mod stream;

use crate::intake::Payload;
use crate::outcome::Rejection;
use crate::settings;
use connection::{Connection, Failure, Incoming};
use hyper::body::Bytes;
use hyper::{Request, Response, StatusCode};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use stream::Stream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// A connection that is closed this soon after an answer was never meant to be kept.
const AT_ONCE: Duration = Duration::from_secs(1);
/// For how long such an upstream's connections are not used again.
const DISTRUST: Duration = Duration::from_secs(60);

/// An upstream with its pool.
pub struct Upstream {
    settings: Arc<settings::Upstream>,
    tls: Option<TlsConnector>,
    /// One a worker; the lock is contended only when one worker makes room by closing another's.
    idle: Vec<Mutex<Vec<Connection>>>,
    open: AtomicUsize,
    up: AtomicBool,
    made: Instant,
    /// Seconds after `made` until which connections are not used again.
    distrusted: AtomicU64,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("target", &self.settings.target)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// An upstream without connections. `tls` is needed for [`settings::Target::Tls`].
    #[must_use]
    pub fn new(settings: Arc<settings::Upstream>, tls: Option<TlsConnector>, workers: usize) -> Arc<Self> {
        let idle = (0..workers.max(1)).map(|_| Mutex::default()).collect();
        Arc::new(Self {
            settings,
            tls,
            idle,
            open: AtomicUsize::new(0),
            up: AtomicBool::new(true),
            made: Instant::now(),
            distrusted: AtomicU64::new(0),
        })
    }

    /// What it was made from.
    #[must_use]
    pub const fn settings(&self) -> &Arc<settings::Upstream> {
        &self.settings
    }

    /// Connections open now, idle ones included.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Idle connections now.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.iter().map(|pool| lock(pool).len()).sum()
    }

    /// Whether the last attempt to reach it succeeded.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Sends `request` and returns the head of the final answer, its body to be read from the [`Answer`].
    ///
    /// # Errors
    /// `UpstreamUnreachable`, `UpstreamReset`, `UpstreamInvalid`, `UpstreamTimeout`, and `Overloaded` at the bound of
    /// open connections.
    pub async fn forward(
        self: &Arc<Self>,
        worker: usize,
        request: Request<Payload>,
    ) -> Result<Response<Answer>, Rejection> {
        let mut request = request;
        loop {
            let (mut lease, pooled) = match self.checkout(worker) {
                Some(lease) => (lease, true),
                None => (self.connect(worker).await?, false),
            };
            let Some(connection) = &mut lease.connection else {
                return Err(Rejection::Internal);
            };
            let deadline = Instant::now() + self.settings.timeout;
            match connection.send(request, deadline).await {
                Ok(response) => {
                    self.up.store(true, Ordering::Relaxed);
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                        return Err(Rejection::UpstreamInvalid);
                    }
                    return Ok(response.map(|body| Answer {
                        lease: Some(lease),
                        body,
                        deadline,
                    }));
                }
                Err(Failure::NotSent(unsent)) if pooled => request = *unsent,
                Err(Failure::NotSent(_)) => return Err(self.failed(Rejection::UpstreamReset)),
                Err(Failure::Lost(rejection)) => {
                    if pooled && rejection == Rejection::UpstreamReset {
                        self.distrust();
                    }
                    return Err(self.failed(rejection));
                }
            }
        }
    }

    /// Closes idle connections whose time is over.
    pub fn sweep(&self, worker: usize, now: Instant) {
        let Some(pool) = self.idle.get(worker) else { return };
        let mut pool = lock(pool);
        let before = pool.len();
        pool.retain_mut(|connection| {
            now.saturating_duration_since(connection.idle_since) < self.settings.idle_timeout && connection.is_idle()
        });
        self.open.fetch_sub(before - pool.len(), Ordering::Relaxed);
    }

    /// Some servers promise to keep a connection and close it behind their answer: a request that is already written to
    /// it is lost. Where that was seen, every request gets a connection of its own for a while.
    fn distrust(&self) {
        let until = self.made.elapsed().saturating_add(DISTRUST).as_secs();
        self.distrusted.store(until, Ordering::Relaxed);
    }

    fn is_distrusted(&self) -> bool {
        self.made.elapsed().as_secs() < self.distrusted.load(Ordering::Relaxed)
    }

    fn failed(&self, rejection: Rejection) -> Rejection {
        self.up.store(false, Ordering::Relaxed);
        rejection
    }

    /// The connection that was used last: it is the likeliest to be alive, and the others may grow old and be closed.
    fn checkout(self: &Arc<Self>, worker: usize) -> Option<Lease> {
        loop {
            let connection = lock(self.idle.get(worker)?).pop()?;
            let mut lease = Lease {
                upstream: self.clone(),
                worker,
                connection: Some(connection),
            };
            let Some(connection) = &mut lease.connection else {
                continue;
            };
            if connection.is_alive() {
                return Some(lease);
            }
            if connection.idle_since.elapsed() < AT_ONCE {
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

    async fn connect(self: &Arc<Self>, worker: usize) -> Result<Lease, Rejection> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.settings.max_connections && !self.evict() {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Rejection::Overloaded);
        }
        // From here on the lease's drop keeps the count.
        let mut lease = Lease {
            upstream: self.clone(),
            worker,
            connection: None,
        };
        let opening = Stream::open(&self.settings.target, self.tls.as_ref());
        let stream = match timeout(self.settings.connect_timeout, opening).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, upstream = ?self.settings.target, "upstream unreachable");
                return Err(self.failed(Rejection::UpstreamUnreachable));
            }
            Err(_) => return Err(self.failed(Rejection::UpstreamTimeout)),
        };
        lease.connection = Some(Connection::new(stream));
        Ok(lease)
    }
}

/// A connection in use, or the place of one that is being opened; gives its place back on drop.
#[derive(Debug)]
struct Lease {
    upstream: Arc<Upstream>,
    worker: usize,
    connection: Option<Connection>,
}

impl Lease {
    /// Back into the pool, if another request can be sent on it and there is room.
    fn park(mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if !connection.is_idle() {
            return;
        }
        connection.idle_since = Instant::now();
        let upstream = self.upstream.clone();
        let Some(pool) = upstream.idle.get(self.worker) else {
            return;
        };
        let mut pool = lock(pool);
        if pool.len() < upstream.settings.idle_connections && !upstream.is_distrusted() {
            pool.push(connection);
            // The place goes with the connection: the pool holds it now.
            upstream.open.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an upstream's answer, and the connection it comes on.
#[derive(Debug)]
pub struct Answer {
    lease: Option<Lease>,
    body: Incoming,
    deadline: Instant,
}

impl Answer {
    /// The next piece; `None` at the clean end, after which the connection is back in the pool.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Rejection>>> {
        let Some(connection) = self.lease.as_mut().and_then(|lease| lease.connection.as_mut()) else {
            return Poll::Ready(None);
        };
        let piece = std::task::ready!(connection.poll_body(cx, &mut self.body, self.deadline));
        match &piece {
            Some(Ok(_)) if !self.is_complete() => {}
            Some(Ok(_)) | None => self.lease.take().map_or((), Lease::park),
            Some(Err(_)) => self.lease = None,
        }
        Poll::Ready(piece)
    }

    /// Whether the last byte has been read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lease.is_none() || self.body.is_end_stream()
    }

    /// Bytes still to come, where the upstream said so.
    #[must_use]
    pub fn remaining(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

fn lock<T>(pool: &Mutex<T>) -> MutexGuard<'_, T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}
