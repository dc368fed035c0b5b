//! The HTTP client of the commands: requests over one HTTP/1.1 connection.
//!
//! It deliberately shares no code with the gateway's client to its upstreams: the sender in a demonstration should be
//! independent of the gateway.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// Largest response body that is read (16 MiB).
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// One open HTTP/1.1 connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

/// A response with its complete body.
#[derive(Clone, Debug)]
pub(super) struct ClientResponse {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Connection {
    /// Starts HTTP/1.1 on an open stream.
    ///
    /// # Errors
    /// The stream has ended.
    pub(super) async fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, String> {
        let handshaken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) =
            handshaken.map_err(|error| format!("the server does not answer with HTTP/1.1: {error}"))?;
        // The task ends with the connection. Its errors are also reported by the request that they fail.
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Whether the connection can carry another request.
    #[cfg(feature = "tools")]
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request. The body of the response may be a stream that does not end.
    ///
    /// # Errors
    /// There is no response.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        self.sender.ready().await.map_err(|error| describe_error(&error))?;
        let response = self.sender.send_request(request).await;
        response.map_err(|error| describe_error(&error))
    }

    /// Sends a request and reads the response with its body.
    ///
    /// # Errors
    /// No complete response within `time_limit`. The server may nevertheless have processed the request.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        time_limit: Duration,
    ) -> Result<ClientResponse, String> {
        let exchange = async {
            let response = self.send(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
            let body = body
                .map_err(|error| format!("the answer is incomplete: {error}"))?
                .to_bytes();
            Ok(ClientResponse { status, body })
        };
        let timed_out = |_| format!("no answer within {}", humantime::format_duration(time_limit));
        timeout(time_limit, exchange).await.map_err(timed_out)?
    }
}

/// hyper's error with its source, which names the actual cause.
fn describe_error(error: &hyper::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => format!("no answer: {error}: {cause}"),
        None => format!("no answer: {error}"),
    }
}
