//! When a certificate is ordered: pure, with the time as an argument, in Unix seconds.
//!
//! A certificate is renewed after two thirds of its lifetime, so that a server that does not answer for the last third of
//! it harms nothing. After a failed order the wait doubles. Replicas share the state, so that their waits do not add up
//! to more orders, and each adds a random part of its own, so that they do not ask at the same moment.

use serde::{Deserialize, Serialize};

/// First and longest wait after an order that the server refused. Let's Encrypt allows five failed validations of a name
/// in an hour.
const REFUSED: (u64, u64) = (120, 6 * 3_600);
/// First and longest wait after the server could not be reached, or the store could not be used.
const UNREACHABLE: (u64, u64) = (5, 600);
/// The longest wait that a server can ask for.
const LONGEST_WAIT: u64 = 24 * 3_600;

/// The times of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// `notBefore`.
    pub(super) starts: u64,
    /// `notAfter`.
    pub(super) ends: u64,
    /// When it was issued, by the clock of the machine that ordered it.
    pub(super) issued: u64,
}

/// What replicas tell each other about failed orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Failures {
    /// Failed orders since the last one that succeeded.
    pub(super) count: u32,
    /// The end of the wait.
    pub(super) wait_until: u64,
}

/// Why an order failed, as far as the wait depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The server, or the store, was not there.
    Unreachable,
    /// The server refused, or could not validate a name. `wait` is what it asks for, in seconds.
    Refused { wait: Option<u64> },
}

/// When the next order is due. `jitter` is between 0 and 1 and belongs to this process.
pub(super) fn due(certificate: Option<Lifetime>, failures: Failures, now: u64, jitter: f64) -> u64 {
    let renewal = certificate.map_or(0, |certificate| renewal(certificate, jitter));
    // A clock that was set back must not make the wait longer.
    let wait = failures.wait_until.min(now.saturating_add(LONGEST_WAIT));
    renewal.max(wait)
}

/// When a certificate is renewed. Where the clocks of the server and of this machine differ by more than the lifetime,
/// every new certificate would be due at once: a third of its lifetime passes in any case.
fn renewal(certificate: Lifetime, jitter: f64) -> u64 {
    let lifetime = certificate.ends.saturating_sub(certificate.starts);
    let third = lifetime / 3;
    let spread = part(lifetime / 30, jitter);
    let planned = certificate.ends.saturating_sub(third).saturating_add(spread);
    planned.max(certificate.issued.saturating_add(third))
}

/// The state after one more failed order at `now`.
pub(super) fn after_failure(failures: Failures, cause: Cause, now: u64, jitter: f64) -> Failures {
    let ((first, longest), asked) = match cause {
        Cause::Unreachable => (UNREACHABLE, None),
        Cause::Refused { wait } => (REFUSED, wait),
    };
    let doubled = first.saturating_mul(1 << failures.count.min(16)).min(longest);
    let wait = doubled + part(doubled / 4, jitter);
    let wait = wait.max(asked.unwrap_or_default().min(LONGEST_WAIT));
    Failures {
        count: failures.count.saturating_add(1),
        wait_until: now.saturating_add(wait),
    }
}

/// This part (0 to 1) of a number of seconds.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a wait, and a part between 0 and 1"
)]
fn part(seconds: u64, part: f64) -> u64 {
    (seconds as f64 * part.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const NOW: u64 = 1_800_000_000;

    fn issued(days: u64) -> Option<Lifetime> {
        Some(Lifetime {
            starts: NOW,
            ends: NOW + days * DAY,
            issued: NOW,
        })
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_lifetime() {
        let none = Failures::default();
        assert_eq!(due(None, none, NOW, 0.5), 0, "the first one is due at once");
        assert_eq!(due(issued(90), none, NOW, 0.0), NOW + 60 * DAY);
        assert_eq!(due(issued(90), none, NOW, 1.0), NOW + 63 * DAY);
        assert_eq!(due(issued(6), none, NOW, 0.0), NOW + 4 * DAY);
    }

    /// A clock that is far ahead, or a server that issues certificates which have ended, causes no series of orders.
    #[test]
    fn a_new_certificate_is_never_due_at_once() {
        let ahead = Lifetime {
            issued: NOW + 100 * DAY,
            ..issued(90).unwrap_or(Lifetime {
                starts: 0,
                ends: 0,
                issued: 0,
            })
        };
        assert_eq!(
            due(Some(ahead), Failures::default(), NOW + 100 * DAY, 0.0),
            NOW + 130 * DAY
        );
    }

    #[test]
    fn waits_double_up_to_their_limit_and_longer_where_the_server_asks() {
        let mut state = Failures::default();
        let mut waits = Vec::new();
        for _ in 0..10 {
            state = after_failure(state, Cause::Refused { wait: None }, NOW, 0.0);
            waits.push(state.wait_until - NOW);
        }
        assert_eq!(waits[..4], [120, 240, 480, 960]);
        assert_eq!(waits[9], 6 * 3_600);
        let failed_in_an_hour = waits.iter().scan(0, |sum, wait| {
            *sum += wait;
            Some(*sum)
        });
        assert!(failed_in_an_hour.take_while(|at| *at < 3_600).count() < 5);
        let first = |cause, jitter| after_failure(Failures::default(), cause, NOW, jitter).wait_until - NOW;
        assert_eq!(first(Cause::Unreachable, 0.0), 5);
        assert_eq!(first(Cause::Refused { wait: None }, 1.0), 150);
        assert_eq!(first(Cause::Refused { wait: Some(7_200) }, 0.0), 7_200);
        assert_eq!(first(Cause::Refused { wait: Some(u64::MAX) }, 0.0), DAY);
    }

    #[test]
    fn a_failure_delays_the_next_order_and_a_clock_set_back_does_not_delay_it_for_ever() {
        let failed = Failures {
            count: 3,
            wait_until: NOW + 600,
        };
        assert_eq!(due(None, failed, NOW, 0.0), NOW + 600);
        assert_eq!(due(None, failed, NOW - 100 * DAY, 0.0), NOW - 99 * DAY);
    }
}
