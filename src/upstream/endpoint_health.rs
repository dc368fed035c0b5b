//! The health of one endpoint, from the results of requests and health checks. It does no I/O; time is an argument.
//!
//! Consecutive failures eject an endpoint for a back-off that doubles each time. After the back-off, a single request
//! (the trial) is sent to it: if the trial succeeds, the endpoint is available again; if it fails, the endpoint is
//! ejected again. So a broken endpoint costs one failed request per back-off. Independently, an endpoint whose health
//! checks fail is unavailable until they succeed. The fields are atomics that every request reads and that are written
//! only on a change; two concurrent requests can lose at most one count.

use crate::settings::Ejection;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The health of one endpoint. Times are milliseconds since a start that the caller chooses.
#[derive(Debug, Default)]
pub(super) struct EndpointHealth {
    /// Number of consecutive failures.
    failures: AtomicU32,
    /// End of the back-off, or of the time limit of the trial; zero while the endpoint is in use.
    unavailable_until_ms: AtomicU64,
    /// Whether a request is trying the endpoint after a back-off.
    on_trial: AtomicBool,
    /// Whether the endpoint was ejected because no request could be sent to it.
    is_unreachable: AtomicBool,
    /// Number of ejections in close succession.
    ejections: AtomicU32,
    /// When the last ejection ended.
    last_ejection_ended_ms: AtomicU64,
    /// Whether health checks fail.
    unhealthy: AtomicBool,
}

impl EndpointHealth {
    /// Whether it may be chosen: it is in use or ready for a trial, and its health checks do not fail.
    pub(super) fn is_available(&self, now_ms: u64) -> bool {
        !self.is_unhealthy() && self.unavailable_until_ms.load(Relaxed) <= now_ms
    }

    /// Whether it is ejected and no trial has succeeded yet.
    pub(super) fn is_ejected(&self) -> bool {
        self.unavailable_until_ms.load(Relaxed) != 0
    }

    /// Whether its health checks fail.
    pub(super) fn is_unhealthy(&self) -> bool {
        self.unhealthy.load(Relaxed)
    }

    /// Stores the result of the health checks.
    pub(super) fn set_unhealthy(&self, is_unhealthy: bool) {
        self.unhealthy.store(is_unhealthy, Relaxed);
    }

    /// Records a successful health check. It ends an ejection whose cause was that the endpoint could not be reached.
    pub(super) fn check_succeeded(&self, now_ms: u64) {
        if self.is_ejected() && self.is_unreachable.load(Relaxed) {
            self.succeeded(now_ms);
        }
    }

    /// Asks for permission to send a request to an endpoint that was available when it was chosen. Returns `false` when
    /// another request has just started the trial. A trial whose result is never reported (its task was dropped) ends
    /// after `trial_timeout`; then another one may start.
    pub(super) fn admit(&self, now_ms: u64, trial_timeout: Duration) -> bool {
        let until = self.unavailable_until_ms.load(Relaxed);
        if until == 0 {
            return true;
        }
        if until > now_ms {
            return false;
        }
        let end = now_ms.saturating_add(milliseconds(trial_timeout)).max(1);
        let won = self
            .unavailable_until_ms
            .compare_exchange(until, end, Relaxed, Relaxed)
            .is_ok();
        if won {
            self.on_trial.store(true, Relaxed);
        }
        won
    }

    /// Records an answer that is not a server error.
    pub(super) fn succeeded(&self, now_ms: u64) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        if self.unavailable_until_ms.load(Relaxed) != 0 {
            self.unavailable_until_ms.store(0, Relaxed);
            self.on_trial.store(false, Relaxed);
            self.last_ejection_ended_ms.store(now_ms, Relaxed);
        }
    }

    /// Records a failure; `is_unreachable` when no byte of the request could be sent. Returns the back-off if this
    /// failure ejects the endpoint.
    pub(super) fn failed(&self, now_ms: u64, is_unreachable: bool, policy: &Ejection) -> Option<Duration> {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        let until = self.unavailable_until_ms.load(Relaxed);
        let is_due = if until == 0 {
            policy.failures != 0 && failures >= policy.failures
        } else {
            self.on_trial.load(Relaxed)
        };
        if !is_due {
            return None;
        }
        let before = self.ejections.load(Relaxed);
        let since_ejection_ms = now_ms.saturating_sub(self.last_ejection_ended_ms.load(Relaxed));
        let starts_over = until == 0 && since_ejection_ms >= milliseconds(backoff(policy, before.saturating_sub(1)));
        let earlier = if starts_over { 0 } else { before };
        let length = backoff(policy, earlier);
        let end = now_ms.saturating_add(milliseconds(length)).max(1);
        // Of several concurrent failures only one ejects.
        self.unavailable_until_ms
            .compare_exchange(until, end, Relaxed, Relaxed)
            .ok()?;
        self.on_trial.store(false, Relaxed);
        self.is_unreachable.store(is_unreachable, Relaxed);
        self.ejections.store(earlier.saturating_add(1), Relaxed);
        self.failures.store(0, Relaxed);
        Some(length)
    }
}

/// The back-off after `earlier` ejections in close succession: it doubles up to the limit of the policy.
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
    const TRIAL_TIMEOUT: Duration = Duration::from_secs(32);

    fn fail(health: &EndpointHealth, now: u64, times: u32) -> Option<Duration> {
        (0..times).fold(None, |ejected, _| health.failed(now, false, &POLICY).or(ejected))
    }

    /// Ejects the endpoint at `now`, lets each trial fail as early as possible, and returns the back-offs in seconds.
    fn backoffs(health: &EndpointHealth, mut now: u64, count: usize) -> Vec<u64> {
        let mut lengths = vec![fail(health, now, POLICY.failures).unwrap().as_secs()];
        while lengths.len() < count {
            now += lengths.last().unwrap() * 1000;
            assert!(health.is_available(now) && health.admit(now, TRIAL_TIMEOUT));
            lengths.push(health.failed(now, false, &POLICY).unwrap().as_secs());
        }
        lengths
    }

    #[test]
    fn consecutive_failures_eject_and_a_success_resets_the_count() {
        let health = EndpointHealth::default();
        assert_eq!(fail(&health, 5, 2), None);
        health.succeeded(6);
        assert_eq!(fail(&health, 7, 2), None);
        assert!(health.is_available(7) && !health.is_ejected());
        assert_eq!(health.failed(8, false, &POLICY), Some(POLICY.backoff));
        assert!(!health.is_available(8) && health.is_ejected());
        assert!(!health.is_available(10_007) && health.is_available(10_008));
    }

    #[test]
    fn the_backoff_doubles_up_to_its_limit() {
        assert_eq!(backoffs(&EndpointHealth::default(), 0, 6), [10, 20, 40, 60, 60, 60]);
    }

    #[test]
    fn a_single_request_tries_an_ejected_endpoint() {
        let health = EndpointHealth::default();
        fail(&health, 0, 3);
        assert!(health.is_available(10_000));
        assert!(health.admit(10_000, TRIAL_TIMEOUT));
        assert!(!health.is_available(10_000), "other requests use other endpoints");
        health.succeeded(10_500);
        assert!(health.is_available(10_500) && !health.is_ejected());
        // A trial without a result ends after the trial timeout.
        fail(&health, 11_000, 3);
        assert!(health.admit(40_000, TRIAL_TIMEOUT) && !health.is_available(71_999) && health.is_available(72_000));
    }

    #[test]
    fn success_for_as_long_as_the_last_backoff_resets_the_backoff() {
        let soon = EndpointHealth::default();
        assert_eq!(backoffs(&soon, 0, 2), [10, 20]);
        soon.succeeded(30_000);
        assert_eq!(fail(&soon, 49_999, 3), Some(Duration::from_secs(40)));
        let late = EndpointHealth::default();
        assert_eq!(backoffs(&late, 0, 2), [10, 20]);
        late.succeeded(30_000);
        assert_eq!(fail(&late, 50_000, 3), Some(Duration::from_secs(10)));
    }

    #[test]
    fn requests_in_flight_at_the_ejection_do_not_prolong_it() {
        let health = EndpointHealth::default();
        assert!(fail(&health, 0, 3).is_some());
        assert_eq!(fail(&health, 5_000, 50), None);
        assert!(health.is_available(10_000));
    }

    #[test]
    fn zero_failures_never_eject() {
        let policy = Ejection { failures: 0, ..POLICY };
        let health = EndpointHealth::default();
        assert!((0..100).all(|now| health.failed(now, false, &policy).is_none()));
        assert!(health.is_available(100));
    }

    #[test]
    fn failing_health_checks_make_an_endpoint_unavailable_although_requests_succeed() {
        let health = EndpointHealth::default();
        health.set_unhealthy(true);
        health.succeeded(1);
        assert!(!health.is_available(1) && health.is_unhealthy() && !health.is_ejected());
        health.set_unhealthy(false);
        assert!(health.is_available(1));
    }

    #[test]
    fn a_successful_check_ends_only_the_ejection_of_an_unreachable_endpoint() {
        for is_unreachable in [true, false] {
            let health = EndpointHealth::default();
            assert!((0..3).any(|_| health.failed(1, is_unreachable, &POLICY).is_some()));
            health.check_succeeded(2);
            assert_eq!(health.is_available(2), is_unreachable);
        }
    }

    proptest! {
        /// After any sequence of events, a success makes the endpoint available; without one, it can be tried again
        /// after the largest back-off.
        #[test]
        fn an_endpoint_is_always_available_again(events in prop::collection::vec((0..3_u8, 0..100_000_u64), 0..60)) {
            let health = EndpointHealth::default();
            let mut now = 0;
            for (event, later) in events {
                now += later;
                match event {
                    0 => health.succeeded(now),
                    1 => drop(health.failed(now, false, &POLICY)),
                    _ => drop(health.admit(now, TRIAL_TIMEOUT)),
                }
            }
            prop_assert!(health.is_available(now + 60_000));
            health.succeeded(now);
            prop_assert!(health.is_available(now) && !health.is_ejected());
        }
    }
}
