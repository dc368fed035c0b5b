//! The requests that wait until an endpoint with `max_connections` has a connection for them: a short, bounded queue.
//!
//! The request that has waited longest is served first, with one exception: a connection stays on its worker, so that it
//! goes to the first request of the same worker. So that a worker without connections is served too, every fourth
//! connection is closed for the first request of the queue if that is of another worker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Of so many connections one serves the first request of the queue in any case.
const FIRST_OF_ANY_WORKER: usize = 4;

/// The queue of one endpoint. `T` is what a request waits for.
#[derive(Debug)]
pub(super) struct WaitQueue<T> {
    waiters: Mutex<VecDeque<Waiter<T>>>,
    /// Length of `waiters`, for those who look whether somebody waits. It is ordered with the count of open connections:
    /// who frees a connection sees the request that did not see the free one.
    length: AtomicUsize,
    /// Connections that were asked for, modulo [`FIRST_OF_ANY_WORKER`].
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Waiter<T> {
    worker: usize,
    sender: oneshot::Sender<T>,
}

impl<T> Default for WaitQueue<T> {
    fn default() -> Self {
        Self {
            waiters: Mutex::default(),
            length: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
        }
    }
}

impl<T> WaitQueue<T> {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.length.load(SeqCst) == 0
    }

    /// The number of requests that wait.
    pub(super) fn len(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let waiters = self.lock();
        waiters.iter().filter(|waiter| !waiter.sender.is_closed()).count()
    }

    /// Puts a request of `worker` at the end; `None` if `limit` requests wait already. The request waits no longer when
    /// the receiver is dropped.
    pub(super) fn push(&self, worker: usize, limit: usize) -> Option<oneshot::Receiver<T>> {
        let mut waiters = self.lock();
        if waiters.len() >= limit {
            waiters.retain(|waiter| !waiter.sender.is_closed());
        }
        let (sender, receiver) = oneshot::channel();
        let has_room = waiters.len() < limit;
        if has_room {
            waiters.push_back(Waiter { worker, sender });
        }
        self.length.store(waiters.len(), SeqCst);
        has_room.then_some(receiver)
    }

    /// Takes the first request that waits.
    pub(super) fn pop(&self) -> Option<oneshot::Sender<T>> {
        self.take(|_| true)
    }

    /// Takes the first request of `worker`, for a connection of that worker; `None` if there is none, or if it is the
    /// turn of another worker.
    pub(super) fn pop_for(&self, worker: usize) -> Option<oneshot::Sender<T>> {
        let is_turn_of_any = self.turn.fetch_add(1, SeqCst).is_multiple_of(FIRST_OF_ANY_WORKER);
        let mut is_first = true;
        self.take(|waiter| {
            let is_excluded = is_turn_of_any && !std::mem::take(&mut is_first);
            waiter.worker == worker && !is_excluded
        })
    }

    fn take(&self, mut is_wanted: impl FnMut(&Waiter<T>) -> bool) -> Option<oneshot::Sender<T>> {
        let mut waiters = self.lock();
        waiters.retain(|waiter| !waiter.sender.is_closed());
        let index = waiters.iter().position(&mut is_wanted);
        let taken = index.and_then(|index| waiters.remove(index));
        self.length.store(waiters.len(), SeqCst);
        taken.map(|waiter| waiter.sender)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiter<T>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_is_served_first_and_no_more_wait_than_the_limit() {
        let queue = WaitQueue::default();
        let mut waiting: Vec<_> = (0..3).map(|_| queue.push(0, 3).unwrap()).collect();
        assert!(queue.push(0, 3).is_none());
        queue.pop().unwrap().send(1).unwrap();
        assert_eq!(waiting[0].try_recv(), Ok(1));
        // One that no longer waits makes room.
        let last = queue.push(0, 3).unwrap();
        drop(waiting.remove(1));
        assert_eq!(queue.len(), 2);
        assert!(queue.push(0, 3).is_some());
        drop((waiting, last));
        assert!(queue.pop().is_none() && queue.is_empty());
    }

    #[test]
    fn a_connection_stays_on_its_worker_but_other_workers_have_a_turn() {
        let queue = WaitQueue::<()>::default();
        let other = queue.push(1, 100).unwrap();
        let own: Vec<_> = (0..20).map(|_| queue.push(0, 100).unwrap()).collect();
        let served = (0..20).filter(|_| queue.pop_for(0).is_some()).count();
        assert_eq!(served, 15);
        assert_eq!(queue.len(), 6);
        drop(other);
        assert!(queue.pop_for(0).is_some());
        drop(own);
        assert!(queue.pop_for(0).is_none());
    }
}
