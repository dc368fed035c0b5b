//! How operators see and change the running process: the API's socket.

use super::listener::ListenerTls;
use super::secret_info::SecretInfo;
use super::serialize::{display_all, duration, size};
use crate::secret::Secret;
use ipnet::IpNet;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The API of operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Api {
    /// Path of the Unix socket that serves `/api/v1/`; only the user of the process may connect.
    pub socket: PathBuf,
}

/// Bounds of the captured requests of all routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Captures {
    /// The most requests that are kept.
    pub count: usize,
    /// The most bytes of them.
    #[serde(serialize_with = "size")]
    pub bytes: usize,
    /// How long each is kept.
    #[serde(serialize_with = "duration")]
    pub keep: Duration,
    /// For how long after the start or a reload `capture = "full"` holds.
    #[serde(serialize_with = "duration")]
    pub full_for: Duration,
    /// Where refused requests are also written as files, with the same bounds; `None` for memory only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
}

/// What is captured of the requests of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Nothing, until an operator turns it on.
    Off,
    /// The values at these JSON pointers.
    Values(Vec<String>),
    /// Whole requests, for [`Captures::full_for`].
    Full,
}

impl Serialize for Capture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Values(pointers) => pointers.serialize(serializer),
            Self::Full => serializer.serialize_str("full"),
        }
    }
}

/// The web console.
#[derive(Clone, Debug)]
pub struct Console {
    /// Where browsers connect.
    pub address: SocketAddr,
    /// Certificates, and the authorities of people's certificates; `None` for plaintext.
    pub tls: Option<ListenerTls>,
    /// Names in the public DNS by which it may be asked, in lower case.
    pub hosts: Vec<String>,
    /// Tokens that are exchanged for a session, or that programs send.
    pub tokens: Vec<ConsoleToken>,
    /// Proxies that authenticate people.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which these proxies name the user, in lower case; `None` without such proxies.
    pub user_header: Option<String>,
    /// Names of people, as certificates and proxies write them, with the role `operate`. All others may look only.
    pub operators: Vec<String>,
    /// Whether a trusted proxy terminates TLS, so that cookies are for TLS only.
    pub is_behind_tls: bool,
    /// The variables of the process.
    pub variables: Variables,
}

/// The variables of the process, from which a secret is read again to explain a refusal. Never printed.
#[derive(Clone, Default)]
pub struct Variables(pub Arc<[(OsString, OsString)]>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

/// A token of the console.
#[derive(Clone, Debug)]
pub struct ConsoleToken {
    /// Its name, and where it is read from.
    pub info: SecretInfo,
    /// What its holder may do.
    pub role: ConsoleRole,
    /// Its bytes.
    pub secret: Secret,
}

/// What a person may do in the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsoleRole {
    /// See everything that is shown.
    View,
    /// Change something, and check captured requests.
    Operate,
}

impl Serialize for ConsoleToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("role", &self.role)?;
        table.serialize_entry("token", &self.info)?;
        table.end()
    }
}

impl Serialize for Console {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("address", &self.address.to_string())?;
        if let Some(tls) = &self.tls {
            table.serialize_entry("tls", &tls.certificates)?;
            if let Some(clients) = &tls.client_auth {
                table.serialize_entry("client_ca", &clients.ca.display().to_string())?;
            }
        }
        table.serialize_entry("hosts", &self.hosts)?;
        table.serialize_entry("tokens", &self.tokens)?;
        table.serialize_entry("trusted_proxies", &display_all(&self.trusted_proxies))?;
        if let Some(header) = &self.user_header {
            table.serialize_entry("user_header", header)?;
        }
        table.serialize_entry("operators", &self.operators)?;
        table.serialize_entry("behind_tls", &self.is_behind_tls)?;
        table.end()
    }
}
