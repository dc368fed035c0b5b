//! The path of health checks on a public listener, and balancers that check with a connection only.

use crate::support::{Gateway, Setup, Upstream, Webhook, assert_forwards, eventually, frames};
use rustix::process::Signal;

fn ask(gateway: &Gateway, method: &str, target: &str) -> Vec<u8> {
    let mut client = gateway.connect();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n");
    client.send(request.as_bytes());
    client.rest().0
}

fn status(answer: &[u8]) -> &str {
    std::str::from_utf8(&answer[9..12]).unwrap()
}

/// Every request is in `requests_total` or in no metric.
fn requests(gateway: &Gateway) -> f64 {
    gateway.metrics().sum("hookgate_requests_total", &[])
}

#[test]
fn the_health_path_is_answered_without_a_route_and_not_counted() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .listener("health = \"/healthz\"")
        .drain("delay = \"20s\"")
        .start();
    assert_forwards(&gateway, "before");
    let before = requests(&gateway);
    let get = ask(&gateway, "GET", "/healthz?probe=1");
    assert!(get.starts_with(b"HTTP/1.1 200 ") && get.ends_with(b"ok\n"));
    let head = ask(&gateway, "HEAD", "/healthz");
    assert!(head.starts_with(b"HTTP/1.1 200 ") && head.ends_with(b"\r\n\r\n"));
    // On one connection with webhooks.
    let mut client = gateway.connect();
    let check = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(client.exchange(check).status, 200);
    assert_eq!(client.exchange(&Webhook::new("between").bytes()).status, 200);
    assert_eq!(client.exchange(check).status, 200);
    assert_eq!(requests(&gateway), before + 1.0, "a health check was counted");
    // Another method, another path and another listener have no health checks.
    assert_eq!(status(&ask(&gateway, "POST", "/healthz")), "404");
    assert_eq!(status(&ask(&gateway, "GET", "/healthz/")), "404");
    assert_eq!(status(&ask(&gateway, "GET", "/x/../healthz")), "404");
    let mut secure = gateway.connect_tls();
    assert_eq!(secure.exchange(check).status, 404);
    assert_eq!(requests(&gateway), before + 5.0);
    gateway.wait_for_audit_lines("no_route", 4);
    let lines = gateway.logs.lines();
    let of_checks = lines
        .iter()
        .filter(|line| line.contains("/healthz\"") && line.contains("\"status\":200"));
    assert_eq!(of_checks.count(), 0, "a health check has an audit line");
    // While the process stops, balancers are told to send nothing more.
    gateway.signal(Signal::TERM);
    eventually("503", || {
        (status(&ask(&gateway, "GET", "/healthz")) == "503").then_some(())
    });
    assert_forwards(&gateway, "while it drains");
}

#[test]
fn the_health_path_is_answered_over_http2() {
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url());
    let tls = setup.directory().join("tls");
    let (certificate, key) = (tls.with_extension("crt"), tls.with_extension("key"));
    let listener = format!(
        "[[listen]]\nname = \"checked\"\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = {certificate:?}, key = {key:?} }}\nhealth = \"/healthz\""
    );
    let gateway = setup.more(&listener).start();
    let mut client = crate::support::Client::tls_offering(
        gateway.address("checked"),
        "localhost",
        &gateway.setup.certificate.der,
        "h2",
    );
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(&frames::frame(frames::SETTINGS, 0, 0, b""));
    let block = frames::hpack(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/healthz"),
        (":authority", "localhost"),
    ]);
    let flags = frames::END_HEADERS | frames::END_STREAM;
    client.send(&frames::frame(frames::HEADERS, flags, 1, &block));
    let answer = frames::read_until(&mut client, |frame| frame.kind == frames::HEADERS).unwrap();
    assert_eq!(answer.payload[0], 0x88, "not 200");
    assert_eq!(requests(&gateway), 0.0);
}

/// A balancer that speaks the PROXY protocol and only connects: with nothing, with `LOCAL`, with `UNKNOWN`, with an
/// address. None of it is an error. With `LOCAL` it may also ask for the health path.
#[test]
fn checks_of_balancers_without_data_are_no_errors() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .listener("proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]\nhealth = \"/healthz\"")
        .start();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let address = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x12\x34\x01\xbb";
    let headers: [&[u8]; 5] = [
        b"",
        local,
        b"PROXY UNKNOWN\r\n",
        address,
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    ];
    for header in headers {
        for reset in [false, true] {
            let mut client = gateway.connect();
            client.send(header);
            if reset {
                client.reset();
            } else {
                client.finish_sending();
                assert!(client.rest().0.is_empty(), "{header:?}");
            }
        }
    }
    let mut client = gateway.connect();
    client.send(local);
    assert_eq!(client.exchange(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    gateway.wait_for_metric("hookgate_connections_open", &[("listener", "plain")], 1.0);
    let metrics = gateway.metrics();
    assert_eq!(
        metrics.sum("hookgate_connections_total", &[("result", "proxy_header")]),
        0.0
    );
    assert_eq!(metrics.sum("hookgate_malformed_requests_total", &[]), 0.0);
    assert_eq!(requests(&gateway), 0.0);
    // A connection that says something else is one.
    let mut client = gateway.connect();
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    gateway.wait_for_metric(
        "hookgate_connections_total",
        &[("listener", "plain"), ("result", "proxy_header")],
        1.0,
    );
}
