//! Routes: patterns, schemes with their keys, and what only makes sense together.

use super::super::fault::{alternatives, closest};
use super::super::file::{self, Detail, Mode, OnReplay};
use super::super::value::{Count, Flag, List, Tolerance, Wait, Word};
use super::super::{Address, Dedupe, Limits, ReplayPolicy, Route, SecretInfo};
use super::Resolver;
use super::upstream::Named;
use crate::scheme::{Verifier, presets};
use hyper::{Method, StatusCode};
use std::time::Duration;

/// How long a request without a timestamp is remembered when the route does not say: long enough for a sender's quick
/// retries, short enough for a deliberate redelivery.
const WINDOW: Duration = Duration::from_secs(300);

impl Resolver<'_> {
    /// All routes.
    pub(super) fn routes(
        &mut self,
        list: List<file::Route>,
        mut named: Named,
        limits: &Limits,
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
        let mut patterns: Vec<(String, Option<String>, String)> = Vec::new();
        let mut names: Vec<(String, String)> = Vec::new();
        let mut shared = Vec::new();
        for (key, mut written) in list.into_paths("route") {
            let host = self.host(&format!("{key}.host"), written.host.take().as_deref());
            let path = self.route_path(&format!("{key}.path"), written.path.take());
            let name = self.route_name(&key, written.name.take(), path.as_deref(), host.as_deref());
            if let Some(path) = &path {
                if let Some((twin, ..)) = patterns.iter().find(|(_, h, p)| *h == host && p == path) {
                    self.report.fault(
                        format!("{key}.path"),
                        format!("the same host and path as {twin}"),
                        "remove one of the two",
                    );
                } else if let Some((twin, _)) = names.iter().find(|(_, other)| *other == name) {
                    self.report.fault(
                        format!("{key}.name"),
                        format!("the same name as {twin}, and metrics could not tell them apart"),
                        "give one of them a `name`",
                    );
                }
                patterns.push((key.clone(), host.clone(), path.clone()));
            }
            names.push((key.clone(), name.clone()));
            let upstream = self.route_upstream(
                &format!("{key}.upstream"),
                written.upstream.take(),
                &mut named,
                &mut shared,
            );
            let scheme = self.scheme(&key, &mut written);
            if let Some(upstream) = &upstream {
                let key = format!("{key}.upstream");
                self.no_loop(&key, upstream, own);
                self.no_signature(
                    &key,
                    upstream,
                    scheme
                        .as_ref()
                        .map_or(&[], |scheme| scheme.verifier.signature_headers()),
                );
            }
            let settings = self.settings(&key, &written, scheme.as_ref(), limits);
            let provider = scheme.as_ref().map(|scheme| scheme.provider.as_str());
            let (challenge, verify_token) =
                self.challenge(&key, provider, written.handshake, written.verify_token.take());
            if let (Some(path), Some(upstream), Some(scheme)) = (path, upstream, scheme) {
                let route = Route {
                    name,
                    host,
                    path,
                    upstream,
                    methods: settings.methods,
                    allow: self.networks(&format!("{key}.allow"), written.allow),
                    verifier: scheme.verifier,
                    tolerance: settings.tolerance,
                    replay: settings.replay,
                    dedupe: settings.dedupe,
                    report_only: settings.report_only,
                    body_limit: settings.body_limit,
                    body_timeout: settings.body_timeout,
                    challenge,
                    reject_status: settings.reject_status,
                    refusal_detail: settings.refusal_detail,
                    secrets: scheme.keys,
                    public_url: written.public_url,
                    verify_token,
                };
                routes.push(route);
            } else {
                self.networks(&format!("{key}.allow"), written.allow);
            }
        }
        self.unused_upstreams(&named);
        routes
    }

    fn route_name(&mut self, key: &str, written: Option<String>, path: Option<&str>, host: Option<&str>) -> String {
        match written {
            Some(name) => {
                self.label(&format!("{key}.name"), &name);
                name
            }
            // Two hosts with the same path are two routes.
            None => format!("{}{}", host.unwrap_or_default(), path.unwrap_or_default()),
        }
    }

    fn scheme(&mut self, key: &str, written: &mut file::Route) -> Option<Scheme> {
        let lists = [
            std::mem::take(&mut written.secrets),
            std::mem::take(&mut written.public_keys),
        ];
        if lists.iter().all(List::is_empty) {
            let fix = "write `secrets = [{ env = \"PADDLE_WEBHOOK_SECRET\" }]`";
            self.report.missing(
                format!("{key}.secrets"),
                "this route has neither `secrets` nor `public_keys`",
                fix,
            );
        }
        let [secrets, public_keys] = lists;
        let (mut named, mut keys) = self.keys(&format!("{key}.secrets"), secrets, true);
        let (named_public, public) = self.keys(&format!("{key}.public_keys"), public_keys, false);
        named.extend(named_public);
        keys.extend(public);
        let provider = written
            .provider
            .take()
            .or_else(|| written.custom.is_some().then(|| String::from("custom")));
        let Some(provider) = provider else {
            let fix = "write `provider = \"paddle\"`, or another of those in docs/schemes.md";
            self.report
                .missing(format!("{key}.provider"), "this route has no provider", fix);
            return None;
        };
        if named.is_empty() {
            // What is wrong with the keys is said already; the provider's name can still be judged.
            self.provider(key, &provider);
            return None;
        }
        match Verifier::new(&provider, written.custom.take(), named, written.public_url.clone()) {
            Ok(verifier) => {
                for warning in verifier.warnings() {
                    self.report.warn(&format!("{key}.provider"), warning);
                }
                Some(Scheme {
                    verifier,
                    provider,
                    keys,
                })
            }
            Err(problems) => {
                if self.provider(key, &provider) {
                    for problem in problems {
                        self.report.fault(key, problem, "");
                    }
                }
                None
            }
        }
    }

    /// Whether there is such a provider.
    fn provider(&mut self, key: &str, provider: &str) -> bool {
        let known = || presets::names().chain(["custom"]);
        if known().any(|name| name == provider) {
            return true;
        }
        let hint = closest(provider, known())
            .map(|meant| format!(", did you mean `{meant}`?"))
            .unwrap_or_default();
        self.report.fault(
            format!("{key}.provider"),
            format!("unknown provider `{provider}`{hint}"),
            format!("write {}", alternatives(known(), "or")),
        );
        false
    }

    fn settings(&mut self, key: &str, written: &file::Route, scheme: Option<&Scheme>, limits: &Limits) -> Settings {
        let tolerance = self.tolerance(key, written.tolerance, scheme);
        let has_timestamp = scheme.map(|scheme| scheme.verifier.has_timestamp());
        let report_only = matches!(written.mode, Some(Word(Mode::Report)));
        if report_only {
            self.report.warn(
                &format!("{key}.mode"),
                "report mode: requests that are not genuine are forwarded, marked `Hookgate-Verified: failed`",
            );
        }
        let body_limit = self.size(&format!("{key}.body_limit"), written.body_limit, 1 << 20, 1, 1 << 40);
        if body_limit > limits.in_flight_bytes {
            let fix = "raise `limits.in_flight_bytes`, or lower `body_limit`";
            self.report.fault(
                format!("{key}.body_limit"),
                "larger than `limits.in_flight_bytes`, so no such body could arrive",
                fix,
            );
        }
        Settings {
            methods: self.methods(&format!("{key}.methods"), &written.methods),
            tolerance,
            replay: self.replay(&format!("{key}.replay"), &written.replay, has_timestamp, tolerance),
            dedupe: written
                .dedupe
                .as_ref()
                .and_then(|written| self.dedupe(&format!("{key}.dedupe"), written, scheme)),
            report_only,
            body_limit,
            body_timeout: self.wait(&format!("{key}.body_timeout"), written.body_timeout, 10),
            reject_status: self.reject_status(&format!("{key}.reject_status"), written.reject_status),
            refusal_detail: !matches!(written.refusal_detail, Some(Word(Detail::None))),
        }
    }

    fn methods(&mut self, key: &str, written: &List<String>) -> Vec<Method> {
        let mut methods = Vec::new();
        for (key, text) in written.paths(key) {
            match Method::from_bytes(text.as_bytes()) {
                Ok(Method::CONNECT | Method::TRACE) => {
                    self.report
                        .fault(&key, "CONNECT and TRACE carry no webhook", "write \"POST\"");
                }
                Ok(method) if text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') => {
                    if !methods.contains(&method) {
                        methods.push(method);
                    }
                }
                Ok(_) | Err(_) => {
                    self.report
                        .fault(&key, "not a method in capital letters", "write \"POST\" or \"GET\"");
                }
            }
        }
        if methods.is_empty() {
            methods.push(Method::POST);
        }
        methods
    }

    fn tolerance(&mut self, key: &str, written: Option<Tolerance>, scheme: Option<&Scheme>) -> Option<Duration> {
        let scheme = scheme?;
        let key = format!("{key}.tolerance");
        if !scheme.verifier.has_timestamp() {
            if written.is_some() {
                let problem = format!("`{}` signs no timestamp, so age cannot be judged", scheme.provider);
                self.report.fault(
                    key,
                    problem,
                    "remove it; `replay = { window = \"5m\" }` remembers what was delivered",
                );
            }
            return None;
        }
        match written {
            Some(Tolerance::Within(tolerance)) => Some(tolerance),
            Some(Tolerance::Unlimited) => {
                self.report.warn(
                    &key,
                    "unlimited: a request captured once is accepted for ever, except within the replay window",
                );
                None
            }
            None => scheme.verifier.default_tolerance(),
        }
    }

    fn replay(
        &mut self,
        key: &str,
        written: &file::Replay,
        has_timestamp: Option<bool>,
        tolerance: Option<Duration>,
    ) -> ReplayPolicy {
        let acknowledge = matches!(written.on_replay, Some(Word(OnReplay::Acknowledge)));
        let window_key = format!("{key}.window");
        if matches!(written.enabled, Some(Flag(false))) {
            if written.window.is_some() || written.on_replay.is_some() {
                self.report.fault(
                    key,
                    "the replay guard is off, so `window` and `on_replay` mean nothing",
                    "remove them, or `enabled = false`",
                );
            }
            let until = match (has_timestamp, tolerance) {
                (Some(_), None) => "for ever",
                (Some(_) | None, _) => "until it is stale",
            };
            self.report.warn(
                key,
                format_args!("the replay guard is off: a request captured once is accepted again {until}"),
            );
            return ReplayPolicy {
                window: Some(Duration::ZERO),
                acknowledge,
            };
        }
        let window = match (written.window, tolerance) {
            (Some(Wait(window)), _) if window < Duration::from_secs(1) => {
                self.report.fault(
                    window_key,
                    "shorter than a second",
                    "write a duration such as \"5m\", or `enabled = false`",
                );
                None
            }
            // A timestamp may lie `tolerance` ahead, so the request stays valid for twice that long.
            (Some(Wait(window)), Some(tolerance)) if window < tolerance.saturating_mul(2) => {
                let fix = "remove `window`: by default a request is remembered for exactly as long as it is fresh";
                self.report.fault(
                    window_key,
                    "shorter than twice the tolerance, which would let a replay through",
                    fix,
                );
                None
            }
            (Some(Wait(window)), _) => Some(window),
            (None, Some(_)) => None,
            (None, None) => {
                let why = match has_timestamp {
                    Some(true) => Some("the tolerance is unlimited"),
                    Some(false) => Some("the provider signs no timestamp"),
                    // There is no scheme to speak of: its own fault says why.
                    None => None,
                };
                if let Some(why) = why {
                    self.report.warn(
                        &window_key,
                        format_args!(
                            "{why}, so a replay is recognised for 5 minutes only; `replay = {{ window = … }}` changes it"
                        ),
                    );
                }
                Some(WINDOW)
            }
        };
        ReplayPolicy { window, acknowledge }
    }

    fn reject_status(&mut self, key: &str, written: Option<Count>) -> Option<StatusCode> {
        let Count(status) = written?;
        let status = u16::try_from(status)
            .ok()
            .filter(|status| matches!(status, 400 | 401 | 403 | 500));
        if status.is_none() {
            self.report.fault(
                key,
                "senders misread other statuses as success, as moved, or as gone",
                "write 400, 401, 403, or 500 for providers that retry only on 5xx",
            );
        }
        status.and_then(|status| StatusCode::from_u16(status).ok())
    }
}

/// What a route's scheme and keys come to.
pub(super) struct Scheme {
    pub(super) verifier: Verifier,
    pub(super) provider: String,
    keys: Vec<SecretInfo>,
}

/// What stands on its own.
struct Settings {
    methods: Vec<Method>,
    tolerance: Option<Duration>,
    replay: ReplayPolicy,
    dedupe: Option<Dedupe>,
    report_only: bool,
    body_limit: usize,
    body_timeout: Duration,
    reject_status: Option<StatusCode>,
    refusal_detail: bool,
}
