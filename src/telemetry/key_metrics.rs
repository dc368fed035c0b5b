//! The metrics of fetched keys. They are sampled before each scrape, as those of upstreams.
//!
//! The `source` label is the configured host, or the pattern of hosts; never an address that a request named.

use super::registration::{Registry, counters, gauges};
use crate::remote::keyring::KeySample;
use prometheus::{IntCounterVec, IntGaugeVec};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The families with a `source` label.
pub(super) struct KeyFamilies {
    fetches: IntCounterVec,
    age: IntGaugeVec,
    keys: IntGaugeVec,
    /// What has been counted of each source.
    shown: Mutex<BTreeMap<String, [u64; 2]>>,
}

const RESULTS: [&str; 2] = ["ok", "failed"];

impl KeyFamilies {
    pub(super) fn register(r: &Registry) -> Self {
        let source = &["source"];
        Self {
            fetches: counters(
                r,
                "key_fetches_total",
                "Fetches of the keys that a provider publishes, by result.",
                &["source", "result"],
            ),
            age: gauges(
                r,
                "key_age_seconds",
                "Seconds since the oldest keys in use were fetched.",
                source,
            ),
            keys: gauges(r, "keys_usable", "Fetched keys that may be used now.", source),
            shown: Mutex::default(),
        }
    }

    /// Sets the series of these sources and removes those of all others.
    pub(super) fn show(&self, samples: &[KeySample]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        for sample in samples {
            let source = sample.source.as_str();
            let before = shown.get(source).copied().unwrap_or_default();
            for ((result, count), before) in RESULTS.iter().zip(sample.fetches).zip(before) {
                self.fetches
                    .with_label_values(&[source, result])
                    .inc_by(count.saturating_sub(before));
            }
            let age = sample.age_seconds.unwrap_or_default();
            self.age.with_label_values(&[source]).set(age.cast_signed());
            let keys = i64::try_from(sample.keys).unwrap_or(i64::MAX);
            self.keys.with_label_values(&[source]).set(keys);
            now.insert(source.to_owned(), sample.fetches);
        }
        for source in shown.keys().filter(|source| !now.contains_key(*source)) {
            let _ = self.age.remove_label_values(&[source]);
            let _ = self.keys.remove_label_values(&[source]);
            for result in RESULTS {
                let _ = self.fetches.remove_label_values(&[source, result]);
            }
        }
        *shown = now;
    }
}
