//! A direct attempt that goes on after its sender was answered.

use crate::gateway::held::HeldKey;
use crate::http::message::Response;
use crate::inbox::attempt::{self, Finished};
use crate::inbox::known::Id;
use crate::inbox::model::delivery::Outcome;
use crate::inbox::open_attempt::OpenAttempt;
use crate::inbox::target::Target;
use crate::inbox::{Active, Inbox};
use crate::upstream::{Answer, ForwardError};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::time::Instant;

/// The application's answer, and the server that was tried last.
pub(super) type Asked = (Result<Box<Response<Answer>>, ForwardError>, Option<usize>);
pub(super) type Asking = Pin<Box<dyn Future<Output = Asked> + Send>>;

/// Notes the end of a direct attempt for the state of the upstream. Returns whether it belongs to an outage.
pub(super) fn note(target: &Target, id: &Id, outcome: Outcome, is_probe: bool) -> bool {
    let number = id.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let judgement = target.health.ended(number, outcome, is_probe, Instant::now());
    target.note_change(judgement.changed);
    judgement.in_outage
}

/// A direct attempt that goes on after its sender was answered.
pub(super) struct Detached {
    pub(super) inbox: Arc<Inbox>,
    pub(super) target: Arc<Target>,
    pub(super) active: Active,
    pub(super) id: Id,
    pub(super) is_probe: bool,
    pub(super) asked_at: Instant,
    /// Let go when the row is there: from then on the store keeps the order.
    pub(super) key: Option<HeldKey>,
}

impl Detached {
    /// Waits for the end of the attempt and records it in the row with this number.
    pub(super) async fn finish(mut self, asking: Asking, seq: i64) {
        drop(self.key.take());
        let row = OpenAttempt::new(
            self.inbox.clone(),
            self.target.retry.clone(),
            self.target.name.clone(),
            seq,
            self.asked_at,
        );
        let (answer, _) = asking.await;
        let finished = match answer {
            Ok(response) => {
                let (outcome, answer) = attempt::read(*response).await;
                Finished {
                    outcome,
                    took: self.asked_at.elapsed(),
                    answer,
                }
            }
            Err(error) => Finished {
                outcome: attempt::failure(error),
                took: self.asked_at.elapsed(),
                answer: Vec::new(),
            },
        };
        let in_outage = note(&self.target, &self.id, finished.outcome, self.is_probe);
        self.target.metrics.attempt(finished.outcome.label());
        row.end(finished, in_outage);
        drop(self.active);
    }
}
