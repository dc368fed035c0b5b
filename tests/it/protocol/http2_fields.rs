//! Group F over HTTP/2: request heads that the protocol forbids, written frame by frame.

use crate::support::frames;
use crate::support::{Setup, Upstream, Webhook, assert_invariants};

/// F13, A11: fields that HTTP/2 forbids or that are malformed there: the stream or the connection is refused.
#[test]
fn malformed_http2_fields_are_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("abc");
    let signature = webhook.signature.unwrap();
    let pseudo: [(&str, &str); 4] = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/webhooks/paddle"),
        (":authority", "localhost"),
    ];
    let signed = ("paddle-signature", signature.as_str());
    let with = |more: &[(&'static str, &'static str)]| [&pseudo[..], &[signed], more].concat();
    let without = |name: &str| -> Vec<(&str, &str)> {
        pseudo
            .iter()
            .copied()
            .filter(|(own, _)| *own != name)
            .chain([signed])
            .collect()
    };
    let instead =
        |name: &'static str, value: &'static str| [&without(name)[..1], &[(name, value)], &without(name)[1..]].concat();
    let cases = [
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("keep-alive", "1")]),
        with(&[("upgrade", "h2c")]),
        with(&[("te", "gzip")]),
        with(&[("X-Upper", "1")]),
        with(&[("Paddle-Signature", "x")]),
        with(&[("content-length", "4")]),
        with(&[("content-length", "2")]),
        with(&[("content-length", "+3")]),
        with(&[("content-length", "3"), ("content-length", "4")]),
        with(&[("x-crlf", "a\r\nhookgate-verified: forged")]),
        with(&[("x-nul", "a\0b")]),
        with(&[("x name", "1")]),
        with(&[("", "1")]),
        with(&[("host", "elsewhere")]),
        with(&[(":path", "/webhooks/paddle")]),
        with(&[(":unknown", "1")]),
        with(&[("paddle-signature", "ts=1;h1=00")]),
        with(&[("paddle_signature", "1")]),
        with(&[("expect", "foo")]),
        [&[signed][..], &pseudo].concat(),
        [&pseudo[..], &[(":method", "GET"), signed]].concat(),
        [&pseudo[..], &[(":authority", "other"), signed]].concat(),
        without(":method"),
        without(":path"),
        without(":scheme"),
        instead(":path", ""),
        instead(":path", "webhooks/paddle"),
        instead(":path", "https://localhost/webhooks/paddle"),
        instead(":path", "/webhooks/paddle HTTP/1.1\r\nx: y"),
        instead(":method", "POST /admin HTTP/1.1\r\nx: y"),
        instead(":scheme", "javascript"),
        instead(":scheme", "http"),
        instead(":method", "CONNECT"),
        instead(":authority", "a@b"),
        instead(":authority", ""),
    ];
    for fields in &cases {
        let mut client = frames::connect(&gateway);
        let head = frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &frames::hpack(fields));
        let data = frames::frame(frames::DATA, frames::END_STREAM, 1, b"abc");
        let _ = client.try_send(&[head, data].concat());
        let end = frames::read_until(&mut client, |frame| {
            matches!(frame.kind, frames::RST_STREAM | frames::GOAWAY | frames::HEADERS)
        });
        let answered_200 = end.is_some_and(|frame| frame.kind == frames::HEADERS && frame.payload[0] == 0x88);
        assert!(!answered_200, "{fields:?}");
        assert!(upstream.requests().is_empty(), "{fields:?} reached the upstream");
    }
    // What a proxy sends whose own client wrote `Host` only (RFC 9113, section 8.3.1).
    let mut client = frames::connect(&gateway);
    let fields = [&without(":authority")[..], &[("host", "localhost")]].concat();
    let head = frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &frames::hpack(&fields));
    client.send(&[head, frames::frame(frames::DATA, frames::END_STREAM, 1, b"abc")].concat());
    let head = frames::read_until(&mut client, |frame| frame.kind == frames::HEADERS).unwrap();
    assert_eq!(head.payload[0], 0x88);
    assert_eq!(upstream.only().header("Host").as_deref(), Some("localhost"));
}

/// A11: trailers over HTTP/2 are read, and nothing of them is forwarded.
#[test]
fn trailers_over_http2_are_not_forwarded() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("abc");
    let signature = webhook.signature.unwrap();
    let with = |more: &[(&'static str, &'static str)]| {
        let fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", "/webhooks/paddle"),
            (":authority", "localhost"),
            ("paddle-signature", signature.as_str()),
        ];
        [&fields[..], more].concat()
    };
    let mut client = frames::connect(&gateway);
    let head = frames::frame(
        frames::HEADERS,
        frames::END_HEADERS,
        1,
        &frames::hpack(&with(&[("content-length", "3")])),
    );
    client.send(&[head, frames::frame(frames::DATA, 0, 1, b"abc")].concat());
    let trailers = frames::hpack(&[
        ("paddle-signature", "forged"),
        ("hookgate-verified", "forged"),
        ("content-length", "9"),
    ]);
    let flags = frames::END_HEADERS | frames::END_STREAM;
    client.send(&frames::frame(frames::HEADERS, flags, 1, &trailers));
    let head = frames::read_until(&mut client, |frame| frame.kind == frames::HEADERS).unwrap();
    assert_eq!(head.payload[0], 0x88);
    assert_eq!(upstream.only().body, b"abc");
    assert_invariants(&mut gateway, &upstream);
}

/// The parts of a cookie that HTTP/2 sends as several fields are one field over HTTP/1.1 (RFC 9113, section 8.2.3).
#[test]
fn cookies_are_joined() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let block = [
        frames::head(&Webhook::new("abc")),
        frames::hpack(&[
            ("cookie", "a=1"),
            ("x-other", "1"),
            ("cookie", "b=2"),
            ("cookie", "c=3"),
        ]),
    ]
    .concat();
    let mut client = frames::connect(&gateway);
    let head = frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &block);
    client.send(&[head, frames::frame(frames::DATA, frames::END_STREAM, 1, b"abc")].concat());
    let answer = frames::read_until(&mut client, |frame| frame.kind == frames::HEADERS).unwrap();
    assert_eq!(answer.payload[0], 0x88);
    assert_eq!(upstream.only().all("cookie"), ["a=1; b=2; c=3"]);
}

/// C01: the HTTP/2 library cuts a fragment from `:path` before hookgate can see it. Nothing of it reaches the application,
/// and a fragment cannot hide a path from the route table.
#[test]
fn a_fragment_over_http2_is_no_part_of_the_target() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    for (number, (path, target)) in [
        ("/webhooks/paddle#x", Some("/webhooks/paddle")),
        ("/webhooks/paddle?a=1#/../admin?b", Some("/webhooks/paddle?a=1")),
        ("/#/webhooks/paddle", None),
        ("#/webhooks/paddle", None),
    ]
    .into_iter()
    .enumerate()
    {
        let body = format!("body {number}");
        let signature = Webhook::new(body.clone()).signature.unwrap();
        let fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", path),
            (":authority", "localhost"),
            ("paddle-signature", signature.as_str()),
        ];
        let before = upstream.requests().len();
        let mut client = frames::connect(&gateway);
        let head = frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &frames::hpack(&fields));
        let data = frames::frame(frames::DATA, frames::END_STREAM, 1, body.as_bytes());
        client.send(&[head, data].concat());
        frames::read_until(&mut client, |frame| {
            matches!(frame.kind, frames::RST_STREAM | frames::GOAWAY | frames::HEADERS)
        });
        let seen: Vec<String> = upstream.requests()[before..]
            .iter()
            .map(|request| request.message.start.clone())
            .collect();
        let expected: Vec<String> = target.iter().map(|target| format!("POST {target} HTTP/1.1")).collect();
        assert_eq!(seen, expected, "{path}");
    }
    assert_invariants(&mut gateway, &upstream);
}
