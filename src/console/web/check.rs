//! Check a capture: is a pasted request genuine, and why not? Nothing of it is kept, and no expected signature is shown.

use super::help;
use super::layout::{Frame, route_field};
use crate::config::{SecretFiles, read_secret};
use crate::console::Console;
use crate::console::answer::{Answer, Refusal, refusal};
use crate::console::api::Query;
use crate::gateway::captures::{Captured, MASK, har};
use crate::gateway::diagnosis::judge::{self, CapturedHead, Judgement, Routes};
use crate::gateway::diagnosis::{self, Capture, Case, Diagnosis, Finding, OtherSecret, Reference};
use crate::gateway::snapshot::CompiledRoute;
use crate::outcome::Rejection;
use crate::scheme::NamedSecret;
use crate::settings::SecretInfo;
use crate::time::clock;
use hyper::StatusCode;
use maud::{Markup, html};

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
    let routes = Routes::in_force(console.operators.gateway.snapshot.load_full());
    let shown = match diagnosis::parse(text.as_bytes(), None) {
        Err(problem) => html! { p.note.bad role="alert" { "This cannot be read: " (problem) "." } },
        Ok(capture) => {
            let head = head(&capture, capture.body.as_ref().map_or(0, Vec::len));
            let chosen = form.get("route").filter(|name| !name.is_empty());
            let route = match chosen {
                Some(name) => routes.named(name),
                None => routes.matching(&head).or_else(|| routes.meant(&head)),
            };
            match route {
                None => {
                    html! { p.note.bad role="alert" { "No route has the host and the path of this request. Choose the route." } }
                }
                Some(route) => judged(console, &routes, route, chosen.is_some(), capture),
            }
        }
    };
    frame.page("Check a capture", &content(console, frame, form, Some(&shown)))
}

/// Why a captured request was refused.
pub(super) fn explain(console: &Console, captured: &Captured) -> Markup {
    let routes = Routes::in_force(console.operators.gateway.snapshot.load_full());
    let Some(route) = routes.named(&captured.route) else {
        return html! { p { "The route does not exist any more." } };
    };
    let capture = match diagnosis::parse(har(captured).to_string().as_bytes(), None) {
        Ok(capture) => capture,
        Err(problem) => return html! { p { (problem) } },
    };
    let verifier = &route.settings.verifier;
    let is_masked = |name: &str| {
        captured
            .headers
            .iter()
            .any(|(found, value)| found.eq_ignore_ascii_case(name) && value == MASK)
    };
    let is_masked = verifier.signature_headers().iter().any(|name| is_masked(name.as_str()));
    if !is_masked && captured.body.is_some() {
        return judged(console, &routes, route, false, capture);
    }
    // What is decided before the signature can still be judged.
    let length = capture.declared_length().unwrap_or(0);
    let judgement = routes.judge(&head(&capture, length), route, false);
    html! {
        @if judgement.rejection.is_some() {
            (causes(&judgement.findings))
        } @else if is_masked {
            p { "The header with the credential was masked, so it cannot be checked again: it is the secret itself. Compare the secret with the one that the provider shows." }
        } @else {
            p { "The body was not kept, so the signature cannot be checked again." }
        }
    }
}

fn head(capture: &Capture, body_bytes: usize) -> CapturedHead<'_> {
    CapturedHead {
        method: capture.method.as_ref(),
        target: capture.target.as_deref(),
        headers: &capture.headers,
        body_bytes,
        peer: None,
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
                    (route_field(snapshot.routes().iter().map(|route| &*route.settings.name), form.get("route").unwrap_or_default(), "by host and path"))
                }
                button type="submit" { "Check" }
            }
        }
    }
}

/// Judges a captured request as the gateway would, and explains the result. With `forced` its host and path are not looked at.
fn judged(console: &Console, routes: &Routes, route: &CompiledRoute, forced: bool, mut capture: Capture) -> Markup {
    let body = capture.body.take().unwrap_or_default();
    let mut judgement = routes.judge(&head(&capture, body.len()), route, forced);
    let settings = &route.settings;
    let tenant = settings
        .tenants
        .as_ref()
        .map(|tenants| head(&capture, body.len()).tenant(tenants, &body));
    let others = routes
        .all()
        .iter()
        .filter(|other| other.settings.name != settings.name && other.settings.tenants.is_none());
    let reference = Reference {
        verifier: settings.verifier.clone(),
        secrets: secrets(console, route),
        public_url: settings.public_url.clone(),
        other_secrets: others
            .map(|other| OtherSecret {
                description: format!("a secret of the route `{}`", other.settings.name),
                verifier: other.settings.verifier.clone(),
            })
            .collect(),
        tolerance_seconds: route.tolerance_seconds(),
        keys: None,
        unknown_tenant: None,
    };
    let reference = match (&settings.tenants, tenant) {
        (Some(tenants), Some(name)) => reference.of_tenant(name, |name| tenants.read_again(name)),
        _ => reference,
    };
    let case = Case::new(capture, body, reference);
    if judgement.rejection.is_none() {
        let at = case.received_at_unix.unwrap_or_else(clock::unix_now);
        let (is_challenge, rejection) = judge::after_body(&case, route, at);
        judgement.is_challenge |= is_challenge;
        judgement.rejection = rejection;
    }
    if judgement.is_challenge && judgement.rejection.is_none() {
        return html! { p.row { span.pill.good { "challenge" } span { "The provider checks the endpoint; the gateway answers it itself." } } };
    }
    let diagnosis = diagnosis::diagnose(&case);
    shown(&judgement, &diagnosis, route, case.received_at_unix.is_some())
}

/// The secrets of a route, read again: the gateway keeps them in the form in which it verifies. One that cannot be read
/// is left out, and its misspellings are then not tried.
fn secrets(console: &Console, route: &CompiledRoute) -> Vec<NamedSecret> {
    let variables = &console.access.settings().variables.0;
    let read = |info: &SecretInfo| {
        let secret = read_secret(&info.source, variables, SecretFiles::RegularOnly).ok()?;
        let name = info.name.clone();
        Some(NamedSecret { name, secret })
    };
    route.settings.secrets.iter().filter_map(read).collect()
}

fn causes(findings: &[Finding]) -> Markup {
    html! {
        @for finding in findings {
            div.cause.certain[finding.is_certain] {
                p { b { (if finding.is_certain { "Cause: " } else { "Likely cause: " }) } (finding.description) }
                p.soft { "What to do: " (finding.fix) ". " (help::of_cause(finding.cause)) }
            }
        }
    }
}

fn shown(judgement: &Judgement, diagnosis: &Diagnosis, route: &CompiledRoute, has_time: bool) -> Markup {
    let (name, provider) = (&route.settings.name, route.settings.verifier.name());
    // The reason of the earliest step; that of a missing delivery id comes after the signature.
    let rejection = match judgement.rejection {
        Some(Rejection::DeliveryIdMissing) | None => diagnosis.rejection.or(judgement.rejection),
        Some(early) => Some(early),
    };
    html! {
        @match rejection {
            None => {
                p.row { span.pill.good { "genuine" } span { "Signed with " b { (diagnosis.secret.as_deref().unwrap_or("an active secret")) } " of the route " b { (name) } "." } }
                @if diagnosis.signed_at_unix.is_some() && !has_time { p.soft { "Its age was not checked: the capture does not say when it was received." } }
                @if let Some(age) = diagnosis.age_seconds { p.soft { "Signed " (age) " s before it was received." } }
            }
            Some(rejection) => {
                p.row { span.pill.bad { (rejection.reason()) } span { (rejection.title()) " · route " b { (name) } ", " (provider) } }
                p { (help::of_reason(rejection.reason())) }
                (causes(&judgement.findings))
                (causes(&diagnosis.findings))
                @if diagnosis.rejection.is_none() { p.soft { "Its signature is genuine." } }
                @if rejection == Rejection::SignatureMismatch && !diagnosis.findings.iter().any(|finding| finding.is_certain) {
                    p.soft { "None of the usual causes explains this; " (diagnosis.trials) " variants of the request were verified. Compare the secret with the one that the provider shows"
                        @if let Some(place) = diagnosis::secret_place(provider) { " (" (place) ")" }
                        ", and capture the request again where it arrives, before any code reads it." }
                }
            }
        }
        @if !judgement.not_judged.is_empty() { p.soft { "Not judged: " (judgement.not_judged.join(", ")) "." } }
    }
}
