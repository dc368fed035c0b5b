//! The limit on the memory that requests may hold in the whole process: their heads and their bodies, over both HTTP
//! versions.
//!
//! At the limit it is not the newcomer that is refused but the request that deserves it most: among the sources, the one
//! that holds most gives way; among its requests, the one whose body arrives most slowly. Only a request whose body is
//! not complete can be chosen. Requests that need no waiting are never registered, so that they share no lock.

use super::source::Source;
use crate::outcome::Rejection;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use tokio::time::Instant;

/// The part of the budget that only small requests may use: one eighth.
const RESERVE_DIVISOR: usize = 8;
/// A request that holds at most this many bytes, head and body together, is small. Webhooks usually are.
const SMALL_BYTES: usize = 16 * 1024;
/// When requests have to give way, so many that this part of the limit becomes free, so that the next newcomers need
/// not search again.
const ROOM_DIVISOR: usize = 64;
/// Number of independently locked parts of the list of waiting requests.
const SHARDS: usize = 16;
/// Marks a waiting request that no longer holds bytes: it gave way, or it is complete.
const RELEASED: usize = usize::MAX;

/// Counts the bytes that the requests of the whole process hold, against a limit.
#[derive(Debug)]
pub struct Budget {
    /// Bytes reserved now.
    used_bytes: AtomicUsize,
    /// The most bytes that may be reserved at once.
    limit_bytes: AtomicUsize,
    /// The requests that wait for more of their body, by number.
    waiting: [Mutex<HashMap<u64, Arc<WaitingRequest>>>; SHARDS],
    /// The number of the next waiting request.
    next_number: AtomicU64,
}

/// A request that waits for more of its body, as others see it.
#[derive(Debug)]
struct WaitingRequest {
    number: u64,
    source: Option<Source>,
    /// When it began to wait.
    since: Instant,
    /// Bytes that it holds; [`RELEASED`] once it no longer holds any.
    held_bytes: AtomicUsize,
    /// The task to wake when the request has to give way.
    waker: Mutex<Waker>,
}

impl Budget {
    /// A budget of `limit_bytes`, none of them used.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            used_bytes: AtomicUsize::new(0),
            limit_bytes: AtomicUsize::new(limit_bytes),
            waiting: Default::default(),
            next_number: AtomicU64::new(0),
        })
    }

    /// Bytes held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that may be held at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit_bytes.load(Ordering::Relaxed)
    }

    /// Replaces the limit (on reload). Bytes that are already held stay reserved, even above a lower limit.
    pub fn resize(&self, limit_bytes: usize) {
        self.limit_bytes.store(limit_bytes, Ordering::Relaxed);
    }

    /// Reserves `bytes` more for a request that holds `held_bytes`; `false` when they would exceed the limit.
    fn reserve(&self, bytes: usize, held_bytes: usize) -> bool {
        let limit = self.limit();
        let total = held_bytes.saturating_add(bytes);
        // A body that needs more than half of the budget could never be read if the reserve were kept from it.
        let may_use = if total <= SMALL_BYTES || total > limit / 2 {
            limit
        } else {
            limit - limit / RESERVE_DIVISOR
        };
        let before = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= may_use;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Lets waiting requests give way until `bytes` are free for `asking`. A request of another source gives way only if
    /// that source holds more than the source of `asking` does.
    fn make_room(&self, bytes: usize, asking: &Asking) {
        let mut waiting: Vec<Arc<WaitingRequest>> = Vec::new();
        for shard in &self.waiting {
            waiting.extend(lock(shard).values().cloned());
        }
        let now = Instant::now();
        let mut left = bytes.max(self.limit() / ROOM_DIVISOR);
        let mut by_source: HashMap<Option<Source>, SourceRequests> = HashMap::new();
        by_source.entry(asking.source).or_default().bytes += asking.unregistered_bytes;
        for request in waiting {
            let held = request.held_bytes.load(Ordering::Relaxed);
            if held != RELEASED {
                let source = by_source.entry(request.source).or_default();
                source.bytes += held;
                source.requests.push((held, request));
            }
        }
        while left > 0 {
            let heaviest = by_source.iter_mut().filter(|(_, source)| !source.requests.is_empty());
            let Some((name, source)) = heaviest.max_by_key(|(_, source)| source.bytes) else {
                return;
            };
            let is_own = *name == asking.source;
            let slowest = source
                .requests
                .iter()
                .enumerate()
                .min_by(|(_, a), (_, b)| a.1.rate(a.0, now).total_cmp(&b.1.rate(b.0, now)))
                .map(|(index, _)| index);
            let Some((held, request)) = slowest.map(|index| source.requests.swap_remove(index)) else {
                return;
            };
            source.bytes = source.bytes.saturating_sub(held);
            if Some(request.number) == asking.number || (is_own && request.rate(held, now) > asking.rate(now)) {
                return;
            }
            if let Some(freed) = request.take_bytes() {
                self.release(freed);
                request.wake();
                left = left.saturating_sub(freed.max(1));
            }
        }
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, HashMap<u64, Arc<WaitingRequest>>> {
        let index = usize::try_from(number).unwrap_or(0) % SHARDS;
        let [first, ..] = &self.waiting;
        lock(self.waiting.get(index).unwrap_or(first))
    }
}

/// The waiting requests of one source.
#[derive(Default)]
struct SourceRequests {
    /// Bytes that the source holds.
    bytes: usize,
    /// Each waiting request and the bytes that it holds.
    requests: Vec<(usize, Arc<WaitingRequest>)>,
}

/// The request for which room is made.
struct Asking {
    source: Option<Source>,
    /// Its number, if it is one of the waiting requests.
    number: Option<u64>,
    /// Bytes that it holds and that no waiting request counts.
    unregistered_bytes: usize,
    /// The bytes that it holds or asks for, and when it began to wait; `None` if it never waited.
    progress: Option<(usize, Instant)>,
}

impl Asking {
    /// Bytes in a second; infinite for a request that has not waited yet.
    fn rate(&self, now: Instant) -> f64 {
        self.progress
            .map_or(f64::INFINITY, |(bytes, since)| rate(bytes, since, now))
    }
}

/// Bytes in a second, over at least a millisecond.
#[expect(clippy::cast_precision_loss, reason = "the rates are only compared")]
fn rate(bytes: usize, since: Instant, now: Instant) -> f64 {
    bytes as f64 / now.saturating_duration_since(since).as_secs_f64().max(0.001)
}

impl WaitingRequest {
    fn rate(&self, held_bytes: usize, now: Instant) -> f64 {
        rate(held_bytes, self.since, now)
    }

    /// Takes all of its bytes; `None` if it holds none any more.
    fn take_bytes(&self) -> Option<usize> {
        Some(self.held_bytes.swap(RELEASED, Ordering::AcqRel)).filter(|held| *held != RELEASED)
    }

    /// Adds bytes that are already reserved; `false` if the request has had to give way.
    fn add_bytes(&self, bytes: usize) -> bool {
        let add = |held: usize| (held != RELEASED).then_some(held.saturating_add(bytes));
        self.held_bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add)
            .is_ok()
    }

    fn wake(&self) {
        lock(&self.waker).wake_by_ref();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes of a [`Budget`] that one request has reserved; dropping it returns them.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    source: Option<Source>,
    /// Bytes reserved while the request is not registered as waiting.
    bytes: usize,
    /// Bytes that the next [`grow`](Self::grow) reserves as well: the head's.
    pending_bytes: usize,
    /// The entry in the list of waiting requests, once the body has had to be waited for and until it is complete.
    waiting: Option<Arc<WaitingRequest>>,
}

impl Reservation {
    /// A reservation for a request of `source` whose head holds `head_bytes`. They are reserved together with the first
    /// bytes of the body, or when the body has to be waited for.
    pub(super) const fn new(budget: Arc<Budget>, source: Option<Source>, head_bytes: usize) -> Self {
        Self {
            budget,
            source,
            bytes: 0,
            pending_bytes: head_bytes,
            waiting: None,
        }
    }

    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// `Overloaded` when the budget is exhausted and no other request can give way, or when this one had to.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Rejection> {
        let bytes = bytes.saturating_add(std::mem::take(&mut self.pending_bytes));
        let held = self.held();
        if !self.budget.reserve(bytes, held) {
            let asking = Asking {
                source: self.source,
                number: self.waiting.as_ref().map(|waiting| waiting.number),
                unregistered_bytes: self.bytes,
                progress: self
                    .waiting
                    .as_ref()
                    .map(|waiting| (held.saturating_add(bytes), waiting.since)),
            };
            self.budget.make_room(bytes, &asking);
            if !self.budget.reserve(bytes, held) {
                return Err(Rejection::Overloaded);
            }
        }
        match &self.waiting {
            None => self.bytes += bytes,
            Some(waiting) if waiting.add_bytes(bytes) => {}
            Some(_) => {
                self.budget.release(bytes);
                return Err(Rejection::Overloaded);
            }
        }
        Ok(())
    }

    /// Registers the request as waiting, since `since`, for more of its body. Once it has to give way, `waker` is woken.
    ///
    /// # Errors
    /// `Overloaded` when it had to give way, or when there is no room for its head.
    pub(super) fn wait(&mut self, since: Instant, waker: &Waker) -> Result<(), Rejection> {
        if self.pending_bytes > 0 {
            self.grow(0)?;
        }
        if let Some(waiting) = &self.waiting {
            let mut held = lock(&waiting.waker);
            if !held.will_wake(waker) {
                held.clone_from(waker);
            }
            drop(held);
            return match waiting.held_bytes.load(Ordering::Acquire) {
                RELEASED => Err(Rejection::Overloaded),
                _ => Ok(()),
            };
        }
        let number = self.budget.next_number.fetch_add(1, Ordering::Relaxed);
        let waiting = Arc::new(WaitingRequest {
            number,
            source: self.source,
            since,
            held_bytes: AtomicUsize::new(std::mem::take(&mut self.bytes)),
            waker: Mutex::new(waker.clone()),
        });
        self.budget.shard(number).insert(number, waiting.clone());
        self.waiting = Some(waiting);
        Ok(())
    }

    /// Notes that the body is complete: the request no longer gives way to others.
    ///
    /// # Errors
    /// `Overloaded` when it had to give way before.
    pub(super) fn complete(&mut self) -> Result<(), Rejection> {
        if self.pending_bytes > 0 {
            self.grow(0)?;
        }
        if let Some(waiting) = self.waiting.take() {
            self.budget.shard(waiting.number).remove(&waiting.number);
            self.bytes = waiting.take_bytes().ok_or(Rejection::Overloaded)?;
        }
        Ok(())
    }

    fn held(&self) -> usize {
        match &self.waiting {
            None => self.bytes,
            Some(waiting) => match waiting.held_bytes.load(Ordering::Acquire) {
                RELEASED => 0,
                held => held,
            },
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.budget.shard(waiting.number).remove(&waiting.number);
            self.bytes = waiting.take_bytes().unwrap_or(0);
        }
        self.budget.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    const KIB: usize = 1024;

    fn source(last: u8) -> Option<Source> {
        Some(Source::of([192, 0, 2, last].into()))
    }

    fn waiting(budget: &Arc<Budget>, from: u8, bytes: usize) -> Reservation {
        let mut reservation = Reservation::new(budget.clone(), source(from), 0);
        reservation.grow(bytes).unwrap();
        reservation.wait(Instant::now(), Waker::noop()).unwrap();
        reservation
    }

    fn newcomer(budget: &Arc<Budget>, from: u8, bytes: usize) -> Result<Reservation, Rejection> {
        let mut reservation = Reservation::new(budget.clone(), source(from), 0);
        reservation.grow(bytes).map(|()| reservation)
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_body_of_the_source_that_holds_most_gives_way() {
        let budget = Budget::new(1024 * KIB);
        let mut slow = waiting(&budget, 1, 100 * KIB);
        advance(Duration::from_secs(1)).await;
        let mut rest: Vec<_> = (0..7).map(|_| waiting(&budget, 1, 100 * KIB)).collect();
        let mut other = waiting(&budget, 2, 50 * KIB);
        advance(Duration::from_millis(10)).await;
        let held = newcomer(&budget, 2, 100 * KIB).unwrap();
        assert_eq!(slow.complete(), Err(Rejection::Overloaded));
        assert!(rest.iter_mut().all(|body| body.complete().is_ok()));
        assert!(other.complete().is_ok());
        drop((slow, rest, other, held));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_holds_most_cannot_push_out_another_one() {
        let budget = Budget::new(1024 * KIB);
        let mut small = waiting(&budget, 2, 100 * KIB);
        advance(Duration::from_secs(1)).await;
        let mut large = Vec::new();
        for _ in 0..40 {
            large.push(waiting(&budget, 1, 100 * KIB));
            advance(Duration::from_millis(1)).await;
        }
        assert!(small.complete().is_ok());
        let kept = large.iter_mut().filter(|body| body.held() > 0).count();
        assert_eq!(kept, 7, "the newest seven fit beside the reserve and the other source");
    }

    #[tokio::test(start_paused = true)]
    async fn complete_requests_keep_their_bytes_and_small_ones_have_a_reserve() {
        let budget = Budget::new(1024 * KIB);
        let mut complete: Vec<_> = (0..8).map(|_| waiting(&budget, 1, 112 * KIB)).collect();
        assert!(complete.iter_mut().all(|body| body.complete().is_ok()));
        assert_eq!(newcomer(&budget, 2, 100 * KIB).unwrap_err(), Rejection::Overloaded);
        let small: Vec<_> = (0..8).map(|_| newcomer(&budget, 2, 16 * KIB).unwrap()).collect();
        assert_eq!(newcomer(&budget, 2, 16 * KIB).unwrap_err(), Rejection::Overloaded);
        drop(small);
        assert_eq!(budget.used(), 8 * 112 * KIB);
    }

    #[tokio::test]
    async fn the_head_is_reserved_with_the_first_bytes_of_the_body() {
        let budget = Budget::new(1024 * KIB);
        let mut reservation = Reservation::new(budget.clone(), None, 1000);
        reservation.grow(24).unwrap();
        assert_eq!(budget.used(), 1024);
        let mut without_body = Reservation::new(budget.clone(), None, 1000);
        without_body.complete().unwrap();
        assert_eq!(budget.used(), 2024);
        drop((reservation, without_body));
        assert_eq!(budget.used(), 0);
    }
}
