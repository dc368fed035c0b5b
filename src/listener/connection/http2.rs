//! An HTTP/2 connection of one sender. hyper implements the protocol with its limits; a [`Watchdog`] adds the timeouts
//! that hyper does not have.
//!
//! A verified request is finished even when its sender hangs up. hyper drops an exchange together with its stream, so
//! every exchange runs inside a [`DetachOnDrop`], which moves it to a task of its own when it is dropped before its
//! end.

use super::activity::{ActiveExchange, Activity, ObservedStream, WaitingFor};
use super::http2_body::RequestBody;
use super::{ConnectionLimits, LINGER_TIMEOUT, ShutdownWatch, Timeouts, run_catching_panics};
use crate::gateway::answer::AnswerBody;
use crate::gateway::{Downstream, Gateway, refusal};
use crate::http::http1::request::RequestHeadLimits;
use crate::http::message;
use crate::http::unread_head::UnreadHead;
use crate::outcome::Rejection;
use crate::time::shutdown::ShutdownSignal;
use crate::time::timer::Timer;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// The most bytes of a response that hyper buffers for one stream.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Flow control: the most bytes that the peer may send on one stream before they are read.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// Flow control: the most bytes that the peer may send on all streams of a connection before they are read.
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;

/// Size of the table of header fields that the peer may refer to, in bytes (HPACK, RFC 7541). Senders profit little from a
/// larger one: a webhook's fields are short, and its signature is new each time. A peer that never makes its table smaller
/// keeps the initial 4 KiB, so that with one byte it refers to a field of nearly this size: [`HEADS_PER_CONNECTION`] bounds
/// what such heads hold.
const HEADER_TABLE_BYTES: u32 = 1024;
/// The heads of all exchanges of a connection may hold this many times `limits.head_bytes`.
const HEADS_PER_CONNECTION: usize = 4;

/// Serves HTTP/2 until one side closes the connection or a timeout passes. `shutdown` ends it after the exchanges that
/// are running.
pub async fn serve<S>(
    stream: S,
    gateway: Arc<Gateway>,
    downstream: Arc<Downstream>,
    limits: ConnectionLimits,
    shutdown: &ShutdownSignal,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::new();
    let service = Exchanges {
        gateway: gateway.clone(),
        downstream: downstream.clone(),
        activity: activity.clone(),
        limits: limits.head,
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head.bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .header_table_size(HEADER_TABLE_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    let stream = TokioIo::new(ObservedStream::new(stream, activity.clone()));
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut watchdog = Watchdog::new(&activity, limits.timeouts, shutdown);
    let mut sent_goaway = false;
    poll_fn(|cx| {
        loop {
            if watchdog.must_shut_down(cx) {
                connection.as_mut().graceful_shutdown();
            }
            let end = connection.as_mut().poll(cx);
            // Where hyper has answered with a GOAWAY, this is about the connection.
            let is_unreadable = matches!(&end, Poll::Ready(Err(error)) if is_protocol_error(error));
            // After a GOAWAY of ours, hyper ignores new streams.
            if !is_unreadable && !sent_goaway && !watchdog.is_shutting_down {
                for _ in 0..activity.take_refused_heads() {
                    gateway.recorder.unread_http2(&downstream, UnreadHead::Stream);
                }
            }
            if end.is_ready() {
                if is_unreadable {
                    gateway.recorder.unread_http2(&downstream, UnreadHead::Syntax);
                }
                return Poll::Ready(());
            }
            if activity.is_flooded() {
                // Sends a GOAWAY, as far as the peer reads, and ends the connection.
                connection.as_mut().graceful_shutdown();
                let _ = connection.as_mut().poll(cx);
                return Poll::Ready(());
            }
            match ready!(watchdog.poll(cx)) {
                // The first time, the peer gets a GOAWAY and 2 more seconds; then the connection is dropped. This also
                // applies while a head seems to be arriving, because the bytes may be a PING or a WINDOW_UPDATE of an
                // idle connection.
                waiting_for @ (WaitingFor::Idle | WaitingFor::RequestHead) if !sent_goaway => {
                    sent_goaway = true;
                    if waiting_for == WaitingFor::RequestHead {
                        gateway.recorder.unread_http2(&downstream, UnreadHead::Timeout);
                    }
                    connection.as_mut().graceful_shutdown();
                    watchdog.grant_more_time();
                }
                WaitingFor::Idle | WaitingFor::RequestHead | WaitingFor::Write => return Poll::Ready(()),
            }
        }
    })
    .await;
}

/// Whether a connection ended because of what its peer sent: not by the peer's own GOAWAY, and not because the stream
/// failed.
fn is_protocol_error(error: &hyper::Error) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .is_some_and(|error| error.is_library() && error.is_go_away())
}

/// Enforces the timeouts that hyper does not have, for idle connections, slow heads, and peers that do not read. It
/// also watches the shutdown signal.
struct Watchdog<'a> {
    activity: &'a Activity,
    timeouts: Timeouts,
    timer: Timer,
    /// Added to every deadline; zero until a GOAWAY has been sent.
    extra_time: Duration,
    shutdown: ShutdownWatch<'a>,
    /// Whether the shutdown signal has been noticed.
    is_shutting_down: bool,
}

impl<'a> Watchdog<'a> {
    fn new(activity: &'a Activity, timeouts: Timeouts, shutdown: &'a ShutdownSignal) -> Self {
        Self {
            activity,
            timeouts,
            timer: Timer::default(),
            extra_time: Duration::ZERO,
            shutdown: ShutdownWatch::new(shutdown),
            is_shutting_down: false,
        }
    }

    /// Returns true once, when the shutdown signal is noticed.
    fn must_shut_down(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.is_shutting_down;
        self.is_shutting_down = before || self.shutdown.is_triggered(cx);
        self.is_shutting_down && !before
    }

    /// Ready when a deadline has passed, with what the connection was waiting for.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<WaitingFor> {
        self.activity.set_watchdog(cx.waker());
        match self.activity.waiting(&self.timeouts) {
            Some((waiting_for, deadline)) => self.timer.poll(cx, deadline + self.extra_time).map(|()| waiting_for),
            None => Poll::Pending,
        }
    }

    /// Extends the current deadline, and later ones, by 2 seconds.
    fn grant_more_time(&mut self) {
        self.extra_time = LINGER_TIMEOUT;
    }
}

/// The service that hyper calls for every request of the connection.
struct Exchanges {
    gateway: Arc<Gateway>,
    downstream: Arc<Downstream>,
    activity: Arc<Activity>,
    limits: RequestHeadLimits,
}

impl Service<Request<Incoming>> for Exchanges {
    type Response = Response<TrackedBody>;
    type Error = Infallible;
    type Future = DetachOnDrop;

    fn call(&self, request: Request<Incoming>) -> DetachOnDrop {
        DetachOnDrop {
            exchange: Some(self.start(request)),
            active: Some(self.activity.exchange_started()),
        }
    }
}

impl Exchanges {
    /// Starts the exchange of one request, or its refusal when the head exceeds the limits. A refused head is dropped
    /// before it is copied.
    fn start(&self, request: Request<Incoming>) -> BoxedExchange {
        let (gateway, downstream) = (self.gateway.clone(), self.downstream.clone());
        let request = request.map(RequestBody::new);
        let size = message::FieldsSize::of(request.headers());
        if !self.limits.accept_fields(size.fields) {
            gateway.recorder.unread(&downstream, UnreadHead::TooLarge);
            return Box::pin(async move { refusal::unread(UnreadHead::TooLarge) });
        }
        let most_bytes = HEADS_PER_CONNECTION.saturating_mul(self.limits.bytes);
        let Some(held) = downstream.connection.hold_head(size.bytes, most_bytes) else {
            let line = message::Request {
                method: request.method().clone(),
                uri: request.uri().clone(),
                version: request.version(),
                headers: message::Headers::default(),
            };
            return Box::pin(async move { gateway.refuse_head(&downstream, &line, Rejection::Overloaded) });
        };
        let (request, body) = message::Request::from_hyper(request);
        Box::pin(async move {
            let exchange = pin!(gateway.handle(&downstream, request, body));
            let response = run_catching_panics(&gateway, exchange).await;
            drop(held);
            response
        })
    }
}

/// The future of one exchange.
type BoxedExchange = Pin<Box<dyn Future<Output = message::Response<AnswerBody>> + Send>>;

/// An exchange that is finished in a task of its own when it is dropped before its end.
struct DetachOnDrop {
    /// `None` once it has ended.
    exchange: Option<BoxedExchange>,
    /// Keeps the connection active; passed on to the body of the response.
    active: Option<ActiveExchange>,
}

impl Future for DetachOnDrop {
    type Output = Result<Response<TrackedBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(exchange) = &mut this.exchange else {
            return Poll::Pending;
        };
        let response = ready!(exchange.as_mut().poll(cx));
        this.exchange = None;
        let active = this.active.take();
        Poll::Ready(Ok(response.into_hyper().map(|body| TrackedBody::new(body, active))))
    }
}

impl Drop for DetachOnDrop {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(exchange);
        }
    }
}

/// The body of a response. It keeps its connection active until it is dropped, and notes when it waits for the peer.
struct TrackedBody {
    body: AnswerBody,
    active: Option<ActiveExchange>,
}

impl TrackedBody {
    fn new(body: AnswerBody, active: Option<ActiveExchange>) -> Self {
        let mut tracked = Self { body, active };
        tracked.note(true);
        tracked
    }

    /// Notes what the response waits for: with `is_ready` for the peer to take a part of it, otherwise for the
    /// upstream.
    fn note(&mut self, is_ready: bool) {
        match &mut self.active {
            Some(active) if is_ready => active.note_waiting_for_peer(),
            Some(active) => active.note_not_waiting_for_peer(),
            None => {}
        }
    }
}

impl hyper::body::Body for TrackedBody {
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
