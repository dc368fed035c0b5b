//! `[route.dedupe]` with the real binary: of the sender's own retries, each signed again, one is delivered.

use crate::support::paddle::{SECRET, now};
use crate::support::upstream::answer;
use crate::support::{Gate, Gateway, Setup, Upstream, Webhook, eventually};
use std::sync::LazyLock;

/// Signed this many seconds before the start of the test, so that a second that passes during the test does not change
/// a signature.
static START: LazyLock<u64> = LazyLock::new(now);

fn signed(body: &str, age: u64) -> Webhook {
    Webhook::signed(body, SECRET, *START - age)
}

/// An attempt as Paddle sends it: the same body each time, another signature for each age.
fn attempt(event: &str, age: u64) -> Vec<u8> {
    let body = format!("{{\"event_id\":\"{event}\",\"event_type\":\"transaction.paid\"}}");
    signed(&body, age).bytes()
}

fn start(upstream: &Upstream, dedupe: &str) -> Gateway {
    Setup::new(&upstream.url()).route(&format!("dedupe = {dedupe}")).start()
}

/// E14 with dedupe: the provider's id makes the second attempt a duplicate, which is acknowledged and not forwarded.
#[test]
fn a_second_attempt_is_acknowledged() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream, "{}");
    assert_eq!(gateway.exchange(&attempt("evt_1", 0)).body, b"thanks");
    for age in [1, 2] {
        let again = gateway.exchange(&attempt("evt_1", age));
        assert_eq!((again.status, again.body.len()), (200, 0));
    }
    assert_eq!(gateway.exchange(&attempt("evt_2", 0)).body, b"thanks");
    assert_eq!(upstream.requests().len(), 2);
    let labels = [("verdict", "acknowledged"), ("reason", "duplicate")];
    gateway.wait_for_metric("hookgate_requests_total", &labels, 2.0);
    let line = &gateway.wait_for_audit_lines("duplicate", 2)[0];
    assert_eq!(line["verdict"], "acknowledged");
    assert!(line.get("upstream_status").is_none(), "{line}");
    // Two keys for each delivered request: its bytes, and its delivery id. A duplicate adds none.
    gateway.wait_for_metric("hookgate_replay_keys", &[], 4.0);
    // The very same bytes are a replay, which is checked first.
    let bytes = attempt("evt_3", 0);
    assert_eq!(gateway.exchange(&bytes).status, 200);
    assert_eq!(gateway.exchange(&bytes).reason(), "replayed");
}

/// E05 with dedupe: an attempt that the application refused does not count.
#[test]
fn a_failed_attempt_does_not_count() {
    let script = ["500 Internal Server Error", "302 Found", "200 OK"];
    let upstream = Upstream::new(move |request, connection| connection.send(&answer(script[request.index], &[], b"")));
    let gateway = start(&upstream, "{ on_duplicate = \"reject\" }");
    let statuses: Vec<u16> = (0..5)
        .map(|age| gateway.exchange(&attempt("evt_1", age)).status)
        .collect();
    assert_eq!(statuses, [500, 302, 200, 409, 409]);
    assert_eq!(upstream.requests().len(), 3);
    assert_eq!(gateway.exchange(&attempt("evt_1", 5)).reason(), "duplicate");
}

#[test]
fn an_attempt_waits_for_another_in_flight() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b"done"))
    });
    let gateway = start(&upstream, "{}");
    let mut first = gateway.connect();
    first.send(&attempt("evt_1", 0));
    upstream.wait_for(1);
    let second = gateway.exchange(&attempt("evt_1", 1));
    assert_eq!((second.status, second.reason().as_str()), (409, "in_flight"));
    assert!(second.header("Retry-After").is_some());
    gate.open();
    assert_eq!(first.response().body, b"done");
    assert_eq!(gateway.exchange(&attempt("evt_1", 1)).status, 200);
    assert_eq!(upstream.requests().len(), 1);
}

/// The id may be in a header, a form field or elsewhere in the JSON; each route counts for itself.
#[test]
fn the_id_may_be_in_a_header_form_or_json() {
    let upstream = Upstream::ok();
    let route = |path: &str, dedupe: &str| {
        format!(
            "[[route]]\npath = \"/{path}\"\nprovider = \"paddle\"\ntolerance = \"60s\"\ndedupe = {dedupe}\n\
             secrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = {:?}\n",
            upstream.url()
        )
    };
    let gateway = Setup::new(&upstream.url())
        .more(&route("header", "{ header = \"X-Delivery\" }"))
        .more(&route("form", "{ form = \"alert_id\" }"))
        .more(&route("json", "{ pointer = \"/data/0/id\" }"))
        .start();
    let same = "{\"data\":[{\"id\":7}]}";
    for (path, body) in [
        ("/header", "anything"),
        ("/form", "x=1&alert_id=same%2D1"),
        ("/json", same),
    ] {
        for age in [0, 1, 2] {
            let webhook = signed(body, age).path(path);
            let response = gateway.exchange(&webhook.header("X-Delivery", "same-1").bytes());
            assert_eq!(response.status, 200, "{path}");
        }
    }
    assert_eq!(upstream.requests().len(), 3);
    gateway.wait_for_metric("hookgate_requests_total", &[("reason", "duplicate")], 6.0);
    // Other ids are other deliveries; a header that occurs twice is no id.
    let other = signed("anything", 4).path("/header");
    gateway.exchange(&other.clone().header("X-Delivery", "same-2").bytes());
    let twice = other.header("X-Delivery", "same-1").header("X-Delivery", "same-1");
    gateway.exchange(&twice.path("/header?").bytes());
    gateway.wait_for_metric("hookgate_requests_total", &[("verdict", "forwarded")], 4.0);
}

#[test]
fn a_missing_id_is_forwarded_or_refused() {
    let upstream = Upstream::ok();
    for (choice, expected) in [("forward", [200, 200]), ("reject", [400, 400])] {
        let gateway = start(&upstream, &format!("{{ on_missing_id = {choice:?} }}"));
        let send = |age| gateway.exchange(&signed("{\"event_id\":null}", age).bytes());
        let answers = [send(0), send(1)];
        assert_eq!([answers[0].status, answers[1].status], expected, "{choice}");
        if choice == "reject" {
            assert_eq!(answers[0].reason(), "delivery_id_missing");
        }
    }
    assert_eq!(upstream.requests().len(), 2);
}

/// A window lasts as long as configured: when it ends, the id is delivered again.
#[test]
fn an_id_is_forgotten_after_its_window() {
    let upstream = Upstream::ok();
    let gateway = start(&upstream, "{ window = \"1s\", on_duplicate = \"reject\" }");
    assert_eq!(gateway.exchange(&attempt("evt_1", 0)).status, 200);
    assert_eq!(gateway.exchange(&attempt("evt_1", 1)).status, 409);
    let mut age = 2;
    eventually("the end of the window", || {
        age += 1;
        (gateway.exchange(&attempt("evt_1", age % 50)).status == 200).then_some(())
    });
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn report_mode_marks_duplicates_and_forwards_them() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .route("dedupe = {}\nmode = \"report\"")
        .start();
    for age in [0, 1] {
        assert_eq!(gateway.exchange(&attempt("evt_1", age)).body, b"thanks");
    }
    let marks: Vec<_> = upstream
        .requests()
        .iter()
        .map(|r| r.header("Hookgate-Report"))
        .collect();
    assert_eq!(marks[1].as_deref(), Some("duplicate"));
    let labels = [("verdict", "reported"), ("reason", "duplicate")];
    gateway.wait_for_metric("hookgate_requests_total", &labels, 1.0);
}
