//! The sample application behind the gateway: answers, and writes down exactly what it saw.

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

/// A running application.
pub(super) struct Application {
    address: SocketAddr,
    notes: Arc<Notes>,
}

/// One request as the application saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Default)]
struct Notes {
    seen: Mutex<Vec<Seen>>,
    /// Bodies that were answered with a failure before.
    failed: Mutex<Vec<Bytes>>,
}

impl Application {
    /// Listens on a port that the system chooses, until the runtime ends.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let notes = Arc::new(Notes::default());
        tokio::spawn(accept(listener, Arc::clone(&notes)));
        Ok(Self { address, notes })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it saw since the last call.
    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.notes.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn accept(listener: TcpListener, notes: Arc<Notes>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        let notes = Arc::clone(&notes);
        let service = service_fn(move |request| answer(request, Arc::clone(&notes)));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, notes: Arc<Notes>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    // A body that broke off is noted as far as it came: the judge compares it with what was sent.
    let body = Limited::new(body, LARGEST_BODY)
        .collect()
        .await
        .map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let fails = fails_once(&body) && notes.fails_now(&body);
    notes.seen.lock().unwrap_or_else(PoisonError::into_inner).push(Seen {
        method: head.method,
        target,
        headers: head.headers,
        body: body.clone(),
    });
    let (status, text) = if fails {
        (StatusCode::INTERNAL_SERVER_ERROR, FAILURE.to_owned())
    } else {
        (StatusCode::OK, thanks(&body))
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

impl Notes {
    /// True the first time that a body is seen.
    fn fails_now(&self, body: &Bytes) -> bool {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let first = !failed.contains(body);
        if first {
            failed.push(body.clone());
        }
        first
    }
}

/// The application's answer to a body that it took.
pub(super) fn thanks(body: &[u8]) -> String {
    format!("{{\"received\":{}}}\n", body.len())
}

/// Whether the application fails the first time that it sees this body.
fn fails_once(body: &[u8]) -> bool {
    body.windows(FAILS_ONCE.len())
        .any(|window| window == FAILS_ONCE.as_bytes())
}

/// Event type of the bodies that the application fails on once.
pub(super) const FAILS_ONCE: &str = "demo.application_fails_once";
/// The application's answer when it fails.
pub(super) const FAILURE: &str = "{\"error\":\"the database is away\"}\n";
const LARGEST_BODY: usize = 4 << 20;
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
