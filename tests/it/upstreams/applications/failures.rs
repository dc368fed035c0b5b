//! An application that is down, slow or crashes: the sender gets the mapped status or a broken answer, and its retry
//! succeeds with the work done once.

use super::Example;
use super::checks::delivered;
use super::order::{Convention, Order, Pen, worked};
use super::stage::{Front, START, Stage, Transport};
use crate::support::wait::within;
use crate::support::{Client, eventually};

/// Sends the order once, freshly signed; returns the status, and the reason where hookgate refused it.
fn attempt(stage: &Stage, front: &Front, order: &Order) -> (u16, String) {
    let response = front
        .connect()
        .exchange(&order.webhook(stage, &Pen::genuine(stage)).bytes());
    let ours = response.header("Content-Type").as_deref() == Some("application/problem+json");
    (response.status, if ours { response.reason() } else { String::new() })
}

/// Retries as the provider does, with a fresh signature each time, until the webhook is accepted; the work was done
/// once, however often it was requested.
fn retried(stage: &Stage, front: &Front, order: &Order) {
    let response = within(START, "an accepted retry", || {
        let bytes = order.webhook(stage, &Pen::genuine(stage)).bytes();
        Some(front.connect().exchange(&bytes)).filter(|response| response.status == 200)
    });
    assert_eq!(String::from_utf8_lossy(&response.body), order.answer(stage));
    assert_eq!(worked(stage, order).1, 1, "{order:?}");
}

/// An application that does not answer in time, and one that is down.
pub(super) fn what_is_slow_or_down_is_retried(example: &'static Example, transport: Transport) {
    let mut stage = Stage::new(example, transport);
    let front = stage.front("60s");
    for &convention in example.conventions {
        slow(&stage, &front, convention);
    }
    down(&mut stage, &front);
}

/// An application that dies before its answer, and inside it.
pub(super) fn a_crash_is_retried(example: &'static Example, transport: Transport) {
    let mut stage = Stage::new(example, transport);
    let front = stage.front("60s");
    crashing_before_its_answer(&mut stage, &front);
    crashing_inside_its_answer(&mut stage, &front);
}

/// While its processes are stopped, the application accepts the request and does not answer in time. When they
/// continue, it processes the abandoned request; the retry finds the work done.
fn slow(stage: &Stage, patient: &Front, convention: Convention) {
    let hasty = stage.front("1s");
    let order = Order::new(convention, 2);
    stage.freeze();
    assert_eq!(attempt(stage, &hasty, &order), (504, "upstream_timeout".into()));
    hasty.audited("upstream_timeout");
    stage.thaw();
    retried(stage, patient, &order);
}

/// The application dies while it handles a request.
fn crashing_before_its_answer(stage: &mut Stage, front: &Front) {
    let order = Order::new(Convention::Billing, 2);
    stage.freeze();
    let mut client = front.connect();
    client.send(&order.webhook(stage, &Pen::genuine(stage)).bytes());
    front.forwarding();
    stage.crash();
    let response = client.response();
    assert_eq!((response.status, response.reason().as_str()), (502, "upstream_reset"));
    stage.start();
    retried(stage, front, &order);
    // The first attempt did no work.
    assert_eq!(worked(stage, &order), (1, 1));
}

/// The application dies while it answers: the status has been sent, so the sender must see a broken answer, never a
/// clean end. An order that the application answers before it can be killed is followed by a larger one.
fn crashing_inside_its_answer(stage: &mut Stage, front: &Front) {
    let mut seats = 20_000;
    let order = loop {
        let order = Order::new(Convention::Billing, seats);
        let mut client = front.connect();
        client.send(&order.webhook(stage, &Pen::genuine(stage)).bytes());
        client.wait_for(b"\r\n\r\n");
        stage.crash();
        let whole = is_whole(&mut client);
        stage.start();
        if !whole {
            break order;
        }
        seats *= 2;
        assert!(seats < 2_000_000, "no answer was cut off by the kill");
    };
    front.audited("upstream_reset");
    // The application did the work before it answered; the sender cannot know this, retries, and gets the licence.
    assert_eq!(worked(stage, &order), (1, 1));
    retried(stage, front, &order);
}

fn is_whole(client: &mut Client) -> bool {
    match client.partial_response(false) {
        Ok((message, end, status, _)) => {
            assert_eq!(status, 200);
            assert_eq!(message.header("Transfer-Encoding").as_deref(), Some("chunked"));
            end.is_ok()
        }
        Err(error) => panic!("not even a head: {error}"),
    }
}

/// The application is down for longer than one attempt.
fn down(stage: &mut Stage, front: &Front) {
    stage.stop();
    let order = Order::new(Convention::Billing, 2);
    for _ in 0..2 {
        assert_eq!(attempt(stage, front, &order), (502, "upstream_unreachable".into()));
    }
    stage.start();
    let response = eventually("an accepted retry", || {
        let bytes = order.webhook(stage, &Pen::genuine(stage)).bytes();
        Some(front.connect().exchange(&bytes)).filter(|response| response.status == 200)
    });
    delivered(stage, &order, &response);
}
