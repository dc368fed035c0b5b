//! The login: a token is exchanged for a session.

use super::layout::{document, protect};
use crate::console::access::Access;
use crate::console::answer::{self, Answer};
use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE};
use maud::html;
use tokio::time::Instant;

/// The page with the form.
pub(super) fn page(status: StatusCode, problem: Option<&str>, has_tokens: bool) -> Answer {
    let body = html! {
        main.login {
            div.card {
                h1 { "hookgate console" }
                @if has_tokens {
                    p.soft { "Enter your access token. Your operator gives you one." }
                    @if let Some(problem) = problem { p.note.bad role="alert" { (problem) } }
                    form method="post" action="/login" {
                        label { "Access token" input type="password" name="token" required autocomplete="current-password" autofocus; }
                        button type="submit" { "Log in" }
                    }
                } @else {
                    p.note.bad role="alert" { "Your certificate or your proxy does not give access to this console." }
                }
            }
        }
    };
    document(status, "Log in", &body)
}

/// Answers the form.
pub(super) fn log_in(access: &Access, token: &str, now: Instant) -> (Answer, Option<crate::console::Actor>) {
    match access.log_in(token.trim(), now) {
        Ok((id, actor)) => {
            let mut answer = see("/");
            let secure = if access.cookie_name().starts_with("__Host-") {
                "; Secure"
            } else {
                ""
            };
            let cookie = format!(
                "{}={id}; Path=/; HttpOnly; SameSite=Strict{secure}",
                access.cookie_name()
            );
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                answer.headers_mut().insert(SET_COOKIE, cookie);
            }
            (answer, Some(actor))
        }
        Err(None) => (
            page(StatusCode::FORBIDDEN, Some("This token is not known."), true),
            None,
        ),
        Err(Some(seconds)) => {
            let text = format!("Too many failed attempts. Try again in {seconds} seconds.");
            let mut answer = page(StatusCode::TOO_MANY_REQUESTS, Some(&text), true);
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            (answer, None)
        }
    }
}

/// Sends the browser to a path of the console.
pub(super) fn see(path: &str) -> Answer {
    let mut answer = answer::whole(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    if let Ok(path) = HeaderValue::from_str(path) {
        answer.headers_mut().insert(LOCATION, path);
    }
    protect(&mut answer);
    answer
}
