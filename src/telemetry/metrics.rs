//! The process's metrics: one registry of our own, every family with its help text, label sets closed.
//!
//! Children are resolved when a configuration is loaded, never while a request is served: a label lookup takes a lock
//! and costs twenty times as much as the increment. What a sender chooses is never a label value. Counters of families
//! with a fixed label set are plain named fields, so that a typo in a label does not compile.

use super::limits::Limits;
use super::registration::{self, counter, counters, gauge, gauges};
use super::route_families::Families;
use super::route_metrics::RouteMetrics;
use super::upstream_metrics::{self, UpstreamSample};
use crate::replay::StoreMetrics;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Every metric of the process. Fields are incremented where the thing happens; families per route, listener, upstream
/// and certificate are resolved at load by the methods.
pub struct Metrics {
    registry: Registry,
    families: Families,
    routes: Mutex<HashMap<String, RouteMetrics>>,
    unrouted: RouteMetrics,
    connections: IntCounterVec,
    connections_open: IntGaugeVec,
    upstreams: upstream_metrics::Families,
    certificate_expiry: IntGaugeVec,
    secret_retired: IntGaugeVec,
    /// Exchanges between the end of the head and the end of the answer.
    pub in_flight_requests: IntGauge,
    /// HTTP/1.1 connections that have been idle long enough to give their buffers back.
    pub connections_resting: IntGauge,
    /// Body bytes held in memory over all exchanges.
    pub intake_bytes_in_flight: IntGauge,
    /// Keys that the replay store holds.
    pub replay_keys: IntGauge,
    /// What the gauges of connections, bytes and keys are measured against.
    pub limits: Limits,
    /// What a shared replay store is measured by.
    pub replay_store: StoreMetrics,
    /// 1 while the replay store answers; always, where it is this process.
    pub replay_store_up: IntGauge,
    /// TLS handshakes of senders, by how they ended.
    pub tls_handshakes: Handshakes,
    /// Loads of the configuration after the start, by how they ended.
    pub config_reloads: Reloads,
    /// 1 when the last load of the configuration took effect, 0 when the old one had to stay.
    pub config_last_reload_successful: IntGauge,
    /// Unix seconds at which the configuration in force was loaded.
    pub config_last_reload_success: IntGauge,
    /// Failed `accept` calls (descriptors ran out).
    pub accept_errors: IntCounter,
    /// Audit lines that were dropped because the writer fell behind or standard output is gone.
    pub audit_lines_dropped: IntCounter,
    /// Panics caught in exchanges: bugs of ours.
    pub panics: IntCounter,
    /// Requests that never became an exchange, because their head could not be read.
    pub malformed_requests: Malformed,
}

/// `tls_handshakes_total{result}`.
#[derive(Clone, Debug)]
pub struct Handshakes {
    /// Finished.
    pub ok: IntCounter,
    /// Not finished within the deadline.
    pub timeout: IntCounter,
    /// Refused by either side: version, cipher, certificate, garbage.
    pub failed: IntCounter,
    /// The peer spoke HTTP without TLS.
    pub plaintext: IntCounter,
    /// The peer closed before it had said anything (port scans, load balancers' TCP checks).
    pub closed: IntCounter,
}

/// `config_reloads_total{result}`.
#[derive(Clone, Debug)]
pub struct Reloads {
    /// The new configuration is in force.
    pub ok: IntCounter,
    /// The old one stayed in force.
    pub failed: IntCounter,
}

/// `malformed_requests_total{kind}`: heads that the HTTP layer itself answered.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// Not HTTP (400).
    pub syntax: IntCounter,
    /// Request target too long (414).
    pub uri_too_long: IntCounter,
    /// Head too large or too many fields (431).
    pub head_too_large: IntCounter,
    /// The head did not arrive in time (408).
    pub head_timeout: IntCounter,
}

/// One listener's share of `connections_total` and `connections_open`.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    /// Connections taken in, after their PROXY protocol header where there must be one.
    pub accepted: IntCounter,
    /// Closed at once, because the process holds as many connections as it may.
    pub over_limit: IntCounter,
    /// Closed, because the PROXY protocol header was absent, broken, late, or from a peer that is no trusted proxy.
    pub proxy_header: IntCounter,
    /// Connections open now.
    pub open: IntGauge,
}

impl Metrics {
    /// A registry with every family of the process registered, `build_info` and (on Linux) `process_*` included.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let r = &Registry::new();
        let families = Families::register(r);
        let unrouted = RouteMetrics::unrouted(&families);
        let handshakes = counters(
            r,
            "tls_handshakes_total",
            "TLS handshakes of senders, by how they ended.",
            &["result"],
        );
        let reloads = counters(
            r,
            "config_reloads_total",
            "Loads of the configuration after the start; failed: the old one stayed in force.",
            &["result"],
        );
        let malformed = counters(
            r,
            "malformed_requests_total",
            "Requests that never became an exchange because their head could not be read, by kind.",
            &["kind"],
        );
        registration::build_info(r);
        #[cfg(target_os = "linux")]
        registration::process(r);
        Arc::new(Self {
            registry: r.clone(),
            families,
            routes: Mutex::default(),
            unrouted,
            connections: counters(
                r,
                "connections_total",
                "Connections by listener and what became of them at once: accepted, over_limit, proxy_header.",
                &["listener", "result"],
            ),
            connections_open: gauges(r, "connections_open", "Connections of senders open now.", &["listener"]),
            upstreams: upstream_metrics::Families::register(r),
            certificate_expiry: gauges(
                r,
                "tls_certificate_expiry_timestamp_seconds",
                "Unix time at which the served certificate (its file's path) expires.",
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
            limits: Limits::register(r),
            intake_bytes_in_flight: gauge(
                r,
                "intake_bytes_in_flight",
                "Body bytes held in memory now, over all requests.",
            ),
            replay_keys: gauge(r, "replay_keys", "Keys that the replay store holds now."),
            replay_store: registration::replay_store(r),
            replay_store_up: gauge(r, "replay_store_up", "1 while the replay store answers."),
            tls_handshakes: Handshakes {
                ok: handshakes.with_label_values(&["ok"]),
                timeout: handshakes.with_label_values(&["timeout"]),
                failed: handshakes.with_label_values(&["failed"]),
                plaintext: handshakes.with_label_values(&["plaintext"]),
                closed: handshakes.with_label_values(&["closed"]),
            },
            config_reloads: Reloads {
                ok: reloads.with_label_values(&["ok"]),
                failed: reloads.with_label_values(&["failed"]),
            },
            config_last_reload_successful: gauge(
                r,
                "config_last_reload_successful",
                "1 when the last load of the configuration took effect, 0 when the previous one stayed in force.",
            ),
            config_last_reload_success: gauge(
                r,
                "config_last_reload_success_timestamp_seconds",
                "Unix time at which the configuration in force was loaded.",
            ),
            accept_errors: counter(
                r,
                "accept_errors_total",
                "Failed accept calls, such as running out of descriptors.",
            ),
            audit_lines_dropped: counter(
                r,
                "audit_lines_dropped_total",
                "Audit lines dropped because the writer fell behind or standard output is gone.",
            ),
            panics: counter(
                r,
                "panics_total",
                "Panics caught while serving a request: bugs of the gateway.",
            ),
            malformed_requests: Malformed {
                syntax: malformed.with_label_values(&["syntax"]),
                uri_too_long: malformed.with_label_values(&["uri_too_long"]),
                head_too_large: malformed.with_label_values(&["head_too_large"]),
                head_timeout: malformed.with_label_values(&["head_timeout"]),
            },
        })
    }

    /// The children of one route, resolved; the same ones when nothing changed since the last load. Series of secrets
    /// that the route no longer has are removed.
    #[must_use]
    pub fn route(&self, name: &str, secrets: &[String]) -> RouteMetrics {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let old = routes.get(name);
        if let Some(same) = old.filter(|old| old.has_secrets(secrets)) {
            return same.clone();
        }
        if let Some(old) = old {
            old.remove_secrets_except(secrets);
        }
        let new = RouteMetrics::resolve(&self.families, name, secrets);
        routes.insert(name.to_owned(), new.clone());
        new
    }

    /// Where requests are recorded that belong to no route: the route label is empty.
    #[must_use]
    pub const fn unrouted(&self) -> &RouteMetrics {
        &self.unrouted
    }

    /// Removes the series of routes that are not in `names`; called after a reload.
    pub fn retain_routes(&self, names: &[&str]) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|name, route| {
            let keep = names.contains(&name.as_str());
            if !keep {
                route.remove();
            }
            keep
        });
    }

    /// The children of one listener.
    #[must_use]
    pub fn listener(&self, name: &str) -> ListenerMetrics {
        ListenerMetrics {
            accepted: self.connections.with_label_values(&[name, "accepted"]),
            over_limit: self.connections.with_label_values(&[name, "over_limit"]),
            proxy_header: self.connections.with_label_values(&[name, "proxy_header"]),
            open: self.connections_open.with_label_values(&[name]),
        }
    }

    /// Shows the servers of all routes; those that are not among them are forgotten.
    pub fn upstreams(&self, samples: &[UpstreamSample]) {
        self.upstreams.show(samples);
    }

    /// Replaces the expiry times of all served certificates: name (path) and `notAfter` in Unix seconds.
    pub fn certificates<'a>(&self, expiries: impl IntoIterator<Item = (&'a str, i64)>) {
        self.certificate_expiry.reset();
        for (name, expiry) in expiries {
            self.certificate_expiry.with_label_values(&[name]).set(expiry);
        }
    }

    /// Replaces the list of retired secrets: route and name.
    pub fn retired<'a>(&self, secrets: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.secret_retired.reset();
        for (route, secret) in secrets {
            self.secret_retired.with_label_values(&[route, secret]).set(1);
        }
    }

    /// All series in the text format 0.0.4.
    #[must_use]
    pub fn text(&self) -> String {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(text) => text,
            // Writing into a String does not fail and gathered families are never empty: nothing is left to go wrong.
            Err(error) => format!("# {error}\n"),
        }
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
    use prometheus::proto::MetricType;

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

    /// The rules that `promtool check metrics` applies, so that they fail here first.
    #[test]
    fn names_help_and_units_follow_prometheus_conventions() {
        let families = filled().registry.gather();
        assert!(families.len() > 25, "only {} families", families.len());
        for family in families {
            let name = family.name();
            assert!(!family.help().is_empty(), "{name} has no help");
            assert!(name.starts_with("hookgate_") || name.starts_with("process_"), "{name}");
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            let kind = family.get_field_type();
            assert_eq!(
                kind == MetricType::COUNTER,
                name.ends_with("_total"),
                "{name} is a {kind:?}"
            );
            for suffix in ["_count", "_sum", "_bucket", "_gauge", "_counter", "_histogram"] {
                assert!(!name.ends_with(suffix), "{name}");
            }
            for unit in ["_ms", "milliseconds", "minutes", "kilobytes", "kib", "percent"] {
                assert!(!name.contains(unit), "{name} is not in a base unit");
            }
            if kind == MetricType::HISTOGRAM {
                assert!(
                    name.ends_with("_seconds") || name.ends_with("_bytes"),
                    "{name} has no unit"
                );
            }
        }
    }

    /// OpenMetrics drops `_total` from a counter's family name: no other family may have what is left.
    #[test]
    fn families_stay_distinct_without_the_total_suffix() {
        let families = filled().registry.gather();
        let mut names: Vec<_> = families
            .iter()
            .map(|f| f.name().trim_end_matches("_total").to_owned())
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn text_has_help_build_and_process() {
        let text = filled().text();
        assert!(text.contains("hookgate_build_info{revision=\""));
        assert!(text.contains(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
        assert!(text.contains("# HELP hookgate_upstream_up "));
        assert!(text.contains("hookgate_tls_certificate_expiry_timestamp_seconds{certificate=\"tls.crt\"} 1800000000"));
        #[cfg(target_os = "linux")]
        assert!(text.contains("process_resident_memory_bytes "));
    }

    #[test]
    fn certificates_and_upstreams_that_are_gone_have_no_series() {
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
