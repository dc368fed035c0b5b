//! "Copy as PowerShell" and "Copy as fetch" of browsers.

use super::notation;
use super::value::Value;
use super::{Capture, raw, structured};
use hyper::{HeaderMap, Method};

/// Reads `Invoke-WebRequest` or `Invoke-RestMethod`; `None` if the text has neither.
pub(super) fn parse(text: &str) -> Option<Capture> {
    let at = ["Invoke-WebRequest", "Invoke-RestMethod"]
        .iter()
        .find_map(|name| text.find(name))?;
    let command = text.get(at..)?;
    let mut capture = Capture::new("PowerShell command", HeaderMap::new());
    capture.method = Some(Method::GET);
    let mut rest = command;
    while let Some(at) = rest.find('-') {
        let option = rest.get(at + 1..)?;
        let end = option.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(option.len());
        let (name, after) = option.split_at(end);
        let after = after.trim_start_matches([' ', '`', '\r', '\n', ':']);
        rest = after;
        match name.to_ascii_lowercase().as_str() {
            "uri" => {
                let (value, after) = quoted(after)?;
                rest = after;
                raw::set_url(&mut capture, &value);
            }
            "method" => {
                let (value, after) = quoted(after)?;
                rest = after;
                capture.method = Method::from_bytes(value.to_ascii_uppercase().as_bytes()).ok();
            }
            "contenttype" => {
                let (value, after) = quoted(after)?;
                rest = after;
                let line = format!("content-type: {value}");
                capture.headers.extend(raw::field(line.as_bytes()));
            }
            "body" => {
                let after = after.trim_start_matches("([System.Text.Encoding]::UTF8.GetBytes(");
                let (value, after) = quoted(after)?;
                rest = after;
                capture.body = Some(value.into_bytes());
            }
            "headers" => {
                let mut inner = after.strip_prefix("@{")?;
                loop {
                    inner = inner.trim_start_matches([' ', ';', '\r', '\n', '\t']);
                    if let Some(after) = inner.strip_prefix('}') {
                        rest = after;
                        break;
                    }
                    let (name, after) = quoted(inner)?;
                    let (value, after) = quoted(after.trim_start().strip_prefix('=')?.trim_start())?;
                    let line = format!("{name}: {value}");
                    capture.headers.extend(raw::field(line.as_bytes()));
                    inner = after;
                }
            }
            _ => {}
        }
    }
    Some(capture)
}

/// A word, or text in quotes in which the backtick escapes.
pub(super) fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next()?;
    if !matches!(quote, '"' | '\'') {
        let end = text
            .find(|c: char| c.is_whitespace() || "=;})".contains(c))
            .unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        return Some((word.to_owned(), rest));
    }
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.next_if(|(_, next)| *next == quote).is_some() {
                out.push(quote);
                continue;
            }
            return Some((out, text.get(at + 1..)?));
        }
        if c == '`' && quote == '"' {
            let (_, sign) = chars.next()?;
            out.push(match sign {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                other => other,
            });
        } else {
            out.push(c);
        }
    }
    None
}

/// Reads `fetch("URL", { … })`; `None` for other text.
pub(super) fn parse_fetch(text: &str) -> Option<Capture> {
    let call = text.trim_start_matches("await ").strip_prefix("fetch(")?;
    let (url, rest) = quoted(call)?;
    let (options, _) = notation::parse(rest.trim_start().strip_prefix(',')?.trim_start())?;
    let mut members = vec![("url".to_owned(), Value::Text(url))];
    if let Value::Map(more) = options {
        members.extend(more);
    }
    let mut capture = structured::request(&Value::Map(members))?.ok()?;
    capture.format = "fetch call";
    Some(capture)
}
