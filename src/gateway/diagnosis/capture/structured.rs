//! Requests inside of JSON or printed values: events of functions and API gateways, exports of inspectors, logged
//! headers with or without a body.

use super::value::Value;
use super::{Capture, choose, is_signature_header, printed_body, raw, text};
use super::{escapes, notation};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};

/// Members that hold the header fields.
const HEADERS: [&str; 10] = [
    "headers",
    "multiValueHeaders",
    "request_headers",
    "requestHeaders",
    "header",
    "rawHeaders",
    "http_headers",
    "raw_headers",
    "__ow_headers",
    "req_headers",
];

/// Members that hold the body, the most exact first.
const BODIES: [&str; 18] = [
    "rawBody",
    "raw_body",
    "bodyRaw",
    "body_raw",
    "rawPostData",
    "body",
    "content",
    "requestBody",
    "request_body",
    "__ow_body",
    "postData",
    "payload",
    "rack.input",
    "RAW_POST_DATA",
    "action_dispatch.request.raw_post",
    "text",
    "raw",
    "data",
];

/// Largest depth at which a request is searched.
const MAX_DEPTH: usize = 8;

/// Reads the request in `value`, which begins `bytes`; `rest` is the text after the value, which is the body where the value
/// holds only headers. `None` if the value contains no request.
pub(super) fn parse(value: &Value, bytes: &[u8], rest: &str, entry: Option<usize>) -> Option<Result<Capture, String>> {
    find(value, rest, entry)
        .or_else(|| logged_event(value))
        .or_else(|| body_alone(value, bytes, rest))
}

/// Reads the request in `value`, whose body may be in `rest`. `None` if the value has no header fields.
pub(super) fn find(value: &Value, rest: &str, entry: Option<usize>) -> Option<Result<Capture, String>> {
    let mut found = Vec::new();
    collect(value, 0, &mut found);
    if found.is_empty() {
        return None;
    }
    let mut capture = match choose(found.len(), entry) {
        Ok(at) => match found.swap_remove(at) {
            Ok(capture) => capture,
            Err(error) => return Some(Err(error)),
        },
        Err(error) => return Some(Err(error)),
    };
    if capture.body.is_none() {
        capture.body = printed_body::read(rest, capture.format == "CGI variables");
    }
    Some(Ok(capture))
}

/// Collects the requests in a value, the outermost first.
fn collect(value: &Value, depth: usize, into: &mut Vec<Result<Capture, String>>) {
    if depth > MAX_DEPTH {
        return;
    }
    if let Some(found) = request(value) {
        into.push(found);
        return;
    }
    match value {
        Value::List(values) => values.iter().for_each(|value| collect(value, depth + 1, into)),
        Value::Map(members) => {
            let before = into.len();
            for (name, value) in members {
                if !name.eq_ignore_ascii_case("response") {
                    collect(value, depth + 1, into);
                }
            }
            // The body may stand beside the request that holds the headers.
            if let [Ok(capture)] = into.get_mut(before..).unwrap_or_default()
                && capture.body.is_none()
            {
                let _ = read_body(value, capture);
            }
        }
        Value::Text(text) if raw::request_line(text.lines().next().unwrap_or_default().as_bytes()).is_some() => {
            into.extend(Some(raw::parse(text.as_bytes())));
        }
        // Logs hold an event as text.
        Value::Text(text) if depth > 0 && text.contains('{') => {
            let inner = text.find('{').and_then(|at| notation::parse(text.get(at..)?));
            if let Some((inner, _)) = inner {
                collect(&inner, depth + 1, into);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Bytes(_) => {}
    }
}

/// Reads a value that is a request: one with a member of headers, or header fields themselves.
pub(super) fn request(value: &Value) -> Option<Result<Capture, String>> {
    let Value::Map(members) = value else {
        let is_list = matches!(value, Value::List(_));
        return headers(value)
            .filter(|headers| is_list && headers.keys().any(|name| is_signature_header(name.as_str())))
            .map(|headers| Ok(Capture::new("list of headers", headers)));
    };
    // ngrok holds the whole raw request in Base64.
    if let Some(raw) = value.member(&["raw"]).and_then(Value::text)
        && let Some(bytes) = escapes::base64(&raw)
        && raw::request_line(text::lines(&bytes).next().unwrap_or_default()).is_some()
    {
        return Some(raw::parse(&bytes).map(|capture| Capture {
            format: "JSON of ngrok",
            ..capture
        }));
    }
    let mut capture = match value.member(&HEADERS).and_then(headers) {
        Some(headers) => Capture::new("JSON with headers and body", headers),
        None if is_environment(members) => Capture {
            printed_by: Some(if members.iter().any(|(name, _)| name.starts_with("wsgi")) {
                "wsgi"
            } else if members
                .iter()
                .any(|(name, _)| name.starts_with("rack") || name.starts_with("action_"))
            {
                "rails"
            } else {
                "php"
            }),
            ..Capture::new("CGI variables", environment(members))
        },
        None if is_header_map(members) => Capture::new("headers as JSON", headers(value)?),
        None if is_flat_request(members) => Capture::new("headers beside a body", headers(&scalars(members))?),
        None => return None,
    };
    name_format(value, &mut capture);
    let word = |names: &[&str]| value.member(names).and_then(Value::text);
    let path = |path: &[&str]| value.at(path).and_then(Value::text);
    let method = word(&[
        "method",
        "httpMethod",
        "http_method",
        "verb",
        "REQUEST_METHOD",
        "__ow_method",
    ])
    .or_else(|| path(&["requestContext", "http", "method"]));
    capture.method = method.and_then(|method| Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok());
    let url = word(&[
        "originalUrl",
        "url",
        "uri",
        "rawPath",
        "path",
        "REQUEST_URI",
        "PATH_INFO",
        "fullpath",
        "requestUri",
        "__ow_path",
    ])
    .or_else(|| path(&["requestContext", "http", "path"]));
    if let Some(url) = url {
        raw::set_url(&mut capture, &with_query(&url, value));
    }
    let time = word(&["created_at", "receivedAt", "received_at", "startedDateTime", "start"])
        .or_else(|| path(&["requestContext", "timeEpoch"]))
        .or_else(|| path(&["requestContext", "requestTimeEpoch"]));
    capture.received_at_unix = time.and_then(|time| text::parse_time(&time));
    if let Err(error) = read_body(value, &mut capture) {
        return Some(Err(error));
    }
    Some(Ok(capture))
}

/// Names the form more exactly where its members show the tool.
fn name_format(value: &Value, capture: &mut Capture) {
    let has = |names: &[&str]| value.member(names).is_some();
    capture.format = if has(&["isBase64Encoded"]) || has(&["requestContext"]) {
        capture.printed_by = Some("lambda");
        "event of a function"
    } else if has(&["token_id"]) || (has(&["uuid"]) && has(&["content"])) {
        "JSON of webhook.site"
    } else if has(&["bodyRaw"]) || has(&["client_ip"]) || has(&["inferred_body_type"]) {
        "JSON of Pipedream or RequestBin"
    } else {
        capture.format
    };
}

/// The URL with the query that stands in a member of its own.
fn with_query(url: &str, value: &Value) -> String {
    if url.contains('?') {
        return url.to_owned();
    }
    let query = match value.member(&["rawQueryString", "QUERY_STRING", "queryStringParameters", "query"]) {
        Some(Value::Text(query)) => query.trim_start_matches('?').to_owned(),
        Some(Value::Map(parameters)) => {
            let pairs = parameters
                .iter()
                .filter_map(|(name, value)| Some(format!("{name}={}", value.text()?)));
            pairs.collect::<Vec<_>>().join("&")
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Bytes(_) | Value::List(_)) | None => {
            String::new()
        }
    };
    if query.is_empty() {
        url.to_owned()
    } else {
        format!("{url}?{query}")
    }
}

/// The first of these members that is not null.
fn body_member<'v>(value: &'v Value, names: &[&str]) -> Option<&'v Value> {
    let mut members = names.iter().filter_map(|name| value.member(&[name]));
    members.find(|body| **body != Value::Null)
}

/// The raw body in a member of a member.
fn nested_body(value: &Value) -> Option<&Value> {
    let Value::Map(members) = value else {
        return None;
    };
    let raw = BODIES.get(..4).unwrap_or_default();
    members.iter().find_map(|(_, inner)| body_member(inner, raw))
}

/// Reads the body. A value that was parsed is written again as compact JSON.
///
/// # Errors
/// The body is marked as Base64 and is not.
fn read_body(value: &Value, capture: &mut Capture) -> Result<(), String> {
    let Some(body) = body_member(value, &BODIES).or_else(|| nested_body(value)) else {
        return Ok(());
    };
    // Some tools describe the body with its encoding or its type.
    let described = body
        .member(&["data", "text", "raw"])
        .filter(|inner| matches!(inner, Value::Text(_)))
        .filter(|_| {
            body.member(&["encoding", "mimeType", "mode", "inputTruncated"])
                .is_some()
        });
    let (value, body) = described.map_or((value, body), |inner| (body, inner));
    let flag = |names: &[&str]| value.member(names).and_then(Value::text);
    let is_base64 = flag(&["isBase64Encoded", "base64", "is_base64_encoded", "__ow_isBase64Encoded"])
        .is_some_and(|flag| flag == "true")
        || flag(&["bodyEncoding", "body_encoding", "encoding"])
            .is_some_and(|coding| coding.eq_ignore_ascii_case("base64"));
    capture.body = match body {
        Value::Text(text) if is_base64 => {
            Some(escapes::base64(text).ok_or("the capture marks its body as Base64, but it is not")?)
        }
        Value::Text(text) => Some(text.as_bytes().to_vec()),
        Value::Bytes(bytes) => Some(bytes.clone()),
        Value::Map(_) | Value::List(_) => match buffer(body) {
            Some(bytes) => {
                capture.printed_by = Some("express");
                Some(bytes)
            }
            None => {
                capture.body_was_parsed = true;
                Some(body.json().into_bytes())
            }
        },
        Value::Bool(_) | Value::Number(_) => body.text().map(String::into_bytes),
        Value::Null => None,
    };
    Ok(())
}

/// The bytes of `{"type":"Buffer","data":[…]}`, as Node writes a buffer.
fn buffer(value: &Value) -> Option<Vec<u8>> {
    if value.member(&["type"])?.text()? != "Buffer" {
        return None;
    }
    let Some(Value::List(numbers)) = value.member(&["data"]) else {
        return None;
    };
    numbers.iter().map(|number| number.text()?.parse().ok()).collect()
}

/// Whether the members are CGI variables, as PHP, WSGI and Rack hold a request.
fn is_environment(members: &[(String, Value)]) -> bool {
    let is_variable = |name: &str| name.starts_with("HTTP_") || name == "REQUEST_METHOD";
    members.iter().any(|(name, _)| is_variable(name))
        && members.iter().filter(|(name, _)| is_variable(name)).count() > 1
        || members.iter().any(|(name, _)| {
            name.strip_prefix("HTTP_")
                .is_some_and(|name| is_signature_header(&name.to_ascii_lowercase().replace('_', "-")))
        })
}

/// The header fields of CGI variables.
fn environment(members: &[(String, Value)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in members {
        let own = matches!(name.as_str(), "CONTENT_TYPE" | "CONTENT_LENGTH").then_some(name.as_str());
        if let Some(name) = name.strip_prefix("HTTP_").or(own) {
            append(&name.replace('_', "-"), value, &mut headers);
        }
    }
    headers
}

/// Whether the members are header fields: one of them is a signature header, or two are usual ones.
fn is_header_map(members: &[(String, Value)]) -> bool {
    let usual = [
        "host",
        "user-agent",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
    ];
    let lower: Vec<String> = members.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let is_scalar = members
        .iter()
        .all(|(_, value)| !matches!(value, Value::Map(_)) || value.member(&["value"]).is_some());
    is_scalar
        && (lower.iter().any(|name| is_signature_header(name))
            || lower.iter().filter(|name| usual.contains(&name.as_str())).count() > 1)
}

/// Whether the members are header fields, a signature among them, and a body, as smee.io has a request.
fn is_flat_request(members: &[(String, Value)]) -> bool {
    let has = |wanted: &dyn Fn(&str) -> bool| members.iter().any(|(name, _)| wanted(&name.to_ascii_lowercase()));
    has(&is_signature_header) && has(&|name| name == "body" || name == "rawbody")
}

/// The members that are texts and no part of a body.
fn scalars(members: &[(String, Value)]) -> Value {
    let kept = members
        .iter()
        .filter(|(name, value)| matches!(value, Value::Text(_)) && !BODIES.contains(&name.as_str()));
    Value::Map(kept.cloned().collect())
}

/// The header fields in a value: names with values, a list of names and values, or text.
pub(super) fn headers(value: &Value) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    match value {
        Value::Map(members) => members
            .iter()
            .for_each(|(name, value)| append(name, value, &mut headers)),
        Value::List(fields) => {
            let is_flat = fields.iter().all(|field| matches!(field, Value::Text(_)));
            if is_flat
                && fields
                    .iter()
                    .all(|field| field.text().is_some_and(|text| text.contains(": ")))
            {
                for field in fields {
                    headers.extend(raw::field(field.text()?.as_bytes()));
                }
            } else if is_flat {
                for pair in fields.chunks_exact(2) {
                    if let [name, value] = pair {
                        append(&name.text()?, value, &mut headers);
                    }
                }
            } else {
                for field in fields {
                    if let Value::List(pair) = field {
                        if let [name, value] = pair.as_slice() {
                            append(&name.text()?, value, &mut headers);
                        }
                    } else {
                        let name = field.member(&["name", "key", "header"]).and_then(Value::text)?;
                        append(&name, field.member(&["value", "values"])?, &mut headers);
                    }
                }
            }
        }
        Value::Text(text) => match notation::parse(text) {
            Some((inner @ (Value::Map(_) | Value::List(_)), _)) => return self::headers(&inner),
            Some(_) | None => headers = raw::fields(text.as_bytes()).ok()?,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Bytes(_) => return None,
    }
    (!headers.is_empty()).then_some(headers)
}

/// Appends a field; a list appends one field for each element. Names and values that HTTP does not allow are skipped.
fn append(name: &str, value: &Value, headers: &mut HeaderMap) {
    // Browsers export the pseudo-headers of HTTP/2 (RFC 9113, section 8.3) as if they were header fields.
    let Ok(name) = HeaderName::from_bytes(name.trim().as_bytes()) else {
        return;
    };
    // CloudFront and Node hold a field as an object.
    let one = |value: &Value| value.text().or_else(|| value.member(&["value"])?.text());
    let values: Vec<String> = if let Value::List(values) = value {
        values.iter().filter_map(one).collect()
    } else {
        one(value).into_iter().collect()
    };
    for value in values {
        if let Ok(value) = HeaderValue::from_str(value.trim()) {
            headers.append(&name, value);
        }
    }
}

/// An entry of a provider's notification log, which has the event but not the request's headers.
fn logged_event(value: &Value) -> Option<Result<Capture, String>> {
    let payload = value.at(&["data", "payload"])?;
    value.at(&["data", "id"])?.text()?.starts_with("ntf_").then(|| {
        let mut capture = Capture::new("entry of Paddle's notification log", HeaderMap::new());
        capture.body = Some(payload.json().into_bytes());
        capture.body_was_parsed = true;
        Ok(capture)
    })
}

/// A body without headers. Its bytes are kept if it is JSON and not a value that a language printed.
fn body_alone(value: &Value, bytes: &[u8], rest: &str) -> Option<Result<Capture, String>> {
    if !rest.trim().is_empty() || !matches!(value, Value::Map(_) | Value::List(_)) {
        return None;
    }
    let mut capture = Capture::new("body alone", HeaderMap::new());
    capture.body_was_parsed = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err();
    capture.body = Some(match capture.body_was_parsed {
        true => value.json().into_bytes(),
        false => bytes.to_vec(),
    });
    Some(Ok(capture))
}
