//! Limits on the number of requests in a time: one for each route, and one for each source.
//!
//! Each is a token bucket that holds the requests of one period: so many may come at once, and then they come back one
//! by one. It is kept as the time at which the bucket will be full again (the generic cell rate algorithm), one number.

use crate::http::source::Source;
use crate::settings::Rate;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Number of independently locked parts of the table of sources.
const SHARDS: usize = 16;
/// The most sources in one part. Together they take about 4 MiB.
const SOURCES_IN_SHARD: usize = 4096;

/// The request has to wait this many seconds, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitSeconds(pub u32);

/// A rate, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Spacing {
    /// From one request to the next.
    interval_us: u64,
    /// How much earlier than that a request may come, so that a whole bucket may come at once.
    tolerance_us: u64,
}

impl Spacing {
    fn new(rate: Rate) -> Self {
        let period = u64::try_from(rate.period.as_micros()).unwrap_or(u64::MAX);
        let interval_us = (period / u64::from(rate.requests.max(1))).max(1);
        Self {
            interval_us,
            tolerance_us: period.saturating_sub(interval_us),
        }
    }

    /// The new time at which the bucket is full, after a request at `now_us`.
    fn take(self, full_us: u64, now_us: u64) -> Result<u64, WaitSeconds> {
        let ahead = full_us.saturating_sub(now_us);
        match ahead.checked_sub(self.tolerance_us) {
            None | Some(0) => Ok(now_us + ahead + self.interval_us),
            Some(wait_us) => Err(WaitSeconds(
                u32::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u32::MAX),
            )),
        }
    }
}

/// One token bucket.
#[derive(Debug)]
pub struct RateLimiter {
    spacing: Spacing,
    epoch: Instant,
    /// When the bucket is full again, in microseconds since `epoch`.
    full_us: AtomicU64,
}

impl RateLimiter {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            spacing: Spacing::new(rate),
            epoch: Instant::now(),
            full_us: AtomicU64::new(0),
        }
    }

    /// Takes one request at `now`.
    ///
    /// # Errors
    /// How long to wait, when the rate is exceeded.
    pub fn take(&self, now: Instant) -> Result<(), WaitSeconds> {
        let now_us = micros(now.saturating_duration_since(self.epoch));
        let mut full_us = self.full_us.load(Ordering::Relaxed);
        loop {
            let next = self.spacing.take(full_us, now_us)?;
            let stored = self
                .full_us
                .compare_exchange_weak(full_us, next, Ordering::Relaxed, Ordering::Relaxed);
            match stored {
                Ok(_) => return Ok(()),
                Err(changed) => full_us = changed,
            }
        }
    }
}

/// A token bucket for each source.
#[derive(Debug)]
pub struct SourceRates {
    spacing: Spacing,
    epoch: Instant,
    shards: [Mutex<HashMap<Source, u64>>; SHARDS],
    /// For sources that have no place in a full table.
    others: RateLimiter,
}

impl SourceRates {
    /// An empty table: every bucket is full.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            spacing: Spacing::new(rate),
            epoch: Instant::now(),
            shards: Default::default(),
            others: RateLimiter::new(rate),
        }
    }

    /// Takes one request of `source` at `now`. When the table is full of sources whose buckets are not, new sources share
    /// one bucket.
    ///
    /// # Errors
    /// How long to wait, when the rate is exceeded.
    pub fn take(&self, source: Source, now: Instant) -> Result<(), WaitSeconds> {
        let now_us = micros(now.saturating_duration_since(self.epoch));
        let [first, ..] = &self.shards;
        let shard = self.shards.get(source.shard(SHARDS)).unwrap_or(first);
        let mut sources = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_us) = sources.get_mut(&source) {
            *full_us = self.spacing.take(*full_us, now_us)?;
            return Ok(());
        }
        if sources.len() >= SOURCES_IN_SHARD {
            // A source whose bucket is full again needs no entry.
            sources.retain(|_, full_us| *full_us > now_us);
        }
        if sources.len() >= SOURCES_IN_SHARD {
            drop(sources);
            return self.others.take(now);
        }
        sources.insert(source, self.spacing.take(0, now_us)?);
        Ok(())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEN_A_SECOND: Rate = Rate {
        requests: 10,
        period: Duration::from_secs(1),
    };

    #[tokio::test(start_paused = true)]
    async fn a_bucket_allows_its_period_at_once_and_then_one_request_for_each_interval() {
        let limiter = RateLimiter::new(TEN_A_SECOND);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!((0..20).filter(|_| limiter.take(at(0)).is_ok()).count(), 10);
        assert_eq!(limiter.take(at(0)), Err(WaitSeconds(1)));
        assert_eq!(limiter.take(at(100)), Ok(()));
        assert_eq!(limiter.take(at(150)), Err(WaitSeconds(1)));
        assert_eq!((0..20).filter(|_| limiter.take(at(5000)).is_ok()).count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_told_in_whole_seconds() {
        let limiter = RateLimiter::new(Rate {
            requests: 1,
            period: Duration::from_secs(60),
        });
        let start = Instant::now();
        assert_eq!(limiter.take(start), Ok(()));
        assert_eq!(limiter.take(start + Duration::from_millis(1500)), Err(WaitSeconds(59)));
    }

    #[tokio::test(start_paused = true)]
    async fn each_source_has_a_bucket_of_its_own_and_the_table_is_bounded() {
        let rates = SourceRates::new(TEN_A_SECOND);
        let now = Instant::now();
        let source = |number: u32| Source::of(std::net::Ipv4Addr::from_bits(number).into());
        assert_eq!((0..20).filter(|_| rates.take(source(1), now).is_ok()).count(), 10);
        assert!(rates.take(source(2), now).is_ok());
        let most = u32::try_from(SHARDS * SOURCES_IN_SHARD).unwrap();
        for number in 0..2 * most {
            let _ = rates.take(source(number), now);
        }
        let held = |rates: &SourceRates| {
            rates
                .shards
                .iter()
                .map(|shard| shard.lock().unwrap().len())
                .sum::<usize>()
        };
        assert!(held(&rates) <= most as usize);
        // Later the old entries make room.
        let later = now + Duration::from_secs(10);
        for number in 3 * most..3 * most + 100 {
            assert!(rates.take(source(number), later).is_ok());
        }
        assert!(held(&rates) < most as usize);
    }
}
