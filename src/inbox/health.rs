//! The state of one upstream as the inbox sees it, shared by all routes and workers that use the upstream.

use super::model::delivery::Outcome;
use super::model::outage::{Judgement, Outage, Permit};
use crate::settings::Probe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// The model of an outage behind a lock. While the upstream works, a request reads one flag and takes no lock.
#[derive(Debug)]
pub struct UpstreamHealth {
    model: Mutex<Outage>,
    started: Instant,
    is_paused: AtomicBool,
    /// Whether a success would change nothing.
    is_clean: AtomicBool,
    /// Attempts of stored deliveries under way.
    running: AtomicUsize,
}

/// How a request may use an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may be asked.
    Ask,
    /// It may be asked; the request is the probe of an outage.
    Probe,
    /// There is an outage: the webhook is stored without asking.
    Store,
}

impl UpstreamHealth {
    /// An upstream that works, with up to `limit` attempts of stored deliveries at the same time.
    #[must_use]
    pub fn new(probe: Probe, limit: usize) -> Self {
        Self {
            model: Mutex::new(Outage::new(probe.backoff, probe.backoff_limit, limit.max(1))),
            started: Instant::now(),
            is_paused: AtomicBool::new(false),
            is_clean: AtomicBool::new(true),
            running: AtomicUsize::new(0),
        }
    }

    /// Whether there is an outage.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }

    /// Whether a new webhook may ask the upstream. In an outage it may only if a probe is due and nothing that is
    /// stored can be the probe (`has_stored`).
    #[must_use]
    pub fn admit(&self, has_stored: bool, now: Instant) -> Admission {
        if !self.is_paused() {
            return Admission::Ask;
        }
        let mut model = self.lock();
        match model.permit(self.milliseconds(now)) {
            Permit::Attempts(_) => Admission::Ask,
            Permit::Probe if !has_stored => {
                model.begin_probe();
                Admission::Probe
            }
            Permit::Probe | Permit::Wait(_) => Admission::Store,
        }
    }

    /// What may be sent of the stored deliveries at `now`: the number of attempts that may begin, and whether that is a
    /// probe. With 0, when to ask again (`None`: after the end of an attempt).
    #[must_use]
    pub fn permit(&self, now: Instant) -> (usize, bool, Option<Instant>) {
        let mut model = self.lock();
        match model.permit(self.milliseconds(now)) {
            Permit::Attempts(allowed) => (
                allowed.saturating_sub(self.running.load(Ordering::Acquire)),
                false,
                None,
            ),
            Permit::Probe => {
                model.begin_probe();
                (1, true, None)
            }
            Permit::Wait(until) => {
                let until = until.map(|until| self.started + std::time::Duration::from_millis(until));
                (0, false, until)
            }
        }
    }

    /// Gives the right to probe back: there was nothing to send.
    pub fn cancel_probe(&self) {
        self.lock().cancel_probe();
    }

    /// Attempts of stored deliveries have begun.
    pub fn begin(&self, attempts: usize) {
        self.running.fetch_add(attempts, Ordering::AcqRel);
    }

    /// An attempt of a stored delivery has ended.
    pub fn finish(&self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }

    /// Attempts of stored deliveries under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// An attempt of the delivery with this number or id has ended.
    pub fn ended(&self, delivery: u64, outcome: Outcome, is_probe: bool, now: Instant) -> Judgement {
        if outcome.is_success() && self.is_clean.load(Ordering::Acquire) {
            return Judgement {
                in_outage: false,
                changed: false,
            };
        }
        let mut model = self.lock();
        let judgement = model.ended(delivery, outcome, is_probe, self.milliseconds(now));
        self.is_paused.store(model.is_paused(), Ordering::Release);
        self.is_clean.store(model.is_clean(), Ordering::Release);
        judgement
    }

    fn lock(&self) -> MutexGuard<'_, Outage> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}
