//! The metrics of upstreams. They are sampled before each scrape, because nothing else reads them.
//!
//! The `upstream` label is the URL of a configured server, never an address from a DNS look-up: addresses change, and
//! the label set must not grow with them. The health of a server as one route sees it (up, ejected) also has a route
//! label; connections and events are counted for the server alone.

use super::exposition::{Exposition, Family};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

/// What the last sample showed, and what all samples have counted.
#[derive(Default)]
pub(super) struct UpstreamFamilies {
    shown: Mutex<Shown>,
}

#[derive(Clone, Default)]
struct Shown {
    /// The last samples, by route and server.
    samples: Arc<BTreeMap<(String, String), [usize; 5]>>,
    /// Counts of each server since it was first sampled, with the connections of the last sample.
    servers: BTreeMap<String, UpstreamCounts>,
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
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Requests that have waited since the last sample: served, not served in time, not admitted to the full queue.
    pub queued: [u64; 3],
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

const UP: Family = Family::gauge(
    "upstream_up",
    "1 when the upstream takes requests: reached at the last attempt, not ejected, health checks passed.",
);
const ENDPOINTS: Family = Family::gauge(
    "upstream_endpoints",
    "Addresses of the upstream by state: up, failing (used although the last attempt failed), ejected, unhealthy, draining.",
);
const CONNECTIONS: Family = Family::gauge(
    "upstream_connections",
    "Connections to the upstream: idle in the pool, or active with a request.",
);
const EJECTIONS: Family = Family::counter(
    "upstream_ejections_total",
    "Times that an address of the upstream was ejected because of consecutive failures.",
);
const PASSED_ON: Family = Family::counter(
    "upstream_passed_on_total",
    "Requests of which no byte could be sent to the upstream, and which went to another.",
);
const CHECKS: Family = Family::counter("upstream_health_checks_total", "Health checks by result.");
const WAITING: Family = Family::gauge(
    "upstream_queue_requests",
    "Requests that wait for a connection because the upstream has max_connections.",
);
const QUEUED: Family = Family::counter(
    "upstream_queue_total",
    "Requests that found max_connections in use, by what became of them: served, timeout, full.",
);
const QUEUE_RESULTS: [&str; 3] = ["served", "timeout", "full"];
const LOOKUPS: Family = Family::counter("upstream_lookups_total", "Look-ups of the upstream's name by result.");

impl UpstreamFamilies {
    /// Shows these servers from now on, and no others. Adds what they have counted.
    pub(super) fn show(&self, samples: &[UpstreamSample]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut shown.servers);
        for sample in samples {
            let server = shown
                .servers
                .entry(sample.upstream.clone())
                .or_insert_with(|| UpstreamCounts {
                    idle: 0,
                    active: 0,
                    waiting: 0,
                    ..before.remove(&sample.upstream).unwrap_or_default()
                });
            if let Some(counts) = &sample.counts {
                server.add(counts);
            }
        }
        let states = samples
            .iter()
            .map(|sample| ((sample.route.clone(), sample.upstream.clone()), sample.endpoints));
        shown.samples = Arc::new(states.collect());
    }

    /// Writes the series.
    ///
    /// # Errors
    /// `Break`: nobody reads the text any more.
    pub(super) fn write(&self, out: &mut Exposition<'_>) -> ControlFlow<()> {
        // A slow reader must not hold the lock.
        let Shown { samples, servers } = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if samples.is_empty() {
            return ControlFlow::Continue(());
        }
        out.family(UP);
        for ((route, upstream), [up, ..]) in &*samples {
            let labels = [("route", &**route), ("upstream", upstream)];
            out.series(UP, "", &labels, u8::from(*up > 0))?;
        }
        out.family(ENDPOINTS);
        for ((route, upstream), endpoints) in &*samples {
            for (state, count) in STATES.into_iter().zip(endpoints) {
                let labels = [("route", &**route), ("state", state), ("upstream", upstream)];
                out.series(ENDPOINTS, "", &labels, count)?;
            }
        }
        out.family(CONNECTIONS);
        for (upstream, counts) in &servers {
            for (state, count) in [("active", counts.active), ("idle", counts.idle)] {
                out.series(CONNECTIONS, "", &[("state", state), ("upstream", upstream)], count)?;
            }
        }
        out.family(WAITING);
        for (upstream, counts) in &servers {
            out.series(WAITING, "", &[("upstream", upstream)], counts.waiting)?;
        }
        out.family(QUEUED);
        for (upstream, counts) in &servers {
            for (result, count) in QUEUE_RESULTS.into_iter().zip(counts.queued) {
                out.series(QUEUED, "", &[("result", result), ("upstream", upstream)], count)?;
            }
        }
        type Count = fn(&UpstreamCounts) -> u64;
        let plain: [(Family, Count); 2] = [
            (EJECTIONS, |counts| counts.ejections),
            (PASSED_ON, |counts| counts.passed_on),
        ];
        for (family, count) in plain {
            out.family(family);
            for (upstream, counts) in &servers {
                out.series(family, "", &[("upstream", upstream)], count(counts))?;
            }
        }
        type Counts = fn(&UpstreamCounts) -> [u64; 2];
        let with_result: [(Family, Counts); 2] = [(CHECKS, |counts| counts.checks), (LOOKUPS, |counts| counts.lookups)];
        for (family, results) in with_result {
            out.family(family);
            for (upstream, counts) in &servers {
                for (result, count) in RESULTS.into_iter().zip(results(counts)) {
                    out.series(family, "", &[("result", result), ("upstream", upstream)], count)?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl UpstreamCounts {
    fn add(&mut self, other: &Self) {
        // Two routes may have different upstreams with the same server.
        self.idle += other.idle;
        self.active += other.active;
        self.waiting += other.waiting;
        for (sum, count) in self.queued.iter_mut().zip(other.queued) {
            *sum += count;
        }
        self.ejections += other.ejections;
        self.passed_on += other.passed_on;
        for (sums, counts) in [(&mut self.checks, other.checks), (&mut self.lookups, other.lookups)] {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
    }
}
