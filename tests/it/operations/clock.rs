//! D07 and E09 with the real binary: a wall clock that a test sets, and that steps while the process serves.
//! libfaketime (Debian's `libfaketime`) gives the process the time in a file and does not change its monotonic clock.

use crate::support::paddle::{self, SECRET};
use crate::support::{Gateway, Setup, Upstream, Webhook};
use std::path::{Path, PathBuf};

/// The gateway's wall clock.
pub(crate) struct Clock(PathBuf);

impl Clock {
    /// Stops the clock at this second.
    pub(crate) fn set(&self, seconds: u64) {
        // libfaketime reads local time; the process has `TZ=UTC`.
        let next = self.0.with_extension("next");
        std::fs::write(&next, utc(seconds)).unwrap();
        std::fs::rename(&next, &self.0).unwrap();
    }
}

/// Formats Unix seconds as `YYYY-MM-DD hh:mm:ss`.
fn utc(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time)
        .to_string()
        .replace('T', " ")
        .replace('Z', "")
}

fn library() -> &'static str {
    let found = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/faketime/libfaketimeMT.so.1",
    ];
    found
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("libfaketime is missing: run `make test-apps` once")
}

pub(crate) fn start(upstream: &Upstream, tolerance: &str) -> (Gateway, Clock) {
    let (setup, clock) = adjustable(Setup::new(&upstream.url()).tolerance(Some(tolerance)));
    (setup.start(), clock)
}

/// A setup whose gateway has a wall clock that the test sets.
pub(crate) fn adjustable(setup: Setup) -> (Setup, Clock) {
    let clock = Clock(setup.directory().join("now"));
    clock.set(paddle::now());
    let setup = setup
        .variable("LD_PRELOAD", library())
        .variable("FAKETIME_TIMESTAMP_FILE", &clock.0.display().to_string())
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .variable("TZ", "UTC");
    (setup, clock)
}

fn send(gateway: &Gateway, body: &str, ts: u64) -> (u16, String) {
    let response = gateway.exchange(&Webhook::signed(body, SECRET, ts).bytes());
    let reason = if response.status == 200 {
        String::new()
    } else {
        response.reason()
    };
    (response.status, reason)
}

/// D07: accepted exactly at the tolerance, refused one second later; in both directions.
#[test]
fn the_tolerance_is_exact_to_the_second() {
    let upstream = Upstream::ok();
    let (gateway, clock) = start(&upstream, "5s");
    let now = 1_900_000_000;
    clock.set(now);
    assert_eq!(send(&gateway, "a", now - 5).0, 200);
    assert_eq!(send(&gateway, "b", now - 6), (401, "timestamp_stale".into()));
    assert_eq!(send(&gateway, "c", now + 5).0, 200);
    assert_eq!(send(&gateway, "d", now + 6), (401, "timestamp_future".into()));
    assert_eq!(upstream.requests().len(), 2);
}

/// E09: stepping the clock back does not re-open a delivered webhook; stepping it forward and back forgets nothing.
#[test]
fn clock_steps_reopen_nothing() {
    let upstream = Upstream::ok();
    let (gateway, clock) = start(&upstream, "2h");
    let now = 1_900_000_000;
    clock.set(now);
    assert_eq!(send(&gateway, "first", now).0, 200);
    clock.set(now + 3600);
    assert_eq!(send(&gateway, "first", now), (409, "replayed".into()));
    assert_eq!(send(&gateway, "second", now + 3600).0, 200);
    clock.set(now - 3600);
    for (body, ts) in [("first", now), ("second", now + 3600)] {
        let (status, reason) = send(&gateway, body, ts);
        assert!(
            (status, reason.as_str()) == (409, "replayed") || reason == "timestamp_future",
            "{body}: {status} {reason}"
        );
    }
    assert_eq!(
        send(&gateway, "third", now - 3600).0,
        200,
        "a new webhook is accepted by the clock in force"
    );
    clock.set(now);
    for (body, ts) in [("first", now), ("second", now + 3600), ("third", now - 3600)] {
        assert_eq!(send(&gateway, body, ts), (409, "replayed".into()), "{body}");
    }
    assert_eq!(upstream.requests().len(), 3);
}

/// A clock before 1970 or in the far future does not stop the process, and refuses stale webhooks only.
#[test]
fn an_absurd_clock_refuses_stale_webhooks_only() {
    let upstream = Upstream::ok();
    let (gateway, clock) = start(&upstream, "5s");
    for now in [1, 100_000_000, 4_102_444_800] {
        clock.set(now);
        assert_eq!(send(&gateway, &now.to_string(), now).0, 200, "{now}");
        assert_eq!(send(&gateway, &now.to_string(), paddle::now()).0, 401, "{now}");
    }
    gateway.wait_for_audit_lines("none", 3);
}
