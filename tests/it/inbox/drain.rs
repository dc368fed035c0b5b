//! The end of the process while the application does not answer.

use super::{arrivals, opened, setup, wait_for, wait_for_bodies, webhook};
use crate::support::upstream::answer;
use crate::support::{Gate, Upstream, eventually};
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Before the grace period ends, what is still being asked is stored and its sender is answered. The next process delivers
/// it. No attempt of a stored delivery begins during the drain.
#[test]
fn what_is_asked_when_the_grace_period_ends_is_stored() {
    let (gate, answers) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    let (held, answers_now) = (gate.clone(), answers.clone());
    let upstream = Upstream::new(move |_, connection| {
        if !answers_now.load(Ordering::Relaxed) {
            held.pass();
        }
        connection.send(&answer("200 OK", &[], b""))
    });
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let setup = setup(
            &upstream.url(),
            directory.path(),
            "failover",
            "sender_deadline = \"2500ms\"",
        );
        opened(setup.drain("grace = \"4s\"").start())
    };
    let mut gateway = start();
    // A connection that is new when the process begins to stop may send one request.
    let mut client = gateway.connect();
    gateway.wait_for_metric("hookgate_connections_open", &[], 1.0);
    let begun = Instant::now();
    gateway.signal(Signal::TERM);
    // Its own deadline is behind the end of the grace period.
    eventually("the second second", || {
        (begun.elapsed() > Duration::from_millis(1900)).then_some(())
    });
    client.send(&webhook("evt_1", 0).bytes());
    let response = client.response();
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.header("hookgate-delivery").is_some());
    gateway.wait_for_exit();
    answers.store(true, Ordering::Relaxed);
    gate.open();
    let next = start();
    wait_for(&next, "delivered", 1.0);
    wait_for_bodies(&upstream, 1);
    assert_eq!(arrivals(&upstream).len(), 1);
}
