//! Requests as source code, as tools for APIs export them ("Code snippet"): Python, JavaScript, PHP, Go, Ruby, Java, C#
//! and PowerShell. Only the quoted texts of the code are read: names, values, URL and body.

use super::{Capture, embedded, notation, raw};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};

/// Calls that make a request.
const CALLS: [&str; 24] = [
    "requests.",
    "httpx.",
    "http.client",
    "urllib",
    "fetch(",
    "axios",
    "http.request(",
    "https.request(",
    "curl_setopt",
    "CURLOPT_",
    "GuzzleHttp",
    "http.NewRequest",
    "Net::HTTP",
    "RestClient",
    "Faraday",
    "OkHttp",
    "HttpRequest.newBuilder",
    "HttpRequestMessage",
    "Unirest",
    "Invoke-WebRequest",
    "Invoke-RestMethod",
    "reqwest",
    "XMLHttpRequest",
    "$.ajax",
];

/// Words before a text that is a body, in lower case.
const BODY_WORDS: [&str; 9] = [
    "body",
    "data",
    "payload",
    "postfields",
    "content",
    "raw",
    "newreader",
    "ofstring",
    "create",
];

/// A quoted text.
struct Literal {
    text: String,
    /// The code between the text before and this one.
    before: String,
}

/// Reads the request; `None` if the text is no such code or has no signature header.
pub(super) fn parse(text: &str) -> Option<Capture> {
    CALLS.iter().find(|call| text.contains(**call))?;
    let literals = literals(text);
    let mut capture = Capture::new("source code of a request", HeaderMap::new());
    let mut body: Option<(bool, String)> = None;
    let mut at = literals.iter().peekable();
    while let Some(literal) = at.next() {
        let text = literal.text.as_str();
        if text.starts_with("http://") || text.starts_with("https://") {
            raw::set_url(&mut capture, text);
            continue;
        }
        if matches!(text, "POST" | "PUT" | "PATCH" | "DELETE" | "GET") {
            capture.method = Method::from_bytes(text.as_bytes()).ok();
            continue;
        }
        if let Some(value) = at.next_if(|next| is_header(text, &next.before)) {
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(text.as_bytes()),
                HeaderValue::from_str(value.text.trim()),
            ) {
                capture.headers.append(name, value);
            }
            continue;
        }
        if !text.starts_with(['{', '[', ' ', '\n', '<'])
            && text.contains(": ")
            && let Some((name, value)) = raw::field(text.as_bytes())
        {
            capture.headers.append(name, value);
            continue;
        }
        let before: String = literal.before.to_ascii_lowercase();
        let is_named = BODY_WORDS.iter().any(|word| before.contains(word));
        let longer = body
            .as_ref()
            .is_none_or(|(named, known)| (is_named, text.len()) > (*named, known.len()));
        let is_body = is_named || text.starts_with(['{', '[']);
        if longer && is_body {
            body = Some((is_named, text.to_owned()));
        }
    }
    capture.body = body.map(|(_, body)| body.into_bytes());
    embedded::has_signature(&capture).then_some(capture)
}

/// Whether a text is the name of a header whose value follows behind this code.
fn is_header(name: &str, between: &str) -> bool {
    let between: String = between.chars().filter(|c| !c.is_whitespace()).collect();
    let is_token = HeaderName::from_bytes(name.as_bytes()).is_ok();
    let is_usual = name.contains('-') || name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case("accept");
    let separates = [",", ":", "=", "=>", "]=", "]:", ");", "){", "->"].contains(&between.as_str());
    is_token && is_usual && separates
}

/// The quoted texts of the code, decoded.
fn literals(text: &str) -> Vec<Literal> {
    let is_powershell = text.contains("Invoke-");
    let is_go = text.contains("http.NewRequest");
    let mut found = Vec::new();
    let mut rest = text;
    let mut before = String::new();
    while let Some(c) = rest.chars().next() {
        let read = if is_powershell {
            powershell(rest)
        } else if let Some(triple) = ["\"\"\"", "'''"].iter().find(|quotes| rest.starts_with(**quotes)) {
            rest.get(3..)
                .and_then(|inner| inner.split_once(*triple))
                .map(|(text, rest)| (text.to_owned(), rest))
        } else if c == '`' && is_go {
            rest.get(1..)
                .and_then(|inner| inner.split_once('`'))
                .map(|(text, rest)| (text.to_owned(), rest))
        } else if matches!(c, '"' | '\'' | '`') || (is_bytes(rest) && !before.ends_with(char::is_alphanumeric)) {
            notation::literal(rest).and_then(|(value, rest)| Some((value.text()?, rest)))
        } else {
            None
        };
        if let Some((text, after)) = read {
            found.push(Literal {
                text,
                before: std::mem::take(&mut before),
            });
            rest = after;
            continue;
        }
        let is_comment = (c == '#' || rest.starts_with("//")) && before.ends_with('\n');
        let step = if is_comment {
            rest.find('\n').unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        before.push(c);
        rest = rest.get(step..).unwrap_or_default();
    }
    found
}

/// Whether bytes of Python begin here.
fn is_bytes(code: &str) -> bool {
    code.starts_with("b'") || code.starts_with("b\"")
}

/// A text of PowerShell at the beginning: in quotes, or a here-string.
fn powershell(rest: &str) -> Option<(String, &str)> {
    for (begin, end) in [("@\"", "\n\"@"), ("@'", "\n'@")] {
        if let Some(inner) = rest.strip_prefix(begin) {
            let inner = inner.strip_prefix('\r').unwrap_or(inner).strip_prefix('\n')?;
            let (text, rest) = inner.split_once(end)?;
            let text = text.strip_suffix('\r').unwrap_or(text);
            let text = if end.contains('"') {
                without_backticks(text)
            } else {
                text.to_owned()
            };
            return Some((text, rest));
        }
    }
    if rest.starts_with(['"', '\'']) {
        return super::powershell::quoted(rest);
    }
    None
}

/// The text without the backticks that escape the next sign.
fn without_backticks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '`' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}
