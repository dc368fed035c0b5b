//! What an endpoint's record makes of it: in use, left alone for a while, on trial, or ill. Pure; time is an argument.
//!
//! Failures in a row eject an endpoint for a back-off that doubles each time. When it is over, *one* request tries the
//! endpoint: its success brings the endpoint back, its failure ejects it again; so what is still broken costs one
//! request a back-off and not a burst. Health checks are a second opinion: what they find ill stays ill until they find
//! otherwise. The fields are atomics that are read for every request and written when something changes; two requests
//! that race lose a count at most.

use crate::settings::Ejection;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The record of one endpoint. Times are milliseconds since an origin of the caller's.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// In a row.
    failures: AtomicU32,
    /// Until when it is left alone, or its trial may last; zero while in use.
    until: AtomicU64,
    on_trial: AtomicBool,
    /// What ejected it was that it could not be reached.
    is_unreachable: AtomicBool,
    /// Ejections, each soon after the one before.
    ejections: AtomicU32,
    /// When the last ejection ended.
    returned: AtomicU64,
    ill: AtomicBool,
}

impl Standing {
    /// Whether it may be chosen: in use, or ready for a trial, and not ill.
    pub(super) fn is_well(&self, now: u64) -> bool {
        !self.is_ill() && self.until.load(Relaxed) <= now
    }

    /// Whether it is left alone or has not passed its trial yet.
    pub(super) fn is_ejected(&self) -> bool {
        self.until.load(Relaxed) != 0
    }

    /// Whether its health checks fail.
    pub(super) fn is_ill(&self) -> bool {
        self.ill.load(Relaxed)
    }

    /// Notes the verdict of its health checks.
    pub(super) fn examined(&self, is_ill: bool) {
        self.ill.store(is_ill, Relaxed);
    }

    /// A health check has spoken to it: it can be reached again, if that is why it was ejected.
    pub(super) fn reached(&self, now: u64) {
        if self.is_ejected() && self.is_unreachable.load(Relaxed) {
            self.succeeded(now);
        }
    }

    /// Asked of one that looked well once it is chosen: `false` when it is to be tried and another request tries it
    /// already. A trial whose outcome is never told (its task is gone) ends after `patience`, and the next begins.
    pub(super) fn admit(&self, now: u64, patience: Duration) -> bool {
        let until = self.until.load(Relaxed);
        if until == 0 {
            return true;
        }
        if until > now {
            return false;
        }
        let end = now.saturating_add(milliseconds(patience)).max(1);
        let won = self.until.compare_exchange(until, end, Relaxed, Relaxed).is_ok();
        if won {
            self.on_trial.store(true, Relaxed);
        }
        won
    }

    /// It answered.
    pub(super) fn succeeded(&self, now: u64) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        if self.until.load(Relaxed) != 0 {
            self.until.store(0, Relaxed);
            self.on_trial.store(false, Relaxed);
            self.returned.store(now, Relaxed);
        }
    }

    /// It failed, `is_unreachable` when it could not even be sent the request. `Some` when that ejects it, with the time
    /// for which.
    pub(super) fn failed(&self, now: u64, is_unreachable: bool, policy: &Ejection) -> Option<Duration> {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        let until = self.until.load(Relaxed);
        let is_due = if until == 0 {
            policy.failures != 0 && failures >= policy.failures
        } else {
            self.on_trial.load(Relaxed)
        };
        if !is_due {
            return None;
        }
        let before = self.ejections.load(Relaxed);
        let calm = now.saturating_sub(self.returned.load(Relaxed));
        let has_behaved = until == 0 && calm >= milliseconds(backoff(policy, before.saturating_sub(1)));
        let earlier = if has_behaved { 0 } else { before };
        let length = backoff(policy, earlier);
        let end = now.saturating_add(milliseconds(length)).max(1);
        // Of several failures at once one ejects.
        self.until.compare_exchange(until, end, Relaxed, Relaxed).ok()?;
        self.on_trial.store(false, Relaxed);
        self.is_unreachable.store(is_unreachable, Relaxed);
        self.ejections.store(earlier.saturating_add(1), Relaxed);
        self.failures.store(0, Relaxed);
        Some(length)
    }
}

/// The back-off after `earlier` ejections in close succession.
fn backoff(policy: &Ejection, earlier: u32) -> Duration {
    let factor = 1_u32.checked_shl(earlier).unwrap_or(u32::MAX);
    policy.backoff.saturating_mul(factor).min(policy.backoff_limit)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const POLICY: Ejection = Ejection {
        failures: 3,
        backoff: Duration::from_secs(10),
        backoff_limit: Duration::from_secs(60),
        panic_below: 30,
    };
    const PATIENCE: Duration = Duration::from_secs(32);

    fn fail(standing: &Standing, now: u64, times: u32) -> Option<Duration> {
        (0..times).fold(None, |ejected, _| standing.failed(now, false, &POLICY).or(ejected))
    }

    /// Ejected at `now`, tried as soon as may be, and failed again: the lengths of the back-offs.
    fn backoffs(standing: &Standing, mut now: u64, count: usize) -> Vec<u64> {
        let mut lengths = vec![fail(standing, now, POLICY.failures).unwrap().as_secs()];
        while lengths.len() < count {
            now += lengths.last().unwrap() * 1000;
            assert!(standing.is_well(now) && standing.admit(now, PATIENCE));
            lengths.push(standing.failed(now, false, &POLICY).unwrap().as_secs());
        }
        lengths
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
        let standing = Standing::default();
        assert_eq!(fail(&standing, 5, 2), None);
        standing.succeeded(6);
        assert_eq!(fail(&standing, 7, 2), None);
        assert!(standing.is_well(7) && !standing.is_ejected());
        assert_eq!(standing.failed(8, false, &POLICY), Some(POLICY.backoff));
        assert!(!standing.is_well(8) && standing.is_ejected());
        assert!(!standing.is_well(10_007) && standing.is_well(10_008));
    }

    #[test]
    fn the_backoff_doubles_up_to_its_limit() {
        assert_eq!(backoffs(&Standing::default(), 0, 6), [10, 20, 40, 60, 60, 60]);
    }

    #[test]
    fn one_request_at_a_time_tries_what_was_ejected() {
        let standing = Standing::default();
        fail(&standing, 0, 3);
        assert!(standing.is_well(10_000));
        assert!(standing.admit(10_000, PATIENCE));
        assert!(!standing.is_well(10_000), "the others look elsewhere");
        standing.succeeded(10_500);
        assert!(standing.is_well(10_500) && !standing.is_ejected());
        // An outcome that is never told ends the trial after a while.
        fail(&standing, 11_000, 3);
        assert!(standing.admit(40_000, PATIENCE) && !standing.is_well(71_999) && standing.is_well(72_000));
    }

    #[test]
    fn good_behaviour_for_as_long_as_the_last_backoff_is_a_new_beginning() {
        let soon = Standing::default();
        assert_eq!(backoffs(&soon, 0, 2), [10, 20]);
        soon.succeeded(30_000);
        assert_eq!(fail(&soon, 49_999, 3), Some(Duration::from_secs(40)));
        let late = Standing::default();
        assert_eq!(backoffs(&late, 0, 2), [10, 20]);
        late.succeeded(30_000);
        assert_eq!(fail(&late, 50_000, 3), Some(Duration::from_secs(10)));
    }

    #[test]
    fn what_was_under_way_when_it_was_ejected_does_not_prolong_that() {
        let standing = Standing::default();
        assert!(fail(&standing, 0, 3).is_some());
        assert_eq!(fail(&standing, 5_000, 50), None);
        assert!(standing.is_well(10_000));
    }

    #[test]
    fn zero_failures_never_eject() {
        let policy = Ejection { failures: 0, ..POLICY };
        let standing = Standing::default();
        assert!((0..100).all(|now| standing.failed(now, false, &policy).is_none()));
        assert!(standing.is_well(100));
    }

    #[test]
    fn ill_is_not_well_whatever_requests_see() {
        let standing = Standing::default();
        standing.examined(true);
        standing.succeeded(1);
        assert!(!standing.is_well(1) && standing.is_ill() && !standing.is_ejected());
        standing.examined(false);
        assert!(standing.is_well(1));
    }

    #[test]
    fn a_passed_check_brings_back_what_could_not_be_reached_and_nothing_else() {
        for is_unreachable in [true, false] {
            let standing = Standing::default();
            assert!((0..3).any(|_| standing.failed(1, is_unreachable, &POLICY).is_some()));
            standing.reached(2);
            assert_eq!(standing.is_well(2), is_unreachable);
        }
    }

    proptest! {
        /// Whatever happens, a success brings it back, and without one it is tried again after the limit at the latest.
        #[test]
        fn it_always_comes_back(events in prop::collection::vec((0..3_u8, 0..100_000_u64), 0..60)) {
            let standing = Standing::default();
            let mut now = 0;
            for (event, later) in events {
                now += later;
                match event {
                    0 => standing.succeeded(now),
                    1 => drop(standing.failed(now, false, &POLICY)),
                    _ => drop(standing.admit(now, PATIENCE)),
                }
            }
            prop_assert!(standing.is_well(now + 60_000));
            standing.succeeded(now);
            prop_assert!(standing.is_well(now) && !standing.is_ejected());
        }
    }
}
