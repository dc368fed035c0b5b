//! TLS on both sides: what senders are shown, and what we show and accept at an upstream.
//!
//! Certificates can be replaced while connections are served: the server configuration asks [`Certificates`] at every
//! handshake, and a reload swaps what that holds. Everything is rustls with aws-lc-rs; 0-RTT stays off, since a webhook
//! must not be taken twice.

use crate::settings::{CertificateFiles, Target, Tls, TlsVersion, Upstream};
use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Protocols offered to senders, best first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate with its key, and what a person wants to know of it.
#[derive(Debug)]
pub struct Certificate {
    /// What rustls presents.
    pub key: Arc<CertifiedKey>,
    /// DNS names of the leaf, lower case, `*.` included.
    pub names: Vec<String>,
    /// `notAfter` of the leaf, Unix seconds.
    pub expires: i64,
}

/// Reads and checks a PEM chain with its PEM key.
///
/// # Errors
/// One sentence that names the file and what is wrong with it.
pub fn certificate(files: &CertificateFiles) -> Result<Certificate, String> {
    let path = files.certificate.display();
    let chain = chain(&files.certificate)?;
    let leaf = chain.first().ok_or_else(|| format!("{path} has no certificate"))?;
    let (names, expires) = inspect(leaf).map_err(|error| format!("{path}: {error}"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("{} is not a PEM private key: {error}", files.key.display()))?;
    let key = CertifiedKey::from_der(chain.clone(), key, &provider())
        .map_err(|error| format!("{path} and {} do not belong together: {error}", files.key.display()))?;
    Ok(Certificate {
        key: Arc::new(key),
        names,
        expires,
    })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |error| format!("{} is not a PEM certificate: {error}", path.display());
    CertificateDer::pem_file_iter(path)
        .map_err(named)?
        .collect::<Result<_, _>>()
        .map_err(named)
}

fn inspect(leaf: &CertificateDer<'_>) -> Result<(Vec<String>, i64), String> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| format!("the first certificate: {error}"))?;
    let names = leaf
        .subject_alternative_name()
        .ok()
        .flatten()
        .map_or_else(Vec::new, |names| {
            let dns = |name: &GeneralName<'_>| {
                if let GeneralName::DNSName(name) = name {
                    Some(name.to_ascii_lowercase())
                } else {
                    None
                }
            };
            names.value.general_names.iter().filter_map(dns).collect()
        });
    Ok((names, leaf.validity().not_after.timestamp()))
}

/// The certificates of one listener, replaced as a whole.
#[derive(Debug)]
pub struct Certificates(ArcSwap<Chosen>);

#[derive(Debug)]
struct Chosen {
    default: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
    expiries: Vec<(PathBuf, i64)>,
}

impl Certificates {
    /// Reads every file of `tls`.
    ///
    /// # Errors
    /// One sentence for each pair that cannot be used.
    pub fn load(tls: &Tls) -> Result<Self, Vec<String>> {
        let (certificates, faults) = read_all(tls);
        match choose(tls, &certificates) {
            Some(chosen) if faults.is_empty() => Ok(Self(ArcSwap::from_pointee(chosen))),
            Some(_) | None => Err(faults),
        }
    }

    /// Path and `notAfter` (Unix seconds) of each.
    #[must_use]
    pub fn expiries(&self) -> Vec<(PathBuf, i64)> {
        self.0.load().expiries.clone()
    }

    /// Serves what `new` holds from the next handshake on.
    pub fn replace(&self, new: Self) {
        self.0.store(new.0.into_inner());
    }
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

fn choose(tls: &Tls, certificates: &[Certificate]) -> Option<Chosen> {
    let mut by_name = HashMap::new();
    for certificate in certificates {
        for name in &certificate.names {
            by_name.entry(name.clone()).or_insert_with(|| certificate.key.clone());
        }
    }
    let paths = tls.certificates.iter().map(|files| files.certificate.clone());
    let expiries = paths
        .zip(certificates.iter().map(|certificate| certificate.expires))
        .collect();
    let default = certificates.first()?.key.clone();
    Some(Chosen {
        default,
        by_name,
        expiries,
    })
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = self.0.load();
        let by_name = hello
            .server_name()
            .filter(|_| chosen.by_name.len() > 1)
            .and_then(|name| {
                let name = name.to_ascii_lowercase();
                let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
                chosen.by_name.get(&name).or_else(|| chosen.by_name.get(&wildcard?))
            });
        Some(by_name.unwrap_or(&chosen.default).clone())
    }
}

/// The server side of one listener.
///
/// # Errors
/// When the system's randomness fails while making a ticket key.
pub fn server(tls: &Tls, certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, rustls::Error> {
    static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    let versions = match tls.minimum {
        TlsVersion::Tls12 => &BOTH[..],
        TlsVersion::Tls13 => &BOTH[..1],
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    // Stateless tickets: nothing is kept for a sender between connections, and the key rotates by itself.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// The client side for an upstream; `None` for one without TLS.
///
/// # Errors
/// One sentence that names the file or what the platform lacks.
pub fn connector(upstream: &Upstream) -> Result<Option<TlsConnector>, String> {
    // All servers of one upstream have the same.
    let of_tls = upstream.servers.iter().find_map(|server| match &server.target {
        Target::Tls { ca, client, .. } => Some((ca, client)),
        Target::Tcp { .. } | Target::Unix(_) => None,
    });
    let Some((ca, client)) = of_tls else {
        return Ok(None);
    };
    let roots = roots(ca.as_deref())?;
    let verifier: Arc<dyn ServerCertVerifier> =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| format!("upstream roots: {error}"))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let certificate = certificate(files)?;
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certificate.key)))
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in chain(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            // A platform's store may hold a few certificates that rustls does not take; the rest is what counts.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("no root certificate to check an https upstream with: install ca-certificates or set `ca`".into());
    }
    Ok(roots)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
