//! Adds up the time that one work takes which is interrupted by waiting: the CPU work of verification, between whose parts
//! the body arrives.
//!
//! A reading of the clock costs as much as hashing a hundred bytes, so a watch is stopped only where something may really be
//! waited for, and starting one that runs or pausing one that stands reads nothing.

use std::time::Duration;
use tokio::time::Instant;

/// Time so far, and since when it runs.
#[derive(Debug)]
pub struct Stopwatch {
    total: Duration,
    running_since: Option<Instant>,
}

impl Stopwatch {
    /// A running watch at zero.
    #[must_use]
    pub fn start() -> Self {
        Self {
            total: Duration::ZERO,
            running_since: Some(Instant::now()),
        }
    }

    /// Before something that may be waited for.
    pub fn pause(&mut self) {
        if let Some(since) = self.running_since.take() {
            self.total += since.elapsed();
        }
    }

    /// Behind it.
    pub fn resume(&mut self) {
        self.running_since.get_or_insert_with(Instant::now);
    }

    /// What it shows, and the moment at which it was looked at.
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
    async fn only_the_time_that_it_runs_is_counted() {
        let second = Duration::from_secs(1);
        let begun = Instant::now();
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
        assert_eq!(watch.stop(), (3 * second, begun + 23 * second));
    }
}
