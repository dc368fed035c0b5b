//! The metrics of a shared store: the type of the handle, and its labels. Telemetry registers and fills it, see
//! `telemetry`, "Who owns a metric".

use prometheus::{Histogram, IntCounter, IntGauge};
use std::time::Duration;

/// A call to a shared store; the `operation` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOperation {
    /// Claims keys before a request is forwarded.
    Claim,
    /// Commits a claim after a delivery.
    Commit,
    /// Releases a claim after a failed delivery.
    Release,
}

/// The result of a call; the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreResult {
    /// The server answered. This includes the answer that a key is claimed already.
    Ok,
    /// The server did not answer before the deadline.
    Timeout,
    /// There was no connection.
    Down,
    /// The server has no memory left.
    OutOfMemory,
    /// The server accepts no writes.
    NotMaster,
    /// User, password or the user's permissions are wrong.
    Denied,
    /// The server returned another error.
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

/// The handle of a shared store's metrics.
#[derive(Clone, Debug)]
pub struct ReplayStoreMetrics {
    /// By operation and result, in the order of [`StoreOperation::ALL`] and [`StoreResult::ALL`].
    pub operations: [[IntCounter; StoreResult::ALL.len()]; StoreOperation::ALL.len()],
    /// Operations whose result was not [`StoreResult::Ok`].
    pub errors: IntCounter,
    /// Requests that were accepted without the store (`on_store_failure = "accept"`).
    pub fallbacks: IntCounter,
    /// Duration of one operation in seconds, until the answer or the deadline.
    pub duration: Histogram,
    /// 1 while the server is configured to evict keys when its memory is full.
    pub evicts: IntGauge,
}

impl ReplayStoreMetrics {
    /// Counts one operation.
    pub fn record(&self, operation: StoreOperation, result: StoreResult, duration: Duration) {
        let counter = self.operations.get(operation as usize);
        if let Some(counter) = counter.and_then(|results| results.get(result as usize)) {
            counter.inc();
        }
        if result != StoreResult::Ok {
            self.errors.inc();
        }
        self.duration.observe(duration.as_secs_f64());
    }
}
