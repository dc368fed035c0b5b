//! The sample application behind the gateway: an HTTP server that records every request exactly as it arrives.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// A running sample application.
pub(super) struct Application {
    address: SocketAddr,
    records: Arc<Records>,
}

/// One request as the application received it.
#[derive(Clone, Debug)]
pub(super) struct ReceivedRequest {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What the application records; shared by all of its connections.
#[derive(Default)]
struct Records {
    /// The requests since the last [`Application::take_received`].
    received: Mutex<Vec<ReceivedRequest>>,
    /// Bodies that were already answered with 500.
    failed: Mutex<Vec<Bytes>>,
}

impl Application {
    /// Listens on a loopback port that the kernel chooses, until the runtime ends.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub(super) async fn start() -> io::Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Listens on this address until the runtime ends.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub(super) async fn start_at(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let records = Arc::new(Records::default());
        tokio::spawn(accept(listener, Arc::clone(&records)));
        Ok(Self { address, records })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests since the last call, in the order of their arrival.
    pub(super) fn take_received(&self) -> Vec<ReceivedRequest> {
        std::mem::take(&mut *self.records.received.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn accept(listener: TcpListener, records: Arc<Records>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        let records = Arc::clone(&records);
        let service = service_fn(move |request| respond(request, Arc::clone(&records)));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn respond(request: Request<Incoming>, records: Arc<Records>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    // An incomplete body is recorded as empty; the comparison with what was sent then reports a problem.
    let body = Limited::new(body, MAX_BODY_BYTES)
        .collect()
        .await
        .map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let fails = contains_fails_once(&body) && records.fails_this_time(&body);
    records
        .received
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(ReceivedRequest {
            method: head.method,
            target,
            headers: head.headers,
            body: body.clone(),
        });
    let (status, text) = if fails {
        (StatusCode::INTERNAL_SERVER_ERROR, FAILURE_BODY.to_owned())
    } else {
        (StatusCode::OK, success_body(&body))
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

impl Records {
    /// Returns true only the first time that it is called with this body.
    fn fails_this_time(&self, body: &Bytes) -> bool {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let first = !failed.contains(body);
        if first {
            failed.push(body.clone());
        }
        first
    }
}

/// The body of the application's response 200.
pub(super) fn success_body(body: &[u8]) -> String {
    format!("{{\"received\":{}}}\n", body.len())
}

/// Whether the application answers 500 the first time that it receives this body.
fn contains_fails_once(body: &[u8]) -> bool {
    body.windows(FAILS_ONCE.len())
        .any(|window| window == FAILS_ONCE.as_bytes())
}

/// Event type that makes the application answer 500 the first time.
pub(super) const FAILS_ONCE: &str = "demo.application_fails_once";
/// The body of the application's response 500.
pub(super) const FAILURE_BODY: &str = "{\"error\":\"the database is unavailable\"}\n";
/// Largest body that the application reads (4 MiB).
const MAX_BODY_BYTES: usize = 4 << 20;
/// Wait after a failed accept, for example when no file descriptor is free.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
