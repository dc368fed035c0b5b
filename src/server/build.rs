//! Builds the running process: certificates, snapshot, gateway, sockets, workers and admin listener.

use super::admin::{self, AdminState};
use super::api_socket;
use super::console_listener;
use super::heartbeat::Heartbeat;
use super::listener_setup::{self, ListenerSetup};
use super::running::{self, Running};
use super::signals::ShutdownSignals;
use super::systemd::{Handover, PassedSocket, activation};
use super::tenants::TenantWatch;
use super::{StartError, Started, upstreams, worker};
use crate::console::access::Access;
use crate::console::{Console, Operators};
use crate::gateway::Gateway;
use crate::gateway::captures::Captures;
use crate::gateway::exchange::{AuditScope, Recorder};
use crate::gateway::long_work::LongWork;
use crate::gateway::rate::SourceRates;
use crate::gateway::snapshot::Snapshot;
use crate::http::budget::Budget;
use crate::inbox::Inbox;
use crate::listener::socket::{self, BoundSocket};
use crate::listener::{Connections, Listener};
use crate::remote::acme::Certificates;
use crate::remote::keyring::KeyRing;
use crate::replay::{Guard, MemoryStore, RedisStore};
use crate::settings::{self, Address, Config, LogFormat};
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::recent::{RecentLines, Tee};
use crate::time::clock;
use crate::tls;
use arc_swap::ArcSwap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Builds everything and starts the workers. The process serves when this returns.
///
/// # Errors
/// See [`StartError`].
pub(super) async fn build(
    mut config: Config,
    handover: Handover,
    audit: impl io::Write + Send + 'static,
) -> Result<Running, StartError> {
    let metrics = Metrics::new();
    let issued = Certificates::new(config.keys.clone());
    let listeners = load_listeners(&config.listeners, &issued)?;
    let has_operators = config.api.is_some() || config.console.is_some();
    let recent = has_operators.then(RecentLines::default);
    let gateway = build_gateway(&mut config, &listeners, &metrics, audit, recent.clone()).await?;
    set_limit_gauges(&config, &gateway);
    let connections = Connections::new(config.limits.connections);
    let signals = ShutdownSignals::default();

    let (bound, addresses) = bind_listeners(&config, handover.sockets)?;
    let mut worker_sockets: Vec<Vec<_>> = (0..config.workers).map(|_| Vec::new()).collect();
    for (setup, per_worker) in listeners.iter().zip(bound) {
        for (worker, (sockets, of_worker)) in per_worker.into_iter().zip(&mut worker_sockets).enumerate() {
            let listener = || setup.listener(&gateway, worker, &config.limits, &connections, &signals, &issued);
            of_worker.extend(sockets.into_iter().map(|socket| (socket, listener())));
        }
    }
    let admin_listener = bind_admin(config.admin.address).await?;
    let console_listener = match &config.console {
        Some(settings) => Some(console_listener::bind(settings).await?),
        None => None,
    };
    let api_listener = config.api.as_ref().map(api_socket::bind).transpose()?;
    let (workers, heartbeat) = start_workers(worker_sockets, &gateway, &signals).map_err(StartError::Thread)?;

    // Now the listeners answer challenges.
    issued.run_only(config.listeners.iter().flat_map(settings::Listener::acme));
    let admin = admin_state(&gateway, &issued, config.admin.hosts.clone());
    let admin_address = admin_listener.as_ref().and_then(|listener| listener.local_addr().ok());
    if let Some(listener) = admin_listener {
        let (state, end) = (admin.clone(), signals.end.clone());
        tokio::spawn(async move { admin::serve(listener, state, end.wait()).await });
    }
    let operators = recent.map(|recent| Operators::new(gateway.clone(), recent, clock::unix_now()));
    if let (Some(listener), Some(operators)) = (api_listener, &operators) {
        tokio::spawn(api_socket::serve(listener, operators.clone(), signals.end.clone()));
    }
    let console_address = console_listener
        .as_ref()
        .and_then(|(listener, _)| listener.local_addr().ok());
    if let (Some((listener, tls)), Some(operators)) = (console_listener, operators) {
        let console = console(&config, operators)?;
        tokio::spawn(console_listener::serve(listener, tls, console, signals.end.clone()));
    }
    metrics.config_reloads.last_successful.set(1);
    metrics
        .config_reloads
        .last_success_unix
        .set(clock::unix_now().cast_signed());
    let waits = gateway.inbox.is_some() && gateway.snapshot.load().has_queue();
    admin.set_readiness(if waits {
        admin::Readiness::InboxDown
    } else {
        admin::Readiness::Ready
    });
    let manager = handover.manager;
    let ping = {
        let manager = manager.clone();
        move || manager.ping_watchdog()
    };
    Ok(Running {
        tenants: TenantWatch::default(),
        heartbeat: Box::pin(heartbeat.run(manager.watchdog(), ping)),
        started: Started {
            listeners: addresses,
            admin: admin_address,
            console: console_address,
        },
        config,
        gateway,
        listeners,
        issued,
        connections,
        signals,
        workers,
        admin,
        manager,
    })
}

/// The web console for a configuration that has one.
fn console(config: &Config, operators: Arc<Operators>) -> Result<Console, StartError> {
    let no_random = || StartError::Thread(io::Error::other("the system provides no random numbers"));
    let access = config.console.clone().and_then(Access::new).ok_or_else(no_random)?;
    let replica = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // The routes were taken out; they are in the snapshot.
    let process = toml::to_string_pretty(config).unwrap_or_default();
    Ok(Console {
        operators,
        access: Arc::new(access),
        history: Arc::default(),
        replica: replica.into(),
        process: process.into(),
    })
}

/// Reads the certificates of all listeners.
fn load_listeners(listeners: &[settings::Listener], issued: &Certificates) -> Result<Vec<ListenerSetup>, StartError> {
    let mut setups = Vec::with_capacity(listeners.len());
    let mut faults = Vec::new();
    for settings in listeners {
        match ListenerSetup::load(settings.clone(), issued) {
            Ok(setup) => setups.push(setup),
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() {
        Ok(setups)
    } else {
        Err(StartError::Tls(faults))
    }
}

/// Compiles the first snapshot, starts its upstreams and creates the gateway. Takes the routes out of `config`.
async fn build_gateway(
    config: &mut Config,
    listeners: &[ListenerSetup],
    metrics: &Arc<Metrics>,
    audit: impl io::Write + Send + 'static,
    recent: Option<RecentLines>,
) -> Result<Arc<Gateway>, StartError> {
    let routes = std::mem::take(&mut config.routes);
    let budget = Budget::new(config.limits.in_flight_bytes);
    let inbox = match &config.inbox {
        Some(settings) => {
            let inbox = Inbox::start(settings.clone(), metrics.inbox(), budget.clone(), config.workers);
            Some(inbox.map_err(StartError::Thread)?)
        }
        None => None,
    };
    let mut connectors = tls::Connectors::default();
    let keys = KeyRing::new(config.keys.clone(), Handle::current());
    let snapshot = Snapshot::compile(
        routes,
        None,
        config.workers,
        inbox.as_ref(),
        Some(&keys),
        metrics,
        |upstream| connectors.connector(upstream).map_err(|fault| fault.to_string()),
    )
    .map_err(StartError::Tls)?;
    upstreams::start_new(&snapshot, None).await;
    listener_setup::update_metrics(metrics, listeners, &snapshot);
    let guard = replay_guard(config, metrics)?;
    guard.share(&snapshot.replay_spaces());
    snapshot.set_targets(inbox.as_ref());
    let captures_are_read = recent.is_some() || config.capture.directory.is_some();
    let captures = captures_are_read.then(|| Captures::start(config.capture.clone()));
    let captures = captures.transpose().map_err(StartError::Captures)?;
    snapshot.set_captures(captures.as_ref());
    Ok(Arc::new(Gateway {
        captures,
        inbox,
        keys: Some(keys),
        snapshot: ArcSwap::from_pointee(snapshot),
        budget,
        min_body_rate: config.limits.min_body_rate,
        source_rates: config.limits.per_source.map(SourceRates::new),
        guard,
        long_work: LongWork::new(config.workers),
        recorder: recorder(metrics, config, audit, recent).map_err(StartError::Thread)?,
        stopping: Arc::default(),
    }))
}

fn set_limit_gauges(config: &Config, gateway: &Gateway) {
    let bounds = &gateway.recorder.metrics.bounds;
    bounds.connections.set(running::gauge(config.limits.connections));
    if gateway.guard.shared().is_none() {
        bounds.replay_keys.set(running::gauge(config.replay.capacity));
    }
}

/// For each listener, the sockets of each worker.
type ListenerSockets = Vec<Vec<Vec<BoundSocket>>>;

/// Binds every listener, or takes the sockets in `passed` for it. Also returns name and address of each listener.
fn bind_listeners(
    config: &Config,
    passed: Vec<PassedSocket>,
) -> Result<(ListenerSockets, Vec<(String, Address)>), StartError> {
    let passed = activation::assign(passed, &config.listeners).map_err(StartError::Handover)?;
    let mut sockets = Vec::with_capacity(config.listeners.len());
    let mut addresses = Vec::with_capacity(config.listeners.len());
    for (index, (settings, passed)) in config.listeners.iter().zip(passed).enumerate() {
        let (bound, address) =
            bind_or_share(&settings.address, &passed, config.workers).map_err(|error| StartError::Bind {
                key: match &settings.address {
                    Address::Tcp(_) => format!("listen[{index}].address"),
                    Address::Unix(..) => format!("listen[{index}].unix"),
                },
                address: settings.address.to_string(),
                error,
            })?;
        sockets.push(bound);
        addresses.push((settings.name.clone(), address));
    }
    Ok((sockets, addresses))
}

/// The sockets of one address for each worker: duplicates of the passed ones, or newly bound ones if there are none.
fn bind_or_share(
    address: &Address,
    passed: &[BoundSocket],
    workers: usize,
) -> io::Result<(Vec<Vec<BoundSocket>>, Address)> {
    if !passed.is_empty() {
        return socket::share(passed, workers);
    }
    let (bound, address) = socket::bind(address, workers)?;
    Ok((bound.into_iter().map(|socket| vec![socket]).collect(), address))
}

async fn bind_admin(address: Option<SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|error| StartError::Bind {
        key: String::from("admin.address"),
        address: address.to_string(),
        error,
    })
}

/// Starts one worker for each element of `worker_sockets`.
fn start_workers(
    worker_sockets: Vec<Vec<(BoundSocket, Listener)>>,
    gateway: &Arc<Gateway>,
    signals: &ShutdownSignals,
) -> io::Result<(Vec<JoinHandle<()>>, Heartbeat)> {
    let mut workers = Vec::with_capacity(worker_sockets.len());
    let mut heartbeat = Heartbeat::default();
    for (index, sockets) in worker_sockets.into_iter().enumerate() {
        let requests = heartbeat.add_worker();
        workers.push(worker::spawn(index, sockets, requests, gateway, signals)?);
    }
    Ok((workers, heartbeat))
}

fn replay_guard(config: &Config, metrics: &Metrics) -> Result<Guard, StartError> {
    let memory = MemoryStore::new(config.replay.capacity, Instant::now());
    let Some(settings) = &config.replay.shared else {
        return Ok(Guard::Memory(memory));
    };
    let tls = tls::redis_connector(&settings.servers);
    let tls = tls.map_err(|fault| StartError::Tls(vec![fault.to_string()]))?;
    let mut process_id = [0; 8];
    aws_lc_rs::rand::fill(&mut process_id)
        .map_err(|_| StartError::Thread(io::Error::other("the system provides no random numbers")))?;
    let settings = settings::Redis::clone(settings);
    Ok(Guard::Redis {
        shared: RedisStore::new(settings, tls, config.workers, metrics.replay_store.clone(), process_id),
        fallback: memory,
    })
}

/// The recorder, with the audit log of `output` and, if there is one, that of the latest lines in memory.
fn recorder(
    metrics: &Arc<Metrics>,
    config: &Config,
    output: impl io::Write + Send + 'static,
    recent: Option<RecentLines>,
) -> io::Result<Arc<Recorder>> {
    let scope = match config.log.audit {
        settings::Audit::All => Some(AuditScope::All),
        settings::Audit::Refused => Some(AuditScope::Refused),
        // What operators do is recorded in any case.
        settings::Audit::Off => recent.as_ref().map(|_| AuditScope::Actions),
    };
    let (format, workers) = (config.log.format, config.workers);
    let counters = || {
        (
            metrics.audit_lines_dropped.clone(),
            metrics.audit_lines_left_out.clone(),
        )
    };
    let mut audit = Vec::new();
    match (scope, recent) {
        // One log for both, so that a request writes one line.
        (Some(AuditScope::All), Some(recent)) if format == LogFormat::Json => {
            let (dropped, left_out) = counters();
            let log = AuditLog::start(Tee { recent, output }, format, workers, dropped, left_out)?;
            audit.push((log, AuditScope::All));
        }
        (scope, recent) => {
            if let Some(scope) = scope {
                let (dropped, left_out) = counters();
                audit.push((AuditLog::start(output, format, workers, dropped, left_out)?, scope));
            }
            if let Some(recent) = recent {
                audit.push((AuditLog::in_memory(recent, workers)?, AuditScope::All));
            }
        }
    }
    let seed = clock::unix_now() ^ (u64::from(std::process::id()) << 16);
    Ok(Recorder::new(metrics.clone(), audit, seed))
}

fn admin_state(gateway: &Arc<Gateway>, issued: &Arc<Certificates>, hosts: Vec<String>) -> Arc<AdminState> {
    let (sampled, issued) = (gateway.clone(), issued.clone());
    let sample = Box::new(move || running::sample(&sampled, &issued));
    let state = AdminState::new(gateway.recorder.metrics.clone(), sample).with_stopping(gateway.stopping.clone());
    Arc::new(state.with_store(store_probe(gateway)).with_hosts(hosts))
}

/// The state of the shared replay store for `/readyz`; `None` without a shared store.
fn store_probe(gateway: &Arc<Gateway>) -> Option<admin::StoreProbe> {
    gateway.guard.shared()?;
    let gateway = gateway.clone();
    Some(Box::new(move || match gateway.guard.shared() {
        Some(shared) if shared.is_up() => admin::StoreState::Up,
        Some(shared) if shared.accepts_failure() => admin::StoreState::DownAccepting,
        Some(_) | None => admin::StoreState::Down,
    }))
}
