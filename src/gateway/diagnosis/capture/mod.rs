//! Reads a captured request in the forms in which people have one. The form is recognised by the content.
//!
//! The request is not repaired: a part that the tool did not save is reported as missing, because the purpose of the
//! diagnosis is to find what was changed. No error repeats a part of the capture, because it may contain a secret.
//!
//! | module | what it reads |
//! | --- | --- |
//! | [`transcript`] | removes what logs, mails and notes put around each line |
//! | [`source_code`] | requests as source code |
//! | [`embedded`] | finds a request inside other text |
//! | [`har`] | HAR exports of browsers and proxies |
//! | [`powershell`] | "Copy as PowerShell" and "Copy as fetch" |
//! | [`structured`] | JSON and printed values: events of functions, exports of inspectors, logged headers |
//! | [`printed_body`] | the body behind printed headers |
//! | [`curl_command`] | "Copy as cURL", wget and HTTPie |
//! | [`shell`] | splits a command line into words as a shell does |
//! | [`curl_output`] | `curl -v`, `curl --trace` and `curl --trace-ascii` |
//! | [`raw`] | raw HTTP, `.http` files, header lines with or without a body, a header value alone |
//! | [`notation`] | values as JSON, Python, Ruby, PHP, JavaScript, Java, Elixir and Go print them |
//! | [`escapes`] | escapes of quoted texts |
//! | [`value`] | such a value |
//! | [`text`] | lines, character encodings, times |

mod curl_command;
mod curl_output;
mod embedded;
mod escapes;
mod har;
mod notation;
mod powershell;
mod printed_body;
mod raw;
mod shell;
mod source_code;
mod structured;
mod text;
mod transcript;
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
    /// Whether the tool shows characters beyond ASCII as dots.
    pub hides_bytes: bool,
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
            hides_bytes: false,
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
    if entry.is_none()
        && let Some(view) = std::str::from_utf8(bytes).ok().and_then(transcript::logged)
        && let Some(capture) = within(&view)
    {
        return Ok(capture);
    }
    let direct = read(bytes, entry);
    let first = text::lines(bytes.trim_ascii_start()).next().unwrap_or_default();
    let is_raw = raw::request_line(first).is_some();
    let is_convincing = |capture: &Capture| is_raw || embedded::has_signature(capture);
    if entry.is_some() || direct.as_ref().is_ok_and(is_convincing) {
        return direct;
    }
    let within = std::str::from_utf8(bytes).ok().and_then(within);
    within.map_or(direct, Ok)
}

/// Finds a request with a signature header inside of other text.
fn within(text: &str) -> Option<Capture> {
    if let Some(capture) = source_code::parse(text) {
        return Some(capture);
    }
    // The whole capture as a quoted text.
    if text.trim_start().starts_with(['"', '\''])
        && let Some((value, _)) = notation::literal(text.trim_start())
        && let Some(capture) = value.text().and_then(|inner| read(inner.as_bytes(), None).ok())
        && embedded::has_signature(&capture)
    {
        return Some(capture);
    }
    transcript::views(text).into_iter().find_map(|view| {
        let direct = read(view.as_bytes(), None).ok().filter(embedded::has_signature);
        direct.or_else(|| embedded::find(&view))
    })
}

/// Reads a capture that has one of the forms from its beginning to its end.
fn read(bytes: &[u8], entry: Option<usize>) -> Result<Capture, String> {
    if let Some(text) = text::as_text(bytes) {
        if let Some(command) = curl_command::find(text) {
            return curl_command::parse(&command);
        }
        if let Some(capture) = powershell::parse(text).or_else(|| powershell::parse_fetch(text)) {
            return Ok(capture);
        }
        if let Some((value, rest)) = notation::parse(text)
            && let Some(found) = har::parse(&value, entry).or_else(|| structured::parse(&value, bytes, rest, entry))
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

/// A value that a language printed, as compact JSON; `None` if the text is no such value.
pub(super) fn printed_as_json(text: &str) -> Option<String> {
    /// How frameworks begin and end the parameters of a request.
    const AROUND: [(&str, &str); 4] = [
        ("<QueryDict: ", ">"),
        ("<ActionController::Parameters ", " permitted: false>"),
        ("#<ActionController::Parameters ", " permitted: false>"),
        ("#<ActionController::Parameters ", " permitted: true>"),
    ];
    let text = text.trim();
    let inner = AROUND
        .iter()
        .find_map(|(begin, end)| text.strip_prefix(begin)?.strip_suffix(end));
    let (value, rest) = notation::parse(inner.unwrap_or(text))?;
    rest.trim().is_empty().then(|| value.json())
}

/// Whether a name is that of a signature header of a known provider, in lower case.
fn is_signature_header(name: &str) -> bool {
    name.contains("signature")
        || name.contains("hmac")
        || crate::gateway::diagnosis::providers::has_signature_header(name)
}

#[cfg(test)]
mod tests;
