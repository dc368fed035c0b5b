//! The sender's byte stream: a TCP or Unix socket with read-ahead, and the trait that an HTTP/1.1 connection needs of
//! it.
//!
//! A reader with small buffers, such as hyper at first, would need many system calls for a large body; reading ahead
//! needs few. Reading ahead begins when a read filled the reader's buffer completely, so that a small webhook costs
//! neither a buffer nor a copy, and the buffer exists only while it holds bytes. [`ReadAhead::peek`] looks at the first
//! bytes of a connection, from which the listener recognizes the protocol.

use bytes::{Buf as _, BytesMut};
use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Size of one read from a socket, in bytes: four full TLS records.
const READ_AHEAD_BYTES: usize = 64 * 1024;
/// Free bytes below which a read gets a new buffer.
const MIN_FREE_BYTES: usize = 4 * 1024;

/// An accepted socket.
#[derive(Debug)]
pub enum Socket {
    /// A TCP socket.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// A socket with read-ahead.
#[derive(Debug)]
pub struct ReadAhead {
    socket: Socket,
    /// Bytes that were read from the socket and not yet by the caller.
    buffer: BytesMut,
    /// Whether the last read filled its buffer, so that more bytes are probably waiting.
    likely_more: bool,
}

impl ReadAhead {
    /// Wraps `socket`; reads nothing yet.
    #[must_use]
    pub fn new(socket: Socket) -> Self {
        Self {
            socket,
            buffer: BytesMut::new(),
            likely_more: false,
        }
    }

    /// Waits until `enough` accepts the bytes that have arrived, and returns them; they remain to be read. Also returns
    /// at the end of the stream and when the buffer is full (64 KiB). The caller limits the time.
    ///
    /// # Errors
    /// Read errors of the socket.
    pub async fn peek(&mut self, enough: impl Fn(&[u8]) -> bool) -> io::Result<&[u8]> {
        while !enough(&self.buffer)
            && self.buffer.len() < READ_AHEAD_BYTES
            && poll_fn(|cx| self.poll_fill(cx)).await? > 0
        {}
        Ok(&self.buffer)
    }

    /// Removes the first `length` bytes of what [`peek`](Self::peek) returned; the bytes after them are read next.
    pub fn consume(&mut self, length: usize) {
        self.buffer.advance(length.min(self.buffer.len()));
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Appends what the socket has to the buffer; the number of bytes, 0 at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // The readiness is polled first, so that a waiting connection holds no buffer.
        ready!(self.poll_readable(cx))?;
        self.buffer.reserve(READ_AHEAD_BYTES);
        let filled = match &mut self.socket {
            Socket::Tcp(socket) => pin!(socket.read_buf(&mut self.buffer)).poll(cx),
            Socket::Unix(socket) => pin!(socket.read_buf(&mut self.buffer)).poll(cx),
        };
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        filled
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.buffer.is_empty() {
            if !this.likely_more || buf.remaining() >= READ_AHEAD_BYTES {
                let before = buf.filled().len();
                let read = match &mut this.socket {
                    Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
                    Socket::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
                };
                this.likely_more = buf.filled().len() > before && buf.remaining() == 0;
                return read;
            }
            this.likely_more = ready!(this.poll_fill(cx))? >= READ_AHEAD_BYTES / 2;
        }
        let some = this.buffer.len().min(buf.remaining());
        buf.put_slice(this.buffer.get(..some).unwrap_or_default());
        this.consume(some);
        Poll::Ready(Ok(()))
    }
}

macro_rules! delegate {
    ($self:ident, $socket:ident => $call:expr) => {
        match &mut $self.get_mut().socket {
            Socket::Tcp($socket) => $call,
            Socket::Unix($socket) => $call,
        }
    };
}

impl AsyncWrite for ReadAhead {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, socket => Pin::new(socket).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, socket => Pin::new(socket).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, socket => Pin::new(socket).poll_shutdown(cx))
    }
}

/// A stream that an HTTP/1.1 connection can read: it also reports readiness without a buffer.
pub trait Readable: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Ready when a read would return bytes, the end of the stream, or an error. Reads nothing and needs no buffer.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends what has arrived to `into` and returns the number of bytes, 0 at the end of the stream. Allocates a new
    /// buffer of `room` bytes when less than 4 KiB are free.
    fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut BytesMut, room: usize) -> Poll<io::Result<usize>> {
        // Reuses the buffer only when no piece of it is held elsewhere: a held piece is charged for the buffer it
        // keeps.
        if into.is_empty() {
            let _ = into.try_reclaim(room);
        }
        if into.capacity() - into.len() < MIN_FREE_BYTES {
            into.reserve(room);
        }
        pin!(self.read_buf(into)).poll(cx)
    }
}

impl Readable for ReadAhead {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.buffer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match &self.socket {
            Socket::Tcp(socket) => socket.poll_read_ready(cx),
            Socket::Unix(socket) => socket.poll_read_ready(cx),
        }
    }
}

impl<S: Readable + ?Sized> Readable for Box<S> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_readable(cx)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut BytesMut, room: usize) -> Poll<io::Result<usize>> {
        (**self).poll_fill(cx, into, room)
    }
}
