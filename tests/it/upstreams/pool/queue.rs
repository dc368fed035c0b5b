//! The queue at `max_connections`: short, bounded, and in the order of arrival.

use crate::support::upstream::answer;
use crate::support::{Client, Gate, Gateway, Setup, Upstream, Webhook};

/// An application with one connection, which answers when the gate is open.
fn held(settings: &str) -> (Gate, Upstream, Gateway) {
    let gate = Gate::default();
    let wait = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        wait.pass();
        connection.send(&answer("200 OK", &[], b""))
    });
    let gateway = Setup::new(&upstream.url())
        .top("workers = 2")
        .upstream(&format!("max_connections = 1, {settings}"))
        .start();
    (gate, upstream, gateway)
}

fn send(gateway: &Gateway, body: &str) -> Client {
    let mut client = gateway.connect();
    client.send(&Webhook::new(body).bytes());
    client
}

fn waiting(gateway: &Gateway, count: f64) {
    gateway.wait_for_metric("hookgate_upstream_queue_requests", &[], count);
}

fn ended(gateway: &Gateway, result: &str) -> f64 {
    gateway
        .metrics()
        .sum("hookgate_upstream_queue_total", &[("result", result)])
}

/// More requests than connections wait for the application, which gets no more connections than it is allowed. They are
/// served one after the other, whatever worker they are on.
#[test]
fn requests_wait_for_a_connection_and_are_all_served() {
    let (gate, upstream, gateway) = held("queue_timeout = \"1m\"");
    let first = send(&gateway, "first");
    upstream.wait_for(1);
    let mut clients: Vec<Client> = (0..30).map(|number| send(&gateway, &number.to_string())).collect();
    waiting(&gateway, 30.0);
    assert_eq!(upstream.open(), 1);
    gate.open();
    clients.push(first);
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(upstream.requests().len(), 31);
    assert_eq!((ended(&gateway, "served"), ended(&gateway, "timeout")), (30.0, 0.0));
    waiting(&gateway, 0.0);
    // The next request finds everything free.
    assert_eq!(gateway.exchange(&Webhook::new("last").bytes()).status, 200);
}

/// Of requests on one worker the connection is used again, and the first is served first.
#[test]
fn the_connection_goes_to_the_request_that_has_waited_longest() {
    let gate = Gate::default();
    let wait = gate.clone();
    let upstream = Upstream::new(move |_, connection| {
        wait.pass();
        connection.send(&answer("200 OK", &[], b""))
    });
    let gateway = Setup::new(&upstream.url())
        .top("workers = 1")
        .upstream("max_connections = 1, queue_timeout = \"1m\"")
        .start();
    let mut clients = vec![send(&gateway, "0")];
    upstream.wait_for(1);
    for number in 1..10 {
        clients.push(send(&gateway, &number.to_string()));
        waiting(&gateway, f64::from(number));
    }
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    let bodies: Vec<_> = upstream.requests().iter().map(|request| request.body.clone()).collect();
    let expected: Vec<_> = (0..10).map(|number| number.to_string().into_bytes()).collect();
    assert_eq!(bodies, expected);
    assert_eq!(upstream.connections(), 1);
}

/// A request that waits too long, or finds the queue full, gets 503 and may come again.
#[test]
fn a_request_waits_no_longer_than_configured_and_no_more_wait_than_configured() {
    let (gate, upstream, gateway) = held("queue_limit = 1, queue_timeout = \"1m\"");
    let mut first = send(&gateway, "first");
    upstream.wait_for(1);
    let mut second = send(&gateway, "second");
    waiting(&gateway, 1.0);
    let third = Webhook::new("third").bytes();
    let refused = gateway.exchange(&third);
    assert_eq!((refused.status, refused.reason().as_str()), (503, "overloaded"));
    assert_eq!(ended(&gateway, "full"), 1.0);
    gate.open();
    assert_eq!((first.response().status, second.response().status), (200, 200));
    assert_eq!(gateway.exchange(&third).status, 200);

    let (gate, upstream, gateway) = held("queue_timeout = \"100ms\"");
    let mut first = send(&gateway, "first");
    upstream.wait_for(1);
    let second = Webhook::new("second").bytes();
    let refused = gateway.exchange(&second);
    assert_eq!((refused.status, refused.reason().as_str()), (503, "overloaded"));
    assert_eq!((ended(&gateway, "timeout"), ended(&gateway, "full")), (1.0, 0.0));
    gate.open();
    assert_eq!(first.response().status, 200);
    assert_eq!(gateway.exchange(&second).status, 200);
    assert_eq!(upstream.requests().len(), 2);
}
