//! HAR exports (HAR 1.2, <http://www.softwareishard.com/blog/har-12-spec/>).

use super::escapes;
use super::structured;
use super::value::Value;
use super::{Capture, choose, raw, text};
use hyper::{HeaderMap, Method};

/// Reads one entry of `log.entries`; `None` if the value is not a HAR export.
pub(super) fn parse(value: &Value, entry: Option<usize>) -> Option<Result<Capture, String>> {
    let Some(Value::List(entries)) = value.at(&["log", "entries"]) else {
        return None;
    };
    Some(read(entries, entry))
}

fn read(entries: &[Value], entry: Option<usize>) -> Result<Capture, String> {
    let mut with_body = (0..)
        .zip(entries)
        .filter(|(_, entry)| entry.at(&["request", "postData"]).is_some());
    let at = match (entry, with_body.next(), with_body.next()) {
        // Of several requests, only one can be a webhook if only one has a body.
        (None, Some((at, _)), None) => at,
        _ => choose(entries.len(), entry)?,
    };
    let entry = entries.get(at).ok_or("the HAR export has no such request")?;
    let wrong = |what: &str| format!("the HAR entry has no usable {what}");
    let text = |path: &[&str]| entry.at(path).and_then(Value::text);
    let mut capture = Capture::new("HAR export", HeaderMap::new());
    let method = text(&["request", "method"]).and_then(|method| Method::from_bytes(method.as_bytes()).ok());
    capture.method = Some(method.ok_or_else(|| wrong("request.method"))?);
    let headers = entry
        .at(&["request", "headers"])
        .ok_or_else(|| wrong("request.headers"))?;
    capture.headers = structured::headers(headers).unwrap_or_default();
    raw::set_url(
        &mut capture,
        &text(&["request", "url"]).ok_or_else(|| wrong("request.url"))?,
    );
    let body = text(&["request", "postData", "text"]).unwrap_or_default();
    capture.body = Some(match text(&["request", "postData", "encoding"]).as_deref() {
        Some("base64") => escapes::base64(&body).ok_or_else(|| wrong("request.postData: it is not Base64"))?,
        Some(_) | None => body.into_bytes(),
    });
    capture.received_at_unix = text(&["startedDateTime"]).and_then(|time| text::parse_time(&time));
    Ok(capture)
}
