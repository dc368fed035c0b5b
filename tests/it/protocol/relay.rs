//! What the sender signed reaches the upstream byte for byte, and the upstream's answer reaches the sender byte for
//! byte.

use crate::support::http2::{self, Http2};
use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Client, Gate, Setup, Upstream, Webhook};

/// B05, B07: the request as the upstream gets it: method, path and query, body, signature and ordinary headers
/// unchanged; one exact `Content-Length`; hop-by-hop headers removed; hookgate's headers added.
#[test]
fn the_request_arrives_as_signed() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("{\"a\": 1}\r\n")
        .path("/webhooks/paddle?attempt=1&x=%2F%20y")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("X-Custom", "a  b\tc")
        .header("TE", "trailers")
        .header("Keep-Alive", "timeout=5")
        .header("Connection", "keep-alive, X-Nominated")
        .header("X-Nominated", "gone")
        .header("Hookgate-Verified", "forged")
        .header("hookgate-key", "forged")
        .header("X-HTTP-Method-Override", "DELETE")
        .header("X-Forwarded-For", "203.0.113.9")
        .header("X-Forwarded-Proto", "https")
        .header("Proxy", "http://evil.example")
        .header("Under_Score", "dropped");
    let response = gateway.exchange(&webhook.bytes());
    assert_eq!(
        (response.status, response.body.as_slice()),
        (200, &b"thanks"[..]),
        "{response:?}"
    );

    let seen = upstream.only();
    assert_eq!(seen.start, "POST /webhooks/paddle?attempt=1&x=%2F%20y HTTP/1.1");
    assert_eq!(seen.body, webhook.body);
    assert_eq!(seen.header("Paddle-Signature"), webhook.signature);
    assert_eq!(seen.header("Content-Length"), Some(webhook.body.len().to_string()));
    for (name, value) in [
        ("Host", "shop.example"),
        ("User-Agent", "Paddle"),
        ("Content-Type", "application/json; charset=utf-8"),
        ("X-Custom", "a  b\tc"),
        ("Hookgate-Verified", "paddle"),
        ("Hookgate-Key", "current"),
        ("Hookgate-Route", "paddle"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "shop.example"),
    ] {
        assert_eq!(seen.header(name).as_deref(), Some(value), "{name}");
    }
    assert!(seen.header("X-Request-Id").is_some_and(|id| !id.is_empty()));
    for gone in [
        "TE",
        "Keep-Alive",
        "X-Nominated",
        "X-HTTP-Method-Override",
        "Proxy",
        "Under_Score",
        "Transfer-Encoding",
    ] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
}

/// Header names are case-insensitive, but a signed field list or the parser of an old application may not be: over
/// HTTP/1.1 names are forwarded as they were written, in both directions and in their order.
#[test]
fn names_keep_their_case() {
    let fields = [("X-CamelCase", "1"), ("SOAPAction", "x"), ("x-camelcase", "2")];
    let upstream = Upstream::answering(answer("200 OK", &fields, b"ok"));
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = fields
        .iter()
        .fold(Webhook::new("{}"), |webhook, (name, value)| webhook.header(name, value));
    let response = gateway.exchange(&webhook.bytes());
    let received = upstream.only();
    for headers in [&received.message.headers, &response.message.headers] {
        let ours = headers
            .iter()
            .map(|(name, value)| (name.as_str(), str::from_utf8(value).unwrap()))
            .filter(|field| fields.contains(field));
        assert_eq!(ours.collect::<Vec<_>>(), fields, "{headers:?}");
    }
    assert!(
        received
            .message
            .headers
            .iter()
            .any(|(name, _)| name == "Paddle-Signature")
    );
}

/// Chunked and HTTP/2 requests arrive with one exact `Content-Length`; trailers (A11) are not forwarded.
#[test]
fn the_forwarded_body_is_never_chunked() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert_eq!(gateway.exchange(&Webhook::new(body.clone()).chunked(777)).status, 200);

    let mut with_trailers = Webhook::new("trailing").chunked(3);
    with_trailers.truncate(with_trailers.len() - 2);
    with_trailers
        .extend_from_slice(b"Paddle-Signature: forged\r\nHookgate-Verified: forged\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(gateway.exchange(&with_trailers).status, 200);

    let webhook = Webhook::new("over h2");
    let answer = http2::run(async { Http2::connect(&gateway).await.exchange(&webhook).await.unwrap() });
    assert_eq!((answer.status, &answer.body[..]), (200, &b"thanks"[..]));
    assert_eq!(
        answer.headers.get("content-type").map(|value| value.as_bytes()),
        Some(&b"text/plain"[..])
    );

    let seen = upstream.wait_for(3);
    for (request, body) in seen.iter().zip([&body[..], b"trailing", b"over h2"]) {
        assert_eq!(request.header("Content-Length"), Some(body.len().to_string()));
        assert_eq!(request.header("Transfer-Encoding"), None);
        assert!(request.body == body);
        assert!(
            request
                .header("Paddle-Signature")
                .is_some_and(|value| value != "forged")
        );
        assert_eq!(request.header("Hookgate-Verified").as_deref(), Some("paddle"));
    }
    assert!(seen[2].start.ends_with("HTTP/1.1"), "{}", seen[2].start);
}

/// G08: the upstream's answer is returned: status, reason, end-to-end headers in order and number, body.
#[test]
fn the_answer_returns_byte_for_byte() {
    let body = "Dear Zoë,\r\nyour licence: \x00\x7f".as_bytes().to_vec();
    let cases: Vec<(&str, Vec<u8>, u16, Vec<u8>)> = vec![
        (
            "plain",
            answer(
                "200 OK",
                &[("X-One", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
                &body,
            ),
            200,
            body.clone(),
        ),
        ("empty", answer("200 OK", &[], b""), 200, vec![]),
        (
            "no content",
            b"HTTP/1.1 204 No Content\r\nX-One: 1\r\n\r\n".to_vec(),
            204,
            vec![],
        ),
        (
            "not modified",
            b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nX-One: 1\r\n\r\n".to_vec(),
            304,
            vec![],
        ),
        (
            "created",
            answer("201 Created", &[("Location", "/orders/1")], b"{}"),
            201,
            b"{}".to_vec(),
        ),
        (
            "a redirect",
            answer("302 Found", &[("Location", "http://elsewhere.example/")], b""),
            302,
            vec![],
        ),
        ("gone", answer("410 Gone", &[], b"gone"), 410, b"gone".to_vec()),
        (
            "a refusal by the application",
            answer("403 Forbidden", &[], b"no"),
            403,
            b"no".to_vec(),
        ),
        (
            "a failure",
            answer("500 Internal Server Error", &[], b"trace"),
            500,
            b"trace".to_vec(),
        ),
        (
            "an unusual status",
            answer("299 Fine", &[], b"fine"),
            299,
            b"fine".to_vec(),
        ),
        (
            "chunked",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n"
                .to_vec(),
            200,
            b"hello, world".to_vec(),
        ),
        (
            "informational first",
            [
                b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n".to_vec(),
                answer("200 OK", &[], b"ok"),
            ]
            .concat(),
            200,
            b"ok".to_vec(),
        ),
        (
            "compressed bytes",
            answer("200 OK", &[("Content-Encoding", "gzip")], b"\x1f\x8b\x08\x00"),
            200,
            b"\x1f\x8b\x08\x00".to_vec(),
        ),
    ];
    let script: Vec<Vec<u8>> = cases.iter().map(|case| case.1.clone()).collect();
    let upstream = Upstream::new(move |request, connection| connection.send(&script[request.index]));
    let gateway = Setup::new(&upstream.url()).start();
    for (at, (name, raw, status, body)) in cases.iter().enumerate() {
        let response = gateway.exchange(&Webhook::new(format!("{at}")).bytes());
        assert_eq!(response.status, *status, "{name}: {response:?}");
        assert!(response.body == *body, "{name}: {response:?}");
        assert!(
            response.informational.is_empty() || response.informational == [103],
            "{name}: {response:?}"
        );
        let sent = String::from_utf8_lossy(raw);
        for header in ["X-One", "Set-Cookie", "Location", "ETag", "Content-Encoding"] {
            let original: Vec<_> = sent
                .lines()
                .filter_map(|line| line.strip_prefix(&format!("{header}: ")))
                .collect();
            assert_eq!(response.all(header), original, "{name}: {header}");
        }
        assert!(
            response.all("Content-Length").len() + response.all("Transfer-Encoding").len() <= 1,
            "{name}: {response:?}"
        );
    }
    assert_eq!(upstream.requests().len(), cases.len());
}

/// An answer without a length that ends with the upstream's close, as HTTP/1.0 servers send it.
#[test]
fn an_answer_that_ends_with_the_connection() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let upstream = Upstream::new(move |_, connection| {
            connection.send(format!("{version} 200 OK\r\nX-One: 1\r\n\r\nto the end").as_bytes());
            AfterAnswer::Close
        });
        let gateway = Setup::new(&upstream.url()).start();
        let response = gateway.exchange(&Webhook::new("{}").bytes());
        assert_eq!(
            (response.status, response.body.as_slice()),
            (200, &b"to the end"[..]),
            "{response:?}"
        );
        assert_eq!(response.header("X-One").as_deref(), Some("1"));
    }
}

/// A route that accepts HEAD and GET: no body is returned, but the length that the upstream states is.
#[test]
fn an_answer_to_head_has_no_body() {
    let upstream = Upstream::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".to_vec());
    let gateway = Setup::new(&upstream.url())
        .route("methods = [\"POST\", \"HEAD\"]")
        .start();
    let mut client = gateway.connect();
    for body in ["", "x"] {
        let response = client.exchange(&Webhook::new(body).method("HEAD").bytes());
        assert_eq!((response.status, response.body.len()), (200, 0), "{response:?}");
        assert_eq!(response.header("Content-Length").as_deref(), Some("1234"));
    }
    assert!(
        upstream
            .requests()
            .iter()
            .all(|request| request.start.starts_with("HEAD "))
    );
}

/// An answer of 32 MiB is returned whole and not held in memory, although the sender reads more slowly than the
/// upstream writes.
#[test]
fn a_huge_answer_is_streamed() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 32;
    let upstream = Upstream::new(|_, connection| {
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PIECE * PIECES).as_bytes());
        for number in 0..PIECES {
            connection.send(&vec![number as u8; PIECE]);
        }
        AfterAnswer::Keep
    });
    let gateway = Setup::new(&upstream.url()).start();
    let mut client = gateway.connect();
    let before = gateway.resident();
    let response = client.exchange(&Webhook::new("{}").bytes());
    assert_eq!((response.status, response.body.len()), (200, PIECE * PIECES));
    assert!(
        response
            .body
            .chunks(PIECE)
            .enumerate()
            .all(|(number, piece)| piece.iter().all(|&b| b == number as u8))
    );
    let grown = gateway.peak_resident().saturating_sub(before);
    assert!(grown < 16 << 20, "memory grew by {grown} bytes for one answer");
}

/// An answer is passed on as it arrives: the sender has the first part while the upstream still holds the second.
#[test]
fn a_slow_answer_is_not_held_back() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        held.pass();
        connection.send(b"6\r\nsecond\r\n0\r\n\r\n")
    });
    let gateway = Setup::new(&upstream.url()).start();
    let mut client = gateway.connect();
    client.send(&Webhook::new("{}").bytes());
    client.wait_for(b"first");
    gate.open();
    assert_eq!(client.response().body, b"firstsecond");
}

/// One connection carries many webhooks, and the upstream connection is reused.
#[test]
fn connections_are_kept() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let mut client = gateway.connect_tls();
    for number in 0..20 {
        assert_eq!(client.exchange(&Webhook::new(format!("{number}")).bytes()).status, 200);
    }
    assert_eq!((upstream.requests().len(), upstream.connections()), (20, 1));
    assert!(upstream.requests().iter().all(|request| request.connection == 0));
    // A18: pipelined requests are verified one by one, and the answers come in order.
    let unsigned = Webhook::new("unsigned").signature(None);
    let mut pipelined = Webhook::new("first").bytes();
    pipelined.extend(unsigned.bytes());
    client.send(&pipelined);
    assert_eq!((client.response().status, client.response().status), (200, 401));
    assert_eq!(upstream.requests().len(), 21);
}

/// A19: a request inside a genuine body is forwarded as body only.
#[test]
fn a_request_inside_a_body_stays_a_body() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let inner = "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = gateway.connect();
    assert_eq!(client.exchange(&Webhook::new(inner).bytes()).status, 200);
    assert_eq!(
        client.exchange(&Webhook::new(format!("{inner}2")).chunked(4)).status,
        200
    );
    let seen = upstream.requests();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter()
            .all(|request| request.start.starts_with("POST /webhooks/paddle "))
    );
}

/// A static header with a secret for the application is sent with every request and appears nowhere else.
#[test]
fn static_headers_reach_the_upstream() {
    let upstream = Upstream::ok();
    let canary = "canary-5f1c0de";
    let gateway = Setup::new(&upstream.url())
        .upstream("headers = { X-Gateway-Token = { env = \"TOKEN\" }, X-Plain = \"yes\" }")
        .variable("TOKEN", canary)
        .start();
    let forged = Webhook::new("{}").header("X-Gateway-Token", "forged");
    assert_eq!(gateway.exchange(&forged.bytes()).status, 200);
    assert_eq!(upstream.only().header("X-Gateway-Token").as_deref(), Some(canary));
    assert_eq!(upstream.only().header("X-Plain").as_deref(), Some("yes"));
    assert!(!gateway.logs.text().contains(canary));
}

/// A Unix socket as a listener, beside the others.
#[test]
fn a_unix_listener() {
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url());
    let path = setup.directory().join("in.sock");
    let listener = format!("[[listen]]\nname = \"unix\"\nunix = {path:?}\nplaintext = true");
    let gateway = setup.more(&listener).start();
    let response = Client::unix(&path).exchange(&Webhook::new("{}").bytes());
    assert_eq!(
        (response.status, response.body.as_slice()),
        (200, &b"thanks"[..]),
        "{response:?}"
    );
    assert_eq!(
        Client::unix(&path)
            .exchange(&Webhook::new("x").signature(None).bytes())
            .status,
        401
    );
    assert_eq!(
        upstream.only().header("X-Forwarded-For"),
        None,
        "a Unix socket has no address to forward"
    );
    drop(gateway);
}

/// B06: the forwarding headers of a trusted proxy are used, read from right to left; what the client claimed before
/// them is not.
#[test]
fn a_trusted_proxy_is_believed() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .listener("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]")
        .route("allow = [\"203.0.113.7\"]")
        .start();
    let webhook = Webhook::new("{}").header("X-Forwarded-Proto", "https");
    let genuine = webhook
        .clone()
        .header("X-Forwarded-For", "198.51.100.1, 203.0.113.7, 10.1.2.3");
    assert_eq!(gateway.exchange(&genuine.bytes()).status, 200);
    let seen = upstream.only();
    assert!(
        seen.header("X-Forwarded-For").unwrap().contains("203.0.113.7"),
        "{seen:?}"
    );
    assert_eq!(seen.header("X-Forwarded-Proto").as_deref(), Some("https"));
    let claimed = webhook.header("X-Forwarded-For", "203.0.113.7, 198.51.100.1, 10.1.2.3");
    assert_eq!(gateway.exchange(&claimed.bytes()).status, 403);
}
