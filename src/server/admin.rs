//! The operator's side: `/metrics`, `/livez` and `/readyz` on a listener of its own, never on a public one.
//!
//! It exists apart from the gateway's listeners so that a scrape answers while senders flood them, and so that nothing
//! here is reachable from where webhooks come. It has small bounds of its own for the same reason.

use crate::telemetry::metrics::Metrics;
use crate::time::shutdown::Drain;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// What the admin listener tells.
pub struct State {
    metrics: Arc<Metrics>,
    sample: Sample,
    store: Option<Store>,
    readiness: AtomicU8,
    /// Where `/stopping` says that the applications are being stopped.
    stopping: Arc<Drain>,
}

/// Brings sampled gauges up to date; called before every scrape.
pub type Sample = Box<dyn Fn() + Send + Sync>;

/// Asks whether a shared replay store answers.
pub type Store = Box<dyn Fn() -> StoreState + Send + Sync>;

/// How a shared replay store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It answers.
    Up,
    /// It does not, and requests are accepted all the same.
    DownAccepting,
    /// It does not, and requests are refused.
    Down,
}

/// Whether webhooks should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Listeners are not open yet.
    Starting,
    /// Webhooks are welcome.
    Ready,
    /// No route's upstream can be reached.
    UpstreamDown,
    /// SIGTERM came; final.
    Draining,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("readiness", &self.readiness())
            .finish_non_exhaustive()
    }
}

impl State {
    /// A process that is starting.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, sample: Sample) -> Self {
        Self {
            metrics,
            sample,
            store: None,
            readiness: AtomicU8::new(Readiness::Starting as u8),
            stopping: Arc::default(),
        }
    }

    /// The same, with a shared replay store to tell about.
    #[must_use]
    pub fn with_store(mut self, store: Option<Store>) -> Self {
        self.store = store;
        self
    }

    /// Lets `/stopping` speak the gateway's own word.
    #[must_use]
    pub fn with_stopping(mut self, stopping: Arc<Drain>) -> Self {
        self.stopping = stopping;
        self
    }

    /// Whether webhooks should be sent here.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        Readiness::from_u8(self.readiness.load(Ordering::Acquire))
    }

    /// Changes it. [`Readiness::Draining`] is final: later changes are ignored.
    pub fn set_readiness(&self, readiness: Readiness) {
        let change = |now| (Readiness::from_u8(now) != Readiness::Draining).then_some(readiness as u8);
        // An error means that the process is draining already.
        let _ = self.readiness.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }
}

impl Readiness {
    /// One word for the answer's body.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::UpstreamDown => "upstream down",
            Self::Draining => "draining",
        }
    }

    const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Starting,
            1 => Self::Ready,
            2 => Self::UpstreamDown,
            3.. => Self::Draining,
        }
    }
}

/// The answer to one request; pure apart from reading the metrics.
#[must_use]
pub fn respond(state: &State, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let answer: fn(&State) -> Response<Full<Bytes>> = match path {
        "/metrics" => metrics,
        "/livez" => |_| plain(StatusCode::OK, "alive\n"),
        "/readyz" => readyz,
        "/stopping" => stopping,
        _ => return plain(StatusCode::NOT_FOUND, "not found; try /metrics, /livez or /readyz\n"),
    };
    if method != Method::GET && method != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    answer(state)
}

/// Answers on `listener` until `shutdown` resolves; answers under way then have a moment to finish.
pub async fn serve(listener: TcpListener, state: Arc<State>, shutdown: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let mut shutdown = pin!(shutdown);
    loop {
        // A permit first: at the bound, further connections wait in the system's queue and cost us nothing.
        let next = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    connection(stream, state).await;
                    drop(permit);
                });
            }
            Err(error) => {
                state.metrics.accept_errors.inc();
                tracing::warn!(%error, "the admin listener cannot accept a connection");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _ = timeout(DRAIN, connections.acquire_many(all)).await;
}

/// One connection, with an end: idle and slow heads by hyper's timer, everything else by the connection's age.
async fn connection(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = respond(&state, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    // How a probe's connection ended is of no interest to anyone.
    if timeout(CONNECTION_AGE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(HEAD_TIMEOUT, connection).await;
    }
}

fn metrics(state: &State) -> Response<Full<Bytes>> {
    (state.sample)();
    let mut response = plain(StatusCode::OK, state.metrics.text());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
    response
}

/// The pre-stop hook of a sidecar, which is told to stop only after its application has ended: from here on an
/// application that is gone is no failure. It is final, and whoever else asks for it changes a 502 into a 503, no more.
fn stopping(state: &State) -> Response<Full<Bytes>> {
    state.stopping.begin();
    plain(
        StatusCode::OK,
        "an application that is gone is now answered for with 503\n",
    )
}

fn readyz(state: &State) -> Response<Full<Bytes>> {
    let readiness = state.readiness();
    let status = match readiness {
        Readiness::Ready => StatusCode::OK,
        Readiness::Starting | Readiness::UpstreamDown | Readiness::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    let store = state.store.as_ref().map(|store| store());
    let status = match store {
        Some(StoreState::Down) => StatusCode::SERVICE_UNAVAILABLE,
        Some(StoreState::Up | StoreState::DownAccepting) | None => status,
    };
    let told = match store {
        None => "",
        Some(StoreState::Up) => "replay store up\n",
        Some(StoreState::DownAccepting) => "replay store down, requests are accepted without it\n",
        Some(StoreState::Down) => "replay store down\n",
    };
    let mut response = plain(status, format!("{}\n{told}", readiness.label()));
    if status != StatusCode::OK {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Prometheus takes this from a target that does not speak OpenMetrics, whatever its `Accept` prefers.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const CONNECTIONS: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_BYTES: usize = 8 * 1024;
const CONNECTION_AGE: Duration = Duration::from_secs(60);
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
const DRAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    fn state() -> Arc<State> {
        Arc::new(State::new(Metrics::new(), Box::new(|| ())))
    }

    async fn text(response: Response<Full<Bytes>>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn readiness_follows_the_life_of_the_process_and_draining_is_final() {
        let state = state();
        for (readiness, status) in [
            (Readiness::Starting, 503),
            (Readiness::Ready, 200),
            (Readiness::UpstreamDown, 503),
            (Readiness::Ready, 200),
            (Readiness::Draining, 503),
        ] {
            state.set_readiness(readiness);
            assert_eq!(state.readiness(), readiness);
            let response = respond(&state, &Method::GET, "/readyz");
            assert_eq!(response.status(), status);
            assert_eq!(text(response).await, format!("{}\n", readiness.label()));
            assert_eq!(respond(&state, &Method::GET, "/livez").status(), 200);
        }
        state.set_readiness(Readiness::Ready);
        assert_eq!(state.readiness(), Readiness::Draining);
    }

    #[tokio::test]
    async fn metrics_are_the_text_format() {
        let response = respond(&state(), &Method::GET, "/metrics");
        assert_eq!(response.headers()[CONTENT_TYPE], TEXT_FORMAT);
        assert!(text(response).await.contains("hookgate_build_info{"));
    }

    #[test]
    fn anything_else_is_not_found_and_only_reading_is_allowed() {
        let state = state();
        for path in ["/", "/metrics/", "/METRICS", "//metrics", "/debug", "", "*"] {
            assert_eq!(respond(&state, &Method::GET, path).status(), 404, "{path}");
        }
        for method in [Method::POST, Method::DELETE, Method::OPTIONS, Method::CONNECT] {
            let response = respond(&state, &method, "/metrics");
            assert_eq!(response.status(), 405);
            assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        }
        assert_eq!(respond(&state, &Method::HEAD, "/metrics").status(), 200);
    }

    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn serves_over_a_socket_until_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let state = state();
        let server = tokio::spawn(serve(listener, Arc::clone(&state), async {
            let _ = stopped.await;
        }));
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503 "));
        state.set_readiness(Readiness::Ready);
        assert!(get(address, "/readyz?verbose").await.starts_with("HTTP/1.1 200 "));
        assert!(get(address, "/metrics").await.contains("\r\n\r\n# HELP "));
        stop.send(()).unwrap();
        timeout(Duration::from_secs(20), server).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    /// Idle connections up to the bound do not keep a scrape out for longer than the head timeout.
    #[tokio::test]
    async fn silent_connections_are_closed_and_make_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, state(), std::future::pending()));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let answer = timeout(HEAD_TIMEOUT + Duration::from_secs(20), get(address, "/livez"))
            .await
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "));
    }
}
