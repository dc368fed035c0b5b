//! The shutdown signal, shared by listeners, connections and background tasks.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// A signal that is triggered at most once and stays triggered.
///
/// Its owner decides what it stops: one signal stops the accept loops, another one tells connections to finish.
#[derive(Debug, Default)]
pub struct ShutdownSignal {
    triggered: AtomicBool,
    notify: Notify,
}

impl ShutdownSignal {
    /// Triggers the signal and wakes every task in [`wait`](Self::wait). Further calls change nothing.
    pub fn trigger(&self) {
        self.triggered.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    /// Whether the signal has been triggered. Costs one atomic load.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.triggered.load(Ordering::SeqCst)
    }

    /// Waits until the signal is triggered; returns immediately when it has been already.
    pub async fn wait(&self) {
        let notified = self.notify.notified();
        let mut notified = std::pin::pin!(notified);
        // Registers this task before the flag is read, so that a trigger between the two is not missed.
        notified.as_mut().enable();
        if !self.is_triggered() {
            notified.await;
        }
    }
}
