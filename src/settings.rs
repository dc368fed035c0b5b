//! The runtime shape of the configuration: plain, valid data that every other module may read.
//!
//! `config` makes it from file, environment and command line; nothing here parses, and nothing here is optional for lack
//! of a default. Keys, defaults and units are documented in `docs/configuration.md`.

use crate::scheme::challenge::Challenge;
use crate::scheme::{DeliveryId, Verifier};
use crate::secret::Secret;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use ipnet::IpNet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything `serve` needs. A reload replaces routes, upstreams, certificates, limits of exchanges and log settings;
/// listeners, workers and the replay store's size are fixed at start (a reload that changes them says so).
#[derive(Debug)]
pub struct Config {
    /// At least one, names distinct.
    pub listeners: Vec<Listener>,
    /// Where `/metrics`, `/livez` and `/readyz` are served; `None` turns the admin listener off.
    pub admin: Option<SocketAddr>,
    /// When `/readyz` says yes.
    pub readiness: ReadyWhen,
    /// Worker threads, each with a runtime of its own; at least 1.
    pub workers: usize,
    /// Bounds of connections and of the process.
    pub limits: Limits,
    /// What happens on SIGTERM.
    pub drain: Drain,
    /// The replay guard's store.
    pub replay: Replay,
    /// Logs and audit lines.
    pub log: Log,
    /// At least one, names distinct, patterns distinct.
    pub routes: Vec<Route>,
    /// Faults that do not stop the start: weak secrets, schemes without a timestamp, report mode; logged once at warn.
    pub warnings: Vec<String>,
}

/// One listening socket.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Label in metrics; defaults to the address.
    pub name: String,
    /// Where to bind.
    pub address: Address,
    /// `None` only with `plaintext = true`.
    pub tls: Option<Tls>,
    /// Peers whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether every connection begins with a PROXY protocol header; then others than `trusted_proxies` are turned away.
    pub proxy_protocol: bool,
}

/// A TCP or Unix socket address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// Path of a Unix stream socket, and the file mode to give it (`0o660` by default).
    Unix(PathBuf, u32),
}

/// TLS of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// At least one; the first is the default, the others are chosen by SNI from their subject alternative names.
    pub certificates: Vec<CertificateFiles>,
    /// 1.2 or 1.3.
    pub minimum: TlsVersion,
    /// Certificates of senders; `None` asks for none.
    pub client_auth: Option<ClientAuth>,
}

/// Mutual TLS: which certificates of senders are believed, and what is done with them. A certificate never stands in for
/// a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// PEM file with the authorities that sign senders' certificates.
    pub ca: PathBuf,
    /// Whether a handshake without a certificate fails; one with a certificate of another authority always does.
    pub required: bool,
    /// Whether the application is told the verified subject, in `Hookgate-Client-Subject`.
    pub forward_subject: bool,
}

/// Paths of a PEM chain and its PEM key; kept as paths because they are read again on reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Oldest protocol version that a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// When `/readyz` says yes, between start and drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyWhen {
    /// As soon as webhooks are taken in: an application that is down gives a 502, which the sender sees and retries.
    Serving,
    /// And not while the health checks of every route say that its upstream is down.
    Upstream,
}

/// Bounds of connections and of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Downstream connections open at once, over all listeners.
    pub connections: usize,
    /// Body bytes held at once, over all exchanges.
    pub in_flight_bytes: usize,
    /// Bytes of a request's head; at least 8 KiB.
    pub head_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// TLS handshake.
    pub handshake_timeout: Duration,
    /// From a request's first byte to the end of its head.
    pub head_timeout: Duration,
    /// A kept-alive connection without a request.
    pub idle_timeout: Duration,
    /// A peer that does not read its answer.
    pub write_timeout: Duration,
    /// HTTP/2 streams of one connection at once.
    pub http2_streams: u32,
}

/// What happens on SIGTERM.
#[derive(Clone, Debug)]
pub struct Drain {
    /// `/readyz` says 503 while the listeners stay open for this long.
    pub delay: Duration,
    /// Then what is in flight has this long to finish.
    pub grace: Duration,
}

/// The replay guard's store.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Keys held at once; full means refused, never evicted.
    pub capacity: usize,
    /// A store that replicas share; `None` is this process's memory.
    pub shared: Option<Box<Redis>>,
}

/// A replay store in Redis or Valkey.
#[derive(Clone, Debug)]
pub struct Redis {
    /// At least one. Several: the first that is a master is used, or they are Sentinels.
    pub servers: Vec<StoreServer>,
    /// Whether `servers` are reached over TLS.
    pub tls: bool,
    /// PEM file with roots in place of the platform's.
    pub ca: Option<PathBuf>,
    /// The name of the master that `servers`, which are Sentinels, know.
    pub sentinel: Option<String>,
    /// Number of the database.
    pub database: u16,
    /// ACL user; `None` is the default user.
    pub user: Option<Secret>,
    /// Where the user needs one.
    pub password: Option<Secret>,
    /// What every key begins with.
    pub prefix: String,
    /// For one claim, waiting for a connection included.
    pub timeout: Duration,
    /// When the store fails: go on with this process's memory alone, instead of refusing.
    pub accept_on_failure: bool,
}

/// A server of a shared replay store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreServer {
    /// `host:port`.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port, 6379 by default (Sentinels: 26379).
        port: u16,
    },
    /// Path of a Unix socket.
    Unix(PathBuf),
}

/// Logs and audit lines.
#[derive(Clone, Debug)]
pub struct Log {
    /// Human-readable or JSON.
    pub format: LogFormat,
    /// `tracing` filter directives (`info`, `hookgate=debug`).
    pub filter: String,
    /// Which exchanges get an audit line.
    pub audit: Audit,
}

/// Shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Human,
    /// One JSON object a line.
    Json,
}

/// Which exchanges get an audit line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// Every exchange.
    All,
    /// Only what was not forwarded.
    Refused,
    /// None.
    Off,
}

/// Where the configuration says that a secret or public key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable, by name.
    Env(String),
    /// A file, by path; one newline at its end is not part of the secret.
    File(PathBuf),
}

/// What may be shown of a secret or public key: everything but its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    /// Label in metrics and in `Hookgate-Key`: 1 to 64 letters, digits, `_`, `-` or `.`. Default: the name of the
    /// variable or file.
    pub name: String,
    /// Where the secret is read from, at start and at each reload.
    pub source: SecretSource,
    /// Whether senders should no longer use the secret. It is still accepted; a match raises an alert.
    pub retired: bool,
}

/// One webhook endpoint.
#[derive(Debug)]
pub struct Route {
    /// Label in metrics and `Hookgate-Route`; defaults to the path.
    pub name: String,
    /// Lower-case host without port, `*.example.com`, or `None` for any.
    pub host: Option<String>,
    /// Raw path: exact, or a prefix when it ends with `/*`.
    pub path: String,
    /// Methods that the route takes; POST by default.
    pub methods: Vec<Method>,
    /// Peers (after trusted proxies) that may send; empty means any.
    pub allow: Vec<IpNet>,
    /// Scheme and keys.
    pub verifier: Verifier,
    /// Allowed clock difference, both ways; `None` is "unlimited" and was asked for in words.
    pub tolerance: Option<Duration>,
    /// What a replay is and how it is answered.
    pub replay: ReplayPolicy,
    /// What a delivery is named by, where each is to be forwarded once.
    pub dedupe: Option<Dedupe>,
    /// Forward everything and mark it.
    pub report_only: bool,
    /// Largest body in bytes.
    pub body_limit: usize,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// Answered here in place of the application; `None` unless the route opts in.
    pub challenge: Option<Challenge>,
    /// Replaces 401 in refusals about the signature.
    pub reject_status: Option<StatusCode>,
    /// Whether a refusal says why.
    pub refusal_detail: bool,
    /// Names and sources of the secrets and public keys that `verifier` holds, in its order.
    pub secrets: Vec<SecretInfo>,
    /// URL that the sender was given, for schemes that sign it.
    pub public_url: Option<String>,
    /// Source of the token with which the provider's challenge is checked.
    pub verify_token: Option<SecretInfo>,
    /// Where verified requests go; shared by routes that name the same.
    pub upstream: Arc<Upstream>,
}

/// What counts as a replay on a route.
#[derive(Clone, Debug)]
pub struct ReplayPolicy {
    /// How long a delivered request is remembered: by default timestamp + tolerance, which `None` stands for; a
    /// duration for schemes without a timestamp; zero turns the guard off.
    pub window: Option<Duration>,
    /// Answer 409 (`false`) or 200 without forwarding (`true`).
    pub acknowledge: bool,
}

/// Idempotency across the sender's own retries, which are signed anew each time.
#[derive(Clone, Debug)]
pub struct Dedupe {
    /// Where the id of the delivery stands.
    pub id: DeliveryId,
    /// How long a delivered id is remembered.
    pub window: Duration,
    /// Answer a duplicate 200 without forwarding (`true`) or 409 (`false`).
    pub acknowledge: bool,
    /// Refuse a request without an id (`true`) or forward it (`false`).
    pub reject_missing: bool,
}

/// Where verified requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// At least one, targets distinct. Their `ca` and `client` are the same.
    pub servers: Vec<Server>,
    /// Prefix put before the request's path (from the URL's path, without a trailing slash); usually empty.
    pub base_path: String,
    /// TCP connect and TLS handshake together, over all endpoints that are tried for one request.
    pub connect_timeout: Duration,
    /// From the first byte sent to the last byte of the answer.
    pub timeout: Duration,
    /// Idle connections kept to one endpoint, per worker.
    pub idle_connections: usize,
    /// Idle connections are closed after this.
    pub idle_timeout: Duration,
    /// Connections open at once to one endpoint, over all workers.
    pub max_connections: usize,
    /// How often names are looked up.
    pub resolve_interval: Duration,
    /// When an endpoint is left alone because of what requests saw; means nothing where there is only one.
    pub ejection: Ejection,
    /// Asks every endpoint whether it is well.
    pub health_check: Option<HealthCheck>,
    /// Static header fields added to every request; values marked sensitive.
    pub headers: Vec<(hyper::header::HeaderName, HeaderValue)>,
}

/// One of the servers that share an upstream's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// How to connect.
    pub target: Target,
    /// Its share, and that of each address its name has; 1 to 1000.
    pub weight: u32,
}

/// When an endpoint is left alone because of what requests saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row (no connection, no answer, 5xx) after which it is; zero never.
    pub failures: u32,
    /// For how long at first; twice as long at each time that follows closely.
    pub backoff: Duration,
    /// And never longer than this.
    pub backoff_limit: Duration,
    /// Percent of the endpoints: when fewer are well, all are used as if they were.
    pub panic_below: u32,
}

/// Asks every endpoint whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Path and query of a GET; 200 to 399 is well.
    pub path: String,
    /// From the end of one check to the begin of the next.
    pub interval: Duration,
    /// From the first attempt to connect to the answer's head.
    pub timeout: Duration,
    /// Failed checks in a row after which it is not used.
    pub unhealthy_after: u32,
    /// Passed checks in a row after which it is used again.
    pub healthy_after: u32,
}

/// How to connect to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `http://host:port`.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port, 80 by default.
        port: u16,
    },
    /// `https://host:port`.
    Tls {
        /// Name or address, without brackets; also the name that the certificate must have.
        host: String,
        /// Port, 443 by default.
        port: u16,
        /// PEM file with roots in place of the platform's.
        ca: Option<PathBuf>,
        /// Certificate that we present.
        client: Option<CertificateFiles>,
        /// A hash of what was in those files when they were read: renewed ones make another target, with connections of
        /// its own, so that a reload does not go on with the old.
        content: u64,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path, _) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for StoreServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Route {
    /// Names of the secrets that are still accepted and that senders should no longer use.
    pub fn retired_secrets(&self) -> impl Iterator<Item = &str> {
        let retired = self.secrets.iter().filter(|secret| secret.retired);
        retired.map(|secret| secret.name.as_str())
    }
}

impl Target {
    /// Name or address; `None` for a Unix socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } | Self::Tls { host, .. } => Some(host),
            Self::Unix(_) => None,
        }
    }
}

/// The URL without its path: what stands in metrics, audit lines and logs.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = |host: &str| {
            if host.contains(':') {
                format!("[{host}]")
            } else {
                host.to_owned()
            }
        };
        match self {
            Self::Tcp { host, port } => write!(f, "http://{}:{port}", bracketed(host)),
            Self::Tls { host, port, .. } => write!(f, "https://{}:{port}", bracketed(host)),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
