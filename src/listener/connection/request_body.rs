//! The body of an HTTP/1.1 request, read from its connection on demand.

use super::buffered_stream::BufferedStream;
use crate::http::http1::framing::{Framing, Step};
use crate::http::transport::Readable;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The interim response to `Expect: 100-continue`, sent when the body is first read.
const CONTINUE_RESPONSE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// The most unread bytes of a body that are discarded to keep the connection.
const MAX_DISCARDED_BYTES: usize = 64 * 1024;

/// The body of one request, and the connection that it is read from.
pub(super) struct RequestBody<'a, S> {
    stream: &'a mut BufferedStream<S>,
    framing: Framing,
    /// The part of the interim response that is not written yet; the sender may not send the body before it is.
    unsent_continue: &'static [u8],
}

/// The body cannot be completed: the connection ended, or a chunk is malformed. No other request can follow on the
/// connection, because nobody knows where this body ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct IncompleteBody;

impl<'a, S: Readable> RequestBody<'a, S> {
    pub(super) fn new(stream: &'a mut BufferedStream<S>, framing: Framing, expects_continue: bool) -> Self {
        Self {
            stream,
            framing,
            unsent_continue: if expects_continue { CONTINUE_RESPONSE } else { b"" },
        }
    }

    /// Discards the unread rest of the body, as far as it has arrived and is at most 64 KiB. Returns whether the body
    /// has been read to its end, so that the next request can follow.
    pub(super) async fn discard_rest(&mut self) -> bool {
        // A sender that did not get `100 Continue` may send the body or not, so the next bytes could be either.
        if self.framing.is_complete() || !self.unsent_continue.is_empty() {
            return self.framing.is_complete();
        }
        let mut allowed_bytes = MAX_DISCARDED_BYTES;
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut *self).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        match allowed_bytes.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                            Some(rest) => allowed_bytes = rest,
                            None => return Poll::Ready(false),
                        }
                    }
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Ready(Some(Err(IncompleteBody))) | Poll::Pending => return Poll::Ready(false),
                }
            }
        })
        .await
    }

    /// Reads the next piece. After an error, the framing is [`Framing::Broken`].
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, IncompleteBody>>> {
        loop {
            match self.framing.next(&mut self.stream.input) {
                Ok(Step::Data(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::More) => {}
                Err(_) => return Poll::Ready(Some(Err(IncompleteBody))),
            }
            let arrived = match ready!(self.poll_send_continue(cx)) {
                Ok(()) => ready!(self.stream.poll_fill(cx)),
                Err(error) => Err(error),
            };
            if !matches!(arrived, Ok(1..)) {
                self.framing = Framing::Broken;
            }
        }
    }

    /// Writes the interim response, if the sender waits for it.
    fn poll_send_continue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent_continue.is_empty() {
            let count = ready!(Pin::new(&mut self.stream.stream).poll_write(cx, self.unsent_continue))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent_continue = self.unsent_continue.get(count..).unwrap_or_default();
            if self.unsent_continue.is_empty() {
                ready!(Pin::new(&mut self.stream.stream).poll_flush(cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Readable> Body for RequestBody<'_, S> {
    type Data = Bytes;
    type Error = IncompleteBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncompleteBody>>> {
        self.poll_piece(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.framing.is_complete()
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::UntilClose | Framing::Broken => SizeHint::default(),
        }
    }
}
