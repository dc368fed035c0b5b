//! Outputs that fail, signals without a meaning, and thousands of refusals: the gateway goes on and counts the lines
//! that it lost.

use crate::support::certificates;
use crate::support::paddle::SECRET;
use crate::support::{Client, Gateway, Setup, Upstream, Webhook, paddle};
use rustix::process::Signal;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// Redirects standard output to the launcher's standard input.
const OUT_TO_STDIN: [&str; 4] = ["/bin/sh", "-c", "exec \"$@\" 1>&0", "sh"];

fn serves(gateway: &mut Gateway, body: &str) {
    assert_eq!(gateway.exchange(&Webhook::new(body).bytes()).status, 200);
    assert!(gateway.runs());
}

/// I14: signals that would end another program change nothing.
#[test]
fn unused_signals_are_ignored() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    for (number, signal) in [Signal::PIPE, Signal::USR1, Signal::USR2].into_iter().enumerate() {
        gateway.signal(signal);
        serves(&mut gateway, &format!("{number}"));
    }
    // The process still handles SIGHUP, so it has survived the signals before.
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_for_exit().success());
    assert_eq!(upstream.requests().len(), 3);
}

/// I14: a full disk, and a log reader that has closed its end: webhooks are forwarded, each lost line is counted.
#[test]
fn lost_log_lines_are_counted() {
    let upstream = Upstream::ok();
    let full = ["/bin/sh", "-c", "exec \"$@\" >/dev/full", "sh"];
    let (ours, theirs) = UnixStream::pair().unwrap();
    let disk = Gateway::start_through(Setup::new(&upstream.url()), &full, None);
    let reader = Gateway::start_through(Setup::new(&upstream.url()), &OUT_TO_STDIN, Some(OwnedFd::from(theirs)));
    drop(ours);
    for mut gateway in [disk, reader] {
        for number in 0..5 {
            serves(&mut gateway, &format!("{number}"));
        }
        gateway.wait_for_metric("hookgate_audit_lines_dropped_total", &[], 5.0);
        serves(&mut gateway, "after");
        gateway.signal(Signal::TERM);
        assert!(gateway.wait_for_exit().success());
    }
    assert_eq!(upstream.requests().len(), 12);
}

/// I14: no standard output at all.
#[test]
fn a_closed_standard_output_is_survived() {
    let upstream = Upstream::ok();
    let closed = ["/bin/sh", "-c", "exec \"$@\" >&-", "sh"];
    let mut gateway = Gateway::start_through(Setup::new(&upstream.url()), &closed, None);
    for number in 0..3 {
        serves(&mut gateway, &format!("{number}"));
    }
    assert_eq!(upstream.requests().len(), 3);
}

/// J04: more refusals than the audit log buffers while nothing reads it: each is answered and counted, lines are
/// dropped and counted instead of delaying requests, and a genuine webhook is forwarded.
#[test]
fn many_refusals_are_all_counted() {
    const REFUSALS: u32 = 12_000;
    let upstream = Upstream::ok();
    let (unread, theirs) = UnixStream::pair().unwrap();
    let mut gateway = Gateway::start_through(Setup::new(&upstream.url()), &OUT_TO_STDIN, Some(OwnedFd::from(theirs)));
    let mut client = gateway.connect();
    for _ in 0..REFUSALS {
        let response = client.exchange(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(response.status, 404);
        if response.header("Connection").as_deref() == Some("close") {
            client = gateway.connect();
        }
    }
    gateway.wait_for_metric(
        "hookgate_requests_total",
        &[("reason", "no_route")],
        f64::from(REFUSALS),
    );
    let left_out = gateway.metrics().sum("hookgate_audit_lines_left_out_total", &[]);
    assert!(left_out > 0.0, "every refusal has a line");
    upstream.assert_untouched();
    serves(&mut gateway, "genuine");
    drop(unread);
}

/// I4: with `refusal_detail = "none"`, an absent, a wrong and a stale signature get the same answer except for its
/// request id.
#[test]
fn refusals_without_detail_are_alike() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).route("refusal_detail = \"none\"").start();
    let now = paddle::now();
    let webhook = Webhook::new("{}");
    let wrong = paddle::signature("pdl_ntfset_another_secret_of_the_same_kind", now, b"{}");
    let refusals = [
        webhook.clone().signature(None),
        webhook.clone().signature(Some("nonsense")),
        webhook.signature(Some(&wrong)),
        Webhook::signed("{}", SECRET, now - 3600),
        Webhook::signed("{}", SECRET, now + 3600),
    ];
    let seen: Vec<_> = refusals
        .iter()
        .map(|refused| {
            let response = gateway.exchange(&refused.bytes());
            let fixed = [
                "Content-Type",
                "Content-Length",
                "Connection",
                "Cache-Control",
                "Retry-After",
            ];
            (
                response.status,
                response.body.clone(),
                fixed.map(|name| response.header(name)),
            )
        })
        .collect();
    assert_eq!(seen[0].0, 401);
    assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:?}");
    upstream.assert_untouched();
}

/// C05: Paddle's signature does not cover the query: a webhook with a changed query is forwarded byte for byte.
#[test]
fn an_unsigned_query_passes_unchanged() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let target = format!("{}?a=1&a=%2e%2E/&b=?x", paddle::PATH);
    assert_eq!(gateway.exchange(&Webhook::new("{}").path(&target).bytes()).status, 200);
    assert_eq!(upstream.only().start, format!("POST {target} HTTP/1.1"));
}

/// H09: the keys of a TLS session are not written anywhere, whatever the environment asks for.
#[test]
fn tls_keys_are_never_logged() {
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url());
    let file = setup.directory().join("keys.log");
    let gateway = setup.variable("SSLKEYLOGFILE", file.to_str().unwrap()).start();
    let trust = certificates::client(&gateway.setup.certificate.der, &[]);
    let mut client = Client::try_tls(gateway.tls(), "localhost", trust).unwrap();
    assert_eq!(client.exchange(&Webhook::new("{}").bytes()).status, 200);
    assert!(!file.exists());
}

/// I17: a port in use ends the start, with the address in the message.
#[test]
fn a_port_in_use_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let setup = Setup::new("http://127.0.0.1:9").listener(&format!(
        "[[listen]]\nname = \"taken\"\naddress = \"{address}\"\nplaintext = true"
    ));
    setup.write();
    let output = Gateway::command(&setup, &[], None).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(printed.contains(&address.to_string()), "{printed}");
    assert!(printed.contains("in use"), "{printed}");
    assert!(
        printed.contains("listen[1].address") || printed.contains("listen[2].address"),
        "{printed}"
    );
}

/// I17: a listener on `[::]` accepts both families, and a client over IPv4 appears with its IPv4 address, also in lists
/// of networks.
#[test]
fn one_listener_serves_both_families() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .listener(
            "[[listen]]\nname = \"both\"\naddress = \"[::]:0\"\nplaintext = true\ntrusted_proxies = [\"127.0.0.0/8\"]",
        )
        .start();
    let port = gateway.address("both").port();
    for (lines, host, client) in [(1, "127.0.0.1", "192.0.2.7"), (2, "::1", "::1")] {
        let address = std::net::SocketAddr::new(host.parse().unwrap(), port);
        let webhook = Webhook::new(host).header("X-Forwarded-For", "192.0.2.7");
        assert_eq!(Client::tcp(address).exchange(&webhook.bytes()).status, 200);
        let lines = gateway.wait_for_audit_lines("none", lines);
        assert!(lines.iter().any(|line| line["peer"] == client), "{lines:?}");
    }
    assert_eq!(upstream.requests().len(), 2);
}
