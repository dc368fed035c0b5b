//! One delivery, event by event.

use super::delivery::*;
use crate::settings::Retry;
use proptest::prelude::*;
use std::time::Duration;

fn retry() -> Retry {
    Retry {
        max_age: Duration::from_secs(3 * 86_400),
        backoff: Duration::from_secs(2),
        backoff_limit: Duration::from_secs(3_600),
        give_up_on: vec![410],
    }
}

fn ending(outcome: Outcome, retry: &Retry) -> Ending<'_> {
    Ending {
        outcome,
        took: Duration::from_millis(10),
        in_outage: false,
        retry,
        random: u32::MAX / 2,
    }
}

const FAILED: Outcome = Outcome::Answered {
    status: 422,
    retry_after: None,
};

#[test]
fn a_failed_attempt_backs_off_by_itself_between_the_bounds() {
    let retry = retry();
    let mut control = Control::new(State::Waiting, 0);
    let mut now = 0;
    for _ in 0..20 {
        control = control.begin().end(&ending(FAILED, &retry), now);
        assert_eq!(control.state, State::Waiting);
        let wait = control.next_at - now;
        assert!((2_000..=3_600_000).contains(&wait), "{wait}");
        now = control.next_at;
    }
    assert_eq!(control.attempts, 20);
}

#[test]
fn a_delivery_dies_by_time_spent_trying_and_not_by_the_clock() {
    let retry = retry();
    let mut control = Control::new(State::Waiting, 0);
    // A year passes between two attempts; only attempts and chosen waits count.
    for year in 0..5 {
        control = control.begin().end(&ending(FAILED, &retry), year * 365 * 86_400_000);
    }
    assert_eq!(control.state, State::Waiting);
    let mut attempts = 0;
    while control.state == State::Waiting {
        control = control.begin().end(&ending(FAILED, &retry), control.next_at);
        attempts += 1;
        assert!(attempts < 1_000);
    }
    assert_eq!((control.state, control.why), (State::Dead, Some(Why::MaxAge)));
    assert!(control.tried_ms >= 3 * 86_400_000 && control.tried_ms < 3 * 86_400_000 + 3_700_000);
}

#[test]
fn an_outage_neither_ages_nor_delays_a_delivery() {
    let retry = retry();
    let mut control = Control::new(State::Waiting, 0);
    for second in 0..100_000 {
        let ending = Ending {
            in_outage: true,
            ..ending(Outcome::Unknown, &retry)
        };
        control = control.begin().end(&ending, second * 30_000);
    }
    assert_eq!((control.state, control.tried_ms), (State::Waiting, 0));
    assert_eq!(control.next_at, 99_999 * 30_000);
}

#[test]
fn what_was_not_sent_is_no_attempt() {
    let retry = retry();
    let control = Control::new(State::Waiting, 5);
    let after = control
        .begin()
        .end(&ending(Outcome::NotSent { crowded: false }, &retry), 9);
    assert_eq!(after, Control { next_at: 9, ..control });
    let crowded = control
        .begin()
        .end(&ending(Outcome::NotSent { crowded: true }, &retry), 9);
    assert_eq!(crowded.next_at, 1_009);
}

#[test]
fn retry_after_is_a_lower_bound_up_to_the_limit() {
    let retry = retry();
    for (seconds, expected) in [(600, 600_000), (86_400, 3_600_000)] {
        let outcome = Outcome::Answered {
            status: 429,
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let control = Control::new(State::Waiting, 0).begin().end(&ending(outcome, &retry), 0);
        assert_eq!(control.next_at, expected);
    }
}

#[test]
fn a_status_of_give_up_on_ends_the_delivery_at_once() {
    let retry = retry();
    let outcome = Outcome::Answered {
        status: 410,
        retry_after: None,
    };
    let control = Control::new(State::Waiting, 0).begin().end(&ending(outcome, &retry), 0);
    assert_eq!(control.why, Some(Why::Status));
    let back = control.revive(7);
    assert_eq!((back.state, back.tried_ms, back.next_at), (State::Waiting, 0, 7));
    assert_eq!(back.attempts, 1, "the number of the attempt goes on");
}

#[test]
fn a_clock_that_was_set_back_delays_a_loaded_delivery_by_an_hour_at_most() {
    let year = 365 * 86_400_000;
    let control = Control {
        next_at: year,
        ..Control::new(State::Waiting, year)
    };
    assert_eq!(control.load(0).next_at, 3_600_000);
    let in_flight = Control::new(State::Waiting, year).begin();
    assert_eq!(
        (in_flight.load(3).state, in_flight.load(3).next_at),
        (State::Waiting, 3)
    );
}

proptest! {
    /// Every wait is within its bounds, and no sequence of outcomes loses a delivery: it stays open until it is
    /// delivered, or dead for a stated reason.
    #[test]
    fn a_delivery_is_open_delivered_or_dead_for_a_reason(
        events in prop::collection::vec((0..6_u8, any::<u32>(), any::<bool>(), 0..100_000_u64), 1..200),
    ) {
        let retry = retry();
        let mut control = Control::new(State::Waiting, 0);
        let mut now = 0;
        for (kind, random, in_outage, took) in events {
            if control.state != State::Waiting {
                break;
            }
            now = control.next_at.max(now);
            let outcome = match kind {
                0 => Outcome::Unknown,
                1 => Outcome::NotSent { crowded: false },
                2 => Outcome::Answered { status: 410, retry_after: None },
                3 => Outcome::Answered { status: 204, retry_after: None },
                _ => FAILED,
            };
            let before = control;
            let ending = Ending { outcome, took: Duration::from_millis(took), in_outage, retry: &retry, random };
            control = control.begin().end(&ending, now);
            prop_assert!(control.tried_ms >= before.tried_ms);
            prop_assert!(control.next_at <= now + 3_600_000);
            match control.state {
                State::Delivered => prop_assert!(outcome.is_success()),
                State::Dead => prop_assert!(control.why.is_some()),
                State::Waiting => prop_assert!(!outcome.is_success()),
                State::InFlight | State::Behind | State::Blocked | State::Dropped => prop_assert!(false, "{:?}", control.state),
            }
        }
    }
}

/// A missing key or secret is no failure of the delivery: it neither ages nor counts as an attempt.
#[test]
fn a_blocked_delivery_waits_for_the_configuration_with_the_budget_that_it_had() {
    let retry = retry();
    let before = Control::new(State::Waiting, 0).begin().end(&ending(FAILED, &retry), 0);
    for why in [Unsendable::KeyMissing, Unsendable::SecretMissing] {
        let blocked = before.begin().end(&ending(Outcome::Unsendable(why), &retry), 10_000);
        assert_eq!(
            (blocked.state, blocked.attempts, blocked.tried_ms),
            (State::Blocked, 1, before.tried_ms)
        );
        for later in [blocked.unblock(20_000), blocked.load(20_000)] {
            assert_eq!((later.state, later.next_at, later.why), (State::Waiting, 20_000, None));
            assert_eq!(later.tried_ms, before.tried_ms);
        }
    }
    let changed = before
        .begin()
        .end(&ending(Outcome::Unsendable(Unsendable::Changed), &retry), 10_000);
    assert_eq!((changed.state, changed.why), (State::Dead, Some(Why::Changed)));
}
