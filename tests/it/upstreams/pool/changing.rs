//! Reloads that change the list of endpoints: a removed endpoint finishes its requests, and nothing is lost.

use super::{of, send, setup, urls};
use crate::support::upstream::answer;
use crate::support::{Gate, Gateway, Upstream, Webhook, eventually};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Replaces `from` in the file and reloads.
pub(super) fn reload(gateway: &Gateway, from: &str, to: &str) {
    let text = std::fs::read_to_string(gateway.setup.file()).unwrap();
    assert!(text.contains(from), "{from:?} is not in the file");
    let before = gateway
        .metrics()
        .sum("hookgate_config_reloads_total", &[("result", "ok")]);
    std::fs::write(gateway.setup.file(), text.replace(from, to)).unwrap();
    gateway.signal(Signal::HUP);
    // The file watcher may have noticed the change as well.
    eventually("the reload", || {
        let now = gateway
            .metrics()
            .sum("hookgate_config_reloads_total", &[("result", "ok")]);
        (now > before).then_some(())
    });
}

/// An endpoint is removed while it holds a request: its idle connections close immediately, the request finishes, its
/// series are removed.
#[test]
fn an_endpoint_that_a_reload_removes_drains() {
    let gate = Gate::default();
    let held = gate.clone();
    let leaving = Upstream::new(move |request, connection| {
        if request.body == b"hold" {
            held.pass();
        }
        connection.send(&answer("200 OK", &[], b"leaving"))
    });
    let staying = Upstream::ok();
    let gateway = setup(&[leaving.url()], "idle_timeout = \"1h\"").start();
    let mut client = gateway.connect();
    client.send(&Webhook::new("hold").bytes());
    leaving.wait_for(1);
    assert_eq!(send(&gateway, "before", 3), vec![(200, "leaving".to_owned()); 3]);
    assert!(leaving.open() >= 2, "one connection holds the request, and one is idle");
    reload(
        &gateway,
        &format!("{:?}", leaving.url()),
        &format!("{:?}", staying.url()),
    );
    eventually("the end of the idle connections", || {
        (leaving.open() == 1).then_some(())
    });
    assert_eq!(send(&gateway, "after", 3), vec![(200, "thanks".to_owned()); 3]);
    gate.open();
    assert_eq!(client.response().body, b"leaving");
    eventually("the end of the drained connection", || {
        (leaving.open() == 0).then_some(())
    });
    let series = gateway.metrics().series();
    assert!(
        !series.iter().any(|series| series.contains(&leaving.url())),
        "{series:?}"
    );
    assert_eq!(of(&gateway, "hookgate_upstream_up", &staying.url()), 1.0);
}

/// Endpoints are added and removed under load, again and again: every webhook is answered 200 and delivered exactly
/// once.
#[test]
fn reloads_under_load_lose_nothing() {
    const SENDERS: usize = 6;
    let upstreams: Vec<_> = (0..3)
        .map(|_| Upstream::new(|request, connection| connection.send(&answer("200 OK", &[], &request.body))))
        .collect();
    let all = urls(&upstreams.iter().collect::<Vec<_>>());
    let lists: Vec<String> = [[0, 1], [1, 2], [2, 0]]
        .iter()
        .map(|pair| format!("[{:?}, {:?}]", all[pair[0]], all[pair[1]]))
        .collect();
    let gateway = crate::support::Setup::new("").upstream_text(&lists[0]).start();
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let answered = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (gateway, stop, sent, answered) = (&gateway, &stop, &sent, &answered);
            scope.spawn(move || {
                let mut client = gateway.connect();
                while !stop.load(Ordering::SeqCst) {
                    let body = format!("{sender}-{}", sent.fetch_add(1, Ordering::SeqCst));
                    let response = client.exchange(&Webhook::new(body.as_str()).bytes());
                    answered.lock().unwrap().push((body, response.status));
                }
            });
        }
        for round in 1..=8 {
            let so_far = sent.load(Ordering::SeqCst);
            eventually("load", || (sent.load(Ordering::SeqCst) > so_far + 100).then_some(()));
            reload(&gateway, &lists[(round - 1) % 3], &lists[round % 3]);
        }
        stop.store(true, Ordering::SeqCst);
    });
    let mut delivered: BTreeMap<String, usize> = BTreeMap::new();
    for upstream in &upstreams {
        assert!(!upstream.requests().is_empty());
        assert!(upstream.broken().is_empty(), "half-forwarded: {:?}", upstream.broken());
        for request in upstream.requests() {
            *delivered
                .entry(String::from_utf8(request.body.clone()).unwrap())
                .or_default() += 1;
        }
    }
    let answered = answered.into_inner().unwrap();
    assert!(answered.len() > 500);
    for (body, status) in &answered {
        assert_eq!((*status, delivered.get(body)), (200, Some(&1)), "{body}");
    }
    assert_eq!(delivered.len(), answered.len());
}
