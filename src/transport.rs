//! The sender's byte stream: a TCP or Unix socket that is read in large steps, and an observer that notes when bytes move.
//!
//! The TLS layer asks for 4 KiB at a time; reading ahead makes one system call of what would be sixteen for a large body.
//! It begins when a read came back full, so that a small webhook costs neither a buffer nor a copy, and the buffer exists only
//! while there is something in it.

use bytes::{Buf as _, BytesMut};
use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

/// Bytes of one read from a socket: four full TLS records.
const READ_AHEAD: usize = 64 * 1024;

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

/// A stream that can say that bytes have arrived without reading them.
pub trait Readable {
    /// Ready when a read would find bytes, the end of the stream, or an error.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
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
}

impl<S: Readable> Readable for Observed<S> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_readable(cx)
    }
}

/// What a connection is waiting for, noted by the stream and by the exchanges on it, read by the connection's watchdog.
/// Times are milliseconds since the connection began.
#[derive(Debug)]
pub struct Activity {
    began: Instant,
    protocol: Protocol,
    /// Exchanges that are not finished.
    /// Not a byte has come yet.
    silent: AtomicBool,
    exchanges: AtomicU32,
    /// When the connection last became idle.
    idle_since: AtomicU64,
    /// When the first byte after that arrived; [`NEVER`] while it has not.
    head_since: AtomicU64,
    /// Since when a write has been waiting for the peer; [`NEVER`] while none is.
    write_since: AtomicU64,
    /// Answers on HTTP/2 streams with bytes that the peer's flow control may be holding back.
    offered: AtomicU32,
    /// When any of them last moved.
    offered_since: AtomicU64,
    /// The watchdog: streams have tasks of their own, and what they note may concern it.
    watcher: Mutex<Option<Waker>>,
}

/// Whether one exchange at a time has the connection, or many share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A peer that does not read makes a write wait.
    Http1,
    /// A peer holds back a stream (a window of zero) without any write waiting.
    Http2,
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

/// What a connection waited for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stalled {
    /// The rest of a head.
    Head,
    /// Another request.
    Idle,
    /// The peer to read its answer.
    Write,
}

const NEVER: u64 = u64::MAX;

impl Activity {
    /// A connection that begins now: its first head is due.
    #[must_use]
    pub fn new(protocol: Protocol) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            protocol,
            silent: AtomicBool::new(true),
            exchanges: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            write_since: AtomicU64::new(NEVER),
            offered: AtomicU32::new(0),
            offered_since: AtomicU64::new(NEVER),
            watcher: Mutex::default(),
        })
    }

    /// What the connection waits for and until when; `None` while an exchange keeps it busy.
    #[must_use]
    pub fn waiting(&self, patience: &Patience) -> Option<(Stalled, Instant)> {
        let at = |since: &AtomicU64| match since.load(Ordering::Relaxed) {
            NEVER => None,
            since => Some(self.began + Duration::from_millis(since)),
        };
        if let Some(since) = at(&self.write_since) {
            return Some((Stalled::Write, since + patience.write));
        }
        if self.offered.load(Ordering::Relaxed) > 0 {
            return at(&self.offered_since).map(|since| (Stalled::Write, since + patience.write));
        }
        if self.exchanges.load(Ordering::Relaxed) > 0 {
            return None;
        }
        match at(&self.head_since) {
            Some(since) => Some((Stalled::Head, since + patience.head)),
            None => at(&self.idle_since).map(|since| (Stalled::Idle, since + patience.idle)),
        }
    }

    /// Notes that a head is complete and its exchange begins; the guard notes its end.
    #[must_use]
    pub fn exchange(self: &Arc<Self>) -> Busy {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(NEVER, Ordering::Relaxed);
        Busy {
            activity: self.clone(),
            offers: false,
        }
    }

    /// Leaves the watchdog's waker, to be called before it asks what the connection waits for.
    pub fn watch(&self, waker: &Waker) {
        if self.protocol == Protocol::Http2 {
            let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
            if !watcher.as_ref().is_some_and(|held| held.will_wake(waker)) {
                *watcher = Some(waker.clone());
            }
        }
    }

    fn wake_watcher(&self) {
        if let Some(waker) = &*self.watcher.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// Whether not a byte has come yet.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    fn bytes_arrived(&self) {
        self.silent.store(false, Ordering::Relaxed);
        // On HTTP/2 they may be pings and window updates.
        let begin_a_head = self.protocol == Protocol::Http1 && self.exchanges.load(Ordering::Relaxed) == 0;
        if begin_a_head && self.head_since.load(Ordering::Relaxed) == NEVER {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn write_waits(&self, waits: bool) {
        let since = self.write_since.load(Ordering::Relaxed);
        match (waits, since) {
            (true, NEVER) => self.write_since.store(self.now(), Ordering::Relaxed),
            (true, _) | (false, NEVER) => {}
            (false, _) => self.write_since.store(NEVER, Ordering::Relaxed),
        }
    }
}

/// An exchange in progress on a connection.
#[derive(Debug)]
pub struct Busy {
    activity: Arc<Activity>,
    offers: bool,
}

impl Busy {
    /// Notes that bytes of the answer are at hand and it is the peer's turn to take them.
    pub fn offer(&mut self) {
        if self.activity.protocol == Protocol::Http1 {
            return;
        }
        self.activity
            .offered_since
            .store(self.activity.now(), Ordering::Relaxed);
        if !self.offers {
            self.offers = true;
            self.activity.offered.fetch_add(1, Ordering::Relaxed);
            self.activity.wake_watcher();
        }
    }

    /// Notes that the peer has taken everything so far.
    pub fn taken(&mut self) {
        if self.offers {
            self.offers = false;
            self.activity.offered.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.taken();
        let activity = &self.activity;
        if activity.exchanges.fetch_sub(1, Ordering::Relaxed) == 1 {
            activity.head_since.store(NEVER, Ordering::Relaxed);
            activity.idle_since.store(activity.now(), Ordering::Relaxed);
        }
    }
}

/// A stream that notes in an [`Activity`] when bytes arrive and when writes wait.
#[derive(Debug)]
pub struct Observed<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Observed<S> {
    /// Observes `stream`.
    #[must_use]
    pub const fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.bytes_arrived();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> Observed<S> {
    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.activity.write_waits(written.is_pending());
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
