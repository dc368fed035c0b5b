//! One HTTP connection of a sender, over any byte stream: what it may take up, how long it may wait, how it hears of the
//! drain, and an end at which the sender can still read its answer.
//!
//! HTTP/1.1 ([`http1`]) is read and written here, in the connection's own task; HTTP/2 ([`http2`]) is hyper's, watched over
//! for what hyper does not time.

mod activity;
pub mod http1;
pub mod http2;
mod upload;
mod wire;

use crate::gateway::Gateway;
use crate::gateway::answer::Body;
use crate::gateway::refusal;
use crate::http::http1::request::Limits;
use crate::http::message::Response;
use crate::outcome::Rejection;
use crate::time::shutdown::Drain;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// After our last byte the sender may still be sending; closing at once would destroy the answer on its way. So what
/// comes is read and thrown away, for this long at most.
const LINGER: Duration = Duration::from_secs(2);
/// And this many bytes at most.
const LINGER_BYTES: u64 = 1024 * 1024;

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of a head.
    pub head: Limits,
    /// HTTP/2 streams at once.
    pub streams: u32,
    /// Deadlines.
    pub patience: Patience,
}

/// How long each kind of waiting may last.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a head to its end; also from the connection's start to the first head.
    pub head: Duration,
    /// Between two exchanges.
    pub idle: Duration,
    /// For the peer to read.
    pub write: Duration,
}

/// A bug is one exchange's: a panic ends that exchange, is answered and counted, and nothing else ends with it. The exchange
/// is large, and stays where the caller has it: a future that is passed on by value takes its room again each time.
async fn contained(gateway: &Gateway, mut exchange: Pin<&mut impl Future<Output = Response<Body>>>) -> Response<Body> {
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

/// Ends a connection so that the last answer arrives: our end is closed, what still comes is thrown away.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let goodbye = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // Whatever goes wrong now, the connection is over.
    let _ = timeout(LINGER, goodbye).await;
}

/// A task that is to be woken when the drain begins.
struct Listening<'a> {
    drain: &'a Drain,
    begun: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
}

impl<'a> Listening<'a> {
    const fn to(drain: &'a Drain) -> Self {
        Self { drain, begun: None }
    }

    /// Whether the drain has begun; if not, the task is woken when it does.
    fn hears(&mut self, cx: &mut Context<'_>) -> bool {
        if self.begun.is_none() {
            // Polled once to leave the waker: it stays good for this task.
            let mut begun = Box::pin(self.drain.begun());
            let _ = begun.as_mut().poll(cx);
            self.begun = Some(begun);
        }
        self.drain.has_begun()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::gateway::exchange::Recorder;
    use crate::gateway::snapshot::Snapshot;
    use crate::http::body::Budget;
    use crate::replay::{Guard, Memory};
    use crate::telemetry::metrics::Metrics;
    use crate::tls;
    use arc_swap::ArcSwap;
    use std::pin::pin;
    use std::sync::Arc;
    use tokio::time::Instant;

    /// One without a route: whatever is asked, nothing is found.
    pub(crate) fn gateway() -> Gateway {
        let metrics = Metrics::new();
        let snapshot = Snapshot::compile(Vec::new(), None, 1, &metrics, tls::connector).unwrap();
        Gateway {
            snapshot: ArcSwap::from_pointee(snapshot),
            budget: Budget::new(0),
            guard: Guard::Memory(Memory::new(1, Instant::now())),
            recorder: Recorder::new(metrics, None, 0),
            stopping: Arc::default(),
        }
    }

    /// Usual ones, but for the patience with a head.
    pub(crate) fn bounds(head: Duration) -> Bounds {
        let head_limits = Limits {
            bytes: 1024,
            fields: 10,
        };
        let patience = Patience {
            head,
            idle: Duration::from_secs(60),
            write: Duration::from_secs(10),
        };
        Bounds {
            head: head_limits,
            streams: 1,
            patience,
        }
    }

    /// I13: a panic is one exchange's: answered 500 and counted, and the task that serves the connection lives on.
    #[tokio::test]
    async fn a_panic_is_answered_and_counted() {
        let gateway = gateway();
        let response = contained(&gateway, pin!(async { panic!("a bug") })).await;
        assert_eq!(response.status, hyper::StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(gateway.recorder.metrics.panics.get(), 1);
    }
}
