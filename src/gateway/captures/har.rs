//! A captured request as a HAR document, which `hookgate verify` and the developer tools of browsers read. Pure.

use super::Captured;
use crate::telemetry::rfc3339;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Longest part of a file name in characters.
const PART_CHARS: usize = 60;

/// The name of the file of a request: `2026-01-02T03_04_05_678Z_shop_signature_mismatch_19a76e96.har`. `time` is in RFC 3339, so
/// that the names sort by time.
#[must_use]
pub fn file_name(time: &str, route: &str, reason: &str, request_id: &str) -> String {
    let part = |text: &str| {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        text.chars().map(plain).take(PART_CHARS).collect::<String>()
    };
    format!(
        "{}_{}_{}_{}.har",
        part(time),
        part(route),
        part(reason),
        part(request_id)
    )
}

/// The request as a HAR 1.2 document with one entry.
#[must_use]
pub fn har(captured: &Captured) -> Value {
    let find = |wanted: &str| {
        let found = captured
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    };
    let mut request = json!({
        "method": captured.method,
        "url": format!("https://{}{}", find("host").unwrap_or("unknown"), captured.target),
        "httpVersion": "HTTP/1.1",
        "headers": captured.headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
        "queryString": [],
        "cookies": [],
        "headersSize": -1,
        "bodySize": captured.body.as_ref().map_or(-1, |body| i64::try_from(body.len()).unwrap_or(-1)),
    });
    if let (Some(body), Some(members)) = (&captured.body, request.as_object_mut()) {
        let content_type = find("content-type").unwrap_or("application/octet-stream");
        let data = match str::from_utf8(body) {
            Ok(text) => json!({ "mimeType": content_type, "text": text }),
            Err(_) => json!({ "mimeType": content_type, "text": STANDARD.encode(body), "encoding": "base64" }),
        };
        members.insert(String::from("postData"), data);
    }
    json!({ "log": {
        "version": "1.2",
        "creator": { "name": "hookgate", "version": env!("CARGO_PKG_VERSION") },
        "entries": [{
            "startedDateTime": rfc3339(captured.received_unix_ms),
            "time": 0,
            "request": request,
            "response": {
                "status": captured.status.map_or(0, |status| status.as_u16()),
                "statusText": "",
                "httpVersion": "HTTP/1.1",
                "headers": [], "cookies": [],
                "content": { "size": 0, "mimeType": "" },
                "redirectURL": "", "headersSize": -1, "bodySize": -1,
            },
            "cache": {},
            "timings": { "send": 0, "wait": 0, "receive": 0 },
            "comment": format!("route {}, {} {}", captured.route, captured.verdict.label(), captured.verdict.reason()),
        }],
    }})
}
