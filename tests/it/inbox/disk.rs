//! Faults of the disk: failed writes and syncs, a full disk, a power cut after each sync, and processes that are killed. What
//! was acknowledged arrives. `INBOX_SOAK=1` runs the long form.

use super::{arrivals, free_address, opened, setup, wait_for, webhook};
use crate::support::oracle::Random;
use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Gateway, Setup, Upstream, Webhook};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Whether the long form runs.
fn is_soak() -> bool {
    std::env::var_os("INBOX_SOAK").is_some()
}

/// The library of `tests/faults/io.c`, built into `directory`.
fn library(directory: &Path) -> PathBuf {
    let built = directory.join("io.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/io.c");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&built, &source])
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    built
}

fn with_library(setup: Setup, library: &Path) -> Setup {
    setup.variable("LD_PRELOAD", library.to_str().unwrap())
}

fn ok() -> Vec<u8> {
    answer("200 OK", &[], b"")
}

/// Sends webhooks and returns the bodies of those that were acknowledged.
fn acknowledged(gateway: &Gateway, name: &str, number: usize) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    for at in 0..number {
        let sent = webhook(&format!("{name}_{at}"), 0);
        let status = gateway.exchange(&sent.bytes()).status;
        assert!([200, 502, 503, 504].contains(&status), "{status}");
        if status == 200 {
            taken.push(sent.body);
        }
    }
    taken
}

/// EIO and ENOSPC from the n-th write or sync on: nobody is told 2xx for what is not stored, nothing that was acknowledged is
/// lost after a restart, and the process goes on.
#[test]
fn nothing_acknowledged_is_lost_after_a_failed_write_or_sync() {
    let tools = tempfile::tempdir().unwrap();
    let library = library(tools.path());
    let step = if is_soak() { 1 } else { 6 };
    let last = if is_soak() { 200 } else { 40 };
    for fault in ["write:N:EIO", "write:N:ENOSPC", "sync:N:EIO"] {
        let mut refused = 0;
        for number in (1..=last).step_by(step) {
            let address = free_address();
            let directory = tempfile::tempdir().unwrap();
            let url = format!("http://{address}");
            let faulty = with_library(setup(&url, directory.path(), "failover", ""), &library)
                .variable("IO_FAULT", &fault.replace('N', &number.to_string()));
            let mut gateway = faulty.start();
            let taken = acknowledged(&gateway, "evt", 12);
            refused += 12 - taken.len();
            assert!(gateway.runs());
            gateway.signal(rustix::process::Signal::KILL);
            gateway.wait_for_exit();
            let upstream = Upstream::at(&address.to_string(), |_, connection| connection.send(&ok()));
            let gateway = opened(setup(&url, directory.path(), "failover", "").start());
            crate::support::eventually("all that was acknowledged", || {
                let seen = arrivals(&upstream);
                taken.iter().all(|body| seen.contains_key(body)).then_some(())
            });
            wait_for(&gateway, "waiting", 0.0);
            let doubled: Vec<_> = arrivals(&upstream)
                .into_iter()
                .filter(|(_, times)| *times > 1)
                .collect();
            assert!(doubled.is_empty(), "{fault} {number}: {doubled:?}");
        }
        assert!(refused > 0, "{fault}: no fault had an effect");
    }
}

/// One write, sync or truncation that the library recorded.
struct Recorded {
    kind: u8,
    file: usize,
    at_ns: u64,
    offset: usize,
    bytes: Vec<u8>,
}

fn recorded(trace: &[u8]) -> Vec<Recorded> {
    let mut found = Vec::new();
    let mut rest = trace;
    while rest.len() >= 26 {
        let number = |at: usize| u64::from_ne_bytes(rest[at..at + 8].try_into().unwrap());
        let length = if rest[0] == b'w' { number(18) as usize } else { 0 };
        if rest.len() < 26 + length {
            break;
        }
        found.push(Recorded {
            kind: rest[0],
            file: usize::from(rest[1] == b'w'),
            at_ns: number(2),
            offset: number(10) as usize,
            bytes: rest[26..26 + length].to_vec(),
        });
        rest = &rest[26 + length..];
    }
    found
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A power cut after each sync: the files then have what was synced, and any part of what was written later. They open clean,
/// with everything that was acknowledged before the next sync.
#[test]
fn after_a_power_cut_everything_acknowledged_is_there() {
    let tools = tempfile::tempdir().unwrap();
    let library = library(tools.path());
    let trace = tools.path().join("trace");
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let traced = with_library(
        setup(&format!("http://{address}"), directory.path(), "failover", ""),
        &library,
    )
    .variable("IO_TRACE", trace.to_str().unwrap());
    let gateway = opened(traced.start());
    let mut acknowledged = Vec::new();
    for at in 0..if is_soak() { 1_000 } else { 60 } {
        let answer = gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes());
        assert_eq!(answer.status, 200);
        acknowledged.push((monotonic_ns(), answer.header("hookgate-delivery").unwrap()));
    }
    drop(gateway);
    let operations = recorded(&std::fs::read(&trace).unwrap());
    let syncs: Vec<usize> = (0..operations.len())
        .filter(|at| operations[*at].kind == b's')
        .collect();
    assert!(syncs.len() >= 50, "{}", syncs.len());
    let mut random = Random(7);
    // The state of both files on the disk, and what has been written to each since its last sync.
    let mut disk = [Vec::new(), Vec::new()];
    let mut pending: [Vec<&Recorded>; 2] = [Vec::new(), Vec::new()];
    let mut cuts = 0;
    for (number, operation) in operations.iter().enumerate() {
        if operation.kind != b's' {
            pending[operation.file].push(operation);
            continue;
        }
        for write in pending[operation.file].drain(..) {
            apply(&mut disk[operation.file], write);
        }
        let next = operations[number + 1..].iter().find(|later| later.kind == b's');
        let until = next.map_or(u64::MAX, |next| next.at_ns);
        let required: BTreeSet<&String> = acknowledged
            .iter()
            .filter(|(at, _)| *at < until)
            .map(|(_, id)| id)
            .collect();
        let cut = tempfile::tempdir().unwrap();
        for (at, name) in ["inbox.db", "inbox.db-wal"].into_iter().enumerate() {
            let mut bytes = disk[at].clone();
            let torn = pending[at].iter().filter(|_| random.below(2) == 0);
            torn.for_each(|write| apply(&mut bytes, write));
            std::fs::write(cut.path().join(name), bytes).unwrap();
        }
        if disk[0].is_empty() {
            continue;
        }
        cuts += 1;
        let database = rusqlite::Connection::open(cut.path().join("inbox.db")).unwrap();
        let is_sound: String = database
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(is_sound, "ok", "after sync {number}");
        let mut statement = match database.prepare("SELECT lower(hex(id)) FROM delivery") {
            Ok(statement) => statement,
            Err(_) if required.is_empty() => continue,
            Err(error) => panic!("after sync {number}: {error}"),
        };
        let found: BTreeSet<String> = statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let missing: Vec<_> = required.iter().filter(|id| !found.contains(**id)).collect();
        assert!(missing.is_empty(), "after sync {number}: {missing:?}");
    }
    assert!(cuts >= 50, "{cuts}");
}

fn apply(file: &mut Vec<u8>, write: &Recorded) {
    if write.kind == b't' {
        file.resize(write.offset, 0);
        return;
    }
    let end = write.offset + write.bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[write.offset..end].copy_from_slice(&write.bytes);
}

/// Kills at random moments under load, while the application works and fails in turns: at least once, under one id; twice only
/// where an attempt has an unknown outcome.
#[test]
fn kills_under_load_lose_nothing_and_double_only_what_was_cut_off() {
    let fails = Arc::new(AtomicBool::new(false));
    let taken: Arc<Mutex<BTreeMap<String, Vec<String>>>> = Arc::default();
    let (flag, record) = (fails.clone(), taken.clone());
    let upstream = Upstream::new(move |request, connection| {
        if flag.load(Ordering::SeqCst) {
            return connection.send(&answer("503 Service Unavailable", &[], b""));
        }
        let body = String::from_utf8(request.body.clone()).unwrap();
        let id = request.header("hookgate-delivery").unwrap();
        record.lock().unwrap().entry(body).or_default().push(id);
        connection.send(&ok());
        AfterAnswer::Keep
    });
    let directory = tempfile::tempdir().unwrap();
    let start = || opened(setup(&upstream.url(), directory.path(), "failover", "concurrency = 4").start());
    let mut random = Random(11);
    let mut acknowledged = BTreeSet::new();
    let mut sent_once = BTreeSet::new();
    for round in 0..if is_soak() { 200 } else { 20 } {
        fails.store(round % 2 == 0, Ordering::SeqCst);
        let mut gateway = start();
        let address = gateway.plain();
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                std::thread::spawn(move || {
                    let mut sent = Vec::new();
                    for at in 0..200 {
                        let request = webhook(&format!("evt_{round}_{sender}_{at}"), 0);
                        let status = exchange(address, &request);
                        sent.push((String::from_utf8(request.body).unwrap(), status));
                        if status.is_none() {
                            break;
                        }
                    }
                    sent
                })
            })
            .collect();
        let end = Instant::now() + Duration::from_millis(50 + random.below(300) as u64);
        while Instant::now() < end {
            std::thread::yield_now();
        }
        gateway.signal(rustix::process::Signal::KILL);
        gateway.wait_for_exit();
        for (body, status) in senders.into_iter().flat_map(|sender| sender.join().unwrap()) {
            if status == Some(200) {
                acknowledged.insert(body.clone());
            }
            sent_once.insert(body);
        }
    }
    fails.store(false, Ordering::SeqCst);
    let gateway = start();
    for state in ["waiting", "in_flight"] {
        wait_for(&gateway, state, 0.0);
    }
    let taken = taken.lock().unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|body| !taken.contains_key(*body)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let database = rusqlite::Connection::open(directory.path().join("inbox.db")).unwrap();
    let sql = "SELECT lower(hex(d.id)) FROM attempt a JOIN delivery d ON d.seq = a.seq WHERE a.outcome = 'unknown'";
    let mut statement = database.prepare(sql).unwrap();
    let unknown: BTreeSet<String> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (body, ids) in taken.iter() {
        assert!(ids.iter().all(|id| *id == ids[0]), "{body}: {ids:?}");
        let is_excused = unknown.contains(&ids[0]);
        assert!(ids.len() == 1 || is_excused, "{body} was taken {} times", ids.len());
    }
}

/// The status of one exchange; `None` when the process has ended.
fn exchange(address: std::net::SocketAddr, request: &Webhook) -> Option<u16> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(&request.bytes()).ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head[9..12]).ok()?.parse().ok()
}

/// No 2xx leaves before the sync of its commit has returned: the order of the system calls in one process.
#[test]
fn no_acknowledgement_leaves_before_its_sync() {
    let tools = tempfile::tempdir().unwrap();
    let library = library(tools.path());
    let trace = tools.path().join("trace");
    let directory = tempfile::tempdir().unwrap();
    let gone = format!("http://{}", free_address());
    let traced = with_library(setup(&gone, directory.path(), "queue", ""), &library)
        .variable("IO_TRACE", trace.to_str().unwrap())
        .variable("IO_SYNC_MS", "30");
    let gateway = opened(traced.start());
    for at in 0..10 {
        let sent_at = monotonic_ns();
        assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
        let answered_at = monotonic_ns();
        let operations = recorded(&std::fs::read(&trace).unwrap());
        let synced = operations.iter().any(|operation| {
            operation.kind == b's' && operation.file == 1 && (sent_at..answered_at).contains(&operation.at_ns)
        });
        assert!(synced, "webhook {at} was answered without a sync");
        assert!(answered_at - sent_at >= 30_000_000);
    }
}

/// `failover` touches no disk while the application answers: no write and no sync, whatever the number of webhooks. The row
/// that is committed every 30 s is the exception.
#[test]
fn failover_touches_no_disk_while_the_application_answers() {
    let tools = tempfile::tempdir().unwrap();
    let library = library(tools.path());
    let trace = tools.path().join("trace");
    let directory = tempfile::tempdir().unwrap();
    let upstream = Upstream::ok();
    let traced = with_library(
        setup(&upstream.url(), directory.path(), "failover", "dedupe = {}"),
        &library,
    )
    .variable("IO_TRACE", trace.to_str().unwrap());
    let gateway = opened(traced.start());
    let operations = || recorded(&std::fs::read(&trace).unwrap_or_default()).len();
    // The first row and its checkpoint.
    let mut last = (operations(), Instant::now());
    while last.1.elapsed() < Duration::from_secs(4) {
        std::thread::yield_now();
        if operations() != last.0 {
            last = (operations(), Instant::now());
        }
    }
    let before = operations();
    for at in 0..100 {
        assert_eq!(
            gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).body,
            b"thanks"
        );
    }
    assert_eq!(operations(), before);
}
