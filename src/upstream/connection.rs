//! One HTTP/1.1 connection to an upstream: writes a request and reads its answer, in the task of the exchange.
//!
//! The connection has no task of its own, so an exchange needs no wake-up between two tasks. An idle connection is not
//! polled; it is checked when it is taken from the pool. The request is written while the answer is read, so an answer
//! that arrives before the request is fully sent (such as 413) is relayed; the connection is then not reused.

use super::message::{AnswerHead, AnswerHeadReader, OutgoingRequest};
use super::stream::{Unread, UpstreamStream};
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

/// Size of the first read of an answer, in bytes. After a read that filled its buffer, reads have [`MAX_READ_BYTES`].
const FIRST_READ_BYTES: usize = 8 * 1024;
/// Size of the largest read of an answer, in bytes; at most that much is buffered before the sender has received it.
const MAX_READ_BYTES: usize = 64 * 1024;
/// Number of pieces of a request that one system call writes.
const MAX_SLICES: usize = 16;

/// A connection that was used this recently is assumed to be open. Checking it would cost a system call for each
/// request.
const RECENT_USE: Duration = Duration::from_millis(50);

/// An open connection, idle or in use.
#[derive(Debug)]
pub(super) struct UpstreamConnection {
    stream: UpstreamStream,
    /// Buffer that the next read fills.
    room: BytesMut,
    /// Size of the next read, in bytes.
    read_bytes: usize,
    /// Bytes that were read and not parsed yet.
    input: Bytes,
    /// Whether another request may be sent after the current answer.
    is_reusable: bool,
    timer: Timer,
    /// When the last answer ended; the pool sets it.
    pub(super) idle_since: Instant,
}

/// Why a request received no answer.
#[derive(Debug)]
pub(super) enum SendError {
    /// No byte of the request was sent: it is unchanged and can be sent again.
    NotSent,
    /// The request was sent, completely or in part: it must not be sent again.
    MaybeSent(Rejection),
}

/// The part of an answer's body that has not been read; see [`UpstreamConnection::poll_body`].
#[derive(Debug)]
pub(super) struct IncomingBody(Framing);

impl IncomingBody {
    /// Whether the last byte has been read.
    pub(super) const fn is_end_stream(&self) -> bool {
        self.0.is_complete()
    }

    /// Number of bytes that remain, if the upstream sent a Content-Length.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self.0 {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::UntilClose | Framing::Broken => SizeHint::default(),
        }
    }
}

impl UpstreamConnection {
    pub(super) fn new(stream: UpstreamStream) -> Self {
        Self {
            stream,
            room: BytesMut::new(),
            read_bytes: FIRST_READ_BYTES,
            input: Bytes::new(),
            is_reusable: true,
            timer: Timer::default(),
            idle_since: Instant::now(),
        }
    }

    /// What the other side has sent that nobody asked for. Asks the kernel only when the connection has been idle for more
    /// than [`RECENT_USE`]: such bytes would be taken for the next answer.
    pub(super) fn unread(&self, now: Instant) -> Unread {
        if now.saturating_duration_since(self.idle_since) > RECENT_USE {
            self.stream.unread()
        } else {
            Unread::Nothing
        }
    }

    /// Waits until the runtime knows that there is something to read.
    pub(super) async fn readable(&self) {
        self.stream.readable().await;
    }

    /// Whether another request can be sent: the last answer is complete, and the other side has neither closed the
    /// connection nor sent more bytes, as far as the runtime knows. Also removes this task's waker from the stream.
    pub(super) fn is_idle(&mut self) -> bool {
        self.is_reusable
            && self.input.is_empty()
            && self.poll_read(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Sends `request`, whose bytes are taken from it, and waits until `deadline` for the head of the final answer.
    pub(super) async fn send(
        &mut self,
        request: &mut OutgoingRequest,
        deadline: Instant,
    ) -> Result<Response<IncomingBody>, SendError> {
        let mut reader = AnswerHeadReader::new(request.is_head);
        let mut writer = RequestWriter::new(request);
        let head = poll_fn(|cx| {
            let failed = matches!(writer.poll(&mut self.stream, cx), Poll::Ready(Err(_)));
            if failed && writer.is_unsent {
                return Poll::Ready(None);
            }
            // Writing may have failed because the upstream has answered already: read that answer.
            match self.poll_head(cx, &mut reader, failed, deadline) {
                Poll::Ready(head) => Poll::Ready(Some(head)),
                Poll::Pending => self
                    .timer
                    .poll(cx, deadline)
                    .map(|()| Some(Err(Rejection::UpstreamTimeout))),
            }
        })
        .await;
        match head {
            None => Err(SendError::NotSent),
            Some(Err(rejection)) => Err(SendError::MaybeSent(rejection)),
            Some(Ok(head)) => {
                self.is_reusable = head.is_reusable && writer.flushed;
                Ok(head.response.map(|()| IncomingBody(head.framing)))
            }
        }
    }

    /// Reads the next piece of an answer's body. Trailers are dropped.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut IncomingBody,
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
                // The timer is polled only while there is nothing to read.
                Poll::Ready(Ok(1..)) if Instant::now() >= deadline => {
                    return Poll::Ready(Some(Err(Rejection::UpstreamTimeout)));
                }
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

    /// Reads the head of the answer. When sending has `failed`, only bytes that have already arrived are read.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut AnswerHeadReader,
        failed: bool,
        deadline: Instant,
    ) -> Poll<Result<AnswerHead, Rejection>> {
        let mut has_read = false;
        loop {
            if !self.input.is_empty() {
                match reader.read(&mut self.input) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(Rejection::UpstreamInvalid)),
                }
            }
            match self.poll_read(cx) {
                // The timer is polled only while there is nothing to read.
                Poll::Ready(Ok(1..)) if has_read && Instant::now() >= deadline => {
                    return Poll::Ready(Err(Rejection::UpstreamTimeout));
                }
                Poll::Ready(Ok(1..)) => has_read = true,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Rejection::UpstreamReset)),
                Poll::Pending if failed => return Poll::Ready(Err(Rejection::UpstreamReset)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads once and appends to `input`. Returns the number of bytes; zero at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.room.capacity() < self.read_bytes / 2 {
            self.room.reserve(self.read_bytes);
        }
        let capacity = self.room.capacity();
        let count = ready!(pin!(self.stream.read_buf(&mut self.room)).poll(cx))?;
        if count == capacity {
            self.read_bytes = MAX_READ_BYTES;
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

/// Concatenates both. The buffer of `first` is extended when possible, so many small pieces are not copied repeatedly.
fn append(first: Bytes, second: &[u8]) -> Bytes {
    let mut both = first.try_into_mut().unwrap_or_else(|first| BytesMut::from(&first[..]));
    both.extend_from_slice(second);
    both.freeze()
}

/// Writes a request to a stream.
struct RequestWriter<'a> {
    /// The request; the bytes that were written are removed from it.
    request: &'a mut OutgoingRequest,
    /// Whether no byte was written.
    is_unsent: bool,
    /// Whether the whole request was written and flushed.
    flushed: bool,
}

impl<'a> RequestWriter<'a> {
    const fn new(request: &'a mut OutgoingRequest) -> Self {
        Self {
            request,
            is_unsent: true,
            flushed: false,
        }
    }

    /// Writes as much as the stream accepts. Ready when everything is written and flushed.
    fn poll(&mut self, stream: &mut UpstreamStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let OutgoingRequest { head, body, .. } = &mut *self.request;
        while head.has_remaining() || body.has_remaining() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let [first, rest @ ..] = &mut slices;
            *first = IoSlice::new(head);
            let count = 1 + body.chunks_vectored(rest);
            let slices = slices.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.is_unsent = false;
            let of_head = written.min(head.len());
            head.advance(of_head);
            body.advance(written - of_head);
        }
        if !self.flushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;
    use tokio::net::TcpStream;

    /// A connection to an upstream that has sent `bytes` already, of which the runtime knows.
    async fn connection_with(bytes: &[u8]) -> (UpstreamConnection, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut upstream, _) = listener.accept().unwrap();
        upstream.write_all(bytes).unwrap();
        let stream = UpstreamStream::Tcp(stream);
        stream.readable().await;
        (UpstreamConnection::new(stream), upstream)
    }

    /// The deadline has passed, and bytes are at hand each time the task asks.
    #[tokio::test]
    async fn bytes_at_hand_do_not_extend_the_deadline() {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut connection, _upstream) = connection_with(&[b'x'; 100]).await;
        let (past, mut body) = (Instant::now(), IncomingBody(Framing::UntilClose));
        let read = connection.poll_body(&mut cx, &mut body, past);
        assert_eq!(read, Poll::Ready(Some(Err(Rejection::UpstreamTimeout))));
        // More informational answers than one read takes.
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(2 * FIRST_READ_BYTES / 40);
        let (mut connection, _upstream) = connection_with(&hints).await;
        let read = connection.poll_head(&mut cx, &mut AnswerHeadReader::new(false), false, past);
        assert!(matches!(read, Poll::Ready(Err(Rejection::UpstreamTimeout))), "{read:?}");
    }

    /// The kernel is asked: here the runtime has not polled its driver since the bytes arrived.
    #[tokio::test]
    async fn a_connection_with_bytes_that_nobody_asked_for_is_not_used() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut upstream, _) = listener.accept().unwrap();
        let mut connection = UpstreamConnection::new(UpstreamStream::Tcp(stream));
        let later = connection.idle_since + 2 * RECENT_USE;
        assert_eq!(connection.unread(later), Unread::Nothing);
        upstream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        assert!(connection.is_idle(), "the runtime knows of the bytes already");
        assert_eq!(connection.unread(later), Unread::Bytes);
    }
}
