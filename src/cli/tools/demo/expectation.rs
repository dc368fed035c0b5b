//! The expected result of one request, and the check of what happened: status, reason, and what the application
//! received.

use super::application::{self, ReceivedRequest};
use super::fixture::KEYS;
use crate::cli::client::ClientResponse;
use crate::outcome::Rejection;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};
use serde_json::Value;

/// The expected result of a request. The number is the index of the key in [`KEYS`] that verifies the request.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// The application receives the request unchanged and verified by this key, and its response reaches the sender.
    Delivered(usize),
    /// As [`Expected::Delivered`], but the application answers 500, and this response reaches the sender.
    ApplicationFailed(usize),
    /// The gateway refuses the request for this reason, and the application receives nothing.
    Refused(Rejection),
}

/// A request as it was sent.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) path: &'static str,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Expected {
    /// The text in the column "expected".
    pub(super) fn describe(self) -> String {
        match self {
            Self::Delivered(_) => "200".into(),
            Self::ApplicationFailed(_) => "500 from the application".into(),
            Self::Refused(rejection) => format!("{} {}", rejection.status().as_u16(), rejection.reason()),
        }
    }
}

/// Compares what happened with what was expected. Returns one sentence for each difference; no difference gives an
/// empty list.
pub(super) fn problems(
    expected: Expected,
    request: &Request,
    response: &ClientResponse,
    received: &[ReceivedRequest],
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |is_expected: bool, problem: &str| {
        if !is_expected {
            problems.push(problem.to_owned());
        }
    };
    let (key, status, text) = match expected {
        Expected::Delivered(key) => (key, StatusCode::OK, application::success_body(&request.body)),
        Expected::ApplicationFailed(key) => (
            key,
            StatusCode::INTERNAL_SERVER_ERROR,
            application::FAILURE_BODY.to_owned(),
        ),
        Expected::Refused(rejection) => {
            check(response.status == rejection.status(), "the status differs");
            check(
                reason(response).as_deref() == Some(rejection.reason()),
                "the reason differs",
            );
            check(received.is_empty(), "the application received the request");
            return problems;
        }
    };
    check(response.status == status, "the status differs");
    check(response.body == text, "the application's response was changed");
    let [received_request] = received else {
        check(false, "the application did not receive the request exactly once");
        return problems;
    };
    check(
        received_request.method == Method::POST && received_request.target == request.path,
        "the application received a different method or path",
    );
    check(
        received_request.body == request.body,
        "the application received a different body",
    );
    check(
        request
            .headers
            .iter()
            .all(|(name, value)| received_request.headers.get_all(name).iter().eq([value])),
        "the application did not receive the headers that were sent",
    );
    check(
        single_header(received_request, "hookgate-verified") == Some("paddle"),
        "Hookgate-Verified is not `paddle`",
    );
    check(
        single_header(received_request, "hookgate-key") == KEYS.get(key).copied(),
        "Hookgate-Key does not name the expected secret",
    );
    problems
}

/// The value of a header that occurs exactly once.
fn single_header<'a>(received_request: &'a ReceivedRequest, name: &str) -> Option<&'a str> {
    let mut values = received_request.headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// The `reason` in the problem document (RFC 9457) that the gateway answers with.
fn reason(response: &ClientResponse) -> Option<String> {
    let document: Value = serde_json::from_slice(&response.body).ok()?;
    Some(document.get("reason")?.as_str()?.to_owned())
}

/// The text in the column "answer": the status and the gateway's reason.
pub(super) fn describe_response(response: &ClientResponse) -> String {
    let status = response.status.as_u16();
    match reason(response) {
        Some(reason) => format!("{status} {reason}"),
        None if response.body == application::FAILURE_BODY => format!("{status} from the application"),
        None => status.to_string(),
    }
}

/// The text in the column "application received".
pub(super) fn describe_received(received: &[ReceivedRequest]) -> String {
    match received {
        [] => "nothing".into(),
        [received_request] => {
            let key = single_header(received_request, "hookgate-key")
                .map_or("not verified".into(), |key| format!("signed by {key}"));
            format!(
                "{} {} bytes, {key}",
                received_request.method,
                received_request.body.len()
            )
        }
        [..] => format!("{} requests", received.len()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::cli::tools::demo::fixture::{CURRENT, PATH};
    use hyper::header::HeaderValue;

    fn event(number: u32) -> Bytes {
        format!("{{\"event_id\":{number}}}").into()
    }

    fn request() -> Request {
        let mut headers = HeaderMap::new();
        headers.insert("paddle-signature", HeaderValue::from_static("ts=1;h1=ab"));
        Request {
            path: PATH,
            headers,
            body: event(1),
        }
    }

    fn received_request() -> ReceivedRequest {
        let mut headers = request().headers;
        headers.insert("hookgate-verified", HeaderValue::from_static("paddle"));
        headers.insert("hookgate-key", HeaderValue::from_static("current"));
        ReceivedRequest {
            method: Method::POST,
            target: PATH.into(),
            headers,
            body: event(1),
        }
    }

    fn answer(status: u16, body: &str) -> ClientResponse {
        ClientResponse {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.to_owned().into(),
        }
    }

    /// The check is useless if it cannot fail, so this test changes one property at a time.
    #[test]
    fn every_difference_from_a_delivery_is_reported() {
        let delivered = Expected::Delivered(CURRENT);
        let success_body = application::success_body(&event(1));
        let good = answer(200, &success_body);
        assert_eq!(
            problems(delivered, &request(), &good, &[received_request()]),
            Vec::<String>::new()
        );
        let with = |change: fn(&mut ReceivedRequest)| {
            let mut received_request = received_request();
            change(&mut received_request);
            received_request
        };
        let header = |name: &'static str, value: &'static str| {
            let mut received_request = received_request();
            received_request.headers.insert(name, HeaderValue::from_static(value));
            received_request
        };
        for received in [
            vec![],
            vec![received_request(), received_request()],
            vec![with(|received_request| received_request.body = event(2))],
            vec![with(|received_request| received_request.method = Method::GET)],
            vec![with(|received_request| received_request.target = "/".into())],
            vec![with(|received_request| received_request.headers.clear())],
            vec![header("paddle-signature", "ts=1;h1=ac")],
            vec![header("hookgate-verified", "stripe")],
            vec![header("hookgate-key", "previous")],
            vec![with(|received_request| {
                received_request
                    .headers
                    .append("paddle-signature", HeaderValue::from_static("x"));
            })],
        ] {
            assert!(
                !problems(delivered, &request(), &good, &received).is_empty(),
                "{received:?}"
            );
        }
        for bad in [answer(201, &success_body), answer(200, ""), answer(401, &success_body)] {
            assert!(
                !problems(delivered, &request(), &bad, &[received_request()]).is_empty(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn every_difference_from_a_refusal_is_reported() {
        let refused = Expected::Refused(Rejection::TimestampStale);
        let good = answer(401, r#"{"title":"x","status":401,"reason":"timestamp_stale"}"#);
        assert_eq!(problems(refused, &request(), &good, &[]), Vec::<String>::new());
        assert!(!problems(refused, &request(), &good, &[received_request()]).is_empty());
        for bad in [
            answer(401, ""),
            answer(401, r#"{"reason":"signature_mismatch"}"#),
            answer(200, r#"{"reason":"timestamp_stale"}"#),
        ] {
            assert!(!problems(refused, &request(), &bad, &[]).is_empty(), "{bad:?}");
        }
    }
}
