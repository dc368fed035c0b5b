//! Faults of the disk: failed writes and syncs, a full disk, a power cut after each sync, and processes that are killed. What
//! was acknowledged arrives. `INBOX_SOAK=1` runs the long form.

use super::io::{exchange, is_soak, library, monotonic_ns, power_cuts, recorded, unknown, with_library};
use super::{arrivals, free_address, opened, setup, wait_for, wait_for_the_end, webhook};
use crate::support::oracle::Random;
use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Gate, Gateway, Upstream};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
    let cuts = power_cuts(&operations, &acknowledged);
    assert!(cuts >= 50, "{cuts}");
}

/// A sync fails, so that the kernel takes the pages as clean although they never reached the disk. After a restart further
/// webhooks are acknowledged; a power cut then loses none of them.
#[test]
fn after_a_failed_sync_and_a_restart_a_power_cut_loses_nothing() {
    let tools = tempfile::tempdir().unwrap();
    let library = library(tools.path());
    let gone = format!("http://{}", free_address());
    let mut refused = 0;
    for number in if is_soak() { 1..=60 } else { 2..=9 } {
        let trace = tools.path().join(format!("trace-{number}"));
        let directory = tempfile::tempdir().unwrap();
        let traced = || {
            with_library(setup(&gone, directory.path(), "failover", ""), &library)
                .variable("IO_TRACE", trace.to_str().unwrap())
        };
        let mut acknowledged = Vec::new();
        let mut send = |gateway: &Gateway, name: &str| {
            for at in 0..6 {
                let answer = gateway.exchange(&webhook(&format!("{name}_{at}"), 0).bytes());
                match answer.status {
                    200 => acknowledged.push((monotonic_ns(), answer.header("hookgate-delivery").unwrap())),
                    _ => refused += 1,
                }
            }
        };
        let mut gateway = traced().variable("IO_FAULT", &format!("sync:{number}:EIO")).start();
        send(&gateway, "before");
        gateway.signal(rustix::process::Signal::KILL);
        gateway.wait_for_exit();
        let gateway = opened(traced().start());
        send(&gateway, "after");
        drop(gateway);
        assert!(acknowledged.len() >= 6, "{number}: {}", acknowledged.len());
        let operations = recorded(&std::fs::read(&trace).unwrap());
        assert!(power_cuts(&operations, &acknowledged) > 0);
    }
    assert!(refused > 0, "no fault had an effect");
}

/// The disk is full while deliveries are with the application: new webhooks are refused, and when there is space again the
/// outcome of each is written. None is sent twice but those that a kill cuts off.
#[test]
fn a_full_disk_doubles_nothing_that_is_being_delivered() {
    let tools = tempfile::tempdir().unwrap();
    let library = library(tools.path());
    for is_killed in [false, true] {
        let full = tools.path().join("full");
        let gate = Gate::default();
        let open = gate.clone();
        let upstream = Upstream::new(move |_, connection| {
            open.pass();
            connection.send(&ok())
        });
        let directory = tempfile::tempdir().unwrap();
        let make = || setup(&upstream.url(), directory.path(), "queue", "");
        let mut gateway = opened(
            with_library(make(), &library)
                .variable("IO_FULL", full.to_str().unwrap())
                .start(),
        );
        for at in 0..6 {
            assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
        }
        upstream.wait_for(6);
        std::fs::write(&full, "").unwrap();
        let refused = gateway.exchange(&webhook("evt_full", 0).bytes());
        assert_eq!((refused.status, refused.reason()), (503, "inbox_full".into()));
        gate.open();
        let taken = |outcome: &str| {
            gateway
                .metrics()
                .sum("hookgate_inbox_attempts_total", &[("outcome", outcome)])
        };
        crate::support::eventually("the application's answers", || {
            (taken("delivered") == 6.0).then_some(())
        });
        if is_killed {
            gateway.signal(rustix::process::Signal::KILL);
            gateway.wait_for_exit();
            std::fs::remove_file(&full).unwrap();
            gateway = opened(make().start());
        } else {
            std::fs::remove_file(&full).unwrap();
        }
        wait_for(&gateway, "delivered", 6.0);
        let expected = if is_killed { 12 } else { 6 };
        assert_eq!(upstream.requests().len(), expected, "is_killed: {is_killed}");
        if is_killed {
            assert_eq!(unknown(directory.path()).len(), 6);
        }
        crate::support::eventually("room", || {
            (gateway.exchange(&webhook("evt_room", 0).bytes()).status == 200).then_some(())
        });
    }
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
    wait_for_the_end(&gateway);
    let taken = taken.lock().unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|body| !taken.contains_key(*body)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let unknown = unknown(directory.path());
    for (body, ids) in taken.iter() {
        assert!(ids.iter().all(|id| *id == ids[0]), "{body}: {ids:?}");
        let is_excused = unknown.contains(&ids[0]);
        assert!(ids.len() == 1 || is_excused, "{body} was taken {} times", ids.len());
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
