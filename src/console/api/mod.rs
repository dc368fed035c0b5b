//! The API under `/api/v1/`: the same documents for the commands, the console and other programs.
//!
//! | path | what |
//! | --- | --- |
//! | `GET /api/v1/status` | the process, its routes and upstreams |
//! | `GET /api/v1/requests` | the latest requests, the latest first |
//! | `GET /api/v1/requests/stream` | requests as they are recorded, as server-sent events |
//! | `GET /api/v1/requests/ID` | one request |
//! | `GET /api/v1/captures` | the requests that are captured, without their content |
//! | `GET /api/v1/captures/ID` | one of them as a HAR document |
//! | `GET`, `POST`, `DELETE /api/v1/capture/ROUTE` | whether whole requests of a route are captured, and until when |
//! | `GET /api/v1/inbox/deliveries` | stored deliveries, the oldest first |
//! | `GET /api/v1/inbox/deliveries/ID` | one delivery with its attempts, its history and its content |
//! | `GET /api/v1/inbox/count` | how many deliveries are meant |
//! | `POST /api/v1/inbox/redeliver`, `/drop` | begins an operation on the deliveries that are meant |
//! | `GET /api/v1/inbox/job` | how far that operation is |
//! | `POST /api/v1/inbox/routes/NAME/pause`, `/resume` | pauses a route, or resumes it |
//! | `POST /api/v1/inbox/export`, `/import`, `/backup` | contents out of the inbox, and into it |
//!
//! A new group of paths is a module with a function `respond`, and an arm in [`dispatch`].
//!
//! | module | what it is |
//! | --- | --- |
//! | [`captures`] | captured requests |
//! | [`inbox`] | the inbox |
//! | [`requests`] | the latest requests |
//! | [`status`] | the process as a whole |
//! | [`filter`] | which requests are meant |
//! | [`call`] | one request of an operator |

mod call;
pub mod captures;
pub mod filter;
mod inbox;
mod requests;
mod status;

pub use call::{Call, Query};

use super::answer::{Answer, AnswerBody, Refusal, not_found, refusal};
use super::{Actor, Operators};
use crate::http::percent;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::{Method, Request, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Largest body of a request, in bytes: a captured request with a body of some megabytes.
const BODY_BYTES: usize = 8 * 1024 * 1024;
/// Time for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves one request on the Unix socket. A browser cannot ask here, so a request that says it comes from a page is refused.
pub async fn serve(operators: &Arc<Operators>, actor: &Actor, request: Request<Incoming>) -> Answer {
    if request.headers().contains_key(ORIGIN) {
        return refusal(StatusCode::FORBIDDEN, "this socket is not for browsers").answer();
    }
    respond(operators, actor, request).await
}

/// Reads the body of a request and answers it.
pub async fn respond(operators: &Arc<Operators>, actor: &Actor, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = match head.method {
        Method::GET | Method::HEAD => Bytes::new(),
        _ => match timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                return refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or incomplete").answer();
            }
            Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time").answer(),
        },
    };
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let call = Call {
        operators,
        actor,
        method: &head.method,
        query: Query::parse(head.uri.query().unwrap_or_default()),
        is_form: content_type.is_some_and(|text| text.starts_with(b"application/x-www-form-urlencoded")),
        last_event_id: head
            .headers
            .get("last-event-id")
            .and_then(|id| id.to_str().ok()?.parse().ok()),
        body,
    };
    let Some(path) = head.uri.path().strip_prefix("/api/v1/") else {
        return refusal(StatusCode::NOT_FOUND, "the API is below /api/v1/").answer();
    };
    let segments: Vec<&str> = path.split('/').collect();
    dispatch(&call, &segments)
        .await
        .unwrap_or_else(|refusal| refusal.answer())
}

/// Finds the function for a path.
async fn dispatch(call: &Call<'_>, path: &[&str]) -> Result<Answer, Refusal> {
    match path {
        ["status"] => status::respond(call),
        ["captures", rest @ ..] => captures::respond(call, rest),
        ["capture", route] => captures::switch(call, &decoded(route)),
        ["requests", rest @ ..] => requests::respond(call, rest),
        ["inbox", rest @ ..] => inbox::respond(call, rest).await,
        _ => Err(not_found()),
    }
}

/// The document at a path, for the pages.
pub(in crate::console) async fn document(call: &Call<'_>, path: &[&str]) -> Result<serde_json::Value, Refusal> {
    let answer = dispatch(call, path).await?;
    match answer.into_body() {
        AnswerBody::Whole(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        AnswerBody::Stream(_) => Err(not_found()),
    }
}

/// A segment of a path without its escapes.
pub(in crate::console) fn decoded(segment: &str) -> String {
    String::from_utf8_lossy(&percent::decode(segment.as_bytes())).into_owned()
}
