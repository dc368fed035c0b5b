//! The HTTP client of `send` and `demo`: one connection, HTTP/1.1, over TCP or TLS.
//!
//! It is not the gateway's own client to its upstreams on purpose: what delivers a webhook in a demonstration should
//! share nothing with what receives it.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Whom to believe that they are the server.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// The platform's roots.
    Platform,
    /// The certificates of a PEM file.
    File(PathBuf),
    /// Anyone: for self-signed certificates in tests.
    Anyone,
}

/// Where to send: a parsed URL with what its connection needs.
#[derive(Clone)]
pub(super) struct Endpoint {
    address: String,
    authority: HeaderValue,
    target: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// One open connection.
pub(super) struct Session {
    sender: SendRequest<Full<Bytes>>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Endpoint {
    /// # Errors
    /// One sentence for the person who wrote the URL or the file.
    pub(super) fn new(url: &Uri, trust: &Trust) -> Result<Self, String> {
        let example = "write it like https://localhost:8443/webhooks/paddle";
        let authority = url
            .authority()
            .ok_or_else(|| format!("`{url}` is not a whole URL; {example}"))?;
        let (port, is_tls) = match url.scheme_str() {
            Some("https") => (443, true),
            Some("http") => (80, false),
            Some(_) | None => return Err(format!("`{url}` is neither http nor https; {example}")),
        };
        if authority.as_str().contains('@') {
            return Err(format!("a user name or password in a URL is not supported; {example}"));
        }
        let host = authority.host();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let tls = match is_tls {
            true => {
                let name = ServerName::try_from(name.to_owned()).map_err(|_| format!("`{name}` is not a host name"))?;
                Some((TlsConnector::from(Arc::new(tls(trust)?)), name))
            }
            false => None,
        };
        Ok(Self {
            address: format!("{host}:{}", authority.port_u16().unwrap_or(port)),
            authority: HeaderValue::try_from(authority.as_str()).map_err(|error| error.to_string())?,
            target: url.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            tls,
        })
    }

    /// Path and query.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// The same server, another path.
    pub(super) fn at(&self, target: &str) -> Self {
        Self {
            target: target.to_owned(),
            ..self.clone()
        }
    }

    /// # Errors
    /// One sentence that says what to try.
    pub(super) async fn connect(&self) -> Result<Session, String> {
        let Self { address, .. } = self;
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connected
            .map_err(|_| format!("{address} does not accept a connection"))?
            .map_err(|error| format!("cannot connect to {address}: {error}"))?;
        // Small requests go out at once; a failure only costs time.
        let _ = stream.set_nodelay(true);
        let Some((connector, name)) = &self.tls else {
            return Session::new(stream).await;
        };
        let shaken = timeout(CONNECT_TIMEOUT, connector.connect(name.clone(), stream)).await;
        let stream = shaken
            .map_err(|_| format!("{address} does not finish the TLS handshake"))?
            .map_err(|error| {
                format!("no TLS with {address}: {error}; for a self-signed certificate use --ca FILE or --insecure")
            })?;
        Session::new(stream).await
    }

    /// A request with `headers`; Host and User-Agent are set when they are not among them.
    pub(super) fn request(
        &self,
        method: Method,
        body: Bytes,
        headers: HeaderMap,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self
            .target
            .parse()
            .map_err(|error| format!("`{}`: {error}", self.target))?;
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.entry(HOST).or_insert_with(|| self.authority.clone());
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        Ok(request)
    }
}

impl Session {
    async fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, String> {
        let shaken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| format!("no HTTP: {error}"))?;
        // Ends with the connection; what went wrong on it is told by the request that it failed.
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Whether another request can go over this connection.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// # Errors
    /// One sentence; whether the request arrived is then unknown.
    pub(super) async fn exchange(&mut self, request: Request<Full<Bytes>>, limit: Duration) -> Result<Answer, String> {
        let exchange = async {
            self.sender.ready().await.map_err(|error| told(&error))?;
            let response = self.sender.send_request(request).await.map_err(|error| told(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
            let body = body
                .map_err(|error| format!("the answer broke off: {error}"))?
                .to_bytes();
            Ok(Answer { status, body })
        };
        let late = |_| format!("no answer within {}", humantime::format_duration(limit));
        timeout(limit, exchange).await.map_err(late)?
    }
}

/// hyper's error with its cause, which is the part that helps.
fn told(error: &hyper::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => format!("no answer: {error}: {cause}"),
        None => format!("no answer: {error}"),
    }
}

fn tls(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    let builder = match trust {
        Trust::Anyone => {
            let verifier = Arc::new(Unverified(provider.signature_verification_algorithms));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
        Trust::File(path) => {
            let named = |error: &dyn std::fmt::Display| format!("{} is not a PEM certificate: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| named(&error))? {
                let certificate = certificate.map_err(|error| named(&error))?;
                roots.add(certificate).map_err(|error| named(&error))?;
            }
            builder.with_root_certificates(roots)
        }
        Trust::Platform => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            builder.with_root_certificates(roots)
        }
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// `--insecure`: any certificate will do, but the handshake's own signatures are still checked.
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, leaf, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

const AGENT: &str = concat!("hookgate/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const LARGEST_ANSWER: usize = 16 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn endpoint(url: &str) -> Result<Endpoint, String> {
        Endpoint::new(&url.parse().unwrap(), &Trust::Anyone)
    }

    #[test]
    fn urls_become_endpoints() {
        for (url, address, target, is_tls) in [
            (
                "https://localhost:8443/webhooks/paddle?a=1",
                "localhost:8443",
                "/webhooks/paddle?a=1",
                true,
            ),
            ("https://example.com", "example.com:443", "/", true),
            ("http://[::1]:8000/x", "[::1]:8000", "/x", false),
            ("https://127.0.0.1/x", "127.0.0.1:443", "/x", true),
        ] {
            let endpoint = endpoint(url).unwrap();
            assert_eq!(
                (endpoint.address.as_str(), endpoint.target(), endpoint.tls.is_some()),
                (address, target, is_tls)
            );
        }
    }

    #[test]
    fn what_is_no_url_is_told_how_to_write_one() {
        for url in [
            "/webhooks/paddle",
            "localhost:8443",
            "ftp://localhost/x",
            "https://user:password@localhost/",
        ] {
            let error = endpoint(url).err().unwrap();
            assert!(
                error.contains("https://localhost:8443/webhooks/paddle"),
                "{url}: {error}"
            );
            assert!(!error.contains("password@"), "{error}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_with_the_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = endpoint(&format!("http://{address}/"))
            .unwrap()
            .connect()
            .await
            .err()
            .unwrap();
        assert!(error.contains(&address.to_string()), "{error}");
    }
}
