//! The web console: pages rendered here, one request at a time.
//!
//! A page needs no script; the script only keeps it fresh. Every text of a request is escaped by `maud`.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`live`] | pages and rows as server-sent events |
//! | [`deliveries`] | the inbox |
//! | [`requests`] | the list of requests, and one request |
//! | [`now`] | is it flowing? |
//! | [`check`] | a pasted request, checked |
//! | [`configuration`] | what is in force |
//! | [`help`] | what each reason and each cause means |
//! | [`login`] | a token for a session |
//! | [`layout`] | the frame of every page |

mod check;
mod configuration;
mod deliveries;
mod help;
mod layout;
mod live;
mod login;
mod now;
mod requests;

use super::access::{Identity, Peer};
use super::answer::{Answer, Refusal, refusal};
use super::api::{self, Call, Query};
use super::{Console, Role, hosts};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use layout::Frame;
use maud::html;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Largest form, in bytes: a captured request that somebody pasted.
const FORM_BYTES: usize = 8 * 1024 * 1024;
/// Time for a form.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves one request of a browser or of a program.
pub async fn serve(console: &Console, peer: &Peer, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    if !is_own_host(&head, console) {
        let text = "this name is not known here; ask by address, or add the name to console.hosts";
        return refusal(StatusCode::MISDIRECTED_REQUEST, text).answer();
    }
    let now = Instant::now();
    let path = head.uri.path();
    if path.starts_with("/api/") {
        return program(console, peer, head, body, now).await;
    }
    let form = match read_form(&head, body).await {
        Ok(form) => form,
        Err(refusal) => return refusal.answer(),
    };
    let identity = console.access.identify(&head.headers, peer, now);
    let has_tokens = !console.access.settings().tokens.is_empty();
    if path == "/login" {
        if head.method != Method::POST {
            return login::page(StatusCode::OK, None, has_tokens);
        }
        if !is_own_origin(&head) {
            return refusal(StatusCode::FORBIDDEN, "this form belongs to another site").answer();
        }
        let (answer, actor) = login::log_in(&console.access, form.get("token").unwrap_or_default(), now);
        if let Some(actor) = actor {
            console.operators.record(&actor, "login", "", "");
        }
        return answer;
    }
    let Some(identity) = identity else {
        return match path {
            "/" => login::see("/login"),
            _ => login::page(StatusCode::UNAUTHORIZED, None, has_tokens),
        };
    };
    let found = match head.method {
        Method::GET | Method::HEAD => read(console, &identity, &head).await,
        Method::POST => post(console, &identity, &head, &form).await,
        _ => Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "this page has no such method")),
    };
    found.unwrap_or_else(|refusal| {
        let frame = frame(console, &identity, "");
        let content = html! { h1 { (refusal.status.canonical_reason().unwrap_or("Not possible")) } p.lead { (refusal.title) } p { a href="/" { "Back to Now" } } };
        frame.page_with(refusal.status, "Not possible", &content)
    })
}

/// The pages.
async fn read(console: &Console, identity: &Identity, head: &Parts) -> Result<Answer, Refusal> {
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let segments: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    match segments.as_slice() {
        [""] => now::page(console, &frame(console, identity, "/"), &query),
        ["requests"] => requests::list(console, &frame(console, identity, "/requests"), &query),
        ["requests", id] => requests::one(console, &frame(console, identity, "/requests"), id),
        ["deliveries"] => deliveries::list(console, &frame(console, identity, "/deliveries"), &query, false).await,
        ["dead"] => deliveries::list(console, &frame(console, identity, "/dead"), &query, true).await,
        ["deliveries", id] => deliveries::one(console, &frame(console, identity, "/deliveries"), id, &query).await,
        ["check"] => check::form(console, &frame(console, identity, "/check")),
        ["configuration"] => configuration::page(console, &frame(console, identity, "/configuration"), &query),
        ["help"] => Ok(help::page(&frame(console, identity, "/help"))),
        ["live", "now"] => live::now(console, &query),
        ["live", "requests"] => Ok(live::rows(console, &query)),
        _ => Err(refusal(StatusCode::NOT_FOUND, "There is no such page.")),
    }
}

/// The forms. Each needs the token of this person's pages and the console's own origin.
async fn post(console: &Console, identity: &Identity, head: &Parts, form: &Query) -> Result<Answer, Refusal> {
    let token = form.get("form_token").unwrap_or_default();
    if !is_own_origin(head) || !console.access.is_form_token(identity, token) {
        return Err(refusal(
            StatusCode::FORBIDDEN,
            "This form is not from this console, or is too old. Open the page again.",
        ));
    }
    let segments: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    if segments == ["logout"] {
        console.access.log_out(&head.headers);
        console.operators.record(&identity.actor, "logout", "", "");
        return Ok(login::see("/login"));
    }
    if !identity.actor.may_operate() {
        return Err(refusal(StatusCode::FORBIDDEN, "This needs the role “operate”."));
    }
    match segments.as_slice() {
        ["check"] => Ok(check::result(console, &frame(console, identity, "/check"), form)),
        ["deliveries", "act"] => deliveries::act(console, identity, form).await,
        ["deliveries", "pause"] => deliveries::pause(console, identity, form).await,
        ["capture"] => requests::capture(console, identity, form),
        _ => Err(refusal(StatusCode::NOT_FOUND, "There is no such page.")),
    }
}

/// Serves the API. A browser sends a cookie by itself, so an action that comes with one needs the form token too.
async fn program(console: &Console, peer: &Peer, head: Parts, body: Incoming, now: Instant) -> Answer {
    let Some(identity) = console.access.identify(&head.headers, peer, now) else {
        return refusal(
            StatusCode::UNAUTHORIZED,
            "send a token of the console: `Authorization: Bearer …`",
        )
        .answer();
    };
    let changes = head.method != Method::GET && head.method != Method::HEAD;
    if changes && identity.is_ambient {
        let token = head
            .headers
            .get("hookgate-form-token")
            .and_then(|token| token.to_str().ok());
        if !is_own_origin(&head) || !console.access.is_form_token(&identity, token.unwrap_or_default()) {
            return refusal(
                StatusCode::FORBIDDEN,
                "an action needs the header `Hookgate-Form-Token`",
            )
            .answer();
        }
    }
    let path = head.uri.path();
    // No request over the network names a file of this machine.
    if path == "/api/v1/inbox/backup" {
        return refusal(
            StatusCode::FORBIDDEN,
            "a backup is made over the Unix socket of the API",
        )
        .answer();
    }
    let mut actor = identity.actor;
    // What is stored has signatures that would be accepted again; only an export, which is recorded, has them.
    if !changes && path.starts_with("/api/v1/inbox/") {
        actor.role = Role::View;
    }
    api::respond(&console.operators, &actor, Request::from_parts(head, body)).await
}

fn frame<'a>(console: &'a Console, identity: &'a Identity, path: &'static str) -> Frame<'a> {
    Frame {
        identity,
        replica: &console.replica,
        has_inbox: console.operators.gateway.inbox.is_some(),
        path,
    }
}

fn is_own_host(head: &Parts, console: &Console) -> bool {
    let mut named = head.headers.get_all(HOST).iter().map(HeaderValue::to_str).peekable();
    let authority = head.uri.authority().map(|authority| Ok(authority.as_str()));
    if authority.is_none() && named.peek().is_none() {
        return false;
    }
    let hosts = &console.access.settings().hosts;
    authority
        .into_iter()
        .chain(named)
        .all(|host| host.is_ok_and(|host| hosts::is_own_name(host, hosts)))
}

/// Whether a form was sent by a page of this console: browsers name the origin of every form.
fn is_own_origin(head: &Parts) -> bool {
    let site = head.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin") {
        return false;
    }
    let text = |name| {
        head.headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let Some(origin) = text(ORIGIN) else {
        return site.is_some();
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.zip(text(HOST))
        .is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
}

async fn read_form(head: &Parts, body: Incoming) -> Result<Query, Refusal> {
    if head.method != Method::POST {
        return Ok(Query::default());
    }
    let read = timeout(FORM_TIMEOUT, Limited::new(body, FORM_BYTES).collect()).await;
    let bytes: Bytes = match read {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return Err(refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the form is too large or incomplete",
            ));
        }
        Err(_) => return Err(refusal(StatusCode::REQUEST_TIMEOUT, "the form did not arrive in time")),
    };
    Ok(str::from_utf8(&bytes).map(Query::parse).unwrap_or_default())
}

/// A call of the API's functions for a page.
fn call<'a>(console: &'a Console, identity: &'a Identity, method: &'a Method, body: String) -> Call<'a> {
    Call {
        operators: &console.operators,
        actor: &identity.actor,
        method,
        query: Query::default(),
        body: body.into(),
        is_form: false,
        last_event_id: None,
    }
}
