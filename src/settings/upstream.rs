//! The application's servers.

use super::listener::CertificateFiles;
use super::serialize::{REDACTED, duration, duration_text};
use hyper::header::{HeaderName, HeaderValue};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where verified requests are forwarded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// With distinct targets. All have the same `ca` and `client`. None only on a route that forwards nothing.
    pub servers: Vec<ServerSettings>,
    /// Prefix of the forwarded path: the path of the URL without a trailing slash, usually empty.
    pub base_path: String,
    /// `Host` of every forwarded request; `None` keeps the sender's.
    pub host: Option<HeaderValue>,
    /// Path of every forwarded request, in place of the sender's; `None` keeps that. The base path is then empty.
    pub path: Option<String>,
    /// Time for the TCP connection and the TLS handshake together, over all endpoints that one request tries.
    pub connect_timeout: Duration,
    /// Time from the first byte sent to the last byte of the answer.
    pub timeout: Duration,
    /// Idle connections that each worker keeps to one endpoint.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Open connections to one endpoint, over all workers.
    pub max_connections: usize,
    /// Requests that wait for a connection to one endpoint when it has `max_connections`, over all workers.
    pub queue_limit: usize,
    /// How long a request waits for one.
    pub queue_timeout: Duration,
    /// Time between two lookups of a name.
    pub resolve_interval: Duration,
    /// When failed requests eject an endpoint. Without effect if there is only one endpoint.
    pub ejection: Ejection,
    /// Active health checks of every endpoint; `None` sends none.
    pub health_check: Option<HealthCheck>,
    /// Static header fields that are added to every request. The values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// One of the servers that share an upstream's requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerSettings {
    /// How to connect.
    pub target: UpstreamTarget,
    /// Relative share of the requests, for each address of the server; 1 to 1000.
    pub weight: u32,
}

/// When failed requests eject an endpoint. An ejected endpoint gets no requests for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Ejection {
    /// Consecutive failures (no connection, no answer, 5xx) that eject an endpoint; zero turns ejection off.
    pub failures: u32,
    /// Duration of the first ejection. Each ejection that follows closely lasts twice as long as the one before.
    #[serde(serialize_with = "duration")]
    pub backoff: Duration,
    /// Longest duration of an ejection.
    #[serde(serialize_with = "duration")]
    pub backoff_limit: Duration,
    /// Percentage of the endpoints. If fewer are healthy, all endpoints are used.
    pub panic_below: u32,
}

/// Active health checks of every endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct HealthCheck {
    /// Path and query of a GET request; a status from 200 to 399 passes.
    pub path: String,
    /// Time from the end of one check to the start of the next.
    #[serde(serialize_with = "duration")]
    pub interval: Duration,
    /// Time from the start of the connection to the end of the answer's head.
    #[serde(serialize_with = "duration")]
    pub timeout: Duration,
    /// Consecutive failed checks after which the endpoint is unhealthy and gets no requests.
    pub unhealthy_after: u32,
    /// Consecutive passed checks after which the endpoint is healthy again.
    pub healthy_after: u32,
}

/// How to connect to an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamTarget {
    /// `http://host:port`.
    Tcp {
        /// Name or IP address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// `https://host:port`.
    Tls {
        /// Name or IP address, without brackets. The server's certificate must be valid for it.
        host: String,
        /// Port.
        port: u16,
        /// PEM file with root certificates that replace those of the platform.
        ca: Option<PathBuf>,
        /// Certificate that hookgate presents.
        client: Option<CertificateFiles>,
        /// Hash of the contents of `ca` and `client` when they were read. Renewed files therefore make another target
        /// with its own connections, so that a reload uses the new certificates.
        content: u64,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Upstream {
    /// The upstream of a route that forwards nothing.
    #[must_use]
    pub const fn unused() -> Self {
        Self {
            servers: Vec::new(),
            base_path: String::new(),
            host: None,
            path: None,
            connect_timeout: Duration::ZERO,
            timeout: Duration::ZERO,
            idle_connections: 0,
            idle_timeout: Duration::ZERO,
            max_connections: 0,
            queue_limit: 0,
            queue_timeout: Duration::ZERO,
            resolve_interval: Duration::ZERO,
            ejection: Ejection {
                failures: 0,
                backoff: Duration::ZERO,
                backoff_limit: Duration::ZERO,
                panic_below: 0,
            },
            health_check: None,
            headers: Vec::new(),
        }
    }

    /// The authority of the first server, for a request that names none; `localhost` for a Unix socket.
    #[must_use]
    pub fn authority(&self) -> String {
        let target = self.servers.first().map(|server| &server.target);
        match target {
            Some(target @ (UpstreamTarget::Tcp { .. } | UpstreamTarget::Tls { .. })) => {
                let url = target.to_string();
                url.split_once("://")
                    .map_or_else(String::new, |(_, authority)| authority.to_owned())
            }
            Some(UpstreamTarget::Unix(_)) | None => String::from("localhost"),
        }
    }
}

impl UpstreamTarget {
    /// Name or IP address; `None` for a Unix socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } | Self::Tls { host, .. } => Some(host),
            Self::Unix(_) => None,
        }
    }
}

/// The URL without its path, as it appears in metrics, audit lines and logs.
impl fmt::Display for UpstreamTarget {
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

/// One server as a table of `url`.
#[derive(serde::Serialize)]
struct ServerEntry {
    url: String,
    weight: u32,
}

/// Names of header fields, without their values.
struct RedactedHeaders<'a>(&'a [(HeaderName, HeaderValue)]);

impl Serialize for RedactedHeaders<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, _)| (name.as_str(), REDACTED)))
    }
}

impl Serialize for Upstream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        let url = |server: &ServerSettings| format!("{}{}", server.target, self.base_path);
        match &self.servers[..] {
            [server] if server.weight == 1 => table.serialize_entry("url", &url(server))?,
            servers => {
                let entry = |server| ServerEntry {
                    url: url(server),
                    weight: server.weight,
                };
                table.serialize_entry("url", &servers.iter().map(entry).collect::<Vec<_>>())?;
            }
        }
        if let Some(host) = self.host.as_ref().and_then(|host| host.to_str().ok()) {
            table.serialize_entry("host", host)?;
        }
        if let Some(path) = &self.path {
            table.serialize_entry("path", path)?;
        }
        let tls = self.servers.iter().find_map(|server| match &server.target {
            UpstreamTarget::Tls { ca, client, .. } => Some((ca, client)),
            UpstreamTarget::Tcp { .. } | UpstreamTarget::Unix(_) => None,
        });
        if let Some((ca, client)) = tls {
            if let Some(ca) = ca {
                table.serialize_entry("ca", &ca.display().to_string())?;
            }
            if let Some(client) = client {
                table.serialize_entry("client", client)?;
            }
        }
        table.serialize_entry("connect_timeout", &duration_text(self.connect_timeout))?;
        table.serialize_entry("timeout", &duration_text(self.timeout))?;
        table.serialize_entry("idle_connections", &self.idle_connections)?;
        table.serialize_entry("idle_timeout", &duration_text(self.idle_timeout))?;
        table.serialize_entry("max_connections", &self.max_connections)?;
        table.serialize_entry("queue_limit", &self.queue_limit)?;
        table.serialize_entry("queue_timeout", &duration_text(self.queue_timeout))?;
        table.serialize_entry("resolve_interval", &duration_text(self.resolve_interval))?;
        table.serialize_entry("ejection", &self.ejection)?;
        if let Some(check) = &self.health_check {
            table.serialize_entry("health_check", check)?;
        }
        table.serialize_entry("headers", &RedactedHeaders(&self.headers))?;
        table.end()
    }
}
