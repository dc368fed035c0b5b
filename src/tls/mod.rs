//! TLS for listeners and for connections to upstreams and the replay store.
//!
//! This file has the client side and the parts that both sides share: authorities and revocation lists. All TLS is rustls with aws-lc-rs. 0-RTT is off, because early data can be replayed and a webhook must not be accepted
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
//! | [`key_pair`] | a certificate chain with its key, and what senders would not accept of it |
//! | [`pem_file`] | reads PEM files, and explains one with something else |
//! | [`subject`](mod@subject) | the subject of a certificate as text |

mod acceptor;
pub mod failure;
mod key_pair;
mod pem_file;
mod session;
mod stream;
mod subject;

pub use acceptor::Acceptor;
pub use key_pair::{LoadedCertificate, certificate};
pub use pem_file::FileFault;
pub use stream::{FailedHandshake, Stream};
pub use subject::subject;

use crate::settings::{CertificateFiles, Upstream, UpstreamTarget};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateRevocationListDer;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

/// Reads the revocation lists of a PEM file, which has at least one.
///
/// # Errors
/// The file, the fault and what to do.
pub fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, FileFault> {
    let lists = pem_file::revocation_lists(path)?;
    for list in &lists {
        // Every check of a certificate needs to know until when the list is valid.
        let problem = match CertificateRevocationList::from_der(list) {
            Ok((_, list)) if list.next_update().is_some() => continue,
            Ok(_) => "does not say when it ends (nextUpdate)",
            Err(_) => "is not valid X.509",
        };
        return Err(FileFault::new(
            format!("a revocation list in {} {problem}", path.display()),
            "let the authority issue it again, such as with `openssl ca -gencrl -crldays 30`",
        ));
    }
    Ok(lists)
}

/// Makes the client side of TLS for upstreams. Upstreams with the same files share one, so that many upstreams do not
/// read the same authorities many times. A load of the configuration has one of its own, and so reads every file again.
#[derive(Default)]
pub struct Connectors {
    known: HashMap<ClientFiles, TlsConnector>,
}

/// The files of `ca` and `client`.
type ClientFiles = (Option<PathBuf>, Option<CertificateFiles>);

impl Connectors {
    /// The client side of TLS for an upstream; `None` for an upstream without TLS.
    ///
    /// # Errors
    /// The file or what is missing on the platform, and what to do.
    pub fn connector(&mut self, upstream: &Upstream) -> Result<Option<TlsConnector>, FileFault> {
        // All servers of one upstream have the same TLS settings.
        let files = upstream.servers.iter().find_map(|server| match &server.target {
            UpstreamTarget::Tls { ca, client, .. } => Some((ca.clone(), client.clone())),
            UpstreamTarget::Tcp { .. } | UpstreamTarget::Unix(_) => None,
        });
        let Some(files) = files else {
            return Ok(None);
        };
        if let Some(known) = self.known.get(&files) {
            return Ok(Some(known.clone()));
        }
        let new = connector(&files)?;
        self.known.insert(files, new.clone());
        Ok(Some(new))
    }
}

fn connector((ca, client): &ClientFiles) -> Result<TlsConnector, FileFault> {
    let roots = roots(ca.as_deref())?;
    let verifier: Arc<dyn ServerCertVerifier> =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|_| no_roots(ca.as_deref()))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|_| no_versions())?
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
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The client side of TLS for the shared replay store. `ca` as in [`roots`].
///
/// # Errors
/// The file or what is missing on the platform, and what to do.
pub fn store_connector(ca: Option<&Path>) -> Result<TlsConnector, FileFault> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|_| no_versions())?;
    let config = builder.with_root_certificates(roots(ca)?).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The trusted authorities: the certificates of the PEM file `ca`, or those of the platform if it is `None`.
///
/// # Errors
/// The file or what is missing on the platform, and what to do.
pub fn roots(ca: Option<&Path>) -> Result<RootCertStore, FileFault> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for (at, certificate) in pem_file::certificates(path)?.into_iter().enumerate() {
                roots.add(certificate).map_err(|_| {
                    FileFault::new(
                        format!("certificate {} of {} cannot be an authority", at + 1, path.display()),
                        "write the path of a PEM file with certificates of authorities, each X.509 version 3",
                    )
                })?;
            }
        }
        None => {
            // A platform's store may contain some certificates that rustls does not accept; the others are used.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(no_roots(ca));
    }
    Ok(roots)
}

fn no_roots(ca: Option<&Path>) -> FileFault {
    match ca {
        Some(path) => FileFault::new(
            format!("{} has no root certificate", path.display()),
            "write the path of a PEM file with root certificates",
        ),
        None => FileFault::new(
            "there is no root certificate to check a server's certificate with",
            "install ca-certificates or set `ca`",
        ),
    }
}

/// Cannot occur: the versions are those of the library itself.
fn no_versions() -> FileFault {
    FileFault::new("no version of TLS is available", "install another build of hookgate")
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
