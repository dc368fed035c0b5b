//! The metrics of the process: one registry, every family with its help text, closed label sets.
//!
//! Who owns what is explained in [`telemetry`](super). A value that a sender chooses is never a label value. Counters
//! with a fixed label set are named fields, so that a typo in a label does not compile.

use super::acme_metrics::AcmeFamilies;
use super::address_metrics::AddressFamilies;
use super::exposition::{Exposition, Sink};
use super::handles::{self, ListenerFamilies};
use super::key_metrics::KeyFamilies;
use super::registration::{self, Registry, counter, gauge, gauges};
use super::route_metrics::{self, RouteMetrics};
use super::upstream_metrics::{UpstreamFamilies, UpstreamSample};
use crate::outcome::{FailureSide, Verdict};
use crate::remote::acme::AcmeSample;
use crate::remote::addresses::ListSample;
use crate::remote::keyring::KeySample;
use crate::replay::ReplayStoreMetrics;
use prometheus::core::Collector as _;
use prometheus::{IntCounter, IntGauge, IntGaugeVec, TextEncoder};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use super::handles::{BoundGauges, ListenerMetrics, MalformedRequestCounters, ReloadMetrics, TlsHandshakeCounters};
pub use super::inbox_metrics::{InboxMetrics, InboxRouteMetrics, InboxSample};

/// What became of the requests since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestTotals {
    /// Requests whose head was read.
    pub requests: u64,
    /// Forwarded to an application, in report mode too.
    pub forwarded: u64,
    /// Answered by the gateway with success: acknowledged repeats and challenges.
    pub answered: u64,
    /// Refused because of the sender.
    pub refused: u64,
    /// Not delivered.
    pub failed: u64,
}

/// With more routes than this, a route has series only once it has had a request, so that routes without traffic cost
/// Prometheus nothing.
const ROUTES_SHOWN_UNUSED: usize = 1_000;

/// Every metric of the process. Public fields are handles and gauges with a fixed label set; methods give the handles
/// for configured names.
pub struct Metrics {
    registry: Registry,
    /// By name of the route, so that a reload gives an unchanged route the same one.
    routes: Mutex<BTreeMap<String, RouteMetrics>>,
    unrouted: RouteMetrics,
    listener_families: ListenerFamilies,
    upstream_families: UpstreamFamilies,
    key_families: KeyFamilies,
    acme_families: AcmeFamilies,
    address_families: AddressFamilies,
    /// Registered when the process has an inbox.
    inbox: OnceLock<InboxMetrics>,
    certificate_expiry: IntGaugeVec,
    secret_retired: IntGaugeVec,
    /// Exchanges between the end of the head and the end of the answer.
    pub in_flight_requests: IntGauge,
    /// HTTP/1.1 connections that have been idle long enough to free their buffers.
    pub connections_resting: IntGauge,
    /// Body bytes held in memory over all exchanges. Sampled.
    pub body_bytes_in_flight: IntGauge,
    /// Keys that the replay store of this process holds. Sampled.
    pub replay_keys: IntGauge,
    /// 1 while the replay store answers; always 1 for the store of this process. Sampled.
    pub replay_store_up: IntGauge,
    /// The bounds of connections, body bytes and replay keys.
    pub bounds: BoundGauges,
    /// Calls to a shared replay store.
    pub replay_store: ReplayStoreMetrics,
    /// TLS handshakes of senders, by result.
    pub tls_handshakes: TlsHandshakeCounters,
    /// Loads of the configuration after the start.
    pub config_reloads: ReloadMetrics,
    /// Failed `accept` calls, for example when the process has no file descriptor left.
    pub accept_errors: IntCounter,
    /// Audit lines that were dropped because the writer was too slow or standard output is closed.
    pub audit_lines_dropped: IntCounter,
    /// Audit lines about refused requests that were left out because they exceed their rate.
    pub audit_lines_left_out: IntCounter,
    /// Panics caught in exchanges: bugs of the gateway.
    pub panics: IntCounter,
    /// Requests whose head could not be read.
    pub malformed_requests: MalformedRequestCounters,
}

impl Metrics {
    /// Registers every family of the process, with `build_info` and (on Linux) `process_*`.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let registry = Registry::default();
        let r = &registry;
        registration::build_info(r);
        #[cfg(target_os = "linux")]
        registration::process(r);
        Arc::new(Self {
            routes: Mutex::default(),
            unrouted: RouteMetrics::new("", &[]),
            listener_families: ListenerFamilies::register(r),
            upstream_families: UpstreamFamilies::default(),
            key_families: KeyFamilies::register(r),
            acme_families: AcmeFamilies::register(r),
            address_families: AddressFamilies::register(r),
            inbox: OnceLock::new(),
            certificate_expiry: gauges(
                r,
                "tls_certificate_expiry_timestamp_seconds",
                "Unix time at which the served certificate (its file's path, or acme: and its first name) expires.",
                &["certificate"],
            ),
            secret_retired: gauges(
                r,
                "secret_retired",
                "1 for an active secret that the configuration calls retired; others have no series.",
                &["route", "secret"],
            ),
            in_flight_requests: gauge(r, "in_flight_requests", "Requests being served now."),
            connections_resting: gauge(
                r,
                "connections_resting",
                "Idle HTTP/1.1 connections that hold no buffers.",
            ),
            bounds: BoundGauges::register(r),
            body_bytes_in_flight: gauge(
                r,
                "intake_bytes_in_flight",
                "Bytes of heads and bodies held in memory now, over all requests.",
            ),
            replay_keys: gauge(r, "replay_keys", "Keys that the replay store holds now."),
            replay_store: handles::register_replay_store(r),
            replay_store_up: gauge(r, "replay_store_up", "1 while the replay store answers."),
            tls_handshakes: TlsHandshakeCounters::register(r),
            config_reloads: ReloadMetrics::register(r),
            accept_errors: counter(
                r,
                "accept_errors_total",
                "Failed accept calls, such as running out of descriptors.",
            ),
            audit_lines_dropped: counter(
                r,
                "audit_lines_dropped_total",
                "Audit lines dropped because the writer was too slow or standard output is closed.",
            ),
            audit_lines_left_out: counter(
                r,
                "audit_lines_left_out_total",
                "Audit lines about refused requests that were left out because there were too many.",
            ),
            panics: counter(
                r,
                "panics_total",
                "Panics caught while serving a request: bugs of the gateway.",
            ),
            malformed_requests: MalformedRequestCounters::register(r),
            registry,
        })
    }

    /// The handle of one route; the same one as before if the route's secrets have not changed. Series of secrets that
    /// the route no longer has are removed.
    #[must_use]
    pub fn route(&self, name: &str, secrets: &[String]) -> RouteMetrics {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = match routes.get(name) {
            Some(same) if same.has_secrets(secrets) => return same.clone(),
            Some(old) => old.with_secrets(secrets),
            None => RouteMetrics::new(name, secrets),
        };
        routes.insert(name.to_owned(), new.clone());
        new
    }

    /// The handle for requests that belong to no route; their route label is empty.
    #[must_use]
    pub const fn unrouted(&self) -> &RouteMetrics {
        &self.unrouted
    }

    /// Removes the series of routes that are not in `names`. Called after a reload.
    pub fn retain_routes(&self, names: &HashSet<&str>) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|name, _| names.contains(name.as_str()));
    }

    /// The handle of one listener.
    #[must_use]
    pub fn listener(&self, name: &str) -> ListenerMetrics {
        self.listener_families.resolve(name)
    }

    /// Sets the series of all upstream servers, and removes the series of servers that are not among `samples`.
    pub fn upstreams(&self, samples: &[UpstreamSample]) {
        self.upstream_families.show(samples);
    }

    /// Sets the series of the sources of fetched keys.
    pub fn keys(&self, samples: &[KeySample]) {
        self.key_families.show(samples);
    }

    /// Sets the series of the lists of addresses.
    pub fn addresses(&self, samples: &[ListSample]) {
        self.address_families.show(samples);
    }

    /// Sets the series of the certificates that ACME servers issue.
    pub fn acme(&self, samples: &[AcmeSample]) {
        self.acme_families.show(samples, &self.certificate_expiry);
    }

    /// Replaces the expiry times of all certificates in files: name (path) and `notAfter` in Unix seconds.
    pub fn certificates<'a>(&self, expiries: impl IntoIterator<Item = (&'a str, i64)>) {
        self.certificate_expiry.reset();
        for (name, expiry) in expiries {
            self.certificate_expiry.with_label_values(&[name]).set(expiry);
        }
    }

    /// The served certificates: name (path) and `notAfter` in Unix seconds, the one that expires first at the beginning.
    #[must_use]
    pub fn certificate_expiries(&self) -> Vec<(String, i64)> {
        let families = self.certificate_expiry.collect();
        let series = families.iter().flat_map(|family| family.get_metric());
        #[expect(clippy::cast_possible_truncation, reason = "a gauge of whole seconds")]
        let one = |metric: &prometheus::proto::Metric| {
            let name = metric.get_label().first().map(|label| label.value().to_owned());
            (name.unwrap_or_default(), metric.get_gauge().get_value() as i64)
        };
        let mut found: Vec<_> = series.map(one).collect();
        found.sort_by_key(|(_, expires)| *expires);
        found
    }

    /// Replaces the list of retired secrets: route and name.
    pub fn retired<'a>(&self, secrets: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.secret_retired.reset();
        for (route, secret) in secrets {
            self.secret_retired.with_label_values(&[route, secret]).set(1);
        }
    }

    /// What became of the requests since the start, over all routes that still exist.
    #[must_use]
    pub fn totals(&self) -> RequestTotals {
        let mut totals = RequestTotals::default();
        for (verdict, count) in self.all_routes().iter().flat_map(RouteMetrics::requests) {
            totals.requests += count;
            let sum = match verdict {
                Verdict::Forwarded | Verdict::Reported(_) | Verdict::Stored(_) => &mut totals.forwarded,
                Verdict::Acknowledged(_) | Verdict::Authorized | Verdict::Challenge => &mut totals.answered,
                Verdict::Refused(rejection) => match rejection.failure_side() {
                    FailureSide::Sender => &mut totals.refused,
                    FailureSide::Delivery => &mut totals.failed,
                },
            };
            *sum += count;
        }
        totals
    }

    /// The requests without a route, then every route.
    fn all_routes(&self) -> Vec<RouteMetrics> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(&self.unrouted)
            .chain(routes.values())
            .cloned()
            .collect()
    }

    /// The handle of the inbox. Its families are registered by the first call.
    #[must_use]
    pub fn inbox(&self) -> InboxMetrics {
        self.inbox
            .get_or_init(|| InboxMetrics::register(&self.registry))
            .clone()
    }

    /// Writes all series in the text format 0.0.4, piece by piece. It may wait in `sink`, and holds no lock then.
    ///
    /// # Errors
    /// `Break`: `sink` wants no more.
    pub fn write(&self, sink: Sink<'_>) -> ControlFlow<()> {
        let mut out = Exposition::new(sink);
        for collector in self.registry.collectors() {
            let mut families = collector.collect();
            families.retain(|family| !family.get_metric().is_empty());
            // Writing into a string does not fail.
            out.text(&TextEncoder::new().encode_to_string(&families).unwrap_or_default())?;
        }
        self.upstream_families.write(&mut out)?;
        let mut routes = self.all_routes();
        if routes.len() > ROUTES_SHOWN_UNUSED + 1 {
            routes.retain(|route| route.is_used() || !route.is_route());
        }
        route_metrics::write(&mut out, &routes)?;
        out.finish()
    }

    /// All series in the text format 0.0.4.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _ = self.write(&mut |piece| {
            text.push_str(&piece);
            ControlFlow::Continue(())
        });
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    fn filled() -> Arc<Metrics> {
        let metrics = Metrics::new();
        let _ = metrics.route("/webhooks/paddle", &["new".into(), "old".into()]);
        let _ = metrics.listener("0.0.0.0:8443");
        metrics.upstreams(&[UpstreamSample {
            upstream: "http://127.0.0.1:8000".into(),
            counts: Some(crate::telemetry::UpstreamCounts::default()),
            ..UpstreamSample::default()
        }]);
        metrics.certificates([("tls.crt", 1_800_000_000)]);
        metrics.retired([("/webhooks/paddle", "old")]);
        metrics
    }

    /// Name and type of every family, which each has a help text.
    fn families() -> Vec<(String, String)> {
        let text = filled().text();
        let mut lines = text.lines();
        let mut families = Vec::new();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(!help.is_empty(), "{name} has no help");
                let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
                let kind = kind.strip_prefix(name).unwrap().trim();
                families.push((name.to_owned(), kind.to_owned()));
            }
        }
        families
    }

    /// The same rules as `promtool check metrics`.
    #[test]
    fn names_help_and_units_follow_prometheus_conventions() {
        let families = families();
        assert!(families.len() > 25, "only {} families", families.len());
        for (name, kind) in families {
            assert!(name.starts_with("hookgate_") || name.starts_with("process_"), "{name}");
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            for suffix in ["_count", "_sum", "_bucket", "_gauge", "_counter", "_histogram"] {
                assert!(!name.ends_with(suffix), "{name}");
            }
            for unit in ["_ms", "milliseconds", "minutes", "kilobytes", "kib", "percent"] {
                assert!(!name.contains(unit), "{name} is not in a base unit");
            }
            if kind == "histogram" {
                assert!(
                    name.ends_with("_seconds") || name.ends_with("_bytes"),
                    "{name} has no unit"
                );
            }
        }
    }

    /// OpenMetrics removes `_total` from a counter's family name: no other family may have the remaining name.
    #[test]
    fn families_stay_distinct_without_the_total_suffix() {
        let mut names: Vec<_> = families()
            .into_iter()
            .map(|(name, _)| name.trim_end_matches("_total").to_owned())
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    /// A route without requests has series with few routes, and none with many, until its first request.
    #[test]
    fn with_many_routes_only_those_that_were_used_have_series() {
        let metrics = Metrics::new();
        let routes: Vec<_> = (0..ROUTES_SHOWN_UNUSED)
            .map(|number| metrics.route(&format!("/{number}"), &[]))
            .collect();
        assert!(metrics.text().contains(r#"route="/7""#));
        let _ = metrics.route("/one-more", &[]);
        let text = metrics.text();
        assert!(!text.contains(r#"route="/7""#));
        assert!(text.contains(r#"hookgate_requests_total{reason="no_route",route="",verdict="rejected"} 0"#));
        routes[7].record(&super::super::tests::outcome(Verdict::Forwarded));
        let text = metrics.text();
        assert!(text.contains(r#"hookgate_requests_total{reason="none",route="/7",verdict="forwarded"} 1"#));
        assert!(text.contains(r#"hookgate_requests_total{reason="upstream_timeout",route="/7",verdict="failed"} 0"#));
        assert!(!text.contains(r#"route="/8""#));
    }

    /// No piece holds the text of all routes, and nothing more is written for a reader that is gone.
    #[test]
    fn the_text_is_written_in_pieces_until_nobody_reads_it() {
        let metrics = Metrics::new();
        for number in 0..200 {
            let _ = metrics.route(&format!("/{number}"), &[]);
        }
        let mut sizes = Vec::new();
        let _ = metrics.write(&mut |piece| {
            sizes.push(piece.len());
            ControlFlow::Continue(())
        });
        assert!(
            sizes.len() > 10 && sizes.iter().all(|size| *size < 100_000),
            "{sizes:?}"
        );
        assert_eq!(sizes.iter().sum::<usize>(), metrics.text().len());
        let mut pieces = 0;
        let end = metrics.write(&mut |_| {
            pieces += 1;
            ControlFlow::Break(())
        });
        assert!(end.is_break() && pieces == 1);
    }

    #[test]
    fn the_text_has_help_build_info_and_process_metrics() {
        let text = filled().text();
        assert!(text.contains("hookgate_build_info{revision=\""));
        assert!(text.contains(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
        assert!(text.contains("# HELP hookgate_upstream_up "));
        assert!(text.contains("hookgate_tls_certificate_expiry_timestamp_seconds{certificate=\"tls.crt\"} 1800000000"));
        #[cfg(target_os = "linux")]
        assert!(text.contains("process_resident_memory_bytes "));
    }

    #[test]
    fn removed_certificates_and_upstreams_have_no_series() {
        let metrics = filled();
        metrics.certificates([("other.crt", 1)]);
        metrics.upstreams(&[]);
        let text = metrics.text();
        assert!(!text.contains("tls.crt\"") && text.contains("other.crt\""));
        assert!(!text.contains("127.0.0.1:8000"));
    }

    #[test]
    fn label_values_are_escaped() {
        let metrics = Metrics::new();
        let _ = metrics.listener("a\"b\\c\nd");
        assert!(metrics.text().contains(r#"listener="a\"b\\c\nd""#));
    }
}
