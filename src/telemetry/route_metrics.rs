//! The metrics of one route: plain counters, so that recording an exchange is a few additions without a lock, and a route
//! takes a few KiB of memory. Labels are written only when the metrics are read.
//!
//! The usual combinations of verdict and reason have a series with the value 0 from the start, which an alert on
//! `increase` needs. The rare ones (report mode, acknowledged replays) have a series from their first use on. Every
//! outcome is counted.

use super::exposition::Exposition;
use super::histogram::Histogram;
use super::route_families::{
    AGE, AGE_BOUNDS, AGE_BUCKETS, BODY, BODY_BOUNDS, BODY_BUCKETS, DURATION, EXCHANGE_BOUNDS, EXCHANGE_BUCKETS,
    EXPECT_EVERY, LAST_VERIFIED, REQUESTS, RESPONSES, SECRETS, UPSTREAM_DURATION, VERIFICATION, VERIFICATION_BOUNDS,
    VERIFICATION_BUCKETS,
};
use crate::outcome::{FailureSide, Outcome, Rejection, Repeat, StoreReason, Verdict};
use hyper::StatusCode;
use std::array::from_fn;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The metrics of one route. Cheap to clone, and clones count together. The compiled route owns one.
#[derive(Clone)]
pub struct RouteMetrics {
    counters: Arc<Counters>,
    /// Name of each secret, and what it verified.
    secrets: Arc<[(String, Arc<Matches>)]>,
}

/// What one secret verified.
#[derive(Default)]
struct Matches {
    /// Requests.
    count: AtomicU64,
    /// When the latest of them arrived, in Unix seconds; 0 before the first.
    last_unix: AtomicU64,
}

struct Counters {
    /// The `route` label; empty for requests without a route.
    name: String,
    requests: [AtomicU64; VERDICTS],
    duration: [Histogram<EXCHANGE_BOUNDS>; VERDICT_LABELS.len()],
    verification: Histogram<VERIFICATION_BOUNDS>,
    age: Histogram<AGE_BOUNDS>,
    /// When the latest request was verified, or else the route was loaded, in Unix seconds.
    last_verified: AtomicU64,
    /// Whether a request was verified.
    has_verified: AtomicBool,
    /// The longest usual time between two verified requests, in seconds; 0 expects nothing.
    expect_every: AtomicU64,
    body: Histogram<BODY_BOUNDS>,
    responses: [AtomicU64; CODE_CLASSES.len()],
    upstream_duration: Histogram<EXCHANGE_BOUNDS>,
}

impl RouteMetrics {
    /// The metrics of a route that has counted nothing. With an empty `name` those of requests without a route.
    pub(super) fn new(name: &str, secrets: &[String]) -> Self {
        let counters = Counters {
            name: name.to_owned(),
            requests: from_fn(|_| AtomicU64::new(0)),
            duration: from_fn(|_| Histogram::default()),
            verification: Histogram::default(),
            age: Histogram::default(),
            last_verified: AtomicU64::new(0),
            has_verified: AtomicBool::new(false),
            expect_every: AtomicU64::new(0),
            body: Histogram::default(),
            responses: from_fn(|_| AtomicU64::new(0)),
            upstream_duration: Histogram::default(),
        };
        let empty = Self {
            counters: Arc::new(counters),
            secrets: Arc::default(),
        };
        empty.with_secrets(secrets)
    }

    /// The same route with these secrets. It goes on with its counts; those of secrets that it no longer has end.
    pub(super) fn with_secrets(&self, secrets: &[String]) -> Self {
        let counter = |secret: &String| {
            let known = self.secrets.iter().find(|(name, _)| name == secret);
            (
                secret.clone(),
                known.map(|(_, counter)| counter.clone()).unwrap_or_default(),
            )
        };
        Self {
            counters: self.counters.clone(),
            secrets: secrets.iter().map(counter).collect(),
        }
    }

    /// Whether the route has exactly these secrets, in this order.
    pub(super) fn has_secrets(&self, names: &[String]) -> bool {
        self.secrets.iter().map(|(name, _)| name).eq(names)
    }

    /// Counts one exchange. It takes no lock.
    pub fn record(&self, outcome: &Outcome) {
        let counters = &*self.counters;
        count(&counters.requests, verdict_index(outcome.verdict));
        if let Some(histogram) = counters.duration.get(label_index(outcome.verdict)) {
            histogram.observe(nanoseconds(outcome.duration), &EXCHANGE_BUCKETS);
        }
        if let Some(duration) = outcome.verification_duration {
            let duration = nanoseconds(duration);
            counters.verification.observe(duration, &VERIFICATION_BUCKETS);
        }
        if let Some(age) = outcome.signature_age_seconds {
            counters.age.observe(age, &AGE_BUCKETS);
        }
        if let Some((_, matches)) = outcome.secret.and_then(|index| self.secrets.get(index)) {
            matches.count.fetch_add(1, Ordering::Relaxed);
            matches.last_unix.store(outcome.received_unix(), Ordering::Relaxed);
            counters.last_verified.store(outcome.received_unix(), Ordering::Relaxed);
            counters.has_verified.store(true, Ordering::Relaxed);
        }
        if body_was_read(outcome) {
            let bytes = i64::try_from(outcome.body_bytes).unwrap_or(i64::MAX);
            counters.body.observe(bytes, &BODY_BUCKETS);
        }
        if let Some(status) = outcome.upstream_status {
            count(&counters.responses, class_index(status));
        }
        if let Some(duration) = outcome.upstream_duration {
            let duration = nanoseconds(duration);
            counters.upstream_duration.observe(duration, &EXCHANGE_BUCKETS);
        }
    }

    /// Notes how often a request should be verified, counted from `now_unix` if none was before. 0 expects nothing.
    pub fn expect(&self, seconds: u64, now_unix: u64) {
        let counters = &*self.counters;
        counters.expect_every.store(seconds, Ordering::Relaxed);
        // Fails if the route was loaded before; its time stays.
        let _ = counters
            .last_verified
            .compare_exchange(0, now_unix, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// When the latest request was verified, in Unix seconds; `None` if none was.
    #[must_use]
    pub fn last_verified_unix(&self) -> Option<u64> {
        let counters = &*self.counters;
        let has_verified = counters.has_verified.load(Ordering::Relaxed);
        has_verified.then(|| counters.last_verified.load(Ordering::Relaxed))
    }

    /// Requests so far: accepted, refused because of the sender, failed.
    #[must_use]
    pub fn totals(&self) -> [u64; 3] {
        self.requests()
            .fold([0; 3], |[accepted, refused, failed], (verdict, count)| {
                match verdict.label() {
                    "rejected" | "reported" => [accepted, refused + count, failed],
                    "failed" => [accepted, refused, failed + count],
                    _ => [accepted + count, refused, failed],
                }
            })
    }

    /// How often each secret has matched.
    pub fn secret_matches(&self) -> impl Iterator<Item = (&str, u64)> {
        let secrets = self.secrets.iter();
        secrets.map(|(name, matches)| (name.as_str(), matches.count.load(Ordering::Relaxed)))
    }

    /// When each secret matched last, in Unix seconds, in the same order; `None` if it did not.
    pub fn last_matches_unix(&self) -> impl Iterator<Item = Option<u64>> {
        let times = self
            .secrets
            .iter()
            .map(|(_, matches)| matches.last_unix.load(Ordering::Relaxed));
        times.map(|time| (time > 0).then_some(time))
    }

    /// Whether a request of this route was counted.
    pub(super) fn is_used(&self) -> bool {
        let mut requests = self.counters.requests.iter();
        requests.any(|requests| requests.load(Ordering::Relaxed) > 0)
    }

    /// Every verdict with the number of its requests.
    pub(super) fn requests(&self) -> impl Iterator<Item = (Verdict, u64)> {
        let counts = self.counters.requests.iter().map(|count| count.load(Ordering::Relaxed));
        verdicts().zip(counts)
    }

    /// Whether this is a route, and not the requests without one.
    pub(super) fn is_route(&self) -> bool {
        !self.counters.name.is_empty()
    }
}

/// Writes the series of all `routes`.
///
/// # Errors
/// `Break`: nobody reads the text any more.
pub(super) fn write(out: &mut Exposition<'_>, routes: &[RouteMetrics]) -> ControlFlow<()> {
    let each = || {
        routes
            .iter()
            .map(|route| (route, &*route.counters, &*route.counters.name))
    };
    out.family(REQUESTS);
    for (route, _, name) in each() {
        for (verdict, count) in route.requests() {
            if count > 0 || is_usual(verdict, route.is_route()) {
                let labels = [
                    ("reason", verdict.reason()),
                    ("route", name),
                    ("verdict", verdict.label()),
                ];
                out.series(REQUESTS, "", &labels, count)?;
            }
        }
    }
    out.family(DURATION);
    for (route, counters, name) in each() {
        for (label, histogram) in VERDICT_LABELS.iter().zip(&counters.duration) {
            let is_usual = route.is_route() && ["forwarded", "rejected", "failed"].contains(label);
            if is_usual || !histogram.is_empty() {
                let labels = [("route", name), ("verdict", label)];
                histogram.write(out, DURATION, &labels, &EXCHANGE_BUCKETS)?;
            }
        }
    }
    let with_route = || each().filter(|(route, ..)| route.is_route());
    out.family(VERIFICATION);
    for (_, counters, name) in with_route() {
        let labels = [("route", name)];
        counters
            .verification
            .write(out, VERIFICATION, &labels, &VERIFICATION_BUCKETS)?;
    }
    out.family(AGE);
    for (_, counters, name) in with_route() {
        counters.age.write(out, AGE, &[("route", name)], &AGE_BUCKETS)?;
    }
    out.family(SECRETS);
    for (route, _, name) in with_route() {
        for (secret, matches) in &*route.secrets {
            let labels = [("route", name), ("secret", secret)];
            out.series(SECRETS, "", &labels, matches.count.load(Ordering::Relaxed))?;
        }
    }
    for (family, value) in [
        (
            LAST_VERIFIED,
            (|counters| &counters.last_verified) as fn(&Counters) -> &AtomicU64,
        ),
        (EXPECT_EVERY, |counters| &counters.expect_every),
    ] {
        out.family(family);
        for (_, counters, name) in with_route() {
            out.series(family, "", &[("route", name)], value(counters).load(Ordering::Relaxed))?;
        }
    }
    out.family(BODY);
    for (_, counters, name) in with_route() {
        counters.body.write(out, BODY, &[("route", name)], &BODY_BUCKETS)?;
    }
    out.family(RESPONSES);
    for (_, counters, name) in with_route() {
        for (class, responses) in CODE_CLASSES.iter().zip(&counters.responses) {
            let count = responses.load(Ordering::Relaxed);
            if count > 0 || *class != "1xx" {
                let labels = [("code_class", *class), ("route", name)];
                out.series(RESPONSES, "", &labels, count)?;
            }
        }
    }
    out.family(UPSTREAM_DURATION);
    for (_, counters, name) in with_route() {
        let labels = [("route", name)];
        counters
            .upstream_duration
            .write(out, UPSTREAM_DURATION, &labels, &EXCHANGE_BUCKETS)?;
    }
    ControlFlow::Continue(())
}

/// Whether the verdict has a series before it is counted first: what a route with a working upstream and an ordinary
/// sender needs, or the only refusal of requests without a route.
fn is_usual(verdict: Verdict, is_route: bool) -> bool {
    match verdict {
        Verdict::Forwarded => is_route,
        Verdict::Refused(rejection) => is_route != (rejection == Rejection::NoRoute),
        Verdict::Authorized
        | Verdict::Challenge
        | Verdict::Acknowledged(_)
        | Verdict::Stored(_)
        | Verdict::Reported(_) => false,
    }
}

fn count(counters: &[AtomicU64], index: usize) {
    if let Some(counter) = counters.get(index) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteMetrics").field(&self.counters.name).finish()
    }
}

/// Whether the body was read. A request that is refused because of its head has an unread body; a verified request may
/// have an empty one.
const fn body_was_read(outcome: &Outcome) -> bool {
    outcome.body_bytes > 0
        || matches!(
            outcome.verdict,
            Verdict::Forwarded | Verdict::Authorized | Verdict::Acknowledged(_) | Verdict::Stored(_)
        )
}

const fn class_index(status: StatusCode) -> usize {
    match status.as_u16() {
        0..=199 => 0,
        200..=299 => 1,
        300..=399 => 2,
        400..=499 => 3,
        500.. => 4,
    }
}

/// The index of a verdict's label in [`VERDICT_LABELS`].
const fn label_index(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Stored(_) => 0,
        Verdict::Forwarded => 1,
        Verdict::Acknowledged(_) => 2,
        Verdict::Challenge => 3,
        Verdict::Reported(_) => 4,
        Verdict::Refused(rejection) => match rejection.failure_side() {
            FailureSide::Sender => 5,
            FailureSide::Delivery => 6,
        },
        Verdict::Authorized => 7,
    }
}

const fn verdict_index(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Forwarded => 0,
        Verdict::Acknowledged(Repeat::Request) => 1,
        Verdict::Acknowledged(Repeat::Delivery) => 2,
        Verdict::Challenge => 3,
        Verdict::Acknowledged(Repeat::Stored) => 4,
        Verdict::Authorized => 5,
        Verdict::Stored(reason) => FIXED_VERDICTS + reason as usize,
        Verdict::Refused(rejection) => REFUSALS_FROM + rejection as usize,
        Verdict::Reported(rejection) => REFUSALS_FROM + Rejection::ALL.len() + rejection as usize,
    }
}

/// Every possible verdict, in the order of [`verdict_index`].
pub(super) fn verdicts() -> impl Iterator<Item = Verdict> {
    [Verdict::Forwarded]
        .into_iter()
        .chain([Repeat::Request, Repeat::Delivery].map(Verdict::Acknowledged))
        .chain([
            Verdict::Challenge,
            Verdict::Acknowledged(Repeat::Stored),
            Verdict::Authorized,
        ])
        .chain(StoreReason::ALL.map(Verdict::Stored))
        .chain(Rejection::ALL.map(Verdict::Refused))
        .chain(Rejection::ALL.map(Verdict::Reported))
}

/// Verdicts before those with a reason.
const FIXED_VERDICTS: usize = 6;
/// Index of the first refusal.
const REFUSALS_FROM: usize = FIXED_VERDICTS + StoreReason::ALL.len();
pub(super) const VERDICTS: usize = REFUSALS_FROM + 2 * Rejection::ALL.len();
const VERDICT_LABELS: [&str; 8] = [
    "stored",
    "forwarded",
    "acknowledged",
    "challenge",
    "reported",
    "rejected",
    "failed",
    "authorized",
];
const CODE_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_verdict_has_an_index_and_a_label() {
        let all: Vec<_> = verdicts().collect();
        assert_eq!(all.len(), VERDICTS);
        for (index, verdict) in all.iter().enumerate() {
            assert_eq!(verdict_index(*verdict), index);
            assert_eq!(VERDICT_LABELS[label_index(*verdict)], verdict.label(), "{verdict:?}");
        }
        let labels: HashSet<_> = all.iter().map(|v| v.label()).collect();
        assert_eq!(labels, VERDICT_LABELS.into());
    }
}
