//! TLS for listeners and for connections to upstreams and the replay store.
//!
//! This file has the client side and the parts that both sides share: reading certificates, keys and authorities. All
//! TLS is rustls with aws-lc-rs. 0-RTT is off, because early data can be replayed and a webhook must not be accepted
//! twice.
//!
//! Each module imports only from those below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`acceptor`] | the TLS configuration of a listener, which a reload replaces |
//! | [`stream`] | the TLS connection of a sender as a byte stream |
//! | [`session`] | a TLS session without I/O |
//! | [`failure`] | why a handshake failed, in words |
//! | [`subject`](mod@subject) | the subject of a certificate as text |

mod acceptor;
pub mod failure;
mod session;
mod stream;
mod subject;

pub use acceptor::Acceptor;
pub use stream::{FailedHandshake, Stream};
pub use subject::subject;

use crate::settings::{CertificateFiles, Upstream, UpstreamTarget};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, GeneralName, X509Certificate};

/// A certificate chain with its private key, and properties of the leaf certificate.
#[derive(Debug)]
pub struct LoadedCertificate {
    /// The chain and the key in the form that rustls uses.
    pub key: Arc<CertifiedKey>,
    /// DNS names of the leaf in lower case; wildcards begin with `*.`.
    pub names: Vec<String>,
    /// `notAfter` of the leaf, Unix seconds.
    pub expires_unix: i64,
}

/// Reads a PEM certificate chain and its PEM key and checks that they belong together.
///
/// # Errors
/// One sentence that names the file and the fault.
pub fn certificate(files: &CertificateFiles) -> Result<LoadedCertificate, String> {
    let path = files.certificate.display();
    let chain = chain(&files.certificate)?;
    let leaf = chain.first().ok_or_else(|| format!("{path} has no certificate"))?;
    let (names, expires_unix) = inspect(leaf).map_err(|error| format!("{path}: {error}"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("{} is not a PEM private key: {error}", files.key.display()))?;
    let key = CertifiedKey::from_der(chain.clone(), key, &provider())
        .map_err(|error| format!("{path} and {} do not belong together: {error}", files.key.display()))?;
    Ok(LoadedCertificate {
        key: Arc::new(key),
        names,
        expires_unix,
    })
}

/// Reads the certificates of a PEM file.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |error| format!("{} is not a PEM certificate: {error}", path.display());
    CertificateDer::pem_file_iter(path)
        .map_err(named)?
        .collect::<Result<_, _>>()
        .map_err(named)
}

/// Reads the revocation lists of a PEM file, which has at least one.
///
/// # Errors
/// One sentence that names the file.
pub fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let named = |error| format!("{} is not a PEM revocation list: {error}", path.display());
    let lists: Vec<_> = CertificateRevocationListDer::pem_file_iter(path)
        .map_err(named)?
        .collect::<Result<_, _>>()
        .map_err(named)?;
    for list in &lists {
        check_revocation_list(list).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if lists.is_empty() {
        return Err(format!("{} has no revocation list", path.display()));
    }
    Ok(lists)
}

/// Checks that a revocation list says until when it is valid, which every check of a certificate needs.
fn check_revocation_list(list: &CertificateRevocationListDer<'_>) -> Result<(), String> {
    let (_, parsed) = CertificateRevocationList::from_der(list)
        .map_err(|error| format!("the revocation list is not valid X.509: {error}"))?;
    match parsed.next_update() {
        Some(_) => Ok(()),
        None => Err("the revocation list does not say when it ends (nextUpdate)".into()),
    }
}

/// The DNS names and `notAfter` (Unix seconds) of a certificate.
fn inspect(leaf: &CertificateDer<'_>) -> Result<(Vec<String>, i64), String> {
    let (_, leaf) = X509Certificate::from_der(leaf)
        .map_err(|error| format!("the first certificate is not valid X.509: {error}"))?;
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

/// The client side of TLS for an upstream; `None` for an upstream without TLS.
///
/// # Errors
/// One sentence that names the file, or says what is missing on the platform.
pub fn connector(upstream: &Upstream) -> Result<Option<TlsConnector>, String> {
    // All servers of one upstream have the same TLS settings.
    let tls_settings = upstream.servers.iter().find_map(|server| match &server.target {
        UpstreamTarget::Tls { ca, client, .. } => Some((ca, client)),
        UpstreamTarget::Tcp { .. } | UpstreamTarget::Unix(_) => None,
    });
    let Some((ca, client)) = tls_settings else {
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

/// The client side of TLS for the shared replay store. `ca` as in [`roots`].
///
/// # Errors
/// One sentence that names the file, or says what is missing on the platform.
pub fn store_connector(ca: Option<&Path>) -> Result<TlsConnector, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = builder.with_root_certificates(roots(ca)?).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The trusted authorities: the certificates of the PEM file `ca`, or those of the platform if it is `None`.
///
/// # Errors
/// One sentence that names the file, or says what is missing on the platform.
pub fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
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
            // A platform's store may contain some certificates that rustls does not accept; the others are used.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(ca.map_or_else(
            || "no root certificate to check a server's certificate with: install ca-certificates or set `ca`".into(),
            |path| format!("{} has no root certificate", path.display()),
        ));
    }
    Ok(roots)
}

/// A hash of the present content of the files, to find out whether a file has changed. It is neither stable between
/// processes nor cryptographic. A file that cannot be read counts with the kind of the error as its content.
pub fn content_hash<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(file).map_err(|error| error.kind()).hash(&mut hasher);
    }
    hasher.finish()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
