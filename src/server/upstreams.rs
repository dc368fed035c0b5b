//! The upstreams of the active snapshot: starts and stops their background tasks, and samples them for the metrics.

use crate::gateway::snapshot::Snapshot;
use crate::settings::ReadyWhen;
use crate::telemetry::{UpstreamCounts, UpstreamSample};
use crate::upstream::Upstream;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a start or a reload waits until names are looked up. After that it continues, so that a name that does not
/// resolve does not block the other routes.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts the background tasks of the upstreams that `previous` does not have, and waits until their names are looked
/// up, at most [`LOOK_UP_TIMEOUT`].
pub(super) async fn start_new(snapshot: &Snapshot, previous: Option<&Snapshot>) {
    let before = addresses(previous);
    let deadline = Instant::now() + LOOK_UP_TIMEOUT;
    let upstreams = snapshot.upstreams().iter();
    let new: Vec<_> = upstreams
        .filter(|upstream| !before.contains(&upstream.address()))
        .collect();
    new.iter().for_each(|upstream| upstream.maintain());
    for upstream in new {
        if timeout_at(deadline, upstream.names_looked_up()).await.is_err() {
            tracing::warn!(
                ?upstream,
                "the names of the upstream are not resolved yet; continuing without them"
            );
        }
    }
}

/// Ends the background tasks of the upstreams that `next` does not have, and closes their idle connections.
pub(super) fn stop_removed(snapshot: &Snapshot, next: &Snapshot) {
    let after = addresses(Some(next));
    let upstreams = snapshot.upstreams().iter();
    let removed = upstreams.filter(|upstream| !after.contains(&upstream.address()));
    removed.for_each(|upstream| upstream.retire());
}

fn addresses(snapshot: Option<&Snapshot>) -> HashSet<usize> {
    let upstreams = snapshot.map_or(&[][..], Snapshot::upstreams);
    upstreams.iter().map(Upstream::address).collect()
}

/// Whether the upstreams allow the process to be ready. With [`ReadyWhen::Upstream`] it is not ready while the health
/// checks of all upstreams fail. One working upstream is enough, because this process can still serve its routes.
pub(super) fn are_ready(snapshot: &Snapshot, when: ReadyWhen) -> bool {
    match when {
        ReadyWhen::Serving => true,
        ReadyWhen::Upstream => snapshot.upstreams().iter().any(|upstream| !upstream.is_down()),
    }
}

/// The present state of the servers of every route, and their counts since the last call.
pub(super) fn sample(snapshot: &Snapshot) -> Vec<UpstreamSample> {
    let mut seen = HashSet::new();
    let mut samples = Vec::new();
    for route in snapshot.routes() {
        let is_new = seen.insert(route.upstream.address());
        for (name, state, counters) in route.upstream.servers() {
            let counts = || UpstreamCounts {
                idle: state.idle,
                active: state.active,
                waiting: state.waiting,
                queued: [
                    counters.queue_served.take(),
                    counters.queue_timeouts.take(),
                    counters.queue_full.take(),
                ],
                ejections: counters.ejections.take(),
                passed_on: counters.passed_on.take(),
                checks: [counters.checks_passed.take(), counters.checks_failed.take()],
                lookups: [counters.lookups_passed.take(), counters.lookups_failed.take()],
            };
            samples.push(UpstreamSample {
                route: route.settings.name.clone(),
                upstream: name.to_owned(),
                endpoints: [state.up, state.failing, state.ejected, state.unhealthy, state.draining],
                counts: is_new.then(counts),
            });
        }
    }
    samples
}
