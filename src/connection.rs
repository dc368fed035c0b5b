//! One HTTP connection of a sender, over any byte stream: hyper's limits, a watchdog for what hyper does not time, drain,
//! and an end at which the sender can still read its answer.
//!
//! A verified request is finished even when its sender hangs up. hyper drops an exchange with its connection, so every
//! exchange runs inside `Finishing`, which moves to a task of its own when it is dropped half-way.

use crate::answer::Body;
use crate::deadline::Timer;
use crate::drain::Drain;
use crate::gateway::{Downstream, Gateway};
use crate::outcome::Rejection;
use crate::refusal;
use crate::transport::{Activity, Busy, Observed, Patience, Protocol, Readable, Stalled};
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Sleep, sleep, timeout};

/// After our last byte the sender may still be sending; closing at once would destroy the answer on its way. So what
/// comes is read and thrown away, for this long at most.
const LINGER: Duration = Duration::from_secs(2);
/// And this many bytes at most.
const LINGER_BYTES: u64 = 1024 * 1024;
/// What a connection without a request has when the drain begins.
const FIRST_REQUEST: Duration = Duration::from_secs(5);
/// Largest step in which hyper reads a body.
const READ_BUFFER: usize = 64 * 1024;
/// Header fields that hyper takes when it is not told.
const HYPER_HEADERS: usize = 100;
/// How long an idle HTTP/1.1 connection keeps its parser and buffers.
const REST_AFTER: Duration = Duration::from_secs(1);
/// HTTP/2 flow control: what a stream and a connection may send before we have read it.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of a head.
    pub head_bytes: usize,
    /// Header fields.
    pub headers: usize,
    /// HTTP/2 streams at once.
    pub streams: u32,
    /// Deadlines.
    pub patience: Patience,
}

/// Serves HTTP/1.1 until either side is done. A connection that is idle for a moment gives its parser, its buffers and
/// its bookkeeping back, and keeps only its stream until the next byte arrives: most connections are idle most of the time.
pub async fn http1<S>(stream: S, gateway: Arc<Gateway>, downstream: Arc<Downstream>, bounds: Bounds, drain: &Drain)
where
    S: AsyncRead + AsyncWrite + Readable + Unpin + Send + 'static,
{
    let activity = Activity::new(Protocol::Http1);
    let mut stream = Observed::new(stream, activity.clone());
    loop {
        let exchanges = Exchanges {
            gateway: gateway.clone(),
            downstream: downstream.clone(),
            activity: activity.clone(),
        };
        stream = match Box::pin(http1_active(stream, exchanges, bounds, drain)).await {
            Some(idle) => idle,
            None => return,
        };
        let mut watchdog = Watchdog::new(&activity, bounds.patience, drain);
        let awake = poll_fn(|cx| match stream.poll_readable(cx) {
            _ if watchdog.must_drain(cx) => Poll::Ready(false),
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending => watchdog.poll(cx).map(|_| false),
        });
        gateway.recorder.metrics.connections_resting.inc();
        let awake = awake.await;
        gateway.recorder.metrics.connections_resting.dec();
        if !awake {
            return Box::pin(linger(stream)).await;
        }
    }
}

/// Serves HTTP/1.1 as long as there is something to do; gives the stream back when there is not.
async fn http1_active<S>(
    stream: Observed<S>,
    exchanges: Exchanges,
    bounds: Bounds,
    drain: &Drain,
) -> Option<Observed<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (gateway, activity) = (exchanges.gateway.clone(), exchanges.activity.clone());
    let mut builder = http1::Builder::new();
    builder
        .half_close(true)
        .max_header_size(bounds.head_bytes)
        .max_buf_size(READ_BUFFER.max(bounds.head_bytes));
    // hyper's own bound is checked on the stack, any other one in an allocation for every head.
    if bounds.headers != HYPER_HEADERS {
        builder.max_headers(bounds.headers);
    }
    let mut connection = builder.serve_connection(TokioIo::new(stream), exchanges);
    let patience = Patience {
        idle: REST_AFTER.min(bounds.patience.idle),
        ..bounds.patience
    };
    let mut watchdog = Watchdog::new(&activity, patience, drain);
    let mut farewell = Farewell::default();
    let end = poll_fn(|cx| {
        if watchdog.must_drain(cx) {
            farewell.is_due = true;
        }
        loop {
            if farewell.is_ready(&activity, cx) {
                Pin::new(&mut connection).graceful_shutdown();
            }
            match connection.poll_without_shutdown(cx) {
                Poll::Ready(end) => return Poll::Ready(End::Http(end)),
                Poll::Pending if farewell.is_pending() && !activity.is_silent() => {}
                Poll::Pending => return watchdog.poll(cx).map(End::Stalled),
            }
        }
    })
    .await;
    let mut stream = connection.into_parts().io.into_inner();
    match end {
        End::Http(end) => count_malformed(&gateway, end),
        End::Stalled(Stalled::Head) => {
            gateway.recorder.metrics.malformed_requests.head_timeout.inc();
            let goodbye = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            // The peer may be gone; then there is nobody to tell.
            let _ = timeout(LINGER, stream.write_all(goodbye)).await;
        }
        End::Stalled(Stalled::Idle) => return Some(stream),
        // It does not read, so there is no use in a polite end.
        End::Stalled(Stalled::Write) => return None,
    }
    linger(stream).await;
    None
}

/// Serves HTTP/2 until either side is done.
pub async fn http2<S>(stream: S, gateway: Arc<Gateway>, downstream: Arc<Downstream>, bounds: Bounds, drain: &Drain)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::new(Protocol::Http2);
    let service = Exchanges {
        gateway: gateway.clone(),
        downstream,
        activity: activity.clone(),
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(u32::try_from(bounds.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(READ_BUFFER);
    let stream = TokioIo::new(Observed::new(stream, activity.clone()));
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut watchdog = Watchdog::new(&activity, bounds.patience, drain);
    let mut idle = false;
    let end = poll_fn(|cx| {
        loop {
            if watchdog.must_drain(cx) {
                connection.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                return Poll::Ready(End::Http(end));
            }
            match ready!(watchdog.poll(cx)) {
                // First a GOAWAY; whoever does not react to that soon is cut off. What looks like the beginning of a head
                // may be a PING or a WINDOW_UPDATE of a connection that is merely idle.
                Stalled::Idle | Stalled::Head if !idle => {
                    idle = true;
                    connection.as_mut().graceful_shutdown();
                    watchdog.grant_more_time();
                }
                stalled @ (Stalled::Idle | Stalled::Head | Stalled::Write) => {
                    return Poll::Ready(End::Stalled(stalled));
                }
            }
        }
    })
    .await;
    if let End::Http(end) = end {
        count_malformed(&gateway, end);
    }
}

/// When a draining HTTP/1.1 connection hears of it. hyper closes one on which nothing has come yet at once, and would so
/// turn away a sender whose first request is on its way: that one has [`FIRST_REQUEST`] to arrive.
#[derive(Default)]
struct Farewell {
    is_due: bool,
    said: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Farewell {
    fn is_pending(&self) -> bool {
        self.is_due && !self.said
    }

    /// True once.
    fn is_ready(&mut self, activity: &Activity, cx: &mut Context<'_>) -> bool {
        if !self.is_pending() {
            return false;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(FIRST_REQUEST)));
        self.said = !activity.is_silent() || timer.as_mut().poll(cx).is_ready();
        self.said
    }
}

enum End {
    Http(hyper::Result<()>),
    Stalled(Stalled),
}

/// Heads that hyper itself answered never became an exchange; they are counted here.
fn count_malformed(gateway: &Gateway, end: hyper::Result<()>) {
    let Err(error) = end else { return };
    let malformed = &gateway.recorder.metrics.malformed_requests;
    if error.is_parse_too_large() {
        malformed.head_too_large.inc();
    } else if error.is_parse() {
        malformed.syntax.inc();
    }
}

/// Ends a connection so that the last answer arrives: our end is closed, what still comes is thrown away.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let goodbye = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // Whatever goes wrong now, the connection is over.
    let _ = timeout(LINGER, goodbye).await;
}

/// Times what hyper does not: silence, heads that do not end, peers that do not read. Also hears of the drain.
struct Watchdog<'a> {
    activity: &'a Activity,
    patience: Patience,
    timer: Timer,
    grace: Duration,
    drain: &'a Drain,
    draining: bool,
    drained: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
}

impl<'a> Watchdog<'a> {
    fn new(activity: &'a Activity, patience: Patience, drain: &'a Drain) -> Self {
        Self {
            activity,
            patience,
            timer: Timer::default(),
            grace: Duration::ZERO,
            drain,
            draining: false,
            drained: None,
        }
    }

    /// True once, when the drain begins.
    fn must_drain(&mut self, cx: &mut Context<'_>) -> bool {
        if self.draining {
            return false;
        }
        if self.drained.is_none() {
            // Polled once to leave the waker: it stays good for this task.
            let mut drained = Box::pin(self.drain.begun());
            let begun = drained.as_mut().poll(cx).is_ready();
            self.drained = Some(drained);
            self.draining = begun;
            return begun;
        }
        self.draining = self.drain.has_begun();
        self.draining
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Stalled> {
        self.activity.watch(cx.waker());
        match self.activity.waiting(&self.patience) {
            Some((stalled, deadline)) => self.timer.poll(cx, deadline + self.grace).map(|()| stalled),
            None => Poll::Pending,
        }
    }

    fn grant_more_time(&mut self) {
        self.grace = LINGER;
    }
}

/// hyper's service: one gateway, one connection, many exchanges.
struct Exchanges {
    gateway: Arc<Gateway>,
    downstream: Arc<Downstream>,
    activity: Arc<Activity>,
}

impl Service<Request<Incoming>> for Exchanges {
    type Response = Response<Tracked>;
    type Error = Infallible;
    type Future = Finishing;

    fn call(&self, request: Request<Incoming>) -> Finishing {
        let (gateway, downstream) = (self.gateway.clone(), self.downstream.clone());
        let exchange = async move { gateway.handle(&downstream, request).await };
        Finishing {
            exchange: Some(Box::pin(exchange)),
            gateway: self.gateway.clone(),
            busy: Some(self.activity.exchange()),
        }
    }
}

/// An exchange that finishes even if it is dropped, and whose panic is its own.
struct Finishing {
    exchange: Option<Pin<Box<dyn Future<Output = Response<Body>> + Send>>>,
    gateway: Arc<Gateway>,
    busy: Option<Busy>,
}

impl Future for Finishing {
    type Output = Result<Response<Tracked>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(exchange) = &mut this.exchange else {
            return Poll::Pending;
        };
        let response = match catch_unwind(AssertUnwindSafe(|| exchange.as_mut().poll(cx))) {
            Ok(poll) => ready!(poll),
            Err(_) => {
                this.gateway.recorder.metrics.panics.inc();
                refusal::response(Rejection::Internal, None)
            }
        };
        this.exchange = None;
        let busy = this.busy.take();
        Poll::Ready(Ok(response.map(|body| Tracked::new(body, busy))))
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(exchange);
        }
    }
}

/// An answer's body that keeps its connection busy until it has been handed over.
struct Tracked {
    body: Body,
    busy: Option<Busy>,
}

impl Tracked {
    fn new(body: Body, busy: Option<Busy>) -> Self {
        let mut tracked = Self { body, busy };
        tracked.note(true);
        tracked
    }

    /// Whether it is the peer's turn, or ours to wait for the upstream.
    fn note(&mut self, at_hand: bool) {
        match &mut self.busy {
            Some(busy) if at_hand => busy.offer(),
            Some(busy) => busy.taken(),
            None => {}
        }
    }
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = Rejection;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Rejection>>> {
        let piece = Pin::new(&mut self.body).poll_frame(cx);
        self.note(piece.is_ready());
        piece
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::exchange::Recorder;
    use crate::intake::Budget;
    use crate::replay::{Guard, Memory};
    use crate::snapshot::Snapshot;
    use crate::telemetry::metrics::Metrics;
    use crate::tls;
    use arc_swap::ArcSwap;
    use tokio::time::Instant;

    /// I13: a panic is one exchange's: answered 500 and counted, and the task that serves the connection lives on.
    #[tokio::test]
    async fn a_panic_is_answered_and_counted() {
        let metrics = Metrics::new();
        let snapshot = Snapshot::compile(Vec::new(), None, 1, &metrics, tls::connector).unwrap();
        let gateway = Arc::new(Gateway {
            snapshot: ArcSwap::from_pointee(snapshot),
            budget: Budget::new(0),
            guard: Guard::Memory(Memory::new(1, Instant::now())),
            recorder: Recorder::new(metrics.clone(), None, 0),
            stopping: Arc::default(),
        });
        let finishing = Finishing {
            exchange: Some(Box::pin(async { panic!("a bug") })),
            gateway,
            busy: None,
        };
        let response = finishing.await.unwrap();
        assert_eq!(response.status(), hyper::StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(metrics.panics.get(), 1);
    }
}
