//! SIGTERM: requests in flight finish, new connections are refused, the exit code reports success.

use crate::support::apps::App;
use crate::support::frames::{self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, frame};
use crate::support::upstream::answer;
use crate::support::{Gate, Gateway, Setup, Upstream, Webhook, eventually};
use rustix::process::Signal;
use std::net::TcpStream;

/// Answers each request with its own body once the gate is open.
fn held(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::new(move |request, connection| {
        gate.pass();
        connection.send(&answer("200 OK", &[], &request.body))
    })
}

/// I08: requests in flight finish, idle connections are closed.
#[test]
fn requests_in_flight_finish() {
    let gate = Gate::default();
    let upstream = held(&gate);
    let mut gateway = Setup::new(&upstream.url()).start();
    let mut idle = gateway.connect();
    assert_eq!(idle.exchange(&Webhook::new("x").path("/nowhere").bytes()).status, 404);
    let mut plain = gateway.connect();
    plain.send(&Webhook::new("plain").bytes());
    let mut tls = gateway.connect_tls();
    tls.send(&Webhook::new("tls").bytes());
    upstream.wait_for(2);

    gateway.signal(Signal::TERM);
    eventually("readiness to end", || (gateway.readiness() != Some(200)).then_some(()));
    eventually("new connections to be refused", || {
        TcpStream::connect(gateway.plain()).is_err().then_some(())
    });
    let (rest, _) = idle.rest();
    assert!(
        rest.is_empty(),
        "an idle connection is closed without an answer: {rest:?}"
    );
    assert!(gateway.runs(), "it waits for the request in flight");

    gate.open();
    for (client, body) in [(&mut plain, "plain"), (&mut tls, "tls")] {
        let response = client.response();
        assert_eq!((response.status, response.body.as_slice()), (200, body.as_bytes()));
        assert_eq!(response.header("Connection").as_deref(), Some("close"), "{response:?}");
    }
    assert_eq!(gateway.wait_for_exit().code(), Some(0), "{}", gateway.logs.text());
    assert_eq!(upstream.requests().len(), 2);
}

/// I08: a connection that is open but has not sent anything is still served once: its request may be on the way.
#[test]
fn an_open_connection_is_served_once_more() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let mut clients = [gateway.connect_tls(), gateway.connect_tls(), gateway.connect()];
    gateway.wait_for_metric("hookgate_connections_open", &[("listener", "tls")], 2.0);
    gateway.wait_for_metric("hookgate_tls_handshakes_total", &[("result", "ok")], 2.0);
    gateway.signal(Signal::TERM);
    eventually("new connections to be refused", || {
        TcpStream::connect(gateway.plain()).is_err().then_some(())
    });
    for (number, client) in clients.iter_mut().enumerate() {
        let response = client.exchange(&Webhook::new(number.to_string()).bytes());
        assert_eq!(response.status, 200, "{response:?}");
        let (rest, _) = client.rest();
        assert!(rest.is_empty(), "the connection is closed after one request");
    }
    assert_eq!(gateway.wait_for_exit().code(), Some(0), "{}", gateway.logs.text());
    assert_eq!(upstream.requests().len(), 3);
}

/// I08: HTTP/2 gets GOAWAY: the open stream finishes, then the connection ends.
#[test]
fn http2_gets_goaway() {
    let gate = Gate::default();
    let upstream = held(&gate);
    let mut gateway = Setup::new(&upstream.url()).start();
    let mut client = frames::connect(&gateway);
    let webhook = Webhook::new("over h2");
    client.send(&frame(HEADERS, END_HEADERS, 1, &frames::head(&webhook)));
    client.send(&frame(DATA, END_STREAM, 1, &webhook.body));
    upstream.wait_for(1);
    gateway.signal(Signal::TERM);
    let goaway = frames::read_until(&mut client, |frame| frame.kind == GOAWAY).expect("GOAWAY");
    assert_eq!(
        (goaway.stream, &goaway.payload[4..8]),
        (0, &[0; 4][..]),
        "NO_ERROR: {goaway:?}"
    );
    gate.open();
    let head = frames::read_until(&mut client, |frame| frame.kind == HEADERS).expect("the answer");
    assert_eq!(
        (head.stream, head.payload[0]),
        (1, 0x88),
        "`:status: 200` is entry 8 of the static table: {head:?}"
    );
    let mut body = Vec::new();
    loop {
        let data = frames::read_until(&mut client, |frame| frame.kind == DATA).expect("the answer's end");
        body.extend(data.payload);
        if data.flags & END_STREAM != 0 {
            break;
        }
    }
    assert_eq!(body, b"over h2");
    assert!(
        frames::read_until(&mut client, |_| false).is_none(),
        "the connection ends"
    );
    assert_eq!(gateway.wait_for_exit().code(), Some(0), "{}", gateway.logs.text());
}

/// I08: the listeners stay open for `drain.delay`, for load balancers that notice late; `/readyz` answers 503
/// immediately.
#[test]
fn the_delay_keeps_the_listeners_open() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).drain("delay = \"3s\"").start();
    gateway.signal(Signal::TERM);
    eventually("readiness to end", || (gateway.readiness() == Some(503)).then_some(()));
    assert_eq!(gateway.ask("/livez").status, 200);
    assert_eq!(gateway.exchange(&Webhook::new("late").bytes()).status, 200);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

/// I09: the grace period ends with a request in flight, or a second signal ends the process immediately: the exit code
/// is not 0.
#[test]
fn requests_beyond_the_grace_period_are_cut_off() {
    let gate = Gate::default();
    let upstream = held(&gate);
    let start = |grace: &str| {
        let gateway = Setup::new(&upstream.url()).drain(&format!("grace = {grace:?}")).start();
        let mut client = gateway.connect();
        let before = upstream.requests().len();
        client.send(&Webhook::new(grace).bytes());
        upstream.wait_for(before + 1);
        gateway.signal(Signal::TERM);
        (gateway, client)
    };
    let (mut gateway, mut client) = start("200ms");
    assert!(gateway.wait_for_exit().code().is_some_and(|code| code != 0));
    assert!(
        client.try_response(false).is_err(),
        "the sender must not read this as delivered"
    );

    let (mut gateway, mut client) = start("600s");
    eventually("readiness to end", || (gateway.readiness() != Some(200)).then_some(()));
    gateway.signal(Signal::TERM);
    assert!(!gateway.wait_for_exit().success());
    assert!(
        client.try_response(false).is_err(),
        "the sender must not read this as delivered"
    );
    gate.open();
}

/// Sends a webhook to an application that is gone; returns the status, the reason and `Retry-After`.
fn undelivered(gateway: &Gateway, body: &str) -> (u16, String, Option<String>) {
    let response = gateway.exchange(&Webhook::new(body).bytes());
    (response.status, response.reason(), response.header("Retry-After"))
}

/// I11: the order of a native sidecar in Kubernetes: the application ends first, then the gateway gets its signal. The
/// sender gets `Retry-After`, and the metrics do not report a failing application.
#[test]
fn an_application_that_ends_first_does_not_count_as_failing() {
    let application = App::python("parsed", "");
    let mut gateway = Setup::new(&application.url()).drain("delay = \"10s\"").start();
    assert_eq!(gateway.exchange(&Webhook::new("before").bytes()).status, 200);
    drop(application);
    assert_eq!(
        undelivered(&gateway, "not yet"),
        (502, "upstream_unreachable".into(), None),
        "no shutdown has been announced"
    );
    gateway.signal(Signal::TERM);
    eventually("readiness to end", || (gateway.readiness() == Some(503)).then_some(()));
    assert_eq!(
        undelivered(&gateway, "late"),
        (503, "draining".into(), Some("5".into()))
    );
    gateway.wait_for_metric(
        "hookgate_requests_total",
        &[("reason", "draining"), ("verdict", "failed")],
        1.0,
    );
    gateway.wait_for_metric("hookgate_requests_total", &[("reason", "upstream_unreachable")], 1.0);
    // The test does not wait for the delay.
    gateway.signal(Signal::TERM);
    gateway.wait_for_exit();
}

/// The pre-stop hook is called before both signals. Until the signal everything goes on as usual: the hook does not
/// change readiness.
#[test]
fn the_pre_stop_hook_announces_the_end_of_the_application() {
    let application = App::python("parsed", "");
    let gateway = Setup::new(&application.url()).start();
    assert_eq!(gateway.ask("/stopping").status, 405, "a GET changes nothing");
    let announced = crate::support::gateway::binary()
        .args(["stopping", "--address", &gateway.admin().to_string()])
        .output()
        .unwrap();
    assert!(announced.status.success(), "{announced:?}");
    assert_eq!(gateway.readiness(), Some(200));
    assert_eq!(gateway.exchange(&Webhook::new("still there").bytes()).status, 200);
    drop(application);
    assert_eq!(
        undelivered(&gateway, "late"),
        (503, "draining".into(), Some("5".into()))
    );
}
