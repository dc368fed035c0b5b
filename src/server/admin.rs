//! The admin listener for operators: `/metrics`, `/livez`, `/readyz` and `/stopping`, on an address of its own.
//!
//! It is separate from the gateway's listeners, so that a scrape is answered while senders overload them, and so that
//! senders cannot reach these paths. It has its own, small limits. Only POST changes anything, and a request that a browser
//! may have been made to send by a page of someone else is refused.

use super::admin_access::is_foreign;
use super::admin_body::AdminBody;
use super::operators_listener;
use crate::telemetry::metrics::Metrics;
use crate::time::shutdown::ShutdownSignal;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The state that the admin listener reports.
pub struct AdminState {
    metrics: Arc<Metrics>,
    sample: Sample,
    /// `None` without a shared replay store.
    store: Option<StoreProbe>,
    /// A [`Readiness`].
    readiness: AtomicU8,
    /// Triggered by `/stopping`: the applications are being stopped.
    stopping: Arc<ShutdownSignal>,
    /// Names by which the admin listener may be asked, in lower case, beside addresses and local names.
    hosts: Vec<String>,
}

/// Updates the sampled gauges; called before every scrape.
pub type Sample = Box<dyn Fn() + Send + Sync>;

/// Returns the state of the shared replay store.
pub type StoreProbe = Box<dyn Fn() -> StoreState + Send + Sync>;

/// The state of the shared replay store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It answers.
    Up,
    /// It does not answer; requests are accepted without it.
    DownAccepting,
    /// It does not answer; requests are refused.
    Down,
}

/// Whether webhooks should be sent to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The listeners are not open yet.
    Starting,
    /// Webhooks are accepted.
    Ready,
    /// The health checks of all upstreams fail.
    UpstreamDown,
    /// A route stores every webhook, and the inbox does not work.
    InboxDown,
    /// The process drains and will end. This state is final.
    Draining,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState")
            .field("readiness", &self.readiness())
            .finish_non_exhaustive()
    }
}

impl AdminState {
    /// The state of a process that is starting.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, sample: Sample) -> Self {
        Self {
            metrics,
            sample,
            store: None,
            readiness: AtomicU8::new(Readiness::Starting as u8),
            stopping: Arc::default(),
            hosts: Vec::new(),
        }
    }

    /// Sets the probe of the shared replay store.
    #[must_use]
    pub fn with_store(mut self, store: Option<StoreProbe>) -> Self {
        self.store = store;
        self
    }

    /// Sets the signal that `/stopping` triggers.
    #[must_use]
    pub fn with_stopping(mut self, stopping: Arc<ShutdownSignal>) -> Self {
        self.stopping = stopping;
        self
    }

    /// Sets the names by which the admin listener may be asked.
    #[must_use]
    pub fn with_hosts(mut self, hosts: Vec<String>) -> Self {
        self.hosts = hosts;
        self
    }

    /// Whether webhooks should be sent to this process.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        Readiness::from_u8(self.readiness.load(Ordering::Acquire))
    }

    /// Sets the readiness. After [`Readiness::Draining`], changes are ignored.
    pub fn set_readiness(&self, readiness: Readiness) {
        let change = |current| (Readiness::from_u8(current) != Readiness::Draining).then_some(readiness as u8);
        // An error means that the process is draining already.
        let _ = self.readiness.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }
}

impl Readiness {
    /// The text in the body of the answer.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::UpstreamDown => "upstream down",
            Self::InboxDown => "inbox down",
            Self::Draining => "draining",
        }
    }

    const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Starting,
            1 => Self::Ready,
            2 => Self::UpstreamDown,
            3 => Self::InboxDown,
            4.. => Self::Draining,
        }
    }
}

/// Returns the answer to one request. Reads the metrics on a thread of its own, so that a probe does not wait for a
/// scrape of many routes; triggers `stopping`; does no I/O.
#[must_use]
pub fn respond(state: &Arc<AdminState>, method: &Method, path: &str) -> Response<AdminBody> {
    const READ: (&[Method], &str) = (&[Method::GET, Method::HEAD], "GET, HEAD");
    const CHANGE: (&[Method], &str) = (&[Method::POST], "POST");
    type Answer = fn(&Arc<AdminState>) -> Response<AdminBody>;
    let (answer, (methods, allow)): (Answer, _) = match path {
        "/metrics" => (metrics, READ),
        "/livez" => (|_| plain(StatusCode::OK, "alive\n"), READ),
        "/readyz" => (readyz, READ),
        "/stopping" => (stopping, CHANGE),
        _ => return plain(StatusCode::NOT_FOUND, "not found; try /metrics, /livez or /readyz\n"),
    };
    if !methods.contains(method) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        return response;
    }
    answer(state)
}

/// Serves `listener` until `shutdown` is ready. Open connections then have one second to finish.
pub async fn serve(listener: TcpListener, state: Arc<AdminState>, shutdown: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let serve = |(stream, _)| connection(stream, Arc::clone(&state));
    let failed = |error| {
        state.metrics.accept_errors.inc();
        tracing::warn!(%error, "the admin listener cannot accept a connection");
    };
    operators_listener::accept(&listener, &connections, serve, failed, shutdown).await;
    drop(listener);
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _ = timeout(DRAIN_TIMEOUT, connections.acquire_many(all)).await;
}

/// Serves one connection. hyper's timer ends idle connections and slow heads; [`CONNECTION_AGE`] limits everything
/// else.
async fn connection(stream: TcpStream, state: Arc<AdminState>) {
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = if PATHS.contains(&request.uri().path()) && is_foreign(&request, &state.hosts) {
            plain(
                StatusCode::FORBIDDEN,
                "this name is not known here; ask by address, or add the name to admin.hosts\n",
            )
        } else {
            respond(&state, request.method(), request.uri().path())
        };
        async move { Ok::<_, Infallible>(response) }
    });
    let mut connection = pin!(operators_listener::http1(stream, service, HEAD_TIMEOUT, HEAD_BYTES));
    // An error of a probe's connection needs no log line.
    if timeout(CONNECTION_AGE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(HEAD_TIMEOUT, connection).await;
    }
}

fn metrics(state: &Arc<AdminState>) -> Response<AdminBody> {
    let state = state.clone();
    let body = AdminBody::written_by(move |sink| {
        (state.sample)();
        state.metrics.write(sink)
    });
    let mut response = plain(StatusCode::OK, body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
    response
}

/// Answers the pre-stop hook of a sidecar, which receives SIGTERM only after its application has ended. From now on, an
/// application that has stopped is answered with 503 and does not count as a failure. This cannot be undone; its only
/// effect is a 503 in place of a 502.
fn stopping(state: &Arc<AdminState>) -> Response<AdminBody> {
    state.stopping.trigger();
    plain(
        StatusCode::OK,
        "hookgate now answers 503 if the application has already stopped\n",
    )
}

fn readyz(state: &Arc<AdminState>) -> Response<AdminBody> {
    let readiness = state.readiness();
    let status = match readiness {
        Readiness::Ready => StatusCode::OK,
        Readiness::Starting | Readiness::UpstreamDown | Readiness::InboxDown | Readiness::Draining => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let store = state.store.as_ref().map(|store| store());
    let status = match store {
        Some(StoreState::Down) => StatusCode::SERVICE_UNAVAILABLE,
        Some(StoreState::Up | StoreState::DownAccepting) | None => status,
    };
    let store_line = match store {
        None => "",
        Some(StoreState::Up) => "replay store up\n",
        Some(StoreState::DownAccepting) => "replay store down, requests are accepted without it\n",
        Some(StoreState::Down) => "replay store down\n",
    };
    let mut response = plain(status, format!("{}\n{store_line}", readiness.label()));
    if status != StatusCode::OK {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn plain(status: StatusCode, body: impl Into<AdminBody>) -> Response<AdminBody> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The paths that are served.
const PATHS: [&str; 4] = ["/metrics", "/livez", "/readyz", "/stopping"];
/// The text format of Prometheus. Prometheus accepts it even if its `Accept` prefers OpenMetrics.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Largest number of open connections.
const CONNECTIONS: usize = 64;
/// Time limit for the head of a request, and for idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest size of hyper's read buffer, which limits the head.
const HEAD_BYTES: usize = 8 * 1024;
/// Time after which a connection is closed.
const CONNECTION_AGE: Duration = Duration::from_secs(60);
/// Time for open connections to finish at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    fn state() -> Arc<AdminState> {
        Arc::new(AdminState::new(Metrics::new(), Box::new(|| ())))
    }

    async fn text(response: Response<AdminBody>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn readiness_changes_until_draining_which_is_final() {
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
    async fn metrics_have_the_prometheus_text_format() {
        let response = respond(&state(), &Method::GET, "/metrics");
        assert_eq!(response.headers()[CONTENT_TYPE], TEXT_FORMAT);
        assert!(text(response).await.contains("hookgate_build_info{"));
    }

    #[tokio::test]
    async fn unknown_paths_are_404_and_other_methods_are_405() {
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
        for method in [Method::GET, Method::HEAD, Method::PUT] {
            let response = respond(&state, &method, "/stopping");
            assert_eq!(response.status(), 405);
            assert_eq!(response.headers()[ALLOW], "POST");
        }
        assert!(!state.stopping.is_triggered());
        assert_eq!(respond(&state, &Method::POST, "/stopping").status(), 200);
        assert!(state.stopping.is_triggered());
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
    async fn the_listener_serves_until_shutdown() {
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
        assert!(get(address, "/metrics").await.contains("# HELP "));
        stop.send(()).unwrap();
        timeout(Duration::from_secs(20), server).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    /// Idle connections up to the limit delay a scrape by at most the head timeout.
    #[tokio::test]
    async fn idle_connections_are_closed_so_that_new_ones_are_served() {
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
