//! The gateway's own answers: a problem document (RFC 9457) that tells the reader of the provider's delivery log why.

use crate::answer::Body;
use crate::handshake::Reply;
use crate::outcome::Rejection;
use crate::snapshot::Route;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};

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
    let mut response = Response::new(Body::from(document));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PROBLEM);
    if let Some(seconds) = rejection.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if rejection.ends_connection() {
        // Over HTTP/2 hyper takes it out again: there, framing is not the head's business.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if rejection == Rejection::MethodNotAllowed {
        headers.insert(
            ALLOW,
            route.map_or(HeaderValue::from_static("POST"), |route| route.allow.clone()),
        );
    }
    response
}

/// The answer to a provider's handshake. It echoes what a stranger may have chosen: no browser shall guess at it.
#[must_use]
pub fn handshake(reply: Reply) -> Response<Body> {
    let mut response = Response::new(Body::from(reply.body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The answer to a replay on a route with `on_replay = "acknowledge"`: the sender should stop, nothing was forwarded.
#[must_use]
pub fn acknowledgement() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::OK;
    response
}
