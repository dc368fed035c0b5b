//! How a metric comes into the registry: the prefix, the help text and the promise that none is malformed or there twice.

use crate::replay::{Answer, Operation, StoreMetrics};
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
#[cfg(target_os = "linux")]
use std::sync::Arc;

/// Puts a new collector into the registry.
#[expect(
    clippy::expect_used,
    reason = "names and labels are constants of this crate; every test constructs them all"
)]
pub(super) fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect("a metric's name, labels and buckets are well formed");
    registry
        .register(Box::new(collector.clone()))
        .expect("a metric is registered once");
    collector
}

/// A counter family; `name` without the prefix.
pub(super) fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(
        registry,
        IntCounterVec::new(Opts::new(format!("hookgate_{name}"), help), labels),
    )
}

/// One histogram; `name` without the prefix.
pub(super) fn histogram(r: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let opts = HistogramOpts::new(format!("hookgate_{name}"), help).buckets(buckets.to_vec());
    register(r, Histogram::with_opts(opts))
}

/// A histogram family; `name` without the prefix.
pub(super) fn histograms(r: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let opts = HistogramOpts::new(format!("hookgate_{name}"), help).buckets(buckets.to_vec());
    register(r, HistogramVec::new(opts, labels))
}

/// One counter; `name` without the prefix.
pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(format!("hookgate_{name}"), help))
}

/// One gauge; `name` without the prefix.
pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(format!("hookgate_{name}"), help))
}

/// A gauge family; `name` without the prefix.
pub(super) fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(
        registry,
        IntGaugeVec::new(Opts::new(format!("hookgate_{name}"), help), labels),
    )
}

/// The family of a shared replay store, every series there from the start.
pub(super) fn replay_store(r: &Registry) -> StoreMetrics {
    let operations = counters(
        r,
        "replay_store_operations_total",
        "Calls to a shared replay store, by operation (claim, commit, release) and how they went.",
        &["operation", "result"],
    );
    let child =
        |operation: Operation, answer: Answer| operations.with_label_values(&[operation.label(), answer.label()]);
    StoreMetrics {
        operations: Operation::ALL.map(|operation| Answer::ALL.map(|answer| child(operation, answer))),
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
            &[
                0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
            ],
        ),
        evicts: gauge(
            r,
            "replay_store_evicts",
            "1 while the replay store's server drops keys when its memory is full: what it drops can be replayed.",
        ),
    }
}

/// A constant 1 whose labels say what is running. `HOOKGATE_REVISION` is set by the release build.
pub(super) fn build_info(registry: &Registry) {
    let family = gauges(
        registry,
        "build_info",
        "What is running; always 1.",
        &["version", "revision"],
    );
    let revision = option_env!("HOOKGATE_REVISION").unwrap_or("unknown");
    family.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
}

/// The `process_*` family: processor time, memory, descriptors, threads, start time.
#[cfg(target_os = "linux")]
pub(super) fn process(registry: &Registry) {
    let collector = prometheus::process_collector::ProcessCollector::for_self();
    register(registry, Ok(ProcessCollector(Arc::new(collector))));
}

/// The crate's collector is not `Clone`, which [`register`] asks for.
#[cfg(target_os = "linux")]
#[derive(Clone)]
struct ProcessCollector(Arc<prometheus::process_collector::ProcessCollector>);

#[cfg(target_os = "linux")]
impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.0.collect()
    }
}
