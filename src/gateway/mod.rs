//! ★ The request's way: from the end of its head to the record of its outcome.
//!
//! [`Gateway::handle`] serves one request. Its private function `pass` reads from top to bottom: match, admit, present,
//! age, key, body, verify, claim, forward. Each step may refuse, and then no later step happens. The order matters:
//!
//! - What the head shows is checked before a byte of the body is read, so that unsigned requests cost no memory.
//! - The claim comes after verification, so that forged requests never reach the replay store.
//! - Only a claimed request is forwarded, so that a webhook is not delivered twice.
//!
//! Read this file first, then the modules in this order. Each imports only from those below it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`diagnosis`] | why a captured request fails, for tools |
//! | [`import`] | the checks of a delivery that an operator brings in |
//! | [`durable`] | claim, forward and store on a route with an inbox |
//! | [`storing`] | the steps that store a webhook |
//! | [`detached`] | a direct attempt that goes on after its sender was answered |
//! | [`keyed`] | the step that takes a fetched key from the key ring |
//! | [`steps`] | the steps that need no waiting, as states that the types show |
//! | [`examine`] | whether a complete request is genuine, and what it claims |
//! | [`refusal`] | the gateway's own answers |
//! | [`refusal_title`] | the sentence of a refusal |
//! | [`challenges`] | the challenges of a route, and their answers |
//! | [`answer`] | the body that goes back to the sender |
//! | [`exchange`] | the record of one request: outcome, claim, what happens at its end |
//! | [`held`] | what an exchange keeps for the inbox |
//! | [`snapshot`] | the configuration in force, compiled |
//! | [`captures`] | captured requests, where an operator turned that on |
//! | [`replay_identity`] | what identifies a verified webhook in the replay store |
//! | [`authorization`] | what a proxy that asks for verification says, and is told |
//! | [`long_work`] | threads for work that would hold a worker too long |
//! | [`rate`] | limits on the number of requests in a time |
//! | [`connection_state`] | what one connection does, for the limit on connections |
//! | [`challenge_rate`] | the rate of answers to unsigned challenges |
//! | [`route_table`] | host and path to route |
//! | [`text_table`] | texts to values, by a hash made byte by byte |

pub mod answer;
mod authorization;
pub mod captures;
mod challenge_rate;
mod challenges;
pub mod connection_state;
mod detached;
pub mod diagnosis;
mod durable;
mod examine;
pub mod exchange;
mod held;
pub mod import;
mod keyed;
pub mod long_work;
pub mod rate;
pub mod refusal;
mod refusal_title;
mod replay_identity;
pub mod route_table;
pub mod snapshot;
mod steps;
mod storing;
mod text_table;

use crate::gateway::answer::{AnswerBody, BegunAnswer};
use crate::gateway::captures::Captures;
use crate::gateway::connection_state::ConnectionState;
use crate::gateway::examine::Examined;
use crate::gateway::exchange::{Exchange, Recorder, Settlement};
use crate::gateway::long_work::LongWork;
use crate::gateway::rate::SourceRates;
use crate::gateway::snapshot::Snapshot;
use crate::gateway::steps::{Admission, Cleared, Identified, Matched};
use crate::gateway::storing::{Delivering, Webhook};
use crate::http::body::{self, Holder};
use crate::http::budget::Budget;
use crate::http::message::{Request, Response};
use crate::http::rules::{self, Origin};
use crate::http::source::Source;
use crate::inbox::Inbox;
use crate::inbox::known::Id;
use crate::outcome::{Rejection, Verdict};
use crate::remote::acme::HttpAnswers;
use crate::remote::keyring::KeyRing;
use crate::replay::Guard;
use crate::scheme::challenge::ChallengeReply;
use crate::settings::RouteMode;
use crate::time::shutdown::ShutdownSignal;
use crate::time::stopwatch::Stopwatch;
use crate::upstream;
use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use ipnet::IpNet;
use std::sync::Arc;
use tokio::time::Instant;

/// What one exchange holds beside its head and its body, in bytes: its task, its HTTP/2 stream, the bookkeeping.
pub const EXCHANGE_BYTES: usize = 8 * 1024;

/// What all requests share.
#[derive(Debug)]
pub struct Gateway {
    /// The configuration in force. A reload replaces it as a whole.
    pub snapshot: ArcSwap<Snapshot>,
    /// Limits the bytes that the requests of the process hold.
    pub budget: Arc<Budget>,
    /// The least rate of a body, in bytes per second; 0 accepts every rate.
    pub min_body_rate: usize,
    /// Limits the rate of requests of each source; `None` sets no limit.
    pub source_rates: Option<SourceRates>,
    /// The replay guard, which gives out claims on webhooks.
    pub guard: Guard,
    /// Threads for the verification of large bodies.
    pub long_work: LongWork,
    /// The inbox; `None` without one.
    pub inbox: Option<Arc<Inbox>>,
    /// Captured requests; `None` where operators cannot read them.
    pub captures: Option<Arc<Captures>>,
    /// Fetched keys; `None` where no provider is to be asked.
    pub keys: Option<Arc<KeyRing>>,
    /// Records outcomes in metrics and audit lines.
    pub recorder: Arc<Recorder>,
    /// Triggered when the process begins to stop, before the listeners close. The applications may then be stopping
    /// too.
    pub stopping: Arc<ShutdownSignal>,
}

/// What all requests of one connection share. Set by the listener.
#[derive(Debug)]
pub struct Downstream {
    /// Index of the worker that owns the connection. Its pool of upstream connections is used.
    pub worker: usize,
    /// The state of the connection, which the accept loop reads at the limit on connections.
    pub connection: Arc<ConnectionState>,
    /// The name of the listener.
    pub listener: Arc<str>,
    /// Peer, trust, and whether TLS was terminated here.
    pub origin: Origin,
    /// Proxies whose forwarding headers are trusted to name the sender's address.
    pub trusted_proxies: Arc<[IpNet]>,
    /// The path of the listener's health checks; `None` answers none.
    pub health: Option<Arc<str>>,
    /// What is answered to the challenges of ACME servers; `None` on a listener with TLS.
    pub acme_answers: Option<Arc<HttpAnswers>>,
    /// Subject of the sender's verified client certificate, where the listener is configured to pass it on.
    pub client_subject: Option<HeaderValue>,
}

/// The result of a request that was not refused.
#[allow(
    clippy::large_enum_variant,
    reason = "the large variant is the common one, and the value lives for one call"
)]
enum Passed {
    /// The upstream's answer, and the verdict.
    Forwarded(Response<upstream::Answer>, Verdict),
    /// As `Forwarded`, with the first piece of the answer read already.
    Answered(Response<BegunAnswer>, Verdict),
    /// The inbox has the webhook, or had it before; with the body of the acknowledgement, and the delivery's id.
    Inbox(Verdict, &'static str, Id),
    /// A challenge of the provider, which the gateway answers itself.
    Challenge(ChallengeReply),
    /// A genuine request on a route that only says so; with the index of the secret.
    Authorized(usize),
}

impl Gateway {
    /// Serves one request. It runs to its end even when the sender hangs up: the caller must not drop the future
    /// earlier.
    pub async fn handle<B>(&self, downstream: &Downstream, request: Request, body: B) -> Response<AnswerBody>
    where
        B: http_body::Body<Data = Bytes>,
    {
        if let Some(answer) = self.health(downstream, &request) {
            return answer;
        }
        if let Some(answer) = acme_answer(downstream, &request) {
            return answer;
        }
        let mut exchange = Exchange::open(&self.recorder, downstream, &request);
        match self.pass(downstream, &request, body, &mut exchange).await {
            Ok(Passed::Forwarded(response, verdict)) => settle(response, verdict, exchange).await,
            Ok(Passed::Answered(mut response, verdict)) => {
                rules::clean_response_headers(&mut response.headers);
                let (head, begun) = response.split();
                let settlement = Settlement::new(exchange, verdict, head.status);
                head.map(|()| AnswerBody::relay_begun(begun, settlement))
            }
            Ok(Passed::Inbox(verdict, acknowledgement, id)) => {
                exchange.conclude(verdict, StatusCode::OK);
                refusal::stored(acknowledgement, &id)
            }
            Ok(Passed::Challenge(reply)) => {
                let response = refusal::challenge(reply);
                exchange.conclude(Verdict::Challenge, response.status);
                response
            }
            Ok(Passed::Authorized(secret)) => {
                let response = refusal::authorized(exchange.route.as_deref(), secret);
                exchange.conclude(Verdict::Authorized, response.status);
                response
            }
            Err(rejection) => refuse(self.while_stopping(rejection), exchange),
        }
    }

    /// Refuses a request whose header fields are not kept: over HTTP/2 the connection holds as many as it may.
    pub fn refuse_head(
        &self,
        downstream: &Downstream,
        request: &Request,
        rejection: Rejection,
    ) -> Response<AnswerBody> {
        refuse(rejection, Exchange::open(&self.recorder, downstream, request))
    }

    /// The request's way. Nothing reaches an upstream except through its last step.
    async fn pass<B>(
        &self,
        downstream: &Downstream,
        request: &Request,
        body: B,
        exchange: &mut Exchange,
    ) -> Result<Passed, Rejection>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let now_unix = exchange.outcome.received_unix();

        // match
        let has_body = || !body.is_end_stream();
        let matched = Matched::find(&self.snapshot.load(), request, &downstream.origin, has_body, exchange)?;
        let captures_whole = exchange.begin_capture(request);

        // admit
        let rates = self.source_rates.as_ref();
        let admitted = match matched.admit(downstream, request, body.size_hint().lower(), rates, exchange)? {
            Admission::Webhook(admitted) => admitted,
            Admission::Challenge(reply) => return Ok(Passed::Challenge(reply)),
        };
        let route = &*admitted.route;
        let head = admitted.head(request);

        // present, age
        let mut stopwatch = Stopwatch::start();
        exchange.tenant = route.tenant_in_head(&head, admitted.authority());
        let mut aged = admitted.present(&head, now_unix, exchange.tenant.clone());
        let may_ask = route.may_be_challenge(&head, &aged, body.size_hint().upper());
        if !may_ask && !captures_whole {
            route.enforce(&aged)?;
        }

        // key
        if let Some(keys) = &route.fetched_keys {
            stopwatch.pause();
            aged = Box::pin(keyed::with_key(aged, keys, None, now_unix, &self.long_work)).await;
            if !may_ask {
                route.enforce(&aged)?;
            }
        }

        // body
        let holder = Holder {
            source: exchange.outcome.peer.map(Source::of),
            head_bytes: request.headers.held_bytes() + EXCHANGE_BYTES,
        };
        let limits = route.limits_of(may_ask, route.body_limits(self.min_body_rate));
        let received = body::receive(body, limits, holder, &self.budget, &mut stopwatch, |piece| {
            if let Ok(aged) = &mut aged {
                aged.update(piece);
            }
        });
        let received = received.await;
        // A body that is read only to be captured changes nothing of the refusal.
        let refused = aged
            .as_ref()
            .err()
            .filter(|_| captures_whole && !route.settings.report_only());
        let body = received.map_err(|rejection| {
            refused.map_or_else(|| route.instead_of_challenge(may_ask, rejection), |refused| *refused)
        })?;
        exchange.capture_body(body.pieces());
        exchange.outcome.body_bytes = body.len() as u64;

        // key, where the body names it
        if let Some(keys) = &route.fetched_keys {
            aged = Box::pin(keyed::with_key(
                aged,
                keys,
                Some(body.pieces()),
                now_unix,
                &self.long_work,
            ))
            .await;
        }

        // verify
        let examined = self.examine(&admitted.route, aged, &head, &body, now_unix, stopwatch);
        let Examined {
            verified,
            worked,
            ended: mut now,
            claim,
            keys,
            tenant,
        } = examined.await?;
        exchange.tenant = tenant.or(exchange.tenant.take());
        if let Some(reply) = route.answer_unsigned(&verified, &head, &body, now_unix)? {
            return Ok(Passed::Challenge(reply));
        }
        exchange.verified(worked, &verified);
        route.enforce(&verified)?;
        // A signed challenge is not a delivery: it is answered without a claim.
        if let Some(reply) = route.answer_challenge(&verified, &body) {
            route.confirm(&reply, now_unix).await?;
            return Ok(Passed::Challenge(reply));
        }

        // The proxy that asked forwards the webhook.
        if let (RouteMode::Authorize, Ok(verified)) = (route.settings.mode, &verified) {
            return Ok(Passed::Authorized(verified.secret));
        }

        // claim, forward, store: on a route with an inbox
        if let (Some((inbox, target)), Ok(verified)) = (&route.durable, &verified) {
            let claim = claim?;
            let keys = keys.ok_or(Rejection::Internal)?;
            let mut delivering = Delivering {
                gateway: self,
                inbox,
                target,
                downstream,
                request,
                admitted: &admitted,
                verified,
                body,
                webhook: Webhook::new(keys, target),
            };
            // Boxed, so that other routes do not need the space for it.
            return Box::pin(delivering.run(&claim, exchange, now)).await;
        }

        // claim
        let claim = async {
            let verified = verified.as_ref().map_err(|rejection| *rejection)?;
            let claim = claim?;
            exchange.claim = self.guard.claim(downstream.worker, &claim, route.lease(), now).await?;
            Ok(verified)
        };
        let claimed = claim.await;
        let identified = keys.filter(|_| claimed.is_ok()).map(Identified::from);
        let cleared = Cleared::new(route, claimed)?;
        exchange.outcome.without_shared_store = self.guard.fell_back(exchange.claim.as_ref());
        if self.guard.shared().is_some() {
            // The claim waited for another host.
            now = Instant::now();
        }

        // forward
        let payload = body.into_payload();
        let mut outgoing = admitted.outgoing(request, downstream, payload, &cleared, exchange, identified.as_ref());
        exchange.begin_forwarding(now);
        let server = &mut exchange.outcome.upstream;
        let answer = route
            .upstream
            .forward(downstream.worker, &mut outgoing, now, server)
            .await;
        let answer = answer.map_err(|error| error.rejection)?;
        Ok(Passed::Forwarded(answer, cleared.verdict))
    }

    /// The answer to a health check of the listener: 503 while the process stops, or cannot store what it must store.
    /// Balancers ask every few seconds, so nothing is counted and no audit line written.
    fn health(&self, downstream: &Downstream, request: &Request) -> Option<Response<AnswerBody>> {
        let path = downstream.health.as_deref()?;
        let is_check = matches!(request.method, Method::GET | Method::HEAD) && request.uri.path() == path;
        let cannot_store = |inbox: &Arc<Inbox>| !inbox.status().accepts() && self.snapshot.load().has_queue();
        is_check.then(|| {
            let is_well = !self.stopping.is_triggered() && !self.inbox.as_ref().is_some_and(cannot_store);
            refusal::health(is_well)
        })
    }

    /// While the process stops, an upstream that cannot be reached has usually been stopped as well: the sender is
    /// asked to retry with 503, and the metrics show no failure of the application.
    fn while_stopping(&self, rejection: Rejection) -> Rejection {
        let gone = matches!(rejection, Rejection::UpstreamUnreachable | Rejection::UpstreamReset);
        if gone && self.stopping.is_triggered() {
            Rejection::Draining
        } else {
            rejection
        }
    }
}

/// The answer to an ACME server that checks a challenge of this process; as a health check, it is not counted.
fn acme_answer(downstream: &Downstream, request: &Request) -> Option<Response<AnswerBody>> {
    let answers = downstream.acme_answers.as_ref()?;
    let answer = answers.find(request.uri.path())?;
    (request.method == Method::GET).then(|| refusal::acme_answer(answer))
}

/// The answer to a request that was not forwarded.
fn refuse(rejection: Rejection, exchange: Box<Exchange>) -> Response<AnswerBody> {
    let route = exchange.route.clone();
    if let Some(repeat) = route.as_ref().and_then(|route| route.acknowledges(rejection)) {
        let body = route.as_ref().map_or("", |route| route.acknowledgement_body());
        let response = refusal::acknowledgement(body);
        exchange.conclude(Verdict::Acknowledged(repeat), response.status);
        return response;
    }
    let wait = exchange.wait;
    let response = refusal::response_with_wait(rejection, route.as_deref(), wait);
    exchange.conclude(Verdict::Refused(rejection), response.status);
    response
}

/// The upstream's answer, prepared for the sender. At its end the claim is settled and the outcome recorded.
async fn settle(
    mut response: Response<upstream::Answer>,
    verdict: Verdict,
    exchange: Box<Exchange>,
) -> Response<AnswerBody> {
    rules::clean_response_headers(&mut response.headers);
    let route = exchange.route.clone();
    let (head, answer) = response.split();
    match AnswerBody::relay(answer, Settlement::new(exchange, verdict, head.status)).await {
        Ok(body) => head.map(|()| body),
        Err(rejection) => refusal::response(rejection, route.as_deref()),
    }
}
