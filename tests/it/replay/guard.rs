//! The replay guard with the real binary: a delivered request is never delivered again, an undelivered one is never
//! lost.

use crate::support::paddle::{self, SECRET, mac};
use crate::support::upstream::answer;
use crate::support::{Gate, Setup, Upstream, Webhook, eventually};

/// E01, E02: the same signed bytes, in any form of the header.
#[test]
fn a_delivered_webhook_is_refused_the_second_time() {
    let upstream = Upstream::ok();
    let old = "the old secret of a rotation, long enough";
    let gateway = Setup::new(&upstream.url()).secrets(&[SECRET, old]).start();
    let ts = paddle::now().to_string();
    let (current, former) = (mac(SECRET, &ts, b"{}"), mac(old, &ts, b"{}"));
    let send = |value: &str| gateway.exchange(&Webhook::new("{}").signature(Some(value)).bytes());
    assert_eq!(send(&format!("ts={ts};h1={current}")).status, 200);
    let junk = "0".repeat(64);
    for value in [
        format!("ts={ts};h1={current}"),
        format!("h1={current};ts={ts}"),
        format!(" ts={ts} ; h1={current};"),
        format!("ts={ts};h1={junk};h1={current}"),
        format!("ts={ts};h1={current};h1={former}"),
        format!("ts={ts};h1={former};h1={current}"),
        format!("ts={ts};h1={former}"),
        format!("ts={ts};h1={current};h2=later"),
    ] {
        let response = send(&value);
        assert_eq!(
            (response.status, response.reason().as_str()),
            (409, "replayed"),
            "{value}"
        );
    }
    assert_eq!(upstream.requests().len(), 1);
    gateway.wait_for_metric("hookgate_requests_total", &[("reason", "replayed")], 8.0);
    // Other bytes in the same second are another webhook.
    assert_eq!(gateway.exchange(&Webhook::new("{ }").bytes()).status, 200);
    gateway.wait_for_metric("hookgate_replay_keys", &[], 2.0);
}

#[test]
fn a_replay_may_be_acknowledged() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .route("replay = { on_replay = \"acknowledge\" }")
        .start();
    let webhook = Webhook::new("{}").bytes();
    assert_eq!(gateway.exchange(&webhook).body, b"thanks");
    let again = gateway.exchange(&webhook);
    assert_eq!(again.status, 200);
    assert_ne!(again.body, b"thanks", "the application's answer is not repeated");
    assert_eq!(upstream.requests().len(), 1);
    gateway.wait_for_metric("hookgate_requests_total", &[("verdict", "acknowledged")], 1.0);
}

/// The first copy is still at the upstream: the second is refused with `Retry-After`, and neither is lost or doubled.
#[test]
fn a_copy_of_a_webhook_in_flight_is_neither_lost_nor_doubled() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b"done"))
    });
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("{}").bytes();
    let mut first = gateway.connect();
    first.send(&webhook);
    upstream.wait_for(1);
    let second = gateway.exchange(&webhook);
    assert_eq!((second.status, second.reason().as_str()), (409, "in_flight"));
    assert!(
        second
            .header("Retry-After")
            .is_some_and(|seconds| seconds.parse::<u32>().is_ok())
    );
    gate.open();
    assert_eq!(first.response().body, b"done");
    let third = gateway.exchange(&webhook);
    assert_eq!((third.status, third.reason().as_str()), (409, "replayed"));
    assert_eq!(upstream.requests().len(), 1);
}

/// E03: of 100 copies sent at once exactly one is forwarded.
#[test]
fn of_many_concurrent_copies_one_is_forwarded() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("{}").bytes();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let copies: Vec<_> = (0..100)
            .map(|_| scope.spawn(|| gateway.exchange(&webhook).status))
            .collect();
        copies.into_iter().map(|copy| copy.join().unwrap()).collect()
    });
    assert_eq!(
        statuses.iter().filter(|&&status| status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| [200, 409].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(upstream.requests().len(), 1);
}

/// E05: any answer of the application except 2xx releases the claim, and the sender's identical retry is accepted.
#[test]
fn a_webhook_that_the_application_refused_is_accepted_again() {
    let script = ["500 Internal Server Error", "404 Not Found", "302 Found", "200 OK"];
    let upstream = Upstream::new(move |request, connection| connection.send(&answer(script[request.index], &[], b"")));
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("{}").bytes();
    let statuses: Vec<u16> = (0..5).map(|_| gateway.exchange(&webhook).status).collect();
    assert_eq!(statuses, [500, 404, 302, 200, 409]);
    assert_eq!(upstream.requests().len(), 4);
}

/// E06, promise 8: the sender hangs up while the application works; the exchange runs to its end and is recorded.
#[test]
fn a_sender_that_hangs_up_loses_nothing() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b"done"))
    });
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("{}").bytes();
    let mut client = gateway.connect();
    client.send(&webhook);
    upstream.wait_for(1);
    client.reset();
    gate.open();
    gateway.wait_for_metric("hookgate_upstream_responses_total", &[("code_class", "2xx")], 1.0);
    gateway.wait_for_metric("hookgate_requests_total", &[("verdict", "forwarded")], 1.0);
    assert_eq!(gateway.exchange(&webhook).status, 409, "the claim is committed");
    assert_eq!(upstream.requests().len(), 1);
    assert!(upstream.broken().is_empty());
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
}

/// The same with an application that fails after the sender has hung up: the claim is released, so the retry is
/// accepted.
#[test]
fn a_sender_that_hangs_up_before_a_failure_may_retry() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |request, connection| {
        if request.index == 0 {
            held.pass();
            return connection.send(&answer("503 Busy", &[], b""));
        }
        connection.send(&answer("200 OK", &[], b"done"))
    });
    let gateway = Setup::new(&upstream.url()).start();
    let webhook = Webhook::new("{}").bytes();
    let mut client = gateway.connect_tls();
    client.send(&webhook);
    upstream.wait_for(1);
    client.reset();
    gate.open();
    gateway.wait_for_metric("hookgate_upstream_responses_total", &[("code_class", "5xx")], 1.0);
    let answered = eventually("the retry", || {
        Some(gateway.exchange(&webhook)).filter(|response| response.status != 409)
    });
    assert_eq!((answered.status, upstream.requests().len()), (200, 2));
}

/// E07: requests that are not genuine leave no key in the store.
#[test]
fn forgeries_leave_no_key_in_the_store() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let mut client = gateway.connect();
    for number in 0..200 {
        let forged = Webhook::signed(format!("{number}"), "another secret that is long enough", paddle::now());
        assert_eq!(client.exchange(&forged.bytes()).status, 401);
    }
    assert_eq!(gateway.metrics().sum("hookgate_replay_keys", &[]), 0.0);
    upstream.assert_untouched();
}

/// E08: a full store refuses the next webhook instead of evicting an old key.
#[test]
fn a_full_store_refuses_and_forgets_nothing() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).replay("capacity = 64").start();
    let webhooks: Vec<_> = (0..400)
        .map(|number| Webhook::new(format!("{number}")).bytes())
        .collect();
    let mut client = gateway.connect();
    let mut delivered = Vec::new();
    let mut full = 0;
    for webhook in &webhooks {
        let response = client.exchange(webhook);
        match response.status {
            200 => delivered.push(webhook),
            503 => {
                assert_eq!(response.reason(), "replay_store_full");
                assert!(response.header("Retry-After").is_some());
                full += 1;
            }
            other => panic!("{other}: {response:?}"),
        }
    }
    assert!(
        full > 0 && delivered.len() <= 64,
        "{} delivered, {full} refused",
        delivered.len()
    );
    for webhook in &delivered {
        assert_eq!(client.exchange(webhook).status, 409);
    }
    assert_eq!(upstream.requests().len(), delivered.len());
}

/// A route that fills the store leaves the others their share.
#[test]
fn a_busy_route_leaves_the_others_their_share() {
    let upstream = Upstream::ok();
    let quiet = format!(
        "[[route]]\nname = \"quiet\"\npath = \"/quiet\"\nprovider = \"paddle\"\ntolerance = \"60s\"\n\
         secrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = {:?}\n",
        upstream.url()
    );
    let gateway = Setup::new(&upstream.url()).replay("capacity = 64").more(&quiet).start();
    let mut client = gateway.connect();
    let mut send = |path: &str, number: u32| {
        client
            .exchange(&Webhook::new(format!("{path} {number}")).path(path).bytes())
            .status
    };
    let busy = (0..100).filter(|number| send(paddle::PATH, *number) == 200).count();
    assert_eq!(busy, 60, "the common part and its own share");
    let quiet = (0..100).filter(|number| send("/quiet", *number) == 200).count();
    assert_eq!(quiet, 4, "the other share");
}

/// With the guard switched off in the configuration, every copy is forwarded.
#[test]
fn the_guard_can_be_switched_off() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .route("replay = { enabled = false }")
        .start();
    let webhook = Webhook::new("{}").bytes();
    assert_eq!(
        [gateway.exchange(&webhook).status, gateway.exchange(&webhook).status],
        [200, 200]
    );
    assert_eq!(upstream.requests().len(), 2);
}

/// E04, E10: the memory store belongs to one process: another replica, or the same one after a restart, may deliver the
/// same webhook once more within the tolerance. `docs/security.md` documents this.
#[test]
fn the_memory_store_belongs_to_one_process() {
    let upstream = Upstream::ok();
    let (first, second) = (Setup::new(&upstream.url()).start(), Setup::new(&upstream.url()).start());
    let webhook = Webhook::new("{}").bytes();
    for gateway in [&first, &second] {
        assert_eq!(gateway.exchange(&webhook).status, 200);
        assert_eq!(gateway.exchange(&webhook).status, 409);
    }
    drop(first);
    let successor = Setup::new(&upstream.url()).start();
    assert_eq!(successor.exchange(&webhook).status, 200);
    assert_eq!(upstream.requests().len(), 3);
}

/// E14: the sender's own retry of an event has a fresh signature: it is another request, and accepted.
#[test]
fn a_retry_with_a_fresh_signature_passes() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let start = paddle::now();
    for age in [0, 1, 2] {
        let webhook = Webhook::signed("{\"event_id\":\"evt_1\"}", SECRET, start - age);
        assert_eq!(gateway.exchange(&webhook.bytes()).status, 200);
    }
    assert_eq!(upstream.requests().len(), 3);
}
