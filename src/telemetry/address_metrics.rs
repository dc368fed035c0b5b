//! The metrics of lists of addresses that providers publish. They are sampled before each scrape.

use super::registration::{Registry, counters, gauges};
use crate::remote::addresses::ListSample;
use prometheus::{IntCounterVec, IntGaugeVec};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The families with a `list` label.
pub(super) struct AddressFamilies {
    fetches: IntCounterVec,
    fetched: IntGaugeVec,
    networks: IntGaugeVec,
    /// What has been counted of each list.
    shown: Mutex<BTreeMap<&'static str, [u64; 2]>>,
}

const RESULTS: [&str; 2] = ["ok", "failed"];

impl AddressFamilies {
    pub(super) fn register(r: &Registry) -> Self {
        Self {
            fetches: counters(
                r,
                "address_list_fetches_total",
                "Fetches of the lists of addresses that providers publish, by result.",
                &["list", "result"],
            ),
            fetched: gauges(
                r,
                "address_list_fetched_timestamp_seconds",
                "Unix time at which the list of addresses in use was fetched; 0 for the one that is part of hookgate.",
                &["list"],
            ),
            networks: gauges(
                r,
                "address_list_networks",
                "Networks of the list of addresses that are allowed now.",
                &["list"],
            ),
            shown: Mutex::default(),
        }
    }

    /// Sets the series of these lists and removes those of all others.
    pub(super) fn show(&self, samples: &[ListSample]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        for sample in samples {
            let list = sample.list;
            let before = shown.get(list).copied().unwrap_or_default();
            for ((result, count), before) in RESULTS.iter().zip(sample.fetches).zip(before) {
                self.fetches
                    .with_label_values(&[list, result])
                    .inc_by(count.saturating_sub(before));
            }
            let labels = &[list];
            self.fetched
                .with_label_values(labels)
                .set(sample.fetched_unix.cast_signed());
            let networks = i64::try_from(sample.networks).unwrap_or(i64::MAX);
            self.networks.with_label_values(labels).set(networks);
            now.insert(list, sample.fetches);
        }
        for list in shown.keys().filter(|list| !now.contains_key(*list)) {
            let _ = self.fetched.remove_label_values(&[list]);
            let _ = self.networks.remove_label_values(&[list]);
            for result in RESULTS {
                let _ = self.fetches.remove_label_values(&[list, result]);
            }
        }
        *shown = now;
    }
}
