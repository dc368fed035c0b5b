//! One request and its answer as the gateway accounts for it: opened at the head, concluded exactly once, recorded.
//!
//! The account travels with whatever finishes last: the refusal, or the body that is being relayed. If it is dropped
//! without a conclusion (a panic on the way), it concludes itself as `internal`, so that received requests and recorded
//! outcomes always add up.

use crate::gateway::snapshot::Route;
use crate::http::message::{Headers, Role};
use crate::outcome::{Outcome, Rejection, RequestId, Verdict};
use crate::replay::Claim;
use crate::telemetry::audit::{AuditLog, Names};
use crate::telemetry::metrics::Metrics;
use crate::time::clock;
use hyper::StatusCode;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

/// Longest id that is taken over from a sender.
const REQUEST_ID_BYTES: usize = 128;

/// Where exchanges are recorded.
#[derive(Debug)]
pub struct Recorder {
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// Audit lines, and whether forwarded exchanges get one.
    pub audit: Option<(AuditLog, AuditScope)>,
    /// Makes ids: the upper half is drawn at start, the lower half counts.
    ids: AtomicU64,
}

/// Which exchanges get an audit line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditScope {
    /// Every one.
    All,
    /// Those that were not forwarded.
    Refused,
}

impl Recorder {
    /// A recorder; `seed` makes its request ids distinct from those of other processes.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, audit: Option<(AuditLog, AuditScope)>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            audit,
            ids: AtomicU64::new(seed << 32),
        })
    }

    /// The sender's id when it is short and plain, a new one otherwise.
    fn request_id(&self, headers: &Headers) -> RequestId {
        let plain = |id: &&str| {
            !id.is_empty()
                && id.len() <= REQUEST_ID_BYTES
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        };
        match headers
            .first(Role::RequestId)
            .and_then(|id| str::from_utf8(id).ok())
            .filter(plain)
        {
            Some(id) => id.into(),
            None => {
                let mut digits = [0; 16];
                let number = self.ids.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                // Eight bytes are sixteen ASCII digits: neither step can fail.
                let id = hex::encode_to_slice(number, &mut digits).ok();
                id.and_then(|()| str::from_utf8(&digits).ok())
                    .unwrap_or_default()
                    .into()
            }
        }
    }
}

/// The account of one exchange.
#[derive(Debug)]
pub struct Exchange {
    recorder: Arc<Recorder>,
    /// Set once the request is matched.
    pub route: Option<Arc<Route>>,
    /// What is known so far.
    pub outcome: Outcome,
    /// The right to deliver; released when the account ends without having committed it.
    pub claim: Option<Claim>,
    started: Instant,
    upstream_started: Option<Instant>,
    concluded: bool,
}

impl Exchange {
    /// Opens the account and reads the clock: the only time for this exchange. In a box, since it goes through many hands.
    #[must_use]
    pub fn open(recorder: &Arc<Recorder>, headers: &Headers, peer: Option<IpAddr>) -> Box<Self> {
        recorder.metrics.in_flight_requests.inc();
        Box::new(Self {
            recorder: recorder.clone(),
            route: None,
            outcome: Outcome {
                verdict: Verdict::Refused(Rejection::Internal),
                received: clock::unix_now(),
                request_id: recorder.request_id(headers),
                peer,
                secret: None,
                unshared: false,
                signature_age: None,
                body_bytes: 0,
                upstream: None,
                upstream_status: None,
                upstream_duration: None,
                verification: None,
                duration: std::time::Duration::ZERO,
            },
            claim: None,
            started: Instant::now(),
            upstream_started: None,
            concluded: false,
        })
    }

    /// The upstream's share began at `now`.
    pub fn forwarding(&mut self, now: Instant) {
        self.upstream_started = Some(now);
    }

    /// Ends the account.
    pub fn conclude(mut self: Box<Self>, verdict: Verdict) {
        self.outcome.verdict = verdict;
        self.record();
    }

    fn record(&mut self) {
        self.concluded = true;
        let now = Instant::now();
        self.outcome.duration = now - self.started;
        self.outcome.upstream_duration = self.upstream_started.map(|started| now - started);
        let Recorder { metrics, audit, .. } = &*self.recorder;
        metrics.in_flight_requests.dec();
        let route = self.route.as_deref();
        route
            .map_or(metrics.unrouted(), |route| &route.metrics)
            .record(&self.outcome);
        if let Some((log, scope)) = audit
            && (*scope == AuditScope::All || self.outcome.verdict != Verdict::Forwarded)
        {
            let secret = route.zip(self.outcome.secret);
            let secret = secret.and_then(|(route, index)| route.settings.verifier.key_names().get(index));
            let names = Names {
                route: route.map_or("", |route| &route.settings.name),
                secret: secret.map(String::as_str),
                upstream: route
                    .zip(self.outcome.upstream)
                    .and_then(|(route, server)| route.upstream.name(server)),
            };
            log.record(names, &self.outcome);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.concluded {
            self.record();
        }
    }
}

/// What is left to do once the upstream's answer has ended: settle the claim, record the outcome.
#[derive(Debug)]
pub struct Settlement {
    exchange: Box<Exchange>,
    verdict: Verdict,
    status: StatusCode,
}

impl Settlement {
    /// The upstream answered with `status`; `verdict` is what the exchange becomes when the answer ends cleanly.
    #[must_use]
    pub fn new(mut exchange: Box<Exchange>, verdict: Verdict, status: StatusCode) -> Self {
        exchange.outcome.upstream_status = Some(status);
        Self {
            exchange,
            verdict,
            status,
        }
    }

    /// Commits the claim if the whole of a 2xx answer has arrived and releases it otherwise: an answer that broke off
    /// is a failure to the sender, who will retry.
    pub fn settle(mut self, end: Result<(), Rejection>) {
        match (end, self.exchange.claim.take()) {
            (Ok(()), Some(claim)) if self.status.is_success() => claim.commit(),
            (Ok(()) | Err(_), claim) => drop(claim),
        }
        self.exchange.conclude(match end {
            Ok(()) => self.verdict,
            Err(rejection) => Verdict::Refused(rejection),
        });
    }
}
