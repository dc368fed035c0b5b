//! The outcome of one exchange: the verdict, and what metrics and the audit line say beside it.

use super::{FailureSide, Rejection};
use hyper::StatusCode;
use std::net::IpAddr;
use std::time::Duration;

/// The outcome of one exchange, for metrics and audit line. Exactly one is recorded for every request whose head was
/// parsed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The decision.
    pub verdict: Verdict,
    /// When the head had been read, in Unix milliseconds. Read once per request.
    pub received_unix_ms: u64,
    /// The request id, as the upstream gets it in `X-Request-Id`: 1 to 128 visible ASCII characters.
    pub request_id: RequestId,
    /// The sender's address, as trusted proxies report it.
    pub peer: Option<IpAddr>,
    /// Index of the active secret that matched.
    pub secret: Option<usize>,
    /// Whether the request was accepted without the shared replay store, because that had failed.
    pub without_shared_store: bool,
    /// Seconds between the signature's timestamp and `received_unix`; negative when the timestamp is in the future.
    pub signature_age_seconds: Option<i64>,
    /// Body bytes received.
    pub body_bytes: u64,
    /// Index of the upstream's server that was tried last.
    pub upstream: Option<usize>,
    /// The status that the sender was given; `None` when there was no answer.
    pub status: Option<StatusCode>,
    /// The status of the upstream's answer; `None` without an answer.
    pub upstream_status: Option<StatusCode>,
    /// From the first attempt to connect to the last byte of the upstream's answer.
    pub upstream_duration: Option<Duration>,
    /// Processor time of the steps present, age and verify.
    pub verification_duration: Option<Duration>,
    /// From the end of the head to the end of the answer.
    pub duration: Duration,
}

impl Outcome {
    /// When the head had been read, in whole Unix seconds. Every check of a time uses this.
    #[must_use]
    pub const fn received_unix(&self) -> u64 {
        self.received_unix_ms / 1000
    }

    /// Whether the request was refused before it was verified, so that a stranger may have caused it.
    #[must_use]
    pub fn is_unverified_refusal(&self) -> bool {
        matches!(self.verdict, Verdict::Refused(_)) && self.secret.is_none()
    }
}

/// The decision about one exchange; it gives the `verdict` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is genuine, and the upstream's answer with any status went back to the sender.
    Forwarded,
    /// The request is genuine, on a route that only says so to a proxy. It was answered 200 and not forwarded.
    Authorized,
    /// A challenge of the provider, signed or with the route's own token. The gateway answered it and did not forward
    /// it.
    Challenge,
    /// The request is genuine and was delivered or stored before. It was answered 200 and not forwarded.
    Acknowledged(Repeat),
    /// The request is genuine, and the inbox has it: the sender was answered 2xx, and the application will be asked
    /// later.
    Stored(StoreReason),
    /// In report mode: forwarded and marked. Without report mode it would have been refused for this reason.
    Reported(Rejection),
    /// Refused, or failed, for this reason. The gateway answered.
    Refused(Rejection),
}

/// What a genuine request repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The same signed bytes.
    Request,
    /// The delivery id of another request: a retry by the sender.
    Delivery,
    /// A webhook that the inbox has, or had.
    Stored,
}

/// Why a webhook was stored instead of being answered by the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreReason {
    /// The route stores every webhook before the application is asked.
    Queue,
    /// Not a byte could be sent to the application.
    Unreachable,
    /// The application broke off the exchange, or its answer was not HTTP.
    NoAnswer,
    /// The application had not answered when the sender's deadline came.
    Deadline,
    /// The application answered a status of `store_on`.
    Status,
    /// There is an outage: the application was not asked.
    Outage,
    /// An earlier webhook with the same order key is not settled.
    Order,
    /// An operator has paused the route.
    Paused,
}

impl StoreReason {
    /// Every value.
    pub const ALL: [Self; 8] = [
        Self::Queue,
        Self::Unreachable,
        Self::NoAnswer,
        Self::Deadline,
        Self::Status,
        Self::Outage,
        Self::Order,
        Self::Paused,
    ];

    /// The `reason` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Unreachable => "unreachable",
            Self::NoAnswer => "no_answer",
            Self::Deadline => "deadline",
            Self::Status => "status",
            Self::Outage => "outage",
            Self::Order => "order",
            Self::Paused => "paused",
        }
    }
}

/// The id of one exchange: the sender's `X-Request-Id` if that is short and plain, otherwise a new one.
pub type RequestId = std::sync::Arc<str>;

impl Verdict {
    /// The `verdict` label: `forwarded`, `authorized`, `acknowledged`, `stored`, `challenge`, `reported`, `rejected`
    /// (caused by the sender) or `failed`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Authorized => "authorized",
            Self::Acknowledged(_) => "acknowledged",
            Self::Stored(_) => "stored",
            Self::Challenge => "challenge",
            Self::Reported(_) => "reported",
            Self::Refused(rejection) => match rejection.failure_side() {
                FailureSide::Sender => "rejected",
                FailureSide::Delivery => "failed",
            },
        }
    }

    /// The `reason` label: a [`Rejection::reason`], or `none`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Forwarded | Self::Authorized | Self::Challenge => "none",
            Self::Acknowledged(Repeat::Request) => Rejection::Replayed.reason(),
            Self::Acknowledged(Repeat::Delivery) => Rejection::Duplicate.reason(),
            Self::Acknowledged(Repeat::Stored) => "stored_before",
            Self::Stored(reason) => reason.label(),
            Self::Reported(rejection) | Self::Refused(rejection) => rejection.reason(),
        }
    }
}
