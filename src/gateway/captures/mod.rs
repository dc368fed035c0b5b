//! Captured requests, in memory: of the routes on which an operator turned it on, bounded in number, bytes and time. The
//! refused ones are also files of a directory, if one is configured.
//!
//! A refused request keeps its signature, because that is what an operator looks into; every other credential is replaced by
//! [`MASK`]. Of a request that was verified, the signature is replaced too: it would be accepted again.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`directory`] | writes refused requests as files |
//! | [`har`](mod@har) | a captured request as a HAR document |

mod directory;
mod har;

pub use har::{file_name, har};

use crate::http::message::Request;
use crate::outcome::{Outcome, Verdict};
use crate::scheme::{ValuePlace, Verifier};
use crate::settings::{self, Capture, Route};
use crate::time::clock;
use bytes::Bytes;
use directory::DirectoryWriter;
use hyper::StatusCode;
use serde_json::Value;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What stands in place of a credential.
pub const MASK: &str = "[masked]";
/// Requests that may be captured at the same time.
const CONCURRENT: usize = 16;
/// Largest body of which single values are shown, in bytes.
const POINTER_BODY_BYTES: usize = 256 * 1024;
/// Largest value that is shown, in bytes of its JSON text.
const VALUE_BYTES: usize = 200;

/// The captured requests of the process.
#[derive(Debug)]
pub struct Captures {
    bounds: settings::Captures,
    kept: Mutex<Kept>,
    routes: Mutex<Vec<(String, Arc<RouteCapture>)>>,
    permits: Arc<Semaphore>,
    /// Writes refused requests as files; `None` without a directory, and after [`Captures::close`].
    writer: Mutex<Option<DirectoryWriter>>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: VecDeque<Arc<Captured>>,
    bytes: usize,
}

/// What is captured of one route.
#[derive(Debug)]
pub struct RouteCapture {
    captures: Arc<Captures>,
    /// JSON pointers of values that are shown.
    pointers: Vec<String>,
    /// Whole requests are captured until then, in Unix seconds.
    until_unix: AtomicU64,
}

/// A captured request.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The request id.
    pub request_id: Arc<str>,
    /// The route.
    pub route: String,
    /// When the head had been read, in Unix milliseconds.
    pub received_unix_ms: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// What the sender was answered.
    pub status: Option<StatusCode>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The header fields.
    pub headers: Vec<(String, String)>,
    /// The body; `None` if it was not read or is not kept.
    pub body: Option<Bytes>,
    /// Pointers with the JSON text of their values.
    pub values: Vec<(String, String)>,
}

/// A request that is being captured.
#[derive(Debug)]
pub struct Capturing {
    route: Arc<RouteCapture>,
    is_whole: bool,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Bytes>,
    values: Vec<(String, String)>,
    _permit: OwnedSemaphorePermit,
}

impl Captures {
    /// Nothing is captured yet. Starts the thread that writes files, if a directory is configured.
    ///
    /// # Errors
    /// The directory cannot be created or read, or the thread cannot be started.
    pub fn start(bounds: settings::Captures) -> io::Result<Arc<Self>> {
        let writer = bounds
            .directory
            .as_deref()
            .map(|directory| DirectoryWriter::start(directory, &bounds))
            .transpose()?;
        Ok(Arc::new(Self {
            bounds,
            kept: Mutex::default(),
            routes: Mutex::default(),
            permits: Arc::new(Semaphore::new(CONCURRENT)),
            writer: Mutex::new(writer),
        }))
    }

    /// Waits until what was captured is written, and writes no more. Blocks.
    pub fn close(&self) {
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer {
            writer.close();
        }
    }

    /// Gives each route its state. What an operator turned on stays on after a reload.
    pub fn attach<'a>(self: &Arc<Self>, all: impl Iterator<Item = (&'a Route, &'a OnceLock<Arc<RouteCapture>>)>) {
        let now_unix = clock::unix_now();
        let mut routes = lock(&self.routes);
        let old = std::mem::take(&mut *routes);
        for (settings, place) in all {
            let name = &settings.name;
            let known = old.iter().find(|(known, _)| known == name);
            let known = known.map_or(0, |(_, known)| known.until_unix.load(Ordering::Relaxed));
            let (pointers, until_unix) = match &settings.capture {
                Capture::Off => (Vec::new(), known),
                Capture::Values(pointers) => (pointers.clone(), known),
                Capture::Full => (Vec::new(), known.max(now_unix + self.bounds.full_for.as_secs())),
            };
            let state = Arc::new(RouteCapture {
                captures: self.clone(),
                pointers,
                until_unix: AtomicU64::new(until_unix),
            });
            routes.push((name.clone(), state.clone()));
            // A route is attached once, after it is compiled.
            let _ = place.set(state);
        }
    }

    /// Captures whole requests of a route for this time from `now_unix`; zero ends it. False if there is no such route.
    #[must_use]
    pub fn capture_for(&self, route: &str, duration: Duration, now_unix: u64) -> bool {
        let routes = lock(&self.routes);
        let found = routes.iter().find(|(name, _)| name == route);
        if let Some((_, state)) = found {
            let until = if duration.is_zero() {
                0
            } else {
                now_unix + duration.as_secs()
            };
            state.until_unix.store(until, Ordering::Relaxed);
        }
        found.is_some()
    }

    /// Until when whole requests of a route are captured, in Unix seconds; `None` if they are not.
    #[must_use]
    pub fn until_unix(&self, route: &str, now_unix: u64) -> Option<u64> {
        let routes = lock(&self.routes);
        let (_, state) = routes.iter().find(|(name, _)| name == route)?;
        Some(state.until_unix.load(Ordering::Relaxed)).filter(|until| *until > now_unix)
    }

    /// The longest time for which an operator may capture.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.bounds.keep
    }

    /// All that is kept at `now_unix`, the latest first.
    #[must_use]
    pub fn all(&self, now_unix: u64) -> Vec<Arc<Captured>> {
        let mut kept = lock(&self.kept);
        self.expire(&mut kept, now_unix);
        kept.requests.iter().rev().cloned().collect()
    }

    /// The captured request with this id.
    #[must_use]
    pub fn find(&self, request_id: &str, now_unix: u64) -> Option<Arc<Captured>> {
        let all = self.all(now_unix);
        all.into_iter().find(|captured| &*captured.request_id == request_id)
    }

    /// Keeps a request in memory, and as a file if it is whole and was refused.
    fn keep(&self, captured: Captured, is_whole: bool) {
        let now_unix = captured.received_unix_ms / 1000;
        let captured = Arc::new(captured);
        if is_whole
            && captured.is_refused()
            && let Some(writer) = &*lock(&self.writer)
        {
            writer.write(&captured);
        }
        let mut kept = lock(&self.kept);
        kept.bytes += captured.bytes();
        kept.requests.push_back(captured);
        self.expire(&mut kept, now_unix);
    }

    fn expire(&self, kept: &mut Kept, now_unix: u64) {
        let oldest_unix = now_unix.saturating_sub(self.bounds.keep.as_secs());
        while let Some(oldest) = kept.requests.front() {
            let is_due = oldest.received_unix_ms / 1000 < oldest_unix;
            if !is_due && kept.requests.len() <= self.bounds.count && kept.bytes <= self.bounds.bytes {
                return;
            }
            kept.bytes -= oldest.bytes();
            kept.requests.pop_front();
        }
    }
}

impl RouteCapture {
    /// Begins to capture a request; `None` if the route does not capture now, or too many requests are being captured.
    #[must_use]
    pub fn begin(self: &Arc<Self>, request: &Request, now_unix: u64) -> Option<Box<Capturing>> {
        let is_whole = self.until_unix.load(Ordering::Relaxed) > now_unix;
        if !is_whole && self.pointers.is_empty() {
            return None;
        }
        let permit = self.captures.permits.clone().try_acquire_owned().ok()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Box::new(Capturing {
            route: self.clone(),
            is_whole,
            method: request.method.to_string(),
            target: request
                .uri
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            headers: match is_whole {
                true => request
                    .headers
                    .iter()
                    .map(|field| (text(field.name), text(field.value)))
                    .collect(),
                false => Vec::new(),
            },
            body: None,
            values: Vec::new(),
            _permit: permit,
        }))
    }
}

impl Capturing {
    /// Whether the whole request is captured, so that its body is read even if its head is refused.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Takes what is captured of the body.
    pub fn body(&mut self, pieces: &[Bytes]) {
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        let RouteCapture { captures, pointers, .. } = &*self.route;
        if self.is_whole && bytes <= captures.bounds.bytes / 4 {
            self.body = Some(pieces.concat().into());
        }
        if !pointers.is_empty()
            && bytes <= POINTER_BODY_BYTES
            && let Ok(document) = serde_json::from_slice::<Value>(&pieces.concat())
        {
            let value = |pointer: &String| {
                let text = document.pointer(pointer)?.to_string();
                Some((pointer.clone(), cut(text)))
            };
            self.values = pointers.iter().filter_map(value).collect();
        }
    }

    /// Keeps the request with its outcome.
    pub fn end(self, outcome: &Outcome, route: &Route) {
        let verifier = &route.verifier;
        let may_show_signature = outcome.is_unverified_refusal() && !verifier.compares_token();
        let place = verifier.read_places().signature;
        let is_in_body = matches!(place, ValuePlace::Json | ValuePlace::Form | ValuePlace::JsonOrForm);
        let target = if may_show_signature && place == ValuePlace::Query {
            self.target
        } else {
            masked_target(&self.target)
        };
        let headers = self.headers.into_iter();
        let captured = Captured {
            request_id: outcome.request_id.clone(),
            route: route.name.clone(),
            received_unix_ms: outcome.received_unix_ms,
            verdict: outcome.verdict,
            status: outcome.status,
            method: self.method,
            target,
            headers: headers
                .map(
                    |(name, value)| match is_credential(&name, verifier, may_show_signature) {
                        true => (name, MASK.to_owned()),
                        false => (name, value),
                    },
                )
                .collect(),
            // The body of a verified request with its signature in it would be accepted again.
            body: self.body.filter(|_| !is_in_body || may_show_signature),
            values: self.values,
        };
        self.route.captures.keep(captured, self.is_whole);
    }
}

impl Captured {
    /// Whether a stranger may have sent it: it was refused before it was verified.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self.verdict, Verdict::Refused(_))
    }

    fn bytes(&self) -> usize {
        let pairs = self.headers.iter().chain(&self.values);
        let texts: usize = pairs.map(|(name, value)| name.len() + value.len() + 48).sum();
        texts + self.target.len() + self.body.as_ref().map_or(0, Bytes::len) + 256
    }
}

/// Whether a header holds a credential, so that its value is not kept.
fn is_credential(name: &str, verifier: &Verifier, may_show_signature: bool) -> bool {
    const NAMES: [&str; 5] = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-forwarded-client-cert",
    ];
    const PARTS: [&str; 8] = [
        "token",
        "secret",
        "password",
        "api-key",
        "apikey",
        "credential",
        "auth-key",
        "session",
    ];
    let name = name.to_ascii_lowercase();
    if verifier
        .signature_headers()
        .iter()
        .any(|header| header.as_str() == name)
    {
        return !may_show_signature;
    }
    // A signature of another scheme, or of an older header of the same provider.
    let is_signature = name.contains("signature") || name.contains("hmac");
    NAMES.contains(&name.as_str())
        || PARTS.iter().any(|part| name.contains(part))
        || (is_signature && !may_show_signature)
}

/// The target with the values of its query masked: providers put tokens and signatures there.
fn masked_target(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let masked = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() => format!("{name}={MASK}"),
        Some(_) | None => pair.to_owned(),
    });
    format!("{path}?{}", masked.collect::<Vec<_>>().join("&"))
}

fn cut(mut text: String) -> String {
    if text.len() > VALUE_BYTES {
        let end = (0..=VALUE_BYTES)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A panic while the lock was held leaves whole entries.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_query_are_masked_and_long_values_cut() {
        assert_eq!(masked_target("/a?token=x&b&c="), "/a?token=[masked]&b&c=");
        assert_eq!(masked_target("/a"), "/a");
        assert_eq!(cut("é".repeat(200)), format!("{}…", "é".repeat(100)));
    }
}
