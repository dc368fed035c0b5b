//! The steps of a route with an inbox that store a webhook, or find that it is stored.

use crate::gateway::detached::{Asking, Detached};
use crate::gateway::examine::DeliveryKeys;
use crate::gateway::exchange::Exchange;
use crate::gateway::snapshot::CompiledRoute;
use crate::gateway::steps::{Admitted, Identified};
use crate::gateway::{Downstream, Gateway, Passed};
use crate::http::body::ReceivedBody;
use crate::http::message::Request;
use crate::inbox::Inbox;
use crate::inbox::known::Id;
use crate::inbox::model::delivery::State;
use crate::inbox::store::command::Refusal;
use crate::inbox::store::types::{FirstAttempt, NewDelivery, OrderKey, Stored};
use crate::inbox::target::Target;
use crate::outcome::{Rejection, Repeat, StoreReason, Verdict};
use crate::scheme::Verified;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// A verified webhook on a route with an inbox.
pub(super) struct Delivering<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) inbox: &'a Arc<Inbox>,
    pub(super) target: &'a Arc<Target>,
    pub(super) downstream: &'a Downstream,
    pub(super) request: &'a Request,
    pub(super) admitted: &'a Admitted<'a>,
    pub(super) verified: &'a Verified,
    pub(super) body: ReceivedBody,
    pub(super) webhook: Webhook,
}

/// What is known of the webhook before the application is asked.
pub(super) struct Webhook {
    pub(super) id: Id,
    pub(super) order_key: Option<OrderKey>,
    pub(super) position: i64,
    /// What the application is told of it in a direct attempt.
    pub(super) identified: Identified,
}

impl Webhook {
    pub(super) fn new(keys: DeliveryKeys, target: &Target) -> Self {
        let DeliveryKeys {
            id,
            order_key,
            signature,
        } = keys;
        if order_key.is_err() {
            target.metrics.without_key.inc();
        }
        Self {
            id,
            order_key: order_key.unwrap_or(None),
            position: 0,
            identified: Identified::new(&id, signature),
        }
    }
}

impl Delivering<'_> {
    pub(super) fn route(&self) -> &CompiledRoute {
        &self.admitted.route
    }

    /// The answer to a webhook that the store has, or had. A dead or dropped one is tried again.
    pub(super) async fn repeated(&self, exchange: &Exchange, answer_at: Instant) -> Option<Result<Passed, Rejection>> {
        let found = timeout_at(answer_at, self.inbox.look_up(&self.target.name, self.webhook.id)).await;
        let state = match found {
            Ok(Ok(state)) => state?,
            // The store does not work: the replay guard decides alone.
            Ok(Err(_)) => return None,
            Err(_) => return Some(Err(Rejection::InboxDown)),
        };
        match state {
            State::Waiting | State::InFlight | State::Behind | State::Blocked | State::Delivered => {}
            State::Dead | State::Dropped => {
                let new = self.new_delivery(FirstAttempt::None, StoreReason::Queue, exchange);
                match timeout_at(answer_at, self.inbox.store(new)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(refusal)) => return Some(Err(rejection(refusal))),
                    Err(_) => return Some(Err(Rejection::InboxDown)),
                }
            }
        }
        Some(Ok(Passed::Inbox(
            Verdict::Acknowledged(Repeat::Stored),
            self.route().acknowledgement_body(),
            self.webhook.id,
        )))
    }

    /// The sender's deadline has come: the webhook is stored, and the attempt goes on. The attempt comes back as the
    /// error when the inbox cannot take the webhook.
    pub(super) async fn store_under_way(
        &self,
        asking: Asking,
        is_probe: bool,
        asked_at: Instant,
        answer_at: Instant,
        exchange: &mut Exchange,
    ) -> Result<Result<Passed, Rejection>, Asking> {
        if !self.inbox.status().accepts() {
            return Err(asking);
        }
        let new = self.new_delivery(FirstAttempt::UnderWay, StoreReason::Deadline, exchange);
        let inbox = self.inbox.clone();
        let mut storing: Pin<Box<dyn Future<Output = Result<Stored, Refusal>> + Send>> =
            Box::pin(async move { inbox.store(new).await });
        let stored = timeout_at(answer_at, &mut storing).await;
        let detached = Detached {
            inbox: self.inbox.clone(),
            target: self.target.clone(),
            active: self.inbox.begin(),
            id: self.webhook.id,
            is_probe,
            asked_at,
            key: exchange.order.take(),
        };
        match stored {
            Ok(Ok(Stored::New(seq))) => {
                tokio::spawn(async move { detached.finish(asking, seq).await });
                Ok(Ok(self.passed(StoreReason::Deadline, exchange)))
            }
            // Stored by another exchange meanwhile: its attempt goes on as well, without a row of its own.
            Ok(Ok(Stored::Repeat { .. })) => {
                tokio::spawn(async move { drop((asking.await, detached)) });
                Ok(Ok(self.passed(StoreReason::Deadline, exchange)))
            }
            Ok(Err(_)) => {
                exchange.order = detached.key;
                Err(asking)
            }
            // The commit is still running. The row stays, and the sender's repetition is acknowledged.
            Err(_) => {
                tokio::spawn(async move {
                    match storing.await {
                        Ok(Stored::New(seq)) => detached.finish(asking, seq).await,
                        Ok(Stored::Repeat { .. }) | Err(_) => drop((asking.await, detached)),
                    }
                });
                Ok(Err(Rejection::InboxDown))
            }
        }
    }

    /// Stores the webhook and answers its sender. After a refusal nothing is stored, except that a commit which is still
    /// running at `answer_at` may succeed later.
    pub(super) async fn store(
        &self,
        first: FirstAttempt,
        reason: StoreReason,
        answer_at: Instant,
        exchange: &mut Exchange,
    ) -> Result<Passed, Rejection> {
        let new = self.new_delivery(first, reason, exchange);
        match Box::pin(timeout_at(answer_at, self.inbox.store(new))).await {
            Ok(Ok(_)) => Ok(self.passed(reason, exchange)),
            Ok(Err(refusal)) => Err(rejection(refusal)),
            Err(_) => Err(Rejection::InboxDown),
        }
    }

    /// The webhook is stored: its claim is settled, so that every repetition finds the row.
    pub(super) fn passed(&self, reason: StoreReason, exchange: &mut Exchange) -> Passed {
        if let Some(claim) = exchange.claim.take() {
            claim.commit();
        }
        self.target.metrics.stored(reason);
        Passed::Inbox(
            Verdict::Stored(reason),
            self.route().acknowledgement_body(),
            self.webhook.id,
        )
    }

    pub(super) fn new_delivery(&self, first: FirstAttempt, reason: StoreReason, exchange: &Exchange) -> NewDelivery {
        let secret = self.verified.secret;
        let webhook = &self.webhook;
        let position = match webhook.position {
            0 => self.inbox.next_position(),
            position => position,
        };
        NewDelivery {
            id: webhook.id,
            route: self.target.name.clone(),
            order_key: webhook.order_key,
            position,
            head: self
                .admitted
                .stored_head(self.request, self.downstream, secret, exchange),
            body: self.body.pieces().to_vec(),
            window: self.target.settings.window,
            first,
            retry: self.target.retry.clone(),
            reason: reason.label(),
        }
    }
}

/// What the sender is told when the inbox refuses.
pub(super) const fn rejection(refusal: Refusal) -> Rejection {
    match refusal {
        Refusal::Full => Rejection::InboxFull,
        Refusal::Down => Rejection::InboxDown,
    }
}
