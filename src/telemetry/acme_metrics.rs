//! The metrics of certificates that ACME servers issue. They are sampled before each scrape.

use super::registration::{Registry, counters, gauges};
use crate::remote::acme::AcmeSample;
use prometheus::{IntCounterVec, IntGaugeVec};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The families with a `certificate` label of `acme:` and a name.
pub(super) struct AcmeFamilies {
    orders: IntCounterVec,
    failures: IntGaugeVec,
    issued: IntGaugeVec,
    /// What has been counted of each certificate.
    shown: Mutex<BTreeMap<String, [u64; 2]>>,
}

const RESULTS: [&str; 2] = ["ok", "failed"];

impl AcmeFamilies {
    pub(super) fn register(r: &Registry) -> Self {
        let certificate = &["certificate"];
        Self {
            orders: counters(
                r,
                "acme_orders_total",
                "Orders of certificates from an ACME server by this process, by result.",
                &["certificate", "result"],
            ),
            failures: gauges(
                r,
                "acme_failures",
                "Failed orders since the last one that succeeded, over all replicas with the same storage.",
                certificate,
            ),
            issued: gauges(
                r,
                "acme_last_success_timestamp_seconds",
                "Unix time at which the certificate in use was issued; no series while there is none.",
                certificate,
            ),
            shown: Mutex::default(),
        }
    }

    /// Sets the series of these certificates and removes those of all others. `expiry` has the ends of all certificates.
    pub(super) fn show(&self, samples: &[AcmeSample], expiry: &IntGaugeVec) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        for sample in samples {
            let certificate = sample.certificate.as_str();
            let before = shown.get(certificate).copied().unwrap_or_default();
            for ((result, count), before) in RESULTS.iter().zip(sample.orders).zip(before) {
                self.orders
                    .with_label_values(&[certificate, result])
                    .inc_by(count.saturating_sub(before));
            }
            self.failures
                .with_label_values(&[certificate])
                .set(i64::from(sample.failures));
            if let Some(expires_unix) = sample.expires_unix {
                expiry.with_label_values(&[certificate]).set(expires_unix);
            }
            if let Some(issued_unix) = sample.issued_unix {
                self.issued
                    .with_label_values(&[certificate])
                    .set(issued_unix.cast_signed());
            }
            now.insert(certificate.to_owned(), sample.orders);
        }
        for certificate in shown.keys().filter(|certificate| !now.contains_key(*certificate)) {
            for family in [&self.failures, &self.issued, expiry] {
                let _ = family.remove_label_values(&[certificate]);
            }
            for result in RESULTS {
                let _ = self.orders.remove_label_values(&[certificate, result]);
            }
        }
        *shown = now;
    }
}
