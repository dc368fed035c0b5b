//! The configuration in force, compiled for the request's way: the route table, and for every route what is the same
//! for all requests. An exchange keeps its route until its end; a reload replaces the whole snapshot for later
//! requests.

use crate::gateway::captures::{Captures, RouteCapture};
use crate::gateway::challenge_rate::ChallengeRate;
use crate::gateway::long_work::LONGEST_ON_WORKER;
use crate::gateway::rate::RateLimiter;
use crate::gateway::replay_identity::ReplayIdentity;
use crate::gateway::route_table::{RoutePattern, RouteTable};
use crate::http::body::BodyLimits;
use crate::inbox::Inbox;
use crate::inbox::known::Id;
use crate::inbox::target::{self, IdText, Identity, Signing, Target};
use crate::outcome::{Rejection, Repeat};
use crate::remote::addresses::Published;
use crate::remote::keyring::{KeyRing, Source};
use crate::replay::ClaimRequest;
use crate::scheme::{ChosenTenant, HeadRef, Verified, Work};
use crate::settings::{self, ApplicationSignature, DeliveryMode};
use crate::telemetry::RouteMetrics;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Upstream, forwarding};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// Time that a delivery may take beyond its upstream's timeouts: sending the body, settling the claim.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// HMAC-SHA256 of one byte, and its copy.
const SIGNING_TIME_OF_BYTE: Duration = Duration::from_nanos(2);

/// One configuration, compiled.
#[derive(Debug)]
pub struct Snapshot {
    table: RouteTable,
    routes: Vec<Arc<CompiledRoute>>,
    /// Every distinct upstream, in the order of the first route that has it.
    upstreams: Vec<Arc<Upstream>>,
}

/// One route, compiled.
#[derive(Debug)]
pub struct CompiledRoute {
    /// The route as configured.
    pub settings: settings::Route,
    /// The upstream with its pool, shared with other routes that have the same upstream settings.
    pub upstream: Arc<Upstream>,
    /// Limits the rate of its requests; `None` sets no limit.
    pub rate: Option<RateLimiter>,
    /// Metrics of this route.
    pub metrics: RouteMetrics,
    /// An estimate of the work on a complete body: to verify it, and to read what it claims.
    pub(super) work_when_complete: Work,
    /// The length of a body that is absorbed in the time that a worker may spend on one request.
    turn_bytes: usize,
    /// The keys that its scheme fetches; `None` where they are configured.
    pub fetched_keys: Option<Arc<Source>>,
    /// Lists of addresses that providers publish, from which senders may come beside the networks of the settings.
    pub published: Vec<Arc<Published>>,
    /// Makes the keys under which its webhooks are claimed.
    replay: ReplayIdentity,
    /// How many unsigned challenges it answers.
    pub(super) challenge_rate: ChallengeRate,
    /// The `Allow` header of a 405 answer.
    pub allow: HeaderValue,
    /// Value of `Hookgate-Verified` for a verified request: the scheme's name.
    pub scheme: HeaderValue,
    /// Values of `Hookgate-Key`, by index of the secret.
    pub keys: Vec<HeaderValue>,
    /// Value of `Hookgate-Route`.
    pub name: HeaderValue,
    /// `Host` of a request without one: that of the upstream's first server.
    pub upstream_host: String,
    /// What is captured of its requests; empty where operators cannot read it.
    pub capture: OnceLock<Arc<RouteCapture>>,
    /// The inbox and its view of this route; `None` where webhooks are delivered directly.
    pub durable: Option<(Arc<Inbox>, Arc<Target>)>,
}

impl Snapshot {
    /// Compiles `routes`. Upstreams with the same settings as in `previous` keep their connections. `tls` makes the TLS
    /// client configuration of the upstreams that need one. Without `ring` no keys are fetched.
    ///
    /// # Errors
    /// Every error of `tls` about an upstream's certificate files, one sentence each.
    pub fn compile(
        routes: Vec<settings::Route>,
        previous: Option<&Self>,
        workers: usize,
        inbox: Option<&Arc<Inbox>>,
        ring: Option<&KeyRing>,
        metrics: &Metrics,
        mut tls: impl FnMut(&settings::Upstream) -> Result<Option<TlsConnector>, String>,
    ) -> Result<Self, Vec<String>> {
        let table = RouteTable::new(routes.iter().map(|route| RoutePattern {
            host: route.host.clone(),
            path: route.path.clone(),
        }));
        let previous = previous.map_or(&[][..], Self::upstreams).iter();
        let mut known: HashMap<_, _> = previous
            .map(|upstream| (upstream.settings().clone(), upstream.clone()))
            .collect();
        let mut upstreams = Vec::new();
        let mut used = HashSet::new();
        // The delivery of stored webhooks has connections of its own.
        let pools = workers + usize::from(inbox.is_some());
        let mut compiled = Vec::with_capacity(routes.len());
        let mut faults = Vec::new();
        for settings in routes {
            let upstream = match known.get(&settings.upstream) {
                Some(upstream) => upstream.clone(),
                None => match tls(&settings.upstream) {
                    Ok(tls) => {
                        let new = Upstream::new(settings.upstream.clone(), tls, pools);
                        known.insert(settings.upstream.clone(), new.clone());
                        new
                    }
                    Err(fault) => {
                        faults.push(fault);
                        continue;
                    }
                },
            };
            if used.insert(upstream.address()) {
                upstreams.push(upstream.clone());
            }
            compiled.push(Arc::new(CompiledRoute::compile(
                settings, upstream, inbox, ring, metrics,
            )));
        }
        if faults.is_empty() {
            Ok(Self {
                table,
                routes: compiled,
                upstreams,
            })
        } else {
            Err(faults)
        }
    }

    /// The route for an authority (host with optional port) and a raw path without query.
    #[must_use]
    pub fn find(&self, authority: &str, path: &str) -> Option<&Arc<CompiledRoute>> {
        self.routes.get(self.table.find(authority, path)?)
    }

    /// All routes, in configuration order.
    #[must_use]
    pub fn routes(&self) -> &[Arc<CompiledRoute>] {
        &self.routes
    }

    /// The key spaces of each route in the replay store.
    #[must_use]
    pub fn replay_spaces(&self) -> Vec<[u64; 3]> {
        self.routes.iter().map(|route| route.replay.spaces()).collect()
    }

    /// Whether a route stores every webhook before the application is asked.
    #[must_use]
    pub fn has_queue(&self) -> bool {
        let mut deliveries = self.routes.iter().filter_map(|route| route.settings.delivery.as_ref());
        deliveries.any(|delivery| delivery.mode == DeliveryMode::Queue)
    }

    /// Tells the inbox which routes there are.
    pub fn set_targets(&self, inbox: Option<&Arc<Inbox>>) {
        if let Some(inbox) = inbox {
            let targets = self.routes.iter().map(|route| route.delivery_target(inbox));
            inbox.set_targets(targets.collect());
        }
    }

    /// Gives each route its state in `captures`.
    pub fn set_captures(&self, captures: Option<&Arc<Captures>>) {
        if let Some(captures) = captures {
            captures.attach(self.routes.iter().map(|route| (&route.settings, &route.capture)));
        }
    }

    /// Every distinct upstream, in the order of the first route that has it.
    #[must_use]
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }
}

impl CompiledRoute {
    fn compile(
        settings: settings::Route,
        upstream: Arc<Upstream>,
        inbox: Option<&Arc<Inbox>>,
        ring: Option<&KeyRing>,
        metrics: &Metrics,
    ) -> Self {
        let text = |value: &str| HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("unnamed"));
        let methods: Vec<_> = settings.methods.iter().map(hyper::Method::as_str).collect();
        let keys = settings.verifier.key_names();
        Self {
            rate: settings.rate.map(RateLimiter::new),
            metrics: metrics.route(&settings.name, keys),
            work_when_complete: settings
                .verifier
                .work_when_complete()
                .and(
                    settings
                        .tenants
                        .as_ref()
                        .map_or(Work::default(), |tenants| tenants.place.work()),
                )
                .and(ReplayIdentity::work(&settings)),
            turn_bytes: settings.verifier.work_while_arriving().bytes_in(LONGEST_ON_WORKER),
            fetched_keys: settings
                .verifier
                .key_source()
                .zip(ring)
                .map(|(source, ring)| ring.source(source)),
            published: {
                let list = |list| ring.map_or_else(|| Published::bundled(list), |ring| ring.addresses.list(list));
                settings.allow_published.iter().map(list).collect()
            },
            replay: ReplayIdentity::new(&settings),
            challenge_rate: ChallengeRate::default(),
            allow: text(&methods.join(", ")),
            scheme: text(settings.verifier.name()),
            keys: keys.iter().map(|name| text(name)).collect(),
            name: text(&settings.name),
            capture: OnceLock::new(),
            upstream_host: upstream.settings().authority(),
            durable: inbox.zip(settings.delivery.as_ref()).map(|(inbox, delivery)| {
                let target = inbox.target(&settings.name, delivery, &upstream, signing(&settings));
                (inbox.clone(), target)
            }),
            upstream,
            settings,
        }
    }

    /// The body of the answer with which this route acknowledges a repetition.
    #[must_use]
    pub fn acknowledgement_body(&self) -> &'static str {
        let facts = self.settings.verifier.facts();
        facts.map_or("", |facts| &facts.acknowledgement_body)
    }

    /// Whether the allow list contains this address. An empty list allows every address.
    #[must_use]
    pub fn allows(&self, client: Option<IpAddr>) -> bool {
        let allow = &self.settings.allow;
        let is_listed = |client| {
            allow.iter().any(|network| network.contains(&client))
                || self.published.iter().any(|list| list.contains(client))
        };
        (allow.is_empty() && self.published.is_empty()) || client.is_some_and(is_listed)
    }

    /// The tenant that the head names, or the lack of one; `None` on a route without tenants, or whose bodies name them.
    #[must_use]
    pub fn tenant_in_head(&self, head: &HeadRef<'_>, authority: &str) -> Option<ChosenTenant> {
        let tenants = self.settings.tenants.as_ref()?;
        match tenants.place.is_in_body() {
            // Until the body is known, no tenant is.
            true => Some(tenants.choose("")),
            false => Some(tenants.choose(&tenants.place.find(head, authority, &[]))),
        }
    }

    /// The tenant that a complete body names, or the lack of one; `None` on a route whose bodies name none. `body` in pieces.
    #[must_use]
    pub fn tenant_in_body(&self, head: &HeadRef<'_>, body: &[Bytes]) -> Option<ChosenTenant> {
        let tenants = self.settings.tenants.as_ref()?;
        let is_in_body = tenants.place.is_in_body();
        is_in_body.then(|| tenants.choose(&tenants.place.find(head, "", body)))
    }

    /// The tolerance in whole seconds; `None` accepts every age.
    #[must_use]
    pub fn tolerance_seconds(&self) -> Option<u64> {
        self.settings.tolerance.map(|tolerance| tolerance.as_secs())
    }

    /// The limits of a request's body. `least_rate` is in bytes per second.
    #[must_use]
    pub fn body_limits(&self, least_rate: usize) -> BodyLimits {
        BodyLimits {
            least_rate,
            turn_bytes: self.turn_bytes,
            max_bytes: self.settings.body_limit,
            timeout: self.settings.body_timeout,
        }
    }

    /// Refuses a request whose check failed, except in report mode, where the request goes on and is marked.
    ///
    /// # Errors
    /// The error of `checked`.
    pub fn enforce<T>(&self, checked: &Result<T, Rejection>) -> Result<(), Rejection> {
        match checked {
            Err(rejection) if !self.settings.report_only() => Err(*rejection),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What a verified request must claim before it is forwarded at `now_unix` (seconds); `body` in pieces.
    ///
    /// # Errors
    /// `DeliveryIdMissing` on a route that refuses requests without a delivery id.
    pub fn claim_request(
        &self,
        verified: &Verified,
        head: &HeadRef<'_>,
        body: &[Bytes],
        now_unix: u64,
    ) -> Result<ClaimRequest, Rejection> {
        self.replay
            .claim_request(&self.settings, verified, head, body, now_unix)
    }

    /// The status of the answer to a request that is refused for this reason.
    #[must_use]
    pub fn refusal_status(&self, rejection: Rejection) -> StatusCode {
        if rejection == Rejection::InFlight && self.settings.delivery.is_some() {
            // The inbox acknowledges every repetition, so the sender is to ask again instead of giving up.
            StatusCode::SERVICE_UNAVAILABLE
        } else if rejection.is_about_signature() {
            self.settings.reject_status
        } else {
            rejection.status()
        }
    }

    /// The id of a delivery: `Hookgate-Delivery`. `claim` is what it claims in the replay store.
    pub fn delivery_id(&self, verified: &Verified, head: &HeadRef<'_>, body: &[Bytes], claim: &ClaimRequest) -> Id {
        let known = self.replay.delivery_id(&self.settings, verified, head, body, claim);
        let identity = known.map_or_else(|| Identity::Random(random_id()), Identity::Known);
        target::delivery_id(&self.settings.name, identity)
    }

    /// The headers of hookgate's own signature for a direct attempt, where the application gets one.
    #[must_use]
    pub fn gateway_signature(&self, id: &Id, body: &[Bytes], now_unix: u64) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let is_queue = self
            .settings
            .delivery
            .as_ref()
            .is_some_and(|delivery| delivery.mode == DeliveryMode::Queue);
        match &self.settings.signature {
            ApplicationSignature::Gateway(keys) if !is_queue => keys.sign(IdText::of(id).as_str(), body, now_unix),
            ApplicationSignature::Original | ApplicationSignature::Fresh | ApplicationSignature::Gateway(_) => None,
        }
    }

    /// How long that takes at most, for a body of this length.
    #[must_use]
    pub fn signing_time(&self, body_bytes: usize) -> Duration {
        match &self.settings.signature {
            ApplicationSignature::Original | ApplicationSignature::Fresh => Duration::ZERO,
            ApplicationSignature::Gateway(keys) => SIGNING_TIME_OF_BYTE
                .saturating_mul(u32::try_from(body_bytes).unwrap_or(u32::MAX))
                .saturating_mul(u32::try_from(keys.infos.len()).unwrap_or(u32::MAX)),
        }
    }

    /// The targets of the stored deliveries of this route. A route that delivers directly still has what was stored
    /// before.
    #[must_use]
    pub fn delivery_target(&self, inbox: &Arc<Inbox>) -> Arc<Target> {
        match &self.durable {
            Some((_, target)) => target.clone(),
            None => {
                let delivery = settings::Delivery::default();
                inbox.target(&self.settings.name, &delivery, &self.upstream, signing(&self.settings))
            }
        }
    }

    /// The kind of repetition that the route acknowledges with 200 instead of this rejection; `None` when it refuses.
    #[must_use]
    pub fn acknowledges(&self, rejection: Rejection) -> Option<Repeat> {
        let dedupe = self.settings.dedupe.as_ref();
        if rejection == Rejection::Replayed && self.settings.replay.acknowledge {
            Some(Repeat::Request)
        } else if rejection == Rejection::Duplicate && dedupe.is_some_and(|dedupe| dedupe.acknowledge) {
            Some(Repeat::Delivery)
        } else {
            None
        }
    }

    /// The longest time that one delivery may take, with a margin. An unsettled claim that is older has lost its owner.
    #[must_use]
    pub fn lease(&self) -> Duration {
        let upstream = self.upstream.settings();
        upstream.queue_timeout + upstream.connect_timeout + upstream.timeout + LEASE_MARGIN
    }

    /// The target of the forwarded request: the raw path and query below the upstream's base path, or the upstream's own
    /// path with the raw query.
    #[must_use]
    pub fn target<'a>(&self, received: &'a PathAndQuery) -> Cow<'a, str> {
        forwarding::target(self.upstream.settings(), received)
    }
}

/// How the attempts of a route are signed.
fn signing(route: &settings::Route) -> Signing {
    Signing {
        verifier: route.verifier.clone(),
        signature: route.signature.clone(),
        tenants: route.tenants.clone(),
    }
}

/// An id that no other delivery has. If the system provides no random numbers, the id is that of another delivery, which
/// is then acknowledged as a repetition; the process could not have started.
fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    let _ = aws_lc_rs::rand::fill(&mut id);
    id
}
