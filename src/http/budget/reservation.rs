//! The bytes that one request has reserved in the [`Budget`].

use super::{Asking, BLOCK_BYTES, Block, Budget, LEAVING, WaitingRequest, lock};
use crate::http::source::Source;
use crate::outcome::Rejection;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// How long a newcomer waits for the memory of those that give way. They only have to be scheduled.
pub(super) const ROOM_TIMEOUT: Duration = Duration::from_secs(2);

/// The bytes of a [`Budget`] that one request has reserved; dropping it returns them.
#[derive(Debug)]
pub(in crate::http) struct Reservation {
    budget: Arc<Budget>,
    source: Option<Source>,
    /// Bytes reserved while the request is not registered as waiting.
    bytes: usize,
    /// Bytes that the next [`grow`](Self::grow) reserves as well: the head's.
    pending_bytes: usize,
    /// The entry in the list of waiting requests, once the body has had to be waited for and until it is complete.
    waiting: Option<Arc<WaitingRequest>>,
    /// Ends the wait for others that give way.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Reservation {
    /// A reservation for a request of `source` whose head holds `head_bytes`. They are reserved together with the first
    /// bytes of the body, or when the body has to be waited for.
    pub(in crate::http) const fn new(budget: Arc<Budget>, source: Option<Source>, head_bytes: usize) -> Self {
        Self {
            budget,
            source,
            bytes: 0,
            pending_bytes: head_bytes,
            waiting: None,
            timer: None,
        }
    }

    /// Reserves `bytes` more, and those of the head if that was not done yet. Pending while more than one eighth of the
    /// budget belongs to requests that give way.
    ///
    /// # Errors
    /// `Overloaded` when the budget is exhausted and no other request can give way, or when this one has to.
    pub(in crate::http) fn poll_grow(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<Result<(), Rejection>> {
        let bytes = bytes.saturating_add(self.pending_bytes);
        if bytes == 0 {
            return Poll::Ready(Ok(()));
        }
        let held = match &self.waiting {
            None => self.bytes,
            Some(waiting) => waiting.held_bytes.load(Ordering::Acquire),
        };
        if held & LEAVING != 0 {
            return Poll::Ready(Err(Rejection::Overloaded));
        }
        if !self.budget.reserve(bytes, held) {
            let asking = Asking {
                source: self.source,
                number: self.waiting.as_ref().map(|waiting| waiting.number),
                held_bytes: held,
                unregistered_bytes: self.bytes,
                progress: self
                    .waiting
                    .as_ref()
                    .map(|waiting| (held.saturating_add(bytes), waiting.since)),
            };
            let will_be_free = self.budget.make_room(bytes, &asking);
            if !will_be_free {
                return Poll::Ready(Err(Rejection::Overloaded));
            }
            let is_reserved = self.budget.reserve(bytes, held) || {
                self.budget.enqueue(cx.waker());
                // Bytes may have become free before the task was in the queue.
                self.budget.reserve(bytes, held)
            };
            if !is_reserved {
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(ROOM_TIMEOUT)));
                return timer.as_mut().poll(cx).map(|()| Err(Rejection::Overloaded));
            }
        }
        self.timer = None;
        self.pending_bytes = 0;
        match &self.waiting {
            None => self.bytes += bytes,
            Some(waiting) if waiting.add_bytes(bytes) => {}
            Some(_) => {
                self.budget.release(bytes);
                return Poll::Ready(Err(Rejection::Overloaded));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reserves the memory of one block and returns the block; pending and errors as in [`poll_grow`](Self::poll_grow).
    pub(in crate::http) fn poll_block(&mut self, cx: &mut Context<'_>) -> Poll<Result<Block, Rejection>> {
        ready!(self.poll_grow(cx, BLOCK_BYTES))?;
        Poll::Ready(Ok(self.budget.take_block()))
    }

    /// Registers the request as waiting, since `since`, for more of its body. When it has to give way, the task is woken
    /// and the next call fails.
    ///
    /// # Errors
    /// `Overloaded` when it has to give way, or when there is no room for its head.
    pub(in crate::http) fn wait(&mut self, since: Instant, cx: &mut Context<'_>) -> Result<(), Rejection> {
        match self.poll_grow(cx, 0) {
            Poll::Ready(reserved) => reserved?,
            // The task is woken when there is room.
            Poll::Pending => return Ok(()),
        }
        if let Some(waiting) = &self.waiting {
            let mut held = lock(&waiting.waker);
            if !held.will_wake(cx.waker()) {
                held.clone_from(cx.waker());
            }
            drop(held);
            return match waiting.held_bytes.load(Ordering::Acquire) & LEAVING {
                0 => Ok(()),
                _ => Err(Rejection::Overloaded),
            };
        }
        let number = self.budget.next_number.fetch_add(1, Ordering::Relaxed);
        let waiting = Arc::new(WaitingRequest {
            number,
            source: self.source,
            since,
            held_bytes: AtomicUsize::new(std::mem::take(&mut self.bytes)),
            waker: Mutex::new(cx.waker().clone()),
        });
        self.budget.shard(number).insert(number, waiting.clone());
        self.waiting = Some(waiting);
        Ok(())
    }

    /// Notes that the body is complete: the request no longer gives way to others.
    ///
    /// # Errors
    /// `Overloaded` when it has to give way.
    pub(in crate::http) fn complete(&mut self) -> Result<(), Rejection> {
        if self.unregister() {
            Err(Rejection::Overloaded)
        } else {
            Ok(())
        }
    }

    /// Removes the request from the list of waiting ones. Returns whether it has to give way.
    fn unregister(&mut self) -> bool {
        let Some(waiting) = self.waiting.take() else {
            return false;
        };
        self.budget.shard(waiting.number).remove(&waiting.number);
        // With the mark nobody else can choose it any more.
        let held = waiting.held_bytes.fetch_or(LEAVING, Ordering::AcqRel);
        self.bytes = held & !LEAVING;
        let must_leave = held & LEAVING != 0;
        if must_leave {
            self.budget.leaving_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        must_leave
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.unregister();
        self.budget.release(self.bytes);
    }
}

/// Bytes that are held and counted until this value is dropped: those of a stored delivery.
#[derive(Debug)]
pub struct HeldBytes {
    budget: Arc<Budget>,
    bytes: usize,
}

impl HeldBytes {
    pub(super) const fn new(budget: Arc<Budget>, bytes: usize) -> Self {
        Self { budget, bytes }
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}
