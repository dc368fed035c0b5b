//! Peers that are slow or silent: every wait has a deadline, and the answer that HTTP has for it.

use crate::support::{Client, Gateway, Setup, Upstream, WAIT_TIMEOUT, Webhook};
use std::io::{Read, Write};
use std::net::TcpStream;

/// Short timeouts, so that the tests reach them soon.
fn gateway_with_short_timeouts(upstream: &Upstream) -> Gateway {
    let limits = "handshake_timeout = \"300ms\"\nhead_timeout = \"400ms\"\nidle_timeout = \"600ms\"";
    Setup::new(&upstream.url())
        .limits(limits)
        .route("body_timeout = \"400ms\"")
        .start()
}

/// Sends `bytes` one by one, 20 ms apart, until the gateway has answered or closed; returns the answer.
fn drip(mut client: Client, bytes: &[u8]) -> Vec<u8> {
    for byte in bytes {
        if client.try_send(&[*byte]).is_err() || client.receives_anything() {
            break;
        }
    }
    client.rest().0
}

/// F01, F02, F03: a silent connection, or only the beginning of a protocol, on either listener.
#[test]
fn a_silent_connection_is_closed() {
    let upstream = Upstream::ok();
    let gateway = gateway_with_short_timeouts(&upstream);
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let cases: [(&str, std::net::SocketAddr, &[u8]); 6] = [
        ("silent TCP", gateway.plain(), b""),
        ("one letter", gateway.plain(), b"P"),
        ("half of the HTTP/2 preface", gateway.plain(), b"PRI * HTTP/2.0\r\n"),
        ("silent TCP to TLS", gateway.tls(), b""),
        ("half a ClientHello", gateway.tls(), &hello),
        ("no ClientHello at all", gateway.tls(), b"GET / HTTP/1.1\r\n"),
    ];
    for (name, address, bytes) in cases {
        let mut client = Client::tcp(address);
        client.send(bytes);
        assert!(client.closed_within(WAIT_TIMEOUT), "{name} is still open");
    }
    // A completed TLS handshake without a request.
    let mut client = gateway.connect_tls();
    assert!(client.closed_within(WAIT_TIMEOUT), "a silent TLS session is still open");
    gateway.wait_for_metric("hookgate_requests_total", &[], 0.0);
    assert!(gateway.metrics().sum("hookgate_tls_handshakes_total", &[]) >= 4.0);
    upstream.assert_untouched();
}

/// F04: a head that never ends, and one that is too slow to end in time.
#[test]
fn a_slow_head_is_408() {
    let upstream = Upstream::ok();
    let gateway = gateway_with_short_timeouts(&upstream);
    let mut client = gateway.connect();
    client.send(b"POST /webhooks/paddle HTTP/1.1\r\nHost: a\r\nX-A");
    let (rest, _) = client.rest();
    assert!(rest.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&rest));
    let dripping = drip(gateway.connect(), &Webhook::new("{}").bytes());
    assert!(
        dripping.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&dripping)
    );
    upstream.assert_untouched();
}

/// F05: a body that stops, a body that arrives byte by byte, and a body that never begins, with either framing.
#[test]
fn a_slow_body_is_408() {
    let upstream = Upstream::ok();
    let gateway = gateway_with_short_timeouts(&upstream);
    let webhook = Webhook::new("0123456789".repeat(10));
    let mut requests = vec![webhook.announcing(100), webhook.bytes()];
    requests[1].pop();
    let mut chunked = webhook.chunked(10);
    chunked.truncate(chunked.len() - 5);
    requests.push(chunked);
    for request in &requests {
        let response = gateway.exchange(request);
        assert_eq!(
            (response.status, response.reason().as_str()),
            (408, "body_timeout"),
            "{response:?}"
        );
    }
    let mut client = gateway.connect();
    client.send(&webhook.announcing(100));
    let dripping = drip(client, &webhook.body);
    assert!(
        dripping.starts_with(b"HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&dripping)
    );
    gateway.wait_for_metric("hookgate_requests_total", &[("reason", "body_timeout")], 4.0);
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
    upstream.assert_untouched();
}

/// F06: an idle kept-alive connection is closed cleanly and without an answer.
#[test]
fn an_idle_connection_is_closed() {
    let upstream = Upstream::ok();
    let gateway = gateway_with_short_timeouts(&upstream);
    for (body, connect) in [
        ("plain", Gateway::connect as fn(&Gateway) -> Client),
        ("tls", Gateway::connect_tls),
    ] {
        let mut client = connect(&gateway);
        assert_eq!(client.exchange(&Webhook::new(body).bytes()).status, 200);
        let (received, end) = client.rest();
        assert!(received.is_empty() && end.is_ok(), "{body}: {received:?}, {end:?}");
    }
}

/// F04, F06: empty lines before a request (RFC 9112, 2.2) are skipped and do not extend the deadline, neither for the
/// first request nor between two.
#[test]
fn blank_lines_do_not_extend_the_head_deadline() {
    let upstream = Upstream::ok();
    let gateway = gateway_with_short_timeouts(&upstream);
    // There is no pause, so that the gateway always has bytes to read, and far more than it can read within the
    // timeout.
    let flood = b"\r\n".repeat(0x8000);
    let cut_off = |client: &mut Client| (0..5000).any(|_| client.try_send(&flood).is_err());
    for connect in [Gateway::connect as fn(&Gateway) -> Client, Gateway::connect_tls] {
        let mut client = connect(&gateway);
        assert!(cut_off(&mut client), "before the first request");
        let mut client = connect(&gateway);
        assert_eq!(client.exchange(&Webhook::new("x").path("/nowhere").bytes()).status, 404);
        assert!(cut_off(&mut client), "between two requests");
    }
    upstream.assert_untouched();
}

/// An idle connection releases its buffers, and then serves the next request as usual.
#[test]
fn an_idle_connection_serves_the_next_request() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    for (name, connect) in [
        ("plain", Gateway::connect as fn(&Gateway) -> Client),
        ("tls", Gateway::connect_tls),
    ] {
        let mut client = connect(&gateway);
        for turn in 0..3 {
            let webhook = Webhook::new(format!("{turn} from {name}"));
            assert_eq!(client.exchange(&webhook.bytes()).status, 200);
            assert_eq!(upstream.requests().last().unwrap().body, webhook.body);
            gateway.wait_for_metric("hookgate_connections_resting", &[], 1.0);
        }
        drop(client);
        gateway.wait_for_metric("hookgate_connections_resting", &[], 0.0);
    }
}

/// F07: a sender that does not read its answer does not hold memory or the upstream connection for ever.
#[test]
fn a_sender_that_does_not_read_is_cut_off() {
    let upstream = Upstream::new(|_, connection| {
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let piece = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        // The answer is endless: only the gateway's close ends it.
        while connection.send(&piece) == crate::support::AfterAnswer::Keep {}
        crate::support::AfterAnswer::Close
    });
    let gateway = Setup::new(&upstream.url())
        .limits("write_timeout = \"300ms\"")
        .upstream("timeout = \"1s\"")
        .start();
    let before = gateway.resident();
    let mut stream = TcpStream::connect(gateway.plain()).unwrap();
    stream.write_all(&Webhook::new("{}").bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    crate::support::eventually("the upstream connection to be closed", || {
        (upstream.wait_for(1).len() == 1 && upstream.open() == 0).then_some(())
    });
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
    assert!(gateway.peak_resident().saturating_sub(before) < 16 << 20);
}
