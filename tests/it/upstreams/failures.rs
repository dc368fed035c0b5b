//! Upstreams that refuse, reset, are slow, answer nonsense or die: the status for the sender, the released claim, the
//! accepted retry.

use crate::support::apps::App;
use crate::support::paddle::SECRET;
use crate::support::upstream::{Connection, Recorded, answer};
use crate::support::{AfterAnswer, Gate, Gateway, Setup, Upstream, Webhook, eventually};
use std::io;

/// The first attempt runs `fail`; after that the application answers normally.
fn fails_once(fail: impl Fn(&mut Connection) -> AfterAnswer + Send + Sync + 'static) -> Upstream {
    Upstream::new(move |request: &Recorded, connection| {
        if request.index == 0 {
            fail(connection)
        } else {
            connection.send(&answer("200 OK", &[], b"recovered"))
        }
    })
}

/// The first attempt is answered with this refusal, the identical retry is delivered, the third is a replay.
fn refuses_then_delivers(gateway: &Gateway, status: u16, reason: &str) {
    let webhook = Webhook::new("{}").bytes();
    let response = gateway.exchange(&webhook);
    assert_eq!(
        (response.status, response.reason().as_str()),
        (status, reason),
        "{response:?}"
    );
    gateway.wait_for_metric(
        "hookgate_requests_total",
        &[("verdict", "failed"), ("reason", reason)],
        1.0,
    );
    gateway.wait_for_audit_lines(reason, 1);
    let retry = gateway.exchange(&webhook);
    assert_eq!(
        (retry.status, retry.body.as_slice()),
        (200, &b"recovered"[..]),
        "{retry:?}"
    );
    assert_eq!(gateway.exchange(&webhook).status, 409);
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
}

/// G01: connections are refused at first, and accepted later.
#[test]
fn a_refused_connection_releases_the_claim() {
    // Bound but not listening: the port belongs to this test and refuses connections.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into())
        .unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let gateway = Setup::new(&format!("http://{address}")).start();
    let webhook = Webhook::new("{}").bytes();
    for _ in 0..2 {
        let response = gateway.exchange(&webhook);
        assert_eq!(
            (response.status, response.reason().as_str()),
            (502, "upstream_unreachable")
        );
    }
    gateway.wait_for_metric("hookgate_requests_total", &[("reason", "upstream_unreachable")], 2.0);
    // The upstream starts: the same webhook is delivered.
    socket.listen(16).unwrap();
    let mut client = gateway.connect();
    client.send(&webhook);
    let (stream, _) = socket.accept().unwrap();
    let mut reader = crate::support::message::Reader::new(stream);
    let mut message = reader.head().unwrap().unwrap();
    reader.body(&mut message, false).unwrap();
    assert_eq!(message.body, b"{}");
    io::Write::write_all(&mut reader.stream, &answer("200 OK", &[], b"up")).unwrap();
    assert_eq!(client.response().body, b"up");
}

/// G10: a socket that does not exist yet.
#[test]
fn a_missing_unix_socket_releases_the_claim() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let gateway = Setup::new(&format!("unix:{}", path.display())).start();
    let webhook = Webhook::new("{}").bytes();
    let response = gateway.exchange(&webhook);
    assert_eq!(
        (response.status, response.reason().as_str()),
        (502, "upstream_unreachable")
    );
    let _upstream = Upstream::unix(&path, |_, connection| connection.send(&answer("200 OK", &[], b"there")));
    assert_eq!(gateway.exchange(&webhook).body, b"there");
}

/// G01: a name that does not exist.
#[test]
fn an_unknown_host_is_unreachable() {
    let gateway = Setup::new("http://name.invalid:80").start();
    let response = gateway.exchange(&Webhook::new("{}").bytes());
    assert!([502, 504].contains(&response.status), "{response:?}");
    assert!(
        ["upstream_unreachable", "upstream_timeout"].contains(&response.reason().as_str()),
        "{response:?}"
    );
}

/// G02: a reset before the head of the answer.
#[test]
fn a_reset_before_the_answer_releases_the_claim() {
    let upstream = fails_once(|_| AfterAnswer::Reset);
    refuses_then_delivers(&Setup::new(&upstream.url()).start(), 502, "upstream_reset");
}

/// G02: a close before the head of the answer.
#[test]
fn a_close_before_the_answer_releases_the_claim() {
    let upstream = fails_once(|_| AfterAnswer::Close);
    refuses_then_delivers(&Setup::new(&upstream.url()).start(), 502, "upstream_reset");
    assert_eq!(
        upstream.requests().len(),
        2,
        "a request of which a byte was sent is never sent again by hookgate"
    );
}

/// G02: a close inside the head of the answer.
#[test]
fn a_reset_inside_the_answer_head_releases_the_claim() {
    let upstream = fails_once(|connection| {
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Le");
        AfterAnswer::Close
    });
    refuses_then_delivers(&Setup::new(&upstream.url()).start(), 502, "upstream_reset");
}

/// G05: an answer that is not HTTP.
#[test]
fn an_answer_that_is_not_http_releases_the_claim() {
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..],
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
    ] {
        let upstream = fails_once(move |connection| {
            connection.send(garbage);
            AfterAnswer::Close
        });
        let gateway = Setup::new(&upstream.url()).start();
        refuses_then_delivers(&gateway, 502, "upstream_invalid");
    }
}

/// G05: an answer whose head does not end.
#[test]
fn an_endless_answer_head_releases_the_claim() {
    let upstream = fails_once(|connection| {
        connection.send(b"HTTP/1.1 200 OK\r\n");
        while connection.send(format!("X-Filler: {}\r\n", "x".repeat(8000)).as_bytes()) == AfterAnswer::Keep {}
        AfterAnswer::Close
    });
    let gateway = Setup::new(&upstream.url()).start();
    let before = gateway.resident();
    refuses_then_delivers(&gateway, 502, "upstream_invalid");
    assert!(gateway.peak_resident().saturating_sub(before) < 16 << 20);
}

/// G03: no answer in time.
#[test]
fn a_late_answer_is_504() {
    let upstream = fails_once(|connection| {
        assert!(
            connection.wait_for_close(),
            "the gateway must not keep the connection of a request that timed out"
        );
        AfterAnswer::Close
    });
    let gateway = Setup::new(&upstream.url()).upstream("timeout = \"300ms\"").start();
    refuses_then_delivers(&gateway, 504, "upstream_timeout");
    eventually("the end of the abandoned connection", || {
        (upstream.open() <= 1).then_some(())
    });
}

/// G01: connecting does not complete because the backlog is full.
#[test]
fn a_connect_timeout_releases_the_claim() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _filling: Vec<_> = (0..4)
        .map(|_| std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200)))
        .collect();
    let gateway = Setup::new(&format!("http://{address}"))
        .upstream("connect_timeout = \"200ms\", timeout = \"400ms\"")
        .start();
    let response = gateway.exchange(&Webhook::new("{}").bytes());
    assert!([502, 504].contains(&response.status), "{response:?}");
    assert!(
        ["upstream_unreachable", "upstream_timeout"].contains(&response.reason().as_str()),
        "{response:?}"
    );
}

/// G02: cut off inside the body. The status has been sent already, so the sender must see a broken answer, never a
/// clean end.
#[test]
fn a_truncated_answer_never_ends_cleanly() {
    let partial: [&'static [u8]; 2] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nonly a part\r\n",
    ];
    for (bytes, then) in partial
        .into_iter()
        .flat_map(|bytes| [(bytes, AfterAnswer::Reset), (bytes, AfterAnswer::Close)])
    {
        let gate = Gate::default();
        let held = gate.clone();
        let upstream = fails_once(move |connection| {
            connection.send(bytes);
            held.pass();
            then
        });
        let gateway = Setup::new(&upstream.url()).start();
        let webhook = Webhook::new("{}").bytes();
        let mut client = gateway.connect();
        client.send(&webhook);
        client.wait_for(b"only a part");
        gate.open();
        let (message, result, status, _) = client.partial_response(false).unwrap();
        assert_eq!(status, 200);
        assert!(result.is_err(), "a truncated answer ended cleanly: {message:?}");
        gateway.wait_for_metric(
            "hookgate_requests_total",
            &[("verdict", "failed"), ("reason", "upstream_reset")],
            1.0,
        );
        let retry = gateway.exchange(&webhook);
        assert_eq!(
            (retry.status, retry.body.as_slice()),
            (200, &b"recovered"[..]),
            "the claim is released"
        );
    }
}

/// G03: the same with a slow upstream: the timeout of the whole exchange ends inside the body.
#[test]
fn a_slow_answer_body_is_cut_off() {
    let upstream = fails_once(|connection| {
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part");
        connection.wait_for_close();
        AfterAnswer::Close
    });
    let gateway = Setup::new(&upstream.url()).upstream("timeout = \"500ms\"").start();
    let webhook = Webhook::new("{}").bytes();
    let mut client = gateway.connect();
    client.send(&webhook);
    let (message, result, status, _) = client.partial_response(false).unwrap();
    assert_eq!(status, 200);
    assert!(result.is_err(), "a truncated answer ended cleanly: {message:?}");
    gateway.wait_for_metric(
        "hookgate_requests_total",
        &[("verdict", "failed"), ("reason", "upstream_timeout")],
        1.0,
    );
    assert_eq!(gateway.exchange(&webhook).body, b"recovered");
}

/// G06: an idle connection that the upstream closed is noticed, or the request is sent again, but only because no byte
/// of it was sent.
#[test]
fn a_stale_pooled_connection_loses_no_webhook() {
    let upstream = Upstream::new(|_, connection| {
        connection.send(&answer("200 OK", &[], b"and goodbye"));
        AfterAnswer::Close
    });
    let gateway = Setup::new(&upstream.url()).start();
    let mut client = gateway.connect();
    for number in 0..30 {
        let response = client.exchange(&Webhook::new(format!("{number}")).bytes());
        assert_eq!(response.status, 200, "webhook {number}: {response:?}");
        // The close must reach the gateway before the next webhook does.
        eventually("the close by the upstream", || (upstream.open() == 0).then_some(()));
    }
    assert_eq!(upstream.requests().len(), 30, "a webhook was delivered twice");
}

/// G07: an application that answers before it has read the request.
#[test]
fn an_early_answer_is_relayed() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let early = std::thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        io::Read::read(&mut stream, &mut [0; 1024]).unwrap();
        io::Write::write_all(
            &mut stream,
            &answer("413 Too Large", &[("Connection", "close")], b"too much"),
        )
        .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Read the rest of the request, so that no reset overtakes the answer.
        io::copy(&mut stream, &mut io::sink()).unwrap();
    });
    let gateway = Setup::new(&format!("http://{address}")).start();
    let response = gateway.exchange(&Webhook::new(vec![b'x'; 1 << 20]).bytes());
    assert_eq!(
        (response.status, response.body.as_slice()),
        (413, &b"too much"[..]),
        "{response:?}"
    );
    early.join().unwrap();
}

/// G02: a real application, killed with SIGKILL while it handles a request: 502, and the retry reaches the new process.
#[test]
fn the_retry_reaches_the_successor_of_a_killed_application() {
    let app = App::node("verify.cjs", SECRET);
    let port = app.address.port();
    let gateway = Setup::new(&app.url()).start();
    assert_eq!(gateway.exchange(&Webhook::new("before").bytes()).status, 200);
    let webhook = Webhook::new("{}").bytes();
    app.stop();
    let mut client = gateway.connect();
    client.send(&webhook);
    eventually("the request in flight", || {
        (gateway.metrics().sum("hookgate_in_flight_requests", &[]) > 0.0).then_some(())
    });
    app.kill();
    let response = client.response();
    assert_eq!(response.status, 502, "{response:?}");
    let _successor = App::node_on("verify.cjs", SECRET, port);
    assert_eq!(gateway.exchange(&webhook).status, 200);
}
