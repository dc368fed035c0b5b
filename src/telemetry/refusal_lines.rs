//! The rate of audit lines about requests that were refused before they were verified. A stranger can cause them with few
//! bytes, so they have a limit of their own: they cannot fill the disk, and never take the place of lines about genuine
//! webhooks.
//!
//! A token bucket: 1,000 lines at once, and then 100 in a second. What is left out is counted in a metric, and a log line
//! tells the number at most every 10 seconds.

use prometheus::IntCounter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Lines that may come at once.
const BURST: u64 = 1_000;
/// Time in which one more line may come, in microseconds: 100 lines in a second.
const INTERVAL_US: u64 = 10_000;
/// Shortest time between two log lines about lines that were left out.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Decides which lines about refusals are written.
#[derive(Debug)]
pub(super) struct RefusalLines {
    epoch: Instant,
    /// When the bucket is full again, in microseconds since `epoch`.
    full_us: AtomicU64,
    /// Lines left out since the last report.
    left_out: AtomicU64,
    /// When the next report may come, in microseconds since `epoch`.
    next_report_us: AtomicU64,
    /// All lines that were left out.
    total: IntCounter,
}

impl RefusalLines {
    /// A full bucket. `total` counts the lines that are left out.
    pub(super) fn new(total: IntCounter) -> Self {
        Self {
            epoch: Instant::now(),
            full_us: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            next_report_us: AtomicU64::new(0),
            total,
        }
    }

    /// Whether a line may be written at `now`. If not, it is counted.
    pub(super) fn admit(&self, now: Instant) -> bool {
        let now_us = u64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX);
        let take = |full_us: u64| {
            let next = full_us.max(now_us).saturating_add(INTERVAL_US);
            (next - now_us <= BURST * INTERVAL_US).then_some(next)
        };
        let is_admitted = self
            .full_us
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok();
        if !is_admitted {
            self.total.inc();
            self.left_out.fetch_add(1, Ordering::Relaxed);
            self.report(now_us);
        }
        is_admitted
    }

    /// Logs how many lines were left out, at most every 10 seconds.
    fn report(&self, now_us: u64) {
        let next = now_us.saturating_add(u64::try_from(REPORT_EVERY.as_micros()).unwrap_or(u64::MAX));
        let is_due = |due_us: u64| (due_us <= now_us).then_some(next);
        let due = self
            .next_report_us
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_due);
        if due.is_ok() {
            let lines = self.left_out.swap(0, Ordering::Relaxed);
            tracing::warn!(
                lines,
                "audit lines about refused requests were left out, because there were too many"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_lines_come_at_once_and_then_a_hundred_in_a_second() {
        let total = IntCounter::new("left_out_total", "test").unwrap();
        let lines = RefusalLines::new(total.clone());
        let start = Instant::now();
        let admitted = |seconds, count| {
            let at = start + Duration::from_secs(seconds);
            (0..count).filter(|_| lines.admit(at)).count()
        };
        assert_eq!(admitted(0, 3_000), 1_000);
        assert_eq!(total.get(), 2_000);
        assert_eq!(admitted(1, 3_000), 100);
        assert_eq!(admitted(3, 3_000), 200);
        assert_eq!(admitted(100, 3_000), 1_000);
    }
}
