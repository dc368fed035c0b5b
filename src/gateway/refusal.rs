//! The gateway's own answers: a problem document (RFC 9457) that tells the reader of the provider's delivery log why.

use crate::gateway::answer::Body;
use crate::gateway::snapshot::Route;
use crate::http::message::{Headers, Response};
use crate::outcome::Rejection;
use crate::scheme::challenge::Reply;
use hyper::StatusCode;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What every refusal about the signature looks like on a route with `refusal_detail = "none"`.
const WITHOUT_DETAIL: &str = "The request was refused";

/// The answer to a refused request; `route` where one was found.
#[must_use]
pub fn response(rejection: Rejection, route: Option<&Route>) -> Response<Body> {
    let settings = route.map(|route| &route.settings);
    let status = settings
        .and_then(|settings| settings.reject_status)
        .filter(|_| rejection.is_about_signature())
        .unwrap_or(rejection.status());
    let detail = !rejection.is_about_signature() || settings.is_none_or(|settings| settings.refusal_detail);
    let code = status.as_u16();
    let document = if detail {
        let (title, reason) = (rejection.title(), rejection.reason());
        format!("{{\"title\":\"{title}\",\"status\":{code},\"reason\":\"{reason}\"}}\n")
    } else {
        format!("{{\"title\":\"{WITHOUT_DETAIL}\",\"status\":{code}}}\n")
    };
    let retry = rejection
        .retry_after()
        .map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds)));
    // Over HTTP/2 hyper takes it out again: there, framing is not the head's business.
    let close = rejection
        .ends_connection()
        .then_some((CONNECTION, HeaderValue::from_static("close")));
    let allow = (rejection == Rejection::MethodNotAllowed).then(|| {
        let methods = route.map_or(HeaderValue::from_static("POST"), |route| route.allow.clone());
        (ALLOW, methods)
    });
    let mut response = Response::new(status, Body::from(document));
    response.headers = [Some((CONTENT_TYPE, PROBLEM)), retry, close, allow]
        .into_iter()
        .flatten()
        .collect();
    response
}

/// The answer to a provider's handshake. It echoes what a stranger may have chosen: no browser shall guess at it.
#[must_use]
pub fn handshake(reply: Reply) -> Response<Body> {
    let mut response = Response::new(StatusCode::OK, Body::from(reply.body));
    response.headers = Headers::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static(reply.content_type)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]);
    response
}

/// The answer to a replay on a route with `on_replay = "acknowledge"`: the sender should stop, nothing was forwarded.
#[must_use]
pub fn acknowledgement() -> Response<Body> {
    Response::new(StatusCode::OK, Body::empty())
}
