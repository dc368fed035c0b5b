//! The sender's byte stream: a TCP or Unix socket that is read in large steps, and what a connection asks of it.
//!
//! Whoever reads in small steps, as hyper does at first, would make many system calls of a large body; reading ahead makes one
//! of them. It begins when a read came back full, so that a small webhook costs neither a buffer nor a copy, and the buffer
//! exists only while there is something in it. What the first bytes of a connection are is found out here, too.

use bytes::{Buf as _, BytesMut};
use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Bytes of one read from a socket: four full TLS records.
const READ_AHEAD: usize = 64 * 1024;
/// Room below which a read gets a new buffer.
const LEAST_ROOM: usize = 4 * 1024;

/// An accepted socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// Unix stream.
    Unix(UnixStream),
}

/// A socket that is read in large steps.
#[derive(Debug)]
pub struct ReadAhead {
    socket: Socket,
    buffer: BytesMut,
    /// The last read left nothing to be desired: there is probably more.
    more: bool,
}

impl ReadAhead {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(socket: Socket) -> Self {
        Self {
            socket,
            buffer: BytesMut::new(),
            more: false,
        }
    }

    /// Waits until `enough` says so of the bytes that arrived first, and leaves them to be read. Also ends at the end of
    /// the stream. The caller bounds the time; the buffer bounds the memory.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn peek(&mut self, enough: impl Fn(&[u8]) -> bool) -> io::Result<&[u8]> {
        while !enough(&self.buffer) && self.buffer.len() < READ_AHEAD && poll_fn(|cx| self.poll_fill(cx)).await? > 0 {}
        Ok(&self.buffer)
    }

    /// Takes away the first bytes of what [`peek`](Self::peek) saw; what follows them is read next.
    pub fn consume(&mut self, length: usize) {
        self.buffer.advance(length.min(self.buffer.len()));
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Readiness is asked first, so that waiting does not hold a buffer.
        ready!(self.poll_readable(cx))?;
        self.buffer.reserve(READ_AHEAD);
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
            if !this.more || buf.remaining() >= READ_AHEAD {
                let before = buf.filled().len();
                let read = match &mut this.socket {
                    Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
                    Socket::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
                };
                this.more = buf.filled().len() > before && buf.remaining() == 0;
                return read;
            }
            this.more = ready!(this.poll_fill(cx))? >= READ_AHEAD / 2;
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

/// What an HTTP/1.1 connection needs of its stream.
pub trait Readable: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Ready when a read would find bytes, the end of the stream, or an error. Nothing is read, and no buffer is needed.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends what has arrived to `into`, with a new buffer of `room` bytes where there is little left; the number of bytes, zero at the end
    /// of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut BytesMut, room: usize) -> Poll<io::Result<usize>> {
        // Without a new buffer while pieces of this one are held: what they are charged for is what they hold.
        if into.is_empty() {
            let _ = into.try_reclaim(room);
        }
        if into.capacity() - into.len() < LEAST_ROOM {
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
