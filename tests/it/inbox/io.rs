//! What the tests of the disk share: the library of `tests/faults/io.c`, and the record that it makes.

use crate::support::oracle::Random;
use crate::support::{Setup, Webhook};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Whether the long form runs.
pub(super) fn is_soak() -> bool {
    std::env::var_os("INBOX_SOAK").is_some()
}

/// The library of `tests/faults/io.c`, built into `directory`.
pub(super) fn library(directory: &Path) -> PathBuf {
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

pub(super) fn with_library(setup: Setup, library: &Path) -> Setup {
    setup.variable("LD_PRELOAD", library.to_str().unwrap())
}

/// One write, sync or truncation that the library recorded.
pub(super) struct Recorded {
    /// `w`, `s`, `t` or `f`: see the library.
    pub(super) kind: u8,
    /// 0 for the database, 1 for its log.
    pub(super) file: usize,
    pub(super) at_ns: u64,
    /// Of a sync, the time at which it began.
    pub(super) offset: usize,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn recorded(trace: &[u8]) -> Vec<Recorded> {
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

pub(super) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A power cut after each sync: the files then have what was synced, and any part of what was written later. They open
/// clean, with everything that was `acknowledged` (time and id) before the next sync. What was written before a sync that
/// failed is lost: the kernel takes its pages as clean. Returns the number of cuts.
pub(super) fn power_cuts(operations: &[Recorded], acknowledged: &[(u64, String)]) -> usize {
    let mut random = Random(7);
    // The state of both files on the disk, and what has been written to each since its last sync.
    let mut disk = [Vec::new(), Vec::new()];
    let mut pending: [Vec<&Recorded>; 2] = [Vec::new(), Vec::new()];
    let mut cuts = 0;
    for (number, operation) in operations.iter().enumerate() {
        match operation.kind {
            b's' => {}
            b'f' => {
                pending[operation.file].retain(|write| write.at_ns > operation.offset as u64);
                continue;
            }
            _ => {
                pending[operation.file].push(operation);
                continue;
            }
        }
        // Syncs overlap, and the program writes while one is under way: only what was written before it began is safe.
        let (before, later) = std::mem::take(&mut pending[operation.file])
            .into_iter()
            .partition(|write| write.at_ns <= operation.offset as u64);
        pending[operation.file] = later;
        let before: Vec<&Recorded> = before;
        for write in before {
            apply(&mut disk[operation.file], write);
        }
        let next = operations[number + 1..].iter().find(|later| later.kind == b's');
        let until = next.map_or(u64::MAX, |next| next.at_ns);
        let before = acknowledged.iter().filter(|(at, _)| *at < until);
        let required: BTreeSet<&String> = before.map(|(_, id)| id).collect();
        if disk[0].is_empty() {
            continue;
        }
        let cut = tempfile::tempdir().unwrap();
        for (at, name) in ["inbox.db", "inbox.db-wal"].into_iter().enumerate() {
            let mut bytes = disk[at].clone();
            let torn = pending[at].iter().filter(|_| random.below(2) == 0);
            torn.for_each(|write| apply(&mut bytes, write));
            std::fs::write(cut.path().join(name), bytes).unwrap();
        }
        cuts += 1;
        opens_clean(cut.path(), &required, number);
    }
    cuts
}

/// The files in `directory` are an inbox with the deliveries `required`.
fn opens_clean(directory: &Path, required: &BTreeSet<&String>, number: usize) {
    let database = rusqlite::Connection::open(directory.join("inbox.db")).unwrap();
    let is_sound: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(is_sound, "ok", "after sync {number}");
    let mut statement = match database.prepare("SELECT lower(hex(id)) FROM delivery") {
        Ok(statement) => statement,
        Err(_) if required.is_empty() => return,
        Err(error) => panic!("after sync {number}: {error}"),
    };
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    let found: BTreeSet<String> = rows.map(Result::unwrap).collect();
    let missing: Vec<_> = required.iter().filter(|id| !found.contains(**id)).collect();
    assert!(missing.is_empty(), "after sync {number}: {missing:?}");
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

/// The ids of deliveries with an attempt whose outcome is not known.
pub(super) fn unknown(directory: &Path) -> BTreeSet<String> {
    let database = rusqlite::Connection::open(directory.join("inbox.db")).unwrap();
    let sql = "SELECT lower(hex(d.id)) FROM attempt a JOIN delivery d ON d.seq = a.seq WHERE a.outcome = 'unknown'";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The status of one exchange; `None` when the process has ended.
pub(super) fn exchange(address: std::net::SocketAddr, request: &Webhook) -> Option<u16> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(&request.bytes()).ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head[9..12]).ok()?.parse().ok()
}
