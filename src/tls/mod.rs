//! TLS for listeners and for connections to upstreams and the replay store.
//!
//! This file has the client side and the parts that both sides share: authorities and revocation lists. All TLS is rustls
//! with aws-lc-rs. 0-RTT is off, because early data can be replayed and a webhook must not be accepted twice.
//!
//! Each module imports only from those below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`acceptor`] | the TLS configuration of a listener, which a reload replaces |
//! | [`stream`] | the TLS connection of a sender as a byte stream |
//! | [`session`] | a TLS session without I/O |
//! | [`failure`] | why a handshake failed, in words |
//! | [`key_exchange`] | the groups of the key exchange |
//! | [`issued`] | a certificate that is issued while the process runs |
//! | [`key_pair`] | a certificate chain with its key, and what senders would not accept of it |
//! | [`server_trust`] | which certificates of a server a client trusts |
//! | [`names`] | the names of a certificate, and whether they cover a host |
//! | [`pem_file`] | reads PEM files, and explains one with something else |
//! | [`subject`](mod@subject) | the subject of a certificate as text |

mod acceptor;
pub mod failure;
mod issued;
mod key_exchange;
mod key_pair;
mod names;
mod pem_file;
mod server_trust;
mod session;
mod stream;
mod subject;

pub use acceptor::Acceptor;
pub use issued::{CHALLENGE_PROTOCOL, IssuedCertificate};
pub use key_exchange::KeyExchange;
pub use key_pair::{LoadedCertificate, certificate, certified, out_of_time};
pub use names::CertificateNames;
pub use pem_file::FileFault;
pub use stream::{FailedHandshake, Stream};
pub use subject::subject;

use self::server_trust::ServerTrust;
use crate::settings::{CertificateFiles, RedisServers, Upstream, UpstreamTarget};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
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
    let builder = client_builder(server_trust(ca.as_deref())?)?;
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

/// The client side of TLS for a server that hookgate asks by itself. `ca` as in [`roots`].
///
/// # Errors
/// The file or what is missing on the platform, and what to do.
pub fn store_connector(ca: Option<&Path>) -> Result<TlsConnector, FileFault> {
    let config = client_builder(server_trust(ca)?)?.with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The client side of TLS for a Redis; `None` where the connection has no TLS.
///
/// # Errors
/// The file or what is missing on the platform, and what to do.
pub fn redis_connector(servers: &RedisServers) -> Result<Option<TlsConnector>, FileFault> {
    let connector = servers.tls.then(|| store_connector(servers.ca.as_deref()));
    connector.transpose()
}

/// What a client checks a server's certificate with: the certificates of the PEM file `ca`, or the platform's authorities
/// if it is `None`.
///
/// # Errors
/// The file or what is missing on the platform, and what to do.
pub fn server_trust(ca: Option<&Path>) -> Result<Arc<dyn ServerCertVerifier>, FileFault> {
    let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca)?), provider())
        .build()
        .map_err(|_| no_roots(ca))?;
    let listed = ca.map(pem_file::certificates).transpose()?.unwrap_or_default();
    Ok(Arc::new(ServerTrust::new(authorities, listed)))
}

/// The beginning of a client's TLS configuration.
fn client_builder(
    trust: Arc<dyn ServerCertVerifier>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, FileFault> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|_| no_versions())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(trust))
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
pub fn content_hash<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(file).map_err(|error| error.kind()).hash(&mut hasher);
    }
    hasher.finish()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
