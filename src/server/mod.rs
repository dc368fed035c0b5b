//! The composition root: binds, starts the workers, applies reloads, drains.
//!
//! Every worker is a thread with a single-threaded runtime, its own listening sockets and its own upstream connections;
//! what they share is counters, the budget and the replay guard. The calling task keeps the control plane: admin
//! listener, reloads and shutdown, so that a busy gateway still answers its probes.

pub mod admin;
mod entrance;
pub mod process;
mod pulse;
mod reload;
pub mod systemd;
mod upstreams;
mod worker;

use crate::gateway::Gateway;
use crate::gateway::exchange::{AuditScope, Recorder};
use crate::gateway::snapshot::Snapshot;
use crate::http::body::Budget;
use crate::listener::socket::{self, Bound};
use crate::listener::{Connections, Listener};
use crate::replay::{Guard, Memory, Redis};
use crate::server::systemd::{Handover, activation};
use crate::settings::{self, Address, Config};
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;
use crate::time::clock;
use crate::time::shutdown::Drain;
use crate::tls;
use arc_swap::ArcSwap;
use entrance::{Entrance, show};
use pulse::Pulse;
use reload::reload;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// How often expired keys are swept and idle connections looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often a draining process looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// What the service manager grants beyond the drain, for threads to end and audit lines to be written.
const LEAVING: Duration = Duration::from_secs(5);

/// Where the process listens, ports resolved.
#[derive(Clone, Debug)]
pub struct Started {
    /// Name and address of each listener.
    pub listeners: Vec<(String, Address)>,
    /// The admin listener.
    pub admin: Option<SocketAddr>,
}

/// How the process ended.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Exchanges that were cut off when the grace period was over.
    pub abandoned: i64,
}

/// Why the process did not start.
#[derive(Debug)]
pub enum Error {
    /// A socket cannot be bound.
    Bind(String, io::Error),
    /// Certificates, roots or keys cannot be used; one sentence each.
    Tls(Vec<String>),
    /// What the service manager handed over does not fit the configuration; one sentence.
    Handover(String),
    /// A thread or a runtime cannot be made.
    Thread(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Tls(faults) => f.write_str(&faults.join("\n")),
            Self::Handover(problem) => f.write_str(problem),
            Self::Thread(error) => write!(f, "cannot start a worker: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Runs the gateway until `shutdown` is ready and the drain is over. `reloads` brings new configurations, or why there
/// is none; `started` is called once everything is bound and serving. `audit` is where audit lines go, `handover` what the
/// service manager gave.
///
/// # Errors
/// See [`Error`]; nothing has been served then.
pub async fn serve(
    config: Config,
    handover: Handover,
    audit: impl io::Write + Send + 'static,
    mut reloads: mpsc::Receiver<Result<Config, String>>,
    started: impl FnOnce(&Started),
    shutdown: impl Future<Output = ()>,
) -> Result<Report, Error> {
    let metrics = Metrics::new();
    let mut config = config;
    let routes = std::mem::take(&mut config.routes);
    let entrances = open_entrances(&config.listeners)?;
    let snapshot = Snapshot::compile(routes, None, config.workers, &metrics, tls::connector).map_err(Error::Tls)?;
    upstreams::take_up(&snapshot, None).await;
    show(&metrics, &entrances, &snapshot);
    let gateway = Arc::new(Gateway {
        snapshot: ArcSwap::from_pointee(snapshot),
        budget: Budget::new(config.limits.in_flight_bytes),
        guard: guard(&config, &metrics)?,
        recorder: recorder(&metrics, config.log.audit, audit).map_err(Error::Thread)?,
        stopping: Arc::default(),
    });

    let most = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    metrics.limits.connections.set(most(config.limits.connections));
    if gateway.guard.shared().is_none() {
        metrics.limits.replay_keys.set(most(config.replay.capacity));
    }
    let open = Connections::new(config.limits.connections);
    let word = Word::default();
    let mut addresses = Vec::new();
    let mut sockets: Vec<Vec<(Bound, Listener)>> = (0..config.workers).map(|_| Vec::new()).collect();
    let Handover {
        manager,
        sockets: passed,
    } = handover;
    let passed = activation::assign(passed, &config.listeners).map_err(Error::Handover)?;
    for (entrance, passed) in entrances.iter().zip(passed) {
        let (bound, address) = open_sockets(&entrance.settings.address, &passed, config.workers)
            .map_err(|error| Error::Bind(entrance.settings.address.to_string(), error))?;
        for (worker, (bound, share)) in bound.into_iter().zip(&mut sockets).enumerate() {
            let listener = || entrance.listener(&gateway, worker, &config.limits, &open, &word);
            share.extend(bound.into_iter().map(|socket| (socket, listener())));
        }
        addresses.push((entrance.settings.name.clone(), address));
    }
    let admin = match config.admin {
        Some(address) => {
            let bound = tokio::net::TcpListener::bind(address).await;
            Some(bound.map_err(|error| Error::Bind(address.to_string(), error))?)
        }
        None => None,
    };
    let mut threads = Vec::with_capacity(config.workers);
    let mut pulse = Pulse::default();
    for (index, share) in sockets.into_iter().enumerate() {
        threads.push(worker::spawn(index, share, pulse.join(), &gateway, &word).map_err(Error::Thread)?);
    }

    let sampled = gateway.clone();
    let state = admin::State::new(metrics.clone(), Box::new(move || sample(&sampled)));
    let state = state.with_stopping(gateway.stopping.clone());
    let state = Arc::new(state.with_store(store_state(&gateway)));
    let admin_address = admin.as_ref().and_then(|listener| listener.local_addr().ok());
    if let Some(listener) = admin {
        let (state, finished) = (state.clone(), word.finish.clone());
        tokio::spawn(async move { admin::serve(listener, state, finished.begun()).await });
    }
    metrics.config_last_reload_successful.set(1);
    metrics.config_last_reload_success.set(clock::unix_now().cast_signed());
    state.set_readiness(admin::Readiness::Ready);
    let serving = serving_on(&addresses);
    started(&Started {
        listeners: addresses,
        admin: admin_address,
    });
    manager.ready(&serving);
    let pulse = pulse.keep(manager.watchdog(), || manager.alive());
    let mut pulse = std::pin::pin!(pulse);

    let mut shutdown = std::pin::pin!(shutdown);
    let mut housekeeping = interval(HOUSEKEEPING);
    housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reloading = true;
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            new = reloads.recv(), if reloading => match new {
                Some(new) => match reload(new, &config, &gateway, &entrances).await {
                    true => manager.ready(&serving),
                    false => manager.ready(&format!("{serving}; the last reload failed and changed nothing, see the log")),
                },
                None => reloading = false,
            },
            never = &mut pulse => match never {},
            _ = housekeeping.tick() => {
                gateway.guard.sweep(Instant::now());
                state.set_readiness(match upstreams::are_up(&gateway.snapshot.load(), config.readiness) {
                    true => admin::Readiness::Ready,
                    false => admin::Readiness::UpstreamDown,
                });
            }
        }
    }

    tracing::info!(delay = ?config.drain.delay, grace = ?config.drain.grace, "draining");
    state.set_readiness(admin::Readiness::Draining);
    gateway.stopping.begin();
    manager.stopping(config.drain.delay + config.drain.grace + LEAVING);
    tokio::select! {
        () = sleep(config.drain.delay) => {}
        never = &mut pulse => match never {},
    }
    word.stop.begin();
    word.drain.begin();
    let in_flight = || metrics.in_flight_requests.get();
    let drained = async {
        let settling = || gateway.guard.shared().map_or(0, Redis::settling);
        while open.accepting() > 0 || open.open() > 0 || in_flight() > 0 || settling() > 0 {
            sleep(DRAIN_POLL).await;
        }
    };
    let drained = tokio::select! {
        drained = timeout(config.drain.grace, drained) => drained,
        never = &mut pulse => match never {},
    };
    let abandoned = if drained.is_ok() { 0 } else { in_flight() };
    word.finish.begin();
    let _ = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await;
    flush_audit(&gateway.recorder).await;
    Ok(Report { abandoned })
}

/// The sockets of one address for each worker: those that were handed over, or our own.
fn open_sockets(address: &Address, passed: &[Bound], workers: usize) -> io::Result<(Vec<Vec<Bound>>, Address)> {
    if !passed.is_empty() {
        return socket::share(passed, workers);
    }
    let (bound, address) = socket::bind(address, workers)?;
    Ok((bound.into_iter().map(|socket| vec![socket]).collect(), address))
}

/// For `systemctl status`.
fn serving_on(listeners: &[(String, Address)]) -> String {
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

fn open_entrances(listeners: &[settings::Listener]) -> Result<Vec<Entrance>, Error> {
    let mut entrances = Vec::with_capacity(listeners.len());
    let mut faults = Vec::new();
    for settings in listeners {
        match Entrance::open(settings.clone()) {
            Ok(entrance) => entrances.push(entrance),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() {
        Ok(entrances)
    } else {
        Err(Error::Tls(faults))
    }
}

fn guard(config: &Config, metrics: &Metrics) -> Result<Guard, Error> {
    let memory = Memory::new(config.replay.capacity, Instant::now());
    let Some(settings) = &config.replay.shared else {
        return Ok(Guard::Memory(memory));
    };
    let tls = if settings.tls {
        Some(tls::store_connector(settings.ca.as_deref()).map_err(|fault| Error::Tls(vec![fault]))?)
    } else {
        None
    };
    let mut process = [0; 8];
    aws_lc_rs::rand::fill(&mut process).map_err(|_| Error::Thread(io::Error::other("no random numbers")))?;
    let settings = settings::Redis::clone(settings);
    Ok(Guard::Redis {
        shared: Redis::new(settings, tls, config.workers, metrics.replay_store.clone(), process),
        meanwhile: memory,
    })
}

/// How the shared replay store is, for `/readyz`; `None` where there is none.
fn store_state(gateway: &Arc<Gateway>) -> Option<admin::Store> {
    gateway.guard.shared()?;
    let gateway = gateway.clone();
    Some(Box::new(move || match gateway.guard.shared() {
        Some(shared) if shared.is_up() => admin::StoreState::Up,
        Some(shared) if shared.accepts_failure() => admin::StoreState::DownAccepting,
        Some(_) | None => admin::StoreState::Down,
    }))
}

/// What goes round at the end, in this order.
#[derive(Clone, Default)]
struct Word {
    /// Stop accepting.
    stop: Arc<Drain>,
    /// Finish connections.
    drain: Arc<Drain>,
    /// Leave.
    finish: Arc<Drain>,
}

fn recorder(
    metrics: &Arc<Metrics>,
    audit: settings::Audit,
    output: impl io::Write + Send + 'static,
) -> io::Result<Arc<Recorder>> {
    let scope = match audit {
        settings::Audit::All => Some(AuditScope::All),
        settings::Audit::Refused => Some(AuditScope::Refused),
        settings::Audit::Off => None,
    };
    let audit = match scope {
        Some(scope) => Some((AuditLog::start(output, metrics.audit_lines_dropped.clone())?, scope)),
        None => None,
    };
    let seed = clock::unix_now() ^ (u64::from(std::process::id()) << 16);
    Ok(Recorder::new(metrics.clone(), audit, seed))
}

/// Brings the gauges up to date that nobody counts along the way; called for every scrape.
fn sample(gateway: &Gateway) {
    let metrics = &gateway.recorder.metrics;
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    metrics.replay_keys.set(count(gateway.guard.keys()));
    let store_up = gateway.guard.shared().is_none_or(Redis::is_up);
    metrics.replay_store_up.set(i64::from(store_up));
    metrics.intake_bytes_in_flight.set(count(gateway.budget.used()));
    metrics.upstreams(&upstreams::sample(&gateway.snapshot.load()));
    metrics.limits.intake_bytes.set(count(gateway.budget.limit()));
}

async fn flush_audit(recorder: &Arc<Recorder>) {
    let recorder = recorder.clone();
    let flushed = tokio::task::spawn_blocking(move || {
        recorder
            .audit
            .as_ref()
            .is_none_or(|(log, _)| log.flush(Duration::from_secs(1)))
    });
    if !flushed.await.unwrap_or(false) {
        tracing::warn!("the last audit lines could not be written");
    }
}
