//! The handle of one route's metrics: every child that it can need, resolved once, so that recording an exchange is a
//! few atomic operations.
//!
//! The usual combinations of verdict and reason are resolved when the configuration is loaded. This also creates their
//! series with the value 0, which an alert on `increase` needs. The rare ones (report mode, acknowledged replays) are
//! resolved when they are first used. Every outcome is counted.

use super::route_families::RouteFamilies;
use crate::outcome::{Outcome, Rejection, Repeat, StoreReason, Verdict};
use hyper::StatusCode;
use prometheus::{Histogram, IntCounter};
use std::array::from_fn;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The handle of one route. Cheap to clone, and clones count together. The compiled route owns one.
#[derive(Clone)]
pub struct RouteMetrics(Arc<Inner>);

struct Inner {
    name: String,
    families: RouteFamilies,
    requests: [OnceLock<IntCounter>; VERDICTS],
    duration: [OnceLock<Histogram>; VERDICT_LABELS.len()],
    verification: OnceLock<Histogram>,
    age: OnceLock<Histogram>,
    secrets: Vec<(String, IntCounter)>,
    body: OnceLock<Histogram>,
    responses: [OnceLock<IntCounter>; CODE_CLASSES.len()],
    upstream_duration: OnceLock<Histogram>,
}

impl RouteMetrics {
    /// Resolves what a route with a working upstream and an ordinary sender needs.
    pub(super) fn resolve(families: &RouteFamilies, name: &str, secrets: &[String]) -> Self {
        let resolved = Self::empty(families, name, secrets);
        let inner = &resolved.0;
        inner.requests(Verdict::Forwarded);
        for rejection in Rejection::ALL.into_iter().filter(|r| *r != Rejection::NoRoute) {
            inner.requests(Verdict::Refused(rejection));
        }
        for verdict in [
            Verdict::Forwarded,
            Verdict::Refused(Rejection::SignatureMissing),
            Verdict::Refused(Rejection::UpstreamTimeout),
        ] {
            inner.duration(verdict);
        }
        for class in ["2xx", "3xx", "4xx", "5xx"] {
            inner.responses(class);
        }
        inner.verification();
        inner.age();
        inner.body();
        inner.upstream_duration();
        resolved
    }

    /// The handle for requests without a route: its route label is empty, and only `no_route` is resolved.
    pub(super) fn unrouted(families: &RouteFamilies) -> Self {
        let unrouted = Self::empty(families, "", &[]);
        unrouted.0.requests(Verdict::Refused(Rejection::NoRoute));
        unrouted
    }

    /// Counts one exchange. It takes no lock, except at the first use of a rare combination.
    pub fn record(&self, outcome: &Outcome) {
        let inner = &*self.0;
        if let Some(counter) = inner.requests(outcome.verdict) {
            counter.inc();
        }
        if let Some(histogram) = inner.duration(outcome.verdict) {
            histogram.observe(outcome.duration.as_secs_f64());
        }
        if let Some(duration) = outcome.verification_duration {
            inner.verification().observe(duration.as_secs_f64());
        }
        if let Some(age) = outcome.signature_age_seconds {
            #[expect(
                clippy::cast_precision_loss,
                reason = "ages beyond 2^53 s are all in the last bucket"
            )]
            inner.age().observe(age as f64);
        }
        if let Some((_, counter)) = outcome.secret.and_then(|index| inner.secrets.get(index)) {
            counter.inc();
        }
        if body_was_read(outcome) {
            #[expect(clippy::cast_precision_loss, reason = "bodies are far below 2^53 bytes")]
            inner.body().observe(outcome.body_bytes as f64);
        }
        if let Some(status) = outcome.upstream_status
            && let Some(counter) = inner.responses(code_class(status))
        {
            counter.inc();
        }
        if let Some(duration) = outcome.upstream_duration {
            inner.upstream_duration().observe(duration.as_secs_f64());
        }
    }

    /// Whether the route has exactly these secrets, in this order.
    pub(super) fn has_secrets(&self, names: &[String]) -> bool {
        self.0.secrets.iter().map(|(name, _)| name).eq(names)
    }

    /// Removes the series of secrets that are not in `names`.
    pub(super) fn remove_secrets_except(&self, names: &[String]) {
        for (secret, _) in self.0.secrets.iter().filter(|(name, _)| !names.contains(name)) {
            let _ = self
                .0
                .families
                .secrets
                .remove_label_values(&[self.0.name.as_str(), secret]);
        }
    }

    /// Removes every series of this route. The library returns an error for a series that does not exist; it is
    /// ignored.
    pub(super) fn remove(&self) {
        let Inner { name, families, .. } = &*self.0;
        let name = name.as_str();
        for verdict in verdicts() {
            let _ = families
                .requests
                .remove_label_values(&[name, verdict.label(), verdict.reason()]);
        }
        for verdict in VERDICT_LABELS {
            let _ = families.duration.remove_label_values(&[name, verdict]);
        }
        for class in CODE_CLASSES {
            let _ = families.responses.remove_label_values(&[name, class]);
        }
        self.remove_secrets_except(&[]);
        for family in [
            &families.verification,
            &families.age,
            &families.body,
            &families.upstream_duration,
        ] {
            let _ = family.remove_label_values(&[name]);
        }
    }

    fn empty(families: &RouteFamilies, name: &str, secrets: &[String]) -> Self {
        let matches = |secret: &String| (secret.clone(), families.secrets.with_label_values(&[name, secret]));
        Self(Arc::new(Inner {
            name: name.to_owned(),
            families: families.clone(),
            requests: from_fn(|_| OnceLock::new()),
            duration: from_fn(|_| OnceLock::new()),
            verification: OnceLock::new(),
            age: OnceLock::new(),
            secrets: secrets.iter().map(matches).collect(),
            body: OnceLock::new(),
            responses: from_fn(|_| OnceLock::new()),
            upstream_duration: OnceLock::new(),
        }))
    }
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteMetrics").field(&self.0.name).finish()
    }
}

impl Inner {
    fn requests(&self, verdict: Verdict) -> Option<&IntCounter> {
        let resolve = || {
            self.families
                .requests
                .with_label_values(&[&*self.name, verdict.label(), verdict.reason()])
        };
        self.requests
            .get(verdict_index(verdict))
            .map(|slot| slot.get_or_init(resolve))
    }

    fn duration(&self, verdict: Verdict) -> Option<&Histogram> {
        let label = verdict.label();
        let slot = VERDICT_LABELS
            .iter()
            .position(|known| *known == label)
            .and_then(|i| self.duration.get(i));
        slot.map(|slot| slot.get_or_init(|| self.families.duration.with_label_values(&[&*self.name, label])))
    }

    fn responses(&self, class: &'static str) -> Option<&IntCounter> {
        let slot = CODE_CLASSES
            .iter()
            .position(|known| *known == class)
            .and_then(|i| self.responses.get(i));
        slot.map(|slot| slot.get_or_init(|| self.families.responses.with_label_values(&[&*self.name, class])))
    }

    fn verification(&self) -> &Histogram {
        self.verification
            .get_or_init(|| self.families.verification.with_label_values(&[&self.name]))
    }

    fn age(&self) -> &Histogram {
        self.age
            .get_or_init(|| self.families.age.with_label_values(&[&self.name]))
    }

    fn body(&self) -> &Histogram {
        self.body
            .get_or_init(|| self.families.body.with_label_values(&[&self.name]))
    }

    fn upstream_duration(&self) -> &Histogram {
        self.upstream_duration
            .get_or_init(|| self.families.upstream_duration.with_label_values(&[&self.name]))
    }
}

/// Whether the body was read. A request that is refused because of its head has an unread body; a verified request may
/// have an empty one.
const fn body_was_read(outcome: &Outcome) -> bool {
    outcome.body_bytes > 0
        || matches!(
            outcome.verdict,
            Verdict::Forwarded | Verdict::Acknowledged(_) | Verdict::Stored(_)
        )
}

const fn code_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        0..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500.. => "5xx",
    }
}

const fn verdict_index(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Forwarded => 0,
        Verdict::Acknowledged(Repeat::Request) => 1,
        Verdict::Acknowledged(Repeat::Delivery) => 2,
        Verdict::Challenge => 3,
        Verdict::Acknowledged(Repeat::Stored) => 4,
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
        .chain([Verdict::Challenge, Verdict::Acknowledged(Repeat::Stored)])
        .chain(StoreReason::ALL.map(Verdict::Stored))
        .chain(Rejection::ALL.map(Verdict::Refused))
        .chain(Rejection::ALL.map(Verdict::Reported))
}

/// Verdicts before those with a reason.
const FIXED_VERDICTS: usize = 5;
/// Index of the first refusal.
const REFUSALS_FROM: usize = FIXED_VERDICTS + StoreReason::ALL.len();
pub(super) const VERDICTS: usize = REFUSALS_FROM + 2 * Rejection::ALL.len();
const VERDICT_LABELS: [&str; 7] = [
    "stored",
    "forwarded",
    "acknowledged",
    "challenge",
    "reported",
    "rejected",
    "failed",
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
            assert!(VERDICT_LABELS.contains(&verdict.label()), "{verdict:?}");
        }
        let labels: HashSet<_> = all.iter().map(|v| v.label()).collect();
        assert_eq!(labels, VERDICT_LABELS.into());
    }
}
