//! Captured requests: turned on and off for a route, as a list, and one as a HAR document, which `hookgate verify` and
//! the developer tools of browsers read.

use super::Call;
use crate::console::answer::{self, Answer, Refusal, not_found, refusal};
use crate::gateway::captures::{Captured, Captures, har};
use crate::telemetry::rfc3339;
use crate::time::clock;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Answers the paths below `/api/v1/captures`: what is kept.
pub(super) fn respond(call: &Call<'_>, path: &[&str]) -> Result<Answer, Refusal> {
    call.read()?;
    let captures = captures(call)?;
    let now_unix = clock::unix_now();
    match path {
        [] => {
            let route = call.query.get("route");
            let is_refused = call.query.get("refused").is_some();
            let all = captures.all(now_unix);
            let meant = all.iter().filter(|captured| {
                route.is_none_or(|route| captured.route == route) && (!is_refused || captured.is_refused())
            });
            let list: Vec<Value> = meant.map(|captured| summary(captured)).collect();
            Ok(answer::json(StatusCode::OK, &json!({ "captures": list })))
        }
        // Bodies are for those who may operate.
        [id] if call.actor.may_operate() => captures
            .find(id, now_unix)
            .map(|captured| answer::json(StatusCode::OK, &har(&captured)))
            .ok_or_else(|| {
                refusal(
                    StatusCode::NOT_FOUND,
                    "this request was not captured, or is not kept any more",
                )
            }),
        [_] => Err(refusal(StatusCode::FORBIDDEN, "this needs the role `operate`")),
        _ => Err(not_found()),
    }
}

/// Answers `/api/v1/capture/ROUTE`: whether whole requests of a route are captured.
pub(in crate::console) fn switch(call: &Call<'_>, route: &str) -> Result<Answer, Refusal> {
    let captures = captures(call)?;
    let now_unix = clock::unix_now();
    if *call.method == Method::GET {
        let until = captures.until_unix(route, now_unix);
        return Ok(answer::json(StatusCode::OK, &json!({ "until_unix": until })));
    }
    let time = if *call.method == Method::DELETE {
        call.act(&Method::DELETE, "capture_end", route, "")?;
        Duration::ZERO
    } else {
        call.may_operate(&Method::POST)?;
        let written = call.field("for")?;
        let wrong = || {
            let longest = humantime::format_duration(captures.longest());
            refusal(
                StatusCode::BAD_REQUEST,
                format!("write `for` as a duration of at most {longest}, such as 30m"),
            )
        };
        let time = humantime::parse_duration(&written).map_err(|_| wrong())?;
        if time > captures.longest() {
            return Err(wrong());
        }
        call.act(&Method::POST, "capture", route, &format!("for {written}"))?;
        time
    };
    if !captures.capture_for(route, time, now_unix) {
        return Err(refusal(StatusCode::NOT_FOUND, "there is no route of this name"));
    }
    let until = captures.until_unix(route, now_unix);
    Ok(answer::json(StatusCode::OK, &json!({ "until_unix": until })))
}

fn captures<'a>(call: &Call<'a>) -> Result<&'a Arc<Captures>, Refusal> {
    let captures = call.operators.gateway.captures.as_ref();
    captures.ok_or_else(|| refusal(StatusCode::NOT_FOUND, "nothing can be captured here"))
}

fn summary(captured: &Captured) -> Value {
    json!({
        "request_id": *captured.request_id,
        "route": captured.route,
        "time": rfc3339(captured.received_unix_ms),
        "verdict": captured.verdict.label(),
        "reason": captured.verdict.reason(),
        "method": captured.method,
        "path": captured.target.split('?').next(),
        "body_bytes": captured.body.as_ref().map(bytes::Bytes::len),
        "values": captured.values.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
    })
}
