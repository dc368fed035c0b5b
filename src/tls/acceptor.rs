//! The TLS configuration of a listener: the server certificates, the authorities for client certificates, and their
//! replacement while connections are served.
//!
//! One rustls configuration is active at a time. Every handshake uses the one that is active when it begins, so a
//! replacement breaks no handshake. A reload that finds unchanged files and settings keeps the active configuration.
//! Any other reload creates new ticket keys, so that no session from before the change can be resumed.

use super::key_pair::parse;
use super::pem_file::certificates;
use super::{FailedHandshake, FileFault, LoadedCertificate, Stream, certificate, content_hash, provider, roots};
use crate::settings::{ClientAuth, ListenerTls, TlsVersion};
use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// ALPN protocols that are offered to senders, in order of preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The TLS configuration of one listener. A reload replaces it atomically.
#[derive(Debug)]
pub struct Acceptor(ArcSwap<Active>);

/// A TLS configuration and what it was made from.
#[derive(Debug)]
struct Active {
    config: Arc<ServerConfig>,
    settings: ListenerTls,
    /// Hash of the content of every file.
    content: u64,
    /// Path and `notAfter` (Unix seconds) of each certificate.
    expiries: Vec<(PathBuf, i64)>,
}

impl Acceptor {
    /// Reads every file of `tls`.
    ///
    /// # Errors
    /// One sentence with the path for each file that cannot be used.
    pub fn load(tls: &ListenerTls) -> Result<Self, Vec<String>> {
        // The hash is taken before the files are read: a change during the reading is then found by the next reload.
        let content = content_hash(files(tls));
        let (certificates, mut faults) = read_all(tls);
        let expiries = expiries(tls, &certificates, &mut faults);
        let config = match CertificateResolver::new(certificates) {
            Some(names) if faults.is_empty() => configuration(tls, names).map_err(|fault| vec![fault])?,
            Some(_) | None => return Err(faults),
        };
        Ok(Self(ArcSwap::from_pointee(Active {
            config: Arc::new(config),
            settings: tls.clone(),
            content,
            expiries,
        })))
    }

    /// Performs a handshake with the active configuration. There is no timeout; the caller sets one.
    ///
    /// # Errors
    /// See [`Stream::handshake`].
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, io: S) -> Result<Stream<S>, FailedHandshake<S>> {
        let config = self.0.load().config.clone();
        Stream::handshake(config, io).await
    }

    /// Whether the subject of the sender's certificate is passed to the application.
    #[must_use]
    pub fn forwards_subject(&self) -> bool {
        let clients = &self.0.load().settings.client_auth;
        clients.as_ref().is_some_and(|clients| clients.forward_subject)
    }

    /// Path and `notAfter` (Unix seconds) of each certificate, the authorities for client certificates included.
    #[must_use]
    pub fn expiries(&self) -> Vec<(PathBuf, i64)> {
        self.0.load().expiries.clone()
    }

    /// Uses `new` from the next handshake on. Does nothing when files and settings are unchanged, so that senders can
    /// still resume their sessions.
    pub fn replace(&self, new: Self) {
        let new = new.0.into_inner();
        let old = self.0.load();
        if old.content != new.content || old.settings != new.settings {
            self.0.store(new);
        }
    }
}

/// Every file that the settings name.
fn files(tls: &ListenerTls) -> impl Iterator<Item = &PathBuf> {
    let pairs = tls
        .certificates
        .iter()
        .flat_map(|files| [&files.certificate, &files.key]);
    let clients = tls.client_auth.iter();
    pairs.chain(clients.flat_map(|clients| std::iter::once(&clients.ca).chain(&clients.crl)))
}

fn read_all(tls: &ListenerTls) -> (Vec<LoadedCertificate>, Vec<String>) {
    let mut certificates = Vec::new();
    let mut faults = Vec::new();
    for files in &tls.certificates {
        match certificate(files) {
            Ok(certificate) => certificates.push(certificate),
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    (certificates, faults)
}

fn expiries(tls: &ListenerTls, certificates: &[LoadedCertificate], faults: &mut Vec<String>) -> Vec<(PathBuf, i64)> {
    let paths = tls.certificates.iter().map(|files| files.certificate.clone());
    let mut expiries: Vec<_> = paths
        .zip(certificates.iter().map(|certificate| certificate.expires_unix))
        .collect();
    if let Some(clients) = &tls.client_auth {
        match first_expiry(clients) {
            Ok(expires_unix) => expiries.push((clients.ca.clone(), expires_unix)),
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    expiries
}

/// `notAfter` (Unix seconds) of the authority that expires first.
fn first_expiry(clients: &ClientAuth) -> Result<i64, FileFault> {
    let authorities = certificates(&clients.ca)?;
    let authorities = parse(&clients.ca, &authorities)?;
    let expiries = authorities
        .iter()
        .map(|authority| authority.validity().not_after.timestamp());
    Ok(expiries.min().unwrap_or(i64::MAX))
}

fn configuration(tls: &ListenerTls, names: CertificateResolver) -> Result<ServerConfig, String> {
    static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    let versions = match tls.minimum {
        TlsVersion::Tls12 => &BOTH[..],
        TlsVersion::Tls13 => &BOTH[..1],
    };
    let versions_missing = |_| String::from("no version of TLS is available: install another build of hookgate");
    let no_random =
        |_| String::from("no key for session tickets can be made, because the system gives no random bytes");
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(versions_missing)?;
    let Some(clients) = &tls.client_auth else {
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(names));
        // Stateless tickets: the server stores nothing for a sender between connections. The ticket key is created
        // here, encrypts new tickets for six hours, decrypts old ones for six more, and is never written to disk.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(no_random)?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        return Ok(config);
    };
    let text = |fault: FileFault| fault.to_string();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(Some(&clients.ca)).map_err(text)?), provider());
    let verifier = match &clients.crl {
        // A certificate whose revocation is not known is refused, and so is every certificate once a list is overdue.
        Some(path) => verifier
            .with_crls(super::revocation_lists(path).map_err(text)?)
            .enforce_revocation_expiration(),
        None => verifier,
    };
    let verifier = if clients.required {
        verifier
    } else {
        verifier.allow_unauthenticated()
    };
    let verifier = verifier
        .build()
        .map_err(|_| {
            format!(
                "client certificates cannot be checked with {}: write the path of a PEM file with certificates of authorities, and as `crl` one with their revocation lists",
                clients.ca.display()
            )
        })?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(names));
    // No resumption: a resumed session presents no certificate again, so one that has expired would still be accepted.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

/// Chooses the certificate by the server name (SNI) of the handshake.
#[derive(Debug)]
struct CertificateResolver {
    /// For a handshake without a name or with an unknown one: the first certificate, then those that share a name with it.
    default: Vec<Arc<CertifiedKey>>,
    /// By DNS name in lower case; wildcards begin with `*.`. Certificates of one name are in the order of the file.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl CertificateResolver {
    /// `None` without any certificate. The first one is the default.
    fn new(certificates: Vec<LoadedCertificate>) -> Option<Self> {
        let first_names = certificates.first()?.names.dns.clone();
        let mut default = Vec::new();
        let mut by_name: HashMap<String, Vec<_>> = HashMap::new();
        for LoadedCertificate { key, names, .. } in certificates {
            if default.is_empty() || names.dns.iter().any(|name| first_names.contains(name)) {
                default.push(key.clone());
            }
            for name in names.dns {
                by_name.entry(name).or_default().push(key.clone());
            }
        }
        Some(Self { default, by_name })
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let by_name = hello.server_name().filter(|_| self.by_name.len() > 1).and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard?))
        });
        let candidates = by_name.unwrap_or(&self.default);
        // The first whose kind of key the sender can verify; without one the first, and the handshake says why it fails.
        let usable = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(hello.signature_schemes()).is_some();
        candidates.iter().find(usable).or_else(|| candidates.first()).cloned()
    }
}
