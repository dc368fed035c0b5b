//! Reload: a new configuration comes into force as a whole, or the old one stays as a whole.

use super::entrance::{Entrance, show};
use super::upstreams;
use crate::gateway::Gateway;
use crate::gateway::snapshot::Snapshot;
use crate::settings::Config;
use crate::time::clock;
use crate::tls;
use std::sync::Arc;

/// Applies `new`, or says in log and metric why not. `started` is the configuration that the process started with: what
/// differs from it in a way that only a restart can apply is named in the log, and the rest is applied. Returns whether it is
/// in force.
pub(super) async fn reload(
    new: Result<Config, String>,
    started: &Config,
    gateway: &Gateway,
    entrances: &[Entrance],
) -> bool {
    let metrics = &gateway.recorder.metrics;
    let applied = match new {
        Ok(new) => apply(new, started, gateway, entrances).await,
        Err(faults) => Err(faults),
    };
    match applied {
        Ok(()) => {
            metrics.config_reloads.ok.inc();
            metrics.config_last_reload_successful.set(1);
            metrics.config_last_reload_success.set(clock::unix_now().cast_signed());
            tracing::info!("configuration reloaded");
            true
        }
        Err(faults) => {
            metrics.config_reloads.failed.inc();
            metrics.config_last_reload_successful.set(0);
            tracing::error!(%faults, "reload failed, the previous configuration stays in force");
            false
        }
    }
}

async fn apply(new: Config, started: &Config, gateway: &Gateway, entrances: &[Entrance]) -> Result<(), String> {
    let metrics = &gateway.recorder.metrics;
    for change in started.restart_needed(&new) {
        tracing::warn!("{change}: that takes effect at the next restart");
    }
    for warning in &new.warnings {
        tracing::warn!("{warning}");
    }
    let in_force = gateway.snapshot.load_full();
    let snapshot = Snapshot::compile(new.routes, Some(&in_force), started.workers, metrics, tls::connector)
        .map_err(|faults| faults.join("\n"))?;
    // Everything is read before anything is swapped.
    let mut swaps = Vec::new();
    for entrance in entrances {
        let listener = new
            .listeners
            .iter()
            .find(|listener| listener.name == entrance.settings.name);
        let tls = listener.and_then(|listener| listener.tls.as_ref());
        if let (Some(tls), Some(server)) = (tls, &entrance.tls) {
            swaps.push((server, tls::Server::load(tls).map_err(|faults| faults.join("\n"))?));
        }
    }
    upstreams::take_up(&snapshot, Some(&in_force)).await;
    for (server, new) in swaps {
        server.replace(new);
    }
    show(metrics, entrances, &snapshot);
    gateway.budget.resize(new.limits.in_flight_bytes);
    let names: Vec<_> = snapshot
        .routes()
        .iter()
        .map(|route| route.settings.name.clone())
        .collect();
    // Once more, so that no count of what goes is lost.
    metrics.upstreams(&upstreams::sample(&in_force));
    let snapshot = Arc::new(snapshot);
    gateway.snapshot.store(snapshot.clone());
    upstreams::give_up(&in_force, &snapshot);
    metrics.retain_routes(&names.iter().map(String::as_str).collect::<Vec<_>>());
    Ok(())
}
