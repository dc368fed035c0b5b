//! `hookgate demo`: demonstrates within ten seconds that hookgate works.
//!
//! Nothing is simulated. The gateway is the one that `serve` runs, configured from a file and reached over TLS. The
//! sample application is an HTTP server of its own that records what it receives. The requests are sent by a client
//! that shares no code with either. A row of the table is ok only if the status, the reason and what the application
//! received are all as expected. The certificate, the secrets and the configuration are created in a directory that
//! only the current user can read, and the directory is removed at the end.
//!
//! Read `fixture` (files and secrets), `application` (the sample application), `scenarios` (what is sent) and
//! `expectation` (how the result is checked), in this order.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`table`] | the result, for a terminal or as JSON |
//! | [`outage`] | an application that is stopped and returns |
//! | [`scenarios`] | the requests that are sent, and the runner that sends them |
//! | [`expectation`] | the expected result of one request, and the check of what happened |
//! | [`application`] | the sample application |
//! | [`fixture`] | certificate, secrets and configuration on disk |

mod application;
mod expectation;
mod fixture;
mod outage;
mod scenarios;
mod table;

use super::client_tls::Trust;
use super::destination::Destination;
use crate::cli::terminal::{self, Paint};
use crate::cli::{CommandResult, Environment, Failure, block_on};
use crate::config;
use crate::server::systemd::Handover;
use crate::server::{self, Inputs, Started};
use crate::settings::Address;
use crate::telemetry::logging;
use crate::time::clock;
use application::Application;
use fixture::{Fixture, PATH};
use scenarios::{Row, Runner};
use serde_json::json;
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
pub(in crate::cli) struct DemoArguments {
    /// Stop after the table; exit code 1 when a row is not as expected
    #[arg(long)]
    exit: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the demonstration. The exit code is 0 when every row is as expected.
pub(in crate::cli) fn run(arguments: &DemoArguments, environment: &Environment) -> CommandResult {
    block_on(demo(arguments, Paint::new(io::stdout().is_terminal(), environment)))?
}

async fn demo(arguments: &DemoArguments, paint: Paint) -> CommandResult {
    let started_at = Instant::now();
    let application = Application::start()
        .await
        .map_err(|error| Failure::Failed(format!("the sample application cannot listen: {error}")))?;
    let fixture = Fixture::create(application.address(), clock::unix_now()).map_err(Failure::Failed)?;
    let config = config::load(&fixture.sources()).map_err(|faults| Failure::Failed(faults.to_string()))?;
    // The log shows the gateway's own errors. Without it the table still shows whether the rows are as expected.
    let _ = logging::init(&config.log, paint.is_enabled());
    let interrupted = interruption()?;

    let audit_output = AuditOutput::default();
    let (announce, announced) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let (_no_reloads, reloads) = mpsc::channel(1);
    let gateway = server::serve(
        Inputs {
            config,
            handover: Handover::default(),
            audit: audit_output.clone(),
            reloads,
            shutdown: async { drop(stopped.await) },
        },
        |started| drop(announce.send(started.clone())),
    );
    let demonstration = async {
        let result = match announced.await {
            Ok(started) => {
                Demonstration {
                    arguments,
                    paint,
                    fixture: &fixture,
                    application: &application,
                    started_at,
                }
                .run(&started, &audit_output, interrupted)
                .await
            }
            Err(_) => Err(Failure::Failed("the gateway did not start".into())),
        };
        drop(stop);
        result
    };
    let (served, result) = tokio::join!(gateway, demonstration);
    served.map_err(|error| Failure::Failed(error.to_string()))?;
    result
}

/// What the demonstration uses while the gateway runs.
struct Demonstration<'a> {
    arguments: &'a DemoArguments,
    paint: Paint,
    fixture: &'a Fixture,
    application: &'a Application,
    /// When the command began, for the duration in the summary.
    started_at: Instant,
}

impl Demonstration<'_> {
    async fn run(
        &self,
        started: &Started,
        audit_output: &AuditOutput,
        interrupted: impl Future<Output = ()>,
    ) -> CommandResult {
        let urls = Urls::new(started)?;
        let trust = Trust::File(self.fixture.certificate());
        let destination = |url: &str| -> Result<Destination, Failure> {
            let url = url
                .parse()
                .map_err(|error| Failure::Failed(format!("{url}: {error}")))?;
            Destination::new(&url, &trust).map_err(Failure::Failed)
        };
        let runner = Runner {
            signer: &self.fixture.signer,
            webhooks: destination(&urls.webhooks)?,
            admin: destination(&urls.metrics)?,
            application: self.application,
        };
        let mut interrupted = std::pin::pin!(interrupted);
        let rows = tokio::select! {
            rows = async {
                let mut rows = runner.run_all().await;
                rows.extend(outage::rows(&runner, self.fixture.stopped_application()).await);
                rows
            } => rows,
            () = &mut interrupted => return Ok(ExitCode::FAILURE),
        };
        let ok_count = rows.iter().filter(|row| row.problems.is_empty()).count();
        if !self.arguments.exit {
            // The audit lines of the scenarios are discarded, so they must be written before the output is enabled.
            // Only requests that the user sends afterwards are printed.
            sleep(AUDIT_DELAY).await;
            audit_output.enable();
        }
        terminal::emit(&self.render(&rows, ok_count, &urls))?;
        if !self.arguments.exit {
            interrupted.await;
        }
        Ok(if ok_count == rows.len() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// The whole output as text or JSON.
    fn render(&self, rows: &[Row], ok_count: usize, urls: &Urls) -> String {
        if self.arguments.json {
            let report = json!({
                "ok": ok_count == rows.len(),
                "rows": table::json(rows),
                "seconds": self.started_at.elapsed().as_secs_f64(),
                "webhooks": urls.webhooks,
                "metrics": urls.metrics,
                "console": urls.console,
            });
            return format!("{report:#}\n");
        }
        let paint = self.paint;
        let seconds = self.started_at.elapsed().as_secs_f64();
        let summary = format!("{ok_count} of {} as expected, in {seconds:.1} s", rows.len());
        let summary = if ok_count == rows.len() {
            paint.green(&summary)
        } else {
            paint.red(&summary)
        };
        let mut text = format!(
            "\n  {} over TLS, in front of a sample application that records what it receives\n\n{}\n  {summary}\n",
            paint.bold("hookgate"),
            table::human(rows, paint),
        );
        if !self.arguments.exit {
            text += &self.instructions(urls);
        }
        text
    }

    /// The URLs, and commands that the user can paste into a shell.
    fn instructions(&self, urls: &Urls) -> String {
        let Urls {
            webhooks,
            metrics,
            ready,
            console,
        } = urls;
        let token = std::fs::read_to_string(self.fixture.console_token()).unwrap_or_default();
        let (secret, certificate) = (self.fixture.secret(), self.fixture.certificate());
        let url = |url: &str| self.paint.cyan(url);
        format!(
            "\n  console   {}   token {token}\n  webhooks  {}\n  metrics   {}\n  ready     {}\n\n  {}\n\n{}\n  {}\n\n",
            url(console),
            url(webhooks),
            url(metrics),
            url(ready),
            self.paint.bold("Send a webhook yourself:"),
            shell_commands(webhooks, &secret, &certificate),
            self.paint
                .dim("Serving until Ctrl-C. The audit line of each request that you send appears below."),
        )
    }
}

/// Commands that sign with openssl and send with curl. They do not use hookgate, and they take the current time, so
/// that they also work minutes later.
fn shell_commands(url: &str, secret: &Path, certificate: &Path) -> String {
    let (secret, certificate) = (secret.display(), certificate.display());
    format!(
        "body='{{\"event_id\":\"evt_by_hand\",\"event_type\":\"transaction.completed\"}}'; ts=$(date +%s)
h1=$(printf '%s:%s' \"$ts\" \"$body\" | openssl dgst -sha256 -hmac \"$(cat '{secret}')\" | sed 's/.*= *//')
curl --cacert '{certificate}' -H \"Paddle-Signature: ts=$ts;h1=$h1\" -H 'Content-Type: application/json' \\
  --data-binary \"$body\" {url}
"
    )
}

/// URLs of the running gateway.
struct Urls {
    /// The route for webhooks, on the TLS listener.
    webhooks: String,
    /// `/metrics` on the admin listener.
    metrics: String,
    /// `/readyz` on the admin listener.
    ready: String,
    /// The console, in which the requests of the table stand.
    console: String,
}

impl Urls {
    fn new(started: &Started) -> Result<Self, Failure> {
        let tcp = |address: &Address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(..) => None,
        };
        let webhooks = started.listeners.iter().find_map(|(_, address)| tcp(address));
        match (webhooks, started.admin, started.console) {
            (Some(webhooks), Some(admin), Some(console)) => Ok(Self::from_addresses(webhooks, admin, console)),
            (_, _, _) => Err(Failure::Failed(
                "the gateway did not report the addresses of its listeners".into(),
            )),
        }
    }

    fn from_addresses(webhooks: SocketAddr, admin: SocketAddr, console: SocketAddr) -> Self {
        Self {
            webhooks: format!("https://localhost:{}{PATH}", webhooks.port()),
            metrics: format!("http://{admin}/metrics"),
            ready: format!("http://{admin}/readyz"),
            console: format!("http://{console}/"),
        }
    }
}

/// The writer for audit lines: discards them while the scenarios run, and prints them to standard output afterwards.
#[derive(Clone, Default)]
struct AuditOutput(Arc<AtomicBool>);

impl AuditOutput {
    /// Prints audit lines from now on.
    fn enable(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Write for AuditOutput {
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

/// A future that is ready at Ctrl-C or SIGTERM. The handlers are installed before this function returns, so that no
/// signal is lost.
fn interruption() -> Result<impl Future<Output = ()>, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::Failed(format!("cannot install a signal handler: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// How long audit lines of the scenarios may take to be written.
const AUDIT_DELAY: Duration = Duration::from_millis(100);
