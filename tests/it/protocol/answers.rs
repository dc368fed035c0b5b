//! Group G: what an upstream answers, well formed or not. An answer that can be read in only one way is relayed.
//! Anything else becomes 502, and no part of it reaches the sender or the answer to the next webhook.

use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Gate, Setup, Upstream, Webhook, eventually};

/// Sends two webhooks over one connection to an upstream that answers the first with `bytes`; the second must get its
/// own answer.
fn first_and_second(bytes: &'static [u8]) -> (u16, Vec<u8>, Vec<u16>) {
    let upstream = Upstream::new(move |request, connection| {
        if request.body == b"first" {
            connection.send(bytes)
        } else {
            connection.send(&answer("200 OK", &[], b"the second's own"))
        }
    });
    let mut gateway = Setup::new(&upstream.url())
        .top("workers = 1")
        .upstream("timeout = \"2s\"")
        .start();
    let first = gateway.exchange(&Webhook::new("first").bytes());
    let shown = String::from_utf8_lossy(bytes).into_owned();
    let second = gateway.exchange(&Webhook::new("second").bytes());
    assert_eq!(
        (second.status, second.body.as_slice()),
        (200, &b"the second's own"[..]),
        "after {shown:?}: {second:?}"
    );
    assert_eq!(upstream.requests().len(), 2, "{shown:?}");
    assert!(gateway.runs());
    (first.status, first.body.clone(), first.informational.clone())
}

/// G04: informational (1xx) answers before the final answer.
#[test]
fn informational_answers_do_not_replace_the_final_answer() {
    for (bytes, informational) in [
        (
            &b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..],
            100,
        ),
        (
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            102,
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            103,
        ),
    ] {
        let (status, body, statuses) = first_and_second(bytes);
        assert_eq!((status, body.as_slice()), (200, &b"ok"[..]));
        assert!(
            statuses.is_empty() || statuses == [103],
            "{informational}: {statuses:?}"
        );
    }
    let (status, ..) =
        first_and_second(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nanything");
    assert_eq!(status, 502);
}

/// G05: answers whose end two HTTP parsers could see in different places.
#[test]
fn ambiguous_answers_never_reach_the_next_webhook() {
    let refused: [&'static [u8]; 10] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 -200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"<html>an answer of HTTP/0.9</html>\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
    ];
    for bytes in refused {
        let (status, body, _) = first_and_second(bytes);
        assert_eq!(status, 502, "{:?}", String::from_utf8_lossy(bytes));
        assert!(body.starts_with(b"{\"title\""), "{:?}", String::from_utf8_lossy(&body));
    }
    // Both framing headers: refused, or read as RFC 9112, 6.3 requires.
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let (status, body, _) = first_and_second(bytes);
        assert!((status, body.as_slice()) == (200, b"ok") || status == 502, "{status}");
    }
}

/// G05: bytes after the end of an answer are not used as the next answer.
#[test]
fn bytes_after_an_answer_are_not_the_next_answer() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"[..],
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ] {
        let (status, body, _) = first_and_second(bytes);
        assert!([200, 204, 304].contains(&status), "{status}");
        assert!(!body.windows(4).any(|part| part == b"evil"), "{:?}", String::from_utf8_lossy(&body));
    }
}

/// G05: heads in which two parsers could find the end at different places, and heads over 64 KiB, also when they arrive
/// at once.
#[test]
fn bare_line_feeds_and_large_heads_are_refused() {
    for bytes in [
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok".to_owned(),
        "HTTP/1.1 200 OK\r\nX-A: 1\nX-B: 2\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok".to_owned(),
        "\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        "HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        format!(
            "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 2\r\n\r\nok",
            "x".repeat(70 << 10)
        ),
        format!(
            "HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\nok",
            format!("X: {}\r\n", "x".repeat(1000)).repeat(70)
        ),
    ] {
        let (status, ..) = first_and_second(bytes.leak().as_bytes());
        assert_eq!(status, 502);
    }
}

/// G05: a second answer that nobody asked for, sent while the connection is idle, is not the answer to the next webhook.
#[test]
fn bytes_on_an_idle_connection_are_not_the_next_answer() {
    let asked = Gate::default();
    let (gate, sent) = (asked.clone(), Gate::default());
    let written = sent.clone();
    let upstream = Upstream::new(move |request, connection| {
        if request.body != b"first" {
            return connection.send(&answer("200 OK", &[], b"the second's own"));
        }
        connection.send(&answer("200 OK", &[], b"ok"));
        gate.pass();
        connection.send(&answer("200 OK", &[], b"evil"));
        written.open();
        AfterAnswer::Keep
    });
    let gateway = Setup::new(&upstream.url()).top("workers = 1").start();
    assert_eq!(gateway.exchange(&Webhook::new("first").bytes()).body, b"ok");
    asked.open();
    sent.pass();
    let second = gateway.exchange(&Webhook::new("second").bytes());
    assert_eq!(
        (second.status, second.body.as_slice()),
        (200, &b"the second's own"[..]),
        "{second:?}"
    );
    assert_eq!(upstream.connections(), 2);
}

/// G05: line ends and control characters in the head of an answer cannot split it for the sender.
#[test]
fn answers_are_not_split() {
    for bytes in [
        &b"HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nok\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nX-A: 1\rX-B: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\rX-Evil: 1\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let upstream = Upstream::new(move |_, connection| {
            connection.send(bytes);
            AfterAnswer::Close
        });
        let gateway = Setup::new(&upstream.url()).start();
        let response = gateway.exchange(&Webhook::new("{}").bytes());
        assert!([200, 502].contains(&response.status), "{response:?}");
        let head = &response.message.raw[..response.message.raw.len() - response.body.len()];
        let text = String::from_utf8_lossy(head).replace("\r\n", "");
        assert!(!text.contains(['\r', '\n']), "{text:?}");
    }
}

/// G01: an upstream that should use TLS but does not, stalls in the handshake, or presents the certificate of another
/// server.
#[test]
fn an_upstream_with_faulty_tls_is_unreachable() {
    let plain = Upstream::ok();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stranger = crate::support::certificates::Certificate::new(&["localhost"]);
    let stranger = Upstream::tls(stranger.server(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    let silent_port = silent.local_addr().unwrap().port();
    for (url, statuses) in [
        (plain.url().replace("http://127.0.0.1", "https://localhost"), [502, 504]),
        (format!("https://localhost:{silent_port}"), [502, 504]),
        (stranger.url(), [502, 502]),
    ] {
        let gateway = Setup::new(&url).upstream("connect_timeout = \"300ms\"").start();
        let webhook = Webhook::new("{}").bytes();
        for _ in 0..2 {
            let response = gateway.exchange(&webhook);
            assert!(statuses.contains(&response.status), "{url}: {response:?}");
        }
        gateway.wait_for_metric("hookgate_replay_keys", &[], 0.0);
    }
    assert!(stranger.requests().is_empty() && plain.requests().is_empty());
}

/// G03: one deadline covers the whole answer, however steadily its bytes arrive.
#[test]
fn a_slow_steady_answer_ends_at_the_deadline() {
    let upstream = Upstream::new(|request, connection| {
        if request.index > 0 {
            return connection.send(&answer("200 OK", &[], b"recovered"));
        }
        connection.send(b"HTTP/1.1 200 OK\r\nX-Drip: ");
        // This ends when the gateway closes the connection.
        while connection.send(b"x") == AfterAnswer::Keep {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        AfterAnswer::Close
    });
    let gateway = Setup::new(&upstream.url()).upstream("timeout = \"500ms\"").start();
    let webhook = Webhook::new("{}").bytes();
    let response = gateway.exchange(&webhook);
    assert_eq!(
        (response.status, response.reason().as_str()),
        (504, "upstream_timeout"),
        "{response:?}"
    );
    eventually("the upstream connection to be closed", || {
        (upstream.open() == 0).then_some(())
    });
    assert_eq!(gateway.exchange(&webhook).body, b"recovered");
}

/// G03: the deadline also ends an answer whose bytes are always at hand: a body, chunk after chunk, and informational
/// answers before any other.
#[test]
fn an_endless_answer_ends_at_the_deadline() {
    for (start, piece) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "8000\r\n"),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    ] {
        let upstream = Upstream::new(move |_, connection| {
            connection.send(start.as_bytes());
            let piece = if start.is_empty() {
                piece.repeat(1000)
            } else {
                format!("{piece}{}\r\n", "x".repeat(0x8000))
            };
            while connection.send(piece.as_bytes()) == AfterAnswer::Keep {}
            AfterAnswer::Close
        });
        let gateway = Setup::new(&upstream.url()).upstream("timeout = \"500ms\"").start();
        let mut client = gateway.connect();
        client.send(&Webhook::new("{}").bytes());
        let reader = std::thread::spawn(move || client.rest().0.len());
        gateway.wait_for_metric(
            "hookgate_requests_total",
            &[("reason", "upstream_timeout"), ("verdict", "failed")],
            1.0,
        );
        reader.join().unwrap();
        gateway.wait_for_metric("hookgate_replay_keys", &[], 0.0);
    }
}

/// G11: an application cannot set hookgate's own headers in its answer.
#[test]
fn answers_cannot_set_hookgate_headers() {
    let headers = [
        ("Hookgate-Verified", "forged"),
        ("hookgate-anything", "forged"),
        ("Server", "theirs"),
        ("Connection", "x-hop"),
        ("X-Hop", "1"),
    ];
    let upstream = Upstream::answering(answer("200 OK", &headers, b"ok"));
    let gateway = Setup::new(&upstream.url()).start();
    let response = gateway.exchange(&Webhook::new("{}").bytes());
    assert_eq!(response.header("Server").as_deref(), Some("theirs"));
    for gone in ["Hookgate-Verified", "Hookgate-Anything", "X-Hop"] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
}

/// G10: a Unix socket that disappears and is created again: meanwhile the sender gets an answer with `Retry-After`, and
/// the retry is delivered once to the new application.
#[test]
fn a_recreated_unix_socket_is_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let serve = |text: &'static str| {
        Upstream::unix(&path, move |_, connection| {
            connection.send(&answer("200 OK", &[], text.as_bytes()));
            // A pooled connection would outlive the socket.
            AfterAnswer::Close
        })
    };
    let first = serve("first");
    let gateway = Setup::new(&first.url()).start();
    assert_eq!(gateway.exchange(&Webhook::new("1").bytes()).body, b"first");
    eventually("the application to close", || (first.open() == 0).then_some(()));
    std::fs::remove_file(&path).unwrap();
    let webhook = Webhook::new("2").bytes();
    let response = gateway.exchange(&webhook);
    assert_eq!(
        (response.status, response.reason().as_str()),
        (502, "upstream_unreachable")
    );
    let second = serve("second");
    let response = gateway.exchange(&webhook);
    assert_eq!((response.status, response.body.as_slice()), (200, &b"second"[..]));
    assert_eq!(second.only().body, b"2");
    assert_eq!(first.only().body, b"1");
}

/// I11, I12: the application is stopped before the gateway, or starts after it: the sender gets an answer with
/// `Retry-After`, nothing is acknowledged, and the retry is delivered.
#[test]
fn an_absent_application_gets_the_retry_after_it_starts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let gateway = Setup::new(&format!("unix:{}", path.display())).start();
    let webhook = Webhook::new("{}").bytes();
    for _ in 0..3 {
        let response = gateway.exchange(&webhook);
        assert_eq!(
            (response.status, response.reason().as_str()),
            (502, "upstream_unreachable")
        );
    }
    gateway.wait_for_metric("hookgate_upstream_up", &[], 0.0);
    let upstream = Upstream::unix(&path, |_, connection| connection.send(&answer("200 OK", &[], b"there")));
    assert_eq!(gateway.exchange(&webhook).body, b"there");
    gateway.wait_for_metric("hookgate_upstream_up", &[], 1.0);
    assert_eq!(upstream.only().body, b"{}");
}

/// I10: the gateway is killed between the application's request and its answer. The sender sees a broken connection,
/// and its retry to the new process is accepted: the memory store is lost, so the application may receive the webhook
/// twice.
#[test]
fn a_kill_during_an_exchange_lets_the_retry_through() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b"done"))
    });
    let mut gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("{}").bytes();
    let mut client = gateway.connect();
    client.send(&webhook);
    upstream.wait_for(1);
    gateway.signal(rustix::process::Signal::KILL);
    assert!(!gateway.wait_for_exit().success());
    assert!(
        client.try_response(false).is_err(),
        "the sender must not read this as delivered"
    );
    gate.open();
    let successor = Setup::new(&upstream.url()).start();
    assert_eq!(successor.exchange(&webhook).body, b"done");
    assert_eq!(upstream.requests().len(), 2);
}
