//! `delivery = "queue"`: every webhook is stored before the application is asked.

use super::{arrivals, headers, opened, setup, wait_for, webhook};
use crate::support::upstream::answer;
use crate::support::{Gate, Upstream};

#[test]
fn a_webhook_is_acknowledged_before_the_application_has_it() {
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        open.pass();
        connection.send(&answer("204 No Content", &[], b""))
    });
    let directory = tempfile::tempdir().unwrap();
    let gateway = opened(setup(&upstream.url(), directory.path(), "queue", "").start());
    for at in 0..20 {
        let answer = gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes());
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
    gate.open();
    wait_for(&gateway, "delivered", 20.0);
    assert!(arrivals(&upstream).values().all(|times| *times == 1));
    assert!(
        headers(&upstream, "hookgate-attempt")
            .iter()
            .all(|number| number.as_deref() == Some("1"))
    );
    let labels = [("verdict", "stored"), ("reason", "queue")];
    assert_eq!(gateway.metrics().sum("hookgate_requests_total", &labels), 20.0);
}

/// The application's answer decides about the delivery and not about the sender's answer.
#[test]
fn a_delivery_that_fails_is_tried_again_until_it_is_given_up() {
    let upstream = Upstream::new(move |request, connection| {
        let status = if request.index == 0 {
            "422 Unprocessable Content"
        } else {
            "410 Gone"
        };
        connection.send(&answer(status, &[], b"a reason"))
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
    assert_eq!(upstream.requests().len(), 2);
}
