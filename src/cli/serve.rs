//! `hookgate serve`: loads the configuration, runs the gateway, and turns signals into reload and drain.

use super::watch::Watch;
use crate::config::{self, Config, Loaded, Sources};
use crate::process;
use crate::server::{self, Started};
use crate::telemetry::logging;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// A usage or configuration fault.
const USAGE: u8 = 2;

/// Serves until SIGTERM or SIGINT. Exit code 0 after a clean drain, 1 when it could not serve or cut something off, 2 for
/// a configuration that cannot be used.
pub fn run(sources: Sources) -> ExitCode {
    let Loaded { config, files, .. } = match config::inspect(&sources) {
        Ok(loaded) => loaded,
        Err(faults) => {
            complain(&faults.to_string());
            return ExitCode::from(USAGE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(serve(config, sources, Watch::new(files)))
}

async fn serve(config: Config, sources: Sources, watch: Watch) -> ExitCode {
    let logging = match logging::init(&config.log, io::stderr().is_terminal()) {
        Ok(logging) => logging,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(USAGE);
        }
    };
    let refused = [
        process::allow_descriptors(config.limits.connections),
        process::hide_memory(),
    ];
    for warning in config.warnings.iter().chain(refused.iter().flatten()) {
        tracing::warn!("{warning}");
    }
    let (Ok(terminate), Ok(interrupt), Ok(hangup)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    ) else {
        complain("cannot listen for signals");
        return ExitCode::FAILURE;
    };
    let (reload, reloads) = mpsc::channel(1);
    tokio::spawn(reload_on(hangup, watch, sources, logging, reload));
    match server::serve(config, io::stdout(), reloads, announce, stop(terminate, interrupt)).await {
        Ok(report) if report.abandoned == 0 => ExitCode::SUCCESS,
        Ok(report) => {
            tracing::error!(abandoned = report.abandoned, "the grace period is over");
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
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
        let new = match config::inspect(&sources) {
            Ok(Loaded { config, files, .. }) => {
                watch = Watch::new(files);
                if let Err(error) = logging.reload(&config.log) {
                    tracing::error!(%error, "the log filter stays as it was");
                }
                Ok(config)
            }
            Err(faults) => Err(faults.to_string()),
        };
        if reload.send(new).await.is_err() {
            return;
        }
    }
}

/// For what happens before there is a log.
fn complain(message: &str) {
    #[expect(clippy::print_stderr, reason = "there is no log yet")]
    {
        eprintln!("hookgate: {message}");
    }
}
