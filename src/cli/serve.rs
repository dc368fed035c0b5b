//! `hookgate serve`: loads the configuration and runs the gateway. SIGHUP reloads; SIGTERM and SIGINT drain.

use super::file_watch::FileWatch;
use super::route_lines::{RouteLine, RouteLines};
use super::terminal::Paint;
use super::{CommandResult, Failure, block_on};
use crate::config::{self, Loaded, Sources};
use crate::server::process;
use crate::server::systemd::{Handover, ServiceManager};
use crate::server::{self, DrainReport, Inputs, Started};
use crate::settings::{Config, Log, LogFormat};
use crate::telemetry::logging;
use crate::telemetry::metrics::RequestTotals;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Serves until SIGTERM or SIGINT. The exit code is 0 after a complete drain, 1 when serving failed or exchanges were
/// aborted at the end of the grace period, and 2 for an invalid configuration.
pub(super) fn run(sources: Sources) -> CommandResult {
    // This comes before the first secret is read. A failure is only a warning, which is logged as soon as logging
    // works.
    let memory_warning = process::hide_memory();
    let handover = Handover::from_environment(&sources.environment).map_err(Failure::Failed)?;
    let Loaded { mut config, files, .. } =
        config::inspect(&sources).map_err(|faults| Failure::Usage(faults.to_string()))?;
    adapt_format(&mut config.log);
    block_on(serve(config, handover, sources, files, memory_warning))?
}

async fn serve(
    config: Config,
    handover: Handover,
    sources: Sources,
    files: Vec<PathBuf>,
    memory_warning: Option<String>,
) -> CommandResult {
    let paint = Paint::new(io::stderr().is_terminal(), &sources.environment);
    let logging = logging::init(&config.log, paint.is_enabled()).map_err(|error| Failure::Usage(error.to_string()))?;
    let process_warnings = [process::allow_descriptors(config.limits.connections), memory_warning];
    for warning in config.warnings.iter().chain(process_warnings.iter().flatten()) {
        tracing::warn!("{warning}");
    }
    // SIGUSR1 and SIGUSR2 end a process that does not handle them, and log rotation often sends them. They are handled
    // and ignored.
    let (Ok(terminate), Ok(interrupt), Ok(hangup), Ok(_), Ok(_)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
        signal(SignalKind::user_defined1()),
        signal(SignalKind::user_defined2()),
    ) else {
        return Err(Failure::Failed("cannot install the signal handlers".into()));
    };
    let (reload, reloads) = mpsc::channel(1);
    let file_watch = FileWatch::new(files).await;
    let manager = handover.manager.clone();
    tokio::spawn(reload_on(hangup, file_watch, sources, logging, manager, reload));
    let routes = RouteLines::new(&config);
    match server::serve(
        Inputs {
            config,
            handover,
            audit: io::stdout(),
            reloads,
            shutdown: stop(terminate, interrupt),
        },
        |started| announce(started, &routes),
    )
    .await
    {
        Ok(report) => Ok(conclude(&report)),
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}

/// Logs how the process ended; the last line has the counts.
fn conclude(report: &DrainReport) -> ExitCode {
    let DrainReport {
        totals,
        duration,
        abandoned: aborted,
    } = *report;
    if aborted > 0 {
        tracing::error!(aborted, "the grace period ended before all exchanges were finished");
    }
    let RequestTotals {
        requests,
        forwarded,
        answered,
        refused,
        failed,
    } = totals;
    tracing::info!(
        requests, forwarded, answered, refused, failed, aborted, drain = ?duration, "stopped"
    );
    if aborted > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Chooses the format for people on a terminal, unless the file sets one. A person reads then; a log collector reads
/// from a pipe or a file.
fn adapt_format(log: &mut Log) {
    if log.is_format_default && io::stderr().is_terminal() && io::stdout().is_terminal() {
        log.format = LogFormat::Human;
    }
}

/// Logs each route with its URLs, then the addresses of all listeners.
fn announce(started: &Started, routes: &RouteLines) {
    for RouteLine { name, urls, upstream } in routes.lines(&started.listeners) {
        tracing::info!(route = %name, %urls, %upstream, "serving");
    }
    for (name, address) in &started.listeners {
        tracing::info!(%name, %address, "listening");
    }
    if let Some(address) = started.console {
        tracing::info!(name = "console", %address, "listening");
    }
    if let Some(address) = started.admin {
        tracing::info!(name = "admin", %address, "listening");
    }
}

/// Returns at the first signal. A second signal ends the process immediately with exit code 1.
async fn stop(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::error!("second signal: exiting immediately");
        std::process::exit(1);
    });
}

/// Loads the configuration again at every SIGHUP and whenever the content of one of its files has changed.
async fn reload_on(
    mut hangup: Signal,
    mut file_watch: FileWatch,
    sources: Sources,
    logging: logging::LogControl,
    manager: Arc<ServiceManager>,
    reload: mpsc::Sender<Result<Config, String>>,
) {
    loop {
        tokio::select! {
            signal = hangup.recv() => match signal {
                Some(()) => tracing::info!("SIGHUP: reloading"),
                None => return,
            },
            () = file_watch.changed() => tracing::info!("a configuration file has changed: reloading"),
        }
        file_watch.refresh().await;
        manager.reloading();
        let inspected = {
            let sources = sources.clone();
            // With many routes this takes longer than a probe may wait.
            tokio::task::spawn_blocking(move || config::inspect(&sources)).await
        };
        let Ok(inspected) = inspected else {
            tracing::error!("the configuration cannot be read now: the thread that reads it has failed");
            continue;
        };
        let new = match inspected {
            Ok(Loaded { mut config, files, .. }) => {
                adapt_format(&mut config.log);
                file_watch.set_files(files).await;
                if let Err(error) = logging.reload(&config.log) {
                    tracing::error!(%error, "the log filter is not changed");
                }
                Ok(config)
            }
            // A missing file may appear later: Kubernetes updates a ConfigMap and a Secret in any order.
            Err(faults) => {
                file_watch.set_files(faults.files.clone()).await;
                Err(faults.to_string())
            }
        };
        if reload.send(new).await.is_err() {
            return;
        }
    }
}
