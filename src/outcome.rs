//! How an exchange ended: the closed set of refusals and failures, with the status, the reason and the title of each.
//!
//! It exists so that a new way to fail does not compile until it has a status, a metric label and a sentence for the
//! person who reads the provider's delivery log. Statuses follow the table in `docs/security.md`; never 410 and never
//! 3xx, because senders take the first as "disable this endpoint" and the second as a failure without a retry.

use hyper::StatusCode;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Why a request was not forwarded, or why its forwarding failed. `Copy` and free of sender-chosen bytes, so it can be
/// logged, counted and returned without a thought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The head breaks HTTP in a way that another server might read differently (smuggling, aliasing, bad authority).
    BadRequest,
    /// A header that the gateway protects is nominated, aliased or duplicated.
    HeaderConflict,
    /// `Expect` asks for something other than `100-continue`.
    ExpectationFailed,
    /// A transfer coding other than `chunked`.
    TransferCoding,
    /// No route has this host and path.
    NoRoute,
    /// The route does not take this method.
    MethodNotAllowed,
    /// The peer's address is not on the route's allow list.
    PeerNotAllowed,
    /// Declared or received body over the route's limit.
    BodyTooLarge,
    /// A header that the scheme needs is absent.
    SignatureMissing,
    /// The signature header is there and cannot be what the provider sends.
    SignatureMalformed,
    /// Signed longer ago than the tolerance.
    TimestampStale,
    /// Signed further in the future than the tolerance.
    TimestampFuture,
    /// The body did not arrive within its deadline or above its minimum rate.
    BodyTimeout,
    /// The body ended early, or its framing broke.
    BodyIncomplete,
    /// A bound of the whole process is reached (bytes in flight, upstream connections); the sender should come back.
    Overloaded,
    /// No active secret explains any of the signatures.
    SignatureMismatch,
    /// This very request was delivered before.
    Replayed,
    /// Another request brought a delivery of this id before (`[route.dedupe]`).
    Duplicate,
    /// The route deduplicates by delivery id, this request has none, and `on_missing_id` refuses it.
    DeliveryIdMissing,
    /// This very request, or another of the same delivery id, is being delivered at this moment.
    InFlight,
    /// The replay store is at its bound and none of its keys has expired.
    ReplayStoreFull,
    /// The replay store does not answer.
    ReplayStoreDown,
    /// No connection to the upstream.
    UpstreamUnreachable,
    /// The upstream closed the connection before it had answered.
    UpstreamReset,
    /// The upstream's answer is not HTTP that can be passed on.
    UpstreamInvalid,
    /// The upstream did not answer within the timeout.
    UpstreamTimeout,
    /// The upstream is gone and so, in a moment, is the gateway: a pod ends, its application first.
    Draining,
    /// A bug of ours: a panic in this exchange's task.
    Internal,
}

/// Whose fault it was; decides the `verdict` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request was refused: it is not, or not provably, a genuine webhook.
    Sender,
    /// The request was genuine, or may have been, and could not be delivered; the sender should retry.
    Delivery,
}

impl Rejection {
    /// Every value, in the order of the request's way; metrics and documentation are generated from it.
    pub const ALL: [Self; 28] = [
        Self::BadRequest,
        Self::HeaderConflict,
        Self::ExpectationFailed,
        Self::TransferCoding,
        Self::NoRoute,
        Self::MethodNotAllowed,
        Self::PeerNotAllowed,
        Self::BodyTooLarge,
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::TimestampStale,
        Self::TimestampFuture,
        Self::BodyTimeout,
        Self::BodyIncomplete,
        Self::Overloaded,
        Self::SignatureMismatch,
        Self::Replayed,
        Self::Duplicate,
        Self::DeliveryIdMissing,
        Self::InFlight,
        Self::ReplayStoreFull,
        Self::ReplayStoreDown,
        Self::UpstreamUnreachable,
        Self::UpstreamReset,
        Self::UpstreamInvalid,
        Self::UpstreamTimeout,
        Self::Draining,
        Self::Internal,
    ];

    /// The answer's status. Signature refusals may be overridden per route by `reject_status`.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::HeaderConflict | Self::BodyIncomplete | Self::DeliveryIdMissing => {
                StatusCode::BAD_REQUEST
            }
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PeerNotAllowed => StatusCode::FORBIDDEN,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SignatureMissing
            | Self::SignatureMalformed
            | Self::TimestampStale
            | Self::TimestampFuture
            | Self::SignatureMismatch => StatusCode::UNAUTHORIZED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Replayed | Self::Duplicate | Self::InFlight => StatusCode::CONFLICT,
            Self::Overloaded | Self::ReplayStoreFull | Self::ReplayStoreDown | Self::Draining => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UpstreamUnreachable | Self::UpstreamReset | Self::UpstreamInvalid => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `reason` label of the metrics, the audit line and the problem document: snake case, never renamed.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::HeaderConflict => "header_conflict",
            Self::ExpectationFailed => "expectation_failed",
            Self::TransferCoding => "transfer_coding",
            Self::NoRoute => "no_route",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PeerNotAllowed => "peer_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::TimestampStale => "timestamp_stale",
            Self::TimestampFuture => "timestamp_future",
            Self::BodyTimeout => "body_timeout",
            Self::BodyIncomplete => "body_incomplete",
            Self::Overloaded => "overloaded",
            Self::SignatureMismatch => "signature_mismatch",
            Self::Replayed => "replayed",
            Self::Duplicate => "duplicate",
            Self::DeliveryIdMissing => "delivery_id_missing",
            Self::InFlight => "in_flight",
            Self::ReplayStoreFull => "replay_store_full",
            Self::ReplayStoreDown => "replay_store_down",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamInvalid => "upstream_invalid",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }

    /// One sentence for the person who reads the provider's delivery log.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not valid HTTP for a webhook",
            Self::HeaderConflict => "A protected header is duplicated, aliased or named by Connection",
            Self::ExpectationFailed => "Only Expect: 100-continue is understood",
            Self::TransferCoding => "Only the chunked transfer coding is understood",
            Self::NoRoute => "No webhook route has this host and path",
            Self::MethodNotAllowed => "The route does not take this method",
            Self::PeerNotAllowed => "The source address is not on the route's allow list",
            Self::BodyTooLarge => "The body is larger than the route allows",
            Self::SignatureMissing => "The signature header is missing",
            Self::SignatureMalformed => "The signature header is malformed",
            Self::TimestampStale => "The signature is older than the tolerance",
            Self::TimestampFuture => "The signature's timestamp lies in the future",
            Self::BodyTimeout => "The body did not arrive in time",
            Self::BodyIncomplete => "The body ended before its announced length",
            Self::Overloaded => "The gateway is at a limit, retry shortly",
            Self::SignatureMismatch => "The signature does not match the body under any active secret",
            Self::Replayed => "This request was delivered before",
            Self::Duplicate => "A request with this delivery id was delivered before",
            Self::DeliveryIdMissing => "The request has no delivery id",
            Self::InFlight => "This request is being delivered at this moment",
            Self::ReplayStoreFull => "The replay store is full, retry shortly",
            Self::ReplayStoreDown => "The replay store does not answer, retry shortly",
            Self::UpstreamUnreachable => "The application cannot be reached",
            Self::UpstreamReset => "The application closed the connection before it answered",
            Self::UpstreamInvalid => "The application's answer is not valid HTTP",
            Self::UpstreamTimeout => "The application did not answer in time",
            Self::Draining => "The application and the gateway in front of it are being stopped, retry shortly",
            Self::Internal => "The gateway failed on this request",
        }
    }

    /// Whether the connection ends with the answer: where the head could be read in two ways, so can what follows it
    /// (RFC 9112, 6.3 and 11.2).
    #[must_use]
    pub const fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::BadRequest | Self::HeaderConflict | Self::ExpectationFailed | Self::TransferCoding
        )
    }

    /// Whether a route's `reject_status` and `refusal_detail` apply: the refusals that speak about the signature.
    #[must_use]
    pub const fn is_about_signature(self) -> bool {
        matches!(self.status(), StatusCode::UNAUTHORIZED)
    }

    /// Seconds for `Retry-After`, on the refusals where coming back helps.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::Overloaded | Self::InFlight | Self::ReplayStoreDown => Some(1),
            // For `Draining`: a successor's start.
            Self::ReplayStoreFull | Self::Draining => Some(5),
            Self::BadRequest
            | Self::HeaderConflict
            | Self::ExpectationFailed
            | Self::TransferCoding
            | Self::NoRoute
            | Self::MethodNotAllowed
            | Self::PeerNotAllowed
            | Self::BodyTooLarge
            | Self::SignatureMissing
            | Self::SignatureMalformed
            | Self::TimestampStale
            | Self::TimestampFuture
            | Self::BodyTimeout
            | Self::BodyIncomplete
            | Self::SignatureMismatch
            | Self::Replayed
            | Self::Duplicate
            | Self::DeliveryIdMissing
            | Self::UpstreamUnreachable
            | Self::UpstreamReset
            | Self::UpstreamInvalid
            | Self::UpstreamTimeout
            | Self::Internal => None,
        }
    }

    /// Whose fault it was.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self {
            Self::Overloaded
            | Self::ReplayStoreFull
            | Self::ReplayStoreDown
            | Self::UpstreamUnreachable
            | Self::UpstreamReset
            | Self::UpstreamInvalid
            | Self::UpstreamTimeout
            | Self::Draining
            | Self::Internal => Fault::Delivery,
            Self::BadRequest
            | Self::HeaderConflict
            | Self::ExpectationFailed
            | Self::TransferCoding
            | Self::NoRoute
            | Self::MethodNotAllowed
            | Self::PeerNotAllowed
            | Self::BodyTooLarge
            | Self::SignatureMissing
            | Self::SignatureMalformed
            | Self::TimestampStale
            | Self::TimestampFuture
            | Self::BodyTimeout
            | Self::BodyIncomplete
            | Self::SignatureMismatch
            | Self::Replayed
            | Self::Duplicate
            | Self::DeliveryIdMissing
            | Self::InFlight => Fault::Sender,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// So that it can end a relayed body: hyper then breaks the connection off instead of ending it cleanly.
impl std::error::Error for Rejection {}

/// What became of one exchange, for the metrics and the audit line. Exactly one is recorded for every request that a
/// connection parsed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was decided.
    pub verdict: Verdict,
    /// Unix seconds, read once at the head.
    pub received_unix: u64,
    /// The request's id as the upstream saw it (`X-Request-Id`): 1 to 128 visible ASCII characters.
    pub request_id: RequestId,
    /// Who sent it, after trusted proxies.
    pub peer: Option<IpAddr>,
    /// Index of the active secret that matched.
    pub secret: Option<usize>,
    /// Whether it was let in without asking the shared replay store, which had failed.
    pub without_shared_store: bool,
    /// Seconds between the signature's timestamp and `received`; negative when the timestamp lies in the future.
    pub signature_age_seconds: Option<i64>,
    /// Body bytes received.
    pub body_bytes: u64,
    /// Index of the upstream's server that the request went to, or was tried to be sent to last.
    pub upstream: Option<usize>,
    /// The upstream's status, where it answered.
    pub upstream_status: Option<StatusCode>,
    /// From the first attempt to connect to the last byte of the upstream's answer.
    pub upstream_duration: Option<Duration>,
    /// CPU work of present, age and verify.
    pub verification_duration: Option<Duration>,
    /// From the end of the head to the end of the answer.
    pub duration: Duration,
}

/// What was decided about one exchange; the `verdict` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Genuine, and the upstream's answer (whatever its status) went back to the sender.
    Forwarded,
    /// Answered here and not forwarded: a provider's handshake, signed or with the route's own token.
    Challenge,
    /// Genuine, delivered before, and answered 200 without forwarding.
    Acknowledged(Repeat),
    /// Report mode: forwarded and marked although it would have been refused for this reason.
    Reported(Rejection),
    /// Answered by the gateway itself.
    Refused(Rejection),
}

/// What a genuine request repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The very same signed bytes.
    Request,
    /// Another request's delivery id: the sender's own retry.
    Delivery,
}

/// An id for one exchange: taken from the sender's `X-Request-Id` when that is short and plain, made otherwise.
pub type RequestId = std::sync::Arc<str>;

impl Verdict {
    /// The `verdict` label: `forwarded`, `acknowledged`, `handshake`, `reported`, `rejected` (the sender's fault) or `failed`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Acknowledged(_) => "acknowledged",
            Self::Challenge => "handshake",
            Self::Reported(_) => "reported",
            Self::Refused(rejection) => match rejection.fault() {
                Fault::Sender => "rejected",
                Fault::Delivery => "failed",
            },
        }
    }

    /// The `reason` label: a [`Rejection::reason`], `handshake`, or `none`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Forwarded | Self::Challenge => "none",
            Self::Acknowledged(Repeat::Request) => Rejection::Replayed.reason(),
            Self::Acknowledged(Repeat::Delivery) => Rejection::Duplicate.reason(),
            Self::Reported(rejection) | Self::Refused(rejection) => rejection.reason(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn all_lists_every_variant_once_with_distinct_reasons() {
        let reasons: HashSet<_> = Rejection::ALL.iter().map(|r| r.reason()).collect();
        assert_eq!(reasons.len(), Rejection::ALL.len());
        assert_eq!(Rejection::ALL.last(), Some(&Rejection::Internal));
        assert_eq!(Rejection::Internal as usize + 1, Rejection::ALL.len());
    }

    #[test]
    fn never_gone_never_a_redirect_never_a_success() {
        for rejection in Rejection::ALL {
            let status = rejection.status();
            assert!(status.is_client_error() || status.is_server_error(), "{rejection:?}");
            assert_ne!(status, StatusCode::GONE, "{rejection:?}");
        }
    }
}
