//! Puts metrics into the registry, with the prefix `hookgate_` and a help text. A metric with a malformed name or a
//! name that is registered twice is a bug; every test that makes a `Metrics` finds it.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
#[cfg(target_os = "linux")]
use std::sync::Arc;

/// Registers a new collector and returns it.
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

/// A gauge that is always 1, with version and revision as labels. The release build sets `HOOKGATE_REVISION`.
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

/// The `process_*` families: processor time, memory, descriptors, threads, start time.
#[cfg(target_os = "linux")]
pub(super) fn process(registry: &Registry) {
    let collector = prometheus::process_collector::ProcessCollector::for_self();
    register(registry, Ok(ProcessCollector(Arc::new(collector))));
}

/// Makes the library's collector `Clone`, which [`register`] requires.
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
