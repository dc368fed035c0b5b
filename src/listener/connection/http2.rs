//! HTTP/2 with one sender: hyper's, with its limits, and a watchdog for what hyper does not time.
//!
//! A verified request is finished even when its sender hangs up. hyper drops an exchange with its stream, so every
//! exchange runs inside `Finishing`, which moves to a task of its own when it is dropped half-way.

use super::activity::{Activity, Busy, Observed, Stalled};
use super::{Bounds, LINGER, Listening, Patience, contained};
use crate::gateway::answer::Body;
use crate::gateway::{Downstream, Gateway};
use crate::http::message;
use crate::outcome::Rejection;
use crate::time::shutdown::Drain;
use crate::time::timer::Timer;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Largest step in which hyper writes a body.
const SEND_BUFFER: usize = 64 * 1024;
/// Flow control: what a stream and a connection may send before we have read it.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// Serves HTTP/2 until either side is done.
pub async fn serve<S>(stream: S, gateway: Arc<Gateway>, downstream: Arc<Downstream>, bounds: Bounds, drain: &Drain)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::new();
    let service = Exchanges {
        gateway: gateway.clone(),
        downstream,
        activity: activity.clone(),
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(u32::try_from(bounds.head.bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    let stream = TokioIo::new(Observed::new(stream, activity.clone()));
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut watchdog = Watchdog::new(&activity, bounds.patience, drain);
    let mut idle = false;
    poll_fn(|cx| {
        loop {
            if watchdog.must_drain(cx) {
                connection.as_mut().graceful_shutdown();
            }
            // However it ended, it did: what hyper refuses on a stream has been answered there.
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            match ready!(watchdog.poll(cx)) {
                // First a GOAWAY; whoever does not react to that soon is cut off. What looks like the beginning of a head
                // may be a PING or a WINDOW_UPDATE of a connection that is merely idle.
                Stalled::Idle | Stalled::Head if !idle => {
                    idle = true;
                    connection.as_mut().graceful_shutdown();
                    watchdog.grant_more_time();
                }
                Stalled::Idle | Stalled::Head | Stalled::Write => return Poll::Ready(()),
            }
        }
    })
    .await;
}

/// Times what hyper does not: silence, heads that do not end, peers that do not read. Also hears of the drain.
struct Watchdog<'a> {
    activity: &'a Activity,
    patience: Patience,
    timer: Timer,
    grace: Duration,
    drain: Listening<'a>,
    draining: bool,
}

impl<'a> Watchdog<'a> {
    fn new(activity: &'a Activity, patience: Patience, drain: &'a Drain) -> Self {
        Self {
            activity,
            patience,
            timer: Timer::default(),
            grace: Duration::ZERO,
            drain: Listening::to(drain),
            draining: false,
        }
    }

    /// True once, when the drain begins.
    fn must_drain(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.draining;
        self.draining = before || self.drain.hears(cx);
        self.draining && !before
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
        let (request, body) = message::Request::of(request);
        let exchange = async move {
            let exchange = pin!(gateway.handle(&downstream, request, body));
            contained(&gateway, exchange).await
        };
        Finishing {
            exchange: Some(Box::pin(exchange)),
            busy: Some(self.activity.exchange()),
        }
    }
}

/// An exchange that finishes even if it is dropped.
struct Finishing {
    exchange: Option<Pin<Box<dyn Future<Output = message::Response<Body>> + Send>>>,
    busy: Option<Busy>,
}

impl Future for Finishing {
    type Output = Result<Response<Tracked>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(exchange) = &mut this.exchange else {
            return Poll::Pending;
        };
        let response = ready!(exchange.as_mut().poll(cx));
        this.exchange = None;
        let busy = this.busy.take();
        Poll::Ready(Ok(response.into_hyper().map(|body| Tracked::new(body, busy))))
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
