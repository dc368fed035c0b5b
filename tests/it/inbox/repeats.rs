//! A sender's repetitions: each is acknowledged or delivered, and never lost or doubled.

use super::{free_address, headers, opened, setup, wait_for, webhook};
use crate::support::upstream::answer;
use crate::support::{Gate, Upstream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Waiting, delivered, after a restart that has forgotten every claim: acknowledged, with the id of the first.
#[test]
fn a_repetition_of_a_stored_webhook_is_acknowledged() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let start = || opened(setup(&format!("http://{address}"), directory.path(), "failover", "").start());
    let mut gateway = start();
    let first = gateway.exchange(&webhook("evt_1", 0).bytes());
    let id = first.header("hookgate-delivery").unwrap();
    let repeat = |gateway: &crate::support::Gateway, age| {
        let answer = gateway.exchange(&webhook("evt_1", age).bytes());
        assert_eq!(
            (answer.status, answer.header("hookgate-delivery")),
            (200, Some(id.clone())),
            "{answer:?}"
        );
    };
    repeat(&gateway, 0);
    repeat(&gateway, 1);
    gateway.signal(rustix::process::Signal::KILL);
    gateway.wait_for_exit();
    let gateway = start();
    repeat(&gateway, 2);
    let upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    wait_for(&gateway, "delivered", 1.0);
    repeat(&gateway, 3);
    repeat(&gateway, 4);
    assert_eq!(upstream.requests().len(), 1);
    let labels = [("verdict", "acknowledged"), ("reason", "stored_before")];
    gateway.wait_for_metric("hookgate_requests_total", &labels, 3.0);
}

/// An operator who presses "resend" at the provider after mending a bug gets the webhook delivered.
#[test]
fn a_resend_of_a_dead_webhook_is_delivered() {
    let left = Arc::new(AtomicUsize::new(1));
    let upstream = Upstream::new(move |_, connection| {
        let fail = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let status = if fail.is_ok() { "410 Gone" } else { "200 OK" };
        connection.send(&answer(status, &[], b""))
    });
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(
        &upstream.url(),
        directory.path(),
        "queue",
        "retry = { backoff = \"50ms\", give_up_on = [410] }",
    );
    let gateway = opened(setup.start());
    assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).status, 200);
    wait_for(&gateway, "dead", 1.0);
    assert_eq!(gateway.exchange(&webhook("evt_1", 1).bytes()).status, 200);
    wait_for(&gateway, "delivered", 1.0);
    wait_for(&gateway, "dead", 0.0);
    let ids = headers(&upstream, "hookgate-delivery");
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
}

/// The same webhook in flight: the repetition waits for it. At its deadline it is told to ask again, and never 2xx.
#[test]
fn a_repetition_of_one_in_flight_waits_for_it() {
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        open.pass();
        connection.send(&answer("200 OK", &[], b"direct"))
    });
    let directory = tempfile::tempdir().unwrap();
    let route = "dedupe = {}\nsender_deadline = \"4s\"";
    let gateway = opened(setup(&upstream.url(), directory.path(), "failover", route).start());
    let mut first = gateway.connect();
    first.send(&webhook("evt_1", 0).bytes());
    upstream.wait_for(1);
    let mut second = gateway.connect();
    second.send(&webhook("evt_1", 1).bytes());
    gate.open();
    assert_eq!(first.response().body, b"direct");
    let repeat = second.response();
    assert_eq!((repeat.status, repeat.body.len()), (200, 0), "{repeat:?}");
    assert_eq!(upstream.requests().len(), 1);
}

/// The ids of webhooks that were delivered directly are stored where the route asks for it: a restart forgets none.
#[test]
fn a_durable_id_of_a_direct_delivery_survives_a_kill() {
    for (dedupe, arrivals) in [("dedupe = { durable = true }", 1), ("dedupe = {}", 2)] {
        let upstream = Upstream::ok();
        let directory = tempfile::tempdir().unwrap();
        let start = || opened(setup(&upstream.url(), directory.path(), "failover", dedupe).start());
        let mut gateway = start();
        assert_eq!(gateway.exchange(&webhook("evt_1", 1).bytes()).body, b"thanks");
        gateway.signal(rustix::process::Signal::KILL);
        gateway.wait_for_exit();
        let gateway = start();
        assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).status, 200);
        assert_eq!(upstream.requests().len(), arrivals, "{dedupe}");
    }
}

/// The id is the same on a route without an inbox, for every retry and on every replica.
#[test]
fn a_direct_route_passes_the_id_on() {
    let upstream = Upstream::new(|_, connection| connection.send(&answer("503 Service Unavailable", &[], b"")));
    for _ in 0..2 {
        let gateway = crate::support::Setup::new(&upstream.url()).route("dedupe = {}").start();
        for age in [1, 0] {
            assert_eq!(gateway.exchange(&webhook("evt_1", age).bytes()).status, 503);
        }
        assert_eq!(gateway.exchange(&webhook("evt_2", 0).bytes()).status, 503);
    }
    let ids = headers(&upstream, "hookgate-delivery");
    assert!(ids[0].as_ref().is_some_and(|id| id.len() == 32), "{ids:?}");
    assert!(
        [1, 3, 4].iter().all(|at| ids[*at] == ids[0]) && ids[2] == ids[5] && ids[2] != ids[0],
        "{ids:?}"
    );
    assert!(headers(&upstream, "hookgate-attempt").iter().all(Option::is_none));
}
