//! Group B: header names that a server behind hookgate would read as other names, headers that remove other headers,
//! and unsigned headers.

use crate::support::upstream::answer;
use crate::support::{Setup, Upstream, Webhook, assert_invariants, assert_nothing_forwarded};

/// B01: WSGI, Rack and CGI read an underscore as a hyphen, lighttpd every sign. A name that such a server would read as
/// one that matters is refused; any other name with such a sign is dropped.
#[test]
fn names_with_other_signs_are_refused_or_dropped() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("abc");
    for name in [
        "Paddle_Signature",
        "paddle_signature",
        "PADDLE_SIGNATURE",
        "Hookgate_Verified",
        "Hookgate-Verified_",
        "hookgate_key",
        "Hookgate_Route",
        "X_Forwarded_For",
        "X-Forwarded_For",
        "X_Forwarded-Proto",
        "X_Real_IP",
        "Content_Length",
        "Transfer_Encoding",
        "Content_Type",
        "Paddle.Signature",
        "Hookgate.Verified",
        "Hookgate!Verified",
        "X.Forwarded.For",
        "X~Forwarded|Host",
        "Content'Length",
    ] {
        let response = gateway.exchange(&webhook.clone().header(name, "forged").bytes());
        assert_eq!(
            (response.status, response.reason().as_str()),
            (400, "header_conflict"),
            "{name}"
        );
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
    let dropped = webhook
        .header("X_Request_Id", "forged")
        .header("Remote_User", "admin")
        .header("REMOTE_ADDR", "10.0.0.1")
        .header("X_HTTP_METHOD_OVERRIDE", "DELETE")
        .header("_", "1")
        .header("Custom_Name", "1")
        .header("Custom.Name", "1")
        .header("X!HTTP#Method$Override", "DELETE")
        .header("a%&'*+.^_`|~z", "1");
    assert_eq!(gateway.exchange(&dropped.bytes()).status, 200);
    // `assert_invariants` fails on any forwarded name with such a sign.
    assert_invariants(&mut gateway, &upstream);
}

/// Fields that describe the body or the exchange are not repeated: servers differ in which of several they read.
#[test]
fn repeated_single_fields_are_refused() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    for (name, values) in [
        ("Content-Type", ["application/json", "application/json"]),
        ("Content-Type", ["application/json", "text/html"]),
        ("Content-Encoding", ["gzip", "br"]),
        ("Expect", ["100-continue", "100-continue"]),
        ("Expect", ["100-continue", "x"]),
    ] {
        let webhook = Webhook::new("abc").header(name, values[0]).header("X-Between", "1");
        let webhook = webhook.header(&name.to_lowercase(), values[1]);
        let response = gateway.exchange(&webhook.bytes());
        assert_eq!(response.status, 400, "{name}: {values:?}");
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
}

/// B02: the signature header sent twice, joined with a comma, empty, or with its name in another case.
#[test]
fn faulty_signature_headers_are_refused() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("abc");
    let value = webhook.signature.clone().unwrap();
    for twice in ["Paddle-Signature", "paddle-signature", "PADDLE-SIGNATURE"] {
        for second in [&value, "", "ts=1;h1=00"] {
            let response = gateway.exchange(&webhook.clone().header(twice, second).bytes());
            assert_eq!(response.status, 401, "{twice}: {second}");
        }
    }
    for joined in [
        format!("{value},{value}"),
        format!("{value}, ts=1"),
        format!("x,{value}"),
        String::new(),
    ] {
        let response = gateway.exchange(&webhook.clone().signature(Some(&joined)).bytes());
        assert_eq!(response.status, 401, "{joined}");
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
    // HTTP header names are case-insensitive.
    let lower = webhook.signature(None).header("paddle-signature", &value);
    assert_eq!(gateway.exchange(&lower.bytes()).status, 200);
    assert_invariants(&mut gateway, &upstream);
}

/// B03: header names that only hookgate may set are removed in every spelling before hookgate adds its own.
#[test]
fn hookgate_headers_of_a_sender_are_removed() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let webhook = [
        "Hookgate-Verified",
        "hookgate-verified",
        "HOOKGATE-VERIFIED",
        "Hookgate-Key",
        "Hookgate-Route",
        "Hookgate-Anything",
        "X-Request-Id-2",
    ]
    .iter()
    .fold(Webhook::new("abc"), |webhook, name| webhook.header(name, "forged"));
    assert_eq!(gateway.exchange(&webhook.bytes()).status, 200);
    let seen = upstream.only();
    for (name, value) in [
        ("Hookgate-Verified", "paddle"),
        ("Hookgate-Key", "current"),
        ("Hookgate-Route", "paddle"),
    ] {
        assert_eq!(seen.header(name).as_deref(), Some(value));
    }
    assert_eq!(seen.header("Hookgate-Anything"), None);
    assert_eq!(
        seen.header("X-Request-Id-2").as_deref(),
        Some("forged"),
        "names of other software are kept"
    );
    // Every server that was tried reads a dot as a dot. A trailing space makes the name invalid.
    let spaced = Webhook::new("abc").framed("Hookgate-Verified : forged\r\nContent-Length: 3\r\n", b"abc");
    assert_eq!(gateway.exchange(&spaced).status, 400);
    assert_invariants(&mut gateway, &upstream);
}

/// B04: `Connection` cannot remove a header that matters, and the headers that it names are removed before hookgate's
/// own are added.
#[test]
fn connection_cannot_remove_protected_headers() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("abc");
    for nominated in [
        "Paddle-Signature",
        "close, paddle-signature",
        "Paddle_Signature",
        "Hookgate-Verified",
        "Hookgate-Anything",
        "Host",
        "Content-Length, Host",
        "Content-Type",
        "Transfer-Encoding",
        "X-Forwarded-For",
        ",,host,,",
        "close,\thost",
    ] {
        let response = gateway.exchange(&webhook.clone().header("Connection", nominated).bytes());
        assert_eq!(
            (response.status, response.reason().as_str()),
            (400, "header_conflict"),
            "{nominated}"
        );
    }
    let twice = webhook
        .clone()
        .header("Connection", "close")
        .header("Connection", "Paddle-Signature");
    assert_eq!(gateway.exchange(&twice.bytes()).status, 400);
    assert_nothing_forwarded(&mut gateway, &upstream);
    let nominating = webhook
        .header("Connection", "keep-alive, X-Request-Id, X-Nominated")
        .header("X-Request-Id", "theirs")
        .header("X-Nominated", "1");
    assert_eq!(gateway.exchange(&nominating.bytes()).status, 200);
    let seen = upstream.requests().remove(1);
    assert_eq!(seen.header("X-Nominated"), None);
    assert_eq!(
        seen.all("X-Request-Id").len(),
        1,
        "hookgate's header is present although Connection names it"
    );
    assert_invariants(&mut gateway, &upstream);
}

/// A23, B05, B07, B08: hop-by-hop fields in both directions, upgrades, overrides of the method or the target, and
/// `Proxy` are not forwarded; headers of the application are.
#[test]
fn hop_by_hop_headers_and_overrides_are_not_forwarded() {
    let hops = [
        ("Connection", "upgrade, http2-settings, x-hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "x"),
        ("Proxy-Authorization", "x"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers, deflate"),
        ("Trailer", "X-Last"),
        ("Upgrade", "h2c, websocket"),
    ];
    let upstream = Upstream::answering(answer("200 OK", &hops[1..], b"ok"));
    let mut gateway = Setup::new(&upstream.url()).start();
    let more = [
        ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("Proxy", "http://evil.example"),
        ("X-Forwarded-Prefix", "/admin"),
        ("Client-IP", "10.0.0.1"),
        ("True-Client-IP", "10.0.0.1"),
        ("X-SSL-Client-Verify", "SUCCESS"),
        ("Remote-User", "admin"),
        ("X-Sendfile-Type", "X-Accel-Redirect"),
        ("X-Accel-Mapping", "/=/etc/"),
        ("X-Middleware-Subrequest", "middleware"),
        ("X-Envoy-Original-Path", "/admin"),
    ];
    let kept = [
        ("Cookie", "a=1"),
        ("Authorization", "Bearer x"),
        ("Range", "bytes=0-1"),
        ("If-None-Match", "*"),
        ("Accept-Encoding", "gzip"),
    ];
    let webhook = hops
        .iter()
        .chain(&more)
        .chain(&kept)
        .fold(Webhook::new("abc"), |webhook, (name, value)| {
            webhook.header(name, value)
        });
    let response = gateway.exchange(&webhook.bytes());
    assert_eq!(
        (response.status, response.body.as_slice()),
        (200, &b"ok"[..]),
        "{response:?}"
    );
    assert!(response.informational.is_empty(), "no upgrade: {response:?}");
    let seen = upstream.only();
    for (name, _) in hops[1..].iter().chain(&more) {
        if *name != "Sec-WebSocket-Key" {
            assert_eq!(seen.header(name), None, "{name} was forwarded to the upstream");
        }
    }
    for (name, _) in &hops[2..] {
        assert_eq!(response.header(name), None, "{name} was returned to the sender");
    }
    for (name, value) in kept {
        assert_eq!(seen.header(name).as_deref(), Some(value), "{name}");
    }
    assert_invariants(&mut gateway, &upstream);
}

/// B06: hookgate sets the forwarding headers itself; those of an untrusted sender are replaced.
#[test]
fn forwarding_headers_of_untrusted_peers_are_replaced() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let webhook = [
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Prefix", "/admin"),
        ("X-Forwarded-Server", "evil"),
        ("X-Forwarded-Scheme", "https"),
        ("Forwarded", "for=10.0.0.1;host=evil.example"),
        ("X-Real-IP", "10.0.0.1"),
    ]
    .iter()
    .fold(Webhook::new("abc"), |webhook, (name, value)| {
        webhook.header(name, value)
    });
    assert_eq!(gateway.exchange(&webhook.bytes()).status, 200);
    let seen = upstream.only();
    let forwarded: Vec<_> = seen
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), String::from_utf8_lossy(value).into_owned()))
        .filter(|(name, _)| name.contains("forwarded") || name == "x-real-ip")
        .collect();
    let forwarded: std::collections::BTreeMap<_, _> = forwarded.into_iter().collect();
    let expected = [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-proto", "http"),
    ];
    assert_eq!(
        forwarded,
        expected.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect()
    );
    assert_invariants(&mut gateway, &upstream);
}

/// B10: nothing that a sender writes can break a log line, send control sequences to a terminal, or fill the disk.
#[test]
fn senders_cannot_break_log_lines() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url())
        .variable("HOOKGATE_LOG__FILTER", "trace")
        .start();
    let long = "A".repeat(20 << 10);
    let hostile = [
        Webhook::new("a").path("/x%0d%0a{\"verdict\":\"forwarded\"}"),
        Webhook::new("b").path("/x?\"},{\"verdict\":\"forged\""),
        Webhook::new("c")
            .header("User-Agent", "\"}\u{1b}[2J\u{9b}2J")
            .signature(None),
        Webhook::new("d").header("User-Agent", &long).signature(None),
        Webhook::new("e")
            .header("X-Request-Id", "\"}{\"forged\":\"")
            .signature(None),
        Webhook::new("f").header("X-Request-Id", &long).signature(None),
        Webhook::new("g")
            .header("X-Request-Id", "a\u{1b}b\u{2028}c")
            .signature(None),
        Webhook::new("h").method("FORGED\u{7f}").signature(None),
        Webhook::new("i").signature(Some("ts=\u{1b}[31m;h1=\"}")),
        Webhook::new("j").path(&format!("/{long}")),
    ];
    for webhook in &hostile {
        let _ = gateway.connect().exchange(&webhook.bytes());
    }
    assert_nothing_forwarded(&mut gateway, &upstream);
    gateway.wait_for_audit_lines("none", 1);
    for line in gateway.logs.lines() {
        assert!(line.len() < 1000, "{} bytes: {}", line.len(), &line[..200]);
        assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert!(
            object.get("forged").is_none() && object["verdict"] != "forged",
            "{line}"
        );
    }
}

/// B11: a compressed body is verified and forwarded as it is and never decompressed.
#[test]
fn compressed_bodies_are_forwarded_unchanged() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    // The beginning of a stream that decompresses to a thousand times its size: the code of 64 KiB of zeros, repeated.
    let bomb = [&b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03"[..], &[0; 200_000]].concat();
    let before = gateway.peak_resident();
    for body in [b"\x1f\x8b\x08\x00 not really".to_vec(), bomb] {
        let webhook = Webhook::new(body.clone()).header("Content-Encoding", "gzip");
        assert_eq!(gateway.exchange(&webhook.bytes()).status, 200);
        let seen = upstream.requests().pop().unwrap();
        assert!(seen.body == body);
        assert_eq!(seen.header("Content-Encoding").as_deref(), Some("gzip"));
    }
    assert!(gateway.peak_resident() - before < 8 << 20);
    assert_invariants(&mut gateway, &upstream);
}

/// B12: neither the content type nor the content of a body changes how its bytes are handled.
#[test]
fn bodies_of_any_type_are_forwarded_unchanged() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let bodies: [&[u8]; 5] = [b"", b"\xef\xbb\xbf{}", b"\xff\xfe\xfd", b"\0\0\0", b"{}\r\n\r\n"];
    let kinds = [
        None,
        Some("application/json; charset=utf-16"),
        Some("x"),
        Some("multipart/form-data; boundary=\"a\""),
    ];
    for (number, body) in bodies.iter().enumerate() {
        for (at, kind) in kinds.iter().enumerate() {
            let body = [body, format!("{number}{at}").as_bytes()].concat();
            let mut webhook = Webhook::new(body.clone());
            if let Some(kind) = kind {
                webhook = webhook.header("Content-Type", kind);
            }
            assert_eq!(gateway.exchange(&webhook.bytes()).status, 200, "{body:?} {kind:?}");
            let seen = upstream.requests().pop().unwrap();
            assert_eq!((&seen.body, seen.header("Content-Type").as_deref()), (&body, *kind));
        }
    }
    assert_eq!(
        gateway.exchange(&Webhook::new("").bytes()).status,
        200,
        "an empty body, signed"
    );
    assert_invariants(&mut gateway, &upstream);
}

/// J05: the request id of a trusted proxy is replaced unless it is short and plain, that of a stranger always, because it
/// could be the id of another request. `traceparent` is forwarded to the application.
#[test]
fn request_ids_of_strangers_and_malformed_ones_are_replaced() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let chosen = Webhook::new("{}").header("X-Request-Id", "chosen-by-a-stranger");
    assert_eq!(gateway.exchange(&chosen.bytes()).status, 200);
    assert_ne!(
        upstream.only().header("X-Request-Id").as_deref(),
        Some("chosen-by-a-stranger")
    );
    drop(gateway);
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url())
        .listener("trusted_proxies = [\"127.0.0.1\"]")
        .start();
    for (at, (id, kept)) in [
        ("abc-123_x.y:z", true),
        ("", false),
        ("a b", false),
        ("\u{e9}", false),
        ("<script>", false),
        (&"x".repeat(129), false),
        (&"x".repeat(20_000), false),
    ]
    .iter()
    .enumerate()
    {
        let webhook = Webhook::new(format!("{at}"))
            .header("X-Request-Id", id)
            .header("traceparent", "00-zz-x");
        assert_eq!(gateway.exchange(&webhook.bytes()).status, 200);
        let seen = upstream.requests().pop().unwrap();
        let forwarded = seen.header("X-Request-Id").unwrap();
        assert_eq!(forwarded == *id, *kept, "{id} became {forwarded}");
        assert!((1..=128).contains(&forwarded.len()));
        assert_eq!(seen.header("traceparent").as_deref(), Some("00-zz-x"));
    }
    assert_invariants(&mut gateway, &upstream);
}
