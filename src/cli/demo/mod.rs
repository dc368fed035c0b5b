//! `hookgate demo`: shows a person in ten seconds that it works.
//!
//! Nothing is acted: the gateway is the one that `serve` runs, configured from a file and reached over TLS; the sample
//! application is a server of its own that writes down what it saw; requests are sent by a client that shares no code
//! with either. A row is ok only if status, reason and what the application saw are all as they must be. Everything it
//! makes (certificate, secrets, configuration) lies in a directory that only its user can read and is gone at the end.

mod application;
mod judge;
mod scenes;
mod stage;
mod table;

use super::client::{Endpoint, Trust};
use super::terminal::{self, Paint};
use super::{Ended, Environment, Failure, block_on};
use crate::config;
use crate::server::systemd::Handover;
use crate::server::{self, Started};
use crate::settings::Address;
use crate::telemetry::logging;
use crate::time::clock;
use application::Application;
use scenes::{Row, Troupe};
use serde_json::json;
use stage::{PATH, Stage};
use std::future::Future;
use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArguments {
    /// Stop after the table; exit code 1 when a row is not as it must be
    #[arg(long)]
    exit: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit code 0 when every row was as it must be.
pub(super) fn run(arguments: &DemoArguments, environment: &Environment) -> Ended {
    block_on(demo(arguments, Paint::new(io::stdout().is_terminal(), environment)))?
}

async fn demo(arguments: &DemoArguments, paint: Paint) -> Ended {
    let began = Instant::now();
    let application = Application::start()
        .await
        .map_err(|error| Failure::Failed(format!("the sample application cannot listen: {error}")))?;
    let stage = Stage::set(application.address(), clock::unix_now()).map_err(Failure::Failed)?;
    let config = config::load(&stage.sources()).map_err(|faults| Failure::Failed(faults.to_string()))?;
    // The gateway's own errors should be seen; if they cannot be, the rows still tell.
    let _ = logging::init(&config.log, paint.is_enabled());
    let interrupted = interruption()?;

    let curtain = Curtain::default();
    let (announce, announced) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let (_no_reloads, reloads) = mpsc::channel(1);
    let gateway = server::serve(
        config,
        Handover::default(),
        curtain.clone(),
        reloads,
        |started| drop(announce.send(started.clone())),
        async { drop(stopped.await) },
    );
    let show = async {
        let shown = match announced.await {
            Ok(started) => {
                Show {
                    arguments,
                    paint,
                    stage: &stage,
                    application: &application,
                    began,
                }
                .run(&started, &curtain, interrupted)
                .await
            }
            Err(_) => Err(Failure::Failed("the gateway did not start".into())),
        };
        drop(stop);
        shown
    };
    let (served, shown) = tokio::join!(gateway, show);
    served.map_err(|error| Failure::Failed(error.to_string()))?;
    shown
}

/// Everything that the play needs.
struct Show<'a> {
    arguments: &'a DemoArguments,
    paint: Paint,
    stage: &'a Stage,
    application: &'a Application,
    began: Instant,
}

impl Show<'_> {
    async fn run(&self, started: &Started, curtain: &Curtain, interrupted: impl Future<Output = ()>) -> Ended {
        let place = Place::new(started)?;
        let trust = Trust::File(self.stage.certificate());
        let endpoint = |url: &str| -> Result<Endpoint, Failure> {
            let url = url
                .parse()
                .map_err(|error| Failure::Failed(format!("{url}: {error}")))?;
            Endpoint::new(&url, &trust).map_err(Failure::Failed)
        };
        let troupe = Troupe {
            signer: &self.stage.signer,
            webhooks: endpoint(&place.webhooks)?,
            admin: endpoint(&place.metrics)?,
            application: self.application,
        };
        let mut interrupted = std::pin::pin!(interrupted);
        let rows = tokio::select! {
            rows = troupe.play() => rows,
            () = &mut interrupted => return Ok(ExitCode::FAILURE),
        };
        let good = rows.iter().filter(|row| row.problems.is_empty()).count();
        if !self.arguments.exit {
            // The audit lines of the play itself are on their way; those that follow the invitation are the visitor's.
            sleep(SETTLED).await;
            curtain.open();
        }
        terminal::emit(&self.told(&rows, good, &place))?;
        if !self.arguments.exit {
            interrupted.await;
        }
        Ok(if good == rows.len() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn told(&self, rows: &[Row], good: usize, place: &Place) -> String {
        if self.arguments.json {
            let report = json!({
                "ok": good == rows.len(),
                "rows": table::json(rows),
                "seconds": self.began.elapsed().as_secs_f64(),
                "webhooks": place.webhooks,
                "metrics": place.metrics,
            });
            return format!("{report:#}\n");
        }
        let paint = self.paint;
        let took = self.began.elapsed().as_secs_f64();
        let summary = format!("{good} of {} as it must be, in {took:.1} s", rows.len());
        let summary = if good == rows.len() {
            paint.green(&summary)
        } else {
            paint.red(&summary)
        };
        let mut text = format!(
            "\n  {} over TLS, in front of a sample application that writes down what it sees\n\n{}\n  {summary}\n",
            paint.bold("hookgate"),
            table::human(rows, paint),
        );
        if !self.arguments.exit {
            text += &self.invitation(place);
        }
        text
    }

    fn invitation(&self, place: &Place) -> String {
        let Place {
            webhooks,
            metrics,
            ready,
        } = place;
        let (secret, certificate) = (self.stage.secret(), self.stage.certificate());
        let url = |url: &str| self.paint.cyan(url);
        format!(
            "\n  webhooks  {}\n  metrics   {}\n  ready     {}\n\n  {}\n\n{}\n  {}\n\n",
            url(webhooks),
            url(metrics),
            url(ready),
            self.paint.bold("Send one yourself:"),
            snippet(webhooks, &secret, &certificate),
            self.paint
                .dim("Serving until Ctrl-C. What you send shows up below as its audit line."),
        )
    }
}

/// Signs with openssl and posts with curl, so that it works, and stays fresh, without hookgate.
fn snippet(url: &str, secret: &Path, certificate: &Path) -> String {
    let (secret, certificate) = (secret.display(), certificate.display());
    format!(
        "body='{{\"event_id\":\"evt_by_hand\",\"event_type\":\"transaction.completed\"}}'; ts=$(date +%s)
h1=$(printf '%s:%s' \"$ts\" \"$body\" | openssl dgst -sha256 -hmac \"$(cat '{secret}')\" | sed 's/.*= *//')
curl --cacert '{certificate}' -H \"Paddle-Signature: ts=$ts;h1=$h1\" -H 'Content-Type: application/json' \\
  --data-binary \"$body\" {url}
"
    )
}

/// Where the gateway is.
struct Place {
    webhooks: String,
    metrics: String,
    ready: String,
}

impl Place {
    fn new(started: &Started) -> Result<Self, Failure> {
        let tcp = |address: &Address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(..) => None,
        };
        let webhooks = started.listeners.iter().find_map(|(_, address)| tcp(address));
        match (webhooks, started.admin) {
            (Some(webhooks), Some(admin)) => Ok(Self::at(webhooks, admin)),
            (_, _) => Err(Failure::Failed("the gateway did not say where it listens".into())),
        }
    }

    fn at(webhooks: SocketAddr, admin: SocketAddr) -> Self {
        Self {
            webhooks: format!("https://localhost:{}{PATH}", webhooks.port()),
            metrics: format!("http://{admin}/metrics"),
            ready: format!("http://{admin}/readyz"),
        }
    }
}

/// Where audit lines go: nowhere during the play, to standard output afterwards.
#[derive(Clone, Default)]
struct Curtain(Arc<AtomicBool>);

impl Curtain {
    fn open(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Write for Curtain {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.0.load(Ordering::Acquire) {
            io::stdout().write(lines)
        } else {
            Ok(lines.len())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Ready at Ctrl-C or SIGTERM; registered at once, so that none is lost.
fn interruption() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

const SETTLED: Duration = Duration::from_millis(100);
