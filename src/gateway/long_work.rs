//! Threads for work that would hold a worker too long, such as the verification of a body of many MiB. Their number is
//! bounded; what exceeds it waits in the order of its arrival.

use crate::outcome::Rejection;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// The longest work on a worker, by the estimate of the scheme. Estimates are for a slow core, so that it holds the worker
/// for less than a millisecond.
pub(super) const LONGEST_ON_WORKER: Duration = Duration::from_millis(1);

/// Runs long work beside the workers.
#[derive(Debug)]
pub struct LongWork {
    /// One for each thread that may work at the same time.
    threads: Semaphore,
}

impl LongWork {
    /// Work on at most `threads` threads at the same time. A thread exists only while there is work for it, and for some
    /// seconds after it.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            threads: Semaphore::new(threads),
        }
    }

    /// Runs `work` on another thread, while the worker serves other requests. A panic in `work` is a panic of the caller.
    ///
    /// # Errors
    /// `Draining` when the process ends before the work has begun.
    pub(super) async fn run<T>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Rejection>
    where
        T: Send + 'static,
    {
        let _thread = self.threads.acquire().await.map_err(|_| Rejection::Draining)?;
        match spawn_blocking(work).await {
            Ok(done) => Ok(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Rejection::Draining),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;
    use tokio::task::yield_now;

    /// Waits for a condition; `false` after 20 seconds.
    fn becomes_true(condition: impl Fn() -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if condition() {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    #[tokio::test]
    async fn the_worker_runs_other_tasks_meanwhile() {
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = turns.clone();
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        let work = move || becomes_true(|| turns.load(Ordering::Relaxed) > 10);
        assert_eq!(LongWork::new(1).run(work).await, Ok(true));
        other.abort();
    }

    #[tokio::test]
    async fn the_number_of_threads_is_bounded() {
        let pool = LongWork::new(2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (running, most) = (running.clone(), most.clone());
            pool.run(move || {
                most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                // Each one waits for a second one, so that two do run at the same time.
                assert!(becomes_true(|| most.load(Ordering::Relaxed) >= 2));
                running.fetch_sub(1, Ordering::Relaxed);
            })
        };
        let all = tokio::join!(work(), work(), work(), work(), work());
        assert_eq!(all, (Ok(()), Ok(()), Ok(()), Ok(()), Ok(())));
        assert_eq!(most.load(Ordering::Relaxed), 2);
    }
}
