//! What is counted of one server between two scrapes. Counts are taken, not read: an upstream that a reload replaces and
//! its successor may have the same server, and the metric must go on and never fall back.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since they were last taken.
#[derive(Debug)]
pub struct Tally {
    /// Endpoints that were left alone because of their failures.
    pub ejections: Count,
    /// Requests that could not be sent here, not a byte of them, and went elsewhere.
    pub passed_on: Count,
    /// Health checks that were passed.
    pub checks_passed: Count,
    /// Health checks that failed.
    pub checks_failed: Count,
    /// Look-ups of the name that gave addresses.
    pub lookups_passed: Count,
    /// Look-ups of the name that gave none.
    pub lookups_failed: Count,
}

/// One count.
#[derive(Debug)]
pub struct Count(AtomicU64);

impl Tally {
    /// All at zero.
    pub(super) const fn new() -> Self {
        Self {
            ejections: Count(AtomicU64::new(0)),
            passed_on: Count(AtomicU64::new(0)),
            checks_passed: Count(AtomicU64::new(0)),
            checks_failed: Count(AtomicU64::new(0)),
            lookups_passed: Count(AtomicU64::new(0)),
            lookups_failed: Count(AtomicU64::new(0)),
        }
    }
}

impl Count {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// What has come together since the last time.
    #[must_use]
    pub fn take(&self) -> u64 {
        self.0.swap(0, Relaxed)
    }
}
