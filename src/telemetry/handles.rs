//! The handles of metrics with a fixed label set: plain structs of resolved children. Each is registered by one
//! function of its own, which [`Metrics::new`](super::metrics::Metrics::new) calls once.

use super::registration::{Registry, counter, counters, gauge, gauges, histogram};
use crate::replay::{ReplayStoreMetrics, StoreOperation, StoreResult};
use crate::tls::KeyExchange;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// The bounds that other gauges are measured against, so that an alert can say "80 % full" for every configuration.
#[derive(Clone, Debug)]
pub struct BoundGauges {
    /// `limits.connections`, the bound of the sum of `connections_open` over all listeners.
    pub connections: IntGauge,
    /// `limits.in_flight_bytes`, the bound of `intake_bytes_in_flight`, in bytes.
    pub body_bytes: IntGauge,
    /// The number of keys that the replay store of this process can hold. A shared store has limits of its own.
    pub replay_keys: IntGauge,
}

impl BoundGauges {
    pub(super) fn register(r: &Registry) -> Self {
        Self {
            connections: gauge(
                r,
                "connections_limit",
                "Connections of senders that may be open at the same time.",
            ),
            body_bytes: gauge(
                r,
                "intake_bytes_limit",
                "Bytes of requests, heads and bodies, that may be held in memory at the same time.",
            ),
            replay_keys: gauge(
                r,
                "replay_keys_limit",
                "Keys that the replay store in this process's memory can hold.",
            ),
        }
    }
}

/// `tls_handshakes_total{result,group}`.
#[derive(Clone, Debug)]
pub struct TlsHandshakeCounters {
    /// Completed, by the group of the key exchange.
    ok: [IntCounter; KeyExchange::ALL.len()],
    /// Not completed before the deadline.
    pub timeout: IntCounter,
    /// Refused by either side: version, cipher, certificate, or bytes that are not TLS.
    pub failed: IntCounter,
    /// The listener has no certificate yet.
    pub no_certificate: IntCounter,
    /// An ACME server checked a challenge.
    pub acme: IntCounter,
    /// The peer sent HTTP without TLS.
    pub plaintext: IntCounter,
    /// The peer closed before it had sent anything (port scans, load balancers' TCP checks).
    pub closed: IntCounter,
}

impl TlsHandshakeCounters {
    pub(super) fn register(r: &Registry) -> Self {
        let family = counters(
            r,
            "tls_handshakes_total",
            "TLS handshakes of senders, by how they ended, and the completed ones by the group of their key exchange.",
            &["result", "group"],
        );
        let without_group = |result| family.with_label_values(&[result, "none"]);
        Self {
            ok: KeyExchange::ALL.map(|group| family.with_label_values(&["ok", group.label()])),
            timeout: without_group("timeout"),
            failed: without_group("failed"),
            no_certificate: without_group("no_certificate"),
            acme: without_group("acme"),
            plaintext: without_group("plaintext"),
            closed: without_group("closed"),
        }
    }

    /// Counts a completed handshake.
    pub fn completed(&self, group: KeyExchange) {
        let groups = KeyExchange::ALL.iter().zip(&self.ok);
        for (_, counter) in groups.filter(|(other, _)| **other == group) {
            counter.inc();
        }
    }
}

/// The metrics of configuration reloads.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    /// `config_reloads_total{result="ok"}`: the new configuration is in force.
    pub ok: IntCounter,
    /// `config_reloads_total{result="failed"}`: the old configuration stayed in force.
    pub failed: IntCounter,
    /// 1 when the last load took effect, 0 when the old configuration stayed in force.
    pub last_successful: IntGauge,
    /// Unix seconds at which the configuration in force was loaded.
    pub last_success_unix: IntGauge,
}

impl ReloadMetrics {
    pub(super) fn register(r: &Registry) -> Self {
        let family = counters(
            r,
            "config_reloads_total",
            "Loads of the configuration after the start; failed: the old one stayed in force.",
            &["result"],
        );
        Self {
            ok: family.with_label_values(&["ok"]),
            failed: family.with_label_values(&["failed"]),
            last_successful: gauge(
                r,
                "config_last_reload_successful",
                "1 when the last load of the configuration took effect, 0 when the previous one stayed in force.",
            ),
            last_success_unix: gauge(
                r,
                "config_last_reload_success_timestamp_seconds",
                "Unix time at which the configuration in force was loaded.",
            ),
        }
    }
}

/// `malformed_requests_total{kind}`: requests whose head could not be read. They have no exchange and no outcome.
#[derive(Clone, Debug)]
pub struct MalformedRequestCounters {
    /// Not HTTP (400).
    pub syntax: IntCounter,
    /// Head too large, or too many fields (431).
    pub head_too_large: IntCounter,
    /// The head did not arrive before its deadline (408).
    pub head_timeout: IntCounter,
    /// An HTTP/2 stream that ended before there was a request.
    pub stream_refused: IntCounter,
}

impl MalformedRequestCounters {
    pub(super) fn register(r: &Registry) -> Self {
        let family = counters(
            r,
            "malformed_requests_total",
            "Requests that never became an exchange because their head could not be read, by kind.",
            &["kind"],
        );
        Self {
            syntax: family.with_label_values(&["syntax"]),
            head_too_large: family.with_label_values(&["head_too_large"]),
            head_timeout: family.with_label_values(&["head_timeout"]),
            stream_refused: family.with_label_values(&["stream_refused"]),
        }
    }
}

/// The families that have a `listener` label.
pub(super) struct ListenerFamilies {
    connections: IntCounterVec,
    open: IntGaugeVec,
}

/// The metrics of one listener: its series of `connections_total` and `connections_open`.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    /// Connections accepted, after their PROXY protocol header where one is required.
    pub accepted: IntCounter,
    /// New connections closed because the process already has `limits.connections`, of which none can give way.
    pub over_limit: IntCounter,
    /// Connections closed at that limit to make room for new ones.
    pub gave_way: IntCounter,
    /// Connections closed because the PROXY protocol header was absent, malformed, late, or from an untrusted peer.
    pub proxy_header: IntCounter,
    /// Connections open now.
    pub open: IntGauge,
}

impl ListenerFamilies {
    pub(super) fn register(r: &Registry) -> Self {
        Self {
            connections: counters(
                r,
                "connections_total",
                "Connections by listener and result: accepted, over_limit, gave_way, proxy_header.",
                &["listener", "result"],
            ),
            open: gauges(r, "connections_open", "Connections of senders open now.", &["listener"]),
        }
    }

    pub(super) fn resolve(&self, name: &str) -> ListenerMetrics {
        ListenerMetrics {
            accepted: self.connections.with_label_values(&[name, "accepted"]),
            over_limit: self.connections.with_label_values(&[name, "over_limit"]),
            gave_way: self.connections.with_label_values(&[name, "gave_way"]),
            proxy_header: self.connections.with_label_values(&[name, "proxy_header"]),
            open: self.open.with_label_values(&[name]),
        }
    }
}

/// The handle of a shared replay store. Its type is defined in [`replay`](crate::replay), which does not import
/// telemetry.
pub(super) fn register_replay_store(r: &Registry) -> ReplayStoreMetrics {
    let family = counters(
        r,
        "replay_store_operations_total",
        "Calls to a shared replay store, by operation (claim, commit, release) and result.",
        &["operation", "result"],
    );
    let child =
        |operation: StoreOperation, result: StoreResult| family.with_label_values(&[operation.label(), result.label()]);
    ReplayStoreMetrics {
        operations: StoreOperation::ALL.map(|operation| StoreResult::ALL.map(|result| child(operation, result))),
        errors: counter(r, "replay_store_errors_total", "Failed calls to the replay store."),
        fallbacks: counter(
            r,
            "replay_store_fallbacks_total",
            "Requests that were decided without the shared replay store because it failed.",
        ),
        duration: histogram(
            r,
            "replay_store_duration_seconds",
            "Time of one call to a shared replay store.",
            &STORE_SECONDS,
        ),
        evicts: gauge(
            r,
            "replay_store_evicts",
            "1 while the replay store's server evicts keys when its memory is full: a webhook whose key is evicted can be replayed.",
        ),
    }
}

const STORE_SECONDS: [f64; 11] = [
    0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];
