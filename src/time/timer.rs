//! A timer that is polled often and armed rarely.
//!
//! Arming a timer of the runtime costs as much as the rest of a request's bookkeeping, and the deadlines of a
//! kept-alive connection mostly move later. When its deadline moves later, a [`Timer`] leaves the runtime's timer as it
//! is and compares the deadlines when that timer fires. A connection that serves thousands of requests arms it only now
//! and then.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// A lazily armed timer. Only one task may use it at a time. Poll it after the operations whose time it limits.
#[derive(Debug, Default)]
pub struct Timer {
    /// The runtime's timer; `None` before the first poll.
    armed: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready once `deadline` has passed, with the runtime's resolution of one millisecond. It may wake the task before
    /// the deadline; a poll then returns `Pending`.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let armed = self.armed.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if armed.deadline() > deadline {
            armed.as_mut().reset(deadline);
        }
        while armed.as_mut().poll(cx).is_ready() {
            if armed.deadline() >= deadline {
                return Poll::Ready(());
            }
            armed.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn deadlines_that_move_later_or_earlier_are_met() {
        let start = Instant::now();
        let mut timer = Timer::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = poll_fn(|cx| Poll::Ready(timer.poll(cx, at(10)))).await;
        assert!(first.is_pending());
        poll_fn(|cx| timer.poll(cx, at(75))).await;
        assert_eq!(start.elapsed().as_secs(), 75);
        let pending = poll_fn(|cx| Poll::Ready(timer.poll(cx, at(200)))).await;
        assert!(pending.is_pending());
        poll_fn(|cx| timer.poll(cx, at(80))).await;
        assert_eq!(start.elapsed().as_secs(), 80);
    }
}
