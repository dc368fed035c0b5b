//! The figures of the inbox for the metrics and the console.

use super::Inbox;
use super::model::delivery::State;
use super::store::shared::Shared;
use super::store::status::Phase;
use crate::telemetry::metrics::InboxSample;
use std::sync::atomic::Ordering;

impl Inbox {
    /// Age of the oldest delivery that is not settled, in seconds; `None` without one.
    #[must_use]
    pub fn oldest_seconds(&self) -> Option<i64> {
        let now = self.shared.clock.now();
        let tallies = self.shared.tallies.all();
        let open = tallies.iter().filter(|(_, tally)| tally.open() > 0);
        open.map(|(_, tally)| tally.oldest_seconds(now)).max()
    }

    /// Sets the gauges; called before a scrape.
    pub fn sample(&self) {
        let Shared {
            metrics,
            status,
            tallies,
            clock,
            ..
        } = &*self.shared;
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.up.set(i64::from(status.phase() == Phase::Open));
        metrics.accepts.set(i64::from(status.accepts()));
        metrics.log_bytes.set(gauge(status.log_bytes.load(Ordering::Relaxed)));
        metrics.free_bytes.set(gauge(status.free_bytes.load(Ordering::Relaxed)));
        metrics
            .last_commit
            .set(status.last_commit.load(Ordering::Relaxed) / 1_000);
        metrics
            .orphaned
            .set(self.orphans().iter().map(|(_, deliveries)| deliveries).sum());
        metrics.unreadable.set(gauge(status.unreadable.load(Ordering::Relaxed)));
        for (route, tally) in tallies.all() {
            metrics.show(&InboxSample {
                route: &route,
                states: &State::ALL.map(|state| (state.label(), tally.count(state))),
                bytes: tally.bytes(),
                oldest_seconds: tally.oldest_seconds(clock.now()),
                dead_expires: tally.dead_expires.load(Ordering::Relaxed) / 1_000,
                is_paused: tally.is_paused.load(Ordering::Relaxed),
            });
        }
    }
}
