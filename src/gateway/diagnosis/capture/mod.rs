//! Reads a captured request in the forms in which people have one. The form is recognised by the content.
//!
//! The request is not repaired: a part that the tool did not save is reported as missing, because the purpose of the
//! diagnosis is to find what was changed. No error repeats a part of the capture, because it may contain a secret.
//!
//! | module | what it reads |
//! | --- | --- |
//! | [`har`] | HAR exports of browsers and proxies |
//! | [`powershell`] | "Copy as PowerShell" and "Copy as fetch" |
//! | [`structured`] | JSON and printed values: events of functions, exports of inspectors, logged headers |
//! | [`curl_command`] | "Copy as cURL" |
//! | [`shell`] | splits a command line into words as a shell does |
//! | [`curl_output`] | `curl -v` and `curl --trace-ascii` |
//! | [`raw`] | raw HTTP, `.http` files, header lines with or without a body, a header value alone |
//! | [`notation`] | values as JSON, Python, Ruby, PHP, JavaScript and Go print them |
//! | [`value`] | such a value |
//! | [`text`] | lines, character encodings, times |

mod curl_command;
mod curl_output;
mod har;
mod notation;
mod powershell;
mod raw;
mod shell;
mod structured;
mod text;
mod value;

pub use text::parse_time;

use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};

/// A captured request. What the capture does not contain is `None`.
#[derive(Debug)]
pub struct Capture {
    /// The form that was recognised, for the report.
    pub format: &'static str,
    /// The method.
    pub method: Option<Method>,
    /// Path and query.
    pub target: Option<String>,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// Whether the capture contains the body only as a parsed value, so that its exact bytes are lost.
    pub body_was_parsed: bool,
    /// When the request was received, in Unix seconds.
    pub received_at_unix: Option<u64>,
    /// The language or framework that printed the capture, where its notation shows it.
    pub printed_by: Option<&'static str>,
}

impl Capture {
    /// A capture of this form that contains nothing yet.
    const fn new(format: &'static str, headers: HeaderMap) -> Self {
        Self {
            format,
            method: None,
            target: None,
            headers,
            body: None,
            body_was_parsed: false,
            received_at_unix: None,
            printed_by: None,
        }
    }

    /// Content-Length in bytes; `None` if it is absent or invalid.
    #[must_use]
    pub fn declared_length(&self) -> Option<usize> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
    }
}

/// Recognises the form and reads the request. `entry` is the number of a request, counted from 1, where the capture
/// contains several.
///
/// # Errors
/// The form is unknown or the request is incomplete. The message contains nothing of the capture.
pub fn parse(bytes: &[u8], entry: Option<usize>) -> Result<Capture, String> {
    let bytes = &*text::decoded(bytes);
    if bytes.trim_ascii().is_empty() {
        return Err("the capture is empty: copy the whole request, with its headers and its body".into());
    }
    if let Some(text) = text::as_text(bytes) {
        if let Some(command) = curl_command::find(text) {
            return curl_command::parse(command);
        }
        if let Some(capture) = powershell::parse(text).or_else(|| powershell::parse_fetch(text)) {
            return Ok(capture);
        }
        if let Some((value, rest)) = notation::parse(text)
            && let Some(found) = har::parse(&value, entry).or_else(|| structured::parse(&value, rest, entry))
        {
            return found;
        }
    }
    if entry.is_some() {
        return Err("--entry chooses a request of a HAR export or a list, but the capture has only one request".into());
    }
    curl_output::parse(bytes).unwrap_or_else(|| raw::parse(bytes))
}

/// Reads a header as options of commands have it: `Name: value`.
///
/// # Errors
/// The text has another form. The message does not repeat it.
pub fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    raw::field(text.as_bytes()).ok_or_else(|| "write a header as `Name: value`".into())
}

/// The position of a request in a list of `count`, which `entry` chooses, counted from 1.
///
/// # Errors
/// There are several and none was chosen, or there is no such request.
fn choose(count: usize, entry: Option<usize>) -> Result<usize, String> {
    match entry {
        None if count == 1 => Ok(0),
        Some(number) if (1..=count).contains(&number) => Ok(number - 1),
        None | Some(_) => Err(format!(
            "the capture has {count} requests: choose one of them with --entry NUMBER"
        )),
    }
}

/// Whether a name is that of a signature header of a known provider, in lower case.
fn is_signature_header(name: &str) -> bool {
    crate::gateway::diagnosis::providers::has_signature_header(name)
}

#[cfg(test)]
mod tests;
