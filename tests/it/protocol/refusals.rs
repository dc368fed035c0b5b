//! Every refusal that a request itself causes, with the real binary: status, reason, metric, and an upstream that
//! receives nothing.

use crate::support::frames;
use crate::support::paddle::{self, SECRET, mac};
use crate::support::{Gateway, Setup, Upstream, Webhook};

/// Sends a request and expects this refusal, its metric and its audit line.
fn refused(gateway: &Gateway, request: &[u8], status: u16, reason: &str) {
    let before = gateway.metrics().sum(
        "hookgate_requests_total",
        &[("verdict", "rejected"), ("reason", reason)],
    );
    let response = gateway.exchange(request);
    let shown = String::from_utf8_lossy(&request[..request.len().min(400)]);
    assert_eq!(
        (response.status, response.reason().as_str()),
        (status, reason),
        "{shown}\n{response:?}"
    );
    assert_ne!(response.status, 410);
    gateway.wait_for_metric(
        "hookgate_requests_total",
        &[("verdict", "rejected"), ("reason", reason)],
        before + 1.0,
    );
    gateway.wait_for_audit_lines(reason, before as usize + 1);
}

/// The last request of a test: genuine, and the only one that the upstream has received.
fn only_the_genuine_arrives(gateway: &Gateway, upstream: &Upstream) {
    upstream.assert_untouched();
    let webhook = Webhook::new("genuine");
    let response = gateway.exchange(&webhook.bytes());
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(upstream.only().body, b"genuine");
    assert!(upstream.broken().is_empty(), "the upstream saw {:?}", upstream.broken());
}

/// C01, C02, C03: no route for the path, or not for the method.
#[test]
fn unknown_paths_and_methods_are_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("{}");
    for path in [
        "/",
        "/webhooks",
        "/webhooks/paddle/",
        "/webhooks/paddle/x",
        "/WEBHOOKS/paddle",
        "//webhooks/paddle",
    ] {
        refused(&gateway, &webhook.clone().path(path).bytes(), 404, "no_route");
    }
    // C01: the path is never decoded or normalised before matching.
    for path in [
        "/webhooks/./paddle",
        "/a/../webhooks/paddle",
        "/%77ebhooks/paddle",
        "/webhooks%2fpaddle",
        "/webhooks/paddle;x",
    ] {
        refused(&gateway, &webhook.clone().path(path).bytes(), 404, "no_route");
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "post", "FOO"] {
        let response = gateway.exchange(&webhook.clone().method(method).bytes());
        assert_eq!(
            (response.status, response.reason().as_str()),
            (405, "method_not_allowed"),
            "{method}"
        );
        assert_eq!(response.header("Allow").as_deref(), Some("POST"), "{method}");
    }
    only_the_genuine_arrives(&gateway, &upstream);
}

#[test]
fn a_peer_outside_the_allow_list_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .route("allow = [\"192.0.2.0/24\", \"2001:db8::/32\"]")
        .start();
    refused(&gateway, &Webhook::new("{}").bytes(), 403, "peer_not_allowed");
    // Without a trusted proxy a sender cannot claim another address in a header.
    for name in ["X-Forwarded-For", "X-Real-IP", "Forwarded"] {
        let value = if name == "Forwarded" {
            "for=192.0.2.1"
        } else {
            "192.0.2.1"
        };
        refused(
            &gateway,
            &Webhook::new("{}").header(name, value).bytes(),
            403,
            "peer_not_allowed",
        );
    }
    upstream.assert_untouched();
}

#[test]
fn a_missing_signature_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    refused(
        &gateway,
        &Webhook::new("{}").signature(None).bytes(),
        401,
        "signature_missing",
    );
    only_the_genuine_arrives(&gateway, &upstream);
}

/// D01, D02, D05: a signature header that is not exactly what Paddle sends.
#[test]
fn a_malformed_signature_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let ts = paddle::now().to_string();
    let h1 = mac(SECRET, &ts, b"{}");
    let upper = h1.to_uppercase();
    let nine = vec![format!("h1={h1}"); 9].join(";");
    let long = format!("ts={ts};h1={h1};pad={}", "x".repeat(1100));
    let malformed = [
        format!("ts={ts}"),
        format!("h1={h1}"),
        format!("ts={ts};h1="),
        format!("ts={ts};h2={h1}"),
        format!("ts={ts};ts={ts};h1={h1}"),
        format!("ts={ts};h1={upper}"),
        format!("ts={ts};h1={}", &h1[..62]),
        format!("ts={ts};h1={h1}00"),
        format!("ts={ts};h1=0x{}", &h1[2..]),
        format!("ts={ts};h1=g{}", &h1[1..]),
        format!("ts=0{ts};h1={h1}"),
        format!("ts=+{ts};h1={h1}"),
        format!("ts=-{ts};h1={h1}"),
        format!("ts={ts}.0;h1={h1}"),
        format!("ts={ts}x;h1={h1}"),
        format!("ts=1e9;h1={h1}"),
        format!("ts=;h1={h1}"),
        format!("ts=0;h1={h1}"),
        format!("ts=99999999999999999999;h1={h1}"),
        format!("ts=18446744073709551616;h1={h1}"),
        format!("TS={ts};H1={h1}"),
        format!("ts={ts},h1={h1}"),
        format!("ts={ts};{nine}"),
        "nonsense".into(),
        long,
    ];
    for value in &malformed {
        refused(
            &gateway,
            &Webhook::new("{}").signature(Some(value)).bytes(),
            401,
            "signature_malformed",
        );
    }
    only_the_genuine_arrives(&gateway, &upstream);
}

/// B02: a second signature header, in any spelling of its name.
#[test]
fn a_duplicated_signature_header_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("{}");
    let value = webhook.signature.clone().unwrap();
    for name in ["Paddle-Signature", "paddle-signature", "PADDLE-SIGNATURE"] {
        let response = gateway.exchange(&webhook.clone().header(name, &value).bytes());
        assert!(matches!(response.status, 400 | 401), "{response:?}");
        assert!(
            ["header_conflict", "signature_malformed"].contains(&response.reason().as_str()),
            "{response:?}"
        );
    }
    only_the_genuine_arrives(&gateway, &upstream);
}

/// D07: outside the tolerance, in both directions.
#[test]
fn stale_and_future_timestamps_are_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).tolerance(None).start();
    // Six seconds are one more than Paddle's five: the webhook is stale however slow this machine is.
    for age in [6, 60, 86_400, 1_000_000_000] {
        let stale = Webhook::signed("{}", SECRET, paddle::now() - age);
        refused(&gateway, &stale.bytes(), 401, "timestamp_stale");
    }
    // The gateway's clock was not ahead of this process's clock a second ago: a timestamp one minute ahead is in the
    // future on any machine.
    for ahead in [60, 86_400, 300_000_000_000] {
        let future = Webhook::signed("{}", SECRET, paddle::now() + ahead);
        refused(&gateway, &future.bytes(), 401, "timestamp_future");
    }
    upstream.assert_untouched();
}

/// D08: every kind of change to what was signed.
#[test]
fn a_wrong_signature_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let body = r#"{"a": 1, "name": "Zo\u00eb"}"#;
    let genuine = Webhook::new(body);
    let changed = |body: &str| Webhook {
        body: body.into(),
        ..genuine.clone()
    };
    for other in [
        "",
        "{\"a\":1,\"name\":\"Zo\\u00eb\"}",
        "{\"a\": 1, \"name\": \"Zoë\"}",
        &format!("{body}\n"),
        &body[1..],
    ] {
        refused(&gateway, &changed(other).bytes(), 401, "signature_mismatch");
    }
    for at in [0, body.len() / 2, body.len() - 1] {
        let mut bytes = body.as_bytes().to_vec();
        bytes[at] ^= 1;
        let flipped = Webhook {
            body: bytes,
            ..genuine.clone()
        };
        refused(&gateway, &flipped.bytes(), 401, "signature_mismatch");
        refused(&gateway, &flipped.chunked(3), 401, "signature_mismatch");
    }
    let value = genuine.signature.clone().unwrap();
    for (from, to) in [("h1=0", "h1=1"), ("h1=1", "h1=2")] {
        let flipped = value.replacen(from, to, 1);
        if flipped != value {
            refused(
                &gateway,
                &genuine.clone().signature(Some(&flipped)).bytes(),
                401,
                "signature_mismatch",
            );
        }
    }
    // The next second with the MAC of the first second.
    let ts = paddle::now();
    let moved = format!("ts={};h1={}", ts - 1, mac(SECRET, &ts.to_string(), body.as_bytes()));
    refused(
        &gateway,
        &genuine.clone().signature(Some(&moved)).bytes(),
        401,
        "signature_mismatch",
    );
    let foreign = Webhook::signed(body, "another secret that is long enough", ts);
    refused(&gateway, &foreign.bytes(), 401, "signature_mismatch");
    only_the_genuine_arrives(&gateway, &upstream);
}

/// F08: one byte over the limit, announced or not; a body announced as too long is not read.
#[test]
fn a_body_over_the_limit_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).route("body_limit = \"1KiB\"").start();
    let over = Webhook::new(vec![b'x'; 1025]);
    refused(&gateway, &over.announcing(1025), 413, "body_too_large");
    refused(&gateway, &over.announcing(1 << 62), 413, "body_too_large");
    refused(&gateway, &over.chunked(100), 413, "body_too_large");
    let mut http2 = frames::connect(&gateway);
    let signature = over.signature.clone().unwrap();
    let head = frames::hpack(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":path", &over.path),
        (":authority", "localhost"),
        ("paddle-signature", &signature),
        ("content-length", "1025"),
    ]);
    http2.send(&frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &head));
    gateway.wait_for_metric("hookgate_requests_total", &[("reason", "body_too_large")], 4.0);
    let at_limit = Webhook::new(vec![b'x'; 1024]);
    assert_eq!(gateway.exchange(&at_limit.bytes()).status, 200);
    assert_eq!(upstream.only().body.len(), 1024);
}

/// A20: the sender closes before the announced length.
#[test]
fn an_incomplete_body_is_refused() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("0123456789");
    for request in [webhook.announcing(10), webhook.announcing(11)] {
        let mut client = gateway.connect();
        client.send(&request);
        client.send(b"01234");
        client.finish_sending();
        // The answer is optional here; the audit line and an untouched upstream are not.
        let _ = client.try_response(false);
    }
    gateway.wait_for_metric("hookgate_requests_total", &[("reason", "body_incomplete")], 2.0);
    gateway.wait_for_audit_lines("body_incomplete", 2);
    only_the_genuine_arrives(&gateway, &upstream);
}

/// `reject_status` and `refusal_detail` apply to refusals of signatures only.
#[test]
fn a_route_may_change_the_status_and_hide_the_detail() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .route("reject_status = 500\nrefusal_detail = \"none\"")
        .start();
    let genuine = Webhook::new("{}");
    let wrong = Webhook::signed("{}", "another secret that is long enough", paddle::now());
    let stale = Webhook::signed("{}", SECRET, 1_600_000_000);
    let without_date = |request: &[u8]| {
        let response = gateway.exchange(request);
        assert_eq!(response.status, 500, "{response:?}");
        let text = String::from_utf8_lossy(&response.message.raw).into_owned();
        let lines: Vec<String> = text
            .lines()
            .filter(|line| !line.to_lowercase().starts_with("date:"))
            .map(Into::into)
            .collect();
        lines
    };
    let requests = [
        genuine.clone().signature(None),
        genuine.clone().signature(Some("x")),
        stale,
        wrong,
    ];
    let answers: Vec<_> = requests.iter().map(|webhook| without_date(&webhook.bytes())).collect();
    for answer in &answers {
        assert_eq!(answer, &answers[0], "signature refusals must not differ by a byte");
    }
    assert_eq!(gateway.exchange(&genuine.path("/x").bytes()).status, 404);
    upstream.assert_untouched();
}
