//! `hookgate serve`: loads the configuration, runs the gateway, and turns signals into reload and drain.

use super::terminal::Paint;
use super::watch::Watch;
use super::{Ended, Failure, block_on};
use crate::config::{self, Config, Loaded, Sources};
use crate::server::process;
use crate::server::systemd::{Handover, Manager};
use crate::server::{self, Started};
use crate::telemetry::logging;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Serves until SIGTERM or SIGINT. Exit code 0 after a clean drain, 1 when it could not serve or cut something off, 2 for
/// a configuration that cannot be used.
pub(super) fn run(sources: Sources) -> Ended {
    // Before a secret is read.
    let exposed = process::hide_memory();
    let handover = Handover::accept(&sources.environment).map_err(Failure::Failed)?;
    let Loaded { config, files, .. } =
        config::inspect(&sources).map_err(|faults| Failure::Usage(faults.to_string()))?;
    block_on(serve(config, handover, sources, Watch::new(files), exposed))?
}

async fn serve(config: Config, handover: Handover, sources: Sources, watch: Watch, exposed: Option<String>) -> Ended {
    let paint = Paint::new(io::stderr().is_terminal(), &sources.environment);
    let logging = logging::init(&config.log, paint.is_enabled()).map_err(|error| Failure::Usage(error.to_string()))?;
    let refused = [process::allow_descriptors(config.limits.connections), exposed];
    for warning in config.warnings.iter().chain(refused.iter().flatten()) {
        tracing::warn!("{warning}");
    }
    // The last two would end the process, and other programs reopen their logs at them: heard, and never acted upon.
    let (Ok(terminate), Ok(interrupt), Ok(hangup), Ok(_), Ok(_)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
        signal(SignalKind::user_defined1()),
        signal(SignalKind::user_defined2()),
    ) else {
        return Err(Failure::Failed("cannot listen for signals".into()));
    };
    let (reload, reloads) = mpsc::channel(1);
    let manager = handover.manager.clone();
    tokio::spawn(reload_on(hangup, watch, sources, logging, manager, reload));
    match server::serve(
        config,
        handover,
        io::stdout(),
        reloads,
        announce,
        stop(terminate, interrupt),
    )
    .await
    {
        Ok(report) if report.abandoned == 0 => Ok(ExitCode::SUCCESS),
        Ok(report) => {
            tracing::error!(abandoned = report.abandoned, "the grace period is over");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}

fn announce(started: &Started) {
    for (name, address) in &started.listeners {
        tracing::info!(%name, %address, "listening");
    }
    if let Some(address) = started.admin {
        tracing::info!(name = "admin", %address, "listening");
    }
}

/// Ready at the first signal; the second one ends the process at once.
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
        tracing::error!("second signal: leaving at once");
        std::process::exit(1);
    });
}

/// Loads the configuration again at every SIGHUP and whenever one of its files has changed.
async fn reload_on(
    mut hangup: Signal,
    mut watch: Watch,
    sources: Sources,
    logging: logging::LogControl,
    manager: Arc<Manager>,
    reload: mpsc::Sender<Result<Config, String>>,
) {
    loop {
        tokio::select! {
            signal = hangup.recv() => match signal {
                Some(()) => tracing::info!("SIGHUP: reloading"),
                None => return,
            },
            () = watch.changed() => tracing::info!("a file of the configuration has changed: reloading"),
        }
        watch.catch_up();
        manager.reloading();
        let new = match config::inspect(&sources) {
            Ok(Loaded { config, files, .. }) => {
                watch.follow(files);
                if let Err(error) = logging.reload(&config.log) {
                    tracing::error!(%error, "the log filter stays as it was");
                }
                Ok(config)
            }
            // What it names and lacks may come later: Kubernetes brings a ConfigMap and a Secret in any order.
            Err(faults) => {
                watch.follow(faults.files.clone());
                Err(faults.to_string())
            }
        };
        if reload.send(new).await.is_err() {
            return;
        }
    }
}
