//! Where `send` and `demo` send their requests: a URL, and how its certificate is verified.

use super::client_tls::{self, Trust};
use crate::cli::client::Connection;
use crate::cli::inputs;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use rustls::pki_types::ServerName;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The value of the User-Agent header.
const AGENT: &str = concat!("hookgate/", env!("CARGO_PKG_VERSION"));
/// Longest wait for the TCP connection, and again for the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where requests are sent: a parsed URL, and what is needed to connect to it.
#[derive(Clone)]
pub(super) struct Destination {
    /// `host:port` to connect to.
    address: String,
    /// The value of the Host header.
    authority: HeaderValue,
    /// Path and query.
    target: String,
    /// TLS settings and the server name to verify; `None` for plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Parses a URL with its scheme.
///
/// # Errors
/// What to write instead.
pub(super) fn url(text: &str) -> Result<Uri, String> {
    match text.parse::<Uri>() {
        Ok(url) if url.scheme().is_some() => Ok(url),
        Ok(_) | Err(_) if !text.contains("://") && !text.starts_with('/') => {
            Err(format!("a URL begins with https:// or http://; write https://{text}"))
        }
        Ok(_) | Err(_) => Err(String::from("write it like https://localhost:8443/webhooks/paddle")),
    }
}

impl Destination {
    /// Parses the URL and prepares TLS.
    ///
    /// # Errors
    /// The URL is not an absolute HTTP or HTTPS URL, or the file of `trust` is not PEM. The text names the fix.
    pub(super) fn new(url: &Uri, trust: &Trust) -> Result<Self, String> {
        let example = "write it like https://localhost:8443/webhooks/paddle";
        let authority = url
            .authority()
            .ok_or_else(|| format!("`{url}` is not an absolute URL; {example}"))?;
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
                Some((TlsConnector::from(Arc::new(client_tls::configuration(trust)?)), name))
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

    /// The same server with another path and query.
    pub(super) fn at(&self, target: &str) -> Self {
        Self {
            target: target.to_owned(),
            ..self.clone()
        }
    }

    /// Opens a connection, with TLS where the URL is HTTPS. TCP and TLS have [`CONNECT_TIMEOUT`] each.
    ///
    /// # Errors
    /// No connection within the timeout, or no trusted certificate. The text names the address and the fix.
    pub(super) async fn connect(&self) -> Result<Connection, String> {
        let Self { address, .. } = self;
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connected
            .map_err(|_| {
                format!(
                    "{address} does not accept a connection within {} s",
                    CONNECT_TIMEOUT.as_secs()
                )
            })?
            .map_err(|error| match error.kind() == ErrorKind::ConnectionRefused {
                true => format!(
                    "cannot connect to {address}: nothing listens there; check that the gateway runs (`hookgate serve`), and \
                     the port of the URL"
                ),
                false => format!("cannot connect to {address}: {}; check the host of the URL", inputs::in_words(&error)),
            })?;
        // Sends small requests without delay. If the option cannot be set, requests are only slower.
        let _ = stream.set_nodelay(true);
        let Some((connector, name)) = &self.tls else {
            return Connection::new(stream).await;
        };
        let handshaken = timeout(CONNECT_TIMEOUT, connector.connect(name.clone(), stream)).await;
        let stream = handshaken
            .map_err(|_| {
                format!(
                    "{address} does not complete the TLS handshake within {} s",
                    CONNECT_TIMEOUT.as_secs()
                )
            })?
            .map_err(|error| client_tls::explain(address, &error))?;
        Connection::new(stream).await
    }

    /// Builds a request with `headers`. Host and User-Agent are added unless `headers` has them.
    ///
    /// # Errors
    /// The target is not valid in a request line.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn destination(url: &str) -> Result<Destination, String> {
        Destination::new(&url.parse().unwrap(), &Trust::AnyCertificate)
    }

    #[test]
    fn address_and_target_are_read_from_the_url() {
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
            let destination = destination(url).unwrap();
            assert_eq!(
                (
                    destination.address.as_str(),
                    destination.target(),
                    destination.tls.is_some()
                ),
                (address, target, is_tls)
            );
        }
    }

    #[test]
    fn an_invalid_url_is_refused_with_an_example() {
        for url in [
            "/webhooks/paddle",
            "localhost:8443",
            "ftp://localhost/x",
            "https://user:password@localhost/",
        ] {
            let error = destination(url).err().unwrap();
            assert!(
                error.contains("https://localhost:8443/webhooks/paddle"),
                "{url}: {error}"
            );
            assert!(!error.contains("password@"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_an_error_with_the_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = destination(&format!("http://{address}/"))
            .unwrap()
            .connect()
            .await
            .err()
            .unwrap();
        assert!(error.contains(&address.to_string()), "{error}");
    }
}
