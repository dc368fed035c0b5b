//! A certificate that is ordered from an ACME server.

use super::inbox::StorageKey;
use super::redis::RedisServers;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A certificate that is ordered from an ACME server (RFC 8555), and renewed before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The names of the certificate, in lower case; at least one.
    pub domains: Vec<String>,
    /// Where the server may write to about the account: URLs such as `mailto:ops@example.com`.
    pub contact: Vec<String>,
    /// URL of the server's directory.
    pub directory: String,
    /// PEM file with the authorities of the server itself; `None` takes those of `[keys]` or of the platform.
    pub ca: Option<PathBuf>,
    /// Where account, certificate and the state of the orders are kept. Replicas share it.
    pub storage: AcmeStorage,
    /// Keys that encrypt what is stored: the first encrypts, all decrypt. Empty: nothing is encrypted.
    pub keys: Vec<StorageKey>,
    /// How the server finds out that the names belong to this gateway.
    pub challenge: AcmeChallenge,
    /// The address on which HTTP-01 is answered, beside the listeners without TLS; `None` opens none.
    pub http: Option<SocketAddr>,
    /// The account with the provider that the ACME account belongs to.
    pub external_account: Option<ExternalAccount>,
}

/// Where account, certificate and the state of the orders are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcmeStorage {
    /// A directory.
    Directory(PathBuf),
    /// A Redis or Valkey.
    Redis(Box<RedisServers>),
}

/// How an ACME server finds out that a name belongs to this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum AcmeChallenge {
    /// A TLS handshake on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A request on port 80 (RFC 8555, 8.3).
    #[serde(rename = "http-01")]
    Http01,
}

/// Binds the ACME account to one with the provider (RFC 8555, 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key's identifier, as the provider shows it.
    pub id: String,
    /// The key: base64url, as the provider shows it.
    pub key: StorageKey,
}

impl Acme {
    /// The name in metrics and logs: `acme:` and the first name of the certificate.
    #[must_use]
    pub fn label(&self) -> String {
        format!("acme:{}", self.domains.first().map_or("", String::as_str))
    }
}

impl Serialize for Acme {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("domains", &self.domains)?;
        table.serialize_entry("contact", &self.contact)?;
        table.serialize_entry("directory", &self.directory)?;
        if let Some(ca) = &self.ca {
            table.serialize_entry("ca", &ca.display().to_string())?;
        }
        table.serialize_entry("storage", &self.storage)?;
        table.serialize_entry("keys", &self.keys)?;
        table.serialize_entry("challenge", &self.challenge)?;
        if let Some(http) = &self.http {
            table.serialize_entry("http", &http.to_string())?;
        }
        if let Some(account) = &self.external_account {
            table.serialize_entry("external_account", account)?;
        }
        table.end()
    }
}

impl Serialize for AcmeStorage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Directory(path) => serializer.serialize_str(&path.display().to_string()),
            Self::Redis(servers) => {
                let mut table = serializer.serialize_map(None)?;
                servers.serialize_into(&mut table, "redis")?;
                table.end()
            }
        }
    }
}

impl Serialize for ExternalAccount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("id", &self.id)?;
        table.serialize_entry("key", &self.key)?;
        table.end()
    }
}
