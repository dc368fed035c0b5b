//! Whether the store accepts webhooks, and its figures. The writer sets them; everybody reads them.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

/// Where the store is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its lock is not free yet, or it is being opened.
    Opening = 0,
    /// It works.
    Open = 1,
    /// A write or a sync failed. Final for this process: pages that were not synced may look clean.
    Failed = 2,
    /// The process ends.
    Closed = 3,
}

/// The bound at which nothing new is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// None is reached.
    None = 0,
    /// `max_bytes` or `max_items`.
    Size = 1,
    /// `min_free_disk`, or the file system is full.
    Disk = 2,
    /// `max_log`: something keeps the write-ahead log from being emptied.
    Log = 3,
}

/// The state of the store and its figures.
#[derive(Debug, Default)]
pub struct Status {
    phase: AtomicU8,
    bound: AtomicU8,
    /// Size of the write-ahead log in bytes.
    pub log_bytes: AtomicU64,
    /// Free space of the file system in bytes.
    pub free_bytes: AtomicU64,
    /// When a row was committed last, in milliseconds since 1970.
    pub last_commit: AtomicI64,
    /// Contents that could not be opened: rows that were changed, or whose key is gone.
    pub unreadable: AtomicU64,
}

impl Status {
    /// Where the store is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Opening,
            1 => Phase::Open,
            2 => Phase::Failed,
            3.. => Phase::Closed,
        }
    }

    /// The bound at which nothing new is stored.
    #[must_use]
    pub fn bound(&self) -> Bound {
        match self.bound.load(Ordering::Relaxed) {
            0 => Bound::None,
            1 => Bound::Size,
            2 => Bound::Disk,
            3.. => Bound::Log,
        }
    }

    /// Whether a webhook can be stored now, as far as is known.
    #[must_use]
    pub fn accepts(&self) -> bool {
        self.phase() == Phase::Open && self.bound() == Bound::None
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(super) fn set_bound(&self, bound: Bound) {
        self.bound.store(bound as u8, Ordering::Relaxed);
    }
}
