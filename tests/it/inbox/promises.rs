//! Single sentences of what an inbox promises: what touches the disk, what is stored, what counts as delivered, and which
//! files and processes go together.

use super::io::{library, with_library};
use super::{arrivals, count, free_address, headers, opened, setup, wait_for, webhook};
use crate::support::tools::repository;
use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Gateway, Upstream, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn ok() -> Vec<u8> {
    answer("200 OK", &[], b"")
}

/// The system calls on files that a gateway makes while `work` runs, as strace writes them. Files are opened, written, synced,
/// cut off or renamed; what is written to sockets and pipes is no file.
fn calls_on_files(gateway: &Gateway, directory: &Path, work: impl FnOnce()) -> Vec<String> {
    let output = directory.join("calls");
    let calls = "trace=openat,open,creat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range,ftruncate,fallocate,\
                 rename,renameat,renameat2,unlink,unlinkat";
    let mut strace = Command::new("strace")
        .args(["-f", "-y", "-qq", "-e", "signal=none", "-e", calls, "-o"])
        .arg(&output)
        .args(["-p", &gateway.pid().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("strace: {error}; run make test-apps"));
    let tasks = format!("/proc/{}/task", gateway.pid());
    eventually("strace at every thread", || {
        let is_traced = |task: std::io::Result<std::fs::DirEntry>| {
            let status = std::fs::read_to_string(task.ok()?.path().join("status")).ok()?;
            Some(!status.contains("TracerPid:\t0\n"))
        };
        std::fs::read_dir(&tasks)
            .unwrap()
            .all(|task| is_traced(task) == Some(true))
            .then_some(())
    });
    work();
    kill_process(Pid::from_child(&strace), Signal::INT).unwrap();
    strace.wait().unwrap();
    let text = std::fs::read_to_string(&output).unwrap();
    let is_file = |line: &&str| {
        let (call, rest) = line.split_once('(').unwrap_or((line, ""));
        let is_write = call.ends_with("write") || call.ends_with("writev");
        let target = rest.split_once('<').map_or("", |(_, target)| target);
        !is_write || target.starts_with('/') && !target.starts_with("/dev/")
    };
    // The second half of a call that was interrupted by another thread's names no file; its first half does.
    let is_whole = |line: &&str| !line.contains(" resumed>");
    text.lines()
        .filter(is_whole)
        .filter(is_file)
        .map(str::to_owned)
        .collect()
}

/// strace sees no call on a file from `failover` while the application answers, and a sync from `queue`.
#[test]
fn failover_makes_no_system_call_on_a_file_while_the_application_answers() {
    for (delivery, touches) in [("failover", false), ("queue", true)] {
        let upstream = Upstream::ok();
        let directory = tempfile::tempdir().unwrap();
        let gateway = opened(setup(&upstream.url(), directory.path(), delivery, "dedupe = {}").start());
        // The first row and its checkpoint come after the start.
        let log = directory.path().join("inbox.db-wal");
        let state = || {
            std::fs::metadata(&log)
                .map(|file| (file.len(), file.modified().ok()))
                .ok()
        };
        let mut last = (state(), Instant::now());
        eventually("a log that rests", || {
            if state() != last.0 {
                last = (state(), Instant::now());
            }
            (last.1.elapsed() > Duration::from_secs(3)).then_some(())
        });
        let calls = calls_on_files(&gateway, directory.path(), || {
            let mut client = gateway.connect();
            for at in 0..40 {
                assert_eq!(client.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
            }
        });
        assert_eq!(
            calls.iter().any(|call| call.contains("sync(")),
            touches,
            "{delivery}: {calls:#?}"
        );
        assert_eq!(!calls.is_empty(), touches, "{delivery}: {calls:#?}");
    }
}

/// Two processes on one file: only the owner delivers, each webhook once. When it is killed, the other takes over.
#[test]
fn two_processes_on_one_file_deliver_each_webhook_once() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let start = || setup(&format!("http://{address}"), directory.path(), "failover", "").start();
    let mut owner = opened(start());
    for at in 0..20 {
        assert_eq!(owner.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
    }
    let other = start();
    assert_eq!(other.metrics().sum("hookgate_inbox_up", &[]), 0.0);
    let upstream = Upstream::at(&address.to_string(), |_, connection| connection.send(&ok()));
    wait_for(&owner, "delivered", 20.0);
    assert!(arrivals(&upstream).values().all(|times| *times == 1));
    let attempts = |gateway: &Gateway| gateway.metrics().sum("hookgate_inbox_attempts_total", &[]);
    assert!(attempts(&owner) >= 20.0);
    assert_eq!(attempts(&other), 0.0);
    owner.signal(Signal::KILL);
    owner.wait_for_exit();
    other.wait_for_metric("hookgate_inbox_up", &[], 1.0);
    assert_eq!(other.exchange(&webhook("evt_7", 1).bytes()).status, 200);
    assert_eq!(other.exchange(&webhook("evt_new", 0).bytes()).status, 200);
    assert_eq!(arrivals(&upstream).len(), 21);
    assert!(arrivals(&upstream).values().all(|times| *times == 1));
}

/// A commit that still runs at the deadline: the sender is told to ask again, the row stays, and the retry is acknowledged.
#[test]
fn a_commit_that_is_late_is_answered_503_and_the_retry_is_acknowledged() {
    let tools = tempfile::tempdir().unwrap();
    let library = library(tools.path());
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let slow = setup(&upstream.url(), directory.path(), "queue", "sender_deadline = \"1s\"");
    let gateway = opened(with_library(slow, &library).variable("IO_SYNC_MS", "1200").start());
    let first = gateway.exchange(&webhook("evt_1", 1).bytes());
    assert_eq!(first.status, 503, "{first:?}");
    assert!(first.header("retry-after").is_some());
    let taken = eventually("an acknowledgement of the retry", || {
        let retry = gateway.exchange(&webhook("evt_1", 0).bytes());
        (retry.status == 200).then_some(retry)
    });
    assert!(taken.header("hookgate-delivery").is_some());
    wait_for(&gateway, "delivered", 1.0);
    assert_eq!(upstream.requests().len(), 1);
}

/// Delivered is a 2xx whose body was read to its end or to 64 KiB. A redirect is a failure and is not followed, and an answer
/// that breaks off is no answer.
#[test]
fn a_stored_delivery_is_settled_by_a_whole_2xx_only() {
    let elsewhere = Upstream::ok();
    let target = format!("{}/elsewhere", elsewhere.url());
    let turn = AtomicUsize::new(0);
    let upstream = Upstream::new(move |_, connection| match turn.fetch_add(1, Ordering::SeqCst) {
        0 => connection.send(&answer("307 Temporary Redirect", &[("Location", &target)], b"")),
        1 => {
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            AfterAnswer::Reset
        }
        _ => connection.send(&answer("200 OK", &[], &vec![b'x'; 300_000])),
    });
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&upstream.url(), directory.path(), "queue", "").start());
    assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).status, 200);
    wait_for(&gateway, "delivered", 1.0);
    assert_eq!(
        headers(&upstream, "hookgate-attempt"),
        ["1", "2", "3"].map(|number| Some(number.to_owned()))
    );
    elsewhere.assert_untouched();
}

/// What report mode lets through unverified is never stored: when the application does not answer, the sender is told so.
#[test]
fn what_was_not_verified_is_never_stored() {
    let gone = format!("http://{}", free_address());
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&gone, directory.path(), "failover", "mode = \"report\"").start());
    let unsigned = gateway.exchange(&webhook("evt_1", 0).signature(None).bytes());
    assert_eq!(
        (unsigned.status, unsigned.reason()),
        (502, "upstream_unreachable".into())
    );
    let forged = gateway.exchange(&webhook("evt_2", 0).signature(Some("ts=1;h1=00")).bytes());
    assert_eq!(forged.status, 502);
    assert_eq!(count(&gateway, "waiting"), 0.0);
    assert_eq!(gateway.exchange(&webhook("evt_3", 0).bytes()).status, 200);
    wait_for(&gateway, "waiting", 1.0);
}

/// The sender's deadline counts from the head. A body that leaves too little time is stored without asking the application.
#[test]
fn with_too_little_time_left_the_webhook_is_stored_without_asking() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(
        setup(
            &upstream.url(),
            directory.path(),
            "failover",
            "sender_deadline = \"1s\"",
        )
        .start(),
    );
    let request = webhook("evt_1", 0).bytes();
    let (early, late) = request.split_at(request.len() - 5);
    let mut client = gateway.connect();
    client.send(early);
    let begun = Instant::now();
    eventually("most of the deadline", || {
        (begun.elapsed() > Duration::from_millis(350)).then_some(())
    });
    client.send(late);
    assert_eq!(client.response().status, 200);
    wait_for(&gateway, "delivered", 1.0);
    let asked = upstream.requests();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].header("hookgate-received-at").is_some(),
        "it was asked directly"
    );
}

/// A file that a release has written: `tests/vectors/inbox-1.sql` has the tables of version 1 with a delivery that waits and a
/// dead one. It is opened, and its tables and columns become those that a new file gets. A file of a later release is left
/// alone, and the log says what to do.
#[test]
fn a_file_of_every_released_version_is_opened() {
    let written = std::fs::read_to_string(repository("tests/vectors/inbox-1.sql")).unwrap();
    let upstream = Upstream::ok();
    let (old, new, later) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let tables = |directory: &Path| -> Vec<String> {
        let file = rusqlite::Connection::open(directory.join("inbox.db")).unwrap();
        let sql =
            "SELECT s.name || ' ' || i.name || ' ' || i.type || ' ' || i.\"notnull\" || coalesce(i.dflt_value, '')
                   FROM sqlite_schema s, pragma_table_info(s.name) i WHERE s.type = 'table'
                   UNION ALL SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1";
        let mut statement = file.prepare(sql).unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        found.map(Result::unwrap).collect()
    };
    let file = rusqlite::Connection::open(old.path().join("inbox.db")).unwrap();
    file.execute_batch(&written).unwrap();
    drop(file);
    let gateway = opened(setup(&upstream.url(), old.path(), "failover", "").start());
    wait_for(&gateway, "delivered", 1.0);
    assert_eq!(count(&gateway, "dead"), 1.0);
    assert_eq!(
        upstream.only().header("hookgate-delivery").as_deref(),
        Some("a59c8f615574fbfe82700ca0e8cd87d4")
    );
    drop(opened(setup(&upstream.url(), new.path(), "failover", "").start()));
    assert_eq!(
        tables(old.path()),
        tables(new.path()),
        "a change of the tables needs a new version"
    );

    let file = rusqlite::Connection::open(later.path().join("inbox.db")).unwrap();
    file.execute_batch(&written).unwrap();
    file.pragma_update(None, "user_version", 3).unwrap();
    drop(file);
    let before = std::fs::read(later.path().join("inbox.db")).unwrap();
    let gateway = setup(&upstream.url(), later.path(), "failover", "").start();
    eventually("what to do", || {
        gateway
            .logs
            .text()
            .contains("a later release wrote this file")
            .then_some(())
    });
    assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).body, b"thanks");
    drop(gateway);
    let after = std::fs::read(later.path().join("inbox.db")).unwrap();
    let rows = |bytes: &[u8]| bytes[100..].to_vec();
    assert!(rows(&before) == rows(&after), "a file of a later release was changed");
}
