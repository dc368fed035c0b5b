//! The stream of one HTTP/1.1 connection with its buffers: input that has arrived and is not read yet, and output with
//! a timeout for a peer that does not read.

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

/// Size of the first read of a request, in bytes. Later reads are larger while reads fill their buffer.
const FIRST_READ_BYTES: usize = 8 * 1024;
/// Size of the largest read, in bytes.
const MAX_READ_BYTES: usize = 64 * 1024;
/// The most empty buffers that a thread keeps for later reads.
const MAX_SPARE_BUFFERS: usize = 16;
/// The most pieces in one write. A chunk of a response has three: the lines before it, its data, and its line end.
const MAX_SLICES: usize = 4;

thread_local! {
    /// Empty buffers of connections of this thread, last used first, so that the next read gets one from the CPU's
    /// cache.
    static SPARE_BUFFERS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// A stream with its input buffer and the timer of its connection.
pub(super) struct BufferedStream<S> {
    pub(super) stream: S,
    /// Bytes that have arrived and are not read yet.
    pub(super) input: BytesMut,
    /// For every deadline of the connection, since it waits for one thing at a time.
    pub(super) timer: Timer,
    /// Size of the next read, in bytes.
    read_bytes: usize,
    /// How long a write may wait for the peer.
    write_timeout: Duration,
}

impl<S: Readable> BufferedStream<S> {
    pub(super) fn new(stream: S, write_timeout: Duration) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            timer: Timer::default(),
            read_bytes: FIRST_READ_BYTES,
            write_timeout,
        }
    }

    /// Appends what arrives to `input` and returns the number of bytes, 0 at the end of the stream. While it waits for
    /// the sender, an empty buffer serves other connections.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 {
            self.input = SPARE_BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        let filled = self.stream.poll_fill(cx, &mut self.input, self.read_bytes);
        if filled.is_pending() && self.input.is_empty() {
            // A connection that waits needs no buffer.
            self.release_input_buffer();
        }
        let count = ready!(filled)?;
        // Buffers grow only with what the sender sends, because the smallest piece of a buffer keeps all of it.
        self.read_bytes = if count >= self.read_bytes / 2 {
            MAX_READ_BYTES.min(2 * self.read_bytes)
        } else {
            FIRST_READ_BYTES
        };
        Poll::Ready(Ok(count))
    }

    /// Gives the empty input buffer to the next connection of this thread that reads.
    fn release_input_buffer(&mut self) {
        let mut buffer = mem::take(&mut self.input);
        // Fails when a piece of the buffer is still held somewhere.
        if buffer.try_reclaim(FIRST_READ_BYTES) {
            SPARE_BUFFERS.with_borrow_mut(|spare| {
                if spare.len() < MAX_SPARE_BUFFERS {
                    spare.push(buffer);
                }
            });
        }
    }

    /// Writes and flushes all of `bytes`. The timeout applies to each wait, not to the whole.
    ///
    /// # Errors
    /// Errors of the stream, and `TimedOut` when the peer does not read.
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
                        let expired = self.timer.poll(cx, since + self.write_timeout);
                        return expired.map(|()| Err(io::ErrorKind::TimedOut.into()));
                    }
                }
            }
        })
        .await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &mut impl Buf) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = bytes.chunks_vectored(&mut slices);
        let stream = Pin::new(&mut self.stream);
        let written = match slices.get(..count) {
            Some([one]) => stream.poll_write(cx, one),
            Some(several) => stream.poll_write_vectored(cx, several),
            None => Poll::Ready(Ok(0)),
        };
        match ready!(written)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => {
                bytes.advance(count);
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

    /// Held pieces of a body keep their buffers, so the buffers must not be much larger than what has arrived.
    #[tokio::test]
    async fn read_buffers_grow_only_with_what_the_sender_sends() {
        let (mut sender, receiver) = duplex(MAX_READ_BYTES);
        let mut stream = BufferedStream::new(receiver, Duration::from_secs(1));
        let (mut held, mut received) = (Vec::new(), 0);
        let (mut end, mut allocated) = (std::ptr::null(), 0);
        for turn in 0..24 {
            let size = if turn % 5 == 0 {
                FIRST_READ_BYTES
            } else {
                FIRST_READ_BYTES / 2
            };
            sender.write_all(&vec![0; size]).await.unwrap();
            received += size;
            let mut count = 0;
            while count < size {
                count += poll_fn(|cx| stream.poll_fill(cx)).await.unwrap();
                if stream.input.as_ptr() != end {
                    allocated += stream.input.capacity();
                }
                end = stream.input.as_ptr_range().end;
                assert!(allocated <= 3 * received, "{allocated} for {received}");
                held.push(stream.input.split().freeze());
            }
        }
        assert_eq!(held.iter().map(bytes::Bytes::len).sum::<usize>(), received);
    }
}
