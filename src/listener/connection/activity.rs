//! What an HTTP/2 connection is waiting for, which hyper does not tell.

use super::Patience;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What a connection is waiting for, noted by the stream and by the exchanges on it, read by the connection's watchdog.
/// Times are milliseconds since the connection began.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    /// Exchanges that are not finished.
    exchanges: AtomicU32,
    /// When the connection last became idle.
    idle_since: AtomicU64,
    /// Since when the first head is due; [`NEVER`] once it has come.
    head_since: AtomicU64,
    /// Since when a write has been waiting for the peer; [`NEVER`] while none is.
    write_since: AtomicU64,
    /// Answers on HTTP/2 streams with bytes that the peer's flow control may be holding back.
    offered: AtomicU32,
    /// When any of them last moved.
    offered_since: AtomicU64,
    /// The watchdog: streams have tasks of their own, and what they note may concern it.
    watcher: Mutex<Option<Waker>>,
}

/// What a connection waited for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalled {
    /// The rest of a head.
    Head,
    /// Another request.
    Idle,
    /// The peer to read its answer.
    Write,
}

const NEVER: u64 = u64::MAX;

impl Activity {
    /// A connection that begins now: its first head is due.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            exchanges: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            write_since: AtomicU64::new(NEVER),
            offered: AtomicU32::new(0),
            offered_since: AtomicU64::new(NEVER),
            watcher: Mutex::default(),
        })
    }

    /// What the connection waits for and until when; `None` while an exchange keeps it busy.
    pub(super) fn waiting(&self, patience: &Patience) -> Option<(Stalled, Instant)> {
        let at = |since: &AtomicU64| match since.load(Ordering::Relaxed) {
            NEVER => None,
            since => Some(self.began + Duration::from_millis(since)),
        };
        if let Some(since) = at(&self.write_since) {
            return Some((Stalled::Write, since + patience.write));
        }
        if self.offered.load(Ordering::Relaxed) > 0 {
            return at(&self.offered_since).map(|since| (Stalled::Write, since + patience.write));
        }
        if self.exchanges.load(Ordering::Relaxed) > 0 {
            return None;
        }
        match at(&self.head_since) {
            Some(since) => Some((Stalled::Head, since + patience.head)),
            None => at(&self.idle_since).map(|since| (Stalled::Idle, since + patience.idle)),
        }
    }

    /// Notes that a head is complete and its exchange begins; the guard notes its end.
    pub(super) fn exchange(self: &Arc<Self>) -> Busy {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(NEVER, Ordering::Relaxed);
        Busy {
            activity: self.clone(),
            offers: false,
        }
    }

    /// Leaves the watchdog's waker, to be called before it asks what the connection waits for.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if !watcher.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *watcher = Some(waker.clone());
        }
    }

    fn wake_watcher(&self) {
        if let Some(waker) = &*self.watcher.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    fn write_waits(&self, waits: bool) {
        let since = self.write_since.load(Ordering::Relaxed);
        match (waits, since) {
            (true, NEVER) => self.write_since.store(self.now(), Ordering::Relaxed),
            (true, _) | (false, NEVER) => {}
            (false, _) => self.write_since.store(NEVER, Ordering::Relaxed),
        }
    }
}

/// An exchange in progress on a connection.
#[derive(Debug)]
pub(super) struct Busy {
    activity: Arc<Activity>,
    offers: bool,
}

impl Busy {
    /// Notes that bytes of the answer are at hand and it is the peer's turn to take them.
    pub(super) fn offer(&mut self) {
        self.activity
            .offered_since
            .store(self.activity.now(), Ordering::Relaxed);
        if !self.offers {
            self.offers = true;
            self.activity.offered.fetch_add(1, Ordering::Relaxed);
            self.activity.wake_watcher();
        }
    }

    /// Notes that the peer has taken everything so far.
    pub(super) fn taken(&mut self) {
        if self.offers {
            self.offers = false;
            self.activity.offered.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.taken();
        let activity = &self.activity;
        if activity.exchanges.fetch_sub(1, Ordering::Relaxed) == 1 {
            activity.head_since.store(NEVER, Ordering::Relaxed);
            activity.idle_since.store(activity.now(), Ordering::Relaxed);
        }
    }
}

/// A stream that notes in an [`Activity`] when bytes arrive and when writes wait.
#[derive(Debug)]
pub(super) struct Observed<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Observed<S> {
    /// Observes `stream`.
    pub(super) const fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> Observed<S> {
    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.activity.write_waits(written.is_pending());
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
