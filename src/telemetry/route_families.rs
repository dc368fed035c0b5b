//! The metric families with a `route` label: names, help texts and buckets.

use super::registration::{counters, histograms};
use prometheus::{HistogramVec, IntCounterVec, Registry};

/// The families with a `route` label.
#[derive(Clone)]
pub(super) struct RouteFamilies {
    pub(super) requests: IntCounterVec,
    pub(super) duration: HistogramVec,
    pub(super) verification: HistogramVec,
    pub(super) age: HistogramVec,
    pub(super) secrets: IntCounterVec,
    pub(super) body: HistogramVec,
    pub(super) responses: IntCounterVec,
    pub(super) upstream_duration: HistogramVec,
}

impl RouteFamilies {
    pub(super) fn register(r: &Registry) -> Self {
        Self {
            requests: counters(
                r,
                "requests_total",
                "Requests by verdict (forwarded, stored, acknowledged, reported, rejected, failed) and the reason for it.",
                &["route", "verdict", "reason"],
            ),
            duration: histograms(
                r,
                "request_duration_seconds",
                "Time from the end of a request's head to the end of its answer.",
                &["route", "verdict"],
                &EXCHANGE_SECONDS,
            ),
            verification: histograms(
                r,
                "verification_duration_seconds",
                "Processor time of checking signature and age, without waiting.",
                &["route"],
                &VERIFICATION_SECONDS,
            ),
            age: histograms(
                r,
                "signature_age_seconds",
                "Arrival minus the signature's timestamp; negative when the sender's clock is ahead of ours.",
                &["route"],
                &AGE_SECONDS,
            ),
            secrets: counters(
                r,
                "secret_matches_total",
                "Genuine requests by the active secret that matched; a retired secret stays at its count.",
                &["route", "secret"],
            ),
            body: histograms(
                r,
                "body_bytes",
                "Size of the bodies that were read.",
                &["route"],
                &BODY_BYTES,
            ),
            responses: counters(
                r,
                "upstream_responses_total",
                "Answers of the upstream by class of their status.",
                &["route", "code_class"],
            ),
            upstream_duration: histograms(
                r,
                "upstream_duration_seconds",
                "Time from the first attempt to connect to the last byte of the upstream's answer.",
                &["route"],
                &EXCHANGE_SECONDS,
            ),
        }
    }
}

/// Seconds. Most providers wait 5 s for the answer (Paddle Classic 10 s), so the buckets are dense below that; 4 and 5
/// are bucket edges.
const EXCHANGE_SECONDS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 4.0, 5.0, 10.0, 30.0,
];
/// Seconds. An HMAC takes about 1 µs for 1 KiB and about 1 ms for 1 MiB; public-key schemes are between.
const VERIFICATION_SECONDS: [f64; 10] = [
    0.000_001,
    0.000_002_5,
    0.000_005,
    0.000_01,
    0.000_025,
    0.000_1,
    0.000_25,
    0.001,
    0.005,
    0.025,
];
/// Whole seconds. The tolerance is 5 s both ways by default, and 300 s for most other providers.
const AGE_SECONDS: [f64; 15] = [
    -300.0, -60.0, -6.0, -5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 60.0, 300.0,
];
/// From 256 B to 8 MiB.
const BODY_BYTES: [f64; 8] = [
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    8_388_608.0,
];
