//! Every bound of DESIGN's table, reached: a clear answer, and service for whoever comes next.

use crate::support::http2::{self, Http2};
use crate::support::upstream::answer;
use crate::support::{Client, Gate, PATIENCE, Setup, Upstream, Webhook, eventually};

#[test]
fn connections() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).limits("connections = 8").start();
    let mut crowd: Vec<Client> = (0..8).map(|_| gateway.connect()).collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        assert_eq!(client.exchange(&Webhook::new(format!("{number}")).bytes()).status, 200);
    }
    // One more waits in the backlog or is closed; it is not served while all places are taken.
    let mut late = gateway.connect();
    let sent = late.try_send(&Webhook::new("late").bytes());
    let turned_away = sent.is_err() || late.stirs();
    assert_eq!(
        upstream.requests().len(),
        8,
        "a ninth connection is served beside eight"
    );
    assert_eq!(
        gateway.ask("/livez").status,
        200,
        "the admin listener has places of its own"
    );
    drop(crowd);
    let response = eventually("a free place", || {
        let mut client = if turned_away {
            gateway.connect()
        } else {
            return late.try_response(false).ok();
        };
        client.try_send(&Webhook::new("late").bytes()).ok()?;
        client.try_response(false).ok()
    });
    assert_eq!(response.status, 200, "{response:?}");
}

/// B09: header count, header bytes, one endless header, an endless target.
#[test]
fn heads() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("{}");
    let many = (0..120).fold(webhook.clone(), |webhook, number| {
        webhook.header(&format!("X-{number}"), "x")
    });
    let wide = webhook.clone().header("X-Wide", &"x".repeat(40 << 10));
    let endless = webhook.clone().header("X-Wide", &"x".repeat(500 << 10));
    let long = webhook
        .clone()
        .path(&format!("/webhooks/paddle?{}", "x".repeat(100 << 10)));
    for (name, request) in [("many", many), ("wide", wide), ("endless", endless), ("long", long)] {
        let before = gateway.peak_resident();
        let response = gateway.exchange(&request.bytes());
        assert!([431, 414].contains(&response.status), "{name}: {response:?}");
        assert!(gateway.peak_resident() - before < 8 << 20, "{name}");
    }
    upstream.assert_untouched();
    let within = (0..60).fold(webhook.header("X-Wide", &"x".repeat(20 << 10)), |w, number| {
        w.header(&format!("X-{number}"), "x")
    });
    assert_eq!(gateway.exchange(&within.bytes()).status, 200);
}

/// The budget for bodies in flight, small: the one that does not fit is told to come back, and then fits.
#[test]
fn bytes_in_flight() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .limits("in_flight_bytes = \"64KiB\"")
        .route("body_limit = \"40KiB\"")
        .start();
    let (first, second) = (Webhook::new(vec![b'1'; 40 << 10]), Webhook::new(vec![b'2'; 40 << 10]));
    let mut holder = gateway.connect();
    let request = first.bytes();
    holder.send(&request[..request.len() - 1]);
    eventually("the first to hold its bytes", || {
        (gateway.metrics().sum("hookgate_intake_bytes_in_flight", &[]) > 30_000.0).then_some(())
    });
    let response = gateway.exchange(&second.bytes());
    assert_eq!(
        (response.status, response.reason().as_str()),
        (503, "overloaded"),
        "{response:?}"
    );
    assert!(response.header("Retry-After").is_some());
    holder.send(&request[request.len() - 1..]);
    assert_eq!(holder.response().status, 200);
    assert_eq!(gateway.exchange(&second.bytes()).status, 200);
    gateway.counted("hookgate_intake_bytes_in_flight", &[], 0.0);
}

/// Connections to one upstream.
#[test]
fn upstream_connections() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        held.pass();
        connection.say(&answer("200 OK", &[], b""))
    });
    let gateway = Setup::new(&upstream.url()).upstream("max_connections = 4").start();
    let mut holders: Vec<Client> = (0..4).map(|_| gateway.connect()).collect();
    for (number, client) in holders.iter_mut().enumerate() {
        client.send(&Webhook::new(format!("{number}")).bytes());
    }
    upstream.wait_for(4);
    let webhook = Webhook::new("fifth").bytes();
    let response = gateway.exchange(&webhook);
    assert_eq!(
        (response.status, response.reason().as_str()),
        (503, "overloaded"),
        "{response:?}"
    );
    assert_eq!(upstream.connections(), 4);
    gate.open();
    for client in &mut holders {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(gateway.exchange(&webhook).status, 200);
}

/// HTTP/2 streams of one connection: the bound is announced, and a client that keeps to it is served in full.
#[test]
fn http2_streams() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        held.pass();
        connection.say(&answer("200 OK", &[], b""))
    });
    let gateway = Setup::new(&upstream.url()).limits("http2_streams = 5").start();
    http2::run(async {
        let Http2 { mut sender, .. } = Http2::connect(&gateway).await;
        sender.ready().await.unwrap();
        let streams: Vec<_> = (0..20)
            .map(|number| tokio::spawn(sender.send_request(http2::request(&Webhook::new(format!("{number}"))))))
            .collect();
        while upstream.requests().len() < 5 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // Another connection's exchange comes and goes: a sixth stream would have arrived by then.
        assert_eq!(gateway.metrics().sum("hookgate_in_flight_requests", &[]), 5.0);
        assert_eq!(upstream.requests().len(), 5);
        gate.open();
        for stream in streams {
            assert_eq!(stream.await.unwrap().unwrap().status(), 200);
        }
    });
    assert_eq!(upstream.requests().len(), 20);
}

/// F11: rapid reset, a CONTINUATION flood, empty DATA frames: the connection is ended, memory stays, others are served.
#[test]
fn http2_floods_are_cut_off() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let signed = Webhook::new("{}");
    let block = hpack(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/webhooks/paddle"),
        (":authority", "localhost"),
        ("paddle-signature", signed.signature.as_deref().unwrap()),
    ]);
    let rapid_reset = |id: u32| [frame(1, 0x4, id, &block), frame(3, 0, id, &8u32.to_be_bytes())].concat();
    let empty_data = |id: u32| {
        let open = if id == 1 { frame(1, 0x4, 1, &block) } else { Vec::new() };
        [open, frame(0, 0, 1, b"")].concat()
    };
    let continuation = |id: u32| {
        if id == 1 {
            frame(1, 0, 1, &block)
        } else {
            frame(9, 0, 1, &hpack(&[("x", "y")]))
        }
    };
    let ping = |_: u32| frame(6, 0, 0, b"01234567");
    type Frames<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let floods: [(&str, Frames<'_>, bool); 4] = [
        ("rapid reset", &rapid_reset, true),
        ("empty DATA", &empty_data, true),
        ("CONTINUATION", &continuation, true),
        ("PING", &ping, false),
    ];
    for (name, frames, must_close) in floods {
        let before = gateway.peak_resident();
        let mut client = Client::tls_offering(gateway.tls(), "localhost", &gateway.setup.certificate.der, "h2");
        client.send(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, b"")].concat());
        let mut cut_off = false;
        for id in (1..60_000).step_by(2) {
            if client.try_send(&frames(id)).is_err() {
                cut_off = true;
                break;
            }
        }
        if must_close {
            assert!(
                cut_off || client.closed_within(PATIENCE),
                "{name}: the connection is still open"
            );
        }
        let grown = gateway.peak_resident() - before;
        assert!(grown < 16 << 20, "{name}: grew by {grown} bytes");
        assert_eq!(
            gateway.exchange(&Webhook::new(name).bytes()).status,
            200,
            "{name}: others are served"
        );
    }
    gateway.counted("hookgate_in_flight_requests", &[], 0.0);
    assert!(
        upstream.requests().len() <= 4 + 2000,
        "resets cost the upstream {} requests",
        upstream.requests().len()
    );
}

/// One HTTP/2 frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals without indexing (RFC 7541, 6.2.2); names and values under 127 bytes.
fn hpack(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}
