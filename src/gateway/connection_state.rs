//! What one connection of a sender does, as the accept loop sees it when the limit on connections is reached.
//!
//! A connection without a verified or forwarded request can be closed to make room for another one. The exchanges update the state;
//! [`crate::listener`] chooses among all connections and closes.

use crate::http::source::Source;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Waker};
use tokio::time::Instant;

/// The state of one connection.
#[derive(Debug)]
pub struct ConnectionState {
    /// The start of the process's count of connections; times below are milliseconds since then.
    epoch: Instant,
    /// The source; not set for a trusted proxy or a Unix socket, behind which there are many senders.
    source: OnceLock<Source>,
    /// Number of exchanges that are not finished.
    exchanges: AtomicU32,
    /// Number of those that have to be finished, because they are verified or forwarded.
    protected: AtomicU32,
    /// When an exchange last started or ended; at first, when the connection was accepted.
    changed_ms: AtomicU64,
    /// Bytes that the heads of the exchanges hold; used over HTTP/2.
    head_bytes: AtomicUsize,
    /// Whether the connection has to close, to make room for another one.
    must_close: AtomicBool,
    /// The task that serves the connection; `None` before its first poll.
    task: Mutex<Option<Waker>>,
}

impl ConnectionState {
    /// A connection that was accepted now.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        let state = Self {
            epoch,
            source: OnceLock::new(),
            exchanges: AtomicU32::new(0),
            protected: AtomicU32::new(0),
            changed_ms: AtomicU64::new(0),
            head_bytes: AtomicUsize::new(0),
            must_close: AtomicBool::new(false),
            task: Mutex::default(),
        };
        state.note_change(Instant::now());
        state
    }

    /// Sets the source, once.
    pub fn set_source(&self, source: Source) {
        let _ = self.source.set(source);
    }

    /// The source; `None` if the connection belongs to no single sender.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        self.source.get().copied()
    }

    /// Milliseconds from the epoch to the last start or end of an exchange.
    #[must_use]
    pub fn changed_ms(&self) -> u64 {
        self.changed_ms.load(Ordering::Relaxed)
    }

    /// Whether no exchange is in progress: the connection waits for a request.
    #[must_use]
    pub fn is_waiting_for_request(&self) -> bool {
        self.exchanges.load(Ordering::Relaxed) == 0
    }

    /// Whether a request is in progress that has to be finished.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.protected.load(Ordering::Relaxed) > 0
    }

    /// Closes the connection as soon as no request is in progress that has to be finished.
    pub fn close(&self) {
        self.must_close.store(true, Ordering::Relaxed);
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }

    /// Whether the connection has to close now. The first call registers the task of `cx`, which serves the connection
    /// until its end.
    pub fn must_close(&self, is_first_call: bool, cx: &Context<'_>) -> bool {
        if is_first_call {
            *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        }
        self.is_closing() && !self.is_protected()
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.must_close.load(Ordering::Relaxed)
    }

    /// Counts the head of a new exchange, of `bytes`, unless the heads in progress would then hold more than `limit`.
    /// Dropping the returned guard ends the count.
    pub fn hold_head(self: &Arc<Self>, bytes: usize, limit: usize) -> Option<HeldHead> {
        let before = self.head_bytes.fetch_add(bytes, Ordering::Relaxed);
        let held = HeldHead {
            state: self.clone(),
            bytes,
        };
        (before.saturating_add(bytes) <= limit).then_some(held)
    }

    pub(super) fn exchange_started(&self, now: Instant) {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.note_change(now);
    }

    pub(super) fn exchange_protected(&self) {
        self.protected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn exchange_ended(&self, was_protected: bool, now: Instant) {
        if was_protected {
            self.protected.fetch_sub(1, Ordering::Relaxed);
        }
        self.exchanges.fetch_sub(1, Ordering::Relaxed);
        self.note_change(now);
    }

    /// Marks the start of an exchange.
    #[cfg(test)]
    pub(crate) fn start_for_test(&self) {
        self.exchange_started(Instant::now());
    }

    /// Marks a request that has to be finished.
    #[cfg(test)]
    pub(crate) fn protect_for_test(&self) {
        self.exchange_protected();
    }

    fn note_change(&self, now: Instant) {
        let since = now.saturating_duration_since(self.epoch).as_millis();
        self.changed_ms
            .store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The bytes of a head that an exchange holds.
#[derive(Debug)]
pub struct HeldHead {
    state: Arc<ConnectionState>,
    bytes: usize,
}

impl Drop for HeldHead {
    fn drop(&mut self) {
        self.state.head_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_connection_closes_when_no_request_has_to_be_finished() {
        let state = ConnectionState::new(Instant::now());
        let cx = Context::from_waker(Waker::noop());
        state.exchange_started(Instant::now());
        state.exchange_protected();
        state.close();
        assert!(!state.must_close(true, &cx));
        state.exchange_ended(true, Instant::now());
        assert!(state.must_close(false, &cx));
        assert!(state.is_waiting_for_request());
    }

    #[tokio::test]
    async fn the_heads_of_one_connection_are_bounded() {
        let state = Arc::new(ConnectionState::new(Instant::now()));
        let first = state.hold_head(60, 100).unwrap();
        assert!(state.hold_head(60, 100).is_none());
        drop(first);
        assert!(state.hold_head(100, 100).is_some());
    }
}
