//! What audit lines contain, and what happens when their output is slow or broken.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use super::*;
use crate::http::message::Request;
use crate::http::unread_head::UnreadHead;
use crate::outcome::{Rejection, Verdict};
use hyper::StatusCode;
use serde_json::Value;
use std::sync::{Condvar, LazyLock};

fn outcome() -> Outcome {
    Outcome {
        verdict: Verdict::Forwarded,
        received_unix_ms: 1_671_552_777_089,
        request_id: "0192-abc".into(),
        peer: Some("2001:db8::1".parse().unwrap()),
        secret: Some(0),
        without_shared_store: false,
        signature_age_seconds: Some(-1),
        body_bytes: 2048,
        upstream: Some(0),
        status: Some(StatusCode::OK),
        upstream_status: Some(StatusCode::OK),
        upstream_duration: Some(Duration::from_micros(1_234_567)),
        verification_duration: Some(Duration::from_nanos(4_321)),
        duration: Duration::from_millis(1_240),
    }
}

static ASKED: LazyLock<Asked> = LazyLock::new(|| {
    let request = hyper::Request::builder()
        .method("POST")
        .uri("/hook/?q")
        .header("host", "h");
    Asked::new(&Request::from_hyper(request.body(()).unwrap()).0)
});

fn names(route: &'static str) -> AuditNames<'static> {
    AuditNames {
        route,
        listener: "l",
        protocol: "HTTP/1.1",
        asked: &ASKED,
        secret: None,
        tenant: None,
        upstream: None,
    }
}

fn dropped() -> IntCounter {
    IntCounter::new("dropped_total", "test").unwrap()
}

fn start(sink: &Sink, dropped: &IntCounter) -> AuditLog {
    AuditLog::start(sink.clone(), LogFormat::Json, 2, dropped.clone(), self::dropped()).unwrap()
}

fn named<'a>(route: &'a str, secret: Option<&'a str>) -> AuditNames<'a> {
    AuditNames {
        route,
        secret,
        tenant: secret.and(Some("acme")),
        upstream: secret.and(Some("http://127.0.0.1:8000")),
        ..names("")
    }
}

fn line(route: &str, secret: Option<&str>, outcome: &Outcome) -> Vec<u8> {
    let mut buffer = Vec::new();
    audit_line::json(&mut buffer, &mut DateText::default(), named(route, secret), outcome);
    buffer
}

/// An output that a test can read. It can also fail, or block until a gate opens.
#[derive(Clone, Default)]
struct Sink {
    bytes: Arc<Mutex<Vec<u8>>>,
    gate: Option<Arc<(Mutex<bool>, Condvar)>>,
    broken: bool,
}

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if let Some(gate) = &self.gate {
            let open = gate.0.lock().unwrap();
            drop(gate.1.wait_while(open, |open| !*open).unwrap());
        }
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.bytes.lock().unwrap().write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_holds_every_field_in_order() {
    assert_eq!(
        String::from_utf8(line("/webhooks/paddle", Some("2026"), &outcome())).unwrap(),
        concat!(
            r#"{"time":"2022-12-20T16:12:57.089Z","kind":"request","request_id":"0192-abc","route":"/webhooks/paddle","#,
            r#""peer":"2001:db8::1","listener":"l","protocol":"HTTP/1.1","method":"POST","host":"h","path":"/hook/","#,
            r#""status":200,"verdict":"forwarded","reason":"none","secret":"2026","tenant":"acme","#,
            r#""signature_age_seconds":-1,"body_bytes":2048,"upstream":"http://127.0.0.1:8000","upstream_status":200,"upstream_seconds":1.234567,"#,
            r#""verification_seconds":0.000004,"seconds":1.24}"#,
            "\n"
        )
    );
}

#[test]
fn absent_fields_are_left_out() {
    let refused = Outcome {
        verdict: Verdict::Refused(Rejection::SignatureMissing),
        peer: None,
        status: None,
        secret: None,
        signature_age_seconds: None,
        upstream_status: None,
        upstream_duration: None,
        verification_duration: None,
        ..outcome()
    };
    let value: Value = serde_json::from_slice(&line("", None, &refused)).unwrap();
    let keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        keys,
        [
            "time",
            "kind",
            "request_id",
            "route",
            "listener",
            "protocol",
            "method",
            "host",
            "path",
            "verdict",
            "reason",
            "body_bytes",
            "seconds"
        ]
    );
    assert_eq!(value["verdict"], "rejected");
    assert_eq!(value["reason"], "signature_missing");
}

/// B10, for every string that a line can hold: one line of printable ASCII, from which the text can be read
/// unchanged.
#[test]
fn hostile_strings_stay_inside_one_printable_line() {
    let hostile = [
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "\",\"verdict\":\"forwarded\"}\n{\"time\":\"",
        "\x1b[2J\x1b]0;owned\x07",
        "\u{9b}31m\u{85}\u{7f}\u{0}",
        "\u{2028}\u{2029}\u{202e}gnp.exe",
        "\\u0022\\",
        "ünïcödé 漢字 😀",
        "\u{feff}",
    ];
    for text in hostile {
        let bytes = line(
            text,
            Some(text),
            &Outcome {
                request_id: text.into(),
                ..outcome()
            },
        );
        let (last, rest) = bytes.split_last().unwrap();
        assert_eq!(*last, b'\n');
        assert!(
            rest.iter().all(|b| matches!(b, b' '..=b'~')),
            "{text:?} gave {:?}",
            String::from_utf8_lossy(rest)
        );
        let value: Value = serde_json::from_slice(rest).unwrap();
        for key in ["route", "secret", "request_id"] {
            assert_eq!(value[key], text);
        }
        assert_eq!(value.as_object().unwrap().len(), 22);
    }
}

#[test]
fn a_time_after_the_year_9999_still_gives_a_line() {
    let value: Value = serde_json::from_slice(&line(
        "r",
        None,
        &Outcome {
            received_unix_ms: u64::MAX,
            ..outcome()
        },
    ))
    .unwrap();
    assert_eq!(value["time"], "9999-12-31T23:59:59.615Z");
}

#[test]
fn flush_writes_everything_recorded_before_it() {
    let sink = Sink::default();
    let log = start(&sink, &dropped());
    for worker in 0..1000 {
        log.record(worker, names("r"), &outcome());
    }
    assert!(log.flush(Duration::from_secs(20)));
    let bytes = sink.bytes.lock().unwrap();
    assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1000);
}

#[test]
fn a_blocked_output_drops_and_counts_lines_and_blocks_no_request() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let sink = Sink {
        gate: Some(Arc::clone(&gate)),
        ..Sink::default()
    };
    let dropped = dropped();
    let log = start(&sink, &dropped);
    // The writer has taken a part and is blocked; the buffers of both workers then reach their limit.
    let mut recorded = 0;
    while dropped.get() < 2 {
        for worker in 0..2 {
            log.record(worker, names("r"), &outcome());
            recorded += 1;
        }
    }
    assert!(recorded > 2 * BUFFER_BYTES / 1024);
    assert!(!log.flush(Duration::from_millis(1)));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    assert!(log.flush(Duration::from_secs(20)));
    let written = sink.bytes.lock().unwrap().iter().filter(|b| **b == b'\n').count();
    assert_eq!(written + usize::try_from(dropped.get()).unwrap(), recorded);
}

#[test]
fn a_closed_output_drops_lines_and_later_lines_are_still_accepted() {
    let dropped = dropped();
    let sink = Sink {
        broken: true,
        ..Sink::default()
    };
    let log = start(&sink, &dropped);
    for _ in 0..10 {
        log.record(0, names("r"), &outcome());
    }
    assert!(log.flush(Duration::from_secs(20)));
    assert_eq!(dropped.get(), 10);
    log.record(0, names("r"), &outcome());
    assert!(log.flush(Duration::from_secs(20)));
    assert_eq!(dropped.get(), 11);
}

#[test]
fn a_request_that_could_not_be_read_has_a_line() {
    let unread = UnreadRequest {
        refused_unix_ms: 1_671_552_777_089,
        peer: Some("192.0.2.1".parse().unwrap()),
        listener: "public",
        protocol: None,
        status: Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        failure: UnreadHead::TooLarge,
    };
    let mut json = Vec::new();
    audit_line::json_unread(&mut json, &mut DateText::default(), &unread);
    assert_eq!(
        String::from_utf8(json).unwrap(),
        concat!(
            r#"{"time":"2022-12-20T16:12:57.089Z","kind":"request","route":"","peer":"192.0.2.1","listener":"public","#,
            r#""status":431,"verdict":"rejected","reason":"head_too_large"}"#,
            "\n"
        )
    );
    let mut human = Vec::new();
    audit_line::human_unread(&mut human, &mut DateText::default(), &unread);
    assert_eq!(
        String::from_utf8(human).unwrap(),
        "2022-12-20T16:12:57.089Z 431 - rejected head_too_large peer=192.0.2.1 listener=public\n"
    );
    let ended = UnreadRequest {
        protocol: Some("HTTP/2"),
        status: None,
        failure: UnreadHead::Syntax,
        ..unread
    };
    let mut json = Vec::new();
    audit_line::json_unread(&mut json, &mut DateText::default(), &ended);
    assert!(
        String::from_utf8(json)
            .unwrap()
            .contains(r#""protocol":"HTTP/2","verdict":"rejected","reason":"syntax""#)
    );
    let mut human = Vec::new();
    audit_line::human_unread(&mut human, &mut DateText::default(), &ended);
    assert_eq!(
        String::from_utf8(human).unwrap(),
        "2022-12-20T16:12:57.089Z --- - rejected syntax peer=192.0.2.1 listener=public protocol=HTTP/2\n"
    );
}

#[test]
fn people_read_what_was_asked_and_answered_first() {
    let mut human = Vec::new();
    let refused = Outcome {
        verdict: Verdict::Refused(Rejection::NoRoute),
        status: Some(StatusCode::NOT_FOUND),
        upstream_status: None,
        signature_age_seconds: None,
        duration: Duration::from_micros(27),
        ..outcome()
    };
    audit_line::human(&mut human, &mut DateText::default(), named("", None), &refused);
    assert_eq!(
        String::from_utf8(human).unwrap(),
        "2022-12-20T16:12:57.089Z 404 POST h/hook/ rejected no_route peer=2001:db8::1 listener=l protocol=HTTP/1.1 \
         body_bytes=2048 took=0.000027s request_id=0192-abc\n"
    );
    let mut human = Vec::new();
    audit_line::human(
        &mut human,
        &mut DateText::default(),
        named("a\x1b\r\n", Some("\u{9b}1m")),
        &outcome(),
    );
    let (last, rest) = human.split_last().unwrap();
    assert_eq!(*last, b'\n');
    assert!(rest.iter().all(|byte| matches!(byte, b' '..=b'~')), "{human:?}");
}

/// J04: refusals that nothing reads take no place of later lines about webhooks.
#[test]
fn refusals_leave_room_for_other_lines() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let sink = Sink {
        gate: Some(Arc::clone(&gate)),
        ..Sink::default()
    };
    let (dropped, left_out) = (dropped(), self::dropped());
    let log = AuditLog::start(sink.clone(), LogFormat::Json, 1, dropped.clone(), left_out.clone()).unwrap();
    let refused = Outcome {
        verdict: Verdict::Refused(Rejection::NoRoute),
        secret: None,
        ..outcome()
    };
    // So long that the lines that may come at once need more than the whole buffer.
    let route: &'static str = Box::leak("r".repeat(2 * BUFFER_BYTES / 1000).into_boxed_str());
    for _ in 0..50_000 {
        log.record(0, names(route), &refused);
    }
    assert!(left_out.get() > 40_000);
    let before = dropped.get();
    let others = (BUFFER_BYTES - REFUSAL_BYTES) / 1024;
    for _ in 0..others {
        log.record(0, names("r"), &outcome());
    }
    assert_eq!(dropped.get(), before);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    assert!(log.flush(Duration::from_secs(20)));
    let text = String::from_utf8(sink.bytes.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("forwarded")).count(), others);
}
