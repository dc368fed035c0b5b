//! The metrics of upstreams. They are sampled before each scrape, because nothing else reads them.
//!
//! The `upstream` label is the URL of a configured server, never an address from a DNS look-up: addresses change, and
//! the label set must not grow with them. The health of a server as one route sees it (up, ejected) also has a route
//! label; connections and events are counted for the server alone.

use super::registration::{counters, gauges};
use prometheus::{IntCounterVec, IntGaugeVec, Registry};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The families with an `upstream` label.
pub(super) struct UpstreamFamilies {
    up: IntGaugeVec,
    endpoints: IntGaugeVec,
    connections: IntGaugeVec,
    ejections: IntCounterVec,
    passed_on: IntCounterVec,
    checks: IntCounterVec,
    lookups: IntCounterVec,
    /// Route and upstream of every series that exists.
    shown: Mutex<BTreeSet<(String, String)>>,
}

/// The health of one route's server, and what was counted since the last sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamSample {
    /// Name of the route.
    pub route: String,
    /// URL of the server, without a path.
    pub upstream: String,
    /// Number of endpoints by state: up, failing, ejected, unhealthy, draining.
    pub endpoints: [usize; 5],
    /// Counts of the server; `None` if another route with the same upstream has reported them, so that nothing is
    /// counted twice.
    pub counts: Option<UpstreamCounts>,
}

/// Counts that belong to the server, not to a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamCounts {
    /// Connections without a request.
    pub idle: usize,
    /// Requests in flight.
    pub active: usize,
    /// Endpoints ejected since the last sample, because of consecutive failures.
    pub ejections: u64,
    /// Requests since the last sample that could not be sent to this server and went to another.
    pub passed_on: u64,
    /// Health checks since the last sample: passed, failed.
    pub checks: [u64; 2],
    /// DNS look-ups since the last sample: successful, failed.
    pub lookups: [u64; 2],
}

const STATES: [&str; 5] = ["up", "failing", "ejected", "unhealthy", "draining"];
const RESULTS: [&str; 2] = ["ok", "failed"];

impl UpstreamFamilies {
    pub(super) fn register(r: &Registry) -> Self {
        Self {
            up: gauges(
                r,
                "upstream_up",
                "1 when the upstream takes requests: reached at the last attempt, not ejected, health checks passed.",
                &["route", "upstream"],
            ),
            endpoints: gauges(
                r,
                "upstream_endpoints",
                "Addresses of the upstream by state: up, failing (used although the last attempt failed), ejected, unhealthy, draining.",
                &["route", "upstream", "state"],
            ),
            connections: gauges(
                r,
                "upstream_connections",
                "Connections to the upstream: idle in the pool, or active with a request.",
                &["upstream", "state"],
            ),
            ejections: counters(
                r,
                "upstream_ejections_total",
                "Times that an address of the upstream was ejected because of consecutive failures.",
                &["upstream"],
            ),
            passed_on: counters(
                r,
                "upstream_passed_on_total",
                "Requests of which no byte could be sent to the upstream, and which went to another.",
                &["upstream"],
            ),
            checks: counters(
                r,
                "upstream_health_checks_total",
                "Health checks by result.",
                &["upstream", "result"],
            ),
            lookups: counters(
                r,
                "upstream_lookups_total",
                "Look-ups of the upstream's name by result.",
                &["upstream", "result"],
            ),
            shown: Mutex::default(),
        }
    }

    /// Sets the series of these servers and removes the series of all others.
    pub(super) fn show(&self, samples: &[UpstreamSample]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let now: BTreeSet<_> = samples
            .iter()
            .map(|sample| (sample.route.clone(), sample.upstream.clone()))
            .collect();
        let used: BTreeSet<_> = now.iter().map(|(_, upstream)| upstream).collect();
        for (route, upstream) in shown.difference(&now) {
            self.remove(route, upstream, used.contains(upstream));
        }
        *shown = now;
        // Two routes may have different upstreams with the same server.
        let mut connections = std::collections::BTreeMap::new();
        for sample in samples {
            self.show_state(sample);
            if let Some(counts) = &sample.counts {
                let sum: &mut (usize, usize) = connections.entry(&*sample.upstream).or_default();
                sum.0 += counts.idle;
                sum.1 += counts.active;
                self.count(&sample.upstream, counts);
            }
        }
        for (upstream, (idle, active)) in connections {
            for (state, count) in [("idle", idle), ("active", active)] {
                self.connections.with_label_values(&[upstream, state]).set(gauge(count));
            }
        }
    }

    fn show_state(&self, sample: &UpstreamSample) {
        let (route, upstream) = (&*sample.route, &*sample.upstream);
        let [up, ..] = sample.endpoints;
        self.up.with_label_values(&[route, upstream]).set(i64::from(up > 0));
        for (state, count) in STATES.into_iter().zip(sample.endpoints) {
            self.endpoints
                .with_label_values(&[route, upstream, state])
                .set(gauge(count));
        }
    }

    fn count(&self, upstream: &str, counts: &UpstreamCounts) {
        self.ejections.with_label_values(&[upstream]).inc_by(counts.ejections);
        self.passed_on.with_label_values(&[upstream]).inc_by(counts.passed_on);
        for (family, counts) in [(&self.checks, counts.checks), (&self.lookups, counts.lookups)] {
            for (result, count) in RESULTS.into_iter().zip(counts) {
                family.with_label_values(&[upstream, result]).inc_by(count);
            }
        }
    }

    /// The library returns an error for a series that does not exist; it is ignored.
    fn remove(&self, route: &str, upstream: &str, is_used_elsewhere: bool) {
        let _ = self.up.remove_label_values(&[route, upstream]);
        for state in STATES {
            let _ = self.endpoints.remove_label_values(&[route, upstream, state]);
        }
        if is_used_elsewhere {
            return;
        }
        for state in ["idle", "active"] {
            let _ = self.connections.remove_label_values(&[upstream, state]);
        }
        for family in [&self.ejections, &self.passed_on] {
            let _ = family.remove_label_values(&[upstream]);
        }
        for (family, result) in [&self.checks, &self.lookups]
            .into_iter()
            .flat_map(|family| RESULTS.map(|result| (family, result)))
        {
            let _ = family.remove_label_values(&[upstream, result]);
        }
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
