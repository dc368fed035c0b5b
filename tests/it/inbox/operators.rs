//! `hookgate inbox`: on a running process, and on a closed file.

use super::{count, free_address, headers, opened, setup, wait_for, webhook};
use crate::support::gateway::binary;
use crate::support::upstream::answer;
use crate::support::{Gateway, Setup, Upstream, eventually};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// A gateway with a socket for commands.
pub(super) fn with_socket(setup: Setup) -> Setup {
    let socket = setup.directory().join("api.sock");
    setup.more(&format!("[api]\nsocket = {socket:?}\n"))
}

/// Runs a command with the configuration and the environment of `setup`.
fn command(setup: &Setup, arguments: &[&str]) -> Output {
    let mut command = binary();
    command.env("INBOX_KEY", super::KEY);
    command.env("PADDLE_WEBHOOK_SECRET", crate::support::paddle::SECRET);
    command.arg("inbox").args(arguments).arg("--config").arg(setup.file());
    command.output().unwrap()
}

#[track_caller]
fn succeeds(setup: &Setup, arguments: &[&str]) -> String {
    let output = command(setup, arguments);
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {problem}");
    String::from_utf8(output.stdout).unwrap()
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An application that answers 410, so that each webhook is dead at once, until it is told to take them.
fn refusing(takes: &std::sync::Arc<std::sync::atomic::AtomicBool>) -> Upstream {
    let takes = takes.clone();
    Upstream::new(move |_, connection| {
        let status = match takes.load(std::sync::atomic::Ordering::SeqCst) {
            true => "200 OK",
            false => "410 Gone",
        };
        connection.send(&answer(status, &[], b"why not"))
    })
}

fn dead_letters(upstream: &Upstream, directory: &Path, number: usize) -> Gateway {
    // One at a time, so that the order in which they arrive is the order in which they are sent.
    let route = "concurrency = 1\nretry = { backoff = \"50ms\", give_up_on = [410] }";
    let gateway = opened(with_socket(setup(&upstream.url(), directory, "queue", route)).start());
    for at in 0..number {
        assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
    }
    wait_for(&gateway, "dead", number as f64);
    gateway
}

/// An operator finds dead letters, looks at one, and delivers all of them again: the id stays, the application is told, and
/// the action is in the audit log and in the history.
#[test]
fn dead_letters_are_listed_shown_and_redelivered() {
    let takes = std::sync::Arc::default();
    let upstream = refusing(&takes);
    let directory = tempfile::tempdir().unwrap();
    let gateway = dead_letters(&upstream, directory.path(), 450);
    let listed = objects(&succeeds(&gateway.setup, &["list", "--state", "dead", "--json"]));
    assert_eq!(listed.len(), 450);
    assert_eq!(listed[0]["why"], "give_up_on");
    let id = listed[0]["id"].as_str().unwrap();
    let shown: Value = serde_json::from_str(&succeeds(&gateway.setup, &["show", id, "--json"])).unwrap();
    assert_eq!(shown["attempt_list"][0]["status"], 410);
    assert_eq!(shown["attempt_list"][0]["answer"], "why not");
    assert_eq!(shown["request"]["target"], "/webhooks/paddle");
    assert!(succeeds(&gateway.setup, &["show", id]).contains("transaction.paid"));
    assert_eq!(
        objects(&succeeds(&gateway.setup, &["list", "--id", id, "--json"])).len(),
        1
    );
    assert!(
        succeeds(
            &gateway.setup,
            &["list", "--since", "2020-01-01T00:00:00Z", "--until", "1h"]
        )
        .is_empty()
    );

    let unsaid = command(&gateway.setup, &["redeliver", "--state", "dead"]);
    assert_eq!(unsaid.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unsaid.stderr).contains("450 deliveries; write --yes"));
    assert_eq!(command(&gateway.setup, &["redeliver", "--yes"]).status.code(), Some(2));
    assert_eq!(count(&gateway, "dead"), 450.0);
    takes.store(true, std::sync::atomic::Ordering::SeqCst);
    let before = upstream.requests().len();
    let done = succeeds(&gateway.setup, &["redeliver", "--state", "dead", "--yes"]);
    assert_eq!(done, "redeliver: 450 of 450 deliveries\n");
    wait_for(&gateway, "delivered", 450.0);
    let again = &headers(&upstream, "hookgate-redelivery")[before..];
    assert!(again.len() == 450 && again.iter().all(|value| value.as_deref() == Some("manual")));
    let ids = headers(&upstream, "hookgate-delivery");
    let (mut first, mut second) = (ids[..before].to_vec(), ids[before..].to_vec());
    first.sort();
    second.sort();
    assert_eq!(first, second);
    let uid = format!("uid {}", rustix::process::getuid().as_raw());
    let lines = gateway.logs.objects();
    let line = lines.iter().find(|line| line["action"] == "inbox.redeliver").unwrap();
    assert_eq!(line["actor"], *uid, "{line}");
    let shown: Value = serde_json::from_str(&succeeds(&gateway.setup, &["show", id, "--json"])).unwrap();
    assert_eq!(shown["actions"][0]["action"], "redeliver");
    assert_eq!(shown["actions"][0]["actor"], *uid);
    assert!(shown["request"].is_null(), "its content is erased");
}

/// What an operator redelivers goes behind what waits already.
#[test]
fn a_redelivery_goes_behind_what_waits() {
    let takes = std::sync::Arc::default();
    let upstream = refusing(&takes);
    let directory = tempfile::tempdir().unwrap();
    let gateway = dead_letters(&upstream, directory.path(), 5);
    succeeds(&gateway.setup, &["pause", "paddle"]);
    for at in 10..15 {
        assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
    }
    succeeds(&gateway.setup, &["redeliver", "--state", "dead", "--yes"]);
    takes.store(true, std::sync::atomic::Ordering::SeqCst);
    succeeds(&gateway.setup, &["resume", "paddle"]);
    wait_for(&gateway, "delivered", 10.0);
    let redelivered = headers(&upstream, "hookgate-redelivery");
    let last: Vec<_> = redelivered[redelivered.len() - 2..].to_vec();
    assert!(last.iter().all(Option::is_some), "{redelivered:?}");
}

/// A pause survives a restart; what comes in meanwhile is stored and not asked.
#[test]
fn a_pause_survives_a_restart() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let start = || opened(with_socket(setup(&upstream.url(), directory.path(), "failover", "")).start());
    let mut gateway = start();
    succeeds(&gateway.setup, &["pause", "paddle"]);
    assert_eq!(command(&gateway.setup, &["pause", "other"]).status.code(), Some(1));
    assert!(gateway.exchange(&webhook("evt_1", 0).bytes()).body.is_empty());
    gateway.signal(rustix::process::Signal::TERM);
    gateway.wait_for_exit();
    let gateway = start();
    assert!(gateway.exchange(&webhook("evt_2", 0).bytes()).body.is_empty());
    gateway.wait_for_metric("hookgate_inbox_route_paused", &[], 1.0);
    upstream.assert_untouched();
    succeeds(&gateway.setup, &["resume", "paddle"]);
    wait_for(&gateway, "delivered", 2.0);
    assert_eq!(gateway.exchange(&webhook("evt_3", 0).bytes()).body, b"thanks");
}

/// Dropped deliveries are not sent, and nothing of them stays in the files.
#[test]
fn a_dropped_delivery_is_erased() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let setup = with_socket(setup(&format!("http://{address}"), directory.path(), "failover", ""));
    let gateway = opened(setup.start());
    for at in 0..3 {
        assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
    }
    succeeds(&gateway.setup, &["drop", "--route", "paddle", "--yes"]);
    eventually("the drop of all", || {
        succeeds(&gateway.setup, &["drop", "--route", "paddle", "--yes"]);
        (count(&gateway, "dropped") == 3.0).then_some(())
    });
    let upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    assert_eq!(gateway.exchange(&webhook("evt_9", 0).bytes()).status, 200);
    eventually("the next one", || (upstream.requests().len() == 1).then_some(()));
    let file = std::fs::read(directory.path().join("inbox.db")).unwrap();
    assert!(!file.windows(16).any(|window| window == b"transaction.paid"));
    // A resend by the provider is a new reason to deliver it.
    wait_for(&gateway, "dropped", 3.0);
    assert_eq!(gateway.exchange(&webhook("evt_1", 1).bytes()).status, 200);
    wait_for(&gateway, "dropped", 2.0);
    eventually("the dropped one", || (upstream.requests().len() == 2).then_some(()));
}

/// Contents go from one inbox into another: checked as requests are, with the sender's signature.
#[test]
fn an_export_is_imported_only_if_its_signature_is_genuine() {
    let address = free_address();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = format!("http://{address}");
    let gateway = opened(with_socket(setup(&url, first.path(), "failover", "")).start());
    for at in 0..3 {
        assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 40).bytes()).status, 200);
    }
    let exported = succeeds(&gateway.setup, &["export", "--route", "paddle"]);
    let good = objects(&exported);
    assert_eq!(good.len(), 3);
    let mut lines: Vec<Value> = good.clone();
    let changed = |at: usize, change: &dyn Fn(&mut Value)| {
        let mut line = good[at].clone();
        change(&mut line["request"]);
        line
    };
    lines.push(changed(0, &|request| request["body_base64"] = "e30=".into()));
    lines.push(changed(0, &|request| {
        request["headers"]
            .as_array_mut()
            .unwrap()
            .push(serde_json::json!(["X-A", "1\r\nX-B: 2"]));
    }));
    lines.push(changed(1, &|request| request["target"] = "/elsewhere".into()));
    lines.push(changed(1, &|request| request["method"] = "DELETE".into()));
    lines.push(changed(2, &|request| {
        request["headers"]
            .as_array_mut()
            .unwrap()
            .push(serde_json::json!(["Paddle_Signature", "x"]));
    }));
    let file = second.path().join("exported.jsonl");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, text).unwrap();
    // The tolerance has passed meanwhile: the age is no reason to refuse.
    let other = with_socket(setup(&url, second.path(), "failover", "").tolerance(Some("5s")));
    let other = opened(other.start());
    let imported = command(&other.setup, &["import", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&imported.stderr).into_owned();
    assert_eq!(imported.status.code(), Some(1), "{said}");
    assert_eq!(
        String::from_utf8_lossy(&imported.stdout),
        "3 stored, 0 known before, 5 refused\n",
        "{said}"
    );
    let again = command(&other.setup, &["import", file.to_str().unwrap()]);
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        "0 stored, 3 known before, 5 refused\n"
    );
    drop(gateway);
    let upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    wait_for(&other, "delivered", 3.0);
    assert_eq!(upstream.requests().len(), 3);
}

/// A copy of a running inbox; restored, it starts paused. On a closed file the commands need no process.
#[test]
fn a_restored_copy_starts_paused_and_commands_work_on_a_closed_file() {
    let address = free_address();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = format!("http://{address}");
    let gateway = opened(with_socket(setup(&url, first.path(), "failover", "")).start());
    for at in 0..3 {
        assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
    }
    let copy = second.path().join("inbox.db");
    succeeds(&gateway.setup, &["backup", copy.to_str().unwrap()]);
    assert_eq!(
        command(&gateway.setup, &["backup", copy.to_str().unwrap()])
            .status
            .code(),
        Some(1)
    );
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    drop(gateway);
    let upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    let restored = || with_socket(setup(&url, second.path(), "failover", ""));
    let mut gateway = opened(restored().start());
    assert_eq!(count(&gateway, "waiting"), 3.0);
    gateway.signal(rustix::process::Signal::TERM);
    gateway.wait_for_exit();
    upstream.assert_untouched();
    let closed = &gateway.setup;
    let listed = objects(&succeeds(closed, &["list", "--json"]));
    assert_eq!(listed.len(), 3);
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(
        succeeds(closed, &["drop", "--id", id, "--yes"]),
        "drop: 1 of 1 deliveries\n"
    );
    assert!(succeeds(closed, &["show", id]).contains("drop by uid"));
    assert_eq!(objects(&succeeds(closed, &["export", "--state", "waiting"])).len(), 2);
    succeeds(closed, &["resume", "paddle"]);
    let gateway = opened(restored().start());
    wait_for(&gateway, "delivered", 2.0);
    assert_eq!(upstream.requests().len(), 2);
}
