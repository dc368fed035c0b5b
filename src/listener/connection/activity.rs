//! What an HTTP/2 connection is waiting for. hyper does not report this, so the stream and the exchanges note it here
//! for the watchdog.

use super::Timeouts;
use super::control_frames::ControlFrames;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What a connection is waiting for. [`ObservedStream`] and [`ActiveExchange`] update it; the watchdog of the
/// connection reads it. Times are milliseconds since `started_at`.
#[derive(Debug)]
pub(super) struct Activity {
    started_at: Instant,
    /// Number of exchanges that are not finished.
    exchanges: AtomicU32,
    /// When the connection last became idle.
    idle_since: AtomicU64,
    /// Since when the connection has been waiting for its first head; [`NEVER`] once it has arrived.
    head_since: AtomicU64,
    /// Since when a write has been waiting for the peer; [`NEVER`] while none is waiting.
    write_since: AtomicU64,
    /// Number of responses with bytes that wait for the peer's flow control.
    waiting_responses: AtomicU32,
    /// When one of these responses last made progress.
    response_progress: AtomicU64,
    /// Whether the peer has sent too many control frames.
    is_flooded: AtomicBool,
    /// Complete heads that have arrived.
    heads: AtomicU32,
    /// Of these, the heads that became exchanges, and those that were reported as refused.
    known_heads: AtomicU32,
    /// The waker of the watchdog. HTTP/2 streams have tasks of their own, and their notes may change its deadline.
    watchdog: Mutex<Option<Waker>>,
}

/// What a connection waited for until its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitingFor {
    /// The first request head of the connection.
    RequestHead,
    /// The next request.
    Idle,
    /// The peer, which has to read the response.
    Write,
}

/// Marks a time that is not set.
const NEVER: u64 = u64::MAX;

impl Activity {
    /// A connection that starts now and waits for its first head.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            started_at: Instant::now(),
            exchanges: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            write_since: AtomicU64::new(NEVER),
            waiting_responses: AtomicU32::new(0),
            response_progress: AtomicU64::new(NEVER),
            is_flooded: AtomicBool::new(false),
            heads: AtomicU32::new(0),
            known_heads: AtomicU32::new(0),
            watchdog: Mutex::default(),
        })
    }

    /// What the connection is waiting for, and until when; `None` while an exchange is running that waits for something
    /// else.
    pub(super) fn waiting(&self, timeouts: &Timeouts) -> Option<(WaitingFor, Instant)> {
        let at = |since: &AtomicU64| match since.load(Ordering::Relaxed) {
            NEVER => None,
            since => Some(self.started_at + Duration::from_millis(since)),
        };
        if let Some(since) = at(&self.write_since) {
            return Some((WaitingFor::Write, since + timeouts.write));
        }
        if self.waiting_responses.load(Ordering::Relaxed) > 0 {
            return at(&self.response_progress).map(|since| (WaitingFor::Write, since + timeouts.write));
        }
        if self.exchanges.load(Ordering::Relaxed) > 0 {
            return None;
        }
        match at(&self.head_since) {
            Some(since) => Some((WaitingFor::RequestHead, since + timeouts.head)),
            None => at(&self.idle_since).map(|since| (WaitingFor::Idle, since + timeouts.idle)),
        }
    }

    /// Whether the peer has sent too many control frames.
    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded.load(Ordering::Relaxed)
    }

    /// Notes that a head is complete and its exchange starts. Dropping the returned guard notes the end.
    pub(super) fn exchange_started(self: &Arc<Self>) -> ActiveExchange {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.known_heads.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(NEVER, Ordering::Relaxed);
        ActiveExchange {
            activity: self.clone(),
            is_waiting: false,
        }
    }

    /// The heads that hyper has read and that became no exchange, since the last call. Called when hyper has read
    /// everything that has arrived.
    pub(super) fn take_refused_heads(&self) -> u32 {
        // hyper reads nothing more while its own frames cannot be written.
        if self.write_since.load(Ordering::Relaxed) != NEVER {
            return 0;
        }
        let heads = self.heads.load(Ordering::Relaxed);
        let refused = heads.saturating_sub(self.known_heads.load(Ordering::Relaxed));
        self.known_heads.fetch_add(refused, Ordering::Relaxed);
        refused
    }

    /// Stores the waker of the watchdog. The watchdog calls this before [`waiting`](Self::waiting), so that it misses
    /// no change.
    pub(super) fn set_watchdog(&self, waker: &Waker) {
        let mut watchdog = self.watchdog.lock().unwrap_or_else(PoisonError::into_inner);
        if !watchdog.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *watchdog = Some(waker.clone());
        }
    }

    fn wake_watchdog(&self) {
        if let Some(waker) = &*self.watchdog.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    /// The time now, in milliseconds since `started_at`.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started_at.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// Notes whether a write is waiting for the peer.
    fn note_write(&self, is_waiting: bool) {
        let since = self.write_since.load(Ordering::Relaxed);
        match (is_waiting, since) {
            (true, NEVER) => self.write_since.store(self.now_ms(), Ordering::Relaxed),
            (true, _) | (false, NEVER) => {}
            (false, _) => self.write_since.store(NEVER, Ordering::Relaxed),
        }
    }
}

/// An exchange in progress on a connection.
#[derive(Debug)]
pub(super) struct ActiveExchange {
    activity: Arc<Activity>,
    /// Whether the response is counted in `waiting_responses`.
    is_waiting: bool,
}

impl ActiveExchange {
    /// Notes that a part of the response is ready and waits for the peer's flow control.
    pub(super) fn note_waiting_for_peer(&mut self) {
        self.activity
            .response_progress
            .store(self.activity.now_ms(), Ordering::Relaxed);
        if !self.is_waiting {
            self.is_waiting = true;
            self.activity.waiting_responses.fetch_add(1, Ordering::Relaxed);
            self.activity.wake_watchdog();
        }
    }

    /// Notes that no part of the response is waiting for the peer.
    pub(super) fn note_not_waiting_for_peer(&mut self) {
        if self.is_waiting {
            self.is_waiting = false;
            self.activity.waiting_responses.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for ActiveExchange {
    fn drop(&mut self) {
        self.note_not_waiting_for_peer();
        let activity = &self.activity;
        if activity.exchanges.fetch_sub(1, Ordering::Relaxed) == 1 {
            activity.head_since.store(NEVER, Ordering::Relaxed);
            activity.idle_since.store(activity.now_ms(), Ordering::Relaxed);
        }
    }
}

/// A stream that notes in an [`Activity`] when writes wait for the peer, and when the peer sends too many control frames.
#[derive(Debug)]
pub(super) struct ObservedStream<S> {
    stream: S,
    activity: Arc<Activity>,
    control_frames: ControlFrames,
}

impl<S> ObservedStream<S> {
    /// Wraps `stream`.
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            control_frames: ControlFrames::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.activity.is_flooded() {
            // The watchdog ends the connection.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let arrived = buf.filled().get(before..).unwrap_or_default();
        if this.control_frames.read(arrived) {
            this.activity.is_flooded.store(true, Ordering::Relaxed);
        }
        this.activity
            .heads
            .store(this.control_frames.heads(), Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> ObservedStream<S> {
    /// Notes whether a write is waiting, and returns its result.
    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.activity.note_write(written.is_pending());
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ObservedStream<S> {
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
