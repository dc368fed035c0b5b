//! One request over HTTPS: a connection of its own, an answer of bounded length, within one timeout. No redirect is
//! followed: the configured address is the only one that is trusted.

use crate::scheme::KeyRequest;
use crate::settings::{Keys, Proxy};
use crate::tls;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest document with keys, in bytes. The largest key sets in use have about 20 KiB.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Longest answer of a proxy to CONNECT, in bytes.
const MAX_PROXY_HEAD_BYTES: usize = 8 * 1024;

/// Sends requests to other servers.
pub struct Client {
    ca: Option<PathBuf>,
    proxy: Option<Proxy>,
    timeout: Duration,
    /// Made at the first fetch, because reading the platform's authorities takes some milliseconds.
    tls: OnceLock<Result<TlsConnector, String>>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The body.
    pub body: Vec<u8>,
    /// How long the server says that it may be used.
    pub lifetime: Option<Duration>,
}

/// Why a document was not fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The server says that there is no such document.
    NotFound,
    /// The server could not be reached, or not securely.
    Connection(String),
    /// The server answered something that is not the document.
    Answer(String),
    /// The time was over.
    Timeout,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("the server has no such document"),
            Self::Connection(text) | Self::Answer(text) => f.write_str(text),
            Self::Timeout => f.write_str("the server did not answer in time"),
        }
    }
}

impl std::error::Error for FetchError {}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// A connection to a server, with TLS or, to loopback only, without.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Client {
    /// A client with these settings.
    #[must_use]
    pub fn new(settings: &Keys) -> Self {
        Self {
            ca: settings.ca.clone(),
            proxy: settings.proxy.clone(),
            timeout: settings.timeout,
            tls: OnceLock::new(),
        }
    }

    /// The same with other authorities for the servers.
    #[must_use]
    pub fn with_authorities(settings: &Keys, ca: Option<PathBuf>) -> Self {
        Self {
            ca: ca.or_else(|| settings.ca.clone()),
            ..Self::new(settings)
        }
    }

    /// Fetches a document.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(&self, wanted: &KeyRequest) -> Result<Answer, FetchError> {
        let request = request(wanted).map_err(|_| answer("the URL cannot be asked for"))?;
        read(self.send(request, MAX_ANSWER_BYTES).await?)
    }

    /// Sends a request to the absolute URL that it has, and reads the answer, of whatever status, whose body has at most
    /// `max_bytes`.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn send(&self, request: Request<Bytes>, max_bytes: usize) -> Result<Response<Bytes>, FetchError> {
        timeout(self.timeout, self.exchange(request, max_bytes))
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    async fn exchange(&self, mut request: Request<Bytes>, max_bytes: usize) -> Result<Response<Bytes>, FetchError> {
        let uri = request.uri().clone();
        let host = uri.host().ok_or_else(|| answer("the URL has no host"))?;
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = self.connect(bare, port, is_tls).await?;
        let stream: Box<dyn Stream> = if is_tls {
            let tls = self
                .tls
                .get_or_init(|| tls::store_connector(self.ca.as_deref()).map_err(|fault| fault.to_string()));
            let tls = tls.as_ref().map_err(|fault| FetchError::Connection(fault.clone()))?;
            let name = ServerName::try_from(bare.to_owned()).map_err(|_| answer("the URL has no host"))?;
            let stream = tls.connect(name, tcp).await;
            Box::new(stream.map_err(|error| connection("no secure connection", host, &error))?)
        } else {
            Box::new(tcp)
        };
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| connection("no connection", host, &error))?;
        complete(&mut request, &uri).map_err(|_| answer("the URL cannot be asked for"))?;
        let exchange = async {
            let response = sender.send_request(request.map(Full::new)).await;
            let response = response.map_err(|error| connection("no answer", host, &error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, max_bytes).collect().await;
            let body = body.map_err(|_| {
                let limit = max_bytes / 1024;
                FetchError::Answer(format!("the answer is longer than {limit} KiB, or it ended early"))
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        // The driver ends when the exchange does; neither is of use without the other.
        let mut driver = std::pin::pin!(driver);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            result = &mut exchange => result,
            _ = &mut driver => exchange.await,
        }
    }

    /// A connection to the host, through the proxy where there is one for it.
    async fn connect(&self, host: &str, port: u16, is_tls: bool) -> Result<TcpStream, FetchError> {
        let proxy = self.proxy.as_ref().filter(|proxy| is_tls && proxy.is_for(host));
        let (address, peer_port) = proxy.map_or((host, port), |proxy| (proxy.host.as_str(), proxy.port));
        let mut stream = TcpStream::connect((address, peer_port))
            .await
            .map_err(|error| connection("no connection", address, &error))?;
        let _ = stream.set_nodelay(true);
        if let Some(proxy) = proxy {
            tunnel(&mut stream, proxy, host, port).await?;
        }
        Ok(stream)
    }
}

/// Asks a proxy for a tunnel (RFC 9110, 9.3.6).
async fn tunnel(stream: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> Result<(), FetchError> {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let credentials = proxy.credentials.as_ref().map_or_else(String::new, |secret| {
        format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(secret.expose()))
    });
    let head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{credentials}\r\n");
    let failed = |error| connection("no tunnel", &proxy.host, &error);
    stream.write_all(head.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // One byte at a time: what follows the head belongs to the tunnel.
        let byte = stream.read_u8().await.map_err(failed)?;
        answer.push(byte);
        if answer.len() > MAX_PROXY_HEAD_BYTES {
            break;
        }
    }
    let status = answer.get(9..12).unwrap_or_default();
    if answer.starts_with(b"HTTP/1.") && status.first() == Some(&b'2') {
        Ok(())
    } else {
        let status = String::from_utf8_lossy(status).into_owned();
        Err(FetchError::Connection(format!(
            "the proxy {} refuses the tunnel (status {status:?})",
            proxy.host
        )))
    }
}

/// Puts the path in place of the URL, and adds the fields that every request has.
fn complete(request: &mut Request<Bytes>, uri: &Uri) -> Result<(), hyper::http::Error> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::try_from(authority)?;
    *request.uri_mut() = Uri::try_from(uri.path_and_query().map_or("/", |path| path.as_str()))?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("hookgate/", env!("CARGO_PKG_VERSION"))),
    );
    Ok(())
}

/// The request for a document.
fn request(wanted: &KeyRequest) -> Result<Request<Bytes>, hyper::http::Error> {
    let mut request = Request::builder()
        .method(if wanted.body.is_some() {
            Method::POST
        } else {
            Method::GET
        })
        .uri(wanted.url.as_str())
        .header(ACCEPT, "application/json, application/x-pem-file, */*;q=0.1");
    if wanted.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = wanted.body.as_ref();
    request.body(body.map_or_else(Bytes::new, |body| Bytes::copy_from_slice(body.expose())))
}

/// Reads an answer, whose status must be 200.
fn read(response: Response<Bytes>) -> Result<Answer, FetchError> {
    let status = response.status();
    // Plaid answers 400 for a key that it does not have.
    if matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::BAD_REQUEST
    ) {
        return Err(FetchError::NotFound);
    }
    if status != StatusCode::OK {
        return Err(FetchError::Answer(format!(
            "the server answered with status {}",
            status.as_u16()
        )));
    }
    Ok(Answer {
        lifetime: lifetime(response.headers()),
        body: response.into_body().to_vec(),
    })
}

/// The lifetime by `Cache-Control: max-age` (RFC 9111, 5.2.2.1).
fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    let seconds = directives
        .split(',')
        .find_map(|directive| directive.trim().strip_prefix("max-age="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

fn answer(text: &str) -> FetchError {
    FetchError::Answer(text.to_owned())
}

/// The message for a connection that failed: what, which host, and what the system says.
fn connection(what: &str, host: &str, error: &dyn std::error::Error) -> FetchError {
    let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    FetchError::Connection(format!("{what} to {host}: {cause}"))
}
