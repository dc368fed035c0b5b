//! An HTTP/2 client over TLS: hyper's client, which shares no code with the gateway's own handling of requests.

use super::certificates;
use super::gateway::Gateway;
use super::paddle::Webhook;
use super::wait::WAIT_TIMEOUT;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::future::Future;

/// One HTTP/2 connection, and whether the gateway has ended it.
pub(crate) struct Http2 {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    pub(crate) connection: tokio::task::JoinHandle<hyper::Result<()>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

/// Runs the asynchronous part of a test.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(WAIT_TIMEOUT * 3, work)
            .await
            .expect("the test hangs")
    })
}

impl Http2 {
    /// Connects to the gateway's TLS listener; the gateway must choose `h2`.
    pub(crate) async fn connect(gateway: &Gateway) -> Self {
        let stream = tokio::net::TcpStream::connect(gateway.tls()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let config = certificates::client(&gateway.setup.certificate.der, &["h2", "http/1.1"]);
        let name = "localhost".try_into().unwrap();
        let stream = tokio_rustls::TlsConnector::from(config)
            .connect(name, stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        Self {
            sender,
            connection: tokio::spawn(connection),
        }
    }

    /// Sends a webhook and reads the answer.
    pub(crate) async fn exchange(&mut self, webhook: &Webhook) -> hyper::Result<Answer> {
        self.sender.ready().await?;
        read(self.sender.send_request(request(webhook)).await?).await
    }
}

/// The webhook as an HTTP/2 request: `Host` becomes `:authority`.
pub(crate) fn request(webhook: &Webhook) -> hyper::Request<Full<Bytes>> {
    let uri = format!("https://localhost{}", webhook.path);
    let mut builder = hyper::Request::builder().method(webhook.method.as_str()).uri(uri);
    for (name, value) in webhook
        .headers
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
    {
        builder = builder.header(name, value);
    }
    if let Some(signature) = &webhook.signature {
        builder = builder.header("paddle-signature", signature);
    }
    builder.body(Full::new(Bytes::from(webhook.body.clone()))).unwrap()
}

pub(crate) async fn read(response: hyper::Response<hyper::body::Incoming>) -> hyper::Result<Answer> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    })
}
