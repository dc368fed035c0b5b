//! Every bound of the table in DESIGN is reached once: the answer is clear, and the next request is served.

use crate::support::frames::{self, CONTINUATION, DATA, END_HEADERS, HEADERS, PING, RST_STREAM, frame};
use crate::support::http2::{self, Http2};
use crate::support::upstream::answer;
use crate::support::{Client, Gate, Gateway, Setup, Upstream, WAIT_TIMEOUT, Webhook, eventually};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// At the limit a new connection is closed while every other one has a verified request in progress.
#[test]
fn connections_are_bounded() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b""))
    });
    let gateway = Setup::new(&upstream.url()).limits("connections = 8").start();
    let mut crowd: Vec<Client> = (0..8).map(|_| gateway.connect()).collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        client.send(&Webhook::new(format!("{number}")).bytes());
    }
    upstream.wait_for(8);
    let mut late = gateway.connect();
    let _ = late.try_send(&Webhook::new("late").bytes());
    assert!(late.closed_within(WAIT_TIMEOUT), "a ninth connection is kept");
    gateway.wait_for_metric("hookgate_connections_total", &[("result", "over_limit")], 1.0);
    assert_eq!(
        gateway.ask("/livez").status,
        200,
        "the admin listener has a limit of its own"
    );
    gate.open();
    for client in &mut crowd {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(upstream.requests().len(), 8);
    // Now all eight are idle, and the next one takes the place of one of them.
    assert_eq!(gateway.exchange(&Webhook::new("next").bytes()).status, 200);
}

/// B09: number of headers, bytes of headers, one endless header, an endless target.
#[test]
fn heads_are_bounded() {
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
    // The number of fields has the same limit over HTTP/2; the fields of a cookie count as one.
    let too_large = || {
        gateway
            .metrics()
            .sum("hookgate_malformed_requests_total", &[("kind", "head_too_large")])
    };
    let is_too_large = |fields: &[(String, String)]| {
        let before = too_large();
        let mut client = frames::connect(&gateway);
        let pairs: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let block = [frames::head(&webhook), frames::hpack(&pairs)].concat();
        client.send(&frame(HEADERS, END_HEADERS | frames::END_STREAM, 1, &block));
        frames::read_until(&mut client, |frame| frame.kind == HEADERS).unwrap();
        too_large() > before
    };
    let fields = |name: &str, count: usize| -> Vec<(String, String)> {
        (0..count)
            .map(|number| (name.replace('N', &number.to_string()), String::from("v")))
            .collect()
    };
    // The head has one field besides these.
    assert!(is_too_large(&fields("x-N", 100)));
    assert!(!is_too_large(&fields("x-N", 99)));
    assert!(!is_too_large(&fields("cookie", 150)));
    upstream.assert_untouched();
    let within = (0..60).fold(webhook.header("X-Wide", &"x".repeat(20 << 10)), |w, number| {
        w.header(&format!("X-{number}"), "x")
    });
    assert_eq!(gateway.exchange(&within.bytes()).status, 200);
}

/// A small budget for requests in flight: a body that does not fit beside verified ones is refused with `Retry-After`,
/// and fits once the first has ended.
#[test]
fn bytes_in_flight_are_bounded() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b""))
    });
    let gateway = Setup::new(&upstream.url())
        .limits("in_flight_bytes = \"128KiB\"")
        .route("body_limit = \"80KiB\"")
        .start();
    let (first, second) = (Webhook::new(vec![b'1'; 80 << 10]), Webhook::new(vec![b'2'; 80 << 10]));
    let mut holder = gateway.connect();
    let request = first.bytes();
    holder.send(&request[..request.len() - 1]);
    eventually("the first request to hold its bytes", || {
        (gateway.metrics().sum("hookgate_intake_bytes_in_flight", &[]) > 70_000.0).then_some(())
    });
    // The newcomer is faster, so the first gives way.
    let mut newcomer = gateway.connect();
    newcomer.send(&second.bytes());
    let response = holder.response();
    assert_eq!(
        (response.status, response.reason().as_str()),
        (503, "overloaded"),
        "{response:?}"
    );
    assert!(response.header("Retry-After").is_some());
    upstream.wait_for(1);
    gate.open();
    assert_eq!(newcomer.response().status, 200);
    assert_eq!(gateway.exchange(&first.bytes()).status, 200);
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
}

/// The limit of connections to one upstream.
#[test]
fn upstream_connections_are_bounded() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b""))
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

/// An idle upstream connection that another worker keeps must not cause a refusal: it is closed to make room.
#[test]
fn idle_upstream_connections_are_closed_to_make_room() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .top("workers = 4")
        .upstream("max_connections = 1")
        .start();
    // Each connection may be accepted by another worker.
    for number in 0..24 {
        let response = gateway.exchange(&Webhook::new(format!("{number}")).bytes());
        assert_eq!(response.status, 200, "webhook {number}: {response:?}");
    }
    assert_eq!(upstream.requests().len(), 24);
}

/// HTTP/2 streams of one connection: the limit is announced, and a client that respects it is served completely.
#[test]
fn http2_streams_are_bounded() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |request, connection| {
        if request.index > 0 {
            held.pass();
        }
        connection.send(&answer("200 OK", &[], b""))
    });
    let gateway = Setup::new(&upstream.url()).limits("http2_streams = 5").start();
    http2::run(async {
        let mut client = Http2::connect(&gateway).await;
        // After one answer the client knows the limit.
        assert_eq!(client.exchange(&Webhook::new("first")).await.unwrap().status, 200);
        let mut sender = client.sender;
        let streams: Vec<_> = (0..20)
            .map(|number| tokio::spawn(sender.send_request(http2::request(&Webhook::new(format!("{number}"))))))
            .collect();
        while upstream.requests().len() < 6 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // The gauge is sampled: when it shows five, a sixth stream would have been counted as well.
        gateway.wait_for_metric("hookgate_in_flight_requests", &[], 5.0);
        assert_eq!(upstream.requests().len(), 6);
        gate.open();
        for stream in streams {
            assert_eq!(stream.await.unwrap().unwrap().status(), 200);
        }
    });
    assert_eq!(upstream.requests().len(), 21);
}

/// The bounds of one HTTP/2 connection, as the gateway announces them.
#[test]
fn http2_settings_announce_the_bounds() {
    let gateway = Setup::new(&Upstream::ok().url()).start();
    let mut client = frames::connect(&gateway);
    let settings = frames::read_until(&mut client, |frame| frame.kind == frames::SETTINGS).unwrap();
    let announced = settings.payload.chunks_exact(6).map(|entry| {
        let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
        (u16::from_be_bytes([entry[0], entry[1]]), value)
    });
    let announced: std::collections::BTreeMap<u16, u32> = announced.collect();
    // RFC 9113, section 6.5.2.
    for (name, identifier, value) in [
        ("HPACK table", 1, 1024),
        ("streams", 3, 32),
        ("window of a stream", 4, 128 << 10),
        ("header list", 6, 32 << 10),
    ] {
        assert_eq!(announced.get(&identifier), Some(&value), "{name}: {announced:?}");
    }
    let window = frames::read_until(&mut client, |frame| frame.kind == frames::WINDOW_UPDATE).unwrap();
    let more = u32::from_be_bytes(window.payload[..4].try_into().unwrap());
    assert_eq!((window.stream, more + 65_535), (0, 512 << 10));
}

/// Sends 30,000 times what `next` gives, while another thread reads what the gateway answers. Returns whether the gateway
/// has ended the connection.
fn is_cut_off(gateway: &Gateway, next: &dyn Fn(u32) -> Vec<u8>) -> bool {
    let mut stream = TcpStream::connect(gateway.plain()).unwrap();
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&stream, Some(WAIT_TIMEOUT / 2)).unwrap();
    }
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 64 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    });
    let preface = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(frames::SETTINGS, 0, 0, b""),
    ]
    .concat();
    let mut sent = stream.write_all(&preface);
    for id in (1..60_000).step_by(2) {
        if sent.is_err() {
            break;
        }
        sent = stream.write_all(&next(id));
    }
    reading.join().unwrap()
}

/// F11: rapid reset, floods of CONTINUATION, empty DATA, PING, SETTINGS and other control frames: the gateway ends the
/// connection although its answers are read, memory does not grow, other connections are served.
#[test]
fn http2_floods_are_cut_off() {
    type Frames<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let upstream = Upstream::ok();
    // The end must not come from a timeout.
    let limits = "write_timeout = \"10m\"\nhead_timeout = \"10m\"\nidle_timeout = \"10m\"";
    let route = "body_timeout = \"10m\"";
    let gateway = Setup::new(&upstream.url()).limits(limits).route(route).start();
    let block = frames::head(&Webhook::new("{}"));
    let rapid_reset = |id: u32| {
        [
            frame(HEADERS, END_HEADERS, id, &block),
            frame(RST_STREAM, 0, id, &8u32.to_be_bytes()),
        ]
        .concat()
    };
    let empty_data = |id: u32| {
        let open = if id == 1 {
            frame(HEADERS, END_HEADERS, 1, &block)
        } else {
            Vec::new()
        };
        [open, frame(DATA, 0, 1, b"")].concat()
    };
    let continuation = |id: u32| match id {
        1 => frame(HEADERS, 0, 1, &block),
        _ => frame(CONTINUATION, 0, 1, &frames::hpack(&[("x", "y")])),
    };
    let ping = |_: u32| frame(PING, 0, 0, b"01234567");
    let settings = |_: u32| frame(frames::SETTINGS, 0, 0, b"");
    let priority = |_: u32| frame(frames::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
    let unknown = |_: u32| frame(0x42, 0, 0, b"");
    let floods: [(&str, Frames<'_>); 7] = [
        ("rapid reset", &rapid_reset),
        ("empty DATA", &empty_data),
        ("CONTINUATION", &continuation),
        ("PING", &ping),
        ("SETTINGS", &settings),
        ("PRIORITY", &priority),
        ("frames of an unknown type", &unknown),
    ];
    for (name, next) in floods {
        let before = gateway.peak_resident();
        assert!(is_cut_off(&gateway, next), "{name}: the connection is still open");
        let grown = gateway.peak_resident() - before;
        assert!(grown < 16 << 20, "{name}: memory grew by {grown} bytes");
        assert_eq!(
            gateway.exchange(&Webhook::new(name).bytes()).status,
            200,
            "{name}: other connections are served"
        );
    }
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
    assert_eq!(
        upstream.requests().len(),
        floods.len(),
        "no request of a flood reached the upstream"
    );
}
