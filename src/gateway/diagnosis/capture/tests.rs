#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

const VALUE: &str = "ts=1700000000;h1=7516e31486d20fe0f951afc8e3b41f36a79b84847a1ab86ccd9654edcc1405d4";
const BODY: &str = r#"{"event_id":"evt_01","note":"it's \"5\" %","total":1.50}"#;

/// The capture has the signature header and exactly this body.
#[track_caller]
fn holds(text: &str, format: &str) -> Capture {
    let capture = parse(text.as_bytes(), None).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(capture.format, format, "{text}");
    assert_eq!(capture.headers["paddle-signature"], VALUE, "{text}");
    assert_eq!(
        capture.body.as_deref().map(String::from_utf8_lossy).as_deref(),
        Some(BODY),
        "{text}"
    );
    capture
}

#[test]
fn raw_requests_with_crlf_or_lf_are_read() {
    for text in [
        "POST /hook?a=1 HTTP/1.1\r\nHost: a\r\nX-A:  b \r\n\r\n{\"a\": 1}\r\n",
        "POST /hook?a=1 HTTP/1.1\nHost: a\nX-A: b\n\n{\"a\": 1}\r\n",
    ] {
        let capture = parse(text.as_bytes(), None).unwrap();
        assert_eq!(capture.method, Some(Method::POST));
        assert_eq!(capture.target.as_deref(), Some("/hook?a=1"));
        assert_eq!(capture.headers["x-a"], "b");
        assert_eq!(capture.body.unwrap(), b"{\"a\": 1}\r\n");
    }
    let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
    assert_eq!(parse(chunked, None).unwrap().body.unwrap(), b"abcde");
    let undone = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nabcde";
    assert_eq!(parse(undone, None).unwrap().body.unwrap(), b"abcde");
}

#[test]
fn text_of_clipboards_and_pages_is_read() {
    holds(
        &format!("\u{feff}POST /hook HTTP/1.1\nPaddle-Signature: {VALUE}\n\n{BODY}"),
        "raw HTTP request",
    );
    holds(
        &format!("POST https://a.example/hook\nPaddle-Signature: {VALUE}\n\n{BODY}\n"),
        ".http file",
    );
    holds(
        &format!("host\ta.example\npaddle-signature\t{VALUE}\n\n{BODY}"),
        "header lines and a body",
    );
    let page = format!(
        "Request URL: https://a.example/hook\nRequest method: PUT\nPaddle-Signature: {VALUE}\n\nPayload\n{BODY}"
    );
    let capture = holds(&page, "header lines and a body");
    assert_eq!(
        (capture.method, capture.target.as_deref()),
        (Some(Method::PUT), Some("/hook"))
    );
    // Browsers copy a name and its value as two lines.
    holds(
        &format!("paddle-signature:\n\t{VALUE}\n\nBody\n{BODY}"),
        "header lines and a body",
    );
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(
            format!("Paddle-Signature: {VALUE}")
                .encode_utf16()
                .flat_map(u16::to_le_bytes),
        )
        .collect();
    assert_eq!(parse(&utf16, None).unwrap().headers["paddle-signature"], VALUE);
    let bare = parse(VALUE.as_bytes(), None).unwrap();
    assert_eq!(bare.headers["paddle-signature"], VALUE);
    assert_eq!(bare.body, None);
}

#[test]
fn commands_of_browsers_are_read() {
    let shell = BODY.replace('\'', "'\\''");
    holds(
        &format!(
            "$ curl -X POST 'https://a.example/hook' \\\n  -H 'Paddle-Signature: {VALUE}' \\\n  --compressed --data-raw '{shell}'"
        ),
        "curl command",
    );
    let ansi = BODY.replace('\\', "\\\\").replace('\'', "\\u0027");
    holds(
        &format!("curl https://a.example/hook -H 'Paddle-Signature: {VALUE}' --data-binary $'{ansi}'"),
        "curl command",
    );
    let quoted = BODY.replace('\\', "\\\\").replace('"', "\\\"");
    holds(
        &format!("curl \"https://a.example/hook\" -H \"Paddle-Signature: {VALUE}\" -d \"{quoted}\""),
        "curl command",
    );
    // Chrome's "Copy as cURL (cmd)".
    let cmd = BODY
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('"', "^\"")
        .replace('%', "^%");
    holds(
        &format!(
            "curl ^\"https://a.example/hook^\" ^\n  -H ^\"Paddle-Signature: {VALUE}^\" ^\n  --data-raw ^\"{cmd}^\""
        ),
        "curl command",
    );
    let powershell = BODY.replace('`', "``").replace('"', "`\"");
    let text = format!(
        "$session = New-Object Microsoft.PowerShell.Commands.WebRequestSession\nInvoke-WebRequest -UseBasicParsing -Uri \"https://a.example/hook\" `\n-Method \"POST\" `\n-Headers @{{\n\"accept\"=\"*/*\"\n  \"paddle-signature\"=\"{VALUE}\"\n}} `\n-ContentType \"application/json\" `\n-Body \"{powershell}\""
    );
    let capture = holds(&text, "PowerShell command");
    assert_eq!(capture.headers["content-type"], "application/json");
    let fetch = json!({ "headers": { "paddle-signature": VALUE }, "body": BODY, "method": "POST" });
    holds(&format!("fetch(\"https://a.example/hook\", {fetch:#});"), "fetch call");
}

#[test]
fn json_of_inspectors_and_functions_is_read() {
    let encoded = STANDARD.encode(BODY);
    let raw = STANDARD.encode(format!(
        "POST /hook HTTP/1.1\r\nPaddle-Signature: {VALUE}\r\n\r\n{BODY}"
    ));
    let buffer: Vec<u8> = BODY.bytes().collect();
    for (value, format) in [
        (
            json!({ "headers": { "Paddle-Signature": VALUE }, "body": BODY }),
            "JSON with headers and body",
        ),
        (
            json!({ "headers": { "paddle-signature": [VALUE] }, "rawBody": BODY, "body": { "event_id": 1 } }),
            "JSON with headers and body",
        ),
        (
            json!({ "headers": [["Host", "a"], ["Paddle-Signature", VALUE]], "body": BODY }),
            "JSON with headers and body",
        ),
        (
            json!({ "headers": [{ "name": "Paddle-Signature", "value": VALUE }], "body": BODY }),
            "JSON with headers and body",
        ),
        (
            json!({ "rawHeaders": ["Host", "a", "Paddle-Signature", VALUE], "body": BODY }),
            "JSON with headers and body",
        ),
        (
            json!({ "headers": format!("Host: a\r\nPaddle-Signature: {VALUE}"), "body": BODY }),
            "JSON with headers and body",
        ),
        (
            json!({ "headers": { "Paddle-Signature": VALUE }, "body": { "type": "Buffer", "data": buffer } }),
            "JSON with headers and body",
        ),
        (
            json!({ "httpMethod": "POST", "path": "/hook", "headers": { "Paddle-Signature": VALUE }, "body": encoded, "isBase64Encoded": true }),
            "event of a function",
        ),
        (
            json!({ "version": "2.0", "rawPath": "/hook", "requestContext": { "http": { "method": "POST" } }, "headers": { "paddle-signature": VALUE }, "body": BODY }),
            "event of a function",
        ),
        (
            json!({ "uuid": "1", "token_id": "2", "method": "POST", "headers": { "paddle-signature": [VALUE] }, "content": BODY, "url": "https://webhook.site/2", "created_at": "2023-11-14 22:13:21" }),
            "JSON of webhook.site",
        ),
        (
            json!({ "data": [{ "uuid": "1", "token_id": "2", "method": "POST", "headers": { "paddle-signature": [VALUE] }, "content": BODY }], "total": 1 }),
            "JSON of webhook.site",
        ),
        (
            json!({ "trigger": { "event": { "method": "POST", "path": "/", "client_ip": "::1", "headers": { "paddle-signature": VALUE }, "bodyRaw": BODY, "body": { "a": 1 } } } }),
            "JSON of Pipedream or RequestBin",
        ),
        (
            json!({ "requests": [{ "id": "1", "request": { "method": "POST", "raw": raw } }] }),
            "JSON of ngrok",
        ),
        (
            json!({ "message": json!({ "headers": { "Paddle-Signature": VALUE }, "body": BODY }).to_string() }),
            "JSON with headers and body",
        ),
        (
            json!({ "REQUEST_METHOD": "POST", "HTTP_PADDLE_SIGNATURE": VALUE, "CONTENT_TYPE": "application/json", "rack.input": BODY }),
            "CGI variables",
        ),
    ] {
        holds(&value.to_string(), format);
        holds(&format!("{value:#}\n"), format);
    }
    let request = json!({ "headers": { "Paddle-Signature": VALUE }, "body": BODY });
    let two = json!([request, request]).to_string();
    assert!(parse(two.as_bytes(), None).unwrap_err().contains("2 requests"));
    assert!(parse(two.as_bytes(), Some(2)).is_ok());
}

#[test]
fn logged_headers_with_a_body_behind_them_are_read() {
    let js = format!("{{\n  host: 'a.example',\n  'paddle-signature': '{VALUE}',\n  'content-length': '9'\n}}\n{BODY}");
    holds(&js, "headers as JSON");
    holds(
        &format!("{{\"host\":\"a\",\"paddle-signature\":\"{VALUE}\"}}\n\n{BODY}"),
        "headers as JSON",
    );
    holds(
        &format!(
            "{{\"REQUEST_METHOD\"=>\"POST\", \"HTTP_HOST\"=>\"a\", \"HTTP_PADDLE_SIGNATURE\"=>\"{VALUE}\", \"rack.errors\"=>#<IO:<STDERR>>}}\n{BODY}"
        ),
        "CGI variables",
    );
    holds(
        &format!("{{'Host': 'a', 'Paddle-Signature': '{VALUE}', 'X': None}}\n{BODY}"),
        "headers as JSON",
    );
    holds(
        &format!("map[Host:[a] Paddle-Signature:[{VALUE}]]\n{BODY}"),
        "headers as JSON",
    );
    let print_r = format!("Array\n(\n    [Host] => a\n    [Paddle-Signature] => {VALUE}\n)\n{BODY}");
    holds(&print_r, "headers as JSON");
    let dump = format!(
        "array(2) {{\n  [\"Host\"]=>\n  string(1) \"a\"\n  [\"Paddle-Signature\"]=>\n  string({}) \"{VALUE}\"\n}}\n{BODY}",
        VALUE.len()
    );
    holds(&dump, "headers as JSON");
    let export =
        format!("array (\n  'Host' => 'a',\n  'Paddle-Signature' => \n  array (\n    0 => '{VALUE}',\n  ),\n)\n{BODY}");
    holds(&export, "headers as JSON");
}

/// Headers come from the command line then.
#[test]
fn the_bytes_of_a_body_alone_are_kept() {
    let text = "{\"a\": \"\\u00e9\", \"n\": 1.50}\n";
    let capture = parse(text.as_bytes(), None).unwrap();
    assert_eq!((capture.format, capture.body_was_parsed), ("body alone", false));
    assert_eq!(capture.body.as_deref(), Some(text.as_bytes()));
    let printed = parse(b"{'a': None}", None).unwrap();
    assert!(printed.body_was_parsed && printed.body.as_deref() == Some(&b"{\"a\":null}"[..]));
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
        (capture.target.as_deref(), capture.body.as_deref()),
        (Some("/a?b=c"), Some(&b"{\"}"[..]))
    );
    assert_eq!(
        (capture.headers["x-a"].as_bytes(), capture.headers["host"].as_bytes()),
        (&b"1"[..], &b"h.example"[..])
    );
    assert_eq!(capture.received_at_unix, Some(1_767_319_445));
    assert_eq!(parse(text.as_bytes(), Some(1)).unwrap().method, Some(Method::GET));
    assert!(parse(text.as_bytes(), Some(3)).unwrap_err().contains("2 requests"));
    let twice = format!(r#"{{"log":{{"entries":[{post},{post}]}}}}"#);
    assert!(parse(twice.as_bytes(), None).unwrap_err().contains("--entry"));
}

/// The lines of `--trace-ascii` end after 64 bytes or at a line end, which is not shown.
#[test]
fn the_trace_of_curl_is_read_with_its_line_ends() {
    let body = "first line\r\nsecond line of more than sixty-four characters, which curl breaks in two";
    let head = format!("POST /hook HTTP/1.1\r\nPaddle-Signature: {VALUE}\r\n\r\n");
    let mut trace = String::from("== Info: Connected\n");
    for (name, block) in [("header", head.as_str()), ("data", body)] {
        trace.push_str(&format!(
            "=> Send {name}, {} bytes (0x{:x})\n",
            block.len(),
            block.len()
        ));
        let mut at = 0;
        while at < block.len() {
            let line_end = block[at..].find("\r\n").map(|end| at + end);
            let end = line_end.unwrap_or(block.len()).min(at + 64);
            trace.push_str(&format!("{at:04x}: {}\n", &block[at..end]));
            at = if Some(end) == line_end { end + 2 } else { end };
        }
    }
    trace.push_str("<= Recv header, 17 bytes (0x11)\n0000: HTTP/1.1 200 OK\n");
    let capture = parse(trace.as_bytes(), None).unwrap();
    assert_eq!(capture.format, "output of curl --trace-ascii");
    assert_eq!(capture.headers["paddle-signature"], VALUE);
    assert_eq!(String::from_utf8(capture.body.unwrap()).unwrap(), body);
}

/// An error must not repeat the capture, because a header may contain a secret.
#[test]
fn an_error_does_not_repeat_the_capture() {
    for bad in [
        &b"canary"[..],
        b"POST / HTTP/1.1\r\ncanary\r\n\r\n",
        b"{canary",
        b"X: \x01canary",
        b"curl -H canary",
        b"",
        b" \n ",
    ] {
        let error = parse(bad, None).unwrap_err();
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    use proptest::prelude::*;
    proptest!(|(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "(> )?(POST /a HTTP/1.1|curl |Array|map\\[|\\{|\\[|=> Send data, 9|[a-zA-Z:\r\n {}\"'\\\\=>^$]{0,9}){0,12}")| {
        let _ = parse(&bytes, None);
        let _ = parse(text.as_bytes(), None);
    });
}
