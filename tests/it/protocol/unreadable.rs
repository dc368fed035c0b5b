//! Every way in which the parsers refuse a head or a body: one request for each kind, with its answer, its audit line and
//! its metric.

use crate::support::frames::{self, frame};
use crate::support::{Client, Gateway, Setup, Upstream, Webhook};
use std::collections::BTreeMap;

/// What is sent over HTTP/1.1, the status of the answer, and the reason in the answer and in the line.
type Case = (&'static str, Vec<u8>, u16, &'static str);

/// A head of a request to the route, with these further lines.
fn head(lines: &str) -> Vec<u8> {
    format!("POST /webhooks/paddle HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into_bytes()
}

/// A genuine webhook with this framing and these bytes of a body.
fn body(bytes: &[u8]) -> Vec<u8> {
    Webhook::new("abc").framed("Transfer-Encoding: chunked\r\n", bytes)
}

/// What the parser of heads refuses.
fn heads() -> Vec<Case> {
    let fields = "X: y\r\n".repeat(200);
    let long = format!("X: {}\r\n", "y".repeat(40_000));
    let target = format!("POST /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(40_000));
    let options = format!("Connection: {}\r\n", "a, ".repeat(40));
    let plain = |text: &str| text.as_bytes().to_vec();
    vec![
        ("no request line", plain("nonsense\r\n\r\n"), 400, "syntax"),
        (
            "another version",
            plain("POST / HTTP/2.0\r\nHost: h\r\n\r\n"),
            400,
            "syntax",
        ),
        ("no version", plain("POST /\r\nHost: h\r\n\r\n"), 400, "syntax"),
        (
            "two spaces",
            plain("POST  / HTTP/1.1\r\nHost: h\r\n\r\n"),
            400,
            "syntax",
        ),
        (
            "a space at the end",
            plain("POST / HTTP/1.1 \r\nHost: h\r\n\r\n"),
            400,
            "syntax",
        ),
        (
            "a sign in the method",
            plain("PO(T / HTTP/1.1\r\nHost: h\r\n\r\n"),
            400,
            "syntax",
        ),
        (
            "a fragment",
            plain("POST /a#b HTTP/1.1\r\nHost: h\r\n\r\n"),
            400,
            "syntax",
        ),
        (
            "a target of no form",
            plain("POST a HTTP/1.1\r\nHost: h\r\n\r\n"),
            400,
            "bad_request",
        ),
        (
            "an absolute target without a path",
            plain("POST http://h HTTP/1.1\r\nHost: h\r\n\r\n"),
            400,
            "syntax",
        ),
        (
            "no host",
            plain("POST /webhooks/paddle HTTP/1.1\r\n\r\n"),
            400,
            "bad_request",
        ),
        ("two hosts", head("Host: other\r\n"), 400, "bad_request"),
        (
            "a host with a path",
            plain("POST /webhooks/paddle HTTP/1.1\r\nHost: h/x\r\n\r\n"),
            400,
            "bad_request",
        ),
        (
            "a line feed alone in the first line",
            plain("POST / HTTP/1.1\nHost: h\r\n\r\n"),
            400,
            "syntax",
        ),
        ("a line feed alone after a field", head("X: a\nY: b\r\n"), 400, "syntax"),
        ("a carriage return alone", head("X: a\rY: b\r\n"), 400, "syntax"),
        ("a field without a colon", head("X\r\n"), 400, "syntax"),
        ("a field without a name", head(": a\r\n"), 400, "syntax"),
        (
            "a space before the colon",
            head("Content-Length : 3\r\n"),
            400,
            "syntax",
        ),
        ("a folded line", head("X: a\r\n b\r\n"), 400, "syntax"),
        ("a NUL in a value", head("X: a\0\r\n"), 400, "syntax"),
        ("a control character in a value", head("X: a\x01\r\n"), 400, "syntax"),
        ("a length with a sign", head("Content-Length: +3\r\n"), 400, "syntax"),
        ("an empty length", head("Content-Length:\r\n"), 400, "syntax"),
        ("a list of lengths", head("Content-Length: 3, 3\r\n"), 400, "syntax"),
        (
            "a length twice",
            head("Content-Length: 3\r\nContent-Length: 3\r\n"),
            400,
            "syntax",
        ),
        (
            "a length beyond 64 bits",
            head("Content-Length: 18446744073709551616\r\n"),
            400,
            "syntax",
        ),
        (
            "a length and a coding",
            head("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
            400,
            "syntax",
        ),
        (
            "another coding",
            head("Transfer-Encoding: gzip\r\n"),
            501,
            "transfer_coding",
        ),
        (
            "two codings",
            head("Transfer-Encoding: gzip, chunked\r\n"),
            501,
            "transfer_coding",
        ),
        (
            "another expectation",
            head("Expect: a-miracle\r\nContent-Length: 0\r\n"),
            417,
            "expectation_failed",
        ),
        ("too many options of a connection", head(&options), 400, "bad_request"),
        (
            "a connection that names a field that matters",
            head("Connection: host\r\n"),
            400,
            "header_conflict",
        ),
        (
            "a field that imitates another",
            head("Paddle_Signature: a\r\n"),
            400,
            "header_conflict",
        ),
        (
            "a content type twice",
            head("Content-Type: a/b\r\nContent-Type: a/b\r\n"),
            400,
            "header_conflict",
        ),
        ("too many fields", head(&fields), 431, "head_too_large"),
        ("a field that is too long", head(&long), 431, "head_too_large"),
        ("a target that is too long", target.into_bytes(), 431, "head_too_large"),
        (
            "empty lines without an end",
            b"\r\n".repeat(20_000),
            431,
            "head_too_large",
        ),
    ]
}

/// What the parser of bodies refuses.
fn bodies() -> Vec<Case> {
    let extensions = format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(5_000));
    let many = format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "b".repeat(3_000)).repeat(8));
    let trailers = format!("3\r\nabc\r\n0\r\nX: {}\r\n\r\n", "a".repeat(20_000));
    let of = |bytes: &[u8]| body(bytes);
    let wrong = "body_incomplete";
    vec![
        ("a size that is no number", of(b"xyz\r\nabc\r\n0\r\n\r\n"), 400, wrong),
        ("an empty size", of(b"\r\nabc\r\n0\r\n\r\n"), 400, wrong),
        ("a size with a sign", of(b"+3\r\nabc\r\n0\r\n\r\n"), 400, wrong),
        ("a size with 0x", of(b"0x3\r\nabc\r\n0\r\n\r\n"), 400, wrong),
        ("a size after a space", of(b" 3\r\nabc\r\n0\r\n\r\n"), 400, wrong),
        ("a size before a space", of(b"3 \r\nabc\r\n0\r\n\r\n"), 400, wrong),
        ("a size beyond 64 bits", of(b"10000000000000000\r\nabc"), 400, wrong),
        (
            "a line feed alone after the size",
            of(b"3\nabc\r\n0\r\n\r\n"),
            400,
            wrong,
        ),
        ("no line end after the data", of(b"3\r\nabcd\r\n0\r\n\r\n"), 400, wrong),
        (
            "a line feed alone after the data",
            of(b"3\r\nabc\n0\r\n\r\n"),
            400,
            wrong,
        ),
        (
            "a control character in an extension",
            of(b"3;a\x01\r\nabc\r\n0\r\n\r\n"),
            400,
            wrong,
        ),
        ("an extension that is too long", of(extensions.as_bytes()), 400, wrong),
        ("extensions that are too long together", of(many.as_bytes()), 400, wrong),
        (
            "a trailer without a colon",
            of(b"3\r\nabc\r\n0\r\nX\r\n\r\n"),
            400,
            wrong,
        ),
        (
            "a trailer without a name",
            of(b"3\r\nabc\r\n0\r\n: a\r\n\r\n"),
            400,
            wrong,
        ),
        (
            "a space in the name of a trailer",
            of(b"3\r\nabc\r\n0\r\nX : a\r\n\r\n"),
            400,
            wrong,
        ),
        (
            "a control character in a trailer",
            of(b"3\r\nabc\r\n0\r\nX: \x01\r\n\r\n"),
            400,
            wrong,
        ),
        (
            "a line feed alone after a trailer",
            of(b"3\r\nabc\r\n0\r\nX: a\n\r\n"),
            400,
            wrong,
        ),
        ("trailers that are too long", of(trailers.as_bytes()), 400, wrong),
    ]
}

/// Sends a case, and returns status and reason of the answer.
fn send(gateway: &Gateway, bytes: &[u8]) -> (u16, String) {
    let mut client = gateway.connect();
    // The gateway may answer, and close its side, before everything is sent.
    let _ = client.try_send(bytes);
    let response = client.response();
    (response.status, response.reason())
}

/// The number of lines for each reason, once there are as many as `wanted`.
fn lines(gateway: &Gateway, wanted: &BTreeMap<&str, usize>) {
    for (reason, count) in wanted {
        let lines = gateway.wait_for_audit_lines(reason, *count);
        assert_eq!(lines.len(), *count, "{reason}");
        for line in &lines {
            assert_eq!(line["verdict"], "rejected", "{line}");
            assert!(!line["peer"].is_null() && !line["listener"].is_null(), "{line}");
        }
    }
}

/// The metric in which refusals of this reason are counted.
fn counted(gateway: &Gateway, reason: &str) -> f64 {
    let metrics = gateway.metrics();
    let of_heads = metrics.sum("hookgate_malformed_requests_total", &[("kind", reason)]);
    of_heads
        + metrics.sum(
            "hookgate_requests_total",
            &[("reason", reason), ("verdict", "rejected")],
        )
}

/// A12, A13, A17: nothing is refused silently.
#[test]
fn each_refusal_of_a_parser_has_an_answer_a_line_and_a_metric() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, bytes, status, reason) in heads().into_iter().chain(bodies()) {
        assert_eq!(send(&gateway, &bytes), (status, reason.to_owned()), "{name}");
        *wanted.entry(reason).or_default() += 1;
    }
    lines(&gateway, &wanted);
    for (reason, count) in &wanted {
        assert_eq!(counted(&gateway, reason), *count as f64, "{reason}");
    }
    upstream.assert_untouched();
}

/// The second head of a connection is refused as the first one is, after the answer to the first.
#[test]
fn a_head_that_cannot_be_read_after_a_good_request_has_a_line() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let mut client = gateway.connect();
    client.send(&[&Webhook::new("{}").bytes()[..], b"nonsense\r\n\r\n"].concat());
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 400);
    gateway.wait_for_audit_lines("none", 1);
    lines(&gateway, &BTreeMap::from([("syntax", 1)]));
}

/// What is not HTTP/2, or ends a connection of it: a GOAWAY with a line and a metric, and no answer.
#[test]
fn each_fault_of_an_http2_connection_has_a_line_and_a_metric() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let good = frames::head(&Webhook::new("abc"));
    let open = frame(frames::HEADERS, frames::END_HEADERS, 1, &good);
    let cases: [(&str, Vec<u8>); 13] = [
        (
            "headers on stream 0",
            frame(frames::HEADERS, frames::END_HEADERS, 0, &[0x82]),
        ),
        ("data on stream 0", frame(frames::DATA, 0, 0, b"a")),
        ("data on a stream that is not open", frame(frames::DATA, 0, 9, b"a")),
        ("an even stream", frame(frames::HEADERS, frames::END_HEADERS, 2, &good)),
        (
            "a header block that HPACK does not allow",
            frame(frames::HEADERS, frames::END_HEADERS, 1, &[0x80]),
        ),
        (
            "a header block that ends within a field",
            frame(frames::HEADERS, frames::END_HEADERS, 1, &[0x00, 5, b'a']),
        ),
        (
            "a continuation without headers",
            frame(frames::CONTINUATION, frames::END_HEADERS, 1, &good),
        ),
        (
            "another frame within headers",
            [frame(frames::HEADERS, 0, 1, &good), frame(frames::PING, 0, 0, &[0; 8])].concat(),
        ),
        ("a ping of another size", frame(frames::PING, 0, 0, &[0; 7])),
        ("settings of another size", frame(frames::SETTINGS, 0, 0, &[0; 5])),
        ("settings on a stream", frame(frames::SETTINGS, 0, 1, &[])),
        (
            "a window that overflows",
            [open, frame(frames::WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())].concat(),
        ),
        (
            "a reset of a stream that is not open",
            frame(frames::RST_STREAM, 0, 7, &8_u32.to_be_bytes()),
        ),
    ];
    for (at, (name, bytes)) in cases.iter().enumerate() {
        let mut client = frames::connect(&gateway);
        client.send(bytes);
        let ended = frames::read_until(&mut client, |frame| frame.kind == frames::GOAWAY);
        assert!(ended.is_some(), "{name}");
        let lines = gateway.wait_for_audit_lines("syntax", at + 1);
        let line = lines.last().unwrap();
        assert_eq!(
            (&line["protocol"], &line["verdict"]),
            (&"HTTP/2".into(), &"rejected".into()),
            "{name}"
        );
        assert!(line["status"].is_null(), "{name}: {line}");
        assert_eq!(lines.len(), at + 1, "{name}");
    }
    gateway.wait_for_metric(
        "hookgate_malformed_requests_total",
        &[("kind", "syntax")],
        cases.len() as f64,
    );
    // Another protocol than the one that was agreed on.
    let mut client = Client::tls_offering(gateway.tls(), "localhost", &gateway.setup.certificate.der, "h2");
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    gateway.wait_for_audit_lines("syntax", cases.len() + 1);
    upstream.assert_untouched();
}
