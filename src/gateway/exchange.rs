//! One exchange, a request and its answer: opened when the head has been read, concluded and recorded exactly once.
//!
//! The exchange is owned by what finishes last: the refusal, or the answer's body while it is relayed. If it is dropped
//! without a conclusion (a panic, or a connection that is closed to make room for another one), it is recorded as
//! `internal` or `overloaded`, so that the numbers of requests and outcomes are equal.

use crate::gateway::Downstream;
use crate::gateway::captures::Capturing;
use crate::gateway::connection_state::ConnectionState;
use crate::gateway::held::{HeldKey, HeldWebhook};
use crate::gateway::rate::WaitSeconds;
use crate::gateway::snapshot::CompiledRoute;
use crate::http::message::{Headers, Request, Role};
use crate::http::rules::Origin;
use crate::http::unread_head::UnreadHead;
use crate::outcome::{Outcome, Rejection, RequestId, Verdict};
use crate::replay::Claim;
use crate::scheme::{ChosenTenant, Verified};
use crate::telemetry::audit::{Action, Asked, AuditLog, AuditNames, UnreadRequest};
use crate::telemetry::metrics::Metrics;
use crate::time::clock;
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{StatusCode, Version};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Longest `X-Request-Id` of a trusted proxy that is kept, in bytes.
const REQUEST_ID_BYTES: usize = 128;

/// Where exchanges are recorded.
#[derive(Debug)]
pub struct Recorder {
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// Audit logs, each with what it records: that of standard output, and that of the latest lines in memory.
    audit: Vec<(AuditLog, AuditScope)>,
    /// The next request id: the upper 32 bits are set at the start, the lower 32 bits count.
    ids: AtomicU64,
    /// Whether the grace period of the drain has ended: exchanges that end now were aborted.
    is_ending: AtomicBool,
}

/// Which exchanges get an audit line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditScope {
    /// Every exchange.
    All,
    /// Exchanges that were neither forwarded nor authorized.
    Refused,
    /// No exchange, only what operators do.
    Actions,
}

impl AuditScope {
    fn records(self, verdict: Verdict) -> bool {
        match self {
            Self::All => true,
            Self::Refused => !matches!(verdict, Verdict::Forwarded | Verdict::Authorized),
            Self::Actions => false,
        }
    }
}

impl Recorder {
    /// Makes a recorder. `seed` makes its request ids distinct from those of other processes.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, audit: Vec<(AuditLog, AuditScope)>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            audit,
            ids: AtomicU64::new(seed << 32),
            is_ending: AtomicBool::new(false),
        })
    }

    /// Notes that the workers end now: an exchange without a conclusion has not failed but was aborted.
    pub fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// Records a request whose head could not be read and that is answered with the status of `failure`, in the metrics
    /// and in the audit log.
    pub fn unread(&self, downstream: &Downstream, failure: UnreadHead) {
        self.record_unread(downstream, failure, None, Some(failure.status()));
    }

    /// Records what an HTTP/2 connection sends that cannot be read as requests: it is ended with a GOAWAY, or the HTTP/2
    /// library answers for a stream itself.
    pub fn unread_http2(&self, downstream: &Downstream, failure: UnreadHead) {
        self.record_unread(downstream, failure, Some("HTTP/2"), None);
    }

    fn record_unread(
        &self,
        downstream: &Downstream,
        failure: UnreadHead,
        protocol: Option<&'static str>,
        status: Option<StatusCode>,
    ) {
        let counters = &self.metrics.malformed_requests;
        match failure {
            UnreadHead::Syntax => counters.syntax.inc(),
            UnreadHead::TooLarge => counters.head_too_large.inc(),
            UnreadHead::Timeout => counters.head_timeout.inc(),
            UnreadHead::Stream => counters.stream_refused.inc(),
        }
        for (log, _) in self.exchange_logs() {
            let unread = UnreadRequest {
                refused_unix_ms: clock::unix_now_ms(),
                peer: downstream.origin.peer,
                listener: &downstream.listener,
                protocol,
                status,
                failure,
            };
            log.record_unread(downstream.worker, &unread);
        }
    }

    /// Records what an operator did.
    pub fn action(&self, action: &Action<'_>) {
        self.audit.iter().for_each(|(log, _)| log.record_action(action));
    }

    /// Waits until the audit lines are written, at most for `limit`; false if that was not enough. It blocks the thread.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        self.audit.iter().all(|(log, _)| log.flush(limit))
    }

    /// The logs that have lines about exchanges.
    fn exchange_logs(&self) -> impl Iterator<Item = &(AuditLog, AuditScope)> {
        self.audit.iter().filter(|(_, scope)| *scope != AuditScope::Actions)
    }

    /// The id that a trusted proxy sent, if it is short and has only letters, digits, `-`, `_`, `.` and `:`; a new id
    /// otherwise. A stranger could choose the id of another request.
    fn request_id(&self, headers: &Headers, origin: &Origin) -> RequestId {
        let plain = |id: &&str| {
            !id.is_empty()
                && id.len() <= REQUEST_ID_BYTES
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        };
        match headers
            .first(Role::RequestId)
            .filter(|_| origin.trusted)
            .and_then(|id| str::from_utf8(id).ok())
            .filter(plain)
        {
            Some(id) => id.into(),
            None => {
                let mut digits = [0; 16];
                let number = self.ids.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                // Eight bytes give sixteen ASCII digits, so neither step can fail.
                let id = hex::encode_to_slice(number, &mut digits).ok();
                id.and_then(|()| str::from_utf8(&digits).ok())
                    .unwrap_or_default()
                    .into()
            }
        }
    }
}

/// One exchange, until it is recorded.
#[derive(Debug)]
pub struct Exchange {
    recorder: Arc<Recorder>,
    /// The route; `None` until the request is matched.
    pub route: Option<Arc<CompiledRoute>>,
    /// What is known so far. Recorded at the end.
    pub outcome: Outcome,
    /// The tenant with whose keys the request is verified, on a route with tenants.
    pub tenant: Option<ChosenTenant>,
    /// The claim on this webhook. It is released when the exchange ends without committing it.
    pub claim: Option<Claim>,
    /// What is stored if the application's answer breaks off after its beginning has been sent on.
    pub held: Option<Box<HeldWebhook>>,
    /// The order key that this webhook keeps busy until its outcome is known.
    pub order: Option<HeldKey>,
    /// The request, if it is captured.
    capture: Option<Box<Capturing>>,
    /// When the head had been read.
    pub started: Instant,
    /// After how many seconds a sender above a rate may retry.
    pub wait: Option<WaitSeconds>,
    /// The state of its connection, which shows that this exchange is in progress.
    connection: Arc<ConnectionState>,
    /// Whether it is to be finished in any case, so that its connection is not closed to make room for another one.
    is_protected: bool,
    /// When the request went to the upstream.
    upstream_started: Option<Instant>,
    /// What the audit line says beside the outcome; `None` without an audit log.
    arrival: Option<Arrival>,
    /// Whether the outcome has been recorded.
    concluded: bool,
}

/// Where a request arrived, and what it asked for.
#[derive(Debug)]
struct Arrival {
    worker: usize,
    listener: Arc<str>,
    protocol: &'static str,
    asked: Asked,
}

impl Exchange {
    /// Opens an exchange and reads the wall clock, once per request. Boxed, because the value is moved several times.
    #[must_use]
    pub fn open(recorder: &Arc<Recorder>, downstream: &Downstream, request: &Request) -> Box<Self> {
        recorder.metrics.in_flight_requests.inc();
        let started = Instant::now();
        downstream.connection.exchange_started(started);
        Box::new(Self {
            recorder: recorder.clone(),
            route: None,
            tenant: None,
            outcome: Outcome {
                verdict: Verdict::Refused(Rejection::Internal),
                received_unix_ms: clock::unix_now_ms(),
                request_id: recorder.request_id(&request.headers, &downstream.origin),
                peer: downstream.origin.peer,
                secret: None,
                without_shared_store: false,
                signature_age_seconds: None,
                body_bytes: 0,
                upstream: None,
                status: None,
                upstream_status: None,
                upstream_duration: None,
                verification_duration: None,
                duration: Duration::ZERO,
            },
            claim: None,
            held: None,
            capture: None,
            order: None,
            started,
            wait: None,
            connection: downstream.connection.clone(),
            is_protected: false,
            upstream_started: None,
            arrival: recorder.exchange_logs().next().is_some().then(|| Arrival {
                worker: downstream.worker,
                listener: downstream.listener.clone(),
                protocol: protocol(request.version),
                asked: Asked::new(request),
            }),
            concluded: false,
        })
    }

    /// Begins to capture the request if its route says so. Returns whether its body is to be read in any case.
    pub fn begin_capture(&mut self, request: &Request) -> bool {
        let state = self.route.as_ref().and_then(|route| route.capture.get());
        self.capture = state.and_then(|state| state.begin(request, self.outcome.received_unix()));
        self.capture.as_ref().is_some_and(|capture| capture.is_whole())
    }

    /// Captures the body, in pieces, if the request is captured.
    pub fn capture_body(&mut self, pieces: &[Bytes]) {
        if let Some(capture) = &mut self.capture {
            capture.body(pieces);
        }
    }

    /// Notes what verification found. `worked` is its CPU time.
    pub fn verified(&mut self, worked: Duration, verified: &Result<Verified, Rejection>) {
        let outcome = &mut self.outcome;
        outcome.verification_duration = Some(worked);
        if verified.is_ok() && !std::mem::replace(&mut self.is_protected, true) {
            self.connection.exchange_protected();
        }
        if let Ok(Verified { secret, timestamp, .. }) = verified {
            outcome.secret = Some(*secret);
            outcome.signature_age_seconds =
                timestamp.map(|signed| outcome.received_unix().cast_signed() - signed.cast_signed());
        }
    }

    /// The tenant whose secret verified the request.
    #[must_use]
    pub fn tenant(&self) -> Option<&HeaderValue> {
        let tenant = self.tenant.as_ref()?.tenant.as_ref()?;
        self.outcome.secret.map(|_| &tenant.name)
    }

    /// When the head had been read.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Notes that the request goes to the upstream at `now`.
    pub fn begin_forwarding(&mut self, now: Instant) {
        self.upstream_started = Some(now);
        // In report mode the request was not verified, and is finished as well.
        if !std::mem::replace(&mut self.is_protected, true) {
            self.connection.exchange_protected();
        }
    }

    /// Records nothing: the request is only looked at, by tools.
    pub(super) fn forget(mut self: Box<Self>) {
        self.concluded = true;
    }

    /// Records the exchange with this verdict; `status` is what the sender was given.
    pub fn conclude(mut self: Box<Self>, verdict: Verdict, status: StatusCode) {
        self.outcome.verdict = verdict;
        self.outcome.status = Some(status);
        self.record();
    }

    fn record(&mut self) {
        self.concluded = true;
        let now = Instant::now();
        self.outcome.duration = now - self.started;
        self.outcome.upstream_duration = self.upstream_started.map(|started| now - started);
        let Recorder { metrics, audit, .. } = &*self.recorder;
        metrics.in_flight_requests.dec();
        self.connection.exchange_ended(self.is_protected, now);
        let route = self.route.as_deref();
        route
            .map_or(metrics.unrouted(), |route| &route.metrics)
            .record(&self.outcome);
        // Before the audit line: who reads the line finds the capture.
        if let Some((capture, route)) = self.capture.take().zip(route) {
            capture.end(&self.outcome, &route.settings);
        }
        let Some(arrival) = &self.arrival else { return };
        for (log, _) in audit.iter().filter(|(_, scope)| scope.records(self.outcome.verdict)) {
            let secret = route.zip(self.outcome.secret);
            let secret = secret.and_then(|(route, index)| route.settings.verifier.key_names().get(index));
            let names = AuditNames {
                route: route.map_or("", |route| &route.settings.name),
                listener: &arrival.listener,
                protocol: arrival.protocol,
                asked: &arrival.asked,
                secret: secret.map(String::as_str),
                tenant: self.tenant().and_then(|tenant| tenant.to_str().ok()),
                upstream: route
                    .zip(self.outcome.upstream)
                    .and_then(|(route, server)| route.upstream.name(server)),
            };
            log.record(arrival.worker, names, &self.outcome);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.concluded {
            if self.recorder.is_ending.load(Ordering::Relaxed) && !std::thread::panicking() {
                self.outcome.verdict = Verdict::Refused(Rejection::DrainTimeout);
            } else if self.connection.is_closing() {
                self.outcome.verdict = Verdict::Refused(Rejection::Overloaded);
            }
            self.record();
        }
    }
}

/// What is done when the upstream's answer has ended: the claim is settled and the outcome recorded.
#[derive(Debug)]
pub struct Settlement {
    exchange: Box<Exchange>,
    verdict: Verdict,
    status: StatusCode,
    /// Whether the head of the answer has gone to the sender, or goes now.
    is_answered: bool,
}

impl Settlement {
    /// For an answer with `status`. `verdict` is recorded if the answer ends cleanly.
    #[must_use]
    pub fn new(mut exchange: Box<Exchange>, verdict: Verdict, status: StatusCode) -> Self {
        exchange.outcome.upstream_status = Some(status);
        Self {
            exchange,
            verdict,
            status,
            is_answered: false,
        }
    }

    /// Whether the claim on this webhook ends by itself, so that the exchange must end before it.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.exchange.claim.as_ref().is_some_and(Claim::has_lease)
    }

    /// Notes that the sender gets the upstream's status, whatever becomes of the body.
    pub fn answer(&mut self) {
        self.is_answered = true;
        self.exchange.outcome.status = Some(self.status);
    }

    /// Commits the claim if a 2xx answer has arrived completely, and releases it otherwise: after an incomplete answer
    /// the sender will retry.
    pub fn settle(mut self, end: Result<(), Rejection>) {
        if let Some(held) = self.exchange.held.take() {
            held.end(end, self.status);
        }
        match (end, self.exchange.claim.take()) {
            (Ok(()), Some(claim)) if self.status.is_success() => claim.commit(),
            (Ok(()) | Err(_), claim) => drop(claim),
        }
        let (verdict, status) = match end {
            Ok(()) => (self.verdict, self.status),
            Err(rejection) if self.is_answered => (Verdict::Refused(rejection), self.status),
            Err(rejection) => {
                let route = self.exchange.route.as_deref();
                let status = route.map_or(rejection.status(), |route| route.refusal_status(rejection));
                (Verdict::Refused(rejection), status)
            }
        };
        self.exchange.conclude(verdict, status);
    }
}

/// The version of HTTP as audit lines show it.
const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
