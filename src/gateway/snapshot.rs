//! The configuration in force, compiled for the request's way: route table, and for every route what never changes
//! between two requests. An exchange holds one snapshot from its head to its end; a reload swaps the whole.

use crate::gateway::route::{Pattern, Table};
use crate::outcome::{Rejection, Repeat};
use crate::replay::{self, Key, Kind, Lifetime, Wanted};
use crate::scheme::{Head, Verified};
use crate::settings;
use crate::telemetry::RouteMetrics;
use crate::telemetry::metrics::Metrics;
use crate::upstream::Upstream;
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// What a delivery takes beyond its upstream's timeouts: the body on its way, the settling.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// One configuration, compiled.
#[derive(Debug)]
pub struct Snapshot {
    table: Table,
    routes: Vec<Arc<Route>>,
}

/// One route, compiled.
#[derive(Debug)]
pub struct Route {
    /// As configured.
    pub settings: settings::Route,
    /// Its pool, shared with other routes to the same upstream.
    pub upstream: Arc<Upstream>,
    /// Resolved children.
    pub metrics: RouteMetrics,
    /// Of its requests' keys in the replay store.
    requests: u64,
    /// Of its deliveries' keys in the replay store.
    deliveries: u64,
    /// The `Allow` of a 405.
    pub allow: HeaderValue,
    /// `Hookgate-Verified` of a verified request.
    pub scheme: HeaderValue,
    /// `Hookgate-Key` by index of the secret.
    pub keys: Vec<HeaderValue>,
    /// `Hookgate-Route`.
    pub name: HeaderValue,
}

impl Snapshot {
    /// Compiles `routes`. Upstreams that are configured as in `previous` keep their connections; `tls` makes the client
    /// configuration of those that need one.
    ///
    /// # Errors
    /// What `tls` says of an upstream's certificate files, one sentence each.
    pub fn compile(
        routes: Vec<settings::Route>,
        previous: Option<&Self>,
        workers: usize,
        metrics: &Metrics,
        tls: impl Fn(&settings::Upstream) -> Result<Option<TlsConnector>, String>,
    ) -> Result<Self, Vec<String>> {
        let table = Table::new(routes.iter().map(|route| Pattern {
            host: route.host.clone(),
            path: route.path.clone(),
        }));
        let mut upstreams: Vec<Arc<Upstream>> = previous.map_or_else(Vec::new, |old| {
            old.routes.iter().map(|route| route.upstream.clone()).collect()
        });
        let mut compiled = Vec::with_capacity(routes.len());
        let mut faults = Vec::new();
        for settings in routes {
            let known = upstreams
                .iter()
                .find(|upstream| *upstream.settings() == settings.upstream);
            let upstream = match known {
                Some(upstream) => upstream.clone(),
                None => match tls(&settings.upstream) {
                    Ok(tls) => Upstream::new(settings.upstream.clone(), tls, workers),
                    Err(fault) => {
                        faults.push(fault);
                        continue;
                    }
                },
            };
            upstreams.push(upstream.clone());
            compiled.push(Arc::new(Route::compile(settings, upstream, metrics)));
        }
        if faults.is_empty() {
            Ok(Self {
                table,
                routes: compiled,
            })
        } else {
            Err(faults)
        }
    }

    /// The route for an authority and a raw path.
    #[must_use]
    pub fn find(&self, authority: &str, path: &str) -> Option<&Arc<Route>> {
        self.routes.get(self.table.find(authority, path)?)
    }

    /// All routes, in configuration order.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Every distinct upstream.
    #[must_use]
    pub fn upstreams(&self) -> Vec<&Arc<Upstream>> {
        let mut distinct: Vec<&Arc<Upstream>> = Vec::new();
        for route in &self.routes {
            if !distinct.iter().any(|known| Arc::ptr_eq(known, &route.upstream)) {
                distinct.push(&route.upstream);
            }
        }
        distinct
    }
}

impl Route {
    fn compile(settings: settings::Route, upstream: Arc<Upstream>, metrics: &Metrics) -> Self {
        let text = |value: &str| HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("unnamed"));
        let methods: Vec<_> = settings.methods.iter().map(hyper::Method::as_str).collect();
        let keys = settings.verifier.key_names();
        Self {
            metrics: metrics.route(&settings.name, keys),
            requests: replay::space(&settings.name, Kind::Request),
            deliveries: replay::space(&settings.name, Kind::Delivery),
            allow: text(&methods.join(", ")),
            scheme: text(settings.verifier.name()),
            keys: keys.iter().map(|name| text(name)).collect(),
            name: text(&settings.name),
            upstream,
            settings,
        }
    }

    /// Whether the allow list takes this address.
    #[must_use]
    pub fn allows(&self, client: Option<IpAddr>) -> bool {
        let allow = &self.settings.allow;
        allow.is_empty() || client.is_some_and(|client| allow.iter().any(|network| network.contains(&client)))
    }

    /// The tolerance in whole seconds.
    #[must_use]
    pub fn tolerance(&self) -> Option<u64> {
        self.settings.tolerance.map(|tolerance| tolerance.as_secs())
    }

    /// What a verified request must claim before it is forwarded at `now` (Unix seconds); `body` in pieces.
    ///
    /// # Errors
    /// `DeliveryIdMissing` on a route that refuses such requests.
    pub fn wanted(&self, verified: &Verified, head: &Head<'_>, body: &[Bytes], now: u64) -> Result<Wanted, Rejection> {
        let request = self.remember(verified.timestamp, now).map(|keep| {
            let key = Key {
                space: self.requests,
                identity: verified.identity,
            };
            let timestamp = verified.timestamp;
            (key, Lifetime { keep, timestamp })
        });
        let delivery = match &self.settings.dedupe {
            None => None,
            Some(dedupe) => match dedupe.id.find(head, body) {
                Some(id) => {
                    let key = Key {
                        space: self.deliveries,
                        identity: Sha256::digest(&id).into(),
                    };
                    let lifetime = Lifetime {
                        keep: dedupe.window,
                        timestamp: None,
                    };
                    Some((key, lifetime))
                }
                None if dedupe.reject_missing => return Err(Rejection::DeliveryIdMissing),
                None => None,
            },
        };
        Ok(Wanted { request, delivery })
    }

    /// How long a delivered request is remembered: until a copy would be stale, or the route's window; `None` when
    /// the guard is off or there is nothing to tell two deliveries apart by time.
    fn remember(&self, signed: Option<u64>, now: u64) -> Option<Duration> {
        match (self.settings.replay.window, signed, self.tolerance()) {
            (Some(window), ..) => Some(window).filter(|window| !window.is_zero()),
            (None, Some(signed), Some(tolerance)) => Some(Duration::from_secs(
                signed.saturating_add(tolerance).saturating_sub(now),
            )),
            (None, ..) => None,
        }
    }

    /// What this refusal is answered 200 as, on a route that acknowledges such repetitions.
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

    /// How long one delivery may take at most, with a margin: after that a claim's owner is gone.
    #[must_use]
    pub fn lease(&self) -> Duration {
        let upstream = self.upstream.settings();
        upstream.connect_timeout + upstream.timeout + LEASE_MARGIN
    }

    /// The target that the upstream is asked for: the raw path and query, below the upstream's base path.
    #[must_use]
    pub fn target<'a>(&self, received: &'a PathAndQuery) -> Cow<'a, str> {
        let base = &self.upstream.settings().base_path;
        if base.is_empty() {
            Cow::Borrowed(received.as_str())
        } else {
            Cow::Owned(format!("{base}{received}"))
        }
    }
}
