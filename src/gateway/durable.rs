//! The end of the request's way on a route with an inbox: claim, ask the application, store.
//!
//! [`Delivering::run`] reads from top to bottom. What the sender is told is never better than what is true: 2xx only
//! when the application answered it, or when the webhook is stored and the commit is synced.

use crate::gateway::Passed;
use crate::gateway::answer::BegunAnswer;
use crate::gateway::detached::{Asked, Asking, note};
use crate::gateway::exchange::Exchange;
use crate::gateway::held::{HeldKey, HeldWebhook, STORE_BEFORE};
use crate::gateway::steps::Cleared;
use crate::gateway::storing::{Delivering, rejection};
use crate::inbox::attempt;
use crate::inbox::health::Admission;
use crate::inbox::model::delivery::Outcome;
use crate::inbox::store::changes::RouteTally;
use crate::inbox::store::types::{FirstAttempt, OrderKey};
use crate::outcome::{Rejection, StoreReason, Verdict};
use crate::replay::ClaimRequest;
use crate::settings::DeliveryMode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// With less time than this to the moment of storing, the application is not asked.
const LEAST_TIME_TO_ASK: Duration = Duration::from_millis(250);
/// How long before the sender's deadline a commit that is still running is answered with 503.
const ANSWER_BEFORE: Duration = Duration::from_millis(100);
/// How often the claim of a webhook is tried again while the same webhook is in flight.
const CLAIM_INTERVAL: Duration = Duration::from_millis(20);

impl Delivering<'_> {
    /// Delivers the webhook, or stores it.
    pub(super) async fn run(
        &mut self,
        claim: &ClaimRequest,
        exchange: &mut Exchange,
        now: Instant,
    ) -> Result<Passed, Rejection> {
        let mut deadline = exchange.started() + self.target.settings.sender_deadline;
        if let Some(end) = self.inbox.drain_deadline() {
            deadline = deadline.min(end + STORE_BEFORE);
        }
        let store_at = deadline.checked_sub(STORE_BEFORE).unwrap_or(now);
        let answer_at = deadline.checked_sub(ANSWER_BEFORE).unwrap_or(now);

        // claim: the store knows what it has; the replay guard knows the rest
        if self.inbox.may_know(&self.webhook.id)
            && let Some(repeat) = Box::pin(self.repeated(exchange, answer_at)).await
        {
            return repeat;
        }
        if let Some(repeat) = self.claim(claim, exchange, now, store_at, answer_at).await? {
            return repeat;
        }

        // store, where the application is not asked
        if self.target.settings.mode == DeliveryMode::Queue {
            return self
                .store(FirstAttempt::None, StoreReason::Queue, answer_at, exchange)
                .await;
        }
        if let Some(key) = self.webhook.order_key {
            self.webhook.position = self.inbox.next_position();
            if let Some(stored) = Box::pin(self.wait_for_order(key, exchange, answer_at)).await? {
                return Ok(stored);
            }
        }
        let now = Instant::now();
        let is_probe = match self.admission(now, store_at) {
            Ok(is_probe) => is_probe,
            Err(reason) => {
                return self.store(FirstAttempt::None, reason, answer_at, exchange).await;
            }
        };

        // forward
        let mut asking = self.ask(exchange, now);
        let asked = tokio::select! {
            biased;
            asked = &mut asking => Some(asked),
            () = sleep_until(store_at) => None,
        };
        let asked = match asked {
            Some(asked) => asked,
            None => {
                asking = match Box::pin(self.store_under_way(asking, is_probe, now, answer_at, exchange)).await {
                    Ok(passed) => return passed,
                    // The inbox cannot take it: the sender gets what the application says, as on a direct route.
                    Err(asking) => asking,
                };
                asking.await
            }
        };
        self.conclude(asked, is_probe, now, answer_at, exchange).await
    }

    /// Claims the webhook. While the same one is in flight, waits until `store_at`. `Some` when it was stored meanwhile.
    async fn claim(
        &self,
        request: &ClaimRequest,
        exchange: &mut Exchange,
        now: Instant,
        store_at: Instant,
        answer_at: Instant,
    ) -> Result<Option<Result<Passed, Rejection>>, Rejection> {
        let route = self.route();
        let (guard, worker) = (&self.gateway.guard, self.downstream.worker);
        let mut at = now;
        loop {
            match guard.claim(worker, request, route.lease(), at).await {
                Ok(claim) => {
                    exchange.outcome.without_shared_store = guard.fell_back(claim.as_ref());
                    exchange.claim = claim;
                    return Ok(None);
                }
                Err(Rejection::InFlight) if at < store_at => Box::pin(sleep(CLAIM_INTERVAL)).await,
                Err(rejection @ (Rejection::Replayed | Rejection::Duplicate))
                    if self.inbox.may_know(&self.webhook.id) =>
                {
                    // It may have been stored since the store was asked.
                    return match Box::pin(self.repeated(exchange, answer_at)).await {
                        Some(repeat) => Ok(Some(repeat)),
                        None => Err(rejection),
                    };
                }
                Err(rejection) => return Err(rejection),
            }
            at = Instant::now();
        }
    }

    /// Takes the order key for a direct attempt, or stores the webhook behind those before it.
    async fn wait_for_order(
        &self,
        key: OrderKey,
        exchange: &mut Exchange,
        answer_at: Instant,
    ) -> Result<Option<Passed>, Rejection> {
        let has_stored = || self.target.tally().is_some_and(|tally| tally.open() > 0);
        loop {
            if !has_stored()
                && let Some(held) = HeldKey::take(self.inbox, self.target, key)
            {
                exchange.order = Some(held);
                return Ok(None);
            }
            let new = self.new_delivery(FirstAttempt::None, StoreReason::Order, exchange);
            match timeout_at(answer_at, self.inbox.store_behind(new)).await {
                Ok(Ok(Some(_))) => return Ok(Some(self.passed(StoreReason::Order, exchange))),
                Ok(Ok(None)) => {
                    if let Some(held) = HeldKey::take(self.inbox, self.target, key) {
                        exchange.order = Some(held);
                        return Ok(None);
                    }
                }
                Ok(Err(refusal)) => return Err(rejection(refusal)),
                Err(_) => return Err(Rejection::InboxDown),
            }
        }
    }

    /// Whether the application is asked, and whether as a probe; otherwise why the webhook is stored without asking.
    fn admission(&self, now: Instant, store_at: Instant) -> Result<bool, StoreReason> {
        let is_paused = |tally: &Arc<RouteTally>| tally.is_paused.load(Ordering::Relaxed);
        if self.target.tally().is_some_and(is_paused) {
            return Err(StoreReason::Paused);
        }
        if !self.inbox.status().accepts() {
            return Ok(false);
        }
        if store_at.saturating_duration_since(now) < LEAST_TIME_TO_ASK {
            return Err(StoreReason::Deadline);
        }
        let has_stored = self.target.tally().is_some_and(|tally| tally.open() > 0);
        match self.target.health.admit(has_stored, now) {
            Admission::Ask => Ok(false),
            Admission::Probe => Ok(true),
            Admission::Store => Err(StoreReason::Outage),
        }
    }

    /// Begins the direct attempt. It does not borrow the exchange, so that it can go on after the sender was answered.
    fn ask(&self, exchange: &mut Exchange, now: Instant) -> Asking {
        let cleared = Cleared::verified(self.verified);
        let (request, downstream) = (self.request, self.downstream);
        let body = self.body.share();
        let mut outgoing = self.admitted.outgoing(
            request,
            downstream,
            body,
            &cleared,
            exchange,
            Some(&self.webhook.identified),
        );
        exchange.begin_forwarding(now);
        let (upstream, worker) = (self.target.upstream.clone(), downstream.worker);
        Box::pin(async move {
            let mut server = None;
            let answer = upstream.forward(worker, &mut outgoing, now, &mut server).await;
            (answer.map(Box::new), server)
        })
    }

    /// The attempt has ended before the deadline, or nothing else could be done.
    async fn conclude(
        &mut self,
        (answer, server): Asked,
        is_probe: bool,
        asked_at: Instant,
        answer_at: Instant,
        exchange: &mut Exchange,
    ) -> Result<Passed, Rejection> {
        exchange.outcome.upstream = server;
        let ended = |outcome, in_outage| FirstAttempt::Ended {
            outcome,
            took: asked_at.elapsed(),
            in_outage,
        };
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let outcome = attempt::failure(error);
                let in_outage = self.note(outcome, is_probe);
                let reason = if error.is_sent {
                    StoreReason::NoAnswer
                } else {
                    StoreReason::Unreachable
                };
                let stored = self.store(ended(outcome, in_outage), reason, answer_at, exchange).await;
                return stored.map_err(|_| error.rejection);
            }
        };
        let outcome = attempt::answered(&response);
        let in_outage = self.note(outcome, is_probe);
        if self.target.settings.store_on.contains(&response.status.as_u16()) {
            let first = ended(outcome, in_outage);
            if let Ok(stored) = self.store(first, StoreReason::Status, answer_at, exchange).await {
                exchange.outcome.upstream_status = Some(response.status);
                tokio::spawn(attempt::read(*response));
                return Ok(stored);
            }
        }
        let (head, mut answer) = response.split();
        match BegunAnswer::first(&mut answer).await {
            Ok(first) => {
                let begun = BegunAnswer::new(first, answer);
                let remembers = self.remembers().filter(|_| head.status.is_success());
                if begun.is_complete()
                    && let Some(window) = remembers
                {
                    // The application has it, so its answer goes back even if the id cannot be stored.
                    let remembering = self.inbox.remember(&self.target.name, self.webhook.id, window);
                    let _ = Box::pin(timeout_at(answer_at, remembering)).await;
                }
                if !begun.is_complete() && head.status.is_success() {
                    let new = self.new_delivery(FirstAttempt::None, StoreReason::NoAnswer, exchange);
                    exchange.held = Some(Box::new(HeldWebhook {
                        inbox: self.inbox.clone(),
                        target: self.target.clone(),
                        new,
                        body: std::mem::take(&mut self.body),
                        asked: asked_at,
                        remembers,
                    }));
                }
                Ok(Passed::Answered(head.map(|()| begun), Verdict::Forwarded))
            }
            Err(rejection) => {
                let first = ended(Outcome::Unknown, false);
                let stored = self.store(first, StoreReason::NoAnswer, answer_at, exchange).await;
                stored.map_err(|_| rejection)
            }
        }
    }

    /// How long the id of a webhook that was delivered directly is stored; `None` where it is not.
    fn remembers(&self) -> Option<Duration> {
        let dedupe = self.route().settings.dedupe.as_ref();
        dedupe.filter(|dedupe| dedupe.durable).map(|dedupe| dedupe.window)
    }

    /// Notes the end of a direct attempt for the state of the upstream. Returns whether it belongs to an outage.
    fn note(&self, outcome: Outcome, is_probe: bool) -> bool {
        note(self.target, &self.webhook.id, outcome, is_probe)
    }
}
