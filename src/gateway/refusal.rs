//! The gateway's own answers. A refusal is a problem document (RFC 9457) with the reason, for people who read the
//! provider's delivery log.

use crate::gateway::answer::AnswerBody;
use crate::gateway::authorization::{KEY, ROUTE, VERIFIED};
use crate::gateway::rate::WaitSeconds;
use crate::gateway::refusal_title;
use crate::gateway::snapshot::CompiledRoute;
use crate::http::message::{Headers, Response};
use crate::http::unread_head::UnreadHead;
use crate::inbox::known::Id;
use crate::inbox::target::IdText;
use crate::outcome::Rejection;
use crate::scheme::challenge::ChallengeReply;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};

/// The id of the delivery.
const DELIVERY: HeaderName = HeaderName::from_static("hookgate-delivery");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The title of every refusal about the signature on a route with `refusal_detail = "none"`.
const WITHOUT_DETAIL: &str = "The request was refused";

/// The answer to a request whose head could not be read. It ends the connection.
#[must_use]
pub fn unread(failure: UnreadHead) -> Response<AnswerBody> {
    let (title, status, reason) = (failure.title(), failure.status(), failure.reason());
    let code = status.as_u16();
    let document = format!("{{\"title\":\"{title}\",\"status\":{code},\"reason\":\"{reason}\"}}\n");
    let mut response = Response::new(status, AnswerBody::from(document));
    response.headers = Headers::from_iter([(CONTENT_TYPE, PROBLEM)]);
    response
}

/// The answer to a refused request; `route` is `None` if no route matched.
#[must_use]
pub fn response(rejection: Rejection, route: Option<&CompiledRoute>) -> Response<AnswerBody> {
    response_with_wait(rejection, route, None)
}

/// The same, with the number of seconds after which the sender may retry, where it is known.
#[must_use]
pub fn response_with_wait(
    rejection: Rejection,
    route: Option<&CompiledRoute>,
    wait: Option<WaitSeconds>,
) -> Response<AnswerBody> {
    let settings = route.map(|route| &route.settings);
    let status = route.map_or(rejection.status(), |route| route.refusal_status(rejection));
    let detail = !rejection.is_about_signature() || settings.is_none_or(|settings| settings.refusal_detail);
    let code = status.as_u16();
    let document = if detail {
        let places = settings.map(|settings| settings.verifier.read_places());
        let (title, reason) = (refusal_title::title(rejection, places), rejection.reason());
        format!("{{\"title\":\"{title}\",\"status\":{code},\"reason\":\"{reason}\"}}\n")
    } else {
        format!("{{\"title\":\"{WITHOUT_DETAIL}\",\"status\":{code}}}\n")
    };
    let retry = wait
        .map(|WaitSeconds(seconds)| seconds)
        .or(rejection.retry_after())
        .map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds)));
    // Over HTTP/2, hyper removes this field: there, connections are not controlled by header fields.
    let close = rejection
        .ends_connection()
        .then_some((CONNECTION, HeaderValue::from_static("close")));
    let allow = (rejection == Rejection::MethodNotAllowed).then(|| {
        let methods = route.map_or(HeaderValue::from_static("POST"), |route| route.allow.clone());
        (ALLOW, methods)
    });
    let mut response = Response::new(status, AnswerBody::from(document));
    response.headers = [Some((CONTENT_TYPE, PROBLEM)), retry, close, allow]
        .into_iter()
        .flatten()
        .collect();
    response
}

/// The answer to a proxy that asked whether a request is genuine: it is. The fields tell the application how it was
/// verified; the proxy puts them in place of fields with the same names that the sender may have written.
#[must_use]
pub fn authorized(route: Option<&CompiledRoute>, secret: usize) -> Response<AnswerBody> {
    let mut response = Response::new(StatusCode::OK, AnswerBody::empty());
    if let Some(route) = route {
        let key = route.keys.get(secret).cloned().map(|key| (KEY, key));
        let fields = [(VERIFIED, route.scheme.clone()), (ROUTE, route.name.clone())];
        response.headers = fields.into_iter().chain(key).collect();
    }
    response
}

/// The answer to a health check of a listener.
#[must_use]
pub fn health(is_well: bool) -> Response<AnswerBody> {
    let (status, text) = match is_well {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    };
    let mut response = Response::new(status, AnswerBody::Whole(Bytes::from_static(text.as_bytes())));
    let kind = HeaderValue::from_static("text/plain");
    response.headers = Headers::from_iter([
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]);
    response
}

/// The answer to the challenge of an ACME server.
#[must_use]
pub fn acme_answer(key_authorization: String) -> Response<AnswerBody> {
    let mut response = Response::new(StatusCode::OK, AnswerBody::from(key_authorization));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers = Headers::from_iter([(CONTENT_TYPE, kind)]);
    response
}

/// The answer to a provider's challenge. It echoes text that anyone may have sent, so browsers are told not to guess
/// its type.
#[must_use]
pub fn challenge(reply: ChallengeReply) -> Response<AnswerBody> {
    let mut response = Response::new(StatusCode::OK, AnswerBody::from(reply.body));
    let kind = reply
        .content_type
        .map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind)));
    let nosniff = (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers = [kind, Some(nosniff), reply.header].into_iter().flatten().collect();
    response
}

/// The answer to a webhook that the inbox has: 2xx, as the provider wants it.
#[must_use]
pub fn stored(body: &'static str, id: &Id) -> Response<AnswerBody> {
    let kind = (!body.is_empty()).then_some((CONTENT_TYPE, HeaderValue::from_static("text/plain")));
    let mut response = Response::new(StatusCode::OK, AnswerBody::Whole(Bytes::from_static(body.as_bytes())));
    let delivery = HeaderValue::from_str(IdText::of(id).as_str())
        .ok()
        .map(|id| (DELIVERY, id));
    response.headers = [kind, delivery].into_iter().flatten().collect();
    response
}

/// The answer to a repetition that the route acknowledges: 200 with the body that the sender expects, so that it stops.
/// Nothing was forwarded.
#[must_use]
pub fn acknowledgement(body: &'static str) -> Response<AnswerBody> {
    if body.is_empty() {
        return Response::new(StatusCode::OK, AnswerBody::empty());
    }
    let mut response = Response::new(StatusCode::OK, AnswerBody::from(body.to_owned()));
    response.headers = Headers::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
    response
}
