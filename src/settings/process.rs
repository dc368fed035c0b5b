//! The whole configuration, and what concerns the process as a whole.

use super::inbox::Inbox;
use super::keys::Keys;
use super::listener::Listener;
use super::operators::{Api, Captures, Console};
use super::rate::Rate;
use super::replay::Replay;
use super::route::Route;
use super::serialize::{address_or_off, duration, size};
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

/// Everything that `serve` needs.
///
/// A reload replaces routes, upstreams, certificates, `limits.in_flight_bytes` and `log.filter`. Every other change
/// needs a restart; see [`Config::restart_needed`].
#[derive(Debug, Serialize)]
pub struct Config {
    /// Worker threads, each with its own runtime; at least 1.
    pub workers: usize,
    /// At least one, with distinct names.
    #[serde(rename = "listen")]
    pub listeners: Vec<Listener>,
    /// The admin listener and its probes.
    pub admin: Admin,
    /// The API of operators; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<Api>,
    /// The web console; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<Console>,
    /// Bounds of captured requests.
    pub capture: Captures,
    /// Limits on connections and on the process.
    pub limits: ProcessLimits,
    /// Duration of the drain after SIGTERM.
    pub drain: Drain,
    /// The replay guard's store.
    pub replay: Replay,
    /// Durable deliveries; `None` without a store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox: Option<Inbox>,
    /// How keys are fetched.
    pub keys: Keys,
    /// Logs and audit lines.
    pub log: Log,
    /// At least one, with distinct names and patterns.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// Problems that do not prevent the start: weak secrets, schemes without a timestamp, report mode. Logged once, at
    /// level warn.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Admin {
    /// Address of `/metrics`, `/livez` and `/readyz`; `None` turns the admin listener off.
    #[serde(serialize_with = "address_or_off")]
    pub address: Option<SocketAddr>,
    /// When `/readyz` answers 200.
    pub readiness: ReadyWhen,
    /// Names by which the admin listener may be asked, in lower case, beside addresses and names that are not in the
    /// public DNS.
    pub hosts: Vec<String>,
}

/// When `/readyz` answers 200, between the start and the drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadyWhen {
    /// As soon as webhooks are accepted. If the application is down, the sender gets 502 and retries.
    Serving,
    /// As `Serving`, but not while the health checks of every route's upstream fail.
    Upstream,
}

/// Limits on connections and on the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessLimits {
    /// Open downstream connections, over all listeners.
    pub connections: usize,
    /// Bytes of requests in memory, heads and bodies, over all exchanges.
    #[serde(serialize_with = "size")]
    pub in_flight_bytes: usize,
    /// Bytes of a request's head; at least 8 KiB.
    #[serde(serialize_with = "size")]
    pub head_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Time for the TLS handshake.
    #[serde(serialize_with = "duration")]
    pub handshake_timeout: Duration,
    /// Time from a request's first byte to the end of its head.
    #[serde(serialize_with = "duration")]
    pub head_timeout: Duration,
    /// Time for which a kept-alive connection may stay without a request.
    #[serde(serialize_with = "duration")]
    pub idle_timeout: Duration,
    /// Time for which a peer may read nothing of its answer.
    #[serde(serialize_with = "duration")]
    pub write_timeout: Duration,
    /// Concurrent HTTP/2 streams of one connection.
    pub http2_streams: u32,
    /// The least rate at which a body has to arrive, in bytes per second; 0 accepts every rate.
    #[serde(serialize_with = "size")]
    pub min_body_rate: usize,
    /// Requests of one source; `None` sets no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_source: Option<Rate>,
}

/// Duration of the drain after SIGTERM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// For this long `/readyz` answers 503 while the listeners still accept.
    #[serde(serialize_with = "duration")]
    pub delay: Duration,
    /// After `delay`, open exchanges have this long to finish.
    #[serde(serialize_with = "duration")]
    pub grace: Duration,
}

/// Logs and audit lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Human-readable or JSON.
    pub format: LogFormat,
    /// Whether `format` is the default, in place of which `serve` uses [`LogFormat::Human`] on a terminal.
    #[serde(skip)]
    pub is_format_default: bool,
    /// Filter directives of the `tracing` library (`info`, `hookgate=debug`).
    pub filter: String,
    /// Which exchanges get an audit line.
    pub audit: Audit,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Human,
    /// One JSON object per line.
    Json,
}

/// Which exchanges get an audit line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Audit {
    /// Every exchange.
    All,
    /// Only exchanges that were not forwarded.
    Refused,
    /// None.
    Off,
}
