//! Reload: a new configuration is applied atomically, or the old one stays active.

use super::listener_setup::{self, ListenerSetup};
use super::upstreams;
use crate::gateway::Gateway;
use crate::gateway::snapshot::Snapshot;
use crate::remote::acme::Certificates;
use crate::settings::{self, Config};
use crate::time::clock;
use crate::tls;
use std::sync::Arc;

/// Applies `new`, or logs the faults and counts a failed reload. Returns whether `new` is active. `started` is the
/// configuration of the start: changes that need a restart are logged, and all others are applied.
pub(super) async fn reload(
    new: Result<Config, String>,
    started: &Config,
    gateway: &Arc<Gateway>,
    listeners: &[ListenerSetup],
    issued: &Certificates,
) -> bool {
    let metrics = &gateway.recorder.metrics;
    let applied = match new {
        Ok(new) => apply(new, started, gateway, listeners, issued).await,
        Err(faults) => Err(faults),
    };
    match applied {
        Ok(()) => {
            metrics.config_reloads.ok.inc();
            metrics.config_reloads.last_successful.set(1);
            metrics
                .config_reloads
                .last_success_unix
                .set(clock::unix_now().cast_signed());
            tracing::info!("configuration reloaded");
            true
        }
        Err(faults) => {
            metrics.config_reloads.failed.inc();
            metrics.config_reloads.last_successful.set(0);
            tracing::error!(%faults, "reload failed; the previous configuration stays active");
            false
        }
    }
}

async fn apply(
    new: Config,
    started: &Config,
    gateway: &Arc<Gateway>,
    listeners: &[ListenerSetup],
    issued: &Certificates,
) -> Result<(), String> {
    let metrics = &gateway.recorder.metrics;
    for change in started.restart_needed(&new) {
        tracing::warn!("{change}: this change takes effect at the next restart");
    }
    let active = gateway.snapshot.load_full();
    let compiling = {
        let (gateway, active, workers) = (gateway.clone(), active.clone(), started.workers);
        let (routes, warnings) = (new.routes, new.warnings);
        move || {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            let mut connectors = tls::Connectors::default();
            Snapshot::compile(
                routes,
                Some(&active),
                workers,
                gateway.inbox.as_ref(),
                gateway.keys.as_deref(),
                &gateway.recorder.metrics,
                |upstream| connectors.connector(upstream).map_err(|fault| fault.to_string()),
            )
        }
    };
    // With many routes this takes longer than a probe may wait.
    let compiled = tokio::task::spawn_blocking(compiling).await;
    let snapshot = compiled
        .map_err(|error| error.to_string())?
        .map_err(|faults| faults.join("\n"))?;
    // Reads all files before it replaces anything.
    let mut replacements = Vec::new();
    for setup in listeners {
        let listener = new
            .listeners
            .iter()
            .find(|listener| listener.name == setup.settings.name);
        let tls = listener.and_then(|listener| listener.tls.as_ref());
        if let (Some(tls), Some(acceptor)) = (tls, &setup.tls) {
            let loaded = tls::Acceptor::load(tls, |acme| issued.certificate(acme));
            replacements.push((acceptor, loaded.map_err(|faults| faults.join("\n"))?));
        }
    }
    upstreams::start_new(&snapshot, Some(&active)).await;
    for (acceptor, new) in replacements {
        acceptor.replace(new);
    }
    issued.run_only(new.listeners.iter().flat_map(settings::Listener::acme));
    listener_setup::update_metrics(metrics, listeners, &snapshot);
    gateway.budget.resize(new.limits.in_flight_bytes);
    let installing = {
        let gateway = gateway.clone();
        move || install(&gateway, &active, snapshot)
    };
    let installed = tokio::task::spawn_blocking(installing).await;
    installed.map_err(|error| error.to_string())
}

/// Puts `snapshot` into force in place of `active`, and drops what only that had. With many routes this takes longer than
/// a probe may wait, so it has a thread of its own.
fn install(gateway: &Gateway, active: &Snapshot, snapshot: Snapshot) {
    let metrics = &gateway.recorder.metrics;
    // Samples the old upstreams a last time, so that no count of a removed one is lost.
    metrics.upstreams(&upstreams::sample(active));
    gateway.guard.share(&snapshot.replay_spaces());
    snapshot.set_captures(gateway.captures.as_ref());
    let snapshot = Arc::new(snapshot);
    gateway.snapshot.store(snapshot.clone());
    snapshot.set_targets(gateway.inbox.as_ref());
    upstreams::stop_removed(active, &snapshot);
    let routes = snapshot.routes().iter();
    metrics.retain_routes(&routes.map(|route| route.settings.name.as_str()).collect());
    if let Some(keys) = &gateway.keys {
        let used = snapshot.routes().iter().filter_map(|route| route.fetched_keys.as_ref());
        keys.keep_only(&used.collect::<Vec<_>>());
        let lists = snapshot.routes().iter().flat_map(|route| &route.published);
        keys.addresses.keep_only(&lists.collect::<Vec<_>>());
    }
}
