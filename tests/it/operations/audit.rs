//! Audit lines: what was asked, what was answered, and what happened to requests that have no answer.

use crate::support::frames;
use crate::support::http2::{Http2, run};
use crate::support::tools::repository;
use crate::support::{Gate, Setup, Upstream, Webhook};
use rustix::process::Signal;
use std::collections::BTreeMap;

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

/// Over HTTP/2 a connection that cannot be read ends without an answer, and has a line too.
#[test]
fn an_http2_connection_that_cannot_be_read_has_a_line() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).limits("head_timeout = \"1s\"").start();
    // A HEADERS frame on stream 0 (RFC 9113, 6.2), and a header block that HPACK does not allow (RFC 7541, 6.1).
    for (at, faulty) in [
        frames::frame(frames::HEADERS, frames::END_HEADERS, 0, &[0x82]),
        frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &[0x80]),
    ]
    .iter()
    .enumerate()
    {
        let mut client = frames::connect(&gateway);
        client.send(faulty);
        assert!(frames::read_until(&mut client, |frame| frame.kind == frames::GOAWAY).is_some());
        let lines = gateway.wait_for_audit_lines("syntax", at + 1);
        let line = lines.last().unwrap();
        assert_eq!(
            (&line["protocol"], &line["listener"]),
            (&"HTTP/2".into(), &"tls".into())
        );
        assert!(line["status"].is_null(), "{line}");
    }
    let mut silent = frames::connect(&gateway);
    assert!(frames::read_until(&mut silent, |frame| frame.kind == frames::GOAWAY).is_some());
    let line = &gateway.wait_for_audit_lines("head_timeout", 1)[0];
    assert_eq!(line["protocol"], "HTTP/2");
    // The end of a connection by its peer is no fault.
    let status = run(async {
        let mut client = Http2::connect(&gateway).await;
        client.exchange(&Webhook::new("{}")).await.unwrap().status
    });
    assert_eq!(status, 200);
    gateway.wait_for_audit_lines("none", 1);
    gateway.wait_for_metric("hookgate_malformed_requests_total", &[("kind", "syntax")], 2.0);
}

/// A stream that the HTTP/2 library refuses itself has a line, and so has one that its sender resets before a verdict.
/// Other streams of the connection go on.
#[test]
fn http2_streams_without_an_answer_of_the_gateway_have_lines() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let mut client = frames::connect(&gateway);
    let good = frames::head(&Webhook::new("abc"));
    let malformed = frames::hpack(&[(":method", "POST"), (":path", "/webhooks/paddle"), ("x", "y")]);
    let large = [good.clone(), frames::hpack(&[("x", &*"v".repeat(120))]).repeat(300)].concat();
    let (first, rest) = large.split_at(10_000);
    let pieces: Vec<&[u8]> = rest.chunks(10_000).collect();
    let head = |stream: u32, block: &[u8]| frames::frame(frames::HEADERS, frames::END_HEADERS, stream, block);
    client.send(&head(1, &malformed));
    client.send(&frames::frame(frames::HEADERS, 0, 3, first));
    for (index, piece) in pieces.iter().enumerate() {
        let flags = if index + 1 == pieces.len() {
            frames::END_HEADERS
        } else {
            0
        };
        client.send(&frames::frame(frames::CONTINUATION, flags, 3, piece));
    }
    let lines = gateway.wait_for_audit_lines("stream_refused", 2);
    for line in &lines {
        assert_eq!(
            (&line["protocol"], &line["verdict"]),
            (&"HTTP/2".into(), &"rejected".into())
        );
        assert!(line["status"].is_null(), "{line}");
    }
    client.send(&head(5, &good));
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 1.0);
    client.send(&frames::frame(frames::RST_STREAM, 0, 5, &8u32.to_be_bytes()));
    let reset = &gateway.wait_for_audit_lines("body_incomplete", 1)[0];
    assert_eq!(reset["path"], "/webhooks/paddle");
    client.send(
        &[
            head(7, &good),
            frames::frame(frames::DATA, frames::END_STREAM, 7, b"abc"),
        ]
        .concat(),
    );
    gateway.wait_for_audit_lines("none", 1);
    gateway.wait_for_metric("hookgate_malformed_requests_total", &[("kind", "stream_refused")], 2.0);
    assert_eq!(upstream.only().body, b"abc");
}

/// The fields of a table of docs/monitoring.md, after the line `marker`: for each the word for its type and the word for
/// the lines that have it.
fn documented(marker: &str) -> BTreeMap<String, (String, String)> {
    let text = std::fs::read_to_string(repository("docs/monitoring.md")).unwrap();
    let table = text.split(marker).nth(1).unwrap().trim_start();
    let rows = table.split("\n\n").next().unwrap().lines().skip(2);
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(cells)
        .map(|cells| {
            (
                cells[1].trim_matches('`').to_owned(),
                (cells[2].clone(), cells[3].clone()),
            )
        })
        .collect()
}

/// Compares the fields of `line` with those that the table lists for lines of these `kinds`, and their types.
fn assert_documented(line: &serde_json::Value, table: &BTreeMap<String, (String, String)>, kinds: &[&str]) {
    let found: Vec<&String> = line.as_object().unwrap().keys().collect();
    let expected = table.iter().filter(|(_, (_, lines))| kinds.contains(&lines.as_str()));
    let mut expected: Vec<&String> = expected.map(|(name, _)| name).collect();
    expected.sort();
    let mut sorted = found.clone();
    sorted.sort();
    assert_eq!(sorted, expected, "{line}");
    for name in found {
        let fits = match table[name].0.as_str() {
            "text" => line[name].is_string(),
            "integer" => line[name].is_i64(),
            "number" => line[name].is_number(),
            other => panic!("{name}: {other}"),
        };
        assert!(fits, "{name} in {line}");
    }
}

/// Real lines have exactly the fields that the document lists, for each of the kinds of lines that it names.
#[test]
fn real_lines_have_exactly_the_documented_fields() {
    let table = documented("<!-- fields: request -->\n");
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .replay("store = \"redis://127.0.0.1:1\"\non_store_failure = \"accept\"")
        .start();
    assert_eq!(gateway.exchange(&Webhook::new("{}").bytes()).status, 200);
    assert_eq!(
        gateway.exchange(&Webhook::new("{}").signature(None).bytes()).status,
        401
    );
    gateway.connect().send(b"nonsense\r\n\r\n");
    let forwarded = &gateway.wait_for_audit_lines("none", 1)[0];
    let refused = &gateway.wait_for_audit_lines("signature_missing", 1)[0];
    let unread = &gateway.wait_for_audit_lines("syntax", 1)[0];
    assert_documented(
        forwarded,
        &table,
        &[
            "all",
            "head read",
            "answered",
            "verification",
            "verified",
            "upstream",
            "store failed",
        ],
    );
    assert_documented(refused, &table, &["all", "head read", "answered"]);
    assert_documented(unread, &table, &["all", "answered"]);
    let named: Vec<&str> = table.values().map(|(_, lines)| lines.as_str()).collect();
    let known = [
        "all",
        "head read",
        "answered",
        "verification",
        "verified",
        "upstream",
        "store failed",
        "tenants",
    ];
    assert!(named.iter().all(|lines| known.contains(lines)), "{named:?}");

    let log_table = documented("<!-- fields: log -->\n");
    let text = std::fs::read_to_string(repository("docs/monitoring.md")).unwrap();
    let schemas = text
        .split("| our field |")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    for name in table.keys().chain(log_table.keys()) {
        let rows = schemas.matches(&format!("\n| `{name}` |")).count();
        assert_eq!(rows, 1, "{name} has a row in the table of schemas");
    }
    for line in gateway.logs.objects().iter().filter(|line| line["kind"] == "log") {
        for (name, (kind, _)) in &log_table {
            assert!(kind == "text" && line[name].is_string(), "{name} in {line}");
        }
    }
}
