//! The body of an HTTP/2 request. What the gateway leaves unread of it is discarded, so that the answer arrives.
//!
//! An early answer (401 before the body) ends the server's side of the stream while the sender still sends. h2 resets
//! a stream as soon as nobody reads it any more, and some clients (curl 7.88) then report the reset in place of the
//! answer.

use super::{LINGER_BYTES, LINGER_TIMEOUT};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// The body of a request. When it is dropped before its end, a task discards the rest, for at most 2 seconds and 1 MiB,
/// the same as at the end of an HTTP/1.1 connection. Then h2 resets the stream.
///
/// Each piece is freed when it has arrived. There are no more tasks than streams, because the stream counts as open
/// until its task ends.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// `None` when it has been dropped.
    incoming: Option<Incoming>,
}

impl RequestBody {
    pub(super) const fn new(incoming: Incoming) -> Self {
        Self {
            incoming: Some(incoming),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take()
            && !incoming.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            // Neither the end nor the timeout matters: the stream ends here in any case.
            runtime.spawn(timeout(LINGER_TIMEOUT, discard(incoming)));
        }
    }
}

/// Reads the body to its end, or until more than [`LINGER_BYTES`] have arrived. Reading a piece allows the sender to
/// send as many bytes more.
async fn discard(mut body: Incoming) {
    let mut allowed_bytes = LINGER_BYTES;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let length_bytes = frame.data_ref().map_or(0, Bytes::len);
        match allowed_bytes.checked_sub(u64::try_from(length_bytes).unwrap_or(u64::MAX)) {
            Some(rest) => allowed_bytes = rest,
            None => return,
        }
    }
}
