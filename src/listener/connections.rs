//! Counts the open connections and the running accept loops of the process, and limits the connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The open connections and running accept loops over all listeners and workers, and the limit on connections.
#[derive(Debug)]
pub struct Connections {
    /// Number of open connections; one for each [`Permit`].
    open: AtomicUsize,
    /// Number of running accept loops; one for each [`AcceptLoop`].
    accepting: AtomicUsize,
    /// The most open connections.
    limit: usize,
}

impl Connections {
    /// Starts with no connection; at most `limit` may be open at once.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            accepting: AtomicUsize::new(0),
            limit,
        })
    }

    /// Number of open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Number of running accept loops.
    #[must_use]
    pub fn accepting(&self) -> usize {
        self.accepting.load(Ordering::Relaxed)
    }

    /// Counts one more connection; `None` at the limit.
    pub(super) fn permit(self: &Arc<Self>) -> Option<Permit> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit(self.clone()))
    }

    /// Counts one more accept loop.
    pub(super) fn accept_loop(self: &Arc<Self>) -> AcceptLoop {
        self.accepting.fetch_add(1, Ordering::Relaxed);
        AcceptLoop(self.clone())
    }
}

/// Permission for one connection. Dropping it ends the count.
pub(super) struct Permit(Arc<Connections>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One running accept loop. Dropping it ends the count.
pub(super) struct AcceptLoop(Arc<Connections>);

impl Drop for AcceptLoop {
    fn drop(&mut self) {
        self.0.accepting.fetch_sub(1, Ordering::Relaxed);
    }
}
