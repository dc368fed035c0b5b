//! The bounded body: bytes are counted against the route's limit and against the budget of the whole process as they
//! arrive, and handed to the running check while they are warm.
//!
//! Memory is charged for what is really held. A large piece is kept as the socket read made it, without a copy, and
//! charged in whole read buffers, since the buffer lives as long as the piece; small pieces are copied together, so that
//! a sender who drips single bytes cannot make each of them hold a buffer.

use crate::outcome::Rejection;
use crate::time::stopwatch::Stopwatch;
use crate::time::timer::Timer;
use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Granularity of charges, and the size from which a piece is kept instead of copied: what one socket read allocates.
const BUFFER: usize = 8 * 1024;
/// Pieces of at least this size are kept without a copy.
const KEEP: usize = BUFFER / 2;

/// Body bytes held by the whole process.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    limit: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        })
    }

    /// Bytes held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be held at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Replaces the limit (reload); what is held stays held.
    pub fn resize(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn reserve(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit.load(Ordering::Relaxed);
        if !fits {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }
}

/// A share of the budget, given back on drop.
#[derive(Debug)]
struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    fn grow(&mut self, bytes: usize) -> Result<(), Rejection> {
        if !self.budget.reserve(bytes) {
            return Err(Rejection::Overloaded);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What one route allows.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Largest body in bytes.
    pub bytes: usize,
    /// For the body as a whole.
    pub timeout: Duration,
}

/// A complete body in the order it arrived. Holds its share of the budget until it is dropped or sent.
#[derive(Debug)]
pub struct Received {
    pieces: Vec<Bytes>,
    length: usize,
    charge: Charge,
}

impl Received {
    /// The pieces in order; their concatenation is the body.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Turns it into the body of the forwarded request.
    #[must_use]
    pub fn into_payload(self) -> Payload {
        Payload {
            pieces: self.pieces.into_iter(),
            remaining: self.length,
            _charge: self.charge,
        }
    }
}

/// Reads `body` to its end, giving every byte to `absorb` once and in order. `watch` runs while it absorbs, and stands while
/// more may have to be waited for.
///
/// # Errors
/// `BodyTooLarge`, `BodyTimeout`, `BodyIncomplete` and, when the budget is spent, `Overloaded`.
pub async fn receive<B>(
    body: B,
    bounds: Bounds,
    budget: &Arc<Budget>,
    watch: &mut Stopwatch,
    mut absorb: impl FnMut(&[u8]),
) -> Result<Received, Rejection>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut timer = Timer::default();
    let mut deadline = None;
    let mut pieces = Vec::new();
    let mut small = BytesMut::new();
    let mut length = 0_usize;
    let mut charge = Charge {
        budget: budget.clone(),
        bytes: 0,
    };
    loop {
        let frame = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => {
                // Most bodies arrive with their head: the clock is first read when one did not.
                watch.pause();
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + bounds.timeout);
                timer.poll(cx, deadline).map(|()| Err(Rejection::BodyTimeout))
            }
        });
        let Some(frame) = frame.await? else { break };
        // Trailers are outside every signature: they are dropped here and can reach nobody.
        let Ok(piece) = frame.map_err(|_| Rejection::BodyIncomplete)?.into_data() else {
            continue;
        };
        if piece.is_empty() {
            continue;
        }
        length += piece.len();
        if length > bounds.bytes {
            return Err(Rejection::BodyTooLarge);
        }
        watch.resume();
        absorb(&piece);
        let is_last = body.is_end_stream();
        if !is_last {
            watch.pause();
        }
        if piece.len() >= KEEP || (is_last && pieces.is_empty() && small.is_empty()) {
            charge.grow(piece.len().next_multiple_of(BUFFER))?;
            if !small.is_empty() {
                pieces.push(small.split().freeze());
            }
            pieces.push(piece);
        } else {
            charge.grow(piece.len())?;
            small.extend_from_slice(&piece);
        }
    }
    if !small.is_empty() {
        pieces.push(small.freeze());
    }
    Ok(Received { pieces, length, charge })
}

/// The body of a forwarded request, as bytes to be written. Holds its share of the budget until it is dropped.
#[derive(Debug)]
pub struct Payload {
    /// None of them empty.
    pieces: std::vec::IntoIter<Bytes>,
    remaining: usize,
    _charge: Charge,
}

impl Payload {
    /// Not a byte.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            pieces: Vec::new().into_iter(),
            remaining: 0,
            _charge: Charge {
                budget: Budget::new(0),
                bytes: 0,
            },
        }
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.as_slice().first().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(self.pieces.as_slice());
        filled.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, count: usize) {
        self.remaining = self.remaining.saturating_sub(count);
        let mut left = count;
        while let Some(piece) = self.pieces.as_mut_slice().first_mut() {
            if left < piece.len() {
                piece.advance(left);
                return;
            }
            left -= piece.len();
            // Written: its buffer is free for the next read.
            self.pieces.next();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http_body::Frame;
    use http_body_util::{BodyExt as _, Full};
    use std::pin::Pin;
    use std::task::Context;

    const BOUNDS: Bounds = Bounds {
        bytes: 1 << 20,
        timeout: Duration::from_secs(10),
    };

    /// A body that yields what it is told and then ends, stalls or breaks.
    struct Script(std::collections::VecDeque<Bytes>, End);
    enum End {
        Clean,
        Stall,
        Broken,
    }
    impl http_body::Body for Script {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match (self.0.pop_front(), &self.1) {
                (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                (None, End::Clean) => Poll::Ready(None),
                (None, End::Stall) => Poll::Pending,
                (None, End::Broken) => Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into()))),
            }
        }
    }
    fn script(sizes: &[usize], end: End) -> Script {
        Script(
            sizes
                .iter()
                .enumerate()
                .map(|(i, n)| Bytes::from(vec![u8::try_from(i % 251).unwrap(); *n]))
                .collect(),
            end,
        )
    }

    async fn take(
        body: impl http_body::Body<Data = Bytes>,
        bounds: Bounds,
        budget: &Arc<Budget>,
    ) -> Result<Received, Rejection> {
        receive(body, bounds, budget, &mut Stopwatch::start(), |_| ()).await
    }

    #[tokio::test]
    async fn every_byte_is_absorbed_once_in_order_and_forwarded_as_received() {
        let budget = Budget::new(usize::MAX);
        for sizes in [
            vec![],
            vec![0],
            vec![1],
            vec![1; 5000],
            vec![4096, 1, 1, 9000, 3],
            vec![100, 8192, 100, 8192],
        ] {
            let expected: Vec<u8> = script(&sizes, End::Clean).0.into_iter().flatten().collect();
            let mut absorbed = Vec::new();
            let received = receive(
                script(&sizes, End::Clean),
                BOUNDS,
                &budget,
                &mut Stopwatch::start(),
                |b| {
                    absorbed.extend_from_slice(b);
                },
            )
            .await
            .unwrap();
            assert_eq!(received.len(), expected.len());
            assert_eq!(absorbed, expected);
            let mut payload = received.into_payload();
            assert_eq!(payload.remaining(), expected.len());
            let mut slices = [IoSlice::new(&[]); 64];
            let count = payload.chunks_vectored(&mut slices);
            assert_eq!(
                slices[..count]
                    .iter()
                    .flat_map(|slice| slice.to_vec())
                    .collect::<Vec<_>>(),
                expected
            );
            // Written in steps that fit no piece.
            let mut written = Vec::new();
            while payload.has_remaining() {
                let some = payload.chunk().len().min(7).max(payload.remaining().min(5000) / 3);
                written.extend_from_slice(&payload.copy_to_bytes(some));
            }
            assert_eq!(written, expected);
        }
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_body_that_fills_its_route_s_limit_passes_and_one_byte_more_does_not() {
        let budget = Budget::new(usize::MAX);
        let bounds = Bounds { bytes: 10, ..BOUNDS };
        assert!(take(Full::new(Bytes::from(vec![0; 10])), bounds, &budget).await.is_ok());
        let over = take(script(&[5, 6], End::Clean), bounds, &budget).await;
        assert_eq!(over.unwrap_err(), Rejection::BodyTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_times_out_and_a_broken_one_is_incomplete() {
        let budget = Budget::new(usize::MAX);
        let start = Instant::now();
        let stalled = take(script(&[5], End::Stall), BOUNDS, &budget).await;
        assert_eq!(stalled.unwrap_err(), Rejection::BodyTimeout);
        assert_eq!(start.elapsed(), BOUNDS.timeout);
        let broken = take(script(&[5], End::Broken), BOUNDS, &budget).await;
        assert_eq!(broken.unwrap_err(), Rejection::BodyIncomplete);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn the_process_s_budget_is_shared_and_given_back() {
        let budget = Budget::new(2 * BUFFER);
        let held = take(script(&[BUFFER, 10], End::Clean), BOUNDS, &budget).await.unwrap();
        assert_eq!(budget.used(), BUFFER + 10);
        let refused = take(script(&[BUFFER], End::Clean), BOUNDS, &budget).await;
        assert_eq!(refused.unwrap_err(), Rejection::Overloaded);
        drop(held.into_payload());
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn trailers_go_nowhere() {
        let trailer = async {
            Some(Ok(hyper::HeaderMap::from_iter([(
                hyper::header::HeaderName::from_static("paddle-signature"),
                hyper::header::HeaderValue::from_static("ts=1;h1=0"),
            )])))
        };
        let body = Full::new(Bytes::from_static(b"x")).with_trailers(trailer);
        let received = take(body, BOUNDS, &Budget::new(usize::MAX)).await.unwrap();
        assert_eq!(received.into_payload().copy_to_bytes(1), "x");
    }
}
