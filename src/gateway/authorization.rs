//! What a proxy that asks for verification says about the request, and what it is told (Envoy's `ext_authz` over HTTP).

use crate::http::message::Headers;
use hyper::header::HeaderName;

/// Whether the proxy sent a part of the body only: Envoy with `allow_partial_message: true`, for a body that is longer than
/// its buffer. No signature can be verified over a part, and a scheme that does not sign the body would accept it.
pub(super) fn is_partial(headers: &Headers) -> bool {
    const PARTIAL: &str = "x-envoy-auth-partial-body";
    headers.named(PARTIAL).any(|value| value != b"false")
}

/// The scheme that verified the request.
pub(super) const VERIFIED: HeaderName = HeaderName::from_static("hookgate-verified");
/// The name of the secret that matched.
pub(super) const KEY: HeaderName = HeaderName::from_static("hookgate-key");
/// The name of the route.
pub(super) const ROUTE: HeaderName = HeaderName::from_static("hookgate-route");
