//! ★ The request's way, from the end of its head to the account of its end.
//!
//! `Gateway::pass` reads top to bottom: match, admit, present, age, intake, verify, claim, forward. Each step may refuse, and
//! then nothing after it happens; the order is the point. What headers can tell is judged before a byte of the body is
//! read, so that an unsigned flood costs no memory; the claim comes after the verdict, so that forgeries never touch the
//! replay store; and only what has a claim is forwarded. [`Gateway::handle`] settles and records what came of it.

pub mod answer;
pub mod exchange;
pub mod refusal;
pub mod route;
pub mod snapshot;

use crate::gateway::answer::Body;
use crate::gateway::exchange::{Exchange, Recorder, Settlement};
use crate::gateway::snapshot::{Route, Snapshot};
use crate::http::body::{self, Bounds, Budget, Received};
use crate::http::message::{Request, Response};
use crate::http::rules::{self, Origin};
use crate::outcome::{Rejection, Verdict};
use crate::replay::Guard;
use crate::scheme::challenge::Reply;
use crate::scheme::{Check, Head, Verified};
use crate::time::shutdown::Drain;
use crate::time::stopwatch::Stopwatch;
use crate::upstream::forwarding::{Forwarding, Mark};
use crate::upstream::{self, Message};
use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::Method;
use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, PathAndQuery};
use ipnet::IpNet;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// What all requests share.
#[derive(Debug)]
pub struct Gateway {
    /// The configuration in force; swapped whole by a reload.
    pub snapshot: ArcSwap<Snapshot>,
    /// Body bytes held by the process.
    pub budget: Arc<Budget>,
    /// Claims on deliveries.
    pub guard: Guard,
    /// Metrics and audit lines.
    pub recorder: Arc<Recorder>,
    /// Spoken when the applications are being stopped or the process is, before the listeners close.
    pub stopping: Arc<Drain>,
}

/// What all requests of one connection share.
#[derive(Debug)]
pub struct Downstream {
    /// Index of the worker that owns the connection, and whose pool of upstream connections it uses.
    pub worker: usize,
    /// Peer, trust, and whether TLS was terminated here.
    pub origin: Origin,
    /// Proxies whose word on the sender's address is taken.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Subject of the certificate that the sender showed and that was verified, where the listener says to tell it.
    pub client_subject: Option<HeaderValue>,
}

/// A request that may be forwarded, and how it is to be marked.
struct Admitted {
    body: Received,
    verdict: Verdict,
    secret: Option<usize>,
    /// It is the provider's handshake, which goes no further.
    handshake: Option<Reply>,
    /// When it was so; only to build the forwarded head comes between that and forwarding.
    at: Instant,
}

/// What became of a request that was not refused.
#[allow(clippy::large_enum_variant)] // The large one is the common one, and lives for one call.
enum Passed {
    /// The upstream's answer, and the verdict.
    Forwarded(Response<upstream::Answer>, Verdict),
    /// Answered here.
    Handshake(Reply),
}

impl Gateway {
    /// Serves one request. Runs to its end even when the sender is gone: the caller must not drop it half-way.
    pub async fn handle<B>(&self, downstream: &Downstream, request: Request, body: B) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let mut exchange = Exchange::open(&self.recorder, &request.headers, downstream.origin.peer);
        match self.pass(downstream, &request, body, &mut exchange).await {
            Ok(Passed::Forwarded(response, verdict)) => settle(response, verdict, exchange).await,
            Ok(Passed::Handshake(reply)) => {
                exchange.conclude(Verdict::Handshake);
                refusal::handshake(reply)
            }
            Err(rejection) => refuse(self.excused(rejection), exchange),
        }
    }

    /// The request's way. Nothing reaches an upstream but through its last line.
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
        // match
        if request.method == Method::CONNECT || request.method == Method::TRACE {
            return Err(Rejection::MethodNotAllowed);
        }
        let authority = authority(request)?;
        let target = request
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or(PathAndQuery::from_static("/"));
        let route = self
            .snapshot
            .load()
            .find(authority, target.path())
            .cloned()
            .ok_or(Rejection::NoRoute)?;
        exchange.route = Some(route.clone());
        let handshake = route.settings.handshake.as_ref();
        let challenged = handshake
            .filter(|_| body.is_end_stream())
            .and_then(|handshake| handshake.challenged(&request.method, target.query().unwrap_or_default()));
        if challenged.is_none() && !route.settings.methods.contains(&request.method) {
            return Err(Rejection::MethodNotAllowed);
        }

        // admit
        rules::vet(
            &request.headers,
            request.version,
            route.settings.verifier.signature_headers(),
        )?;
        let trusted = |address: IpAddr| {
            downstream
                .trusted_proxies
                .iter()
                .any(|network| network.contains(&address))
        };
        let client = rules::client(&downstream.origin, &request.headers, trusted);
        exchange.outcome.peer = client;
        if !route.allows(client) {
            return Err(Rejection::PeerNotAllowed);
        }
        // What is declared is at least that much.
        if body.size_hint().lower() > route.settings.body_limit as u64 {
            return Err(Rejection::BodyTooLarge);
        }

        // A challenge that is not signed asks for nothing but an answer, and gets no further.
        if let Some(answer) = challenged {
            return answer.map(Passed::Handshake);
        }

        // present, age, intake, verify, claim
        let admitted = self
            .judge(&route, downstream.worker, request, target.as_str(), body, exchange)
            .await?;
        if let Some(reply) = admitted.handshake {
            return Ok(Passed::Handshake(reply));
        }

        // forward
        let head = Forwarding {
            method: &request.method,
            target: &route.target(&target),
            headers: &request.headers,
            origin: &downstream.origin,
            authority,
            length: admitted.body.len(),
            request_id: &exchange.outcome.request_id,
            mark: Mark {
                verified: &verified(admitted.verdict, &route),
                key: admitted.secret.and_then(|secret| route.keys.get(secret)),
                route: &route.name,
                client: downstream.client_subject.as_ref(),
            },
            fixed: &route.upstream.settings().headers,
        };
        let message = Message {
            head: head.write(),
            body: admitted.body.into_payload(),
            is_head: request.method == Method::HEAD,
        };
        exchange.forwarding(admitted.at);
        let response = {
            let server = &mut exchange.outcome.upstream;
            let forwarded = route.upstream.forward(downstream.worker, message, admitted.at, server);
            forwarded.await?
        };
        Ok(Passed::Forwarded(response, admitted.verdict))
    }

    /// Present, age, intake, verify and claim. In report mode a failed check does not stop the request: it is marked.
    async fn judge<B>(
        &self,
        route: &Route,
        worker: usize,
        request: &Request,
        target: &str,
        body: B,
        exchange: &mut Exchange,
    ) -> Result<Admitted, Rejection>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let now = exchange.outcome.received;
        let mut work = Stopwatch::start();

        // present, age: before a byte of the body is read
        let head = Head {
            method: &request.method,
            target,
            headers: &request.headers,
        };
        let mut check = present(route, &head, now);
        if let Err(rejection) = &check
            && !route.settings.report_only
        {
            return Err(*rejection);
        }

        // intake
        let bounds = Bounds {
            bytes: route.settings.body_limit,
            timeout: route.settings.body_timeout,
        };
        let received = body::receive(body, bounds, &self.budget, &mut work, |piece| {
            if let Ok(check) = &mut check {
                check.update(piece);
            }
        });
        let body = received.await?;
        exchange.outcome.body_bytes = body.len() as u64;

        // verify
        work.resume();
        let verified = check.and_then(|check| check.finish(body.pieces(), now));
        let (worked, mut at) = work.stop();
        exchange.outcome.verification = Some(worked);
        if let Ok(Verified { secret, timestamp, .. }) = verified {
            exchange.outcome.secret = Some(secret);
            exchange.outcome.signature_age = timestamp.map(|signed| now.cast_signed() - signed.cast_signed());
        }

        // claim; a handshake delivers nothing
        let answer = |verified: &Verified| answer(route, &body, verified.secret);
        let handshake = verified.as_ref().ok().and_then(answer);
        let claimed = async {
            let verified = verified?;
            if handshake.is_some() {
                return Ok((verified.secret, None));
            }
            let wanted = route.wanted(&verified, &head, body.pieces(), now)?;
            let claim = self.guard.claim(worker, &wanted, route.lease(), at).await?;
            Ok((verified.secret, claim))
        };
        let claimed: Result<_, Rejection> = claimed.await;
        if self.guard.shared().is_some() {
            // A store that is elsewhere was waited for.
            at = Instant::now();
        }
        match claimed {
            Ok((secret, claim)) => {
                exchange.outcome.unshared = self.guard.fell_back(claim.as_ref());
                exchange.claim = claim;
                Ok(Admitted {
                    body,
                    verdict: Verdict::Forwarded,
                    secret: Some(secret),
                    handshake,
                    at,
                })
            }
            Err(rejection) if route.settings.report_only => Ok(Admitted {
                body,
                verdict: Verdict::Reported(rejection),
                secret: None,
                handshake: None,
                at,
            }),
            Err(rejection) => Err(rejection),
        }
    }

    /// Where a pod ends its application before its gateway, an upstream that is gone is no fault of the application:
    /// the sender is told to come back, and nobody is told that the application fails.
    fn excused(&self, rejection: Rejection) -> Rejection {
        let gone = matches!(rejection, Rejection::UpstreamUnreachable | Rejection::UpstreamReset);
        if gone && self.stopping.has_begun() {
            Rejection::Draining
        } else {
            rejection
        }
    }
}

/// Present and age: what the headers alone can tell.
fn present(route: &Route, head: &Head<'_>, now: u64) -> Result<Check, Rejection> {
    let presented = route.settings.verifier.present(head)?;
    presented.age(now, route.tolerance())?;
    Ok(presented.check())
}

/// The answer to a verified request that is the provider's handshake.
fn answer(route: &Route, body: &Received, key: usize) -> Option<Reply> {
    let handshake = route.settings.handshake.as_ref()?;
    handshake.answer(body.pieces(), &route.settings.verifier, key)
}

/// The answer to a request that was not forwarded.
fn refuse(rejection: Rejection, exchange: Box<Exchange>) -> Response<Body> {
    let route = exchange.route.clone();
    if let Some(repeat) = route.as_ref().and_then(|route| route.acknowledges(rejection)) {
        exchange.conclude(Verdict::Acknowledged(repeat));
        return refusal::acknowledgement();
    }
    exchange.conclude(Verdict::Refused(rejection));
    refusal::response(rejection, route.as_deref())
}

/// The upstream's answer on its way back, with what is to be settled at its end.
async fn settle(mut response: Response<upstream::Answer>, verdict: Verdict, exchange: Box<Exchange>) -> Response<Body> {
    rules::returned(&mut response.headers);
    let route = exchange.route.clone();
    let (head, answer) = response.split();
    match Body::relay(answer, Settlement::new(exchange, verdict, head.status)).await {
        Ok(body) => head.map(|()| body),
        Err(rejection) => refusal::response(rejection, route.as_deref()),
    }
}

fn authority(request: &Request) -> Result<&str, Rejection> {
    let target = request.uri.authority().map(Authority::as_str);
    rules::authority(&request.headers, target, request.version)
}

/// What the upstream is told about the verdict.
fn verified(verdict: Verdict, route: &Route) -> Cow<'_, [u8]> {
    match verdict {
        Verdict::Reported(rejection) | Verdict::Refused(rejection) => {
            Cow::Owned(format!("failed; reason={}", rejection.reason()).into_bytes())
        }
        Verdict::Forwarded | Verdict::Acknowledged(_) | Verdict::Handshake => Cow::Borrowed(route.scheme.as_bytes()),
    }
}
