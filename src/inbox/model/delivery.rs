//! The state of one stored delivery, and what each event makes of it.

use crate::settings::Retry;
use std::time::Duration;

/// A point in time on the inbox's clock: milliseconds since 1970 by the wall clock at the start of the process, continued
/// by the monotonic clock.
pub type Millis = i64;

/// The longest time that a delivery waits for its next attempt after a start, whatever the file says: the wall clock may
/// have been set back since the file was written.
pub const LONGEST_LOADED_WAIT_MS: Millis = 3_600_000;
/// How long a delivery waits that could not be sent because the upstream has `max_connections`.
const CROWDED_WAIT_MS: Millis = 1_000;

/// The state of a delivery. The numbers are stored in the file and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It waits for its next attempt.
    Waiting = 0,
    /// An attempt is under way.
    InFlight = 1,
    /// It waits until an earlier delivery of its order key has been settled.
    Behind = 2,
    /// It cannot be sent as the configuration is: a key or a secret is missing. It does not age.
    Blocked = 3,
    /// The application answered 2xx.
    Delivered = 4,
    /// It was given up. Only an operator or a repetition by the sender brings it back.
    Dead = 5,
    /// An operator dropped it.
    Dropped = 6,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::InFlight,
        Self::Behind,
        Self::Blocked,
        Self::Delivered,
        Self::Dead,
        Self::Dropped,
    ];

    /// The state with this number in the file.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i64 == number)
    }

    /// The word for commands and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InFlight => "in_flight",
            Self::Behind => "behind",
            Self::Blocked => "blocked",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }

    /// Whether hookgate still has the duty to deliver it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Waiting | Self::InFlight | Self::Behind | Self::Blocked => true,
            Self::Delivered | Self::Dead | Self::Dropped => false,
        }
    }
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The application answered with this status, and the whole answer arrived.
    Answered {
        /// The status of the answer.
        status: u16,
        /// The answer's `Retry-After`, if it had one in seconds.
        retry_after: Option<Duration>,
    },
    /// Bytes were sent and no whole answer arrived: the application may have processed the webhook.
    Unknown,
    /// Nothing was sent, because it cannot be sent.
    Unsendable(Unsendable),
    /// No byte was sent, so this was no attempt. `crowded` when the upstream has as many connections as it may have.
    NotSent {
        /// Whether the limit of connections is the reason.
        crowded: bool,
    },
}

impl Outcome {
    /// Whether the application took the webhook.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }

    /// The word for commands and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Answered { status: 200..=299, .. } => "delivered",
            Self::Answered { .. } => "failed",
            Self::Unknown => "unknown",
            Self::Unsendable(_) => "unsendable",
            Self::NotSent { .. } => "not_sent",
        }
    }
}

/// Why a stored delivery cannot be sent at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// The inbox key that encrypted it is not configured.
    KeyMissing,
    /// The secret that verified it is not configured, and without it the request cannot be made.
    SecretMissing,
    /// Its row was changed by hand, or by a fault of the disk.
    Changed,
}

/// What the model knows of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its state.
    pub state: State,
    /// Attempts that were begun, without those of which no byte was sent.
    pub attempts: u32,
    /// Time spent trying so far: attempts, and the waits between them.
    pub tried_ms: i64,
    /// The wait that was chosen after the last attempt.
    pub wait_ms: i64,
    /// When the next attempt may begin.
    pub next_at: Millis,
    /// Why it is dead or blocked; `None` in every other state.
    pub why: Option<Why>,
}

/// Why a delivery is dead or blocked. The numbers are stored in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was tried for `retry.max_age`.
    MaxAge = 1,
    /// The application answered a status of `retry.give_up_on`.
    Status = 2,
    /// Its row was changed: it is never sent.
    Changed = 3,
    /// The inbox key that encrypted it is not configured.
    KeyMissing = 4,
    /// The secret that verified it is not configured.
    SecretMissing = 5,
}

impl Why {
    /// The reason with this number in the file.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        let all = [
            Self::MaxAge,
            Self::Status,
            Self::Changed,
            Self::KeyMissing,
            Self::SecretMissing,
        ];
        all.into_iter().find(|why| *why as i64 == number)
    }

    /// The word for commands and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::MaxAge => "max_age",
            Self::Status => "give_up_on",
            Self::Changed => "changed",
            Self::KeyMissing => "key_missing",
            Self::SecretMissing => "secret_missing",
        }
    }
}

/// What an attempt's end depends on besides its outcome.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// Whether the attempt was part of an outage of the upstream and not a failure of this delivery.
    pub in_outage: bool,
    /// The route's retry policy.
    pub retry: &'a Retry,
    /// A random number, for the wait.
    pub random: u32,
}

impl Control {
    /// A new delivery at `now`, in the given state.
    #[must_use]
    pub const fn new(state: State, now: Millis) -> Self {
        Self {
            state,
            attempts: if matches!(state, State::InFlight) { 1 } else { 0 },
            tried_ms: 0,
            wait_ms: 0,
            next_at: now,
            why: None,
        }
    }

    /// An attempt begins. Written to the file before the first byte is sent.
    #[must_use]
    pub const fn begin(self) -> Self {
        Self {
            state: State::InFlight,
            attempts: self.attempts.saturating_add(1),
            ..self
        }
    }

    /// The attempt has ended at `now`.
    #[must_use]
    pub fn end(self, ending: &Ending<'_>, now: Millis) -> Self {
        let waiting = |next_at| Self {
            state: State::Waiting,
            next_at,
            ..self
        };
        let status = match ending.outcome {
            outcome if outcome.is_success() => {
                return Self {
                    state: State::Delivered,
                    ..self
                };
            }
            Outcome::NotSent { crowded } => {
                return Self {
                    attempts: self.attempts.saturating_sub(1),
                    ..waiting(if crowded { now + CROWDED_WAIT_MS } else { now })
                };
            }
            Outcome::Unsendable(unsendable) => {
                let control = Self {
                    attempts: self.attempts.saturating_sub(1),
                    ..self
                };
                return match unsendable {
                    Unsendable::Changed => control.dead(Why::Changed),
                    Unsendable::KeyMissing => control.blocked(Why::KeyMissing),
                    Unsendable::SecretMissing => control.blocked(Why::SecretMissing),
                };
            }
            Outcome::Answered { status, .. } => Some(status),
            Outcome::Unknown => None,
        };
        if status.is_some_and(|status| ending.retry.give_up_on.contains(&status)) {
            return self.dead(Why::Status);
        }
        if ending.in_outage {
            return waiting(now);
        }
        let tried_ms = self
            .tried_ms
            .saturating_add(self.wait_ms)
            .saturating_add(milliseconds(ending.took));
        if tried_ms >= milliseconds(ending.retry.max_age) {
            return Self {
                tried_ms,
                ..self.dead(Why::MaxAge)
            };
        }
        let least = match ending.outcome {
            Outcome::Answered { retry_after, .. } => retry_after.unwrap_or_default(),
            Outcome::Unknown | Outcome::Unsendable(_) | Outcome::NotSent { .. } => Duration::ZERO,
        };
        let wait_ms = wait_ms(ending.retry, self.attempts, least, ending.random);
        Self {
            tried_ms,
            wait_ms,
            ..waiting(now.saturating_add(wait_ms))
        }
    }

    /// It is given up.
    const fn dead(self, why: Why) -> Self {
        Self {
            state: State::Dead,
            why: Some(why),
            ..self
        }
    }

    /// It waits until the configuration has what it needs.
    const fn blocked(self, why: Why) -> Self {
        Self {
            state: State::Blocked,
            why: Some(why),
            ..self
        }
    }

    /// The configuration has changed at `now`: what was blocked is tried again, with the budget that it had.
    #[must_use]
    pub const fn unblock(self, now: Millis) -> Self {
        match self.state {
            State::Blocked => Self {
                state: State::Waiting,
                next_at: now,
                why: None,
                ..self
            },
            State::Waiting | State::InFlight | State::Behind | State::Delivered | State::Dead | State::Dropped => self,
        }
    }

    /// The process starts at `now`: an attempt that was under way has an unknown outcome, and no wait is longer than an
    /// hour.
    #[must_use]
    pub fn load(self, now: Millis) -> Self {
        match self.state {
            State::InFlight => Self {
                state: State::Waiting,
                next_at: now,
                ..self
            },
            State::Waiting => Self {
                next_at: self.next_at.min(now.saturating_add(LONGEST_LOADED_WAIT_MS)),
                ..self
            },
            State::Blocked => self.unblock(now),
            State::Behind | State::Delivered | State::Dead | State::Dropped => self,
        }
    }

    /// An operator, or a repetition by the sender, brings it back with a fresh budget. No effect while an attempt is
    /// under way.
    #[must_use]
    pub const fn revive(self, now: Millis) -> Self {
        match self.state {
            State::InFlight => self,
            State::Waiting | State::Behind | State::Blocked | State::Delivered | State::Dead | State::Dropped => Self {
                attempts: self.attempts,
                ..Self::new(State::Waiting, now)
            },
        }
    }
}

/// The wait before the next attempt: a random time up to a bound that doubles with each attempt, at least `backoff` and
/// at least `least`, at most `backoff_limit`.
fn wait_ms(retry: &Retry, attempts: u32, least: Duration, random: u32) -> i64 {
    let doubled = retry
        .backoff
        .saturating_mul(1_u32.checked_shl(attempts.min(30)).unwrap_or(u32::MAX));
    let bound = milliseconds(doubled.min(retry.backoff_limit));
    let share = i64::from(random);
    let random = i128::from(bound) * i128::from(share) / i128::from(u32::MAX);
    let random = i64::try_from(random).unwrap_or(bound);
    let limit = milliseconds(retry.backoff_limit);
    random
        .max(milliseconds(retry.backoff))
        .max(milliseconds(least))
        .min(limit)
}

/// Whole milliseconds.
#[must_use]
pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
