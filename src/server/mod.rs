//! The gateway as a process: it is built, serves until shutdown, and drains.
//!
//! Every worker is a thread with a single-threaded runtime, its own listening sockets and its own upstream connections.
//! Workers share only counters, the budget for bodies and the replay guard. The task that calls [`serve`] is the
//! control plane: admin listener, reloads and shutdown. It is separate, so a busy gateway still answers its probes.
//!
//! Read [`serve`] first, then `build` and `running`. Each module imports only from those below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`build`] | binds the sockets and starts the workers and the admin listener |
//! | [`running`] | the running process: housekeeping, reloads, drain |
//! | [`reload`] | applies a new configuration |
//! | [`worker`] | a worker thread |
//! | [`listener_setup`] | the settings and certificates of one listener |
//! | [`upstreams`] | starts, stops and samples the upstreams of a snapshot |
//! | [`heartbeat`] | asks the workers whether they respond, for the watchdog |
//! | [`signals`] | the shutdown signals in the order in which they are triggered |
//! | [`console_listener`] | the listener of the web console |
//! | [`api_socket`] | the Unix socket of the API |
//! | [`admin`] | `/metrics`, `/livez`, `/readyz` |
//! | [`operators_listener`] | the accept loop and the limits of the three listeners for operators |
//! | [`admin_access`] | which requests to the admin listener a foreign page may have caused |
//! | [`admin_body`] | the body of an answer of the admin listener |
//! | [`process`] | limits and protection of the process |
//! | [`tenants`] | reads the directories of tenants while the process runs |
//! | [`systemd`] | socket activation, notifications and watchdog of systemd |

pub mod admin;
mod admin_access;
mod admin_body;
mod api_socket;
mod build;
mod console_listener;
mod heartbeat;
mod listener_setup;
mod operators_listener;
pub mod process;
mod reload;
mod running;
mod signals;
pub mod systemd;
mod tenants;
mod upstreams;
mod worker;

use crate::settings::{Address, Config};
use crate::telemetry::metrics::RequestTotals;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use systemd::Handover;
use tokio::sync::mpsc;

/// How often expired replay keys and idle connections are removed.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Everything that [`serve`] is given.
pub struct Inputs<A, S> {
    /// The configuration of the start.
    pub config: Config,
    /// What the service manager handed over.
    pub handover: Handover,
    /// Where audit lines are written.
    pub audit: A,
    /// New configurations, or the faults because of which there is none.
    pub reloads: mpsc::Receiver<Result<Config, String>>,
    /// Becomes ready when the process is to drain and end.
    pub shutdown: S,
}

/// The addresses on which the process listens; ports are resolved.
#[derive(Clone, Debug)]
pub struct Started {
    /// Name and address of each listener.
    pub listeners: Vec<(String, Address)>,
    /// The admin listener, if there is one.
    pub admin: Option<SocketAddr>,
    /// The web console, if there is one.
    pub console: Option<SocketAddr>,
}

/// How the process ended.
#[derive(Clone, Copy, Debug)]
pub struct DrainReport {
    /// What became of the requests since the start.
    pub totals: RequestTotals,
    /// How long the drain took, with the delay before it.
    pub duration: Duration,
    /// Number of exchanges that were aborted at the end of the grace period.
    pub abandoned: i64,
}

/// Why the process did not start.
#[derive(Debug)]
pub enum StartError {
    /// A socket cannot be bound to the address of this key.
    Bind {
        /// The key of the address, such as `listen[0].address`.
        key: String,
        /// The address.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// Certificates, authorities or keys cannot be used; one sentence for each fault.
    Tls(Vec<String>),
    /// The sockets of the service manager do not fit the configuration; one sentence.
    Handover(String),
    /// A thread, a runtime or random numbers are not available.
    Thread(io::Error),
    /// The directory of captured requests cannot be used.
    Captures(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { key, address, error } => {
                write!(f, "{key}: cannot listen on {address}: {}", bind_problem(address, error))
            }
            Self::Tls(faults) => f.write_str(&faults.join("\n")),
            Self::Handover(problem) => f.write_str(problem),
            Self::Thread(error) => write!(f, "cannot start a worker: {error}"),
            Self::Captures(error) => write!(
                f,
                "capture.directory: the directory cannot be used: {error}; let the user of the process write there"
            ),
        }
    }
}

impl std::error::Error for StartError {}

/// Why an address cannot be bound, and what to do.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the standard library's list of kinds is open"
)]
fn bind_problem(address: &str, error: &io::Error) -> String {
    let port = address.rsplit(':').next().unwrap_or_default();
    match error.kind() {
        io::ErrorKind::AddrInUse if address.starts_with('/') => {
            String::from("the socket is in use by another process; end it, or write another path")
        }
        io::ErrorKind::AddrInUse => format!(
            "the port is in use by another process; end it (`ss -ltnp 'sport = :{port}'` shows it), or write another port"
        ),
        io::ErrorKind::PermissionDenied if port.parse::<u16>().is_ok_and(|port| port < 1024) => String::from(
            "ports below 1024 need a privilege; use a socket unit (deploy/systemd/hookgate.socket), the capability CAP_NET_BIND_SERVICE, or a port from 1024",
        ),
        io::ErrorKind::PermissionDenied => String::from(
            "permission denied; the user of the process must be able to write to the directory of the socket",
        ),
        io::ErrorKind::AddrNotAvailable => String::from(
            "this machine does not have this address; write one that `ip address` lists, or \"0.0.0.0\" for all",
        ),
        io::ErrorKind::NotFound => String::from("the directory of the socket does not exist; create it"),
        _ => error.to_string(),
    }
}

/// Runs the gateway until `shutdown` is ready and the drain is over. `started` is called when all sockets are bound and
/// the workers serve.
///
/// # Errors
/// See [`StartError`]; nothing was served then.
pub async fn serve<A, S>(inputs: Inputs<A, S>, started: impl FnOnce(&Started)) -> Result<DrainReport, StartError>
where
    A: io::Write + Send + 'static,
    S: Future<Output = ()>,
{
    let Inputs {
        config,
        handover,
        audit,
        reloads,
        shutdown,
    } = inputs;
    let mut running = build::build(config, handover, audit).await?;
    started(running.started());
    running.run(reloads, shutdown).await;
    Ok(running.drain().await)
}
