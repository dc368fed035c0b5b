//! The running process: housekeeping, reloads and the watchdog until shutdown; then the drain.

use super::admin::{AdminState, Readiness};
use super::listener_setup::ListenerSetup;
use super::reload::reload;
use super::signals::ShutdownSignals;
use super::systemd::ServiceManager;
use super::tenants::TenantWatch;
use super::{DrainReport, HOUSEKEEPING, Started, upstreams};
use crate::gateway::Gateway;
use crate::gateway::exchange::Recorder;
use crate::inbox::store::status::Phase;
use crate::listener::Connections;
use crate::remote::acme::Certificates;
use crate::replay::RedisStore;
use crate::settings::{Address, Config};
use crate::time::clock;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// How often a draining process checks whether all exchanges are finished.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// Time that the service manager is asked for beyond the drain, to end the threads and write the last audit lines.
const EXIT_ALLOWANCE: Duration = Duration::from_secs(5);
/// How long the end of the process waits until the audit lines are written.
const AUDIT_FLUSH: Duration = Duration::from_secs(1);

/// Everything that runs between start and end.
pub(super) struct Running {
    /// The configuration of the start, without its routes; those are in the snapshot.
    pub(super) config: Config,
    pub(super) gateway: Arc<Gateway>,
    pub(super) listeners: Vec<ListenerSetup>,
    /// The certificates that are issued by a server.
    pub(super) issued: Arc<Certificates>,
    /// Counts the connections of all workers.
    pub(super) connections: Arc<Connections>,
    pub(super) signals: ShutdownSignals,
    /// The worker threads.
    pub(super) workers: Vec<JoinHandle<()>>,
    /// State of the admin listener.
    pub(super) admin: Arc<AdminState>,
    pub(super) manager: Arc<ServiceManager>,
    /// Pings the watchdog while the workers respond. It is polled by the control plane, so it also stops when that
    /// hangs.
    pub(super) heartbeat: Pin<Box<dyn Future<Output = Infallible> + Send>>,
    /// Reads the directories of tenants.
    pub(super) tenants: TenantWatch,
    /// The addresses on which the process listens.
    pub(super) started: Started,
}

impl Running {
    /// The addresses on which the process listens.
    pub(super) const fn started(&self) -> &Started {
        &self.started
    }

    /// Serves and applies `reloads` until `shutdown` is ready.
    pub(super) async fn run(
        &mut self,
        mut reloads: mpsc::Receiver<Result<Config, String>>,
        shutdown: impl Future<Output = ()>,
    ) {
        let status = status(&self.started.listeners);
        self.manager.ready(&status);
        let mut shutdown = pin!(shutdown);
        let mut housekeeping = interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reloads_open = true;
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                new = reloads.recv(), if reloads_open => match new {
                    Some(new) => match reload(new, &self.config, &self.gateway, &self.listeners, &self.issued).await {
                        true => self.manager.ready(&status),
                        false => self.manager.ready(&format!("{status}; the last reload failed and changed nothing, see the log")),
                    },
                    None => reloads_open = false,
                },
                never = &mut self.heartbeat => match never {},
                _ = housekeeping.tick() => self.housekeep(),
            }
        }
    }

    /// Removes expired replay keys, gives unused memory back, reads changed tenants and updates the readiness.
    fn housekeep(&self) {
        self.gateway.guard.sweep(Instant::now());
        self.gateway.budget.give_back();
        self.tenants.refresh(&self.gateway, clock::unix_now());
        let is_ready = upstreams::are_ready(&self.gateway.snapshot.load(), self.config.admin.readiness);
        let has_inbox = self
            .gateway
            .inbox
            .as_ref()
            .is_none_or(|inbox| inbox.status().phase() == Phase::Open);
        self.admin.set_readiness(match is_ready {
            true if has_inbox || !self.gateway.snapshot.load().has_queue() => Readiness::Ready,
            true => Readiness::InboxDown,
            false => Readiness::UpstreamDown,
        });
    }

    /// Waits for the configured delay, stops accepting, waits for the exchanges in flight until the grace period is
    /// over, and ends the workers.
    pub(super) async fn drain(mut self) -> DrainReport {
        let drain = &self.config.drain;
        let (delay, grace) = (drain.delay, drain.grace);
        let since = Instant::now();
        tracing::info!(?delay, ?grace, "draining");
        self.admin.set_readiness(Readiness::Draining);
        self.gateway.stopping.trigger();
        if let Some(inbox) = &self.gateway.inbox {
            inbox.drain(since + delay + grace);
        }
        self.manager.stopping(delay + grace + EXIT_ALLOWANCE);
        tokio::select! {
            () = sleep(delay) => {}
            never = &mut self.heartbeat => match never {},
        }
        self.signals.stop_accepting.trigger();
        self.signals.finish_connections.trigger();
        let finished = async {
            while !is_finished(&self.gateway, &self.connections) {
                sleep(DRAIN_POLL).await;
            }
        };
        let finished = tokio::select! {
            finished = timeout(grace, finished) => finished,
            never = &mut self.heartbeat => match never {},
        };
        let in_flight = &self.gateway.recorder.metrics.in_flight_requests;
        let abandoned = if finished.is_ok() { 0 } else { in_flight.get() };
        self.gateway.recorder.end();
        self.signals.end.trigger();
        let workers = self.workers;
        let _ = tokio::task::spawn_blocking(move || workers.into_iter().for_each(|worker| drop(worker.join()))).await;
        if let Some(inbox) = self.gateway.inbox.clone() {
            let _ = tokio::task::spawn_blocking(move || inbox.close()).await;
        }
        if let Some(captures) = self.gateway.captures.clone() {
            let _ = tokio::task::spawn_blocking(move || captures.close()).await;
        }
        flush_audit(&self.gateway.recorder).await;
        DrainReport {
            totals: self.gateway.recorder.metrics.totals(),
            duration: since.elapsed(),
            abandoned,
        }
    }
}

/// Whether no listener accepts, no connection is open, no request is in flight and every claim of the replay store is
/// settled.
fn is_finished(gateway: &Gateway, connections: &Connections) -> bool {
    connections.accepting() == 0
        && connections.open() == 0
        && gateway.recorder.metrics.in_flight_requests.get() <= 0
        && gateway.guard.shared().map_or(0, RedisStore::settling) == 0
        && gateway.inbox.as_ref().is_none_or(|inbox| inbox.active() == 0)
}

/// The status line for `systemctl status`.
fn status(listeners: &[(String, Address)]) -> String {
    let listeners: Vec<String> = listeners
        .iter()
        .map(|(name, address)| {
            let address = address.to_string();
            if *name == address {
                address
            } else {
                format!("{address} ({name})")
            }
        })
        .collect();
    format!("Serving on {}", listeners.join(", "))
}

/// A count as the value of a gauge.
pub(super) fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Updates the gauges that are sampled rather than counted; called for every scrape.
pub(super) fn sample(gateway: &Gateway, issued: &Certificates) {
    let metrics = &gateway.recorder.metrics;
    metrics.replay_keys.set(gauge(gateway.guard.keys()));
    let store_up = gateway.guard.shared().is_none_or(RedisStore::is_up);
    metrics.replay_store_up.set(i64::from(store_up));
    metrics.body_bytes_in_flight.set(gauge(gateway.budget.used()));
    metrics.upstreams(&upstreams::sample(&gateway.snapshot.load()));
    if let Some(inbox) = &gateway.inbox {
        inbox.sample();
    }
    if let Some(keys) = &gateway.keys {
        metrics.keys(&keys.sample());
        metrics.addresses(&keys.addresses.sample());
    }
    metrics.acme(&issued.sample());
    metrics.bounds.body_bytes.set(gauge(gateway.budget.limit()));
}

/// Waits until the audit lines are written, at most [`AUDIT_FLUSH`].
async fn flush_audit(recorder: &Arc<Recorder>) {
    let recorder = recorder.clone();
    let flushed = tokio::task::spawn_blocking(move || recorder.flush(AUDIT_FLUSH));
    if !flushed.await.unwrap_or(false) {
        tracing::warn!("the last audit lines could not be written");
    }
}
