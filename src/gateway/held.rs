//! What an exchange keeps for the inbox until its outcome is known.

use crate::http::body::ReceivedBody;
use crate::inbox::Inbox;
use crate::inbox::model::delivery::Outcome;
use crate::inbox::store::changes::RouteTally;
use crate::inbox::store::types::{FirstAttempt, NewDelivery, OrderKey};
use crate::inbox::target::Target;
use crate::outcome::{Rejection, StoreReason};
use hyper::StatusCode;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A webhook whose answer is being sent on. If the answer breaks off, the sender may have seen a 2xx, so the webhook is
/// stored.
pub struct HeldWebhook {
    pub(super) inbox: Arc<Inbox>,
    pub(super) target: Arc<Target>,
    pub(super) new: NewDelivery,
    /// Keeps the bytes of the body counted.
    pub(super) body: ReceivedBody,
    pub(super) asked: Instant,
    /// How long the id is stored if the answer ends well; `None` where it is not.
    pub(super) remembers: Option<Duration>,
}

impl fmt::Debug for HeldWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldWebhook").finish_non_exhaustive()
    }
}

impl HeldWebhook {
    /// The answer has ended. A 2xx that broke off is stored with an unknown outcome; every other status goes back to
    /// the sender as it is.
    pub(super) fn end(self, end: Result<(), Rejection>, status: StatusCode) {
        if !status.is_success() {
            return;
        }
        let Self {
            inbox,
            target,
            mut new,
            body,
            asked,
            remembers,
        } = self;
        if end.is_ok() {
            let runtime = tokio::runtime::Handle::try_current();
            if let (Some(window), Ok(runtime)) = (remembers, runtime) {
                let active = inbox.begin();
                runtime.spawn(async move {
                    let _ = inbox.remember(&target.name, new.id, window).await;
                    drop(active);
                });
            }
            return;
        }
        new.first = FirstAttempt::Ended {
            outcome: Outcome::Unknown,
            took: asked.elapsed(),
            in_outage: false,
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let active = inbox.begin();
        runtime.spawn(async move {
            match inbox.store(new).await {
                Ok(_) => target.metrics.stored(StoreReason::NoAnswer),
                Err(refusal) => tracing::warn!(route = %target.name, ?refusal, "an answer broke off, and its webhook could not be stored"),
            }
            drop((body, active));
        });
    }
}

/// An order key that a direct attempt keeps busy. Dropping it lets the next webhook of the key go.
pub struct HeldKey {
    inbox: Arc<Inbox>,
    target: Arc<Target>,
    tally: Arc<RouteTally>,
    key: OrderKey,
}

impl fmt::Debug for HeldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldKey").finish_non_exhaustive()
    }
}

impl HeldKey {
    /// Takes the key; `None` while another direct attempt has it.
    pub(super) fn take(inbox: &Arc<Inbox>, target: &Arc<Target>, key: OrderKey) -> Option<Self> {
        let tally = target.tally()?.clone();
        tally.hold(key).then(|| Self {
            inbox: inbox.clone(),
            target: target.clone(),
            tally,
            key,
        })
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        self.tally.let_go(&self.key);
        // While nothing of the route is stored, nothing can be behind the key: what is being stored looks at the key
        // when it is written.
        self.inbox.release(&self.target.name, self.key);
    }
}

/// How long before the sender's deadline the webhook is stored.
pub(super) const STORE_BEFORE: Duration = Duration::from_millis(500);
