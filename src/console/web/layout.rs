//! The frame of every page: head, navigation, style and script, and the policy that allows nothing else.

use crate::console::access::Identity;
use crate::console::answer::{self, Answer, Refusal};
use crate::console::api::Query;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::sync::LazyLock;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What a browser may load: the style and the script of this file, and nothing from elsewhere.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src 'none'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    HeaderValue::from_str(&policy).ok()
});

/// The pages of the navigation: path, title, whether an inbox is needed.
const PAGES: [(&str, &str, bool); 6] = [
    ("/", "Now", false),
    ("/requests", "Requests", false),
    ("/deliveries", "Deliveries", true),
    ("/dead", "Dead letters", true),
    ("/check", "Check a capture", false),
    ("/configuration", "Configuration", false),
];

/// What every page shows beside its content.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// Who is looking.
    pub(super) identity: &'a Identity,
    /// The name of this replica.
    pub(super) replica: &'a str,
    /// Whether there is an inbox.
    pub(super) has_inbox: bool,
    /// The path of the page in the navigation.
    pub(super) path: &'static str,
}

impl Frame<'_> {
    /// A page with this title and content.
    pub(super) fn page(&self, title: &str, content: &Markup) -> Answer {
        self.page_with(StatusCode::OK, title, content)
    }

    /// The same with another status.
    pub(super) fn page_with(&self, status: StatusCode, title: &str, content: &Markup) -> Answer {
        let actor = &self.identity.actor;
        let body = html! {
            a.skip href="#main" { "Skip to the content" }
            div.shell {
                header.side {
                    a.brand href="/" { (logo()) "hookgate" }
                    nav aria-label="Pages" {
                        ul {
                            @for (path, name, _) in PAGES.iter().filter(|(_, _, needs_inbox)| self.has_inbox || !needs_inbox) {
                                li { a href=(path) aria-current=[(*path == self.path).then_some("page")] { (name) } }
                            }
                        }
                    }
                    div.who {
                        span { b { (actor.name) } br; @if actor.may_operate() { "may operate" } @else { "may look" } " · replica " (self.replica) }
                        @if self.identity.has_session {
                            form method="post" action="/logout" {
                                (self.token())
                                button.quiet type="submit" { "Log out" }
                            }
                        }
                    }
                }
                main id="main" { (content) }
            }
        };
        document(status, title, &body)
    }

    /// The hidden field that every form needs.
    pub(super) fn token(&self) -> Markup {
        html! { input type="hidden" name="form_token" value=(self.identity.form_token); }
    }
}

/// A whole document.
pub(super) fn document(status: StatusCode, title: &str, body: &Markup) -> Answer {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · hookgate" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    let mut answer = answer::whole(status, "text/html; charset=utf-8", page.into_string());
    protect(&mut answer);
    answer
}

/// Adds the headers that tell a browser what it may do with an answer.
pub(super) fn protect(answer: &mut Answer) {
    let headers = answer.headers_mut();
    if let Some(policy) = &*POLICY {
        headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    }
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

fn logo() -> Markup {
    html! {
        svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" aria-hidden="true" {
            path d="M4 21V8a8 8 0 0 1 16 0v13M9 21v-8M15 21v-8M4 13h16" {}
        }
    }
}

/// The most routes of a list to choose from. With more of them, a person writes the name.
const CHOICES: usize = 50;

/// The field of a form for the name of a route; `none` is what no name means.
pub(super) fn route_field<'a>(names: impl Iterator<Item = &'a str>, chosen: &str, none: &str) -> Markup {
    let names: Vec<&str> = names.take(CHOICES + 1).collect();
    html! {
        @if names.len() > CHOICES {
            input name="route" size="18" value=(chosen) placeholder=(none);
        } @else {
            select name="route" {
                option value="" { (none) }
                @for name in names { option value=(name) selected[name == chosen] { (name) } }
            }
        }
    }
}

/// The beginning of a text that takes at most `limit` bytes of a page, so that no sender makes a page large.
pub(super) fn beginning(text: &str, limit: usize) -> Cow<'_, str> {
    let mut bytes = 0;
    let beyond = text.char_indices().find(|(_, c)| {
        bytes += if matches!(c, '"' | '&' | '<' | '>') {
            "&quot;".len()
        } else {
            c.len_utf8()
        };
        bytes > limit
    });
    match beyond.and_then(|(at, _)| text.get(..at)) {
        Some(part) => Cow::Owned(format!("{part}…")),
        None => Cow::Borrowed(text),
    }
}

/// Where the rows of a page begin: `from` of its query.
pub(super) fn first_row(query: &Query) -> Result<usize, Refusal> {
    let from = query.number("from")?.unwrap_or(0);
    Ok(usize::try_from(from).unwrap_or(usize::MAX))
}

/// Links to the rows before and after those of this page; nothing where all rows are on it.
pub(super) fn other_rows(path: &str, from: usize, rows: usize, total: usize) -> Markup {
    let end = from.saturating_add(rows);
    html! {
        @if from > 0 || end < total {
            p.row {
                @if from > 0 { a.button.quiet href=(format!("{path}?from={}", from.min(total).saturating_sub(rows))) { "Previous" } }
                @if end < total { a.button.quiet href=(format!("{path}?from={end}")) { "Next" } }
                span.soft { @if from < total { (from + 1) " to " (end.min(total)) " of " } (total) }
            }
        }
    }
}

/// A time that the script rewrites as "3 min ago".
pub(super) fn ago(rfc3339: &str, seconds: u64) -> Markup {
    let text = match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        86_400.. => format!("{} d ago", seconds / 86_400),
    };
    html! { time datetime=(rfc3339) data-ago title=(rfc3339) { (text) } }
}

/// The colour class of a verdict.
pub(super) fn colour(verdict: &str) -> &'static str {
    match verdict {
        "forwarded" | "acknowledged" | "challenge" => "pill good",
        "stored" => "pill info",
        "reported" => "pill warn",
        "rejected" | "failed" => "pill bad",
        _ => "pill",
    }
}

/// How long a certificate is valid.
pub(super) fn time_left(seconds: i64) -> String {
    u64::try_from(seconds).map_or_else(|_| String::from("expired"), duration)
}

/// A duration in its two largest units.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        86_400.. => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}
