//! Check a capture: is a pasted request genuine, and why not? Nothing of it is kept, and no expected signature is shown.

use super::layout::Frame;
use crate::console::Console;
use crate::console::answer::{Answer, Refusal, refusal};
use crate::console::api::{Query, captures};
use crate::gateway::captures::{Captured, MASK};
use crate::gateway::diagnosis::{self, Capture, Case, Diagnosis, OtherSecret, Reference};
use crate::gateway::snapshot::{CompiledRoute, Snapshot};
use crate::outcome::Rejection;
use hyper::StatusCode;
use hyper::header::HOST;
use maud::{Markup, html};
use std::sync::Arc;

/// The form.
pub(super) fn form(console: &Console, frame: &Frame<'_>) -> Result<Answer, Refusal> {
    if !frame.identity.actor.may_operate() {
        return Err(refusal(StatusCode::FORBIDDEN, "This needs the role “operate”."));
    }
    Ok(frame.page("Check a capture", &content(console, frame, &Query::default(), None)))
}

/// The result for what was sent.
pub(super) fn result(console: &Console, frame: &Frame<'_>, form: &Query) -> Answer {
    let text = form.get("capture").unwrap_or_default();
    let snapshot = console.operators.gateway.snapshot.load();
    let shown = match diagnosis::parse(text.as_bytes(), None) {
        Err(problem) => html! { p.note.bad role="alert" { "This cannot be read: " (problem) "." } },
        Ok(capture) => match route_of(&snapshot, form.get("route"), &capture) {
            None => {
                html! { p.note.bad role="alert" { "No route has the host and the path of this request. Choose the route." } }
            }
            Some(route) => judged(&snapshot, route, capture),
        },
    };
    frame.page("Check a capture", &content(console, frame, form, Some(&shown)))
}

/// Why a captured request was refused.
pub(super) fn explain(console: &Console, captured: &Captured) -> Markup {
    let snapshot = console.operators.gateway.snapshot.load();
    let route = snapshot
        .routes()
        .iter()
        .find(|route| route.settings.name == captured.route);
    let Some(route) = route else {
        return html! { p { "The route does not exist any more." } };
    };
    let verifier = &route.settings.verifier;
    let is_masked = |name: &str| {
        captured
            .headers
            .iter()
            .any(|(found, value)| found.eq_ignore_ascii_case(name) && value == MASK)
    };
    if verifier.signature_headers().iter().any(|name| is_masked(name.as_str())) {
        return html! { p { "The header with the credential was masked, so it cannot be checked again: it is the secret itself. Compare the secret with the one that the provider shows." } };
    }
    if captured.body.is_none() {
        return html! { p { "The body was not kept, so the signature cannot be checked again." } };
    }
    match diagnosis::parse(captures::har(captured).to_string().as_bytes(), None) {
        Ok(capture) => judged(&snapshot, route, capture),
        Err(problem) => html! { p { (problem) } },
    }
}

fn content(console: &Console, frame: &Frame<'_>, form: &Query, result: Option<&Markup>) -> Markup {
    let snapshot = console.operators.gateway.snapshot.load();
    html! {
        h1 { "Check a capture" }
        p.lead { "Paste a request in any form: raw HTTP, “Copy as cURL”, a HAR export, the JSON of an inspector, or headers and body from a log. It is checked with the secrets of this gateway and not kept." }
        @if let Some(result) = result { section.card aria-label="Result" { (result) } br; }
        form method="post" action="/check" {
            (frame.token())
            label { "Request" textarea name="capture" required spellcheck="false" { (form.get("capture").unwrap_or_default()) } }
            div.row {
                label { "Route"
                    select name="route" {
                        option value="" { "by host and path" }
                        @for route in snapshot.routes() { option value=(route.settings.name) selected[form.get("route") == Some(route.settings.name.as_str())] { (route.settings.name) } }
                    }
                }
                button type="submit" { "Check" }
            }
        }
    }
}

fn route_of<'s>(snapshot: &'s Snapshot, name: Option<&str>, capture: &Capture) -> Option<&'s Arc<CompiledRoute>> {
    let routes = snapshot.routes();
    if let Some(name) = name {
        return routes.iter().find(|route| route.settings.name == name);
    }
    let path = capture
        .target
        .as_deref()
        .unwrap_or_default()
        .split('?')
        .next()
        .unwrap_or_default();
    let host = capture
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let has_header = |route: &&Arc<CompiledRoute>| {
        let header = route.settings.verifier.signature_headers().first();
        header.is_some_and(|header| capture.headers.contains_key(header))
    };
    let only = || if let [only] = routes { Some(only) } else { None };
    snapshot
        .find(host, path)
        .or_else(only)
        .or_else(|| routes.iter().find(has_header))
}

/// Verifies a captured request, and explains the result.
fn judged(snapshot: &Snapshot, route: &CompiledRoute, mut capture: Capture) -> Markup {
    let body = capture.body.take().unwrap_or_default();
    let settings = &route.settings;
    let others = snapshot
        .routes()
        .iter()
        .filter(|other| other.settings.name != settings.name);
    let reference = Reference {
        verifier: settings.verifier.clone(),
        secrets: Vec::new(),
        public_url: settings.public_url.clone(),
        other_secrets: others
            .map(|other| OtherSecret {
                description: format!("a secret of the route `{}`", other.settings.name),
                verifier: other.settings.verifier.clone(),
            })
            .collect(),
        tolerance_seconds: route.tolerance_seconds(),
    };
    let case = Case::new(capture, body, reference);
    let diagnosis = diagnosis::diagnose(&case);
    shown(
        &diagnosis,
        &settings.name,
        settings.verifier.name(),
        case.received_at_unix.is_some(),
    )
}

fn shown(diagnosis: &Diagnosis, route: &str, provider: &str, has_time: bool) -> Markup {
    html! {
        @match diagnosis.rejection {
            None => {
                p.row { span.pill.good { "genuine" } span { "Signed with " b { (diagnosis.secret.as_deref().unwrap_or("an active secret")) } " of the route " b { (route) } "." } }
                @if diagnosis.signed_at_unix.is_some() && !has_time { p.soft { "Its age was not checked: the capture does not say when it was received." } }
                @if let Some(age) = diagnosis.age_seconds { p.soft { "Signed " (age) " s before it was received." } }
            }
            Some(rejection) => {
                p.row { span.pill.bad { (rejection.reason()) } span { (rejection.title()) " · route " b { (route) } ", " (provider) } }
                @for finding in &diagnosis.findings {
                    div.cause.certain[finding.is_certain] {
                        p { b { (if finding.is_certain { "Cause: " } else { "Likely cause: " }) } (finding.description) }
                        p.soft { "What to do: " (finding.fix) "." }
                    }
                }
                @if rejection == Rejection::SignatureMismatch && !diagnosis.findings.iter().any(|finding| finding.is_certain) {
                    p.soft { "None of the usual causes explains this; " (diagnosis.trials) " variants of the request were verified. Compare the secret with the one that the provider shows"
                        @if let Some(place) = diagnosis::secret_place(provider) { " (" (place) ")" }
                        ", and capture the request again where it arrives, before any code reads it." }
                }
            }
        }
    }
}
