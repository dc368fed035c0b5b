//! `[[route]]`: its settings, and the checks of keys that depend on each other.

use super::Resolver;
use super::challenge::{ChallengedScheme, SigningRoutes};
use super::inbox::RouteContext;
use super::mode::WITHOUT_GUARD;
use super::operators;
use super::route_scheme::ResolvedScheme;
use super::upstream::NamedUpstreams;
use crate::config::file::{self, RefusalDetail};
use crate::config::value::{Keyword, OneOrMany, RequestRate, Tolerance};
use crate::scheme::challenge::Challenge;
use crate::scheme::{IdentityHash, Verifier};
use crate::settings::{
    Address, ApplicationSignature, Dedupe, Drain, ProcessLimits, ReplayPolicy, Route, RouteMode, Upstream, defaults,
    size_text,
};
use hyper::{Method, StatusCode};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Settings of the process that routes are checked against.
pub(super) struct ProcessSettings<'a> {
    pub(super) limits: &'a ProcessLimits,
    pub(super) drain: &'a Drain,
    pub(super) has_inbox: bool,
    pub(super) has_inbox_keys: bool,
    /// Whether replay keys are kept in a store that replicas share.
    pub(super) shares_replay_keys: bool,
    /// Whether operators can read what is captured.
    pub(super) captures_are_read: bool,
}

impl Resolver<'_> {
    /// The routes, with distinct names and patterns. `own` are the addresses of the gateway itself.
    pub(super) fn routes(
        &mut self,
        list: OneOrMany<file::Route>,
        mut named: NamedUpstreams,
        process: &ProcessSettings<'_>,
        own: &[Address],
    ) -> Vec<Route> {
        if list.is_empty() {
            let fix = "write `[[route]]` with `path`, `provider`, `secrets` and `upstream`";
            self.report.missing(
                String::from("route"),
                "there is no route, so every request would be refused",
                fix,
            );
        }
        let mut routes: Vec<Route> = Vec::new();
        // The key of the first route with each pattern, and with each name.
        let mut patterns: HashMap<(Option<String>, String), String> = HashMap::new();
        let mut names: HashMap<String, String> = HashMap::new();
        let mut shared = HashSet::new();
        let mut signing = SigningRoutes::default();
        for (key, mut written) in list.into_paths("route") {
            let host = self.host(&format!("{key}.host"), written.host.take().as_deref());
            let path = self.route_path(&format!("{key}.path"), written.path.take());
            let has_name = written.name.is_some();
            let name = self.route_name(&key, written.name.take(), path.as_deref(), host.as_deref());
            if let Some(path) = &path {
                let pattern = (host.clone(), path.clone());
                if let Some(twin) = patterns.get(&pattern) {
                    self.report.fault(
                        format!("{key}.path"),
                        format!("{twin} has the same host and path"),
                        "remove one of them",
                    );
                } else if let Some(twin) = names.get(&name) {
                    self.report.fault(
                        format!("{key}.name"),
                        format!("{twin} has the same name, so metrics could not distinguish them"),
                        "give one of them a `name`",
                    );
                }
                patterns.entry(pattern).or_insert_with(|| key.clone());
            }
            names.entry(name.clone()).or_insert_with(|| key.clone());
            let mode = self.mode(&key, &written);
            let upstream = match mode {
                RouteMode::Authorize => Some(Arc::new(Upstream::unused())),
                RouteMode::Verify | RouteMode::Report => self.route_upstream(
                    &format!("{key}.upstream"),
                    written.upstream.take(),
                    &mut named,
                    &mut shared,
                ),
            };
            let scheme = self.scheme(&key, &mut written, (host.as_deref(), path.as_deref()));
            if let Some(upstream) = &upstream {
                let key = format!("{key}.upstream");
                let repeats = path
                    .as_deref()
                    .is_some_and(|path| repeats_path(&upstream.base_path, path));
                if let (true, Some(server)) = (repeats, upstream.servers.first()) {
                    self.report.fault(
                        &key,
                        format!(
                            "the URL repeats the path of the route, and the sender's path is put behind it: the application would get `{0}{0}`",
                            upstream.base_path
                        ),
                        format!("write \"{}\"; a table with `path` sends every request to one path", server.target),
                    );
                }
                self.check_loop(&key, upstream, own);
                self.check_signature_headers(
                    &key,
                    upstream,
                    scheme
                        .as_ref()
                        .map_or(&[], |scheme| scheme.verifier.signature_headers()),
                );
            }
            let settings = self.settings(&key, &written, mode, scheme.as_ref(), process.limits);
            let challenged = scheme.as_ref().map(|scheme| ChallengedScheme {
                provider: &scheme.provider,
                verifier: &scheme.verifier,
                keys: &scheme.keys,
                methods: &settings.methods,
            });
            if let Some(scheme) = scheme.as_ref().filter(|scheme| scheme.tenants.is_some()) {
                self.check_tenants(&key, &written, &scheme.verifier);
            }
            let (challenges, verify_token) = self.challenges(
                &key,
                challenged,
                written.challenge.take(),
                written.handshake,
                written.verify_token.take(),
            );
            let delivers = scheme.as_ref().filter(|_| mode != RouteMode::Authorize);
            let delivery = delivers.map(|scheme| {
                let context = RouteContext {
                    provider: &scheme.provider,
                    verifier: &scheme.verifier,
                    dedupe: settings.dedupe.as_ref(),
                    has_name,
                    has_inbox: process.has_inbox,
                    has_inbox_keys: process.has_inbox_keys,
                    drain: process.drain,
                };
                let delivery = self.delivery(&key, &mut written, &context);
                self.check_durable_dedupe(&key, settings.dedupe.as_ref(), delivery.as_ref());
                let signature = self.signature(&key, &mut written, &context, delivery.is_some());
                (signature, delivery)
            });
            let (signature, delivery) = delivery.unwrap_or((ApplicationSignature::Original, None));
            let capture = self.capture(&key, &written.capture, process.captures_are_read);
            if let (Some(path), Some(upstream), Some(mut scheme)) = (path, upstream, scheme) {
                let digests = std::mem::take(&mut scheme.digests);
                signing.note(&key, &name, digests, &challenges);
                if challenges.iter().any(Challenge::signs) {
                    scheme.verifier.refuse_plain_payloads();
                }
                // Where requests have an id of the provider, only the replay guard looks at their identity.
                let verifier = &scheme.verifier;
                let has_id = settings.dedupe.is_some() || verifier.delivery_id_location().is_some();
                let is_local = !process.shares_replay_keys && has_id && verifier.has_stable_identity();
                let identity = match settings.replay.is_enabled() {
                    false => IdentityHash::None,
                    true if is_local => IdentityHash::ThisProcess,
                    true => IdentityHash::Sha256,
                };
                let (allow, allow_published) = self.allowed(format_args!("{key}.allow"), written.allow);
                let route = Route {
                    name,
                    host,
                    path,
                    upstream,
                    methods: settings.methods,
                    allow,
                    allow_published,
                    verifier: scheme.verifier.identified_by(identity),
                    tolerance: settings.tolerance,
                    replay: settings.replay,
                    dedupe: settings.dedupe,
                    rate: written.rate.map(|RequestRate(rate)| rate),
                    delivery,
                    signature,
                    capture,
                    expect_every: operators::expected(written.expect_every),
                    mode,
                    body_limit: settings.body_limit,
                    body_timeout: settings.body_timeout,
                    challenges,
                    reject_status: settings.reject_status,
                    refusal_detail: settings.refusal_detail,
                    secrets: scheme.keys,
                    expect: scheme.expect,
                    key_secret: scheme.key_secret,
                    tenants: scheme.tenants,
                    public_url: written.public_url,
                    public_url_credentials: scheme.credentials,
                    verify_token,
                };
                routes.push(route);
            } else {
                self.allowed(format_args!("{key}.allow"), written.allow);
            }
        }
        signing.report(&mut self.report);
        self.unused_upstreams(&named);
        routes
    }

    /// The name of a route. Default: host and path.
    fn route_name(&mut self, key: &str, written: Option<String>, path: Option<&str>, host: Option<&str>) -> String {
        match written {
            Some(name) => {
                self.check_name(&format!("{key}.name"), &name);
                name
            }
            // Routes of different hosts may have the same path.
            None => format!("{}{}", host.unwrap_or_default(), path.unwrap_or_default()),
        }
    }

    /// The settings that need neither the path nor the upstream.
    fn settings(
        &mut self,
        key: &str,
        written: &file::Route,
        mode: RouteMode,
        scheme: Option<&ResolvedScheme>,
        limits: &ProcessLimits,
    ) -> RouteSettings {
        let tolerance = self.tolerance(key, written.tolerance, scheme);
        let verifier = scheme.map(|scheme| &scheme.verifier);
        let largest = verifier.and_then(Verifier::facts).and_then(|facts| facts.largest_body);
        // Within the process's bound, unless that cannot even hold a usual body.
        let default = largest
            .unwrap_or_default()
            .min(limits.in_flight_bytes)
            .max(defaults::BODY_LIMIT);
        let body_limit = self.size(
            format_args!("{key}.body_limit"),
            written.body_limit,
            default,
            1,
            1 << 40,
        );
        if let (Some(scheme), Some(largest)) = (scheme, largest.filter(|largest| *largest > body_limit)) {
            self.report.warn(
                format_args!("{key}.body_limit"),
                format_args!(
                    "`{}` sends bodies of up to {}, and this route refuses those above {}",
                    scheme.provider,
                    size_text(largest),
                    size_text(body_limit)
                ),
            );
        }
        if body_limit > limits.in_flight_bytes {
            let fix = "raise `limits.in_flight_bytes`, or lower `body_limit`";
            self.report.fault(
                format!("{key}.body_limit"),
                "this is larger than `limits.in_flight_bytes`, so a body of this size could never be read",
                fix,
            );
        }
        RouteSettings {
            methods: self.methods(format_args!("{key}.methods"), &written.methods),
            tolerance,
            replay: match mode {
                RouteMode::Authorize => WITHOUT_GUARD,
                RouteMode::Verify | RouteMode::Report => {
                    self.replay(&format!("{key}.replay"), &written.replay, verifier, tolerance)
                }
            },
            dedupe: written
                .dedupe
                .as_ref()
                .filter(|_| mode != RouteMode::Authorize)
                .and_then(|written| self.dedupe(&format!("{key}.dedupe"), written, verifier)),
            body_limit,
            body_timeout: self.timeout(
                format_args!("{key}.body_timeout"),
                written.body_timeout,
                defaults::BODY_TIMEOUT,
            ),
            reject_status: self.reject_status(format_args!("{key}.reject_status"), written.reject_status),
            refusal_detail: written
                .refusal_detail
                .map_or(defaults::REFUSAL_DETAIL, |Keyword(detail)| {
                    detail == RefusalDetail::Reason
                }),
        }
    }

    /// The tolerance of a route; `None` accepts every age.
    fn tolerance(
        &mut self,
        key: &str,
        written: Option<Tolerance>,
        scheme: Option<&ResolvedScheme>,
    ) -> Option<Duration> {
        let scheme = scheme?;
        let key = format!("{key}.tolerance");
        if !scheme.verifier.has_timestamp() {
            if written.is_some() {
                let problem = format!(
                    "`{}` signs no timestamp, so the age of a request is unknown",
                    scheme.provider
                );
                self.report.fault(
                    key,
                    problem,
                    "remove it; `replay = { window = \"5m\" }` remembers delivered requests",
                );
            }
            return None;
        }
        match written {
            Some(Tolerance::Within(tolerance)) => Some(tolerance),
            Some(Tolerance::Unlimited) => {
                self.report.warn(
                    &key,
                    "unlimited: an attacker can send a captured request again at any time after the replay window",
                );
                None
            }
            None => {
                let default = scheme.verifier.default_tolerance();
                if default.is_none() {
                    self.report.warn(
                        &key,
                        format_args!(
                            "`{}` has a time and no tolerance, so the age of a request is not judged and an old one is accepted again after the replay window; write `tolerance = \"5m\"`",
                            scheme.provider
                        ),
                    );
                }
                default
            }
        }
    }
}

/// The part of [`Route`] that needs neither the path nor the upstream.
struct RouteSettings {
    methods: Vec<Method>,
    tolerance: Option<Duration>,
    replay: ReplayPolicy,
    dedupe: Option<Dedupe>,
    body_limit: usize,
    body_timeout: Duration,
    reject_status: StatusCode,
    refusal_detail: bool,
}

/// Whether the path of an upstream's URL is the path of its route, exact or without the `/*`.
fn repeats_path(base_path: &str, path: &str) -> bool {
    !base_path.is_empty() && path.strip_suffix("/*").unwrap_or(path).trim_end_matches('/') == base_path
}
