//! Whether the gateway would forward a captured request: its own steps, called with the capture.
//!
//! What a capture does not contain is not judged, and the result says so.

use super::case::Case;
use super::finding::{Change, Finding};
use crate::gateway::Downstream;
use crate::gateway::connection_state::ConnectionState;
use crate::gateway::exchange::{Exchange, Recorder};
use crate::gateway::snapshot::{CompiledRoute, Snapshot};
use crate::gateway::steps::{Admission, Matched};
use crate::http::message::{Headers, Request};
use crate::http::rules::Origin;
use crate::outcome::Rejection;
use crate::scheme::HeadRef;
use crate::settings;
use crate::telemetry::metrics::Metrics;
use bytes::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::{HeaderMap, Method, Uri, Version};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// The routes of a configuration, compiled as the gateway compiles them.
#[derive(Debug)]
pub struct Routes {
    snapshot: Arc<Snapshot>,
    metrics: Arc<Metrics>,
}

/// What the gateway would do with the request before it verifies the signature.
#[derive(Debug)]
pub struct Judgement {
    /// Its reason to refuse the request; `None` if it would go on to the signature.
    pub rejection: Option<Rejection>,
    /// Whether the gateway would answer the request itself, as a challenge of the provider.
    pub is_challenge: bool,
    /// What explains the refusal.
    pub findings: Vec<Finding>,
    /// What was not judged, because the capture does not contain it.
    pub not_judged: Vec<&'static str>,
}

/// The head of a captured request; what the capture does not contain is `None`.
#[derive(Clone, Copy, Debug)]
pub struct CapturedHead<'c> {
    /// The method.
    pub method: Option<&'c Method>,
    /// Path and query.
    pub target: Option<&'c str>,
    /// The header fields.
    pub headers: &'c HeaderMap,
    /// Length of the body in bytes.
    pub body_bytes: usize,
    /// Address of the sender.
    pub peer: Option<IpAddr>,
}

impl CapturedHead<'_> {
    /// The name of the tenant that the request has, on a route with tenants; empty where it has none.
    #[must_use]
    pub fn tenant(&self, tenants: &settings::Tenants, body: &[u8]) -> String {
        let headers = self.headers.iter().collect();
        let head = HeadRef {
            method: self.method.unwrap_or(&Method::POST),
            target: self.target.unwrap_or("/"),
            headers: &headers,
        };
        let host = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        let body = [Bytes::copy_from_slice(body)];
        tenants.place.find(&head, host.unwrap_or_default(), &body).into_owned()
    }
}

impl Routes {
    /// Compiles the routes. Opens no connection.
    ///
    /// # Errors
    /// Sentences about upstreams; none is expected, because no TLS configuration is loaded.
    pub fn new(routes: Vec<settings::Route>) -> Result<Self, Vec<String>> {
        let metrics = Metrics::new();
        let snapshot = Snapshot::compile(routes, None, 1, None, None, &metrics, |_| Ok(None))?;
        let snapshot = Arc::new(snapshot);
        Ok(Self { snapshot, metrics })
    }

    /// The routes that a running gateway has in force. To judge a request counts nothing.
    #[must_use]
    pub fn in_force(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            metrics: Metrics::new(),
        }
    }

    /// All routes, in configuration order.
    #[must_use]
    pub fn all(&self) -> &[Arc<CompiledRoute>] {
        self.snapshot.routes()
    }

    /// The route with this name, or with this path where it has another name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<CompiledRoute>> {
        let by_name = self.all().iter().find(|route| route.settings.name == name);
        by_name.or_else(|| self.all().iter().find(|route| route.settings.path == name))
    }

    /// The route that the gateway would choose.
    #[must_use]
    pub fn matching(&self, head: &CapturedHead<'_>) -> Option<&Arc<CompiledRoute>> {
        let path = head.target?.split('?').next()?;
        match head.headers.get(HOST) {
            Some(host) => self.snapshot.find(host.to_str().ok()?, path),
            // Without a host, the path decides.
            None => self.all().iter().find(|route| {
                let host = route
                    .settings
                    .host
                    .as_deref()
                    .unwrap_or("host.invalid")
                    .replace('*', "any");
                self.snapshot
                    .find(&host, path)
                    .is_some_and(|found| Arc::ptr_eq(found, route))
            }),
        }
    }

    /// The route that the request was most likely meant for: the only one, or the only one whose signature header it has.
    #[must_use]
    pub fn meant(&self, head: &CapturedHead<'_>) -> Option<&Arc<CompiledRoute>> {
        if let [only] = self.all() {
            return Some(only);
        }
        let own = |route: &&Arc<CompiledRoute>| {
            let header = route.settings.verifier.signature_headers().first();
            header.is_some_and(|header| head.headers.contains_key(header))
        };
        let mut with_header = self.all().iter().filter(own);
        with_header.next().filter(|_| with_header.next().is_none())
    }

    /// What the gateway does before it verifies the signature: match and admit. With `forced` the request is judged as
    /// if it had the host and the path of `route`.
    #[must_use]
    pub fn judge(&self, head: &CapturedHead<'_>, route: &CompiledRoute, forced: bool) -> Judgement {
        let settings = &route.settings;
        let mut not_judged = Vec::new();
        let mut headers = head.headers.clone();
        let known_host = settings.host.as_deref().unwrap_or("host.invalid").replace('*', "any");
        if forced || !headers.contains_key(HOST) {
            if !forced && settings.host.is_some() {
                not_judged.push("the host");
            }
            if let Ok(host) = HeaderValue::from_str(&known_host) {
                headers.insert(HOST, host);
            }
        }
        let own_path = settings.path.replace('*', "any");
        let target = match head.target {
            Some(target) if !forced => target.to_owned(),
            Some(target) => match target.split_once('?') {
                Some((_, query)) => format!("{own_path}?{query}"),
                None => own_path,
            },
            None => {
                not_judged.push("the path");
                own_path
            }
        };
        if forced {
            not_judged.push("host and path, because the route was chosen");
        }
        let method = head.method.cloned().unwrap_or_else(|| {
            not_judged.push("the method");
            settings.methods.first().cloned().unwrap_or(Method::POST)
        });
        let peer = head.peer.or_else(|| {
            let network = settings.allow.first()?;
            not_judged.push("the address of the sender");
            Some(network.addr())
        });
        let Ok(uri) = target.parse::<Uri>() else {
            return refused(Rejection::BadRequest, Vec::new(), not_judged);
        };
        let request = Request {
            method,
            uri,
            version: Version::HTTP_11,
            headers: headers.iter().collect::<Headers>(),
        };
        let downstream = Downstream {
            worker: 0,
            connection: Arc::new(ConnectionState::new(Instant::now())),
            listener: Arc::from(""),
            origin: Origin {
                peer,
                trusted: false,
                scheme: "https",
            },
            trusted_proxies: Arc::from([]),
            health: None,
            acme_answers: None,
            client_subject: None,
        };
        let recorder = Recorder::new(self.metrics.clone(), Vec::new(), 0);
        let mut exchange = Exchange::open(&recorder, &downstream, &request);
        let body_bytes = head.body_bytes as u64;
        let admission = Matched::find(
            &self.snapshot,
            &request,
            &downstream.origin,
            || body_bytes > 0,
            &mut exchange,
        )
        .and_then(|matched| matched.admit(&downstream, &request, body_bytes, None, &mut exchange));
        exchange.forget();
        match admission {
            Ok(admission) => Judgement {
                rejection: None,
                is_challenge: matches!(admission, Admission::Challenge(_)),
                findings: Vec::new(),
                not_judged,
            },
            Err(rejection) => {
                let finding = self.explain(rejection, head, settings);
                refused(rejection, vec![finding], not_judged)
            }
        }
    }

    /// Says what the request has and what the configuration has instead.
    fn explain(&self, rejection: Rejection, head: &CapturedHead<'_>, route: &settings::Route) -> Finding {
        let host = head
            .headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let path = head.target.unwrap_or("/").split('?').next().unwrap_or_default();
        let routes = || {
            let shown = self.all().iter().take(12).map(|route| {
                format!(
                    "`{}{}`",
                    route.settings.host.as_deref().unwrap_or_default(),
                    route.settings.path
                )
            });
            shown.collect::<Vec<_>>().join(", ")
        };
        let refuses = "The gateway refuses this request";
        let (cause, what, fix) = if rejection == Rejection::NoRoute {
            let near = self.all().iter().find_map(|route| near_miss(path, &route.settings));
            let near = near.map_or_else(String::new, |near| format!(" {near}"));
            (
                "no_route",
                format!(
                    "{refuses}: no route has the host `{host}` and the path `{path}`; the routes are {}.{near}",
                    routes()
                ),
                "change the URL at the provider or the route's `host` and `path`; paths are compared byte for byte",
            )
        } else if rejection == Rejection::MethodNotAllowed {
            let method = head.method.map_or("", Method::as_str);
            (
                "method_not_allowed",
                format!(
                    "{refuses}: the route `{}` does not accept the method {method}.",
                    route.name
                ),
                "add the method to the route's `methods`, or let the sender use POST",
            )
        } else if rejection == Rejection::BodyTooLarge {
            (
                "body_too_large",
                format!(
                    "{refuses}: its body has {} bytes, and the route `{}` accepts {} (`body_limit`).",
                    head.body_bytes, route.name, route.body_limit
                ),
                "raise the route's `body_limit`",
            )
        } else if rejection == Rejection::PeerNotAllowed {
            (
                "peer_not_allowed",
                format!(
                    "{refuses}: the sender's address is not on the list `allow` of the route `{}`.",
                    route.name
                ),
                "add the provider's networks to `allow`; behind a proxy, set `trusted_proxies`",
            )
        } else {
            (
                "header_rules",
                format!(
                    "{refuses} before it looks at the signature ({}): {}.",
                    rejection.reason(),
                    rejection.title()
                ),
                "docs/security.md says which requests are refused; find the proxy that changes the request",
            )
        };
        Change::new(cause, what, fix).certain()
    }
}

fn refused(rejection: Rejection, findings: Vec<Finding>, not_judged: Vec<&'static str>) -> Judgement {
    Judgement {
        rejection: Some(rejection),
        is_challenge: false,
        findings,
        not_judged,
    }
}

/// What is different between a request and a route that almost has its host and path.
fn near_miss(path: &str, route: &settings::Route) -> Option<String> {
    let own = route.path.as_str();
    if own == path {
        return route
            .host
            .as_ref()
            .map(|expected| format!("The path is right, but the route has the host `{expected}`."));
    }
    let what = if own.trim_end_matches('/') == path.trim_end_matches('/') {
        "a slash at the end"
    } else if own.eq_ignore_ascii_case(path) {
        "capital letters"
    } else if path.replace("//", "/") == own {
        "a double slash"
    } else if path.ends_with(own) || own.ends_with(path) {
        "the beginning of the path"
    } else {
        return None;
    };
    Some(format!(
        "The path differs from that of the route `{}` in {what}.",
        route.name
    ))
}

/// What the gateway finds after it has read the body: whether the request is a challenge of the provider, which it
/// answers itself, or a webhook without the delivery id that the route requires.
#[must_use]
pub fn after_body(case: &Case, route: &CompiledRoute, now_unix: u64) -> (bool, Option<Rejection>) {
    let body = [Bytes::copy_from_slice(&case.body)];
    let headers = case.fields();
    let head = HeadRef {
        method: &case.method,
        target: &case.target,
        headers: &headers,
    };
    let settings = &route.settings;
    match case.verify() {
        Err(Rejection::SignatureMissing) => match route.unsigned_reply(&head, &body, now_unix) {
            Some(reply) => (true, reply.err()),
            None => (false, None),
        },
        Err(_) => (false, None),
        Ok(verified) => {
            let mut challenges = settings.challenges.iter();
            let is_challenge = challenges.any(|one| {
                one.answer_verified(&body, &settings.verifier, verified.secret)
                    .is_some()
            });
            if is_challenge {
                (true, None)
            } else {
                (false, route.claim_request(&verified, &head, &body, now_unix).err())
            }
        }
    }
}
