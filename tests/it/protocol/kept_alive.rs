//! One HTTP/1.1 connection with many requests: whether it stays open after each of them, and where the next request
//! begins.

use crate::support::upstream::answer;
use crate::support::{Client, Gateway, Setup, Upstream, WAIT_TIMEOUT, Webhook, assert_invariants};

type Connect = fn(&Gateway) -> Client;
const LISTENERS: [(&str, Connect); 2] = [("plain", Gateway::connect), ("tls", Gateway::connect_tls)];

/// Answers each request with its own body.
fn echo() -> Upstream {
    Upstream::new(|request, connection| connection.send(&answer("200 OK", &[], &request.body)))
}

/// A18: any number of requests at once, with any framing, split anywhere: each gets its own answer, in order.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = echo();
    let mut gateway = Setup::new(&upstream.url()).start();
    for (name, connect) in LISTENERS {
        let bodies: Vec<_> = (0..40)
            .map(|number| format!("{name} {number} {}", "x".repeat(number * number * 10)))
            .collect();
        let requests = bodies.iter().enumerate().map(|(number, body)| {
            let webhook = Webhook::new(body.as_str());
            if number % 3 == 0 {
                webhook.chunked(97)
            } else {
                webhook.bytes()
            }
        });
        let wire: Vec<u8> = requests.flatten().collect();
        for piece in [wire.len(), 1021] {
            // The second round is refused as replays, one by one.
            let expected = if piece == wire.len() { 200 } else { 409 };
            let mut client = connect(&gateway);
            for piece in wire.chunks(piece) {
                client.send(piece);
            }
            for body in &bodies {
                let response = client.response();
                assert_eq!(response.status, expected, "{name}: {response:?}");
                assert_eq!(response.header("Connection"), None);
                if expected == 200 {
                    assert_eq!(response.body, body.as_bytes());
                }
            }
        }
    }
    assert_eq!(upstream.requests().len(), 80);
    assert_invariants(&mut gateway, &upstream);
}

/// A refusal keeps the connection open when the whole unread body has arrived. A larger body, or one that the sender
/// holds back until it is asked for, closes it, because the bytes that follow could be anything.
#[test]
fn a_refusal_closes_only_with_an_unread_body() {
    let upstream = echo();
    let mut gateway = Setup::new(&upstream.url()).start();
    let unsigned = |length: usize| Webhook::new("x".repeat(length)).signature(None);
    for (name, connect) in LISTENERS {
        let mut client = connect(&gateway);
        for (number, request) in [unsigned(2000).bytes(), unsigned(0).bytes(), unsigned(3000).chunked(500)]
            .into_iter()
            .enumerate()
        {
            let response = client.exchange(&request);
            assert_eq!(
                (response.status, response.header("Connection")),
                (401, None),
                "{name} {number}"
            );
            let genuine = format!("{name} {number}");
            assert_eq!(
                client.exchange(&Webhook::new(genuine.as_str()).bytes()).body,
                genuine.as_bytes()
            );
        }
        let unfinished = [unsigned(0).announcing(500_000), vec![b'x'; 10_000]].concat();
        let uninvited = unsigned(0).header("Expect", "100-continue").announcing(5);
        for request in [unfinished, uninvited] {
            let mut client = connect(&gateway);
            let response = client.exchange(&request);
            assert_eq!(
                (response.status, response.header("Connection").as_deref()),
                (401, Some("close")),
                "{name}"
            );
            assert!(client.closed_within(WAIT_TIMEOUT), "{name} is still open");
        }
    }
    assert_eq!(upstream.requests().len(), 6);
    assert_invariants(&mut gateway, &upstream);
}

/// HTTP/1.0: closed unless the sender asks otherwise, and an answer of unknown length ends with the connection instead
/// of being chunked.
#[test]
fn http_1_0_senders_are_served() {
    let upstream = Upstream::new(|request, connection| {
        if request.body.starts_with(b"known") {
            return connection.send(&answer("200 OK", &[], b"known"));
        }
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
    });
    let mut gateway = Setup::new(&upstream.url()).start();
    let old = |webhook: Webhook| {
        let request = String::from_utf8(webhook.bytes()).unwrap();
        request.replacen("HTTP/1.1", "HTTP/1.0", 1).into_bytes()
    };
    let mut client = gateway.connect();
    for body in ["known 1", "known 2"] {
        let response = client.exchange(&old(Webhook::new(body).header("Connection", "keep-alive")));
        assert_eq!((response.status, response.body.as_slice()), (200, &b"known"[..]));
        assert_eq!(response.header("Connection").as_deref(), Some("keep-alive"));
    }
    for (webhook, body) in [
        (Webhook::new("known 3"), "known"),
        (Webhook::new("unknown").header("Connection", "keep-alive"), "abcdef"),
    ] {
        let mut client = gateway.connect();
        client.send(&old(webhook));
        let (answer, end) = client.rest();
        let answer = String::from_utf8(answer).unwrap();
        end.unwrap();
        let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(rest, body, "{answer}");
        assert!(head.contains("connection: close"), "{answer}");
        assert!(!head.to_lowercase().contains("transfer-encoding"), "{answer}");
    }
    assert_invariants(&mut gateway, &upstream);
}
