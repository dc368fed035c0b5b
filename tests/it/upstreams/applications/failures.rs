//! An application that is down, slow or crashes: the sender gets the mapped status or a broken answer, and its retry
//! succeeds with the work done once.

use super::Example;
use super::checks::delivered;
use super::order::{Convention, Order, SenderKeys, worked};
use super::processes::{Application, Proxy, START, Transport};
use crate::support::wait::within;
use crate::support::{Client, eventually};

/// Sends the order once, freshly signed; returns the status, and the reason where hookgate refused it.
fn attempt(application: &Application, proxy: &Proxy, order: &Order) -> (u16, String) {
    let response = proxy
        .connect()
        .exchange(&order.webhook(application, &SenderKeys::genuine(application)).bytes());
    let ours = response.header("Content-Type").as_deref() == Some("application/problem+json");
    (response.status, if ours { response.reason() } else { String::new() })
}

/// Retries as the provider does, with a fresh signature each time, until the webhook is accepted; the work was done
/// once, however often it was requested.
fn retry_until_accepted(application: &Application, proxy: &Proxy, order: &Order) {
    let response = within(START, "an accepted retry", || {
        let bytes = order.webhook(application, &SenderKeys::genuine(application)).bytes();
        Some(proxy.connect().exchange(&bytes)).filter(|response| response.status == 200)
    });
    assert_eq!(String::from_utf8_lossy(&response.body), order.answer(application));
    assert_eq!(worked(application, order).1, 1, "{order:?}");
}

/// An application that does not answer in time, and one that is down.
pub(super) fn a_slow_or_absent_application_gets_the_retry(example: &'static Example, transport: Transport) {
    let mut application = Application::new(example, transport);
    let proxy = application.start_proxy("60s");
    for &convention in example.conventions {
        slow(&application, &proxy, convention);
    }
    down(&mut application, &proxy);
}

/// An application that dies before its answer, and inside it.
pub(super) fn a_crashed_application_gets_the_retry(example: &'static Example, transport: Transport) {
    let mut application = Application::new(example, transport);
    let proxy = application.start_proxy("60s");
    crashing_before_its_answer(&mut application, &proxy);
    crashing_inside_its_answer(&mut application, &proxy);
}

/// While its processes are stopped, the application accepts the request and does not answer in time. When they
/// continue, it processes the abandoned request; the retry finds the work done.
fn slow(application: &Application, with_long_timeout: &Proxy, convention: Convention) {
    let with_short_timeout = application.start_proxy("1s");
    let order = Order::new(convention, 2);
    application.pause();
    assert_eq!(
        attempt(application, &with_short_timeout, &order),
        (504, "upstream_timeout".into())
    );
    with_short_timeout.wait_for_audit_lines("upstream_timeout");
    application.resume();
    retry_until_accepted(application, with_long_timeout, &order);
}

/// The application dies while it handles a request.
fn crashing_before_its_answer(application: &mut Application, proxy: &Proxy) {
    let order = Order::new(Convention::Billing, 2);
    application.pause();
    let mut client = proxy.connect();
    client.send(&order.webhook(application, &SenderKeys::genuine(application)).bytes());
    proxy.wait_for_request();
    application.kill();
    let response = client.response();
    assert_eq!((response.status, response.reason().as_str()), (502, "upstream_reset"));
    application.start();
    retry_until_accepted(application, proxy, &order);
    // The first attempt did no work.
    assert_eq!(worked(application, &order), (1, 1));
}

/// The application dies while it answers: the status has been sent, so the sender must see a broken answer, never a
/// clean end. An order that the application answers before it can be killed is followed by a larger one.
fn crashing_inside_its_answer(application: &mut Application, proxy: &Proxy) {
    let mut seats = 20_000;
    let order = loop {
        let order = Order::new(Convention::Billing, seats);
        let mut client = proxy.connect();
        client.send(&order.webhook(application, &SenderKeys::genuine(application)).bytes());
        client.wait_for(b"\r\n\r\n");
        application.kill();
        let whole = is_whole(&mut client);
        application.start();
        if !whole {
            break order;
        }
        seats *= 2;
        assert!(seats < 2_000_000, "no answer was cut off by the kill");
    };
    proxy.wait_for_audit_lines("upstream_reset");
    // The application did the work before it answered; the sender cannot know this, retries, and gets the licence.
    assert_eq!(worked(application, &order), (1, 1));
    retry_until_accepted(application, proxy, &order);
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
fn down(application: &mut Application, proxy: &Proxy) {
    application.stop();
    let order = Order::new(Convention::Billing, 2);
    for _ in 0..2 {
        assert_eq!(
            attempt(application, proxy, &order),
            (502, "upstream_unreachable".into())
        );
    }
    application.start();
    let response = eventually("an accepted retry", || {
        let bytes = order.webhook(application, &SenderKeys::genuine(application)).bytes();
        Some(proxy.connect().exchange(&bytes)).filter(|response| response.status == 200)
    });
    delivered(application, &order, &response);
}
