//! The inbox: what is stored, one delivery with its attempts, dead letters, and what operators do with them.

use super::layout::{Frame, route_field};
use super::{call, login};
use crate::console::Console;
use crate::console::access::Identity;
use crate::console::answer::{Answer, Refusal, refusal};
use crate::console::api::{self, Query};
use crate::http::percent;
use crate::inbox::model::delivery::State;
use crate::time::clock;
use hyper::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::Value;

/// Rows of one page.
const ROWS: &str = "60";

/// The list; `is_dead` shows the dead letters only.
pub(super) async fn list(
    console: &Console,
    frame: &Frame<'_>,
    query: &Query,
    is_dead: bool,
) -> Result<Answer, Refusal> {
    let state = if is_dead { Some("dead") } else { query.get("state") };
    let mut parameters: Vec<(&str, &str)> = vec![("limit", ROWS)];
    parameters.extend(state.map(|state| ("state", state)));
    for name in ["route", "id", "after"] {
        parameters.extend(query.get(name).map(|value| (name, value)));
    }
    let wanted = Query::pairs(&parameters);
    let found = ask(console, frame.identity, &Method::GET, &["inbox", "deliveries"], wanted).await?;
    let deliveries = found
        .get("deliveries")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let next = found.get("next").and_then(Value::as_i64);
    let path = if is_dead { "/dead" } else { "/deliveries" };
    let route = query.get("route").unwrap_or_default();
    let may_operate = frame.identity.actor.may_operate();
    let now_unix = clock::unix_now();
    let snapshot = console.operators.gateway.snapshot.load();
    let body = html! {
        h1 { (if is_dead { "Dead letters" } else { "Deliveries" }) }
        p.lead {
            @if is_dead { "Webhooks that the application did not take within the time of their route. The sender was told that they arrived, so nobody sends them again: deliver or drop them here." }
            @else { "Webhooks that are stored: those that wait, and those that were settled a short time ago. Oldest first." }
        }
        form.filters method="get" action=(path) {
            label { "Route" (route_field(snapshot.routes().iter().filter(|one| one.durable.is_some()).map(|one| &*one.settings.name), route, "all")) }
            @if !is_dead { label { "State" select name="state" { option value="" { "all" } @for one in State::ALL { option value=(one.label()) selected[state == Some(one.label())] { (one.label()) } } } } }
            label { "Delivery id" input name="id" size="34" value=(query.get("id").unwrap_or_default()); }
            button type="submit" { "Filter" }
        }
        @if deliveries.is_empty() {
            div.card.empty {
                @if is_dead { b { "No dead letters" } "Every stored webhook was delivered, or is still being tried." }
                @else { b { "Nothing is stored" } "Webhooks appear here when the application does not take them." }
            }
        } @else {
            div.wide tabindex="0" role="region" aria-label="Deliveries" {
                table {
                    thead { tr { th { "Arrived" } th { "State" } th { "Route" } th { "Delivery" } th.num { "Attempts" } th.hide { "Next attempt" } th.num.hide { "Size" } } }
                    tbody { @for one in &deliveries { (row(one, now_unix)) } }
                }
            }
            @if may_operate {
                h2 { "All of these" }
                form.row.card method="post" action="/deliveries/act" {
                    (frame.token())
                    input type="hidden" name="route" value=(route);
                    input type="hidden" name="state" value=(state.unwrap_or_default());
                    label { "Every stored delivery that these filters select" select name="do" { option value="redeliver" { "redeliver" } option value="drop" { "drop" } } }
                    label { "Type yes to confirm" input name="confirm" size="6" required pattern="yes" autocomplete="off"; }
                    button.danger type="submit" { "Do it" }
                }
            }
        }
        @if may_operate && !route.is_empty() {
            form.row method="post" action="/deliveries/pause" {
                (frame.token())
                input type="hidden" name="route" value=(route);
                button.quiet type="submit" name="do" value="pause" { "Pause " (route) }
                button.quiet type="submit" name="do" value="resume" { "Resume " (route) }
            }
        }
        @if let Some(next) = next { p { a.button.quiet href=(format!("{path}?route={}&state={}&after={next}", percent::encode(route), percent::encode(state.unwrap_or_default()))) { "Later ones" } } }
    };
    Ok(frame.page(if is_dead { "Dead letters" } else { "Deliveries" }, &body))
}

fn row(one: &Value, now_unix: u64) -> Markup {
    let id = text(one, "id");
    html! {
        tr {
            td.nowrap { (super::now::time_of(&text(one, "received_at"), now_unix)) }
            td { (state(one)) }
            td { (text(one, "route")) }
            td { a.mono href=(format!("/deliveries/{id}?route={}", percent::encode(text(one, "route")))) { (id) } br; span.soft { "stored: " (text(one, "reason")) } }
            td.num { (text(one, "attempts")) }
            td.hide.nowrap { (text(one, "next_at")) }
            td.num.hide { (text(one, "bytes")) " B" }
        }
    }
}

fn state(one: &Value) -> Markup {
    let label = text(one, "state");
    let class = match label.as_str() {
        "delivered" => "pill good",
        "dead" | "blocked" => "pill bad",
        "dropped" => "pill",
        _ => "pill info",
    };
    let why = text(one, "why");
    html! { span class=(class) { (label) } @if !why.is_empty() { br; span.soft { (why) } } }
}

/// One delivery.
pub(super) async fn one(console: &Console, frame: &Frame<'_>, id: &str, query: &Query) -> Result<Answer, Refusal> {
    let route = query.get("route").unwrap_or_default();
    let wanted = Query::pairs(&[("route", route)]);
    let found = ask(
        console,
        frame.identity,
        &Method::GET,
        &["inbox", "deliveries", id],
        wanted,
    )
    .await?;
    let attempts = found
        .get("attempt_list")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let actions = found
        .get("actions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let received = text(&found, "received_at");
    let body = html! {
        p { a href="/deliveries" { "← Deliveries" } }
        div.row { h1 { span.mono { (text(&found, "id")) } } (state(&found)) }
        p.lead { "Arrived " (super::now::time_of(&received, clock::unix_now())) " · route " b { (text(&found, "route")) } " · stored because of " (text(&found, "reason")) }
        div.two {
            section.card aria-label="Facts" {
                h2 { "Delivery" }
                dl { @for (name, value) in found.as_object().into_iter().flatten().filter(|(_, value)| value.is_string() || value.is_number()) {
                    dt { (name) } dd.mono { (match value { Value::String(text) => text.clone(), other => other.to_string() }) }
                } }
            }
            section.card aria-label="Attempts" {
                h2 { "Attempts" }
                @if attempts.is_empty() { p.soft { "None yet." } }
                @for attempt in &attempts {
                    p { b { "Attempt " (text(attempt, "number")) } " · " (text(attempt, "outcome")) " " (text(attempt, "status")) " · " (text(attempt, "took_ms")) " ms · " (text(attempt, "ended_at")) }
                    @if !text(attempt, "answer").is_empty() { pre { (text(attempt, "answer")) } }
                }
                @if !actions.is_empty() { h2 { "What people did" } }
                @for action in &actions { p { (text(action, "at")) " · " b { (text(action, "action")) } " by " (text(action, "actor")) } }
            }
        }
        @if frame.identity.actor.may_operate() {
            h2 { "Act" }
            form.row method="post" action="/deliveries/act" {
                (frame.token())
                input type="hidden" name="id" value=(text(&found, "id"));
                input type="hidden" name="route" value=(text(&found, "route"));
                input type="hidden" name="confirm" value="yes";
                button type="submit" name="do" value="redeliver" { "Redeliver" }
                button.danger type="submit" name="do" value="drop" { "Drop" }
            }
        }
    };
    Ok(frame.page("Delivery", &body))
}

/// Redelivers or drops one delivery, or all that the filters select.
pub(super) async fn act(console: &Console, identity: &Identity, form: &Query) -> Result<Answer, Refusal> {
    if form.get("confirm") != Some("yes") {
        return Err(refusal(StatusCode::BAD_REQUEST, "Type “yes” to confirm."));
    }
    let operation = match form.get("do") {
        Some("redeliver") => "redeliver",
        Some("drop") => "drop",
        Some(_) | None => return Err(refusal(StatusCode::BAD_REQUEST, "There is no such action.")),
    };
    let named = ["id", "route", "state"]
        .into_iter()
        .filter_map(|name| Some((name, form.get(name)?)));
    let wanted = Query::pairs(&named.collect::<Vec<_>>());
    ask(console, identity, &Method::POST, &["inbox", operation], wanted).await?;
    let path = match form.get("id") {
        Some(id) => format!(
            "/deliveries/{}?route={}",
            percent::encode(id),
            percent::encode(form.get("route").unwrap_or_default())
        ),
        None => String::from("/deliveries"),
    };
    Ok(login::see(&path))
}

/// Pauses or resumes a route.
pub(super) async fn pause(console: &Console, identity: &Identity, form: &Query) -> Result<Answer, Refusal> {
    let route = form.get("route").unwrap_or_default();
    let operation = if form.get("do") == Some("resume") {
        "resume"
    } else {
        "pause"
    };
    ask(
        console,
        identity,
        &Method::POST,
        &["inbox", "routes", route, operation],
        Query::default(),
    )
    .await?;
    Ok(login::see(&format!("/deliveries?route={}", percent::encode(route))))
}

async fn ask(
    console: &Console,
    identity: &Identity,
    method: &Method,
    path: &[&str],
    query: Query,
) -> Result<Value, Refusal> {
    let mut call = call(console, identity, method, String::new());
    call.query = query;
    api::document(&call, path).await
}

fn text(document: &Value, name: &str) -> String {
    match document.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) | None => String::new(),
    }
}
