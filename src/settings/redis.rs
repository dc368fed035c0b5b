//! The servers of a Redis or Valkey that replicas share.

use super::serialize::REDACTED;
use crate::secret::Secret;
use serde::ser::SerializeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a Redis or Valkey is, and how this process connects to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisServers {
    /// At least one. With `sentinel` they are Sentinels; otherwise the first one that is a master is used.
    pub servers: Vec<StoreServer>,
    /// Whether connections to `servers` use TLS.
    pub tls: bool,
    /// PEM file with root certificates that replace those of the platform.
    pub ca: Option<PathBuf>,
    /// Name by which the Sentinels know the master.
    pub sentinel: Option<String>,
    /// Whether `servers` are nodes of a Redis Cluster.
    pub cluster: bool,
    /// Number of the database.
    pub database: u16,
    /// ACL user; `None` is the default user.
    pub user: Option<Secret>,
    /// Password of the user; `None` sends none.
    pub password: Option<Secret>,
    /// Prefix of every key in the store.
    pub prefix: String,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreServer {
    /// Host and port.
    Tcp {
        /// Name or IP address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// Path of a Unix socket.
    Unix(PathBuf),
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

impl RedisServers {
    /// The URL of a server, as the file writes it.
    fn url(&self, server: &StoreServer) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        match server {
            StoreServer::Tcp { .. } => format!("{scheme}://{server}/{}", self.database),
            StoreServer::Unix(path) => format!("redis+unix://{}?db={}", path.display(), self.database),
        }
    }

    /// Writes the keys into a table of the file. `url_key` is the key of the URLs.
    pub(super) fn serialize_into<T: SerializeMap>(&self, table: &mut T, url_key: &'static str) -> Result<(), T::Error> {
        let urls: Vec<String> = self.servers.iter().map(|server| self.url(server)).collect();
        table.serialize_entry(url_key, &urls)?;
        if let Some(sentinel) = &self.sentinel {
            table.serialize_entry("sentinel", sentinel)?;
        }
        if self.cluster {
            table.serialize_entry("cluster", &true)?;
        }
        for (key, secret) in [("user", &self.user), ("password", &self.password)] {
            if secret.is_some() {
                table.serialize_entry(key, REDACTED)?;
            }
        }
        if let Some(ca) = &self.ca {
            table.serialize_entry("ca", &ca.display().to_string())?;
        }
        table.serialize_entry("prefix", &self.prefix)
    }
}
