//! The TLS configuration of a listener: the server certificates, the authorities for client certificates, and their
//! replacement while connections are served.
//!
//! One rustls configuration is active at a time. Every handshake uses the one that is active when it begins, so a
//! replacement breaks no handshake. A reload that finds unchanged files and settings keeps the active configuration.
//! Any other reload creates new ticket keys, so that no session from before the change can be resumed.

use super::key_exchange::listener_provider;
use super::key_pair::parse;
use super::pem_file::certificates;
use super::{
    CHALLENGE_PROTOCOL, FailedHandshake, FileFault, IssuedCertificate, LoadedCertificate, Stream, certificate,
    content_hash, provider, roots,
};
use crate::settings::{Acme, CertificateFiles, CertificateSource, ClientAuth, ListenerTls, TlsVersion};
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
    /// The certificates that are issued while the process runs.
    issued: Vec<Arc<IssuedCertificate>>,
}

impl Acceptor {
    /// Reads every file of `tls`; `issued` gives the certificates that are not in files.
    ///
    /// # Errors
    /// One sentence with the path for each file that cannot be used, and for each certificate that `issued` refuses.
    pub fn load(
        tls: &ListenerTls,
        issued: impl FnMut(&Acme) -> Result<Arc<IssuedCertificate>, String>,
    ) -> Result<Self, Vec<String>> {
        // The hash is taken before the files are read: a change during the reading is then found by the next reload.
        let content = content_hash(files(tls));
        let (certificates, mut faults) = read_all(tls, issued);
        let expiries = expiries(tls, &certificates, &mut faults);
        let resolver = CertificateResolver::new(certificates);
        let issued = resolver
            .as_ref()
            .map_or_else(Vec::new, |resolver| resolver.issued.clone());
        let config = match resolver {
            Some(names) if faults.is_empty() => configuration(tls, names).map_err(|fault| vec![fault])?,
            Some(_) | None => return Err(faults),
        };
        Ok(Self(ArcSwap::from_pointee(Active {
            config: Arc::new(config),
            settings: tls.clone(),
            content,
            expiries,
            issued,
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

    /// Whether a certificate of the listener is still to be issued.
    #[must_use]
    pub fn awaits_certificate(&self) -> bool {
        self.0.load().issued.iter().any(|issued| issued.current().is_none())
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
    let pairs = paired_files(tls).flat_map(|files| [&files.certificate, &files.key]);
    let clients = tls.client_auth.iter();
    pairs.chain(clients.flat_map(|clients| std::iter::once(&clients.ca).chain(&clients.crl)))
}

/// The certificates that are in files.
fn paired_files(tls: &ListenerTls) -> impl Iterator<Item = &CertificateFiles> {
    tls.certificates.iter().filter_map(|source| match source {
        CertificateSource::Files(files) => Some(files),
        CertificateSource::Acme(_) => None,
    })
}

fn read_all(
    tls: &ListenerTls,
    mut issued: impl FnMut(&Acme) -> Result<Arc<IssuedCertificate>, String>,
) -> (Vec<Served>, Vec<String>) {
    let mut certificates = Vec::new();
    let mut faults = Vec::new();
    for source in &tls.certificates {
        let served = match source {
            CertificateSource::Files(files) => certificate(files)
                .map(|certificate| Served::Files(Box::new(certificate)))
                .map_err(|fault| fault.to_string()),
            CertificateSource::Acme(acme) => issued(acme).map(Served::Issued),
        };
        match served {
            Ok(served) => certificates.push(served),
            Err(fault) => faults.push(fault),
        }
    }
    (certificates, faults)
}

fn expiries(tls: &ListenerTls, certificates: &[Served], faults: &mut Vec<String>) -> Vec<(PathBuf, i64)> {
    let paths = paired_files(tls).map(|files| files.certificate.clone());
    let ends = certificates.iter().filter_map(|served| match served {
        Served::Files(certificate) => Some(certificate.expires_unix),
        // It changes while the process runs, and is sampled.
        Served::Issued(_) => None,
    });
    let mut expiries: Vec<_> = paths.zip(ends).collect();
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
    let builder = ServerConfig::builder_with_provider(listener_provider())
        .with_protocol_versions(versions)
        .map_err(versions_missing)?;
    let mut protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    if !names.issued.is_empty() {
        protocols.push(CHALLENGE_PROTOCOL.to_vec());
    }
    let Some(clients) = &tls.client_auth else {
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(names));
        // Stateless tickets: the server stores nothing for a sender between connections. The ticket key is created
        // here, encrypts new tickets for six hours, decrypts old ones for six more, and is never written to disk.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(no_random)?;
        config.alpn_protocols = protocols;
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
    config.alpn_protocols = protocols;
    Ok(config)
}

/// A certificate of the listener.
enum Served {
    /// Read from files.
    Files(Box<LoadedCertificate>),
    /// Issued while the process runs.
    Issued(Arc<IssuedCertificate>),
}

/// A certificate that a name leads to.
#[derive(Clone, Debug)]
enum Choice {
    Files(Arc<CertifiedKey>),
    Issued(Arc<IssuedCertificate>),
}

impl Choice {
    /// The certificate now; `None` for one that is not issued yet.
    fn now(&self) -> Option<Arc<CertifiedKey>> {
        match self {
            Self::Files(key) => Some(key.clone()),
            Self::Issued(issued) => issued.current().map(|certificate| certificate.key.clone()),
        }
    }
}

/// Chooses the certificate by the server name (SNI) of the handshake.
#[derive(Debug)]
struct CertificateResolver {
    /// For a handshake without a name or with an unknown one: the first certificate, then those that share a name with it.
    default: Vec<Choice>,
    /// By DNS name in lower case; wildcards begin with `*.`. Certificates of one name are in the order of the file.
    by_name: HashMap<String, Vec<Choice>>,
    /// The certificates that challenges are answered for.
    issued: Vec<Arc<IssuedCertificate>>,
}

impl CertificateResolver {
    /// `None` without any certificate. The first one is the default.
    fn new(certificates: Vec<Served>) -> Option<Self> {
        let (mut default, mut issued) = (Vec::new(), Vec::new());
        let mut first_names: Option<Vec<String>> = None;
        let mut by_name: HashMap<String, Vec<_>> = HashMap::new();
        for served in certificates {
            let (choice, names) = match served {
                Served::Files(certificate) => (Choice::Files(certificate.key), certificate.names.dns),
                Served::Issued(certificate) => {
                    let names = certificate.names().to_vec();
                    issued.push(certificate.clone());
                    (Choice::Issued(certificate), names)
                }
            };
            let first_names = first_names.get_or_insert_with(|| names.clone());
            if default.is_empty() || names.iter().any(|name| first_names.contains(name)) {
                default.push(choice.clone());
            }
            for name in names {
                by_name.entry(name).or_default().push(choice.clone());
            }
        }
        (!default.is_empty()).then_some(Self {
            default,
            by_name,
            issued,
        })
    }

    /// The answer to the challenge that this handshake checks; `None` inside for a challenge that nobody asked for.
    fn challenge(&self, hello: &ClientHello<'_>) -> Option<Option<Arc<CertifiedKey>>> {
        if self.issued.is_empty() || !hello.alpn()?.eq([CHALLENGE_PROTOCOL]) {
            return None;
        }
        let name = hello.server_name().map(str::to_ascii_lowercase);
        Some(name.and_then(|name| self.issued.iter().find_map(|issued| issued.challenge(&name))))
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(answer) = self.challenge(&hello) {
            return answer;
        }
        let by_name = hello.server_name().filter(|_| self.by_name.len() > 1).and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard?))
        });
        let candidates = || by_name.unwrap_or(&self.default).iter().filter_map(Choice::now);
        // The first whose kind of key the sender can verify; without one the first, and the handshake says why it fails.
        let usable = |certified: &Arc<CertifiedKey>| certified.key.choose_scheme(hello.signature_schemes()).is_some();
        candidates().find(usable).or_else(|| candidates().next())
    }
}
