//! One HTTP connection of a sender, over any byte stream: its limits and timeouts, its reaction to the shutdown signal,
//! and a way to close it so that the sender can still read the last response.
//!
//! HTTP/1.1 ([`http1`]) is read and written here, in the connection's own task. HTTP/2 ([`http2`]) is hyper's; a
//! watchdog adds the timeouts that hyper does not have. This file has what both share. Each module imports only from
//! modules below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`http1`] | an HTTP/1.1 connection, idle and active |
//! | [`request_body`] | the body of an HTTP/1.1 request, read from its connection |
//! | [`buffered_stream`] | the stream of an HTTP/1.1 connection with its buffers |
//! | [`http2`] | an HTTP/2 connection |
//! | [`http2_body`] | the body of an HTTP/2 request; discards what is left unread |
//! | [`activity`] | what an HTTP/2 connection is waiting for |
//! | [`control_frames`] | finds floods of HTTP/2 control frames |

mod activity;
mod buffered_stream;
mod control_frames;
pub mod http1;
pub mod http2;
mod http2_body;
mod request_body;

use crate::gateway::Gateway;
use crate::gateway::answer::AnswerBody;
use crate::gateway::refusal;
use crate::http::http1::request::RequestHeadLimits;
use crate::http::message::Response;
use crate::outcome::Rejection;
use crate::time::shutdown::ShutdownSignal;
use prometheus::IntGauge;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// How long input is discarded after the last response of a connection, and after an early answer on an HTTP/2 stream.
/// The sender may still be sending; an immediate reset of the connection or stream would destroy the response on its
/// way. Two seconds are several round trips to any place.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// The most bytes that are discarded in this time: the limit of a body where the provider has no larger one.
const LINGER_BYTES: u64 = 1024 * 1024;

/// The limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Limits of a request head.
    pub head: RequestHeadLimits,
    /// The most concurrent HTTP/2 streams.
    pub streams: u32,
    /// How long the connection may wait.
    pub timeouts: Timeouts,
}

/// How long each kind of waiting may last.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the first byte of a head to its end; also from the start of the connection to the first head.
    pub head: Duration,
    /// Between two exchanges.
    pub idle: Duration,
    /// For the peer to read a part of a response.
    pub write: Duration,
}

/// One idle connection in a gauge, until it is dropped.
struct CountedIdle<'a>(&'a IntGauge);

impl<'a> CountedIdle<'a> {
    fn new(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for CountedIdle<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Runs one exchange. A panic in it ends this exchange only: it is answered with 500 and counted.
///
/// The exchange is passed as a pinned reference, because a large future that is passed by value is copied each time.
async fn run_catching_panics(
    gateway: &Gateway,
    mut exchange: Pin<&mut impl Future<Output = Response<AnswerBody>>>,
) -> Response<AnswerBody> {
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| exchange.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(_) => {
                gateway.recorder.metrics.panics.inc();
                Poll::Ready(refusal::response(Rejection::Internal, None))
            }
        },
    )
    .await
}

/// Closes a connection so that the last response arrives: closes the sending direction, then discards what the sender
/// still sends, for at most 2 seconds and 1 MiB.
pub(super) async fn close_after_last_response(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let close = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // Neither an error nor the timeout matters: the connection ends here in any case.
    let _ = timeout(LINGER_TIMEOUT, close).await;
}

/// Lets a task that polls several things also notice the shutdown signal.
struct ShutdownWatch<'a> {
    signal: &'a ShutdownSignal,
    /// Holds the waker of the task; `None` before the first call of [`is_triggered`](Self::is_triggered).
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
}

impl<'a> ShutdownWatch<'a> {
    const fn new(signal: &'a ShutdownSignal) -> Self {
        Self { signal, wait: None }
    }

    /// Whether the signal has been triggered. If not, the task of `cx` is woken when it is.
    fn is_triggered(&mut self, cx: &mut Context<'_>) -> bool {
        if self.wait.is_none() {
            // One poll registers the waker, which stays valid because this belongs to one task.
            let mut wait = Box::pin(self.signal.wait());
            let _ = wait.as_mut().poll(cx);
            self.wait = Some(wait);
        }
        self.signal.is_triggered()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::gateway::exchange::Recorder;
    use crate::gateway::long_work::LongWork;
    use crate::gateway::snapshot::Snapshot;
    use crate::http::budget::Budget;
    use crate::replay::{Guard, MemoryStore};
    use crate::telemetry::metrics::Metrics;
    use arc_swap::ArcSwap;
    use std::pin::pin;
    use std::sync::Arc;
    use tokio::time::Instant;

    /// A gateway without routes: it answers every request with 404.
    pub(crate) fn gateway() -> Gateway {
        let metrics = Metrics::new();
        let snapshot = Snapshot::compile(Vec::new(), None, 1, None, None, &metrics, |_| Ok(None)).unwrap();
        Gateway {
            snapshot: ArcSwap::from_pointee(snapshot),
            budget: Budget::new(0),
            min_body_rate: 0,
            source_rates: None,
            guard: Guard::Memory(MemoryStore::new(1, Instant::now())),
            long_work: LongWork::new(1),
            inbox: None,
            captures: None,
            keys: None,
            recorder: Recorder::new(metrics, Vec::new(), 0),
            stopping: Arc::default(),
        }
    }

    /// Usual limits, with this timeout for a head.
    pub(crate) fn limits(head_timeout: Duration) -> ConnectionLimits {
        ConnectionLimits {
            head: RequestHeadLimits {
                bytes: 1024,
                fields: 10,
            },
            streams: 1,
            timeouts: Timeouts {
                head: head_timeout,
                idle: Duration::from_secs(60),
                write: Duration::from_secs(10),
            },
        }
    }

    /// I13: a panic ends one exchange, with 500, and the task of the connection continues.
    #[tokio::test]
    async fn a_panic_is_answered_and_counted() {
        let gateway = gateway();
        let response = run_catching_panics(&gateway, pin!(async { panic!("a bug") })).await;
        assert_eq!(response.status, hyper::StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(gateway.recorder.metrics.panics.get(), 1);
    }
}
