//! Shares of the limits: one sender that uses a limit up does not keep the others out.

use crate::support::frames::{self, END_HEADERS, HEADERS, frame};
use crate::support::upstream::answer;
use crate::support::{Client, Gate, Gateway, Setup, Upstream, WAIT_TIMEOUT, Webhook, assert_forwards, eventually};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A well-formed signature under no secret.
fn forged(body: Vec<u8>) -> Webhook {
    let genuine = Webhook::new(body);
    let signature = genuine.signature.clone().unwrap();
    let (time, _) = signature.split_once(";h1=").unwrap();
    let forged = format!("{time};h1={}", "0".repeat(64));
    genuine.signature(Some(&forged))
}

/// Sends all of a request but the last byte of its body.
fn send_unfinished(gateway: &Gateway, webhook: &Webhook) -> Client {
    let mut client = gateway.connect();
    let request = webhook.bytes();
    let _ = client.try_send(&request[..request.len() - 1]);
    client
}

/// As many idle connections as there may be, from one address: the one that has been idle longest gives way.
#[test]
fn an_idle_connection_gives_way_to_a_new_one() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).limits("connections = 20").start();
    let mut idle: Vec<Client> = Vec::new();
    for number in 0..20 {
        let mut client = gateway.connect();
        assert_eq!(client.exchange(&Webhook::new(format!("{number}")).bytes()).status, 200);
        idle.push(client);
    }
    for number in 0..5 {
        assert_eq!(
            gateway.exchange(&Webhook::new(format!("new {number}")).bytes()).status,
            200
        );
    }
    assert!(
        idle[0].closed_within(WAIT_TIMEOUT),
        "the longest idle connection is still open"
    );
    assert_eq!(
        idle[19].exchange(&Webhook::new("again").bytes()).status,
        200,
        "the newest idle connection was closed"
    );
    let metrics = gateway.metrics();
    assert_eq!(
        metrics.sum("hookgate_connections_total", &[("result", "over_limit")]),
        0.0
    );
    assert!(metrics.sum("hookgate_connections_total", &[("result", "gave_way")]) >= 1.0);
}

/// A connection from another address than that of the other clients.
fn connect_from_elsewhere(gateway: &Gateway) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    socket.connect(&gateway.plain().into()).unwrap();
    Client::tcp_on(socket.into())
}

/// At the limit on connections, a request that is not verified gives way to another source, and not to one of its own.
#[test]
fn unfinished_requests_give_way_to_other_sources_only() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).limits("connections = 10").start();
    let unfinished = forged(vec![b'x'; 100]).announcing(1000);
    let mut crowd: Vec<Client> = Vec::new();
    for _ in 0..10 {
        let mut client = gateway.connect();
        client.send(&unfinished);
        crowd.push(client);
    }
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 10.0);
    let mut own = gateway.connect();
    assert!(
        own.closed_within(WAIT_TIMEOUT),
        "a newcomer of the same source is served"
    );
    gateway.wait_for_metric("hookgate_connections_total", &[("result", "over_limit")], 1.0);
    let mut other = connect_from_elsewhere(&gateway);
    assert_eq!(other.exchange(&Webhook::new("genuine").bytes()).status, 200);
    gateway.wait_for_metric("hookgate_connections_total", &[("result", "gave_way")], 1.0);
}

/// Connections that send nothing, half a head or half a body give way too, and the gauges stay right.
#[test]
fn connections_without_a_verified_request_give_way_to_other_senders() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .listener("trusted_proxies = [\"127.0.0.9\"]\nproxy_protocol = false")
        .limits("connections = 30")
        .start();
    let mut crowd = Vec::new();
    for number in 0..60 {
        let mut client = gateway.connect();
        match number % 3 {
            0 => {}
            1 => drop(client.try_send(b"POST / HTTP/1.1\r\nHost:")),
            _ => drop(client.try_send(&forged(vec![b'x'; 100]).announcing(1000))),
        }
        crowd.push(client);
    }
    for number in 0..10 {
        assert_forwards(&gateway, &format!("genuine {number}"));
    }
    drop(crowd);
    gateway.wait_for_metric("hookgate_connections_open", &[], 0.0);
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
    gateway.wait_for_metric("hookgate_connections_resting", &[], 0.0);
    assert_eq!(
        gateway
            .metrics()
            .sum("hookgate_requests_total", &[("reason", "internal")]),
        0.0
    );
}

/// The whole budget is held by unfinished bodies whose signatures are well formed and wrong: genuine webhooks are served
/// on every route, small ones and large ones.
#[test]
fn unfinished_forgeries_do_not_keep_genuine_webhooks_out() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).limits("in_flight_bytes = \"8MiB\"").start();
    let forgery = forged(vec![b'x'; 1 << 20]);
    let small = forged(vec![b'x'; 12 << 10]);
    let held: Vec<Client> = (0..30).map(|_| send_unfinished(&gateway, &forgery)).collect();
    let more: Vec<Client> = (0..200).map(|_| send_unfinished(&gateway, &small)).collect();
    eventually("the budget to be full", || {
        (gateway.metrics().sum("hookgate_intake_bytes_in_flight", &[]) > 6.0 * 1e6).then_some(())
    });
    for number in 0..10 {
        assert_forwards(&gateway, &format!("small {number}"));
        let mut large = vec![b'l'; 900 << 10];
        large[0] = number;
        assert_eq!(gateway.exchange(&Webhook::new(large).bytes()).status, 200);
    }
    let refused = gateway
        .metrics()
        .sum("hookgate_requests_total", &[("reason", "overloaded")]);
    assert!(refused > 0.0, "no forgery gave way");
    drop((held, more));
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
}

/// A source that fills the budget cannot push out the unfinished body of another source, even if that one is slow.
#[test]
fn a_slow_body_of_another_source_is_kept() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .listener("trusted_proxies = [\"127.0.0.0/8\"]")
        .limits("in_flight_bytes = \"8MiB\"")
        .start();
    let genuine = Webhook::new(vec![b'g'; 100 << 10]).header("X-Forwarded-For", "192.0.2.1");
    let request = genuine.bytes();
    let mut slow = gateway.connect();
    slow.send(&request[..request.len() - 1]);
    let forgery = forged(vec![b'x'; 1 << 20]).header("X-Forwarded-For", "192.0.2.2");
    let held: Vec<Client> = (0..30).map(|_| send_unfinished(&gateway, &forgery)).collect();
    gateway.wait_for_audit_lines("overloaded", 1);
    slow.send(&request[request.len() - 1..]);
    assert_eq!(slow.response().status, 200);
    drop(held);
}

/// A body below the least rate is refused long before the body timeout.
#[test]
fn a_body_below_the_least_rate_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .route("body_timeout = \"10m\"")
        .limits("min_body_rate = \"1KiB\"")
        .start();
    let start = Instant::now();
    let mut client = send_unfinished(&gateway, &Webhook::new(vec![b'x'; 1000]));
    let response = client.response();
    assert_eq!((response.status, response.reason().as_str()), (408, "body_timeout"));
    assert!(start.elapsed() >= Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Heads over HTTP/2 are charged to the budget, with what their streams hold, and one connection holds few of them.
#[test]
fn http2_heads_are_charged_to_the_budget() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = forged(vec![b'x'; 1000]);
    let before = gateway.resident();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = frames::connect(&gateway);
        let mut bytes = Vec::new();
        for stream in 0..32 {
            let mut block = frames::head(&webhook);
            if stream == 0 {
                // A literal with incremental indexing: `x-a` with 900 bytes; later heads refer to it with one byte.
                block.extend([
                    0x40,
                    3,
                    b'x',
                    b'-',
                    b'a',
                    0x7f,
                    ((900 - 127) % 128) as u8 | 0x80,
                    ((900 - 127) / 128) as u8,
                ]);
                block.extend([b'v'; 900]);
            }
            block.extend([0xbe; 30]);
            bytes.extend(frame(HEADERS, END_HEADERS, stream * 2 + 1, &block));
        }
        client.send(&bytes);
        clients.push(client);
    }
    eventually("every head to be held or refused", || {
        let metrics = gateway.metrics();
        let refused = metrics.sum("hookgate_requests_total", &[("reason", "overloaded")]);
        (metrics.sum("hookgate_in_flight_requests", &[]) + refused == 640.0).then_some(())
    });
    let metrics = gateway.metrics();
    let held = metrics.sum("hookgate_in_flight_requests", &[]);
    let charged = metrics.sum("hookgate_intake_bytes_in_flight", &[]);
    assert!(held <= 100.0, "{held} heads of 27 KiB are held on 20 connections");
    assert!(
        charged >= held * 27_000.0,
        "{charged} bytes are charged for {held} heads"
    );
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "memory grew by {} KiB", grown >> 10);
    assert_forwards(&gateway, "another connection");
    drop(clients);
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
}

/// Each source has a rate of its own, and each route one for all of them: 429 with `Retry-After`.
#[test]
fn requests_above_a_rate_are_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .listener("trusted_proxies = [\"127.0.0.0/8\"]")
        .limits("per_source = \"3/m\"")
        .route("rate = \"5/h\"")
        .start();
    let mut number = 0;
    let mut from = |source: &str| {
        number += 1;
        let webhook = Webhook::new(format!("{number}")).header("X-Forwarded-For", source);
        gateway.exchange(&webhook.bytes())
    };
    for _ in 0..3 {
        assert_eq!(from("192.0.2.1").status, 200);
    }
    let refused = from("192.0.2.1");
    assert_eq!((refused.status, refused.reason().as_str()), (429, "rate_limited"));
    let wait: u32 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait} seconds");
    for _ in 0..2 {
        assert_eq!(from("192.0.2.2").status, 200);
    }
    let refused = from("192.0.2.3");
    assert_eq!((refused.status, refused.reason().as_str()), (429, "rate_limited"));
    let wait: u32 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((600..=720).contains(&wait), "{wait} seconds");
    assert_eq!(upstream.requests().len(), 5);
    gateway.wait_for_audit_lines("rate_limited", 2);
    gateway.wait_for_metric(
        "hookgate_requests_total",
        &[("verdict", "rejected"), ("reason", "rate_limited")],
        2.0,
    );
}

/// Verified requests are finished although their connections are the oldest of the largest source.
#[test]
fn a_verified_request_never_gives_way() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b""))
    });
    let gateway = Setup::new(&upstream.url()).limits("connections = 10").start();
    let mut verified: Vec<Client> = Vec::new();
    for number in 0..5 {
        let mut client = gateway.connect();
        client.send(&Webhook::new(format!("{number}")).bytes());
        verified.push(client);
    }
    upstream.wait_for(5);
    let idle: Vec<Client> = (0..40).map(|_| gateway.connect()).collect();
    eventually("idle connections to give way", || {
        (gateway
            .metrics()
            .sum("hookgate_connections_total", &[("result", "gave_way")])
            >= 30.0)
            .then_some(())
    });
    // Only verified requests are left, of the largest source: a newcomer of another one is closed.
    drop(idle);
    for number in 5..10 {
        let mut client = gateway.connect();
        client.send(&Webhook::new(format!("{number}")).bytes());
        verified.push(client);
    }
    upstream.wait_for(10);
    // Of the idle connections one may have found all others about to be closed.
    let over_limit = [("result", "over_limit")];
    let before = gateway.metrics().sum("hookgate_connections_total", &over_limit);
    let _newcomer = connect_from_elsewhere(&gateway);
    gateway.wait_for_metric("hookgate_connections_total", &over_limit, before + 1.0);
    gate.open();
    for client in &mut verified {
        assert_eq!(client.response().status, 200);
    }
}
