//! The metric families with a `route` label: names, help texts and buckets.

use super::exposition::Family;
use super::histogram::Buckets;

pub(super) const REQUESTS: Family = Family::counter(
    "requests_total",
    "Requests by verdict (forwarded, stored, acknowledged, reported, rejected, failed) and the reason for it.",
);
pub(super) const DURATION: Family = Family::histogram(
    "request_duration_seconds",
    "Time from the end of a request's head to the end of its answer.",
);
pub(super) const VERIFICATION: Family = Family::histogram(
    "verification_duration_seconds",
    "Processor time of checking signature and age, without waiting.",
);
pub(super) const AGE: Family = Family::histogram(
    "signature_age_seconds",
    "Arrival minus the signature's timestamp; negative when the sender's clock is ahead of ours.",
);
pub(super) const SECRETS: Family = Family::counter(
    "secret_matches_total",
    "Genuine requests by the active secret that matched; a retired secret stays at its count.",
);
pub(super) const LAST_VERIFIED: Family = Family::gauge(
    "route_last_verified_timestamp_seconds",
    "When the latest genuine request arrived, in Unix seconds; until the first, when the route was loaded.",
);
pub(super) const EXPECT_EVERY: Family = Family::gauge(
    "route_expect_every_seconds",
    "The longest usual time between two genuine requests (expect_every of the route); 0 expects nothing.",
);
pub(super) const BODY: Family = Family::histogram("body_bytes", "Size of the bodies that were read.");
pub(super) const RESPONSES: Family = Family::counter(
    "upstream_responses_total",
    "Answers of the upstream by class of their status.",
);
pub(super) const UPSTREAM_DURATION: Family = Family::histogram(
    "upstream_duration_seconds",
    "Time from the first attempt to connect to the last byte of the upstream's answer.",
);

/// The numbers of buckets.
pub(super) const EXCHANGE_BOUNDS: usize = 15;
pub(super) const VERIFICATION_BOUNDS: usize = 10;
pub(super) const AGE_BOUNDS: usize = 15;
pub(super) const BODY_BOUNDS: usize = 8;

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
const NANOSECONDS: f64 = 1e9;

/// Nanoseconds. Most providers wait 5 s for the answer (Paddle Classic 10 s), so the buckets are dense below that; 4 and
/// 5 s are bucket edges.
pub(super) const EXCHANGE_BUCKETS: Buckets<EXCHANGE_BOUNDS> = Buckets {
    bounds: [
        MILLISECOND,
        2_500 * MICROSECOND,
        5 * MILLISECOND,
        10 * MILLISECOND,
        25 * MILLISECOND,
        50 * MILLISECOND,
        100 * MILLISECOND,
        250 * MILLISECOND,
        500 * MILLISECOND,
        SECOND,
        2_500 * MILLISECOND,
        4 * SECOND,
        5 * SECOND,
        10 * SECOND,
        30 * SECOND,
    ],
    unit: NANOSECONDS,
};
/// Nanoseconds. An HMAC takes about 1 µs for 1 KiB and about 1 ms for 1 MiB; public-key schemes are between.
pub(super) const VERIFICATION_BUCKETS: Buckets<VERIFICATION_BOUNDS> = Buckets {
    bounds: [
        MICROSECOND,
        2_500,
        5 * MICROSECOND,
        10 * MICROSECOND,
        25 * MICROSECOND,
        100 * MICROSECOND,
        250 * MICROSECOND,
        MILLISECOND,
        5 * MILLISECOND,
        25 * MILLISECOND,
    ],
    unit: NANOSECONDS,
};
/// Whole seconds. The tolerance is 5 s both ways by default, and 300 s for most other providers.
pub(super) const AGE_BUCKETS: Buckets<AGE_BOUNDS> = Buckets {
    bounds: [-300, -60, -6, -5, -2, -1, 0, 1, 2, 3, 4, 5, 10, 60, 300],
    unit: 1.0,
};
/// From 256 B to 8 MiB.
pub(super) const BODY_BUCKETS: Buckets<BODY_BOUNDS> = Buckets {
    bounds: [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 8_388_608],
    unit: 1.0,
};
