//! The rate of answers to unsigned challenges: anyone can send them, so a route answers a few in each second.

use crate::outcome::Rejection;
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers of one route in one second of the clock. A provider sends one when somebody saves an endpoint.
const MOST_IN_A_SECOND: u64 = 10;

/// Bits of the count; the second is above them.
const COUNT_BITS: u32 = 16;

/// Counts the answers of the present second.
#[derive(Debug, Default)]
pub(super) struct ChallengeRate(AtomicU64);

impl ChallengeRate {
    /// Takes one answer at `now_unix` (seconds).
    ///
    /// # Errors
    /// `RateLimited` when this second has had [`MOST_IN_A_SECOND`].
    pub(super) fn take(&self, now_unix: u64) -> Result<(), Rejection> {
        let second = now_unix << COUNT_BITS;
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            let count = match last >> COUNT_BITS == now_unix {
                true => last - second,
                false => 0,
            };
            (count < MOST_IN_A_SECOND).then_some(second + count + 1)
        });
        taken.map(drop).map_err(|_| Rejection::RateLimited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_ten_answers() {
        let rate = ChallengeRate::default();
        for now in [1_700_000_000, 1_700_000_001, 1_700_000_000] {
            for _ in 0..MOST_IN_A_SECOND {
                assert_eq!(rate.take(now), Ok(()));
            }
            assert_eq!(rate.take(now), Err(Rejection::RateLimited));
        }
    }
}
