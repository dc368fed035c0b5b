//! Long outages, in short: nothing dies, nobody is turned away for lack of memory, and the memory of the process stays bounded.
//! Days become seconds by the configuration. `INBOX_SOAK=1` sends for a minute.

use super::io::is_soak;
use super::{arrivals, count, opened, setup, wait_for, wait_for_bodies, wait_for_the_end, webhook};
use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Client, Gate, Gateway, Upstream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Sends from `senders` threads for this time, each webhook another. Every answer is 200. Returns how many were sent.
fn send_for(gateway: &Gateway, name: &str, senders: usize, span: Duration) -> usize {
    let (plain, end) = (gateway.plain(), Instant::now() + span);
    let threads: Vec<_> = (0..senders)
        .map(|sender| {
            let name = name.to_owned();
            std::thread::spawn(move || {
                let mut client = Client::tcp(plain);
                let mut sent = 0;
                while Instant::now() < end {
                    let request = webhook(&format!("{name}_{sender}_{sent}"), 0);
                    let response = client.exchange(&request.bytes());
                    assert_eq!(response.status, 200, "{response:?}");
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).sum()
}

fn span() -> Duration {
    Duration::from_secs(if is_soak() { 60 } else { 4 })
}

/// An application that works when `works` is set, and otherwise answers `status`.
fn application(works: &Arc<AtomicBool>, status: &'static str) -> Upstream {
    let works = works.clone();
    Upstream::new(move |_, connection| {
        let status = if works.load(Ordering::SeqCst) { "200 OK" } else { status };
        connection.send(&answer(status, &[], b""))
    })
}

/// A balancer answers 503 for many times as long as a delivery may be tried: nothing is dead, because an outage ages nothing.
#[test]
fn an_outage_behind_a_balancer_ages_nothing() {
    let works = Arc::new(AtomicBool::new(false));
    let upstream = application(&works, "503 Service Unavailable");
    let directory = tempfile::tempdir().unwrap();
    let retry = "retry = { backoff = \"20ms\", backoff_limit = \"100ms\", max_age = \"200ms\" }";
    let setup = setup(&upstream.url(), directory.path(), "failover", retry);
    let probe = "probe = { backoff = \"20ms\", backoff_limit = \"20ms\" }";
    let setup = setup.replacing("probe = { backoff = \"50ms\", backoff_limit = \"200ms\" }", probe);
    let gateway = opened(setup.start());
    // Few deliveries, so that each probes more often than its budget would allow.
    for at in 0..6 {
        assert_eq!(gateway.exchange(&webhook(&format!("few_{at}"), 0).bytes()).status, 200);
    }
    upstream.wait_for(100);
    assert_eq!(count(&gateway, "dead"), 0.0);
    let before = upstream.requests().len();
    let sent = send_for(&gateway, "evt", 2, span());
    assert_eq!(count(&gateway, "dead"), 0.0);
    let asked = upstream.requests().len() - before;
    assert!(
        asked < sent / 2 + 250,
        "{asked} requests for {sent} webhooks in an outage"
    );
    works.store(true, Ordering::SeqCst);
    wait_for_the_end(&gateway);
    assert_eq!(count(&gateway, "dead"), 0.0);
    wait_for_bodies(&upstream, sent + 6);
}

/// An application accepts requests and answers none. Its connections and the memory for bodies would be used up at once; instead
/// every webhook is stored, none is refused as `overloaded`, and the memory of the process is bounded.
#[test]
fn a_hanging_application_holds_neither_memory_nor_connections() {
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        open.pass();
        connection.send(&answer("200 OK", &[], b""))
    });
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(
        &upstream.url(),
        directory.path(),
        "failover",
        // The replay guard has a key of each webhook in memory.
        "sender_deadline = \"1s\"\nreplay = { enabled = false }",
    )
    .upstream("timeout = \"1s\", max_connections = 32")
    .more("max_items = 10000000")
    .limits("in_flight_bytes = \"1MiB\"");
    let gateway = opened(setup.start());
    // The senders of the first seconds wait for their deadline; the outage is known after that.
    send_for(&gateway, "first", 16, Duration::from_secs(2));
    let before = gateway.resident();
    let sent = send_for(&gateway, "evt", 16, span());
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("hookgate_requests_total", &[("reason", "overloaded")]), 0.0);
    assert_eq!(count(&gateway, "dead"), 0.0);
    assert!(sent > 200, "{sent}");
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for {sent} webhooks");
    let open = metrics.sum("hookgate_upstream_connections", &[("state", "active")]);
    assert!(open <= 2.0, "{open} requests are with an application that hangs");
    gate.open();
    crate::support::eventually("deliveries after the outage", || {
        (count(&gateway, "delivered") > 200.0).then_some(())
    });
    assert_eq!(count(&gateway, "dead"), 0.0);
}

/// A bad deploy answers 422 to all: no outage, and nothing is given up. After the mended deploy all are delivered.
#[test]
fn a_deploy_that_refuses_everything_makes_no_dead_letters() {
    let works = Arc::new(AtomicBool::new(false));
    let upstream = application(&works, "422 Unprocessable Content");
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&upstream.url(), directory.path(), "queue", "").start());
    let sent = send_for(&gateway, "evt", 1, Duration::from_secs(1)).min(100_000);
    let refused = || {
        gateway
            .metrics()
            .sum("hookgate_inbox_attempts_total", &[("outcome", "failed")])
    };
    crate::support::eventually("attempts of every delivery", || {
        (refused() >= 2.0 * sent as f64).then_some(())
    });
    assert_eq!(count(&gateway, "dead"), 0.0);
    works.store(true, Ordering::SeqCst);
    wait_for(&gateway, "delivered", sent as f64);
    assert_eq!(arrivals(&upstream).len(), sent);
}

/// The application always answers 100 ms after the sender was answered: each webhook is one delivery, and arrives once.
#[test]
fn an_application_that_is_always_late_gets_each_webhook_once() {
    let upstream = Upstream::new(|_, connection| {
        std::thread::sleep(Duration::from_millis(600));
        connection.send(&answer("200 OK", &[], b"late"))
    });
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
    let sent = send_for(&gateway, "evt", 8, Duration::from_secs(2));
    wait_for_the_end(&gateway);
    let times = arrivals(&upstream);
    assert_eq!(times.len(), sent);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

/// The first delivery of the queue kills the application, which then answers nobody for a while. The others are delivered
/// although it never is.
#[test]
fn a_delivery_that_kills_the_application_does_not_stop_the_others() {
    let until = std::sync::Mutex::new(Instant::now());
    let killed = Arc::new(AtomicUsize::new(0));
    let deaths = killed.clone();
    let upstream = Upstream::new(move |request, connection| {
        let mut until = until.lock().unwrap();
        if request.body.windows(6).any(|window| window == b"poison") {
            deaths.fetch_add(1, Ordering::SeqCst);
            *until = Instant::now() + Duration::from_millis(100);
        }
        if Instant::now() < *until {
            return AfterAnswer::Reset;
        }
        connection.send(&answer("200 OK", &[], b""))
    });
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&upstream.url(), directory.path(), "queue", "").start());
    assert_eq!(gateway.exchange(&webhook("poison", 0).bytes()).status, 200);
    for at in 0..40 {
        assert_eq!(gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status, 200);
    }
    wait_for(&gateway, "delivered", 40.0);
    assert_eq!(count(&gateway, "dead"), 0.0);
    assert!(killed.load(Ordering::SeqCst) >= 1);
    assert_eq!(count(&gateway, "waiting") + count(&gateway, "in_flight"), 1.0);
}
