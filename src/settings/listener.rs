//! Listening sockets and their TLS.

use super::acme::Acme;
use super::serialize::{display_all, path};
use ipnet::IpNet;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The entry of `trusted_proxies` that means the peers of a Unix socket.
pub const UNIX_PEERS: &str = "unix";

/// One listening socket.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Label in metrics. Default: the address.
    pub name: String,
    /// Where to bind.
    pub address: Address,
    /// `None` only with `plaintext = true`.
    pub tls: Option<ListenerTls>,
    /// Peers whose `X-Forwarded-*` fields are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the peers of a Unix socket are trusted proxies too; they have no address.
    pub trusts_unix_peers: bool,
    /// Whether every connection begins with a PROXY protocol header. If so, peers outside `trusted_proxies` are refused.
    pub proxy_protocol: bool,
    /// Path of health checks, which are answered without a route; `None` answers none.
    pub health: Option<String>,
}

/// A TCP or Unix socket address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IP address and port; with port 0 the system chooses the port.
    Tcp(SocketAddr),
    /// Path of a Unix stream socket and its file mode.
    Unix(PathBuf, u32),
}

/// TLS of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// At least one. The first is the default; the others are chosen when the server name of the TLS handshake matches
    /// one of their subject alternative names.
    pub certificates: Vec<CertificateSource>,
    /// Oldest version that is accepted.
    pub minimum: TlsVersion,
    /// Certificates of senders; `None` requests none.
    pub client_auth: Option<ClientAuth>,
}

/// Mutual TLS: which certificates of senders are accepted. A certificate never replaces the signature of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// PEM file with the authorities that sign senders' certificates.
    pub ca: PathBuf,
    /// PEM file with the revocation lists of these authorities; `None` checks no revocation.
    pub crl: Option<PathBuf>,
    /// Whether a TLS handshake without a certificate fails. A certificate of another authority always fails.
    pub required: bool,
    /// Whether the application receives the verified subject, in `Hookgate-Client-Subject`.
    pub forward_subject: bool,
}

/// Where a certificate of a listener comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// From files.
    Files(CertificateFiles),
    /// From an ACME server.
    Acme(Box<Acme>),
}

/// Paths of a certificate chain and its key. The files are read again at each reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct CertificateFiles {
    /// PEM chain, the leaf first.
    #[serde(serialize_with = "path")]
    pub certificate: PathBuf,
    /// PEM private key (PKCS#8, PKCS#1 or SEC1).
    #[serde(serialize_with = "path")]
    pub key: PathBuf,
}

/// Oldest TLS version that a listener accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 only.
    #[serde(rename = "1.3")]
    Tls13,
}

impl Listener {
    /// The certificates that are ordered from ACME servers.
    pub fn acme(&self) -> impl Iterator<Item = &Acme> {
        let sources = self.tls.iter().flat_map(|tls| &tls.certificates);
        sources.filter_map(|source| match source {
            CertificateSource::Acme(acme) => Some(&**acme),
            CertificateSource::Files(_) => None,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path, _) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Serialize for Listener {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("name", &self.name)?;
        match &self.address {
            Address::Tcp(address) => table.serialize_entry("address", &address.to_string())?,
            Address::Unix(path, mode) => {
                table.serialize_entry("unix", &path.display().to_string())?;
                table.serialize_entry("mode", &format!("{mode:04o}"))?;
            }
        }
        match &self.tls {
            Some(tls) => {
                table.serialize_entry("tls", &tls.certificates)?;
                table.serialize_entry("tls_minimum", &tls.minimum)?;
                if let Some(client_auth) = &tls.client_auth {
                    table.serialize_entry("client_auth", client_auth)?;
                }
            }
            None => table.serialize_entry("plaintext", &true)?,
        }
        let mut trusted = display_all(&self.trusted_proxies);
        if self.trusts_unix_peers {
            trusted.push(String::from(UNIX_PEERS));
        }
        table.serialize_entry("trusted_proxies", &trusted)?;
        table.serialize_entry("proxy_protocol", &self.proxy_protocol)?;
        if let Some(path) = &self.health {
            table.serialize_entry("health", path)?;
        }
        table.end()
    }
}

impl Serialize for CertificateSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Files(files) => files.serialize(serializer),
            Self::Acme(acme) => {
                let mut table = serializer.serialize_map(Some(1))?;
                table.serialize_entry("acme", acme)?;
                table.end()
            }
        }
    }
}

impl Serialize for ClientAuth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("ca", &self.ca.display().to_string())?;
        if let Some(crl) = &self.crl {
            table.serialize_entry("crl", &crl.display().to_string())?;
        }
        table.serialize_entry("mode", if self.required { "required" } else { "optional" })?;
        table.serialize_entry("forward_subject", &self.forward_subject)?;
        table.end()
    }
}
