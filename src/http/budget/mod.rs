//! The limit on the memory that requests may hold in the whole process: their heads and their bodies, over both HTTP
//! versions.
//!
//! At the limit it is not the newcomer that is refused but the request that deserves it most: among the sources, the one
//! that holds most gives way; among its requests, the one whose body arrives most slowly. Only a request whose body is
//! not complete can be chosen. The newcomer goes on at once, while the other one frees its memory: for that, the limit may be
//! exceeded by one eighth. Beyond that the newcomer waits. Requests that need no waiting are never registered, so that they share no lock.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`reservation`] | the bytes that one request has reserved |
//! | [`blocks`] | memory for large bodies, which all workers share |

mod blocks;
mod reservation;
#[cfg(test)]
mod tests;

use blocks::FreeBlocks;
pub(super) use blocks::{BLOCK_BYTES, Block};
pub use reservation::HeldBytes;
pub(super) use reservation::Reservation;

use super::source::Source;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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
/// Marks, in the number of bytes that a waiting request holds, that it has to give way.
const LEAVING: usize = 1 << (usize::BITS - 1);

/// Counts the bytes that the requests of the whole process hold, against a limit.
#[derive(Debug)]
pub struct Budget {
    /// Bytes reserved now.
    used_bytes: AtomicUsize,
    /// The most bytes that may be reserved at once.
    limit_bytes: AtomicUsize,
    /// Bytes of requests that have to give way and have not done so yet.
    leaving_bytes: AtomicUsize,
    /// The tasks that wait for free bytes.
    queue: Mutex<Vec<Waker>>,
    /// Whether `queue` has tasks, so that most releases need no lock.
    has_queue: AtomicBool,
    /// The requests that wait for more of their body, by number.
    waiting: [Mutex<HashMap<u64, Arc<WaitingRequest>>>; SHARDS],
    /// The number of the next waiting request.
    next_number: AtomicU64,
    /// Blocks that no body uses now, each of [`BLOCK_BYTES`].
    free_blocks: Mutex<FreeBlocks>,
}

/// A request that waits for more of its body, as others see it.
#[derive(Debug)]
struct WaitingRequest {
    number: u64,
    source: Option<Source>,
    /// When it began to wait.
    since: Instant,
    /// Bytes that it holds, with the bit [`LEAVING`] once it has to give way.
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
            leaving_bytes: AtomicUsize::new(0),
            queue: Mutex::default(),
            has_queue: AtomicBool::new(false),
            waiting: Default::default(),
            next_number: AtomicU64::new(0),
            free_blocks: Mutex::default(),
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

    /// Bytes that may still be held.
    #[must_use]
    pub fn free(&self) -> usize {
        self.limit().saturating_sub(self.used())
    }

    /// Counts bytes that are held already, even above the limit. The caller has looked at [`Budget::free`] before.
    #[must_use]
    pub fn hold(self: &Arc<Self>, bytes: usize) -> HeldBytes {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        HeldBytes::new(self.clone(), bytes)
    }

    /// Replaces the limit (on reload). Bytes that are already held stay reserved, even above a lower limit.
    pub fn resize(&self, limit_bytes: usize) {
        self.limit_bytes.store(limit_bytes, Ordering::Relaxed);
    }

    /// The most bytes that may be reserved when a request that holds `held_bytes` asks for `bytes` more.
    fn may_use(&self, bytes: usize, held_bytes: usize) -> usize {
        let limit = self.limit();
        let total = held_bytes.saturating_add(bytes);
        // A body that needs more than half of the budget could never be read if the reserve were kept from it.
        if total <= SMALL_BYTES || total > limit / 2 {
            limit
        } else {
            limit - limit / RESERVE_DIVISOR
        }
    }

    /// Reserves `bytes` more for a request that holds `held_bytes`; `false` when they would exceed the limit.
    fn reserve(&self, bytes: usize, held_bytes: usize) -> bool {
        let leaving = self.leaving_bytes.load(Ordering::Relaxed);
        let may_use = self.may_use(bytes, held_bytes) + leaving.min(self.limit() / RESERVE_DIVISOR);
        let before = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= may_use;
        if !fits {
            self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        // Sequentially consistent, as in `enqueue`: either the task there sees these bytes, or it is woken here.
        self.used_bytes.fetch_sub(bytes, Ordering::SeqCst);
        if bytes > 0 && self.has_queue.load(Ordering::SeqCst) {
            let tasks = std::mem::take(&mut *self.queue());
            tasks.into_iter().for_each(Waker::wake);
        }
    }

    /// Wakes the task when bytes become free.
    fn enqueue(&self, waker: &Waker) {
        let mut queue = self.queue();
        queue.push(waker.clone());
        self.has_queue.store(true, Ordering::SeqCst);
    }

    /// The queue, which is about to be emptied or extended.
    fn queue(&self) -> MutexGuard<'_, Vec<Waker>> {
        let queue = lock(&self.queue);
        self.has_queue.store(false, Ordering::SeqCst);
        queue
    }

    /// Tells waiting requests to give way until `bytes` will be free for `asking`. A request of another source gives way
    /// only if that source holds more than the source of `asking` does. Returns whether any bytes will become free.
    fn make_room(&self, bytes: usize, asking: &Asking) -> bool {
        let leaving = self.leaving_bytes.load(Ordering::Relaxed);
        let used = self.used().saturating_sub(leaving).saturating_add(bytes);
        let missing = used.saturating_sub(self.may_use(bytes, asking.held_bytes));
        if missing == 0 {
            return true;
        }
        let mut left = missing.max(self.limit() / ROOM_DIVISOR);
        let mut waiting: Vec<Arc<WaitingRequest>> = Vec::new();
        for shard in &self.waiting {
            waiting.extend(lock(shard).values().cloned());
        }
        let now = Instant::now();
        let mut by_source: HashMap<Option<Source>, SourceRequests> = HashMap::new();
        by_source.entry(asking.source).or_default().bytes += asking.unregistered_bytes;
        for request in waiting {
            let held = request.held_bytes.load(Ordering::Relaxed);
            if held & LEAVING == 0 {
                let source = by_source.entry(request.source).or_default();
                source.bytes += held;
                source.requests.push((held, request));
            }
        }
        let mut will_be_free = leaving > 0;
        while left > 0 {
            let heaviest = by_source.iter_mut().filter(|(_, source)| !source.requests.is_empty());
            let Some((name, source)) = heaviest.max_by_key(|(_, source)| source.bytes) else {
                return will_be_free;
            };
            let is_own = *name == asking.source;
            let slowest = source
                .requests
                .iter()
                .enumerate()
                .min_by(|(_, a), (_, b)| a.1.rate(a.0, now).total_cmp(&b.1.rate(b.0, now)))
                .map(|(index, _)| index);
            let Some((held, request)) = slowest.map(|index| source.requests.swap_remove(index)) else {
                return will_be_free;
            };
            source.bytes = source.bytes.saturating_sub(held);
            if Some(request.number) == asking.number || (is_own && request.rate(held, now) > asking.rate(now)) {
                return will_be_free;
            }
            if let Some(leaving) = request.leave() {
                self.leaving_bytes.fetch_add(leaving, Ordering::Relaxed);
                request.wake();
                will_be_free = true;
                left = left.saturating_sub(leaving.max(1));
            }
        }
        will_be_free
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
    /// Bytes that it holds.
    held_bytes: usize,
    /// Those of them that no waiting request counts.
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

    /// Tells it to give way. Returns the bytes that it will free; `None` if it was told before.
    fn leave(&self) -> Option<usize> {
        let held = self.held_bytes.fetch_or(LEAVING, Ordering::AcqRel);
        (held & LEAVING == 0).then_some(held)
    }

    /// Adds bytes that are already reserved; `false` if the request has to give way.
    fn add_bytes(&self, bytes: usize) -> bool {
        let add = |held: usize| (held & LEAVING == 0).then_some(held.saturating_add(bytes));
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
