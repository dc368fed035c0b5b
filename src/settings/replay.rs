//! The replay guard's store.

use super::serialize::{REDACTED, duration_text};
use crate::secret::Secret;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The replay guard's store.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Replay keys that are kept in memory. A full store refuses requests; it never evicts a key.
    pub capacity: usize,
    /// A store that replicas share; `None` keeps the keys in the memory of this process.
    pub shared: Option<Box<Redis>>,
}

/// A replay store in Redis or Valkey.
#[derive(Clone, Debug)]
pub struct Redis {
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
    /// Time for one claim, including the wait for a connection.
    pub timeout: Duration,
    /// Whether the process continues with its own memory when the store fails. Otherwise it refuses requests.
    pub accept_on_failure: bool,
}

/// A server of a shared replay store.
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

impl Redis {
    /// The URL of a server, as `replay.store` writes it.
    fn url(&self, server: &StoreServer) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        match server {
            StoreServer::Tcp { .. } => format!("{scheme}://{server}/{}", self.database),
            StoreServer::Unix(path) => format!("redis+unix://{}?db={}", path.display(), self.database),
        }
    }
}

impl Serialize for Replay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("capacity", &self.capacity)?;
        let Some(redis) = &self.shared else {
            table.serialize_entry("store", "memory")?;
            return table.end();
        };
        let urls: Vec<String> = redis.servers.iter().map(|server| redis.url(server)).collect();
        table.serialize_entry("store", &urls)?;
        if let Some(sentinel) = &redis.sentinel {
            table.serialize_entry("sentinel", sentinel)?;
        }
        if redis.cluster {
            table.serialize_entry("cluster", &true)?;
        }
        for (key, secret) in [("user", &redis.user), ("password", &redis.password)] {
            if secret.is_some() {
                table.serialize_entry(key, REDACTED)?;
            }
        }
        if let Some(ca) = &redis.ca {
            table.serialize_entry("ca", &ca.display().to_string())?;
        }
        table.serialize_entry("prefix", &redis.prefix)?;
        table.serialize_entry("timeout", &duration_text(redis.timeout))?;
        let on_store_failure = if redis.accept_on_failure { "accept" } else { "reject" };
        table.serialize_entry("on_store_failure", on_store_failure)?;
        table.end()
    }
}
