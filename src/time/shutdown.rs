//! The word that goes round when the process is to stop: first the listeners stop accepting, then every connection
//! finishes what it has.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Spoken once. Asking costs one load.
#[derive(Debug, Default)]
pub struct Drain {
    begun: AtomicBool,
    notify: Notify,
}

impl Drain {
    /// Speaks the word.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    /// Whether it has been spoken.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// Ready once it has been spoken.
    pub async fn begun(&self) {
        let notified = self.notify.notified();
        let mut notified = std::pin::pin!(notified);
        // Enabled before the flag is read, so that a word in between is not lost.
        notified.as_mut().enable();
        if !self.has_begun() {
            notified.await;
        }
    }
}
