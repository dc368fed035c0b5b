//! A sender's TLS connection as a byte stream, over any byte stream.
//!
//! A connection that waits holds no buffer: ciphertext is read into room that all connections of a thread share, decrypted
//! there and handed on at once; only a record that has not fully arrived is kept, and only what a peer does not take is kept
//! for sending. Both are bounded: by the largest record, or handshake message, and by what one write may encrypt.

mod write;

use super::session::{MAX_PLAINTEXT, Session};
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

/// The server's side of a TLS connection, after the handshake.
pub struct Stream<S> {
    io: S,
    session: Session,
    /// Ciphertext that is not a whole record, or not a whole handshake message.
    held: BytesMut,
    /// The last read filled its room: there is probably more.
    more: bool,
    /// Content that was asked for in smaller pieces.
    plaintext: BytesMut,
    /// Records that the peer has not taken.
    outgoing: BytesMut,
    /// Why nothing more comes from the peer.
    end: Option<End>,
    has_said_goodbye: bool,
}

#[derive(Clone, Debug)]
enum End {
    /// It said so.
    Goodbye,
    /// The connection ended without a word.
    Cut,
    /// What came is not to be trusted.
    Fault(Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Performs a handshake; the caller bounds the time. A peer that does something wrong has been sent its alert.
    ///
    /// # Errors
    /// What the stream below says, [`io::ErrorKind::UnexpectedEof`] when it ends too early, and
    /// [`io::ErrorKind::InvalidData`] with rustls' reason for a handshake that fails.
    pub async fn accept(config: Arc<ServerConfig>, io: S) -> io::Result<Self> {
        let mut stream = Self {
            io,
            session: Session::new(config).map_err(io::Error::other)?,
            held: BytesMut::new(),
            more: false,
            plaintext: BytesMut::new(),
            outgoing: BytesMut::new(),
            end: None,
            has_said_goodbye: false,
        };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// What was agreed on with the peer, and who it is.
    pub fn session(&self) -> &CommonState {
        &self.session
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = ready!(self.poll_sent(cx));
            // That the alert could not be sent is not what went wrong.
            match &self.end {
                Some(End::Fault(error)) => return Poll::Ready(Err(fault(error.clone()))),
                Some(End::Cut | End::Goodbye) if self.session.is_handshaking() => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "TLS handshake cut short",
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

    /// Waits until there is content, or none to come.
    fn poll_content(&mut self, cx: &mut Context<'_>, mut take: impl FnMut(&[u8], usize)) -> Poll<io::Result<usize>> {
        loop {
            match &self.end {
                None => {}
                Some(End::Goodbye) => return Poll::Ready(Ok(0)),
                Some(End::Cut) => {
                    let error = io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "TLS connection cut off without close_notify",
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

    /// Reads once, and deals with all that is then at hand. What this finds out about the end is noted in `end`.
    fn poll_records(&mut self, cx: &mut Context<'_>, take: impl FnMut(&[u8], usize)) -> Poll<io::Result<()>> {
        // Answers to what was read before go out even if nothing is written; a fault there is the next write's.
        let _ = self.poll_sent(cx);
        // In large steps, or exactly what a record lacks: a peer that sends one in small pieces has each of them copied once.
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
        if self.end.is_none() && self.session.has_peer_closed() {
            self.end = Some(End::Goodbye);
        }
        match &self.end {
            None if self.held.len() > MAX_HELD => {
                let error = Error::General("a handshake message in too many pieces".into());
                self.end = Some(End::Fault(error));
            }
            // Half a handshake message is remembered by rustls as a place in here, even when the rest never comes.
            None | Some(End::Cut) => {}
            // rustls is not asked about bytes again.
            Some(End::Goodbye | End::Fault(_)) => self.held = BytesMut::new(),
        }
        let _ = self.poll_sent(cx);
        Poll::Ready(Ok(()))
    }

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
    /// Ciphertext counts: what it decrypts to is found by reading.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.plaintext.is_empty() && self.end.is_none() {
            self.io.poll_readable(cx)
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// All whole records at hand at once, about 64 KiB at most. Waiting needs no room.
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

/// Without what is in the buffers.
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

/// Of the record at the front, its header included; of an incomplete header, that.
fn record_length(bytes: &[u8]) -> usize {
    match bytes {
        [_, _, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([*high, *low])),
        _ => HEADER,
    }
}

thread_local! {
    /// Where ciphertext is read and decrypted: empty between two reads.
    static SHARED_ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes of one read: four full records.
const READ_AHEAD: usize = 64 * 1024;
/// Least room of a read that continues a record.
const LEAST_READ: usize = 1024;
/// Type, version, length.
const HEADER: usize = 5;
/// The largest record on the wire (RFC 5246 §6.2.3).
const MAX_RECORD: usize = HEADER + MAX_PLAINTEXT + 2048;
/// A handshake message of 64 KiB, rustls' bound, and the records that it comes in.
const MAX_HELD: usize = 64 * 1024 + MAX_RECORD;
