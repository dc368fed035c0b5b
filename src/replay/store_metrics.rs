//! What a shared store is measured by. The registry is telemetry's; this is the store's share of it, resolved once.

use prometheus::{Histogram, IntCounter, IntGauge};
use std::time::Duration;

/// What is asked of a shared store; the `operation` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOperation {
    /// Before a request is forwarded.
    Claim,
    /// After the application took it.
    Commit,
    /// After it did not.
    Release,
}

/// How it went; the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreResult {
    /// The server answered, whatever it said about the claim.
    Ok,
    /// Not in time.
    Timeout,
    /// No connection.
    Down,
    /// The server has no memory left.
    OutOfMemory,
    /// The server takes no writes.
    NotMaster,
    /// User, password or the user's rights.
    Denied,
    /// Any other error of the server.
    Error,
}

impl StoreOperation {
    /// All values.
    pub const ALL: [Self; 3] = [Self::Claim, Self::Commit, Self::Release];

    /// The label's value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Commit => "commit",
            Self::Release => "release",
        }
    }
}

impl StoreResult {
    /// All values.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Timeout,
        Self::Down,
        Self::OutOfMemory,
        Self::NotMaster,
        Self::Denied,
        Self::Error,
    ];

    /// The label's value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Down => "down",
            Self::OutOfMemory => "out_of_memory",
            Self::NotMaster => "not_master",
            Self::Denied => "denied",
            Self::Error => "error",
        }
    }
}

/// The store's share of the metrics.
#[derive(Clone, Debug)]
pub struct ReplayStoreMetrics {
    /// By operation and answer, in the order of [`StoreOperation::ALL`] and [`StoreResult::ALL`].
    pub operations: [[IntCounter; StoreResult::ALL.len()]; StoreOperation::ALL.len()],
    /// Operations that were not answered [`StoreResult::Ok`].
    pub errors: IntCounter,
    /// Requests that were decided without the store (`on_store_failure = "accept"`).
    pub fallbacks: IntCounter,
    /// Seconds of one operation, as far as it was waited for.
    pub duration: Histogram,
    /// 1 while the server would drop our keys when its memory is full.
    pub evicts: IntGauge,
}

impl ReplayStoreMetrics {
    /// Counts one operation.
    pub fn record(&self, operation: StoreOperation, answer: StoreResult, duration: Duration) {
        let counter = self.operations.get(operation as usize);
        if let Some(counter) = counter.and_then(|answers| answers.get(answer as usize)) {
            counter.inc();
        }
        if answer != StoreResult::Ok {
            self.errors.inc();
        }
        self.duration.observe(duration.as_secs_f64());
    }
}
