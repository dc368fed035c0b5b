//! The bytes of one HTTP/1.1 connection: what has arrived and belongs to nobody yet, and what is on its way out under the
//! deadline for a peer that does not read.

use crate::http::transport::Readable;
use crate::time::timer::Timer;
use bytes::{Buf, BytesMut};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// Room for the first read of a request. Reads grow while they come back full.
const READ: usize = 8 * 1024;
const READ_MOST: usize = 64 * 1024;
/// Buffers that a thread keeps for its next reads.
const SPARES: usize = 16;
/// Pieces of an answer that one write takes: a head, a chunk's size, its bytes, its end.
const SLICES: usize = 4;

thread_local! {
    /// Buffers that were read into last: the next read finds one warm, whichever connection it is for.
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// A stream with its buffers.
pub(super) struct Wire<S> {
    pub(super) stream: S,
    pub(super) input: BytesMut,
    pub(super) timer: Timer,
    /// What the next read asks for.
    room: usize,
    /// For the peer to read.
    patience: Duration,
}

impl<S: Readable> Wire<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            timer: Timer::default(),
            room: READ,
            patience,
        }
    }

    /// Appends what arrives to `input`; the number of bytes, zero at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 {
            self.input = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        let count = ready!(self.stream.poll_fill(cx, &mut self.input, self.room))?;
        // No faster than its sender is: a buffer is held by the smallest piece of it.
        self.room = if count >= self.room / 2 {
            READ_MOST.min(2 * self.room)
        } else {
            READ
        };
        Poll::Ready(Ok(count))
    }

    /// Gives the buffer to whoever reads next, while there is nothing in it.
    pub(super) fn lend(&mut self) {
        let mut emptied = mem::take(&mut self.input);
        // Unless parts of it are still held somewhere.
        if emptied.try_reclaim(READ) {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SPARES {
                    spare.push(emptied);
                }
            });
        }
    }

    /// Writes everything, as long as the peer takes some of it every now and then.
    ///
    /// # Errors
    /// What the stream says, and `TimedOut` when the peer does not read.
    pub(super) async fn send(&mut self, mut bytes: impl Buf) -> io::Result<()> {
        let mut waiting = None;
        poll_fn(|cx| {
            loop {
                let progress = if bytes.has_remaining() {
                    self.poll_write(cx, &mut bytes)
                } else {
                    match Pin::new(&mut self.stream).poll_flush(cx) {
                        Poll::Ready(flushed) => return Poll::Ready(flushed),
                        Poll::Pending => Poll::Pending,
                    }
                };
                match progress {
                    Poll::Ready(Ok(())) => waiting = None,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        let since = *waiting.get_or_insert_with(Instant::now);
                        let expired = self.timer.poll(cx, since + self.patience);
                        return expired.map(|()| Err(io::ErrorKind::TimedOut.into()));
                    }
                }
            }
        })
        .await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &mut impl Buf) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = bytes.chunks_vectored(&mut slices);
        let stream = Pin::new(&mut self.stream);
        let written = match slices.get(..count) {
            Some([one]) => stream.poll_write(cx, one),
            Some(several) => stream.poll_write_vectored(cx, several),
            None => Poll::Ready(Ok(0)),
        };
        match ready!(written)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            some => {
                bytes.advance(some);
                Poll::Ready(Ok(()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    impl Readable for DuplexStream {
        fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    /// Pieces of a body that are held keep their buffers: these grow with what has come, not ahead of it.
    #[tokio::test]
    async fn a_sender_gets_no_more_room_than_it_fills() {
        let (mut sender, stream) = duplex(READ_MOST);
        let mut wire = Wire::new(stream, Duration::from_secs(1));
        let (mut held, mut received) = (Vec::new(), 0);
        let (mut end, mut allocated) = (std::ptr::null(), 0);
        for turn in 0..24 {
            let size = if turn % 5 == 0 { READ } else { READ / 2 };
            sender.write_all(&vec![0; size]).await.unwrap();
            received += size;
            let mut count = 0;
            while count < size {
                count += poll_fn(|cx| wire.poll_fill(cx)).await.unwrap();
                if wire.input.as_ptr() != end {
                    allocated += wire.input.capacity();
                }
                end = wire.input.as_ptr_range().end;
                assert!(allocated <= 3 * received, "{allocated} for {received}");
                held.push(wire.input.split().freeze());
            }
        }
        assert_eq!(held.iter().map(bytes::Bytes::len).sum::<usize>(), received);
    }
}
