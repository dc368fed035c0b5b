//! The listeners' side of TLS: which certificate a sender is shown, which of its own is believed, and how all of that is
//! replaced while connections are served.
//!
//! One rustls configuration is in force at a time, and every handshake begins with the one of its moment, so a swap fails
//! none. A reload that finds the same content keeps what is in force; any other brings new ticket keys with it, so that
//! nobody resumes a session past what has changed.

use super::{Certificate, Stream, certificate, chain, content, provider, roots};
use crate::settings::{ClientAuth, Tls, TlsVersion};
use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Protocols offered to senders, best first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS of one listener, replaced as a whole.
#[derive(Debug)]
pub struct Server(ArcSwap<Serving>);

#[derive(Debug)]
struct Serving {
    config: Arc<ServerConfig>,
    settings: Tls,
    /// Of every file, when it was read.
    content: u64,
    expiries: Vec<(PathBuf, i64)>,
}

impl Server {
    /// Reads every file of `tls`.
    ///
    /// # Errors
    /// One sentence for each file that cannot be used, with its path.
    pub fn load(tls: &Tls) -> Result<Self, Vec<String>> {
        // Before anything is read: what changes from here on is another content.
        let content = content(files(tls));
        let (certificates, mut faults) = read_all(tls);
        let expiries = expiries(tls, &certificates, &mut faults);
        let config = match Names::of(certificates) {
            Some(names) if faults.is_empty() => configuration(tls, names).map_err(|fault| vec![fault])?,
            Some(_) | None => return Err(faults),
        };
        Ok(Self(ArcSwap::from_pointee(Serving {
            config: Arc::new(config),
            settings: tls.clone(),
            content,
            expiries,
        })))
    }

    /// Performs a handshake under what is in force now; the caller bounds the time.
    ///
    /// # Errors
    /// As [`Stream::accept`] says.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, io: S) -> io::Result<Stream<S>> {
        let config = self.0.load().config.clone();
        Stream::accept(config, io).await
    }

    /// Whether the application is told whose certificate a sender showed.
    #[must_use]
    pub fn forwards_subject(&self) -> bool {
        let clients = &self.0.load().settings.client_auth;
        clients.as_ref().is_some_and(|clients| clients.forward_subject)
    }

    /// Path and `notAfter` (Unix seconds) of each certificate, those of the senders' authorities included.
    #[must_use]
    pub fn expiries(&self) -> Vec<(PathBuf, i64)> {
        self.0.load().expiries.clone()
    }

    /// Serves what `new` holds from the next handshake on; nothing happens when that is what is in force, so that senders
    /// go on resuming their sessions.
    pub fn replace(&self, new: Self) {
        let new = new.0.into_inner();
        let old = self.0.load();
        if old.content != new.content || old.settings != new.settings {
            self.0.store(new);
        }
    }
}

fn files(tls: &Tls) -> impl Iterator<Item = &PathBuf> {
    let pairs = tls
        .certificates
        .iter()
        .flat_map(|files| [&files.certificate, &files.key]);
    pairs.chain(tls.client_auth.as_ref().map(|clients| &clients.ca))
}

fn read_all(tls: &Tls) -> (Vec<Certificate>, Vec<String>) {
    let mut certificates = Vec::new();
    let mut faults = Vec::new();
    for files in &tls.certificates {
        match certificate(files) {
            Ok(certificate) => certificates.push(certificate),
            Err(fault) => faults.push(fault),
        }
    }
    (certificates, faults)
}

fn expiries(tls: &Tls, certificates: &[Certificate], faults: &mut Vec<String>) -> Vec<(PathBuf, i64)> {
    let paths = tls.certificates.iter().map(|files| files.certificate.clone());
    let mut expiries: Vec<_> = paths
        .zip(certificates.iter().map(|certificate| certificate.expires))
        .collect();
    if let Some(clients) = &tls.client_auth {
        match first_expiry(clients) {
            Ok(expires) => expiries.push((clients.ca.clone(), expires)),
            Err(fault) => faults.push(fault),
        }
    }
    expiries
}

/// Of several authorities the one that expires first is the one to tell about.
fn first_expiry(clients: &ClientAuth) -> Result<i64, String> {
    let path = clients.ca.display();
    let mut first = i64::MAX;
    for authority in chain(&clients.ca)? {
        let (_, expires) = super::inspect(&authority).map_err(|error| format!("{path}: {error}"))?;
        first = first.min(expires);
    }
    Ok(first)
}

fn configuration(tls: &Tls, names: Names) -> Result<ServerConfig, String> {
    static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    let versions = match tls.minimum {
        TlsVersion::Tls12 => &BOTH[..],
        TlsVersion::Tls13 => &BOTH[..1],
    };
    let plain = |error: rustls::Error| error.to_string();
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(plain)?;
    let Some(clients) = &tls.client_auth else {
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(names));
        // Stateless tickets: nothing is kept for a sender between connections. The key is made here, is used for new
        // tickets for six hours and opens old ones for six more; it is never written anywhere.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(plain)?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        return Ok(config);
    };
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(Some(&clients.ca))?), provider());
    let verifier = if clients.required {
        verifier
    } else {
        verifier.allow_unauthenticated()
    };
    let verifier = verifier
        .build()
        .map_err(|error| format!("{}: {error}", clients.ca.display()))?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(names));
    // A resumed session is not asked for its certificate again: one that has expired meanwhile would stay welcome.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

/// Chooses the certificate by the name that the sender asks for.
#[derive(Debug)]
struct Names {
    default: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Names {
    fn of(certificates: Vec<Certificate>) -> Option<Self> {
        let default = certificates.first()?.key.clone();
        let mut by_name = HashMap::new();
        for Certificate { key, names, .. } in certificates {
            for name in names {
                by_name.entry(name).or_insert_with(|| key.clone());
            }
        }
        Some(Self { default, by_name })
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let by_name = hello.server_name().filter(|_| self.by_name.len() > 1).and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard?))
        });
        Some(by_name.unwrap_or(&self.default).clone())
    }
}
