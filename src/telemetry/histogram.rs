//! A histogram of whole numbers: recording a value is two additions, without a lock.

use super::exposition::{Exposition, Family, Labels};
use std::array::from_fn;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The upper bounds of the buckets, inclusive, sorted; and what one unit of the metric is in these numbers.
#[derive(Debug)]
pub(super) struct Buckets<const BOUNDS: usize> {
    pub(super) bounds: [i64; BOUNDS],
    /// 10^9 for a metric in seconds whose values are nanoseconds.
    pub(super) unit: f64,
}

/// A histogram with `BOUNDS` buckets and one for greater values.
#[derive(Debug)]
pub(super) struct Histogram<const BOUNDS: usize> {
    counts: [AtomicU64; BOUNDS],
    /// Values above the last bound.
    greater: AtomicU64,
    sum: AtomicI64,
}

impl<const BOUNDS: usize> Default for Histogram<BOUNDS> {
    fn default() -> Self {
        Self {
            counts: from_fn(|_| AtomicU64::new(0)),
            greater: AtomicU64::new(0),
            sum: AtomicI64::new(0),
        }
    }
}

impl<const BOUNDS: usize> Histogram<BOUNDS> {
    /// Records `value`. The sum wraps around; it takes 292 years of waiting to reach that.
    pub(super) fn observe(&self, value: i64, buckets: &Buckets<BOUNDS>) {
        let index = buckets.bounds.iter().position(|bound| value <= *bound);
        let count = index.and_then(|index| self.counts.get(index)).unwrap_or(&self.greater);
        count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Whether no value was recorded.
    pub(super) fn is_empty(&self) -> bool {
        let counts = self.counts.iter().chain([&self.greater]);
        counts.into_iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }

    /// Writes the series with these labels.
    pub(super) fn write(
        &self,
        out: &mut Exposition<'_>,
        family: Family,
        labels: Labels<'_>,
        buckets: &Buckets<BOUNDS>,
    ) -> ControlFlow<()> {
        let mut total = 0;
        for (bound, count) in buckets.bounds.iter().zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            let bound = in_units(*bound, buckets.unit).to_string();
            write_bucket(out, family, labels, &bound, total)?;
        }
        total += self.greater.load(Ordering::Relaxed);
        write_bucket(out, family, labels, "+Inf", total)?;
        let sum = in_units(self.sum.load(Ordering::Relaxed), buckets.unit);
        out.series(family, "_sum", labels, sum)?;
        out.series(family, "_count", labels, total)
    }
}

fn write_bucket(
    out: &mut Exposition<'_>,
    family: Family,
    labels: Labels<'_>,
    bound: &str,
    total: u64,
) -> ControlFlow<()> {
    let labels = [labels, &[("le", bound)]].concat();
    out.series(family, "_bucket", &labels, total)
}

#[expect(clippy::cast_precision_loss, reason = "a metric needs no more than 53 bits")]
fn in_units(value: i64, unit: f64) -> f64 {
    value as f64 / unit
}
