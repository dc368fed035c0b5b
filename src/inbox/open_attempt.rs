//! An attempt under way, and the row that it belongs to.

use super::Inbox;
use super::attempt::Finished;
use super::model::delivery::{Outcome, Unsendable};
use super::store::types::AttemptEnd;
use crate::settings::Retry;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An attempt under way. If it is dropped without an end (a panic, or the end of its thread), its outcome is unknown: no
/// row stays in flight.
#[derive(Debug)]
pub struct OpenAttempt {
    inbox: Arc<Inbox>,
    retry: Arc<Retry>,
    route: Arc<str>,
    seq: i64,
    began: Instant,
    has_ended: bool,
}

impl OpenAttempt {
    /// The attempt of the row `seq`, which was stored under the name `route`, has begun at `began`.
    #[must_use]
    pub const fn new(inbox: Arc<Inbox>, retry: Arc<Retry>, route: Arc<str>, seq: i64, began: Instant) -> Self {
        Self {
            inbox,
            retry,
            route,
            seq,
            began,
            has_ended: false,
        }
    }

    /// It has ended. `in_outage` when that is no failure of the delivery itself.
    pub fn end(mut self, finished: Finished, in_outage: bool) {
        self.settle(finished.outcome, finished.took, in_outage, finished.answer);
    }

    /// Nothing could be sent.
    pub fn unsendable(mut self, why: Unsendable) {
        self.settle(Outcome::Unsendable(why), Duration::ZERO, true, Vec::new());
    }

    fn settle(&mut self, outcome: Outcome, took: Duration, in_outage: bool, answer: Vec<u8>) {
        self.has_ended = true;
        let end = AttemptEnd {
            seq: self.seq,
            route: self.route.clone(),
            outcome,
            took,
            in_outage,
            answer,
        };
        self.inbox.settle(end, self.retry.clone());
    }
}

impl Drop for OpenAttempt {
    fn drop(&mut self) {
        if !self.has_ended {
            self.settle(Outcome::Unknown, self.began.elapsed(), false, Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::inbox::model::delivery::State;
    use crate::inbox::store::types::Stored;
    use crate::inbox::tests::{delivery, retry, started};

    /// Waits until so many deliveries are in this state.
    async fn becomes(inbox: &Inbox, state: State, number: i64) {
        let reached = async {
            while inbox.shared.tallies.route("r").count(state) != number {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
    }

    /// A task that panics while it delivers leaves a delivery that waits for its next attempt.
    #[tokio::test]
    async fn a_panic_during_an_attempt_leaves_no_delivery_in_flight() {
        let directory = tempfile::tempdir().unwrap();
        let inbox = started(directory.path()).await;
        let stored = inbox.store(delivery(1));
        let Ok(Stored::New(seq)) = stored.await else {
            panic!("it is not stored");
        };
        becomes(&inbox, State::InFlight, 1).await;
        let attempt = OpenAttempt::new(inbox.clone(), retry(), "r".into(), seq, Instant::now());
        let task = tokio::spawn(async move {
            let _attempt = attempt;
            panic!("a panic of the test");
        });
        assert!(task.await.unwrap_err().is_panic());
        becomes(&inbox, State::Waiting, 1).await;
        assert_eq!(inbox.shared.tallies.route("r").count(State::InFlight), 0);
        inbox.close();
    }
}
