//! Raw HTTP requests, `.http` files, header lines, and the value of a signature header alone.

use super::Capture;
use super::text::{decode_chunked, lines, split_at_empty_line};
use hyper::header::{HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method};
use std::borrow::Cow;

/// Lines that pages of providers and inspectors show as headings.
const HEADINGS: [&str; 8] = [
    "headers",
    "request headers",
    "request",
    "payload",
    "body",
    "raw content",
    "request body",
    "raw body",
];

/// Headings of a body.
const BODY_HEADINGS: [&str; 6] = [
    "payload",
    "body",
    "raw content",
    "request body",
    "raw body",
    "raw payload",
];

/// Reads the request.
///
/// # Errors
/// The capture has none of these forms.
pub(super) fn parse(bytes: &[u8]) -> Result<Capture, String> {
    let bytes = bytes.trim_ascii_start();
    let first = lines(bytes).next().unwrap_or_default();
    if let Some((method, target, host, has_version)) = request_line(first) {
        let rest = bytes.get(first.len()..).unwrap_or_default();
        let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
        let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        let (head, body) = split_at_empty_line(rest);
        let mut capture = Capture::new("raw HTTP request", fields(head)?);
        capture.method = Some(method);
        capture.target = Some(target);
        capture.body = Some(body.unwrap_or_default().to_vec());
        if let Some(host) = host.filter(|_| !capture.headers.contains_key(HOST)) {
            capture.headers.insert(HOST, host);
        }
        if !has_version {
            capture.format = ".http file";
            // These files separate requests with `###`, and the line end before it is not sent.
            let body = body.unwrap_or_default();
            let end = body
                .windows(4)
                .position(|window| window == b"\n###")
                .unwrap_or(body.len());
            capture.body = Some(body.get(..end).unwrap_or_default().trim_ascii_end().to_vec());
        }
        decode_transfer_coding(&mut capture);
        cut_before_answer(&mut capture);
        return Ok(capture);
    }
    if let Some(capture) = bare_value(bytes) {
        return Ok(capture);
    }
    let (head, body) = head_and_body(bytes);
    let mut capture = header_lines(head).ok_or_else(unknown)?;
    if let Some(body) = body.filter(|body| !body.trim_ascii().is_empty()) {
        capture.format = "header lines and a body";
        capture.body = Some(body.into_owned());
    }
    decode_transfer_coding(&mut capture);
    Ok(capture)
}

/// Reads the lines of a head as pages and tools show them. Other lines, such as headings, are left out if one of the
/// fields is a signature. `None` if these are no header fields.
fn header_lines(head: &[u8]) -> Option<Capture> {
    let mut capture = Capture::new("header lines", HeaderMap::new());
    let mut has_other_lines = false;
    let mut rest = lines(head).filter(|line| !line.trim_ascii().is_empty()).peekable();
    while let Some(line) = rest.next() {
        if heading(line) {
            continue;
        }
        let is_request = request_line(line).is_some();
        if (is_request && !line.contains(&b'\t')) || line.starts_with(b"```") {
            return None;
        }
        let next_line = rest.peek().copied().unwrap_or_default();
        let value = |line| HeaderValue::from_bytes(<[u8]>::trim_ascii(line)).ok();
        if let Some((method, target, host, _)) = request_line(line) {
            capture.method = Some(method);
            capture.target = Some(target);
            capture.headers.extend(host.map(|host| (HOST, host)));
        } else if let Some((name, value)) = page_line(line) {
            let value = if value.is_empty() {
                std::str::from_utf8(rest.next().unwrap_or_default())
                    .unwrap_or_default()
                    .trim()
            } else {
                value
            };
            match name {
                "method" => capture.method = Method::from_bytes(value.as_bytes()).ok(),
                _ => set_url(&mut capture, value),
            }
        } else if let Some((name, own)) = field(line) {
            // Browsers copy a name and its value as two lines.
            let is_split = own.is_empty() && (field(next_line).is_none() || next_line.starts_with(b"\t"));
            let next = value(next_line).filter(|_| is_split && rest.next().is_some());
            capture.headers.append(name, next.unwrap_or(own));
        } else if let Some((name, value)) = pair(line) {
            capture.headers.append(name, value);
        } else if let Some((name, value)) = HeaderName::from_bytes(line.trim_ascii())
            .ok()
            .filter(|name| name.as_str().contains('-') && !next_line.is_empty())
            .zip(value(next_line))
        {
            rest.next();
            capture.headers.append(name, value);
        } else {
            has_other_lines = true;
        }
    }
    let is_signed = capture
        .headers
        .keys()
        .any(|name| super::is_signature_header(name.as_str()));
    (is_signed || !(has_other_lines || capture.headers.is_empty())).then_some(capture)
}

/// A field in brackets, as .NET prints a pair (`[Name, value]`), or with an equals sign (`Name = value`).
fn pair(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let line = std::str::from_utf8(line).ok()?.trim();
    let bracketed = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
    let (name, value) = match bracketed {
        Some(inner) => inner.split_once(", ")?,
        None => line.split_once(" = ")?,
    };
    Some((
        HeaderName::from_bytes(name.as_bytes()).ok()?,
        HeaderValue::from_str(value.trim()).ok()?,
    ))
}

fn unknown() -> String {
    "the capture has a line that is not `Name: value`, and no known form: copy a raw HTTP request, a curl command, the output of curl -v, a HAR export, the JSON of an inspector or of a function's event, or header lines".into()
}

/// A line such as `body: '…'`.
fn is_labelled_body(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let (name, value) = text.split_once(':').unwrap_or_default();
    let is_body = BODY_HEADINGS.contains(&name.trim().to_ascii_lowercase().as_str());
    is_body && value.trim_start().starts_with(['{', '[', '\''])
}

/// The header lines, and the body after an empty line or after a heading such as `Payload`.
fn head_and_body(bytes: &[u8]) -> (&[u8], Option<Cow<'_, [u8]>>) {
    let mut at = 0;
    let mut seen_field = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = at + line.len();
        let name = String::from_utf8_lossy(line)
            .trim()
            .trim_end_matches(':')
            .to_ascii_lowercase();
        let begins_body = BODY_HEADINGS.contains(&name.as_str());
        if seen_field && is_labelled_body(line) {
            let (head, body) = bytes.split_at_checked(at).unwrap_or_default();
            let at = body.iter().position(|byte| *byte == b':').map_or(0, |at| at + 1);
            let value = body.get(at..).unwrap_or_default().trim_ascii();
            // YAML doubles the quotes inside of quotes.
            let text = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.strip_prefix('\'')?.strip_suffix('\''));
            let unquoted = text.map(|text| text.replace("\'\'", "\'").into_bytes());
            return (head, Some(unquoted.map_or_else(|| value.into(), Cow::Owned)));
        }
        if seen_field && (begins_body || line.trim_ascii().is_empty()) {
            let mut body = bytes.get(end..).unwrap_or_default();
            // An empty line and a heading may stand between the two.
            loop {
                let first = body.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
                if first.is_empty() || !(first.trim_ascii().is_empty() || heading(first)) {
                    break;
                }
                body = body.get(first.len()..).unwrap_or_default();
            }
            return (bytes.get(..at).unwrap_or_default(), Some(body.into()));
        }
        seen_field |= !line.trim_ascii().is_empty() && !heading(line);
        at = end;
    }
    (bytes, None)
}

fn heading(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line)
        .trim()
        .trim_end_matches(':')
        .to_ascii_lowercase();
    HEADINGS.contains(&text.as_str())
}

/// A line of a provider's page that is not a header: `Request URL: …`, `Request method: …`.
fn page_line(line: &[u8]) -> Option<(&'static str, &str)> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once([':', '\t'])?;
    let kind = match name.trim().to_ascii_lowercase().as_str() {
        "request url" | "url" | "endpoint" | "destination" => "url",
        "request method" | "method" => "method",
        _ => return None,
    };
    Some((kind, value.trim()))
}

/// Sets target and host from a URL or a path.
pub(super) fn set_url(capture: &mut Capture, url: &str) {
    let Ok(uri) = url.parse::<hyper::Uri>() else {
        return;
    };
    capture.target = Some(uri.path_and_query().map_or("/", |target| target.as_str()).to_owned());
    if let Some(authority) = uri.authority().filter(|_| !capture.headers.contains_key(HOST)) {
        capture
            .headers
            .extend(HeaderValue::from_str(authority.as_str()).map(|host| (HOST, host)));
    }
}

/// The fields of a head.
///
/// # Errors
/// A line is not a field.
pub(super) fn fields(head: &[u8]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for line in lines(head).filter(|line| !line.trim_ascii().is_empty()) {
        let (name, value) = field(line).ok_or("a header line is not `Name: value`")?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// One line `Name: value`, or `Name<tab>value` as inspectors' tables are copied.
pub(super) fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let line = line.strip_prefix(b":").unwrap_or(line);
    let at = line.iter().position(|byte| matches!(byte, b':' | b'\t'))?;
    let (name, value) = line.split_at(at);
    let name = HeaderName::from_bytes(name.trim_ascii()).ok()?;
    // These signs are allowed in a name, but only code and notes have them.
    if name.as_str().contains(['\'', '`', '*', '|', '#']) {
        return None;
    }
    let value = value.get(1..)?.trim_ascii();
    let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
    Some((name, HeaderValue::from_bytes(value).ok()?))
}

/// Method, target, host and whether a version follows.
pub(super) fn request_line(line: &[u8]) -> Option<(Method, String, Option<HeaderValue>, bool)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let has_version = match (words.next(), words.next()) {
        (None, _) => false,
        (Some(version), None) if version.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("HTTP/")) => true,
        _ => return None,
    };
    if !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    if !has_version && !target.starts_with('/') && !target.contains("://") {
        return None;
    }
    let uri: hyper::Uri = target.parse().ok()?;
    let host = uri
        .authority()
        .and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    let path = uri.path_and_query().map_or("/", |target| target.as_str());
    Some((
        Method::from_bytes(method.as_bytes()).ok()?,
        path.to_owned(),
        host,
        has_version,
    ))
}

/// The value of a signature header alone: the provider is recognised by its form.
fn bare_value(bytes: &[u8]) -> Option<Capture> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    if text.contains(['\n', ' ', '\t', '{', '<']) || text.is_empty() {
        return None;
    }
    let digits = |text: &str| text.len() >= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    let begins = |name: &str, end: char| {
        let value = text.strip_prefix(name)?.split(end).next()?;
        digits(value).then_some(())
    };
    let name = if begins("ts=", ';').is_some() {
        "paddle-signature"
    } else if begins("t=", ',').is_some() && text.contains(",v1=") {
        "stripe-signature"
    } else if text.starts_with("sha256=") {
        "x-hub-signature-256"
    } else if text.starts_with("sha1=") {
        "x-hub-signature"
    } else if text.starts_with("v0=") {
        "x-slack-signature"
    } else if text.starts_with("v1,") {
        "webhook-signature"
    } else {
        return None;
    };
    let mut capture = Capture::new("value of a signature header", HeaderMap::new());
    capture
        .headers
        .insert(HeaderName::from_static(name), HeaderValue::from_str(text).ok()?);
    Some(capture)
}

/// Ends the body before the answer that tools show behind it.
fn cut_before_answer(capture: &mut Capture) {
    let declared = capture.declared_length();
    if let (Some(declared), Some(body)) = (declared, capture.body.as_mut())
        && body
            .get(declared..)
            .is_some_and(|rest| rest.trim_ascii_start().starts_with(b"HTTP/"))
    {
        body.truncate(declared);
    }
}

fn decode_transfer_coding(capture: &mut Capture) {
    let coding = capture.headers.get(TRANSFER_ENCODING);
    if coding.is_some_and(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")) {
        let coded = capture.body.take().unwrap_or_default();
        // Some tools keep the header but save the decoded body.
        capture.body = Some(decode_chunked(&coded).unwrap_or(coded));
    }
}
