//! `hookgate serve`: loads the configuration, runs the gateway, and turns signals into reload and drain.

use crate::config::{self, Config, Sources};
use crate::server::{self, Started};
use crate::telemetry::logging;
use crate::{process, settings};
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// A usage or configuration fault.
const USAGE: u8 = 2;

/// Serves until SIGTERM or SIGINT. Exit code 0 after a clean drain, 1 when it could not serve or cut something off, 2 for
/// a configuration that cannot be used.
pub fn run(sources: Sources) -> ExitCode {
    let config = match config::load(&sources) {
        Ok(config) => config,
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
    runtime.block_on(serve(config, sources))
}

async fn serve(config: Config, sources: Sources) -> ExitCode {
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
    tokio::spawn(reload_on(hangup, sources, logging, reload));
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

async fn reload_on(
    mut hangup: Signal,
    sources: Sources,
    logging: logging::LogControl,
    reload: mpsc::Sender<Result<Config, String>>,
) {
    while hangup.recv().await.is_some() {
        let new = config::load(&sources).map_err(|faults| faults.to_string());
        if let Ok(settings::Config { log, .. }) = &new
            && let Err(error) = logging.reload(log)
        {
            tracing::error!(%error, "the log filter stays as it was");
        }
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
