//! Audit lines: what was asked, what was answered, and what happened to requests that have no answer.

use crate::support::http2::{Http2, run};
use crate::support::{Gate, Setup, Upstream, Webhook};
use rustix::process::Signal;

/// Every refusal says what was asked and answered, over both versions of HTTP.
#[test]
fn a_refusal_shows_what_was_asked_and_answered() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).route("reject_status = 403").start();
    let asked = Webhook::new("{}").path("/webhooks/paddle/?token=hidden");
    assert_eq!(gateway.exchange(&asked.bytes()).status, 404);
    let line = &gateway.wait_for_audit_lines("no_route", 1)[0];
    for (field, value) in [
        ("kind", "request"),
        ("listener", "plain"),
        ("protocol", "HTTP/1.1"),
        ("method", "POST"),
        ("host", "shop.example"),
        ("path", "/webhooks/paddle/"),
        ("peer", "127.0.0.1"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!(line["status"], 404);
    let status = run(async {
        let mut client = Http2::connect(&gateway).await;
        client
            .exchange(&Webhook::new("{}").signature(None))
            .await
            .unwrap()
            .status
    });
    assert_eq!(status, 403);
    let line = &gateway.wait_for_audit_lines("signature_missing", 1)[0];
    assert_eq!((&line["protocol"], &line["status"]), (&"HTTP/2".into(), &403.into()));
    assert_eq!(
        (&line["host"], &line["path"]),
        (&"localhost".into(), &"/webhooks/paddle".into())
    );
    assert!(!gateway.logs.text().contains("hidden"));
}

/// A head that cannot be read has an answer with its reason, and a line with the same one.
#[test]
fn a_head_that_cannot_be_read_has_an_answer_and_a_line() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).limits("head_timeout = \"1s\"").start();
    let large = format!("POST / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    for (sent, status, reason) in [
        (&b"nonsense\r\n\r\n"[..], 400, "syntax"),
        (large.as_bytes(), 431, "head_too_large"),
        (b"POST / HT", 408, "head_timeout"),
        (b"", 408, "head_timeout"),
    ] {
        let mut client = gateway.connect();
        client.send(sent);
        let response = client.response();
        assert_eq!((response.status, response.reason().as_str()), (status, reason));
        assert_eq!(
            response.header("content-type").as_deref(),
            Some("application/problem+json")
        );
    }
    for (reason, count) in [("syntax", 1), ("head_too_large", 1), ("head_timeout", 2)] {
        let lines = gateway.wait_for_audit_lines(reason, count);
        assert_eq!(lines.len(), count);
        assert_eq!(
            (&lines[0]["verdict"], &lines[0]["peer"]),
            (&"rejected".into(), &"127.0.0.1".into())
        );
        assert_eq!(
            (&lines[0]["kind"], &lines[0]["listener"]),
            (&"request".into(), &"plain".into())
        );
    }
}

/// An exchange that is cut off when the grace period ends has a reason of its own, and the last line of the log has the
/// counts.
#[test]
fn an_exchange_cut_off_by_the_end_of_the_drain_says_so() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, _| {
        held.pass();
        crate::support::AfterAnswer::Close
    });
    let mut gateway = Setup::new(&upstream.url()).drain("grace = \"1s\"").start();
    assert_eq!(gateway.exchange(&Webhook::new("x").signature(None).bytes()).status, 401);
    let mut client = gateway.connect();
    client.send(&Webhook::new("{}").bytes());
    upstream.wait_for(1);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_for_exit().code(), Some(1));
    gate.open();
    let line = &gateway.wait_for_audit_lines("drain_timeout", 1)[0];
    assert_eq!(line["verdict"], "failed");
    assert_eq!(
        (&line["status"], &line["path"]),
        (&serde_json::Value::Null, &"/webhooks/paddle".into())
    );
    let last = gateway.logs.objects();
    let last = last.iter().rev().find(|line| line["kind"] == "log").unwrap();
    assert_eq!(
        (&last["refused"], &last["failed"], &last["aborted"]),
        (&1.into(), &1.into(), &1.into()),
        "{last}"
    );
}
