//! Counters of one server between two scrapes of the metrics.
//!
//! A scrape takes the counts and resets them to zero. After a reload, the old and the new upstream may contain the same
//! server; the metric is the sum of both and never decreases.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since they were last taken.
#[derive(Debug)]
pub struct ServerCounters {
    /// Ejections of endpoints because of failures.
    pub ejections: Counter,
    /// Requests of which no byte could be sent to this server and which were sent to another endpoint.
    pub passed_on: Counter,
    /// Requests that waited at `max_connections` and got a connection.
    pub queue_served: Counter,
    /// Requests that waited at `max_connections` in vain.
    pub queue_timeouts: Counter,
    /// Requests that found the queue full.
    pub queue_full: Counter,
    /// Health checks that succeeded.
    pub checks_passed: Counter,
    /// Health checks that failed.
    pub checks_failed: Counter,
    /// Look-ups of the name that returned addresses.
    pub lookups_passed: Counter,
    /// Look-ups of the name that failed.
    pub lookups_failed: Counter,
}

/// A counter that is reset when it is read.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl ServerCounters {
    /// All counters at zero.
    pub(super) const fn new() -> Self {
        Self {
            ejections: Counter(AtomicU64::new(0)),
            passed_on: Counter(AtomicU64::new(0)),
            queue_served: Counter(AtomicU64::new(0)),
            queue_timeouts: Counter(AtomicU64::new(0)),
            queue_full: Counter(AtomicU64::new(0)),
            checks_passed: Counter(AtomicU64::new(0)),
            checks_failed: Counter(AtomicU64::new(0)),
            lookups_passed: Counter(AtomicU64::new(0)),
            lookups_failed: Counter(AtomicU64::new(0)),
        }
    }
}

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Returns the count since the last call and resets it.
    #[must_use]
    pub fn take(&self) -> u64 {
        self.0.swap(0, Relaxed)
    }
}
