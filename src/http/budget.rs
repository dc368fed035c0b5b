//! The process-wide limit on body bytes held in memory.

use crate::outcome::Rejection;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the body bytes that the whole process holds, against a limit.
#[derive(Debug)]
pub struct Budget {
    /// Bytes reserved now.
    used_bytes: AtomicUsize,
    /// The most bytes that may be reserved at once.
    limit_bytes: AtomicUsize,
}

impl Budget {
    /// A budget of `limit_bytes`, none of them used.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            used_bytes: AtomicUsize::new(0),
            limit_bytes: AtomicUsize::new(limit_bytes),
        })
    }

    /// Bytes held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that may be held at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit_bytes.load(Ordering::Relaxed)
    }

    /// Replaces the limit (on reload). Bytes that are already held stay reserved, even above a lower limit.
    pub fn resize(&self, limit_bytes: usize) {
        self.limit_bytes.store(limit_bytes, Ordering::Relaxed);
    }

    /// Reserves `bytes`; `false` when they would exceed the limit.
    fn reserve(&self, bytes: usize) -> bool {
        let before = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit_bytes.load(Ordering::Relaxed);
        if !fits {
            self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }
}

/// The bytes of a [`Budget`] that one body has reserved; dropping it returns them.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Reservation {
    /// A reservation of no bytes.
    pub(super) const fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// `Overloaded` when the budget is exhausted.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Rejection> {
        if !self.budget.reserve(bytes) {
            return Err(Rejection::Overloaded);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
