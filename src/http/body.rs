//! Receives a request's body. The bytes are counted against the route's limit and against the budget of the whole
//! process as they arrive, and are passed to the running verification while they are still in the CPU's cache.
//!
//! A body is charged for the memory that it really holds. What arrives beyond its first 16 KiB is copied into blocks
//! that all workers share, so that the memory of the process follows the budget however many workers there are. Before
//! that, a large piece is kept as the socket read delivered it, without a copy, and is charged in whole read buffers,
//! because the buffer lives as long as the piece. Small pieces are copied into one buffer, so that a sender who sends
//! single bytes cannot make each of them hold a read buffer.

use super::budget::{Block, Budget, Reservation};
use super::payload::Payload;
use super::source::Source;
use crate::outcome::Rejection;
use crate::time::stopwatch::Stopwatch;
use crate::time::timer::Timer;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::Instant;

/// Size of a read buffer in bytes. A piece that is kept without a copy is charged in multiples of it.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// How long a body may arrive below its least rate.
const SLOW_GRACE: Duration = Duration::from_secs(5);
/// Pieces of at least this size are kept without a copy.
const KEEP_FROM_BYTES: usize = READ_BUFFER_BYTES / 2;
/// A piece that ends behind this part of the body is copied into blocks.
const BLOCKS_FROM_BYTES: usize = 16 * 1024;

/// The limits of one route on a request's body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Largest accepted body in bytes.
    pub max_bytes: usize,
    /// Time from the first wait for a part of the body to its end.
    pub timeout: Duration,
    /// The least rate at which the body has to arrive, in bytes per second, averaged since the first wait and after a
    /// grace of 5 seconds; 0 accepts every rate.
    pub least_rate: usize,
    /// After so many bytes without a wait, the worker serves its other tasks: absorbing them takes about a millisecond.
    pub turn_bytes: usize,
}

impl BodyLimits {
    /// When a body has to be complete, or to have more than `length_bytes`, if it is waited for since `since`.
    fn deadline(&self, since: Instant, length_bytes: usize) -> Instant {
        let end = since + self.timeout;
        match (length_bytes as u64 * 1000).checked_div(self.least_rate as u64) {
            None => end,
            Some(earned_ms) => end.min(since + SLOW_GRACE + Duration::from_millis(earned_ms).min(self.timeout)),
        }
    }
}

/// Who holds the memory of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holder {
    /// The source of the request; `None` if it is not known.
    pub source: Option<Source>,
    /// Bytes that the head of the request holds in memory.
    pub head_bytes: usize,
}

/// A complete body. It keeps its reservation in the budget until it is dropped, or until the [`Payload`] that it
/// becomes is dropped.
#[derive(Debug, Default)]
pub struct ReceivedBody {
    /// In the order of arrival; none of them is empty.
    pieces: Vec<Bytes>,
    /// The total length of `pieces`.
    length_bytes: usize,
    /// `None` when the value was taken.
    reservation: Option<Reservation>,
}

impl ReceivedBody {
    /// The pieces in order of arrival; joined, they are the body.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length_bytes
    }

    /// Whether the body has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length_bytes == 0
    }

    /// The body of a forwarded request, while this value keeps the bytes and their reservation.
    #[must_use]
    pub fn share(&self) -> Payload {
        Payload::new(self.pieces.clone(), self.length_bytes, None)
    }

    /// The body of the forwarded request.
    #[must_use]
    pub fn into_payload(self) -> Payload {
        Payload::new(self.pieces, self.length_bytes, self.reservation)
    }
}

/// Reads `body` to its end and passes every byte to `absorb`, once and in order. `stopwatch` runs while `absorb` works
/// and is paused while more of the body may have to be waited for.
///
/// # Errors
/// `BodyTooLarge`, `BodyTimeout`, `BodyIncomplete` and, when the budget is exhausted or this request had to give way to
/// another one, `Overloaded`.
pub async fn receive<B>(
    body: B,
    limits: BodyLimits,
    holder: Holder,
    budget: &Arc<Budget>,
    stopwatch: &mut Stopwatch,
    mut absorb: impl FnMut(&[u8]),
) -> Result<ReceivedBody, Rejection>
where
    B: http_body::Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut timer = Timer::default();
    let mut since = None;
    let mut pieces = Vec::new();
    let mut small = BytesMut::new();
    let mut block: Option<Block> = None;
    let mut length_bytes = 0_usize;
    let mut turn_ends_at = limits.turn_bytes;
    let mut reservation = Reservation::new(budget.clone(), holder.source, holder.head_bytes);
    loop {
        // The worker serves other tasks only while every byte that is held here is charged to the budget.
        if length_bytes >= turn_ends_at {
            turn_ends_at = length_bytes.saturating_add(limits.turn_bytes);
            yield_now().await;
        }
        let frame = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => {
                // Most bodies arrive together with their head; the clock is read only for one that did not.
                stopwatch.pause();
                turn_ends_at = length_bytes.saturating_add(limits.turn_bytes);
                let since = *since.get_or_insert_with(Instant::now);
                if let Err(rejection) = reservation.wait(since, cx) {
                    return Poll::Ready(Err(rejection));
                }
                let deadline = limits.deadline(since, length_bytes);
                timer.poll(cx, deadline).map(|()| Err(Rejection::BodyTimeout))
            }
        });
        let Some(frame) = frame.await? else { break };
        // No signature covers trailers, so they are dropped here and are not forwarded.
        let Ok(piece) = frame.map_err(|_| Rejection::BodyIncomplete)?.into_data() else {
            continue;
        };
        if piece.is_empty() {
            continue;
        }
        length_bytes += piece.len();
        if length_bytes > limits.max_bytes {
            return Err(Rejection::BodyTooLarge);
        }
        stopwatch.resume();
        absorb(&piece);
        let is_last = body.is_end_stream();
        if !is_last {
            stopwatch.pause();
        }
        if length_bytes > BLOCKS_FROM_BYTES {
            if !small.is_empty() {
                pieces.push(small.split().freeze());
            }
            let mut rest = &*piece;
            while !rest.is_empty() {
                let mut filling = match block.take() {
                    Some(block) => block,
                    None => poll_fn(|cx| reservation.poll_block(cx)).await?,
                };
                rest = filling.fill(rest);
                if filling.is_full() {
                    pieces.push(filling.freeze());
                } else {
                    block = Some(filling);
                }
            }
        } else if piece.len() >= KEEP_FROM_BYTES || (is_last && pieces.is_empty() && small.is_empty()) {
            let charged = piece.len().next_multiple_of(READ_BUFFER_BYTES);
            poll_fn(|cx| reservation.poll_grow(cx, charged)).await?;
            if !small.is_empty() {
                pieces.push(small.split().freeze());
            }
            pieces.push(piece);
        } else {
            poll_fn(|cx| reservation.poll_grow(cx, piece.len())).await?;
            small.extend_from_slice(&piece);
        }
    }
    if !small.is_empty() {
        pieces.push(small.freeze());
    }
    pieces.extend(block.map(Block::freeze));
    // The head of a request without a body.
    poll_fn(|cx| reservation.poll_grow(cx, 0)).await?;
    reservation.complete()?;
    Ok(ReceivedBody {
        pieces,
        length_bytes,
        reservation: Some(reservation),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::budget::BLOCK_BYTES;
    use super::*;
    use bytes::Buf as _;
    use http_body::Frame;
    use http_body_util::{BodyExt as _, Full};
    use std::io::IoSlice;
    use std::pin::Pin;
    use std::task::Context;

    const LIMITS: BodyLimits = BodyLimits {
        max_bytes: 1 << 20,
        timeout: Duration::from_secs(10),
        least_rate: 0,
        turn_bytes: usize::MAX,
    };

    /// A body that yields the given pieces and then ends, stalls or breaks.
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
        limits: BodyLimits,
        budget: &Arc<Budget>,
    ) -> Result<ReceivedBody, Rejection> {
        receive(body, limits, Holder::default(), budget, &mut Stopwatch::start(), |_| ()).await
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
            vec![8192, 8192, 1, 70_000, 5],
            vec![300; 200],
            vec![16_384, 16_384, 16_384],
            vec![40_000],
        ] {
            let expected: Vec<u8> = script(&sizes, End::Clean).0.into_iter().flatten().collect();
            let mut absorbed = Vec::new();
            let received = receive(
                script(&sizes, End::Clean),
                LIMITS,
                Holder::default(),
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
            // Written in steps that do not match the pieces.
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
    async fn a_body_of_exactly_the_limit_is_accepted_and_one_byte_more_is_refused() {
        let budget = Budget::new(usize::MAX);
        let limits = BodyLimits {
            max_bytes: 10,
            ..LIMITS
        };
        assert!(take(Full::new(Bytes::from(vec![0; 10])), limits, &budget).await.is_ok());
        let over = take(script(&[5, 6], End::Clean), limits, &budget).await;
        assert_eq!(over.unwrap_err(), Rejection::BodyTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_times_out_and_a_broken_one_is_incomplete() {
        let budget = Budget::new(usize::MAX);
        let start = Instant::now();
        let stalled = take(script(&[5], End::Stall), LIMITS, &budget).await;
        assert_eq!(stalled.unwrap_err(), Rejection::BodyTimeout);
        assert_eq!(start.elapsed(), LIMITS.timeout);
        let broken = take(script(&[5], End::Broken), LIMITS, &budget).await;
        assert_eq!(broken.unwrap_err(), Rejection::BodyIncomplete);
        assert_eq!(budget.used(), 0);
    }

    /// A body that arrives below the least rate is refused before its timeout.
    #[tokio::test(start_paused = true)]
    async fn a_body_below_the_least_rate_times_out_after_the_grace() {
        let budget = Budget::new(usize::MAX);
        let limits = BodyLimits {
            least_rate: 100,
            timeout: Duration::from_secs(60),
            ..LIMITS
        };
        let start = Instant::now();
        let slow = take(script(&[200], End::Stall), limits, &budget).await;
        assert_eq!(slow.unwrap_err(), Rejection::BodyTimeout);
        assert_eq!(start.elapsed(), SLOW_GRACE + Duration::from_secs(2));
        let start = Instant::now();
        let fast = take(script(&[100_000], End::Stall), limits, &budget).await;
        assert_eq!(fast.unwrap_err(), Rejection::BodyTimeout);
        assert_eq!(start.elapsed(), limits.timeout);
    }

    /// A long body whose bytes are always at hand must not keep the worker from its other tasks.
    #[tokio::test]
    async fn other_tasks_run_while_a_body_is_at_hand() {
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let counted = turns.clone();
        let local = tokio::task::LocalSet::new();
        local.spawn_local(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        let limits = BodyLimits {
            turn_bytes: 64 * 1024,
            ..LIMITS
        };
        let budget = Budget::new(usize::MAX);
        let body = script(&[8192; 100], End::Clean);
        local.run_until(take(body, limits, &budget)).await.unwrap();
        assert!((12..20).contains(&turns.get()), "{} turns", turns.get());
    }

    #[tokio::test]
    async fn bodies_share_the_budget_of_the_process_and_return_their_part() {
        let budget = Budget::new(2 * READ_BUFFER_BYTES);
        let held = take(script(&[READ_BUFFER_BYTES, 10], End::Clean), LIMITS, &budget)
            .await
            .unwrap();
        assert_eq!(budget.used(), READ_BUFFER_BYTES + 10);
        let refused = take(script(&[READ_BUFFER_BYTES], End::Clean), LIMITS, &budget).await;
        assert_eq!(refused.unwrap_err(), Rejection::Overloaded);
        drop(held.into_payload());
        assert_eq!(budget.used(), 0);
    }

    /// Whatever the pieces are, the charge is at least the memory that they keep, and little more.
    #[tokio::test]
    async fn a_large_body_is_charged_in_blocks() {
        for sizes in [vec![8192; 40], vec![1000; 400], vec![65_536; 8], vec![17_000]] {
            let budget = Budget::new(usize::MAX);
            let length: usize = sizes.iter().sum();
            let held = take(script(&sizes, End::Clean), LIMITS, &budget).await.unwrap();
            let charged = budget.used();
            assert!(
                (length..length + 32 * 1024).contains(&charged),
                "{charged} for {length}"
            );
            assert!(
                held.pieces().len() <= 4 + length / BLOCK_BYTES,
                "{} pieces",
                held.pieces().len()
            );
        }
    }

    #[tokio::test]
    async fn trailers_are_not_forwarded() {
        let trailer = async {
            Some(Ok(hyper::HeaderMap::from_iter([(
                hyper::header::HeaderName::from_static("paddle-signature"),
                hyper::header::HeaderValue::from_static("ts=1;h1=0"),
            )])))
        };
        let body = Full::new(Bytes::from_static(b"x")).with_trailers(trailer);
        let received = take(body, LIMITS, &Budget::new(usize::MAX)).await.unwrap();
        assert_eq!(received.into_payload().copy_to_bytes(1), "x");
    }
}
