//! The steps of a request's way that need no waiting, as states: each value exists only when the step before it has
//! passed. Pure, apart from what they note in the exchange.
//!
//! | state | made by | what is known |
//! | --- | --- | --- |
//! | [`Matched`] | [`Matched::find`] | a route has this host, path and method |
//! | [`Admitted`] | [`Matched::admit`] | header rules, source address and declared length are accepted |
//! | [`scheme::Aged`](crate::scheme::Aged) | [`Admitted::present`] | signature well formed, timestamp within the tolerance |
//! | [`scheme::Verified`](crate::scheme::Verified) | its `verify` | the signature is genuine |
//! | [`Cleared`] | [`Cleared::new`] | the webhook is claimed, or the route only reports: it may be forwarded |
//!
//! On a route in report mode a failed check does not stop the request; its reason goes on to [`Cleared`], which marks
//! it.

use crate::gateway::Downstream;
use crate::gateway::authorization;
use crate::gateway::examine::DeliveryKeys;
use crate::gateway::exchange::Exchange;
use crate::gateway::rate::SourceRates;
use crate::gateway::snapshot::{CompiledRoute, Snapshot};
use crate::http::destination;
use crate::http::message::Request;
use crate::http::payload::Payload;
use crate::http::rules::{self, Origin};
use crate::http::source::Source;
use crate::inbox::known::Id;
use crate::inbox::record::HeadLine;
use crate::inbox::target::IdText;
use crate::outcome::{Rejection, Verdict};
use crate::scheme::challenge::ChallengeReply;
use crate::scheme::{Aged, ChosenTenant, HeadRef, Verified};
use crate::settings::RouteMode;
use crate::upstream::OutgoingRequest;
use crate::upstream::forwarding::{
    DeliveryHeaders, ForwardedHead, SignatureHeaders, VerificationHeaders, VerificationResult,
};
use bytes::{Buf as _, Bytes};
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery};
use std::net::IpAddr;
use std::sync::Arc;

/// A request that has a route.
pub(super) struct Matched<'r> {
    route: Arc<CompiledRoute>,
    authority: &'r str,
    target: PathAndQuery,
    /// The answer to an unsigned challenge of the provider, where the request is one.
    challenge: Option<Result<ChallengeReply, Rejection>>,
}

/// What a request that passed [`Matched::admit`] is.
pub(super) enum Admission<'r> {
    /// A webhook, to be verified.
    Webhook(Admitted<'r>),
    /// An unsigned challenge. It is answered here and not forwarded.
    Challenge(ChallengeReply),
}

/// A request that the route may receive.
pub(super) struct Admitted<'r> {
    pub(super) route: Arc<CompiledRoute>,
    authority: &'r str,
    target: PathAndQuery,
}

/// A verified webhook's id, and hookgate's own signature where the application gets one.
pub(super) struct Identified {
    id: IdText,
    signature: Option<Vec<(HeaderName, HeaderValue)>>,
}

/// A request that may be forwarded, and what the application is told about it.
pub(super) struct Cleared {
    /// `Forwarded`, or `Reported` in report mode.
    pub(super) verdict: Verdict,
    /// Index of the secret that matched; `None` in report mode after a failed check.
    secret: Option<usize>,
}

impl<'r> Matched<'r> {
    /// Finds the route in `snapshot` and notes it in `exchange`. `has_body` is asked only on routes with a challenge.
    pub(super) fn find(
        snapshot: &Snapshot,
        request: &'r Request,
        origin: &Origin,
        has_body: impl FnOnce() -> bool,
        exchange: &mut Exchange,
    ) -> Result<Self, Rejection> {
        if request.method == Method::CONNECT || request.method == Method::TRACE {
            return Err(Rejection::MethodNotAllowed);
        }
        rules::check_scheme(request.uri.scheme_str(), request.version, origin)?;
        let authority = request.uri.authority().map(Authority::as_str);
        let authority = destination::authority(&request.headers, authority, request.version)?;
        let target = destination::target(&request.method, &request.uri)?.clone();
        let route = snapshot.find(authority, target.path()).cloned();
        let route = route.ok_or(Rejection::NoRoute)?;
        exchange.route = Some(route.clone());
        let challenge = match route.settings.challenges.is_empty() || has_body() {
            true => None,
            false => {
                let head = HeadRef {
                    method: &request.method,
                    target: target.as_str(),
                    headers: &request.headers,
                };
                route.unsigned_reply(&head, &[], exchange.outcome.received_unix())
            }
        };
        if challenge.is_none() && !route.settings.methods.contains(&request.method) {
            return Err(Rejection::MethodNotAllowed);
        }
        Ok(Self {
            route,
            authority,
            target,
            challenge,
        })
    }

    /// Checks the header rules, the source address (which it notes in `exchange`), the rates of the source and of the
    /// route, and the declared length; `body_bytes` is the least that the body will have.
    pub(super) fn admit(
        self,
        downstream: &Downstream,
        request: &Request,
        body_bytes: u64,
        rates: Option<&SourceRates>,
        exchange: &mut Exchange,
    ) -> Result<Admission<'r>, Rejection> {
        let settings = &self.route.settings;
        rules::check_request_fields(&request.headers, request.version, settings.verifier.signature_headers())?;
        if settings.mode == RouteMode::Authorize && authorization::is_partial(&request.headers) {
            return Err(Rejection::BodyIncomplete);
        }
        let proxies = &downstream.trusted_proxies;
        let trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(&address));
        let client = rules::client_address(&downstream.origin, &request.headers, trusted);
        exchange.outcome.peer = client;
        if !self.route.allows(client) {
            return Err(Rejection::PeerNotAllowed);
        }
        let now = exchange.started;
        let of_source = rates
            .zip(client)
            .map(|(rates, client)| rates.take(Source::of(client), now));
        let of_route = || self.route.rate.as_ref().map(|rate| rate.take(now));
        if let Some(Err(wait)) = of_source.filter(Result::is_err).or_else(of_route) {
            exchange.wait = Some(wait);
            return Err(Rejection::RateLimited);
        }
        if body_bytes > settings.body_limit as u64 {
            return Err(Rejection::BodyTooLarge);
        }
        match self.challenge {
            Some(reply) => Ok(Admission::Challenge(reply?)),
            None => Ok(Admission::Webhook(Admitted {
                route: self.route,
                authority: self.authority,
                target: self.target,
            })),
        }
    }
}

impl Admitted<'_> {
    /// The parts of the head that a signature may cover.
    pub(super) fn head<'a>(&'a self, request: &'a Request) -> HeadRef<'a> {
        HeadRef {
            method: &request.method,
            target: self.target.as_str(),
            headers: &request.headers,
        }
    }

    /// Reads signature and timestamp from the head, and checks the timestamp: everything that needs no byte of the
    /// body.
    pub(super) fn present(
        &self,
        head: &HeadRef<'_>,
        now_unix: u64,
        tenant: Option<ChosenTenant>,
    ) -> Result<Aged, Rejection> {
        let presented = self.route.settings.verifier.present(head)?;
        presented.age_as(now_unix, self.route.tolerance_seconds(), tenant)
    }

    /// The host that the request asked for, with its port.
    pub(super) const fn authority(&self) -> &str {
        self.authority
    }

    /// What is stored of the head, if the webhook is stored.
    pub(super) fn stored_head(
        &self,
        request: &Request,
        downstream: &Downstream,
        secret: usize,
        exchange: &Exchange,
    ) -> Bytes {
        let route = &*self.route;
        let line = HeadLine {
            method: request.method.to_string(),
            target: self.target.to_string(),
            authority: self.authority.to_owned(),
            peer: downstream.origin.peer,
            trusted: downstream.origin.trusted,
            tls: downstream.origin.scheme == "https",
            request_id: exchange.outcome.request_id.to_string(),
            scheme: route.settings.verifier.name().to_owned(),
            secret: route
                .settings
                .verifier
                .key_names()
                .get(secret)
                .cloned()
                .unwrap_or_default(),
            tenant: exchange
                .tenant()
                .and_then(|tenant| tenant.to_str().ok().map(str::to_owned)),
            client_subject: downstream
                .client_subject
                .as_ref()
                .and_then(|subject| subject.to_str().ok().map(str::to_owned)),
            token_header: route
                .settings
                .verifier
                .token_headers()
                .iter()
                .find(|name| request.headers.named(name.as_str()).next().is_some())
                .map(|name| name.as_str().to_owned()),
        };
        line.encode(&request.headers)
    }

    /// The request to the application, with the body as it was received and the head by the header rules.
    pub(super) fn outgoing(
        &self,
        request: &Request,
        downstream: &Downstream,
        body: Payload,
        cleared: &Cleared,
        exchange: &Exchange,
        identified: Option<&Identified>,
    ) -> OutgoingRequest {
        let route = &*self.route;
        let signature = identified.and_then(|identified| identified.signature.as_deref());
        let head = ForwardedHead {
            method: &request.method,
            target: &route.target(&self.target),
            headers: &request.headers,
            origin: &downstream.origin,
            authority: self.authority,
            host: route.upstream.settings().host.as_ref(),
            upstream_host: &route.upstream_host,
            length: body.remaining(),
            request_id: &exchange.outcome.request_id,
            verification: VerificationHeaders {
                result: cleared.result(route),
                key: cleared.secret.and_then(|secret| route.keys.get(secret)),
                route: &route.name,
                tenant: exchange.tenant(),
                client: downstream.client_subject.as_ref(),
            },
            delivery: identified.map(|identified| DeliveryHeaders {
                id: identified.id.as_str(),
                attempt: route.durable.is_some().then_some(1),
                received_at: None,
                is_manual: false,
            }),
            signature: signature.map(|fields| SignatureHeaders {
                fields,
                originals: route.settings.verifier.signature_headers(),
            }),
            fixed: &route.upstream.settings().headers,
        };
        OutgoingRequest {
            head: head.write(),
            body,
            is_head: request.method == Method::HEAD,
        }
    }
}

impl From<DeliveryKeys> for Identified {
    fn from(keys: DeliveryKeys) -> Self {
        Self::new(&keys.id, keys.signature)
    }
}

impl Identified {
    /// A webhook with this id, and hookgate's own signature where the application gets one.
    pub(super) fn new(id: &Id, signature: Option<Vec<(HeaderName, HeaderValue)>>) -> Self {
        Self {
            id: IdText::of(id),
            signature,
        }
    }
}

impl Cleared {
    /// A verified webhook that is claimed.
    pub(super) const fn verified(verified: &Verified) -> Self {
        Self {
            verdict: Verdict::Forwarded,
            secret: Some(verified.secret),
        }
    }

    /// What becomes of a request that was verified and claimed, or not. A failure is an error, except in report mode.
    pub(super) fn new(route: &CompiledRoute, claimed: Result<&Verified, Rejection>) -> Result<Self, Rejection> {
        match claimed {
            Ok(verified) => Ok(Self {
                verdict: Verdict::Forwarded,
                secret: Some(verified.secret),
            }),
            Err(rejection) if route.settings.report_only() => Ok(Self {
                verdict: Verdict::Reported(rejection),
                secret: None,
            }),
            Err(rejection) => Err(rejection),
        }
    }

    /// What the application is told of the verification.
    fn result<'a>(&self, route: &'a CompiledRoute) -> VerificationResult<'a> {
        match self.verdict {
            Verdict::Reported(rejection) | Verdict::Refused(rejection) => {
                VerificationResult::Reported(rejection.reason())
            }
            Verdict::Forwarded
            | Verdict::Authorized
            | Verdict::Acknowledged(_)
            | Verdict::Stored(_)
            | Verdict::Challenge => VerificationResult::Verified(route.scheme.as_bytes()),
        }
    }
}
