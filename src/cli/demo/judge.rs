//! The verdict on one request: status, reason, and what the application saw, all as they must be, or a list of problems.

use super::application::{self, Seen};
use super::stage::KEYS;
use crate::cli::client::Answer;
use crate::outcome::Rejection;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, StatusCode};
use serde_json::Value;

/// What must come of a request.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// The application saw it, unchanged, verified by this key, and its answer came back.
    Delivered(usize),
    /// The same, but the application failed, and its failure came back.
    ApplicationFailed(usize),
    /// The gateway refused it and the application saw nothing.
    Refused(Rejection),
}

/// A request as it went out.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) path: &'static str,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Expected {
    pub(super) fn told(self) -> String {
        match self {
            Self::Delivered(_) => "200".into(),
            Self::ApplicationFailed(_) => "500 of the application".into(),
            Self::Refused(rejection) => format!("{} {}", rejection.status().as_u16(), rejection.reason()),
        }
    }
}

/// Everything that is not as it must be.
pub(super) fn judge(expected: Expected, request: &Request, answer: &Answer, saw: &[Seen]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut must = |holds: bool, problem: &str| {
        if !holds {
            problems.push(problem.to_owned());
        }
    };
    let (key, status, text) = match expected {
        Expected::Delivered(key) => (key, StatusCode::OK, application::thanks(&request.body)),
        Expected::ApplicationFailed(key) => (key, StatusCode::INTERNAL_SERVER_ERROR, application::FAILURE.to_owned()),
        Expected::Refused(rejection) => {
            must(answer.status == rejection.status(), "the status is another");
            must(
                reason(answer).as_deref() == Some(rejection.reason()),
                "the reason is another",
            );
            must(saw.is_empty(), "the application saw it");
            return problems;
        }
    };
    must(answer.status == status, "the status is another");
    must(answer.body == text, "the application's answer was changed");
    let [seen] = saw else {
        must(false, "the application did not see it exactly once");
        return problems;
    };
    must(
        seen.method == Method::POST && seen.target == request.path,
        "the application saw another method or path",
    );
    must(seen.body == request.body, "the application saw another body");
    must(
        request
            .headers
            .iter()
            .all(|(name, value)| seen.headers.get_all(name).iter().eq([value])),
        "the application saw other headers than were sent",
    );
    must(
        only(seen, "hookgate-verified") == Some("paddle"),
        "Hookgate-Verified is not `paddle`",
    );
    must(
        only(seen, "hookgate-key") == KEYS.get(key).copied(),
        "Hookgate-Key names another secret",
    );
    problems
}

/// The one value of a header.
fn only<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    let mut values = seen.headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// The `reason` of a problem document.
fn reason(answer: &Answer) -> Option<String> {
    let document: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(document.get("reason")?.as_str()?.to_owned())
}

pub(super) fn came(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    match reason(answer) {
        Some(reason) => format!("{status} {reason}"),
        None if answer.body == application::FAILURE => format!("{status} of the application"),
        None => status.to_string(),
    }
}

pub(super) fn told(saw: &[Seen]) -> String {
    match saw {
        [] => "nothing".into(),
        [seen] => {
            let key = only(seen, "hookgate-key").map_or("not verified".into(), |key| format!("signed by {key}"));
            format!("{} {} bytes, {key}", seen.method, seen.body.len())
        }
        [..] => format!("{} requests", saw.len()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::cli::demo::stage::{CURRENT, PATH};
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

    fn seen() -> Seen {
        let mut headers = request().headers;
        headers.insert("hookgate-verified", HeaderValue::from_static("paddle"));
        headers.insert("hookgate-key", HeaderValue::from_static("current"));
        Seen {
            method: Method::POST,
            target: PATH.into(),
            headers,
            body: event(1),
        }
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.to_owned().into(),
        }
    }

    /// Every deviation is a problem: a demonstration that cannot fail shows nothing.
    #[test]
    fn the_judge_sees_every_deviation_from_a_delivery() {
        let delivered = Expected::Delivered(CURRENT);
        let thanks = application::thanks(&event(1));
        let good = answer(200, &thanks);
        assert_eq!(judge(delivered, &request(), &good, &[seen()]), Vec::<String>::new());
        let with = |change: fn(&mut Seen)| {
            let mut seen = seen();
            change(&mut seen);
            seen
        };
        let header = |name: &'static str, value: &'static str| {
            let mut seen = seen();
            seen.headers.insert(name, HeaderValue::from_static(value));
            seen
        };
        for saw in [
            vec![],
            vec![seen(), seen()],
            vec![with(|seen| seen.body = event(2))],
            vec![with(|seen| seen.method = Method::GET)],
            vec![with(|seen| seen.target = "/".into())],
            vec![with(|seen| seen.headers.clear())],
            vec![header("paddle-signature", "ts=1;h1=ac")],
            vec![header("hookgate-verified", "failed")],
            vec![header("hookgate-key", "previous")],
            vec![with(|seen| {
                seen.headers.append("paddle-signature", HeaderValue::from_static("x"));
            })],
        ] {
            assert!(!judge(delivered, &request(), &good, &saw).is_empty(), "{saw:?}");
        }
        for bad in [answer(201, &thanks), answer(200, ""), answer(401, &thanks)] {
            assert!(!judge(delivered, &request(), &bad, &[seen()]).is_empty(), "{bad:?}");
        }
    }

    #[test]
    fn the_judge_sees_every_deviation_from_a_refusal() {
        let refused = Expected::Refused(Rejection::TimestampStale);
        let good = answer(401, r#"{"title":"x","status":401,"reason":"timestamp_stale"}"#);
        assert_eq!(judge(refused, &request(), &good, &[]), Vec::<String>::new());
        assert!(!judge(refused, &request(), &good, &[seen()]).is_empty());
        for bad in [
            answer(401, ""),
            answer(401, r#"{"reason":"signature_mismatch"}"#),
            answer(200, r#"{"reason":"timestamp_stale"}"#),
        ] {
            assert!(!judge(refused, &request(), &bad, &[]).is_empty(), "{bad:?}");
        }
    }
}
