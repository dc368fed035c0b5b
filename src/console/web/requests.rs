//! The list of requests with its filters, and one request with each step of its way.

use super::layout::{Frame, beginning, colour, route_field};
use super::{call, check, help, login};
use crate::console::Console;
use crate::console::access::Identity;
use crate::console::answer::{Answer, Refusal, refusal};
use crate::console::api::filter::Filter;
use crate::console::api::{self, Query};
use crate::gateway::captures::Captured;
use crate::http::percent;
use crate::outcome::Rejection;
use crate::telemetry::recent::RecentLine;
use crate::time::clock;
use hyper::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::Value;

/// Rows of one page.
const ROWS: usize = 60;
/// The most bytes of method, host and path in a row.
const ASKED_BYTES: usize = 160;
/// The most bytes of a captured head, and of a body, on the page of a request.
const CONTENT_BYTES: usize = 8 * 1024;
/// The most bytes of one value of a body.
const VALUE_BYTES: usize = 1024;
/// The filters that a person can set: parameter and label.
const FILTERS: [(&str, &str); 4] = [
    ("route", "Route"),
    ("verdict", "Verdict"),
    ("reason", "Reason"),
    ("status", "Status"),
];

/// The list.
pub(super) fn list(console: &Console, frame: &Frame<'_>, query: &Query) -> Result<Answer, Refusal> {
    let before = query.number("before")?.unwrap_or(u64::MAX);
    let filter = Filter::new(query);
    let mut lines = console.operators.recent.before(before).into_iter();
    let mut lines = lines.by_ref().filter(|line| filter.admits(&line.json));
    let shown: Vec<RecentLine> = lines.by_ref().take(ROWS).collect();
    let next = lines.next().and(shown.last().map(|line| line.number));
    let parameters = parameters(query);
    let live = (before == u64::MAX).then(|| format!("/live/requests?{parameters}"));
    let snapshot = console.operators.gateway.snapshot.load();
    let now_unix = clock::unix_now();
    let body = html! {
        div.row {
            h1 { "Requests" }
            @if live.is_some() {
                span.live role="status" { i {} span { "reload to refresh" } }
                button.quiet type="button" data-pause hidden { "Pause" }
            }
        }
        p.lead { "The latest requests of this replica, newest first. They are kept in memory only, without their bodies." }
        form.filters method="get" action="/requests" {
            @for (name, label) in FILTERS {
                label { (label)
                    @match name {
                        "route" => (route_field(snapshot.routes().iter().map(|route| &*route.settings.name), query.get("route").unwrap_or_default(), "all")),
                        "verdict" => select name="verdict" { option value="" { "all" } @for verdict in ["forwarded", "stored", "acknowledged", "challenge", "reported", "rejected", "failed"] { (option(verdict, query.get("verdict"))) } },
                        _ => input name=(name) size="18" value=(query.get(name).unwrap_or_default());
                    }
                }
            }
            button type="submit" { "Filter" }
            @if !parameters.is_empty() { a.button.quiet href="/requests" { "Clear" } }
            a.button.quiet href="/requests?refused=1" { "Refused only" }
        }
        @if shown.is_empty() {
            div.card.empty {
                @if parameters.is_empty() { b { "No request yet" } "Requests appear here as soon as a sender calls this gateway." }
                @else { b { "No request fits these filters" } "Only the latest requests are kept; older ones are in the audit log." }
            }
        }
        div.wide hidden[shown.is_empty()] tabindex="0" role="region" aria-label="Requests" {
            table {
                thead { tr { th { "Time" } th { "Verdict" } th { "Route" } th { "Request" } th.hide { "Sender" } th.num { "Status" } th.num.hide { "Signed" } th.num.hide { "Duration" } } }
                tbody data-live=[live] { @for line in &shown { (row(line, now_unix, false)) } }
            }
        }
        @if let Some(next) = next {
            p { a.button.quiet href=(format!("/requests?{parameters}{}before={next}", if parameters.is_empty() { "" } else { "&" })) { "Older requests" } }
        }
    };
    Ok(frame.page("Requests", &body))
}

fn option(value: &str, chosen: Option<&str>) -> Markup {
    html! { option value=(value) selected[chosen == Some(value)] { (value) } }
}

/// The filters of a query as a query.
pub(super) fn parameters(query: &Query) -> String {
    let names = FILTERS
        .iter()
        .map(|(name, _)| *name)
        .chain(["refused", "peer", "host", "method"]);
    let set = names.filter_map(|name| Some(format!("{name}={}", percent::encode(query.get(name)?))));
    set.collect::<Vec<_>>().join("&")
}

/// One row of the list.
pub(super) fn row(line: &RecentLine, now_unix: u64, is_fresh: bool) -> Markup {
    let Ok(fields) = serde_json::from_slice::<Value>(&line.json) else {
        return html! {};
    };
    let text = |name: &str| text(&fields, name);
    let class = is_fresh.then_some("fresh");
    if text("kind") == "action" {
        return html! { tr class=[class] {
            td.nowrap { (super::now::time_of(&text("time"), now_unix)) }
            td { span.pill.info { "action" } }
            td { (text("target")) }
            td colspan="5" { b { (text("action")) } " " (text("detail")) " by " (text("actor")) }
        } };
    }
    let id = text("request_id");
    let reason = text("reason");
    html! {
        tr class=[class] {
            td.nowrap { (super::now::time_of(&text("time"), now_unix)) }
            td { span class=(colour(&text("verdict"))) { (text("verdict")) } @if reason != "none" { br; span.soft { (reason) } } }
            td { @if text("route").is_empty() { span.soft { "none" } } @else { (text("route")) } }
            td {
                @let asked = format!("{} {}{}", text("method"), text("host"), text("path"));
                @let shown = beginning(&asked, ASKED_BYTES);
                @if id.is_empty() { span.path.mono { (shown) } } @else { a.path.mono href=(format!("/requests/{}", percent::encode(&id))) { (shown) } }
            }
            td.hide.mono { (text("peer")) }
            td.num { (or_dash(&text("status"))) }
            td.num.hide { (match fields.get("signature_age_seconds").and_then(Value::as_i64) { Some(age) => format!("{age} s ago"), None => String::from("–") }) }
            td.num.hide { (milliseconds(&fields, "seconds")) }
        }
    }
}

/// One request.
pub(super) fn one(console: &Console, frame: &Frame<'_>, id: &str) -> Result<Answer, Refusal> {
    let id = api::decoded(id);
    let filter = Filter::new(&Query::of("request_id", &id));
    let lines = console.operators.recent.before(u64::MAX);
    let line = lines.iter().find(|line| filter.admits(&line.json));
    let missing = || {
        refusal(
            StatusCode::NOT_FOUND,
            "This request is not among the latest ones. The audit log has it.",
        )
    };
    let line = line.ok_or_else(missing)?;
    let fields: Value = serde_json::from_slice(&line.json).map_err(|_| missing())?;
    let text = |name: &str| text(&fields, name);
    let (verdict, reason, route) = (text("verdict"), text("reason"), text("route"));
    let now_unix = clock::unix_now();
    let captures = console.operators.gateway.captures.as_ref();
    let captured = captures.and_then(|captures| captures.find(&id, now_unix));
    let rejection = Rejection::ALL.into_iter().find(|one| one.reason() == reason);
    let body = html! {
        p { a href="/requests" { "← Requests" } }
        div.row { h1 { span.mono { (text("method")) " " (text("path")) } } span class=(colour(&verdict)) { (verdict) @if reason != "none" { ": " (reason) } } }
        p.lead { (super::now::time_of(&text("time"), now_unix)) " · " (text("time")) @if !route.is_empty() { " · route " b { (route) } } }
        @if let Some(rejection) = rejection { p.note.(if verdict == "acknowledged" { "info" } else { "bad" }) { (rejection.title()) ". " (help::of_reason(&reason)) } }
        @else if reason != "none" { p { (help::of_reason(&reason)) } }
        div.two {
            section.card aria-label="Steps" {
                h2 { "Its way" }
                ol.steps { @for step in steps(&verdict, &reason, &fields) { (step) } }
            }
            section.card aria-label="Audit line" {
                h2 { "Audit line" }
                dl { @for (name, value) in fields.as_object().into_iter().flatten() {
                    dt { (name) }
                    dd.mono { (match value { Value::String(text) => text.clone(), other => other.to_string() }) }
                } }
            }
        }
        (why(console, frame, captured.as_deref(), &route, now_unix))
    };
    Ok(frame.page("Request", &body))
}

/// Why it was refused, or what was captured of it.
fn why(console: &Console, frame: &Frame<'_>, captured: Option<&Captured>, route: &str, now_unix: u64) -> Markup {
    let may_operate = frame.identity.actor.may_operate();
    html! {
        @if let Some(captured) = captured {
            @if captured.verdict.label() == "rejected" && !captured.headers.is_empty() {
                h2 { "Why" }
                div.card { (check::explain(console, captured)) }
            }
            @if !captured.values.is_empty() {
                h2 { "Values of its body" }
                div.card { dl { @for (pointer, value) in &captured.values { dt.mono { (pointer) } dd.mono { (beginning(value, VALUE_BYTES)) } } } }
            }
            @if !captured.headers.is_empty() {
                h2 { "What arrived" }
                @if may_operate {
                    div.card {
                        @let head: String = captured.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
                        pre { (beginning(&format!("{} {}\n{head}", captured.method, captured.target), CONTENT_BYTES)) }
                        @match &captured.body {
                            Some(body) => {
                                pre { (beginning(&String::from_utf8_lossy(body), CONTENT_BYTES)) }
                                @if body.len() > CONTENT_BYTES { p.soft { "The body has " (body.len()) " bytes. The whole request: " a href=(format!("/api/v1/captures/{}", percent::encode(&*captured.request_id))) { "as a HAR document" } "." } }
                            }
                            None => p.soft { "The body was not kept." }
                        }
                    }
                } @else { p.soft { "The request was captured. Its content is shown to people with the role “operate”." } }
            }
        } @else if !route.is_empty() {
            h2 { "Its content" }
            div.card {
                p { "The request was not captured, so only its audit line is known." }
                @let until = console.operators.gateway.captures.as_ref().and_then(|captures| captures.until_unix(route, now_unix));
                @if let Some(until) = until {
                    p.soft { "Whole requests of this route are captured for " (super::layout::duration(until.saturating_sub(now_unix))) " more." }
                } @else if may_operate {
                    form.row method="post" action="/capture" {
                        (frame.token())
                        input type="hidden" name="route" value=(route);
                        label { "Capture whole requests of this route for" select name="for" { option value="10m" { "10 minutes" } option value="30m" selected { "30 minutes" } option value="1h" { "1 hour" } } }
                        button.quiet type="submit" { "Capture" }
                    }
                }
            }
        }
    }
}

/// Turns capturing on.
pub(super) fn capture(console: &Console, identity: &Identity, form: &Query) -> Result<Answer, Refusal> {
    let route = form.get("route").unwrap_or_default();
    let body = serde_json::json!({ "for": form.get("for").unwrap_or("30m") }).to_string();
    api::captures::switch(&call(console, identity, &Method::POST, body), route)?;
    Ok(login::see(&format!("/requests?route={}", percent::encode(route))))
}

/// The steps of a request's way, with what became of each.
fn steps(verdict: &str, reason: &str, fields: &Value) -> Vec<Markup> {
    const STEPS: [(&str, &str, &[&str]); 7] = [
        (
            "match",
            "host, path and method belong to a route",
            &[
                "bad_request",
                "no_route",
                "method_not_allowed",
                "header_conflict",
                "expectation_failed",
                "transfer_coding",
            ],
        ),
        (
            "admit",
            "address, rate and length are allowed",
            &["peer_not_allowed", "rate_limited", "body_too_large"],
        ),
        (
            "present",
            "the signature is there and well formed",
            &["signature_missing", "signature_malformed"],
        ),
        (
            "age",
            "it was signed within the tolerance",
            &["timestamp_stale", "timestamp_future", "key_unknown", "key_unavailable"],
        ),
        (
            "body",
            "the whole body has arrived",
            &["body_timeout", "body_incomplete", "overloaded"],
        ),
        ("verify", "the signature fits the body", &["signature_mismatch"]),
        (
            "claim",
            "it was not delivered before",
            &[
                "replayed",
                "duplicate",
                "token_reused",
                "delivery_id_missing",
                "in_flight",
                "replay_store_full",
                "replay_store_down",
            ],
        ),
    ];
    let stopped = STEPS.iter().position(|(_, _, reasons)| reasons.contains(&reason));
    let is_unread = matches!(reason, "syntax" | "head_too_large" | "head_timeout" | "stream_refused");
    let is_challenge = verdict == "challenge";
    let mut shown = Vec::new();
    for (index, (name, what, _)) in STEPS.iter().enumerate() {
        let state = match stopped {
            _ if is_unread => None,
            Some(at) if index == at => Some(false),
            Some(at) if index > at => None,
            Some(_) => Some(true),
            None if is_challenge && index > 1 => None,
            None => Some(true),
        };
        let what = match state {
            Some(true) => what,
            Some(false) => reason,
            None => "not reached",
        };
        shown.push(step(name, state, what));
    }
    let (state, what) = match verdict {
        "forwarded" => (
            Some(true),
            format!("the application answered {}", or_dash(&text(fields, "upstream_status"))),
        ),
        "reported" => (Some(true), String::from("forwarded and marked (report mode)")),
        "stored" => (Some(true), format!("stored for later: {reason}")),
        "acknowledged" => (Some(true), String::from("acknowledged; the application has it")),
        "challenge" => (Some(true), String::from("answered by hookgate itself")),
        "failed" if stopped.is_none() => (Some(false), reason.to_owned()),
        _ => (None, String::from("not forwarded")),
    };
    shown.push(step("forward", state, &what));
    shown
}

fn step(name: &str, state: Option<bool>, what: &str) -> Markup {
    let (class, mark, spoken) = match state {
        Some(true) => ("tick yes", "✓", "passed"),
        Some(false) => ("tick no", "✕", "stopped here"),
        None => ("tick later", "·", "not reached"),
    };
    html! { li { span class=(class) role="img" aria-label=(spoken) { (mark) } b { (name) } span { (what) } } }
}

fn text(fields: &Value, name: &str) -> String {
    match fields.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) | None => String::new(),
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

fn milliseconds(fields: &Value, name: &str) -> String {
    let seconds = fields.get(name).and_then(Value::as_f64);
    seconds.map_or_else(|| String::from("–"), |seconds| format!("{:.1} ms", seconds * 1000.0))
}
