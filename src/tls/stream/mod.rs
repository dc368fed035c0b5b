//! The TLS connection of a sender as a byte stream, on top of any other byte stream.
//!
//! An idle connection has no buffer. Ciphertext is read into a buffer that all connections of a thread share, decrypted
//! there and passed on immediately. A connection keeps only a record that has not fully arrived, and records that the
//! peer has not received yet. Both are limited: by the largest record or handshake message, and by what one write
//! encrypts.

mod write;

use super::session::{MAX_PLAINTEXT, SessionState, TlsSession};
use crate::http::transport::Readable;
use bytes::{Buf as _, BufMut as _, BytesMut};
use rustls::{CommonState, Error, ServerConfig};
use std::cell::RefCell;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// The server side of a TLS connection after the handshake.
pub struct Stream<S> {
    /// The stream below, which carries ciphertext.
    io: S,
    session: TlsSession,
    /// Received ciphertext of an incomplete record or handshake message.
    held: BytesMut,
    /// Whether the last read filled its buffer, so that there is probably more to read.
    more: bool,
    /// Decrypted bytes that did not fit into the reader's buffer.
    plaintext: BytesMut,
    /// Records that could not be written yet.
    outgoing: BytesMut,
    /// Why no more data comes from the peer; `None` while the peer may send.
    end: Option<End>,
    /// Whether close_notify was sent, or is in `outgoing`.
    has_said_goodbye: bool,
}

/// Why no more data comes from the peer.
#[derive(Clone, Debug)]
enum End {
    /// The peer sent close_notify.
    Goodbye,
    /// The stream below ended without close_notify.
    Cut,
    /// The peer violated the protocol, or a record was not authentic.
    Fault(Error),
}

/// A handshake that failed.
#[derive(Debug)]
pub struct FailedHandshake<S> {
    /// Why.
    pub error: io::Error,
    /// The stream below, on which the peer has been sent an alert, if it caused the error.
    pub io: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Performs a handshake. There is no timeout; the caller sets one. If the peer causes an error, it is sent an
    /// alert.
    ///
    /// # Errors
    /// The errors of the stream below, [`io::ErrorKind::UnexpectedEof`] when it ends during the handshake, and
    /// [`io::ErrorKind::InvalidData`] with the reason of rustls when the handshake fails.
    pub async fn accept(config: Arc<ServerConfig>, io: S) -> io::Result<Self> {
        Self::handshake(config, io).await.map_err(|failed| failed.error)
    }

    /// Like [`accept`](Self::accept), but returns the stream below when the handshake fails. If that were dropped while
    /// the peer still sends, the system would reset the connection, and the peer could lose the alert.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub async fn handshake(config: Arc<ServerConfig>, io: S) -> Result<Self, FailedHandshake<S>> {
        let session = match TlsSession::new(config) {
            Ok(session) => session,
            Err(error) => {
                let error = io::Error::other(error);
                return Err(FailedHandshake { error, io });
            }
        };
        let mut stream = Self {
            io,
            session,
            held: BytesMut::new(),
            more: false,
            plaintext: BytesMut::new(),
            outgoing: BytesMut::new(),
            end: None,
            has_said_goodbye: false,
        };
        match poll_fn(|cx| stream.poll_handshake(cx)).await {
            Ok(()) => Ok(stream),
            Err(error) => Err(FailedHandshake { error, io: stream.io }),
        }
    }

    /// The negotiated parameters and the peer's certificates.
    pub fn session(&self) -> &CommonState {
        &self.session
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = ready!(self.poll_sent(cx));
            // The handshake error is returned even if the alert could not be sent: it is the cause.
            match &self.end {
                Some(End::Fault(error)) => return Poll::Ready(Err(fault(error.clone()))),
                Some(End::Cut | End::Goodbye) if self.session.is_handshaking() => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the connection ended during the TLS handshake",
                    )));
                }
                Some(End::Cut | End::Goodbye) | None => sent?,
            }
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            let mut plaintext = std::mem::take(&mut self.plaintext);
            let received = self.poll_records(cx, |content, _| plaintext.extend_from_slice(content));
            self.plaintext = plaintext;
            ready!(received)?;
        }
    }

    /// Reads until there is plaintext; returns its length, zero after close_notify. `take` is called as in
    /// [`TlsSession::receive`].
    fn poll_content(&mut self, cx: &mut Context<'_>, mut take: impl FnMut(&[u8], usize)) -> Poll<io::Result<usize>> {
        loop {
            match &self.end {
                None => {}
                Some(End::Goodbye) => return Poll::Ready(Ok(0)),
                Some(End::Cut) => {
                    let error = io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the TLS connection ended without close_notify",
                    );
                    return Poll::Ready(Err(error));
                }
                Some(End::Fault(error)) => return Poll::Ready(Err(fault(error.clone()))),
            }
            let mut taken = 0;
            ready!(self.poll_records(cx, |content, to_come| {
                taken += content.len();
                take(content, to_come);
            }))?;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    /// Reads once and processes all received bytes. Sets `end` when the peer has ended the connection or made an error.
    fn poll_records(&mut self, cx: &mut Context<'_>, take: impl FnMut(&[u8], usize)) -> Poll<io::Result<()>> {
        // Sends pending records (such as alerts) even if the caller writes nothing. The next write returns an error
        // here.
        let _ = self.poll_sent(cx);
        // Reads a large piece, or exactly the missing part of a record, so that each small piece is copied only once.
        let received = if self.held.is_empty() || (self.more && self.held.len() <= MAX_RECORD) {
            let mut room = SHARED_ROOM.take();
            room.resize(MAX_RECORD + READ_AHEAD, 0);
            let received = self.poll_into(&mut room, cx, take);
            SHARED_ROOM.set(room);
            received
        } else {
            self.poll_more_of_held(cx, take)
        };
        ready!(received)?;
        if self.end.is_none() && self.session.state() == SessionState::PeerClosed {
            self.end = Some(End::Goodbye);
        }
        match &self.end {
            None if self.held.len() > MAX_HELD => {
                let error = Error::General("a handshake message is larger than the limit".into());
                self.end = Some(End::Fault(error));
            }
            // rustls refers to a partial handshake message by its position in `held`, even if the rest never arrives.
            None | Some(End::Cut) => {}
            // rustls processes no more bytes.
            Some(End::Goodbye | End::Fault(_)) => self.held = BytesMut::new(),
        }
        let _ = self.poll_sent(cx);
        Poll::Ready(Ok(()))
    }

    /// Reads into the shared buffer `room`, after the bytes of `held`, and processes them.
    fn poll_into(
        &mut self,
        room: &mut [u8],
        cx: &mut Context<'_>,
        take: impl FnMut(&[u8], usize),
    ) -> Poll<io::Result<()>> {
        let mut buffer = ReadBuf::new(room);
        buffer.put_slice(&self.held);
        let held = self.held.len();
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        self.more = buffer.remaining() == 0;
        if buffer.filled().len() == held {
            self.end = Some(End::Cut);
            return Poll::Ready(Ok(()));
        }
        let used = self.receive(buffer.filled_mut(), take);
        let rest = buffer.filled().get(used..).unwrap_or_default();
        self.held = BytesMut::from(rest);
        Poll::Ready(Ok(()))
    }

    /// Reads the missing part of a record into `held` and processes it.
    fn poll_more_of_held(&mut self, cx: &mut Context<'_>, take: impl FnMut(&[u8], usize)) -> Poll<io::Result<()>> {
        let lacking = record_length(&self.held)
            .saturating_sub(self.held.len())
            .max(LEAST_READ);
        self.held.reserve(lacking);
        let mut room = (&mut self.held).limit(lacking);
        let read = ready!(pin!(self.io.read_buf(&mut room)).poll(cx))?;
        self.more = read == lacking;
        if read == 0 {
            self.end = Some(End::Cut);
            return Poll::Ready(Ok(()));
        }
        let mut held = std::mem::take(&mut self.held);
        let used = self.receive(&mut held, take);
        held.advance(used.min(held.len()));
        if !held.is_empty() {
            self.held = held;
        }
        Poll::Ready(Ok(()))
    }

    /// Decrypts `incoming` and returns the number of processed bytes.
    fn receive(&mut self, incoming: &mut [u8], take: impl FnMut(&[u8], usize)) -> usize {
        let mut answer = Vec::new();
        let received = self.session.receive(incoming, &mut answer, take);
        self.outgoing.extend_from_slice(&answer);
        if let Err(error) = received.outcome {
            self.end = Some(End::Fault(error));
        }
        received.used
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut plaintext = std::mem::take(&mut this.plaintext);
        let mut hand_over = |content: &[u8]| {
            let some = content.len().min(buf.remaining());
            let (now, later) = content.split_at_checked(some).unwrap_or_default();
            buf.put_slice(now);
            (some, later.len())
        };
        if !plaintext.is_empty() {
            let (some, _) = hand_over(&plaintext);
            plaintext.advance(some);
            if !plaintext.is_empty() {
                this.plaintext = plaintext;
            }
            return Poll::Ready(Ok(()));
        }
        let received = this.poll_content(cx, |content, to_come| {
            let (some, later) = hand_over(content);
            if later > 0 {
                plaintext.reserve(later + to_come);
                plaintext.extend_from_slice(content.get(some..).unwrap_or_default());
            }
        });
        this.plaintext = plaintext;
        received.map_ok(|_| ())
    }
}

impl<S: Readable> Readable for Stream<S> {
    /// Also ready when only ciphertext is available, which may contain no plaintext; a read shows that.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.plaintext.is_empty() && self.end.is_none() {
            self.io.poll_readable(cx)
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// Reads all complete records that are available, about 64 KiB at most. Allocates only when there is plaintext.
    fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut BytesMut, room: usize) -> Poll<io::Result<usize>> {
        if !self.plaintext.is_empty() {
            let plaintext = std::mem::take(&mut self.plaintext);
            into.extend_from_slice(&plaintext);
            return Poll::Ready(Ok(plaintext.len()));
        }
        self.poll_content(cx, |content, to_come| {
            if into.capacity() - into.len() < content.len() {
                into.reserve(room.max(content.len() + to_come));
            }
            into.extend_from_slice(content);
        })
    }
}

/// Does not print the buffers, because they contain payload.
impl<S: fmt::Debug> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("io", &self.io)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

fn fault(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Length in bytes of the record at the front, header included; the length of a header if that is incomplete.
fn record_length(bytes: &[u8]) -> usize {
    match bytes {
        [_, _, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([*high, *low])),
        _ => HEADER,
    }
}

thread_local! {
    /// Buffer in which ciphertext is read and decrypted; its content is not used after a read.
    static SHARED_ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Size of a large read in bytes: four full records.
const READ_AHEAD: usize = 64 * 1024;
/// Smallest size of a read that continues a record, in bytes.
const LEAST_READ: usize = 1024;
/// Length of a record's header in bytes: type, version, length.
const HEADER: usize = 5;
/// Largest encrypted record in bytes (RFC 5246 §6.2.3).
const MAX_RECORD: usize = HEADER + MAX_PLAINTEXT + 2048;
/// Largest `held` in bytes: a handshake message of 64 KiB, which is the limit of rustls, and one record.
const MAX_HELD: usize = 64 * 1024 + MAX_RECORD;
