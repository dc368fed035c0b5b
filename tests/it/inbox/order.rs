//! `order`: which deliveries wait for one another.

use super::{free_address, opened, setup, wait_for, webhook};
use crate::support::upstream::answer;
use crate::support::{Gate, Upstream, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn event(name: &str, customer: &str) -> Vec<u8> {
    let body = format!("{{\"event_id\":\"{name}\",\"customer\":\"{customer}\"}}");
    crate::support::Webhook::new(body).bytes()
}

fn order_of(upstream: &Upstream) -> Vec<String> {
    let body = |request: &crate::support::upstream::Recorded| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        body["event_id"].as_str().unwrap().to_owned()
    };
    upstream.requests().iter().map(body).collect()
}

/// After an outage the webhooks of a route arrive in the order in which they came in.
#[test]
fn an_ordered_route_arrives_in_order_after_an_outage() {
    for delivery in ["failover", "queue"] {
        let address = free_address();
        let directory = tempfile::tempdir().unwrap();
        let setup = setup(
            &format!("http://{address}"),
            directory.path(),
            delivery,
            "order = \"route\"",
        );
        let gateway = opened(setup.start());
        let expected: Vec<String> = (0..30).map(|at| format!("evt_{at}")).collect();
        for name in &expected {
            assert_eq!(gateway.exchange(&webhook(name, 0).bytes()).status, 200);
        }
        let upstream = Upstream::at(&address.to_string(), |_, connection| {
            connection.send(&answer("200 OK", &[], b""))
        });
        wait_for(&gateway, "delivered", 30.0);
        assert_eq!(order_of(&upstream), expected, "{delivery}");
    }
}

/// A webhook whose attempt hangs directly keeps its key busy: the next one of the same key is stored behind it, others
/// pass.
#[test]
fn a_direct_attempt_keeps_its_key_busy() {
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::new(move |request, connection| {
        if request.index == 0 {
            open.pass();
        }
        connection.send(&answer("200 OK", &[], b"direct"))
    });
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(
        &upstream.url(),
        directory.path(),
        "failover",
        "order = { pointer = \"/customer\" }",
    );
    let gateway = opened(setup.start());
    let mut first = gateway.connect();
    first.send(&event("a1", "alice"));
    upstream.wait_for(1);
    let stored = gateway.exchange(&event("a2", "alice"));
    assert_eq!((stored.status, stored.body.len()), (200, 0));
    assert_eq!(gateway.exchange(&event("b1", "bob")).body, b"direct");
    wait_for(&gateway, "behind", 1.0);
    gate.open();
    assert_eq!(first.response().body, b"direct");
    wait_for(&gateway, "delivered", 1.0);
    assert_eq!(order_of(&upstream), ["a1", "b1", "a2"]);
    let labels = [("reason", "order")];
    assert_eq!(gateway.metrics().sum("hookgate_inbox_stored_total", &labels), 1.0);
}

/// The first attempt of A fails and is stored after B was: A still goes first.
#[test]
fn a_webhook_that_is_stored_later_keeps_its_place() {
    let gate = Gate::default();
    let open = gate.clone();
    let works = Arc::new(AtomicBool::new(false));
    let flag = works.clone();
    let upstream = Upstream::new(move |request, connection| {
        if request.index == 0 {
            open.pass();
        }
        let status = if flag.load(Ordering::SeqCst) {
            "200 OK"
        } else {
            "503 Service Unavailable"
        };
        connection.send(&answer(status, &[], b""))
    });
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(
        &upstream.url(),
        directory.path(),
        "failover",
        "order = { pointer = \"/customer\" }",
    );
    let gateway = opened(setup.start());
    let mut first = gateway.connect();
    first.send(&event("a", "alice"));
    upstream.wait_for(1);
    assert_eq!(gateway.exchange(&event("b", "alice")).status, 200);
    wait_for(&gateway, "behind", 1.0);
    gate.open();
    assert_eq!(first.response().status, 200);
    eventually("a second attempt", || (upstream.requests().len() >= 2).then_some(()));
    works.store(true, Ordering::SeqCst);
    wait_for(&gateway, "delivered", 2.0);
    let order = order_of(&upstream);
    let place = order.iter().position(|name| name == "b").unwrap();
    assert!(
        order[..place].iter().all(|name| name == "a") && order.len() == place + 1,
        "{order:?}"
    );
}

/// A webhook without the key is delivered without an order, and counted.
#[test]
fn a_webhook_without_the_key_is_counted() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(
        &upstream.url(),
        directory.path(),
        "failover",
        "order = { pointer = \"/customer\" }",
    );
    let gateway = opened(setup.start());
    assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).body, b"thanks");
    gateway.wait_for_metric("hookgate_inbox_without_order_key_total", &[("route", "paddle")], 1.0);
}
