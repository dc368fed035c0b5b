//! How an exchange ends: the closed set of rejections, with the status, the reason and the title of each.
//!
//! A new kind of failure does not compile until it has a status, a metric label and a sentence for people who read the
//! provider's delivery log. Statuses follow the table in `docs/security.md`. None is 410, which senders take as
//! "disable this endpoint", and none is 3xx, which senders take as a failure without a retry.

mod verdict;

pub use verdict::{Outcome, Repeat, RequestId, StoreReason, Verdict};

use hyper::StatusCode;
use std::fmt;

/// Why a request was not forwarded, or why forwarding failed. It is `Copy` and holds no bytes that a sender chose, so
/// it is safe to log, count and return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The head violates HTTP so that another server could read it differently (smuggling, aliasing, invalid
    /// authority).
    BadRequest,
    /// A protected header is named by `Connection`, aliased or duplicated.
    HeaderConflict,
    /// `Expect` has a value other than `100-continue`.
    ExpectationFailed,
    /// A transfer coding other than `chunked`.
    TransferCoding,
    /// No route has this host and path.
    NoRoute,
    /// The route does not accept this method.
    MethodNotAllowed,
    /// The peer's address is not on the route's allow list.
    PeerNotAllowed,
    /// The source or the route has had more requests than its rate allows.
    RateLimited,
    /// The declared or received body is larger than the route's limit.
    BodyTooLarge,
    /// A header that the scheme needs is absent.
    SignatureMissing,
    /// The signature header is present, but the provider cannot have written it.
    SignatureMalformed,
    /// The signed timestamp is older than the tolerance.
    TimestampStale,
    /// The signed timestamp is further in the future than the tolerance.
    TimestampFuture,
    /// The provider has no key with the id that the request names.
    KeyUnknown,
    /// The key that the request names is not known, and the provider cannot be asked now.
    KeyUnavailable,
    /// The body did not arrive before its deadline.
    BodyTimeout,
    /// The body ended early, or its framing is invalid.
    BodyIncomplete,
    /// A bound of the process is reached (bytes of requests, upstream connections). The sender should retry.
    Overloaded,
    /// None of the signatures matches under any active secret.
    SignatureMismatch,
    /// The same request was delivered before.
    Replayed,
    /// A request with the same delivery id was delivered before (`[route.dedupe]`).
    Duplicate,
    /// The signed single-use token was delivered before, in a request whose unsigned rest was another one.
    TokenReused,
    /// The route deduplicates by delivery id, this request has none, and `on_missing_id` says to refuse it.
    DeliveryIdMissing,
    /// The same request, or one with the same delivery id, is being delivered at this moment.
    InFlight,
    /// The replay store is full, and none of its keys has expired.
    ReplayStoreFull,
    /// The replay store does not answer.
    ReplayStoreDown,
    /// The webhook had to be stored, and a bound of the inbox is reached.
    InboxFull,
    /// The webhook had to be stored, and the store of the inbox does not work.
    InboxDown,
    /// No connection to the upstream could be opened.
    UpstreamUnreachable,
    /// The upstream closed the connection before it had answered completely.
    UpstreamReset,
    /// The upstream's answer is not valid HTTP.
    UpstreamInvalid,
    /// The upstream did not answer within the timeout.
    UpstreamTimeout,
    /// The upstream cannot be reached while the gateway itself is stopping, as in a pod that ends.
    Draining,
    /// The exchange was not finished when the grace period of the drain ended. There is no answer: the process ends.
    DrainTimeout,
    /// A bug of the gateway: a panic in this exchange's task.
    Internal,
}

/// Who caused the rejection. It decides the `verdict` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureSide {
    /// The sender: the request is not, or not provably, a genuine webhook.
    Sender,
    /// The delivery: the request is genuine, or may be, and could not be delivered. The sender should retry.
    Delivery,
}

impl Rejection {
    /// Every value, in the order of the request's way. Metrics and documentation are generated from it.
    pub const ALL: [Self; 35] = [
        Self::BadRequest,
        Self::HeaderConflict,
        Self::ExpectationFailed,
        Self::TransferCoding,
        Self::NoRoute,
        Self::MethodNotAllowed,
        Self::PeerNotAllowed,
        Self::RateLimited,
        Self::BodyTooLarge,
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::TimestampStale,
        Self::TimestampFuture,
        Self::KeyUnknown,
        Self::KeyUnavailable,
        Self::BodyTimeout,
        Self::BodyIncomplete,
        Self::Overloaded,
        Self::SignatureMismatch,
        Self::Replayed,
        Self::Duplicate,
        Self::TokenReused,
        Self::DeliveryIdMissing,
        Self::InFlight,
        Self::ReplayStoreFull,
        Self::ReplayStoreDown,
        Self::InboxFull,
        Self::InboxDown,
        Self::UpstreamUnreachable,
        Self::UpstreamReset,
        Self::UpstreamInvalid,
        Self::UpstreamTimeout,
        Self::Draining,
        Self::DrainTimeout,
        Self::Internal,
    ];

    /// The status of the answer. A route's `reject_status` replaces 401.
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
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SignatureMissing
            | Self::SignatureMalformed
            | Self::TimestampStale
            | Self::TimestampFuture
            | Self::KeyUnknown
            | Self::SignatureMismatch => StatusCode::UNAUTHORIZED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Replayed | Self::Duplicate | Self::TokenReused | Self::InFlight => StatusCode::CONFLICT,
            Self::Overloaded | Self::ReplayStoreFull | Self::ReplayStoreDown | Self::Draining | Self::DrainTimeout => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::InboxFull | Self::InboxDown | Self::KeyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamUnreachable | Self::UpstreamReset | Self::UpstreamInvalid => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `reason` in metrics, audit lines and problem documents: snake case, stable between versions.
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
            Self::RateLimited => "rate_limited",
            Self::BodyTooLarge => "body_too_large",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::TimestampStale => "timestamp_stale",
            Self::TimestampFuture => "timestamp_future",
            Self::KeyUnknown => "key_unknown",
            Self::KeyUnavailable => "key_unavailable",
            Self::BodyTimeout => "body_timeout",
            Self::BodyIncomplete => "body_incomplete",
            Self::Overloaded => "overloaded",
            Self::SignatureMismatch => "signature_mismatch",
            Self::Replayed => "replayed",
            Self::Duplicate => "duplicate",
            Self::TokenReused => "token_reused",
            Self::DeliveryIdMissing => "delivery_id_missing",
            Self::InFlight => "in_flight",
            Self::ReplayStoreFull => "replay_store_full",
            Self::ReplayStoreDown => "replay_store_down",
            Self::InboxFull => "inbox_full",
            Self::InboxDown => "inbox_down",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamInvalid => "upstream_invalid",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Draining => "draining",
            Self::DrainTimeout => "drain_timeout",
            Self::Internal => "internal",
        }
    }

    /// One sentence for people who read the provider's delivery log.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not valid HTTP for a webhook",
            Self::HeaderConflict => "A protected header is duplicated, aliased or named by Connection",
            Self::ExpectationFailed => "Only Expect: 100-continue is supported",
            Self::TransferCoding => "Only the chunked transfer coding is supported",
            Self::NoRoute => "No webhook route has this host and path",
            Self::MethodNotAllowed => "The route does not accept this method",
            Self::PeerNotAllowed => "The source address is not on the route's allow list",
            Self::RateLimited => "Too many requests in a short time, retry later",
            Self::BodyTooLarge => "The body is larger than the route allows",
            Self::SignatureMissing => "The signature header is missing",
            Self::SignatureMalformed => "The signature header is malformed",
            Self::TimestampStale => "The signature is older than the tolerance",
            Self::TimestampFuture => "The signature's timestamp is in the future",
            Self::KeyUnknown => "The provider has no key with the id that the signature names",
            Self::KeyUnavailable => "The provider's keys cannot be fetched now, retry shortly",
            Self::BodyTimeout => "The body did not arrive in time",
            Self::BodyIncomplete => "The body ended before its declared length",
            Self::Overloaded => "The gateway is at a limit, retry shortly",
            Self::SignatureMismatch => "The signature does not match the body under any active secret",
            Self::Replayed => "This request was delivered before",
            Self::Duplicate => "A request with this delivery id was delivered before",
            Self::TokenReused => "The signed single-use token was delivered before, with another body",
            Self::DeliveryIdMissing => "The request has no delivery id",
            Self::InFlight => "This request is being delivered at this moment",
            Self::ReplayStoreFull => "The replay store is full, retry shortly",
            Self::ReplayStoreDown => "The replay store does not answer, retry shortly",
            Self::InboxFull => "The gateway's inbox is full, retry shortly",
            Self::InboxDown => "The gateway's inbox does not work, retry shortly",
            Self::UpstreamUnreachable => "The application cannot be reached",
            Self::UpstreamReset => "The application closed the connection before it answered",
            Self::UpstreamInvalid => "The application's answer is not valid HTTP",
            Self::UpstreamTimeout => "The application did not answer in time",
            Self::Draining => "The application and the gateway in front of it are being stopped, retry shortly",
            Self::DrainTimeout => "The gateway ended before this request was finished",
            Self::Internal => "The gateway failed on this request",
        }
    }

    /// Whether the connection is closed after the answer: if a head can be read in two ways, or the end of a body is not
    /// known, so can the bytes after it (RFC 9112, 6.3 and 11.2).
    #[must_use]
    pub const fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::BadRequest
                | Self::HeaderConflict
                | Self::ExpectationFailed
                | Self::TransferCoding
                | Self::BodyIncomplete
        )
    }

    /// Whether the rejection is about the signature, so that a route's `reject_status` and `refusal_detail` apply.
    #[must_use]
    pub const fn is_about_signature(self) -> bool {
        matches!(self.status(), StatusCode::UNAUTHORIZED)
    }

    /// Seconds for `Retry-After`; `None` where a retry does not help. For `RateLimited` the least; the exchange knows the
    /// real number.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::Overloaded | Self::RateLimited | Self::InFlight | Self::ReplayStoreDown => Some(1),
            // For `Draining`: the time that a replacement needs to start.
            Self::ReplayStoreFull
            | Self::InboxFull
            | Self::InboxDown
            | Self::KeyUnavailable
            | Self::Draining
            | Self::DrainTimeout => Some(5),
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
            | Self::KeyUnknown
            | Self::BodyTimeout
            | Self::BodyIncomplete
            | Self::SignatureMismatch
            | Self::Replayed
            | Self::Duplicate
            | Self::TokenReused
            | Self::DeliveryIdMissing
            | Self::UpstreamUnreachable
            | Self::UpstreamReset
            | Self::UpstreamInvalid
            | Self::UpstreamTimeout
            | Self::Internal => None,
        }
    }

    /// Who caused the rejection.
    #[must_use]
    pub const fn failure_side(self) -> FailureSide {
        match self {
            Self::Overloaded
            | Self::KeyUnavailable
            | Self::ReplayStoreFull
            | Self::ReplayStoreDown
            | Self::InboxFull
            | Self::InboxDown
            | Self::UpstreamUnreachable
            | Self::UpstreamReset
            | Self::UpstreamInvalid
            | Self::UpstreamTimeout
            | Self::Draining
            | Self::DrainTimeout
            | Self::Internal => FailureSide::Delivery,
            Self::BadRequest
            | Self::HeaderConflict
            | Self::ExpectationFailed
            | Self::TransferCoding
            | Self::NoRoute
            | Self::MethodNotAllowed
            | Self::PeerNotAllowed
            | Self::RateLimited
            | Self::BodyTooLarge
            | Self::SignatureMissing
            | Self::SignatureMalformed
            | Self::TimestampStale
            | Self::TimestampFuture
            | Self::KeyUnknown
            | Self::BodyTimeout
            | Self::BodyIncomplete
            | Self::SignatureMismatch
            | Self::Replayed
            | Self::Duplicate
            | Self::TokenReused
            | Self::DeliveryIdMissing
            | Self::InFlight => FailureSide::Sender,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// An error, so that it can end a relayed body: hyper then aborts the connection instead of ending the body cleanly.
impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn all_has_every_variant_once_with_distinct_reasons() {
        let reasons: HashSet<_> = Rejection::ALL.iter().map(|r| r.reason()).collect();
        assert_eq!(reasons.len(), Rejection::ALL.len());
        assert_eq!(Rejection::ALL.last(), Some(&Rejection::Internal));
        assert_eq!(Rejection::Internal as usize + 1, Rejection::ALL.len());
    }

    #[test]
    fn no_rejection_is_410_or_a_redirect_or_a_success() {
        for rejection in Rejection::ALL {
            let status = rejection.status();
            assert!(status.is_client_error() || status.is_server_error(), "{rejection:?}");
            assert_ne!(status, StatusCode::GONE, "{rejection:?}");
        }
    }
}
