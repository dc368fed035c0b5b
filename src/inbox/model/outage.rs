//! Whether an upstream is asked, and by how many attempts at once.
//!
//! An outage begins when an attempt cannot be sent, or when five attempts of different deliveries fail in a row: behind a
//! balancer, an outage is a 502. In an outage one attempt at a time probes the upstream, with a back-off; its first
//! success ends the outage. The number of attempts then grows from one, so that a backlog does not hit an application
//! that has just started.

use super::delivery::Outcome;
use std::time::Duration;

/// Failures in a row, of different deliveries, that are an outage.
const FAILURES: usize = 5;
/// Probes that one delivery may break off. If another delivery has succeeded meanwhile, further failures are its own.
const BROKEN_PROBES: u8 = 3;
/// Deliveries whose broken probes are counted at the same time.
const SUSPECTS: usize = 32;

/// The state of one upstream as the inbox sees it. Times are milliseconds on a monotonic clock.
#[derive(Debug)]
pub struct Outage {
    /// Back-off of the probes.
    first_wait: Duration,
    longest_wait: Duration,
    /// The most attempts of stored deliveries at the same time.
    limit: usize,
    /// The number allowed now: it grows after an outage.
    allowed: usize,
    /// Deliveries that failed since the last success, each once.
    failed: Vec<u64>,
    /// `None` while the upstream works.
    pause: Option<Pause>,
    /// Deliveries that broke off probes: how many, and whether another delivery has succeeded since.
    suspects: Vec<Suspect>,
}

#[derive(Debug)]
struct Pause {
    since: u64,
    next_probe: u64,
    wait: Duration,
    is_probing: bool,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    delivery: u64,
    broken: u8,
    others_succeed: bool,
}

/// What may be sent to the upstream now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Up to this many attempts at the same time.
    Attempts(usize),
    /// One attempt, as a probe.
    Probe,
    /// Nothing before this time; with `None`, before the probe under way has ended.
    Wait(Option<u64>),
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the failure belongs to the outage and not to the delivery.
    pub in_outage: bool,
    /// Whether the outage has begun or ended with this attempt.
    pub changed: bool,
}

impl Outage {
    /// An upstream that works, with up to `limit` attempts at once.
    #[must_use]
    pub const fn new(first_wait: Duration, longest_wait: Duration, limit: usize) -> Self {
        Self {
            first_wait,
            longest_wait,
            limit,
            allowed: limit,
            failed: Vec::new(),
            pause: None,
            suspects: Vec::new(),
        }
    }

    /// Whether there is an outage.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// When the outage began.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        self.pause.as_ref().map(|pause| pause.since)
    }

    /// Whether every attempt since the last failure has succeeded, so that a success changes nothing.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.pause.is_none() && self.allowed == self.limit && self.suspects.is_empty()
    }

    /// What may be sent at `now`.
    #[must_use]
    pub const fn permit(&self, now: u64) -> Permit {
        match &self.pause {
            None => Permit::Attempts(self.allowed),
            Some(pause) if pause.is_probing => Permit::Wait(None),
            Some(pause) if now >= pause.next_probe => Permit::Probe,
            Some(pause) => Permit::Wait(Some(pause.next_probe)),
        }
    }

    /// Takes the right to probe, which [`Outage::permit`] has shown. The end of that attempt gives it back.
    pub const fn begin_probe(&mut self) {
        if let Some(pause) = &mut self.pause {
            pause.is_probing = true;
        }
    }

    /// Gives the right to probe back without an attempt: there was nothing to send.
    pub const fn cancel_probe(&mut self) {
        if let Some(pause) = &mut self.pause {
            pause.is_probing = false;
        }
    }

    /// An attempt of `delivery` has ended at `now`. `is_probe` when it had the right to probe.
    pub fn ended(&mut self, delivery: u64, outcome: Outcome, is_probe: bool, now: u64) -> Judgement {
        let was_paused = self.is_paused();
        let is_probe = is_probe && was_paused;
        if is_probe {
            self.cancel_probe();
        }
        let in_outage = match outcome {
            Outcome::NotSent { crowded: true } | Outcome::Unsendable(_) => was_paused,
            Outcome::NotSent { crowded: false } => {
                self.fail(is_probe, now, true);
                true
            }
            Outcome::Unknown
            | Outcome::Answered {
                status: 429 | 500..=599,
                ..
            } => {
                if !self.failed.contains(&delivery) && self.failed.len() < FAILURES {
                    self.failed.push(delivery);
                }
                self.fail(is_probe, now, self.failed.len() >= FAILURES);
                was_paused && !(is_probe && self.breaks_off_alone(delivery))
            }
            // Any other answer shows that the application works.
            Outcome::Answered { .. } => {
                self.succeed(delivery, outcome.is_success());
                false
            }
        };
        Judgement {
            in_outage,
            changed: was_paused != self.is_paused(),
        }
    }

    fn fail(&mut self, is_probe: bool, now: u64, is_outage: bool) {
        match &mut self.pause {
            Some(pause) if is_probe => {
                pause.wait = pause.wait.saturating_mul(2).min(self.longest_wait);
                pause.next_probe = now.saturating_add(whole_ms(pause.wait));
            }
            // An attempt that began before the outage.
            Some(_) => {}
            None if is_outage => {
                self.pause = Some(Pause {
                    since: now,
                    next_probe: now.saturating_add(whole_ms(self.first_wait)),
                    wait: self.first_wait,
                    is_probing: false,
                });
            }
            None => {}
        }
    }

    fn succeed(&mut self, delivery: u64, is_delivered: bool) {
        self.failed.clear();
        if self.pause.take().is_some() {
            self.allowed = 1;
        } else {
            self.allowed = self.allowed.saturating_mul(2).min(self.limit);
        }
        self.suspects.retain(|suspect| suspect.delivery != delivery);
        if is_delivered {
            for suspect in &mut self.suspects {
                suspect.others_succeed = true;
            }
            // One that succeeded nothing in its way is forgotten when the table is needed for another.
        }
    }

    /// Counts a broken probe of `delivery`. Returns whether its failures are its own: it has broken off several probes
    /// while another delivery succeeded.
    fn breaks_off_alone(&mut self, delivery: u64) -> bool {
        match self.suspects.iter_mut().find(|suspect| suspect.delivery == delivery) {
            Some(suspect) => {
                suspect.broken = suspect.broken.saturating_add(1);
                suspect.broken > BROKEN_PROBES && suspect.others_succeed
            }
            None => {
                if self.suspects.len() >= SUSPECTS {
                    self.suspects.remove(0);
                }
                self.suspects.push(Suspect {
                    delivery,
                    broken: 1,
                    others_succeed: false,
                });
                false
            }
        }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OK: Outcome = Outcome::Answered {
        status: 200,
        retry_after: None,
    };
    const BAD_GATEWAY: Outcome = Outcome::Answered {
        status: 502,
        retry_after: None,
    };
    const NOT_SENT: Outcome = Outcome::NotSent { crowded: false };

    fn working() -> Outage {
        Outage::new(Duration::from_secs(1), Duration::from_secs(30), 8)
    }

    #[test]
    fn five_failures_of_different_deliveries_are_an_outage_and_of_one_are_not() {
        let mut one = working();
        for _ in 0..50 {
            assert!(!one.ended(7, BAD_GATEWAY, false, 0).in_outage);
        }
        assert!(!one.is_paused());
        let mut many = working();
        for delivery in 0..5 {
            assert!(!many.is_paused());
            many.ended(delivery, BAD_GATEWAY, false, 0);
        }
        assert!(many.is_paused());
    }

    #[test]
    fn what_cannot_be_sent_is_an_outage_at_once_and_an_answer_in_between_is_not() {
        let mut outage = working();
        assert_eq!(
            outage.ended(1, NOT_SENT, false, 5),
            Judgement {
                in_outage: true,
                changed: true
            }
        );
        let mut crowded = working();
        crowded.ended(1, Outcome::NotSent { crowded: true }, false, 5);
        assert!(!crowded.is_paused());
        let refused = Outcome::Answered {
            status: 422,
            retry_after: None,
        };
        let mut alive = working();
        for delivery in 0..100 {
            alive.ended(
                delivery,
                if delivery % 4 == 3 { refused } else { BAD_GATEWAY },
                false,
                0,
            );
            assert!(!alive.is_paused(), "{delivery}");
        }
    }

    #[test]
    fn one_probe_is_out_at_a_time_and_waits_up_to_thirty_seconds() {
        let mut outage = working();
        outage.ended(0, NOT_SENT, false, 0);
        let mut now = 0;
        let mut waits = Vec::new();
        for delivery in 0..10 {
            let Permit::Wait(Some(at)) = outage.permit(now) else {
                panic!("{outage:?}")
            };
            waits.push((at - now) / 1_000);
            now = at;
            assert_eq!(outage.permit(now), Permit::Probe);
            outage.begin_probe();
            assert_eq!(outage.permit(now), Permit::Wait(None));
            // The end of an attempt from before the outage is not the end of the probe.
            outage.ended(99, BAD_GATEWAY, false, now);
            assert_eq!(outage.permit(now), Permit::Wait(None));
            assert!(outage.ended(delivery, BAD_GATEWAY, true, now).in_outage);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]);
        outage.begin_probe();
        assert!(outage.ended(3, OK, true, now).changed);
        for expected in [1, 2, 4, 8, 8] {
            assert_eq!(outage.permit(now), Permit::Attempts(expected));
            outage.ended(4, OK, false, now);
        }
    }

    #[test]
    fn a_delivery_that_breaks_off_probes_while_others_succeed_backs_off_by_itself() {
        let mut outage = working();
        let mut own = 0;
        for round in 0..8_u64 {
            let now = round * 100_000;
            outage.ended(1, NOT_SENT, false, now);
            outage.begin_probe();
            own += usize::from(!outage.ended(666, Outcome::Unknown, true, now + 1).in_outage);
            outage.begin_probe();
            outage.ended(2, OK, true, now + 90_000);
        }
        assert_eq!(own, 5, "the first three broken probes belong to the outage");
        let mut alone = working();
        alone.ended(1, NOT_SENT, false, 0);
        for _ in 0..20 {
            alone.begin_probe();
            assert!(alone.ended(666, Outcome::Unknown, true, 0).in_outage);
        }
    }

    proptest! {
        /// Whatever happens: a paused upstream has one probe at most, a working one at least one permit, and a probe is
        /// due within thirty seconds.
        #[test]
        fn an_upstream_is_never_forgotten(
            events in prop::collection::vec((0..5_u8, 0..20_u64, any::<bool>(), 0..40_000_u64), 0..300),
        ) {
            let mut outage = working();
            let mut now = 0;
            for (kind, delivery, is_probe, later) in events {
                now += later;
                let is_probe = is_probe && outage.permit(now) == Permit::Probe;
                if is_probe {
                    outage.begin_probe();
                }
                let outcome = match kind {
                    0 => OK,
                    1 => NOT_SENT,
                    2 => Outcome::Unknown,
                    3 => Outcome::NotSent { crowded: true },
                    _ => BAD_GATEWAY,
                };
                outage.ended(delivery, outcome, is_probe, now);
                prop_assert!(outage.suspects.len() <= SUSPECTS && outage.failed.len() <= FAILURES);
                match outage.permit(now) {
                    Permit::Attempts(count) => prop_assert!((1..=8).contains(&count)),
                    Permit::Probe => {}
                    Permit::Wait(until) => prop_assert!(until.is_some_and(|until| until <= now + 30_000)),
                }
            }
        }
    }
}
