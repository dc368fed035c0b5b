//! Reads a captured request: raw HTTP, the output of `curl -v`, a HAR export, or header lines alone.
//!
//! The format is recognised by its content. The request is not repaired: a part that the tool did not save (curl shows
//! no body) is reported as missing, because the purpose of `verify` is to find what was changed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method};
use serde_json::Value;

/// A captured request.
#[derive(Debug)]
pub(super) struct Capture {
    /// Name of the format that was recognised, for the report.
    pub(super) format: &'static str,
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// `None` for formats without a body: header lines and the output of curl.
    pub(super) body: Option<Vec<u8>>,
    /// When the request was received, in Unix seconds; `None` if the format does not contain it.
    pub(super) received_at_unix: Option<u64>,
}

/// Recognises the format and reads the request. `entry` is the number of a request in a HAR export, counted from 1.
///
/// # Errors
/// The format is unknown or the request is incomplete. The message contains nothing of the capture.
pub(super) fn parse(bytes: &[u8], entry: Option<usize>) -> Result<Capture, String> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        let json: Value = serde_json::from_slice(bytes).map_err(|error| format!("the capture is not JSON: {error}"))?;
        return parse_har(&json, entry);
    }
    if entry.is_some() {
        return Err("--entry chooses a request of a HAR export, but the capture is not one".into());
    }
    match lines(bytes).find(|line| line.starts_with(b"> ") && is_request_line(line.get(2..).unwrap_or_default())) {
        Some(_) => parse_curl(bytes),
        None => parse_raw(bytes),
    }
}

/// Parses one line `Name: value` and appends the field to `into`.
///
/// # Errors
/// The line has another form. The message does not repeat the line, because a header may contain a secret.
pub(super) fn parse_header(line: &[u8], into: &mut HeaderMap) -> Result<(), String> {
    let wrong = || "a header line is not `Name: value`".to_owned();
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(wrong)?;
    let (name, value) = line.split_at(colon);
    let name = HeaderName::from_bytes(name.trim_ascii()).map_err(|_| wrong())?;
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    into.append(name, HeaderValue::from_bytes(value).map_err(|_| wrong())?);
    Ok(())
}

fn parse_raw(bytes: &[u8]) -> Result<Capture, String> {
    let (head, body) = split_at_empty_line(bytes);
    let mut rest = lines(head).peekable();
    let mut capture = Capture {
        format: "header lines",
        method: Method::POST,
        target: "/".into(),
        headers: HeaderMap::new(),
        body: None,
        received_at_unix: None,
    };
    if let Some(line) = rest.next_if(|line| is_request_line(line)) {
        (capture.method, capture.target) = parse_request_line(line)?;
        capture.format = "raw HTTP request";
        capture.body = Some(body.unwrap_or_default().to_vec());
    } else if body.is_some_and(|body| !body.trim_ascii().is_empty()) {
        return Err(
            "the capture is neither a raw HTTP request, nor the output of `curl -v`, nor a HAR export, nor header lines".into(),
        );
    }
    for line in rest.filter(|line| !line.is_empty()) {
        parse_header(line, &mut capture.headers)?;
    }
    let chunked = capture.headers.get(TRANSFER_ENCODING);
    if chunked.is_some_and(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")) {
        let coded = capture.body.take().unwrap_or_default();
        // Some tools keep the header but save the decoded body.
        capture.body = Some(decode_chunked(&coded).unwrap_or(coded));
    }
    Ok(capture)
}

/// Reads the lines that begin with `> ` and belong to the last request; curl's other lines are skipped.
fn parse_curl(bytes: &[u8]) -> Result<Capture, String> {
    let mut capture = None;
    for line in lines(bytes).filter_map(|line| line.strip_prefix(b"> ")) {
        if is_request_line(line) {
            let (method, target) = parse_request_line(line)?;
            capture = Some(Capture {
                format: "output of curl -v",
                method,
                target,
                headers: HeaderMap::new(),
                body: None,
                received_at_unix: None,
            });
        } else if let Some(capture) = capture.as_mut().filter(|_| !line.is_empty()) {
            parse_header(line, &mut capture.headers)?;
        }
    }
    capture.ok_or_else(|| "the output of curl has no request line".into())
}

/// Reads one entry of `log.entries` (HAR 1.2, <http://www.softwareishard.com/blog/har-12-spec/>).
fn parse_har(json: &Value, entry: Option<usize>) -> Result<Capture, String> {
    let entries = json.pointer("/log/entries").and_then(Value::as_array);
    let entries = entries.ok_or("the capture is JSON but not a HAR export: it has no `log.entries`")?;
    let entry = match (entry, entries.as_slice()) {
        (Some(number), _) => number.checked_sub(1).and_then(|at| entries.get(at)),
        (None, [only]) => Some(only),
        (None, []) => None,
        (None, _) => {
            let mut with_body = entries
                .iter()
                .filter(|entry| entry.pointer("/request/postData").is_some());
            let first = with_body.next();
            if with_body.next().is_some() {
                return Err(format!(
                    "the HAR export has {} requests: choose one with --entry NUMBER",
                    entries.len()
                ));
            }
            first
        }
    };
    let entry = entry.ok_or_else(|| {
        format!(
            "the HAR export has {} requests; choose one of them with --entry NUMBER",
            entries.len()
        )
    })?;
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
    let wrong = |what: &str| format!("the HAR entry has no usable {what}");
    let method = text("/request/method").and_then(|method| method.parse().ok());
    let url = text("/request/url").ok_or_else(|| wrong("request.url"))?;
    let url: hyper::Uri = url.parse().map_err(|_| wrong("request.url"))?;
    let mut headers = HeaderMap::new();
    let list = entry.pointer("/request/headers").and_then(Value::as_array);
    for field in list.into_iter().flatten() {
        let part = |key: &str| field.get(key).and_then(Value::as_str).unwrap_or_default();
        // Browsers export the pseudo-headers of HTTP/2 (RFC 9113, section 8.3) as if they were header fields.
        if !part("name").starts_with(':') {
            parse_header(format!("{}: {}", part("name"), part("value")).as_bytes(), &mut headers)?;
        }
    }
    if let Some(authority) = url.authority().filter(|_| !headers.contains_key(HOST)) {
        headers.extend(HeaderValue::from_str(authority.as_str()).map(|host| (HOST, host)));
    }
    let body = text("/request/postData/text").unwrap_or_default();
    let body = match text("/request/postData/encoding") {
        Some("base64") => STANDARD
            .decode(body)
            .map_err(|_| wrong("request.postData: it is not base64"))?,
        Some(_) | None => body.as_bytes().to_vec(),
    };
    Ok(Capture {
        format: "HAR export",
        method: method.ok_or_else(|| wrong("request.method"))?,
        target: url.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        headers,
        body: Some(body),
        received_at_unix: text("/startedDateTime").and_then(parse_rfc3339),
    })
}

/// Unix seconds of an RFC 3339 time with any offset.
pub(super) fn parse_rfc3339(text: &str) -> Option<u64> {
    if let Ok(at) = humantime::parse_rfc3339(text) {
        return at
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
            .map(|since| since.as_secs());
    }
    let (clock, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let seconds = hours.parse::<u64>().ok()? * 3600 + minutes.parse::<u64>().ok()? * 60;
    let at = parse_rfc3339(&format!("{clock}Z"))?;
    match offset.as_bytes().first()? {
        b'+' => at.checked_sub(seconds),
        b'-' => at.checked_add(seconds),
        _ => None,
    }
}

/// The lines without their line ends (CRLF or LF).
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The bytes before and after the first empty line; the second part is `None` if there is no empty line.
fn split_at_empty_line(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = at + line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return (bytes.get(..at).unwrap_or_default(), bytes.get(end..));
        }
        at = end;
    }
    (bytes, None)
}

fn is_request_line(line: &[u8]) -> bool {
    parse_request_line(line).is_ok()
}

fn parse_request_line(line: &[u8]) -> Result<(Method, String), String> {
    let text = std::str::from_utf8(line).unwrap_or_default();
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version), None) if version.starts_with("HTTP/") => {
            let method = Method::from_bytes(method.as_bytes()).map_err(|_| "the request line has no method")?;
            let target: hyper::Uri = target.parse().map_err(|_| "the request line has no target")?;
            Ok((
                method,
                target.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            ))
        }
        _ => Err("the capture has no request line".into()),
    }
}

/// Decodes a body in chunked transfer coding; `None` if the body is not in this coding.
fn decode_chunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = rest.get(end + 1..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?;
        rest = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"))?;
    }
}

impl Capture {
    /// Content-Length in bytes; `None` if it is absent or invalid.
    pub(super) fn declared_length(&self) -> Option<usize> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn raw_requests_with_crlf_or_lf_are_read() {
        for text in [
            "POST /hook?a=1 HTTP/1.1\r\nHost: a\r\nX-A:  b \r\n\r\n{\"a\": 1}\r\n",
            "POST /hook?a=1 HTTP/1.1\nHost: a\nX-A: b\n\n{\"a\": 1}\r\n",
        ] {
            let capture = parse(text.as_bytes(), None).unwrap();
            assert_eq!((capture.method, capture.target.as_str()), (Method::POST, "/hook?a=1"));
            assert_eq!(capture.headers["x-a"], "b");
            assert_eq!(capture.body.unwrap(), b"{\"a\": 1}\r\n");
        }
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(chunked, None).unwrap().body.unwrap(), b"abcde");
        let undone = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nabcde";
        assert_eq!(parse(undone, None).unwrap().body.unwrap(), b"abcde");
    }

    #[test]
    fn header_lines_without_a_request_line_are_read() {
        let capture = parse(b"Paddle-Signature: ts=1;h1=x\nHost: a\n", None).unwrap();
        assert_eq!((capture.format, capture.body), ("header lines", None));
        assert_eq!(capture.headers["paddle-signature"], "ts=1;h1=x");
    }

    #[test]
    fn har_entries_and_their_times_are_read() {
        let entry = |method: &str, body: &str| {
            format!(
                r#"{{"startedDateTime":"2026-01-02T03:04:05.678+01:00","request":{{"method":"{method}","url":"https://h.example/a?b=c","headers":[{{"name":":method","value":"x"}},{{"name":"X-A","value":"1"}}]{body}}}}}"#
            )
        };
        let post = entry("POST", r#","postData":{"text":"eyJ9","encoding":"base64"}"#);
        let text = format!(r#"{{"log":{{"entries":[{},{post}]}}}}"#, entry("GET", ""));
        let capture = parse(text.as_bytes(), None).unwrap();
        assert_eq!(
            (capture.target.as_str(), capture.body.as_deref()),
            ("/a?b=c", Some(&b"{\"}"[..]))
        );
        assert_eq!(
            (capture.headers["x-a"].as_bytes(), capture.headers[HOST].as_bytes()),
            (&b"1"[..], &b"h.example"[..])
        );
        assert_eq!(capture.received_at_unix, Some(1_767_319_445));
        assert_eq!(parse(text.as_bytes(), Some(1)).unwrap().method, Method::GET);
        assert!(parse(text.as_bytes(), Some(3)).unwrap_err().contains("2 requests"));
        let twice = format!(r#"{{"log":{{"entries":[{post},{post}]}}}}"#);
        assert!(parse(twice.as_bytes(), None).unwrap_err().contains("--entry"));
    }

    /// An error must not repeat the capture, because a header may contain a secret.
    #[test]
    fn an_error_does_not_repeat_the_capture() {
        for bad in [
            &b"canary"[..],
            b"POST / HTTP/1.1\r\ncanary\r\n\r\n",
            b"{\"canary\": 1}",
            b"{canary",
            b"A: b\n\ncanary",
            b"X: \x01canary",
        ] {
            let error = parse(bad, None).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        use proptest::prelude::*;
        proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "(> )?(POST /a HTTP/1.1|[a-zA-Z:\r\n {}\"]{0,9}){0,12}")| {
            let _ = parse(&bytes, None);
            let _ = parse(text.as_bytes(), None);
        });
    }
}
