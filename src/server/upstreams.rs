//! The upstreams of the snapshot in force: their background work begins and ends with it, and every scrape samples them.

use crate::gateway::snapshot::Snapshot;
use crate::settings::ReadyWhen;
use crate::telemetry::{UpstreamCounts, UpstreamSample};
use crate::upstream::Upstream;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a start or a reload waits for names to be looked up. After that it goes on: a name that cannot be found must
/// keep nobody from the other routes.
const LOOK_UPS: Duration = Duration::from_secs(2);

/// Starts the background work of the upstreams that `previous` did not have, and waits until their names have addresses.
pub(super) async fn take_up(snapshot: &Snapshot, previous: Option<&Snapshot>) {
    let before = previous.map(Snapshot::upstreams).unwrap_or_default();
    let deadline = Instant::now() + LOOK_UPS;
    let new: Vec<_> = snapshot
        .upstreams()
        .into_iter()
        .filter(|upstream| !has(&before, upstream))
        .collect();
    new.iter().for_each(|upstream| upstream.tend());
    for upstream in new {
        if timeout_at(deadline, upstream.settled()).await.is_err() {
            tracing::warn!(?upstream, "its names are not looked up yet: going on without");
        }
    }
}

/// Ends the background work of the upstreams that `next` does not have, and closes their idle connections.
pub(super) fn give_up(snapshot: &Snapshot, next: &Snapshot) {
    let after = next.upstreams();
    let gone = snapshot
        .upstreams()
        .into_iter()
        .filter(|upstream| !has(&after, upstream));
    gone.for_each(|upstream| upstream.retire());
}

fn has(upstreams: &[&Arc<Upstream>], wanted: &Arc<Upstream>) -> bool {
    upstreams.iter().any(|upstream| Arc::ptr_eq(upstream, wanted))
}

/// Whether webhooks should come here, as far as the upstreams tell: with [`ReadyWhen::Upstream`] not while the health
/// checks of every route fail. One route that works is enough, since to its senders this process is as good as any.
pub(super) fn are_up(snapshot: &Snapshot, when: ReadyWhen) -> bool {
    match when {
        ReadyWhen::Serving => true,
        ReadyWhen::Upstream => snapshot.upstreams().iter().any(|upstream| !upstream.is_down()),
    }
}

/// Every route's servers as they are now, and what was counted since the last call.
pub(super) fn sample(snapshot: &Snapshot) -> Vec<UpstreamSample> {
    let mut seen: Vec<&Arc<Upstream>> = Vec::new();
    let mut samples = Vec::new();
    for route in snapshot.routes() {
        let is_new = !has(&seen, &route.upstream);
        seen.push(&route.upstream);
        for (name, state, tally) in route.upstream.servers() {
            let counts = || UpstreamCounts {
                idle: state.idle,
                active: state.active,
                ejections: tally.ejections.take(),
                passed_on: tally.passed_on.take(),
                checks: [tally.checks_passed.take(), tally.checks_failed.take()],
                lookups: [tally.lookups_passed.take(), tally.lookups_failed.take()],
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
