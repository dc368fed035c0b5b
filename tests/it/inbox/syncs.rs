//! When an acknowledgement may leave: after a sync that began behind its commit. Syncs overlap.

use super::io::{Recorded, library, monotonic_ns, recorded, with_library};
use super::{free_address, opened, setup, webhook};
use crate::support::client::Response;
use crate::support::{Gateway, eventually};
use std::path::{Path, PathBuf};

/// A gateway whose application is gone and whose syncs take `sync_ms`, with the record of its writes and syncs.
fn traced(tools: &Path, directory: &Path, sync_ms: &str) -> (Gateway, PathBuf) {
    let trace = tools.join("trace");
    let gone = format!("http://{}", free_address());
    let setup = with_library(setup(&gone, directory, "queue", "dedupe = {}"), &library(tools))
        .variable("IO_TRACE", trace.to_str().unwrap())
        .variable("IO_SYNC_MS", sync_ms);
    (opened(setup.start()), trace)
}

/// The syncs of the log that ended after `from`: when each began and ended.
fn syncs(trace: &Path, from: u64) -> Vec<(u64, u64)> {
    let is_sync = |operation: &Recorded| operation.kind == b's' && operation.file == 1 && operation.at_ns >= from;
    let operations = recorded(&std::fs::read(trace).unwrap());
    let syncs = operations.iter().filter(|operation| is_sync(operation));
    syncs.map(|sync| (sync.offset as u64, sync.at_ns)).collect()
}

/// Sends a webhook from another thread, and returns once something was written to the log.
fn begin<'a>(
    scope: &'a std::thread::Scope<'a, '_>,
    gateway: &'a Gateway,
    trace: &Path,
    event: &'static str,
) -> std::thread::ScopedJoinHandle<'a, Response> {
    let sent_at = monotonic_ns();
    let answer = scope.spawn(move || gateway.exchange(&webhook(event, 0).bytes()));
    eventually("a write to the log", || {
        let operations = recorded(&std::fs::read(trace).unwrap());
        let is_write =
            |operation: &Recorded| operation.kind == b'w' && operation.file == 1 && operation.at_ns >= sent_at;
        operations.iter().any(is_write).then_some(())
    });
    answer
}

/// No 2xx leaves before the sync of its commit has returned: the order of the system calls in one process.
#[test]
fn no_acknowledgement_leaves_before_its_sync() {
    let (tools, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (gateway, trace) = traced(tools.path(), directory.path(), "30");
    for at in 0..10 {
        let sent_at = monotonic_ns();
        assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
        let answered_at = monotonic_ns();
        let covers = |(begun, ended): &(u64, u64)| sent_at < *begun && *ended < answered_at;
        let synced = syncs(&trace, sent_at).iter().any(covers);
        assert!(synced, "webhook {at} was answered without a sync");
        assert!(answered_at - sent_at >= 30_000_000);
    }
}

/// A commit does not wait until the sync of the one before has ended: both are under way at once.
#[test]
fn the_sync_of_one_commit_does_not_delay_the_next() {
    let (tools, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (gateway, trace) = traced(tools.path(), directory.path(), "800");
    let sent_at = monotonic_ns();
    std::thread::scope(|scope| {
        let first = begin(scope, &gateway, &trace, "evt_1");
        assert_eq!(gateway.exchange(&webhook("evt_2", 0).bytes()).status, 200);
        assert_eq!(first.join().unwrap().status, 200);
    });
    let syncs = syncs(&trace, sent_at);
    let overlap = |(begun, ended): &(u64, u64)| syncs.iter().any(|(other, _)| begun < other && other < ended);
    assert!(syncs.iter().any(overlap), "{syncs:?}");
}

/// A repetition finds the row of a webhook whose sync is under way. It is acknowledged behind that sync, and needs no other.
#[test]
fn a_repetition_is_acknowledged_after_the_sync_of_what_it_repeats() {
    let (tools, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (gateway, trace) = traced(tools.path(), directory.path(), "800");
    let sent_at = monotonic_ns();
    std::thread::scope(|scope| {
        let first = begin(scope, &gateway, &trace, "evt_1");
        let repetition = gateway.exchange(&webhook("evt_1", 1).bytes());
        let answered_at = monotonic_ns();
        assert_eq!(repetition.status, 200);
        let covers = |(begun, ended): &(u64, u64)| sent_at < *begun && *ended < answered_at;
        assert!(syncs(&trace, sent_at).iter().any(covers), "acknowledged without a sync");
        assert_eq!(first.join().unwrap().status, 200);
    });
}
