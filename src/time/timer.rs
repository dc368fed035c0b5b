//! One timer that is armed rarely and asked often.
//!
//! Arming a runtime timer costs as much as the rest of a request's bookkeeping, and deadlines on a kept-alive connection
//! mostly move later. So a [`Timer`] leaves the runtime's timer where it is when its deadline moves later, and looks again
//! when that one fires: a connection that serves thousands of requests arms it once in a while.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

/// A lazily armed timer. Belongs to one task at a time; poll it after everything that it guards.
#[derive(Debug, Default)]
pub struct Timer {
    armed: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready once `deadline` has passed. Exact to the runtime's millisecond; may wake the task early and say `Pending`.
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
    async fn a_deadline_that_moves_later_is_kept_and_one_that_moves_earlier_too() {
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
