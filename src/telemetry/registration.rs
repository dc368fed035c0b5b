//! Puts metrics into the registry, with the prefix `hookgate_` and a help text. A metric with a malformed name is a bug;
//! every test that makes a `Metrics` finds it, and one test finds a name that is registered twice.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use std::sync::{Arc, Mutex, PoisonError};

/// Every family that the library keeps.
#[derive(Default)]
pub(super) struct Registry(Mutex<Vec<Arc<dyn Collector>>>);

impl Registry {
    /// The families in the order of their registration. Each is collected on its own, so that a scrape never holds the
    /// series of all.
    pub(super) fn collectors(&self) -> Vec<Arc<dyn Collector>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Registers a new collector and returns it.
#[expect(
    clippy::expect_used,
    reason = "names and labels are constants of this crate; every test constructs them all"
)]
pub(super) fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect("a metric's name, labels and buckets are well formed");
    let mut collectors = registry.0.lock().unwrap_or_else(PoisonError::into_inner);
    collectors.push(Arc::new(collector.clone()));
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
