//! The metrics of the inbox. They exist only in a process that has one.

use super::registration::{Registry, counters, gauge, gauges, histogram, histograms};
use crate::outcome::StoreReason;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use std::time::Duration;

/// Outcomes of attempts, in the order of the counters; the `outcome` label.
const OUTCOMES: [&str; 4] = ["delivered", "failed", "unknown", "not_sent"];

/// The handle of the inbox.
#[derive(Clone, Debug)]
pub struct InboxMetrics {
    /// Time of one transaction, from its beginning to the end of its sync.
    pub commit_seconds: Histogram,
    /// Commands in one transaction.
    pub commit_size: Histogram,
    /// 1 while the store works.
    pub up: IntGauge,
    /// 1 while a new webhook can be stored.
    pub accepts: IntGauge,
    /// Size of the write-ahead log.
    pub log_bytes: IntGauge,
    /// Free space of the file system.
    pub free_bytes: IntGauge,
    /// When a row was committed last.
    pub last_commit: IntGauge,
    /// Stored contents that could not be opened.
    pub unreadable: IntGauge,
    /// Deliveries whose route does not exist.
    pub orphaned: IntGauge,
    deliveries: IntGaugeVec,
    bytes: IntGaugeVec,
    oldest: IntGaugeVec,
    dead_expire: IntGaugeVec,
    paused: IntGaugeVec,
    stored: IntCounterVec,
    attempts: IntCounterVec,
    delivery_seconds: HistogramVec,
    without_key: IntCounterVec,
}

/// The metrics of one route with an inbox.
#[derive(Clone, Debug)]
pub struct InboxRouteMetrics {
    stored: [IntCounter; StoreReason::ALL.len()],
    attempts: [IntCounter; OUTCOMES.len()],
    delivery_seconds: Histogram,
    /// Webhooks without the key that orders the route.
    pub without_key: IntCounter,
}

/// The deliveries of one route at a scrape.
#[derive(Clone, Debug)]
pub struct InboxSample<'a> {
    /// Name of the route.
    pub route: &'a str,
    /// Number of deliveries by state.
    pub states: &'a [(&'static str, i64)],
    /// Bytes of the stored contents.
    pub bytes: i64,
    /// Age of the oldest open delivery in seconds; 0 without one.
    pub oldest_seconds: i64,
    /// When the oldest dead letter is erased, in Unix seconds; 0 without one.
    pub dead_expires: i64,
    /// Whether an operator has paused the route.
    pub is_paused: bool,
}

impl InboxMetrics {
    pub(super) fn register(r: &Registry) -> Self {
        Self {
            commit_seconds: histogram(
                r,
                "inbox_commit_duration_seconds",
                "Time of one transaction of the inbox, with its sync.",
                &COMMIT_SECONDS,
            ),
            commit_size: histogram(
                r,
                "inbox_commit_size",
                "Number of commands in one transaction of the inbox.",
                &COMMIT_SIZES,
            ),
            up: gauge(r, "inbox_up", "1 while the store of the inbox works."),
            accepts: gauge(
                r,
                "inbox_accepts",
                "1 while a new webhook can be stored: the store works and no bound is reached.",
            ),
            log_bytes: gauge(r, "inbox_log_bytes", "Size of the store's write-ahead log."),
            free_bytes: gauge(r, "inbox_free_bytes", "Free space of the file system of the store."),
            last_commit: gauge(
                r,
                "inbox_last_commit_timestamp_seconds",
                "Unix time of the last commit; one is made every 30 s even without webhooks.",
            ),
            unreadable: gauge(
                r,
                "inbox_unreadable_deliveries",
                "Stored deliveries that could not be opened since the start: changed rows, or a lost key.",
            ),
            orphaned: gauge(
                r,
                "inbox_orphaned_deliveries",
                "Stored deliveries whose route does not exist: they are not sent.",
            ),
            deliveries: gauges(
                r,
                "inbox_deliveries",
                "Stored deliveries by state: waiting, in_flight, behind, blocked, delivered, dead, dropped.",
                &["route", "state"],
            ),
            bytes: gauges(r, "inbox_bytes", "Bytes of the stored heads and bodies.", &["route"]),
            oldest: gauges(
                r,
                "inbox_oldest_age_seconds",
                "Age of the oldest delivery that is not settled; 0 without one.",
                &["route"],
            ),
            dead_expire: gauges(
                r,
                "inbox_dead_expire_timestamp_seconds",
                "Unix time at which the oldest dead letter is erased; 0 without one.",
                &["route"],
            ),
            paused: gauges(
                r,
                "inbox_route_paused",
                "1 while an operator has paused the route.",
                &["route"],
            ),
            stored: counters(
                r,
                "inbox_stored_total",
                "Webhooks that were stored, by reason.",
                &["route", "reason"],
            ),
            attempts: counters(
                r,
                "inbox_attempts_total",
                "Attempts of stored deliveries by outcome; unknown: sent, without a whole answer.",
                &["route", "outcome"],
            ),
            delivery_seconds: histograms(
                r,
                "inbox_delivery_seconds",
                "Time from the storing of a webhook to the application's 2xx.",
                &["route"],
                &DELIVERY_SECONDS,
            ),
            without_key: counters(
                r,
                "inbox_without_order_key_total",
                "Webhooks without the key that orders their route; they are delivered without an order.",
                &["route"],
            ),
        }
    }

    /// The metrics of one route.
    #[must_use]
    pub fn route(&self, name: &str) -> InboxRouteMetrics {
        InboxRouteMetrics {
            stored: StoreReason::ALL.map(|reason| self.stored.with_label_values(&[name, reason.label()])),
            attempts: OUTCOMES.map(|outcome| self.attempts.with_label_values(&[name, outcome])),
            delivery_seconds: self.delivery_seconds.with_label_values(&[name]),
            without_key: self.without_key.with_label_values(&[name]),
        }
    }

    /// Sets the gauges of one route.
    pub fn show(&self, sample: &InboxSample<'_>) {
        for (state, count) in sample.states {
            self.deliveries.with_label_values(&[sample.route, state]).set(*count);
        }
        self.bytes.with_label_values(&[sample.route]).set(sample.bytes);
        self.oldest
            .with_label_values(&[sample.route])
            .set(sample.oldest_seconds);
        self.dead_expire
            .with_label_values(&[sample.route])
            .set(sample.dead_expires);
        self.paused
            .with_label_values(&[sample.route])
            .set(i64::from(sample.is_paused));
    }
}

impl InboxRouteMetrics {
    /// Counts a webhook that was stored.
    pub fn stored(&self, reason: StoreReason) {
        if let Some(counter) = self.stored.get(reason as usize) {
            counter.inc();
        }
    }

    /// Counts an attempt of a stored delivery. An `outcome` that is none of an attempt is not counted.
    pub fn attempt(&self, outcome: &str) {
        let index = OUTCOMES.iter().position(|known| *known == outcome);
        if let Some(counter) = index.and_then(|index| self.attempts.get(index)) {
            counter.inc();
        }
    }

    /// Notes that a stored delivery was taken by the application, this long after it was stored.
    pub fn delivered(&self, after: Duration) {
        self.delivery_seconds.observe(after.as_secs_f64());
    }
}

const COMMIT_SECONDS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];
const COMMIT_SIZES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0];
/// From a tenth of a second to three days.
const DELIVERY_SECONDS: [f64; 11] = [
    0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 259_200.0,
];
