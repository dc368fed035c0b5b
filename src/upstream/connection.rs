//! One HTTP/1.1 connection to an upstream: a request written, its answer read, in the task of the exchange.
//!
//! There is no task of the connection's own, so no message costs a wake-up between two, and nobody polls an idle
//! connection: whether one is still alive is asked when it is taken from the pool. Writing and reading go on side by side,
//! so an answer that comes before the request is sent (413) is relayed, and the connection is then not used again.

use super::message::{Head, HeadReader, Message};
use super::stream::Stream;
use crate::http::http1::framing::{Framing, Step};
use crate::http::message::Response;
use crate::outcome::Rejection;
use crate::time::timer::Timer;
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::body::SizeHint;
use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::time::Instant;

/// Bytes of the first read of an answer. Reads grow while they come back full, to what is read of an answer before the
/// sender has taken it.
const READ: usize = 8 * 1024;
const READ_MOST: usize = 64 * 1024;
/// Pieces of a request that one system call writes.
const SLICES: usize = 16;

/// A connection that was in use this recently is not asked about: that would be a system call for every request.
const TRUSTED: Duration = Duration::from_millis(50);

/// An open connection, idle or in use.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    /// Room to read into.
    room: BytesMut,
    /// What the next read asks for.
    read: usize,
    /// Bytes that were read and belong to nobody yet.
    input: Bytes,
    /// Nothing forbids another request after this answer.
    keep: bool,
    timer: Timer,
    pub(super) idle_since: Instant,
}

/// Why a request got no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Not a byte was sent: safe to send it again elsewhere.
    NotSent(Message),
    /// Perhaps sent.
    Lost(Rejection),
}

/// What is still to come of an answer's body; read by [`Connection::poll_body`].
#[derive(Debug)]
pub(super) struct Incoming(Framing);

impl Incoming {
    /// Whether the last byte has been read.
    pub(super) const fn is_end_stream(&self) -> bool {
        self.0.is_complete()
    }

    /// Bytes still to come, where the upstream said so.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self.0 {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::UntilClose => SizeHint::default(),
        }
    }
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            room: BytesMut::new(),
            read: READ,
            input: Bytes::new(),
            keep: true,
            timer: Timer::default(),
            idle_since: Instant::now(),
        }
    }

    /// Like [`Connection::is_idle`], and asks the kernel about a connection that has been idle for a while.
    pub(super) fn is_alive(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.idle_since) > TRUSTED && self.stream.is_closed() {
            return false;
        }
        self.is_idle()
    }

    /// Whether another request can be sent: the last answer is over, and the other side has neither closed nor said
    /// anything more, as far as the runtime knows. Also takes this task's waker out of the stream.
    pub(super) fn is_idle(&mut self) -> bool {
        self.keep && self.input.is_empty() && self.poll_read(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Sends `request` and waits for the head of the final answer until `deadline`.
    pub(super) async fn send(&mut self, request: Message, deadline: Instant) -> Result<Response<Incoming>, Failure> {
        let mut reader = HeadReader::new(request.is_head);
        let mut outgoing = Outgoing::new(request);
        let head = poll_fn(|cx| {
            let failed = matches!(outgoing.poll(&mut self.stream, cx), Poll::Ready(Err(_)));
            if failed && outgoing.untouched {
                return Poll::Ready(None);
            }
            // Whatever went wrong with the rest: an answer may be there that says why.
            match self.poll_head(cx, &mut reader, failed) {
                Poll::Ready(head) => Poll::Ready(Some(head)),
                Poll::Pending => self
                    .timer
                    .poll(cx, deadline)
                    .map(|()| Some(Err(Rejection::UpstreamTimeout))),
            }
        })
        .await;
        match head {
            None => Err(Failure::NotSent(outgoing.message)),
            Some(Err(rejection)) => Err(Failure::Lost(rejection)),
            Some(Ok(head)) => {
                self.keep = head.keep && outgoing.flushed;
                Ok(head.response.map(|()| Incoming(head.framing)))
            }
        }
    }

    /// The next piece of an answer's body; trailers are dropped.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
        deadline: Instant,
    ) -> Poll<Option<Result<Bytes, Rejection>>> {
        loop {
            match body.0.next(&mut self.input) {
                Ok(Step::Data(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::More) => {}
                Err(_) => return Poll::Ready(Some(Err(Rejection::UpstreamInvalid))),
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) if body.0.ends_with_connection() => return Poll::Ready(None),
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Some(Err(Rejection::UpstreamReset))),
                Poll::Pending => {
                    return self
                        .timer
                        .poll(cx, deadline)
                        .map(|()| Some(Err(Rejection::UpstreamTimeout)));
                }
            }
        }
    }

    /// The head of the answer. When sending has `failed`, there is nothing to wait for but what has arrived.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut HeadReader,
        failed: bool,
    ) -> Poll<Result<Head, Rejection>> {
        loop {
            if !self.input.is_empty() {
                match reader.read(&mut self.input) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(Rejection::UpstreamInvalid)),
                }
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Rejection::UpstreamReset)),
                Poll::Pending if failed => return Poll::Ready(Err(Rejection::UpstreamReset)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Appends what arrives to `input`; the number of bytes, zero at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.room.capacity() < self.read / 2 {
            self.room.reserve(self.read);
        }
        let most = self.room.capacity();
        let count = ready!(pin!(self.stream.read_buf(&mut self.room)).poll(cx))?;
        if count == most {
            self.read = READ_MOST;
        }
        let arrived = self.room.split().freeze();
        self.input = if self.input.is_empty() {
            arrived
        } else {
            append(mem::take(&mut self.input), &arrived)
        };
        Poll::Ready(Ok(count))
    }
}

/// Both as one. Room that was made for this is used again for what comes next: many small pieces are not copied many times.
fn append(first: Bytes, second: &[u8]) -> Bytes {
    let mut both = first.try_into_mut().unwrap_or_else(|first| BytesMut::from(&first[..]));
    both.extend_from_slice(second);
    both.freeze()
}

/// A request on its way out.
struct Outgoing {
    /// What is left of it, once it is no longer untouched.
    message: Message,
    /// Not a byte was written.
    untouched: bool,
    flushed: bool,
}

impl Outgoing {
    const fn new(message: Message) -> Self {
        Self {
            message,
            untouched: true,
            flushed: false,
        }
    }

    /// Writes what the stream takes; ready when everything has left.
    fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Message { head, body, .. } = &mut self.message;
        while head.has_remaining() || body.has_remaining() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let [first, rest @ ..] = &mut slices;
            *first = IoSlice::new(head);
            let count = 1 + body.chunks_vectored(rest);
            let slices = slices.get(..count).unwrap_or_default();
            let some = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices))?;
            if some == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.untouched = false;
            let of_head = some.min(head.len());
            head.advance(of_head);
            body.advance(some - of_head);
        }
        if !self.flushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}
