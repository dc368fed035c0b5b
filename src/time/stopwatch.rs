//! Measures the CPU time of verification, which is interrupted while the body arrives.
//!
//! Reading the clock costs as much as hashing a hundred bytes. Therefore callers pause the stopwatch only where a task
//! may really have to wait, and neither resuming a running stopwatch nor pausing a paused one reads the clock.

use std::time::Duration;
use tokio::time::Instant;

/// Adds up the time between [`start`](Self::start) or [`resume`](Self::resume) and the next [`pause`](Self::pause).
#[derive(Debug)]
pub struct Stopwatch {
    /// The time of all finished intervals.
    total: Duration,
    /// Start of the current interval; `None` while paused.
    running_since: Option<Instant>,
}

impl Stopwatch {
    /// A running stopwatch that shows zero.
    #[must_use]
    pub fn start() -> Self {
        Self {
            total: Duration::ZERO,
            running_since: Some(Instant::now()),
        }
    }

    /// Stops counting before the task may wait; no effect while paused.
    pub fn pause(&mut self) {
        if let Some(since) = self.running_since.take() {
            self.total += since.elapsed();
        }
    }

    /// Continues after `pause`; no effect while running.
    pub fn resume(&mut self) {
        self.running_since.get_or_insert_with(Instant::now);
    }

    /// The total time, and the moment at which it was read.
    #[must_use]
    pub fn stop(self) -> (Duration, Instant) {
        let now = Instant::now();
        let last = self.running_since.map_or(Duration::ZERO, |since| now - since);
        (self.total + last, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn only_running_time_is_counted() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut watch = Stopwatch::start();
        advance(second).await;
        watch.resume();
        advance(second).await;
        watch.pause();
        advance(10 * second).await;
        watch.pause();
        advance(10 * second).await;
        watch.resume();
        advance(second).await;
        assert_eq!(watch.stop(), (3 * second, start + 23 * second));
    }
}
