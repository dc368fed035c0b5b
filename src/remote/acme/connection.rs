//! The connection to the ACME server: the requests of the library over the client of [`crate::remote`], and why an order
//! failed, in words.

use super::schedule::Cause;
use crate::remote::client::{Client, FetchError};
use crate::settings::{Acme, Keys};
use crate::time::clock;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::header::RETRY_AFTER;
use hyper::{Request, StatusCode};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::UNIX_EPOCH;

/// Longest answer of the server, in bytes. A chain has some kilobytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// The longest text of the server that is shown, in characters.
const MAX_TEXT: usize = 300;

/// Why an order failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// One sentence for the log.
    pub(super) text: String,
}

impl Failure {
    /// The server, or the store, was not there.
    pub(super) fn unreachable(text: impl Into<String>) -> Self {
        Self {
            cause: Cause::Unreachable,
            text: text.into(),
        }
    }

    /// The server refused, or could not validate a name.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self {
            cause: Cause::Refused { wait: None },
            text: text.into(),
        }
    }
}

/// Sends the requests of the library, and remembers what it does not pass on.
#[derive(Clone)]
pub(super) struct Connection {
    client: Arc<Client>,
    seen: Arc<Seen>,
}

/// What the last answers said beside their content.
#[derive(Default)]
struct Seen {
    /// The wait that the server asked for when it refused, in seconds; 0 for none.
    wait: AtomicU64,
    /// Why the server could not be reached.
    unreachable: RwLock<Option<String>>,
}

impl Connection {
    pub(super) fn new(settings: &Acme, keys: &Keys) -> Self {
        Self {
            client: Arc::new(Client::with_authorities(keys, settings.ca.clone())),
            seen: Arc::default(),
        }
    }

    /// The library's error as a failure.
    pub(super) fn explain(&self, error: &Error) -> Failure {
        let unreachable = self.seen.unreachable.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = &*unreachable {
            return Failure::unreachable(text.clone());
        }
        let text = match error {
            Error::Api(problem) => {
                let kind = problem.r#type.as_deref().unwrap_or("no type");
                let kind = kind.rsplit(':').next().unwrap_or(kind);
                let mut text = format!(
                    "the server refuses: {}",
                    problem.detail.as_deref().unwrap_or("no detail")
                );
                for part in &problem.subproblems {
                    text.push_str("; ");
                    text.push_str(part.detail.as_deref().unwrap_or_default());
                }
                format!("{} ({})", printable(&text), printable(kind))
            }
            Error::Json(_) => String::from("the server's answer is not that of an ACME server; check `directory`"),
            Error::Timeout(_) => String::from("the server did not come to a decision in time"),
            Error::Unsupported(_)
            | Error::Crypto
            | Error::KeyRejected
            | Error::Http(_)
            | Error::InvalidUri(_)
            | Error::Other(_)
            | Error::Str(_)
            | _ => String::from("the server's answers do not follow RFC 8555; check `directory`"),
        };
        let wait = self.seen.wait.load(Ordering::Relaxed);
        Failure {
            cause: Cause::Refused {
                wait: (wait > 0).then_some(wait),
            },
            text,
        }
    }
}

/// Whether the server says that it does not know the account.
pub(super) fn is_account_unknown(error: &Error) -> bool {
    matches!(error, Error::Api(problem)
        if problem.r#type.as_deref().is_some_and(|kind| kind.ends_with(":accountDoesNotExist")))
}

/// The wait of a `Retry-After`, in seconds: a number, or a point in time.
fn retry_after(text: &str, now_unix: u64) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(seconds);
    }
    let at = httpdate::parse_http_date(text.trim()).ok()?;
    let at = at.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(at.saturating_sub(now_unix))
}

/// A text of the server for one line of a log.
pub(super) fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).take(MAX_TEXT).collect()
}

impl HttpClient for Connection {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let Self { client, seen } = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            // The directory names the other addresses. None of them may lead to a connection without TLS.
            let sent = if head.uri.scheme_str() == Some("https") {
                client.send(Request::from_parts(head, body), MAX_ANSWER_BYTES).await
            } else {
                Err(FetchError::Answer(String::from(
                    "the server names an address without TLS",
                )))
            };
            let sent = sent.and_then(|answer| {
                let status = answer.status();
                if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
                    return Err(FetchError::Answer(format!(
                        "the server answered with status {}",
                        status.as_u16()
                    )));
                }
                let wait = answer.headers().get(RETRY_AFTER);
                let wait = wait.and_then(|value| retry_after(value.to_str().ok()?, clock::unix_now()));
                let wait = wait.filter(|_| !status.is_success()).unwrap_or_default();
                seen.wait.store(wait, Ordering::Relaxed);
                Ok(answer)
            });
            let unreachable = sent.as_ref().err().map(ToString::to_string);
            *seen.unreachable.write().unwrap_or_else(PoisonError::into_inner) = unreachable;
            sent.map(|answer| BytesResponse::from(answer.map(http_body_util::Full::new)))
                .map_err(|error| Error::Other(Box::new(error)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_of_seconds_or_a_point_in_time() {
        let now = 784_111_777;
        assert_eq!(retry_after("120", now), Some(120));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:59:37 GMT", now), Some(600));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:39:37 GMT", now), Some(0));
        assert_eq!(retry_after("soon", now), None);
    }
}
