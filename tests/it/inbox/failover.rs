//! `delivery = "failover"`: the application is asked first, and what it does not take is stored.

use super::{arrivals, count, free_address, headers, opened, setup, wait_for, wait_for_bodies, webhook};
use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Gate, Upstream, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn ok() -> Vec<u8> {
    answer("200 OK", &[("Content-Type", "text/plain")], b"thanks")
}

/// Nothing is stored while the application answers: its own answer goes back, whatever it is.
#[test]
fn what_the_application_answers_goes_back_to_the_sender() {
    let statuses = ["200 OK", "422 Unprocessable Content", "404 Not Found", "302 Found"];
    let upstream = Upstream::new(move |request, connection| {
        connection.send(&answer(statuses[request.index], &[], b"the application's own"))
    });
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&upstream.url(), directory.path(), "failover", "").start());
    for (at, status) in [200, 422, 404, 302].into_iter().enumerate() {
        let answer = gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes());
        assert_eq!(
            (answer.status, &answer.body[..]),
            (status, &b"the application's own"[..])
        );
    }
    assert_eq!(gateway.metrics().sum("hookgate_inbox_stored_total", &[]), 0.0);
    let attempts = headers(&upstream, "hookgate-attempt");
    assert_eq!(attempts, vec![Some("1".to_owned()); 4]);
    assert!(headers(&upstream, "hookgate-received-at").iter().all(Option::is_none));
}

/// The application is stopped, webhooks come, it returns: all arrive, each once, byte for byte, with the id that the
/// sender was told.
#[test]
fn an_outage_loses_nothing_and_doubles_nothing() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&format!("http://{address}"), directory.path(), "failover", "").start());
    let mut ids = Vec::new();
    for at in 0..30 {
        let answer = gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes());
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{answer:?}");
        ids.push(answer.header("hookgate-delivery").unwrap().to_owned());
    }
    wait_for(&gateway, "waiting", 30.0);
    let upstream = Upstream::at(&address.to_string(), |_, connection| connection.send(&ok()));
    wait_for(&gateway, "delivered", 30.0);
    assert_eq!(upstream.requests().len(), 30);
    assert!(arrivals(&upstream).values().all(|times| *times == 1));
    let mut seen: Vec<_> = headers(&upstream, "hookgate-delivery").into_iter().flatten().collect();
    seen.sort();
    ids.sort();
    assert_eq!(seen, ids);
    for request in upstream.requests() {
        assert_eq!(request.header("hookgate-verified"), Some("paddle".into()));
        assert_eq!(request.header("hookgate-key"), Some("current".into()));
        assert_eq!(request.header("host"), Some("shop.example".into()));
        assert!(request.header("paddle-signature").is_some());
        assert!(
            request
                .header("hookgate-received-at")
                .is_some_and(|at| at.ends_with(" GMT"))
        );
    }
    // The application works again, so the next one is asked directly.
    let answer = gateway.exchange(&webhook("evt_after", 0).bytes());
    assert_eq!(answer.body, b"thanks");
    let stored = gateway
        .metrics()
        .sum("hookgate_requests_total", &[("verdict", "stored")]);
    assert_eq!(stored, 30.0);
}

/// A status of `store_on` is an outage of the application and not its word about the webhook.
#[test]
fn a_server_error_is_stored_and_tried_again() {
    let fails = Arc::new(AtomicBool::new(true));
    let flag = fails.clone();
    let upstream = Upstream::new(move |_, connection| {
        let bytes = match flag.load(Ordering::SeqCst) {
            true => answer("500 Internal Server Error", &[], b"no database"),
            false => ok(),
        };
        connection.send(&bytes)
    });
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&upstream.url(), directory.path(), "failover", "").start());
    for at in 0..10 {
        let answer = gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes());
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
    fails.store(false, Ordering::SeqCst);
    wait_for(&gateway, "delivered", 10.0);
    let labels = [("route", "paddle"), ("reason", "status")];
    assert!(gateway.metrics().sum("hookgate_inbox_stored_total", &labels) >= 1.0);
}

/// At the sender's deadline the webhook is stored and the sender answered. The first attempt goes on, and its 2xx
/// settles the row: the application gets the webhook once.
#[test]
fn a_slow_application_gets_each_webhook_once() {
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        open.pass();
        connection.send(&ok())
    });
    let directory = tempfile::tempdir().unwrap();
    let route = "sender_deadline = \"1s\"";
    let gateway = opened(setup(&upstream.url(), directory.path(), "failover", route).start());
    let answer = gateway.exchange(&webhook("evt_1", 0).bytes());
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    wait_for(&gateway, "in_flight", 1.0);
    gate.open();
    wait_for(&gateway, "delivered", 1.0);
    assert_eq!(upstream.requests().len(), 1);
    let labels = [("reason", "deadline")];
    assert_eq!(gateway.metrics().sum("hookgate_inbox_stored_total", &labels), 1.0);
}

/// A process that ends by SIGKILL forgets nothing that it has acknowledged.
#[test]
fn what_is_stored_survives_a_kill() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let start = || opened(setup(&format!("http://{address}"), directory.path(), "failover", "").start());
    for round in 0..5 {
        let mut gateway = start();
        for at in 0..10 {
            let answer = gateway.exchange(&webhook(&format!("evt_{round}_{at}"), 0).bytes());
            assert_eq!(answer.status, 200);
        }
        gateway.signal(rustix::process::Signal::KILL);
        gateway.wait_for_exit();
    }
    let upstream = Upstream::at(&address.to_string(), |_, connection| connection.send(&ok()));
    let gateway = start();
    wait_for(&gateway, "delivered", 50.0);
    assert_eq!(arrivals(&upstream).len(), 50);
    assert_eq!(upstream.requests().len(), 50);
}

/// An attempt that a kill cuts off is made again, with the same id and the next number.
#[test]
fn an_attempt_that_was_cut_off_is_made_again_with_the_same_id() {
    let hangs = Arc::new(AtomicBool::new(true));
    let flag = hangs.clone();
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        if flag.load(Ordering::SeqCst) {
            open.pass();
            return AfterAnswer::Close;
        }
        connection.send(&ok())
    });
    let directory = tempfile::tempdir().unwrap();
    let route = "sender_deadline = \"1s\"";
    let start = || opened(setup(&upstream.url(), directory.path(), "failover", route).start());
    let mut gateway = start();
    assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).status, 200);
    gateway.signal(rustix::process::Signal::KILL);
    gateway.wait_for_exit();
    hangs.store(false, Ordering::SeqCst);
    gate.open();
    let gateway = start();
    wait_for(&gateway, "delivered", 1.0);
    let ids: Vec<_> = headers(&upstream, "hookgate-delivery").into_iter().flatten().collect();
    let attempts: Vec<_> = headers(&upstream, "hookgate-attempt").into_iter().flatten().collect();
    assert_eq!((ids[0] == ids[1], ids.len()), (true, 2));
    assert_eq!(attempts, ["1", "2"]);
    assert!(gateway.logs.text().contains("their outcome is unknown"));
}

/// An answer that breaks off after its beginning has been sent on: the sender may have seen a 2xx, so it is stored.
#[test]
fn an_answer_that_breaks_off_is_stored() {
    let calls = Arc::new(AtomicUsize::new(0));
    let gate = Gate::default();
    let (seen, open) = (calls.clone(), gate.clone());
    let upstream = Upstream::new(move |_, connection| {
        if seen.fetch_add(1, Ordering::SeqCst) == 0 {
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbeginning");
            open.pass();
            return AfterAnswer::Reset;
        }
        connection.send(&ok())
    });
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&upstream.url(), directory.path(), "failover", "").start());
    let mut client = gateway.connect();
    client.send(&webhook("evt_1", 0).bytes());
    eventually("the request at the upstream", || {
        (calls.load(Ordering::SeqCst) == 1).then_some(())
    });
    // The beginning has been sent on when the sender has it.
    client.wait_for(b"beginning");
    gate.open();
    wait_for(&gateway, "delivered", 1.0);
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(headers(&upstream, "hookgate-attempt")[1].as_deref(), Some("2"));
}

/// In an outage one attempt at a time probes the application, whatever the number of stored deliveries.
#[test]
fn an_outage_is_probed_by_one_attempt_at_a_time() {
    let most = Arc::new(AtomicUsize::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let (peak, current) = (most.clone(), running.clone());
    let works = Arc::new(AtomicBool::new(false));
    let flag = works.clone();
    let upstream = Upstream::new(move |_, connection| {
        peak.fetch_max(current.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(20));
        current.fetch_sub(1, Ordering::SeqCst);
        let bytes = match flag.load(Ordering::SeqCst) {
            true => ok(),
            false => answer("503 Service Unavailable", &[], b""),
        };
        connection.send(&bytes)
    });
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&upstream.url(), directory.path(), "failover", "").start());
    let store = |from: usize, to: usize| {
        for at in from..to {
            assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
        }
    };
    store(0, 10);
    eventually("the outage", || {
        gateway.logs.text().contains("does not take webhooks").then_some(())
    });
    // Attempts from before the outage end.
    eventually("no attempt", || (running.load(Ordering::SeqCst) == 0).then_some(()));
    most.store(0, Ordering::SeqCst);
    let before = upstream.requests().len();
    store(10, 40);
    assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
    let probes = upstream.requests().len() - before;
    assert!(probes < 30, "{probes} requests although the application is down");
    works.store(true, Ordering::SeqCst);
    wait_for(&gateway, "delivered", 40.0);
    assert_eq!(count(&gateway, "dead"), 0.0);
    wait_for_bodies(&upstream, 40);
}

/// A request that leaves the queue at `max_connections` unserved is stored.
#[test]
fn a_request_that_waited_in_vain_for_a_connection_is_stored() {
    let gate = Gate::default();
    let wait = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        wait.pass();
        connection.send(&ok())
    });
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(&upstream.url(), directory.path(), "failover", "")
        .upstream("max_connections = 1, queue_timeout = \"50ms\"");
    let gateway = opened(setup.start());
    let mut first = gateway.connect();
    first.send(&webhook("evt_first", 0).bytes());
    upstream.wait_for(1);
    assert_eq!(gateway.exchange(&webhook("evt_second", 0).bytes()).status, 200);
    assert_eq!(count(&gateway, "delivered"), 0.0);
    gateway.wait_for_metric("hookgate_inbox_stored_total", &[("reason", "unreachable")], 1.0);
    gate.open();
    assert_eq!(first.response().status, 200);
    wait_for(&gateway, "delivered", 1.0);
    wait_for_bodies(&upstream, 2);
}
