//! Pools of real upstreams of which one fails.

use super::{gateway, named, of, send, setup, urls};
use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Gate, Upstream, Webhook, eventually};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A port that belongs to this test and refuses connections.
fn refusing() -> (socket2::Socket, String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, format!("http://{address}"))
}

#[test]
fn requests_are_shared_by_weight_and_the_audit_line_names_the_endpoint() {
    let (light, heavy) = (named("light"), named("heavy"));
    let list = format!("[{:?}, {{ url = {:?}, weight = 3 }}]", light.url(), heavy.url());
    let gateway = crate::support::Setup::new("").upstream_text(&list).start();
    let answers = send(&gateway, "shared", 400);
    assert!(answers.iter().all(|(status, _)| *status == 200));
    let (light_got, heavy_got) = (light.requests().len(), heavy.requests().len());
    assert_eq!(light_got + heavy_got, 400);
    // 100 and 300 are expected; six standard deviations of a fair draw are 52.
    assert!((48..=152).contains(&light_got), "{light_got} and {heavy_got}");
    let lines = gateway.wait_for_audit_lines("none", 400);
    let by = |url: &str| lines.iter().filter(|line| line["upstream"] == url).count();
    assert_eq!((by(&light.url()), by(&heavy.url())), (light_got, heavy_got));
}

/// G01: a dead endpoint costs no webhook: nothing was sent to it, so the request is sent to another one; then the dead
/// one is ejected.
#[test]
fn a_dead_endpoint_costs_no_webhook() {
    let (_held, dead) = refusing();
    let alive = named("alive");
    let gateway = setup(&[dead.clone(), alive.url()], "ejection = { failures = 3 }").start();
    assert!(
        send(&gateway, "x", 40)
            .iter()
            .all(|answer| *answer == (200, "alive".into()))
    );
    assert_eq!(alive.requests().len(), 40, "a webhook was delivered twice");
    let passed_on = of(&gateway, "hookgate_upstream_passed_on_total", &dead);
    assert_eq!(passed_on, 3.0, "it is ejected after three failures");
    assert_eq!(of(&gateway, "hookgate_upstream_ejections_total", &dead), 1.0);
    assert_eq!(of(&gateway, "hookgate_upstream_up", &dead), 0.0);
    assert_eq!(of(&gateway, "hookgate_upstream_up", &alive.url()), 1.0);
    let states = gateway.metrics();
    let state = |state: &str| states.sum("hookgate_upstream_endpoints", &[("upstream", &dead), ("state", state)]);
    assert_eq!((state("up"), state("ejected")), (0.0, 1.0));
}

/// An ejected endpoint is tried again with one request when its ejection ends, and is used again once that succeeds.
#[test]
fn a_dead_endpoint_is_used_again_after_it_recovers() {
    let (held, dead) = refusing();
    let alive = named("alive");
    let settings = "ejection = { failures = 1, backoff = \"300ms\", backoff_limit = \"300ms\" }";
    let gateway = setup(&[dead.clone(), alive.url()], settings).start();
    let sent = std::cell::Cell::new(0);
    let next = || {
        sent.set(sent.get() + 1);
        send(&gateway, &format!("round {}", sent.get()), 1).remove(0)
    };
    eventually("several failed trials", || {
        assert_eq!(next(), (200, "alive".into()));
        (of(&gateway, "hookgate_upstream_ejections_total", &dead) >= 3.0).then_some(())
    });
    let address = dead.strip_prefix("http://").unwrap().to_owned();
    drop(held);
    let back = Upstream::at(&address, |_, connection| {
        connection.send(&answer("200 OK", &[], b"back"))
    });
    eventually("requests at the recovered endpoint", || {
        (next() == (200, "back".into())).then_some(())
    });
    assert_eq!(of(&gateway, "hookgate_upstream_up", &dead), 1.0);
    assert_eq!(
        back.requests().len() + alive.requests().len(),
        sent.get(),
        "a webhook was delivered twice or lost"
    );
}

/// When all endpoints are dead, each one is tried, the answer reports it, and the first that recovers is used
/// immediately, ejected or not.
#[test]
fn with_all_endpoints_dead_the_first_to_recover_is_used() {
    let (first, one) = refusing();
    let (_second, other) = refusing();
    let settings = "ejection = { failures = 1, backoff = \"1h\", backoff_limit = \"1h\" }";
    let gateway = setup(&[one.clone(), other.clone()], settings).start();
    for number in 0..3 {
        let response = gateway.exchange(&Webhook::new(format!("{number}")).bytes());
        assert_eq!(
            (response.status, response.reason().as_str()),
            (502, "upstream_unreachable")
        );
    }
    assert_eq!(of(&gateway, "hookgate_upstream_ejections_total", &one), 1.0);
    assert_eq!(of(&gateway, "hookgate_upstream_ejections_total", &other), 1.0);
    let line = gateway.wait_for_audit_lines("upstream_unreachable", 3).remove(0);
    assert!([&*one, &*other].contains(&line["upstream"].as_str().unwrap()), "{line}");
    let address = one.strip_prefix("http://").unwrap().to_owned();
    drop(first);
    let _back = Upstream::at(&address, |_, connection| {
        connection.send(&answer("200 OK", &[], b"back"))
    });
    // Ejected for an hour, but still used, because there is no other endpoint.
    assert_eq!(send(&gateway, "then", 5), vec![(200, "back".to_owned()); 5]);
}

/// G02: an endpoint that resets loses the request that was sent to it, because the request may have arrived; it is not
/// sent again, and the endpoint is soon ejected.
#[test]
fn a_request_that_was_reset_is_not_sent_again() {
    let (well, resetting) = (named("well"), Upstream::new(|_, _| AfterAnswer::Reset));
    let gateway = gateway(&[&well, &resetting], "ejection = { failures = 3 }");
    let answers = send(&gateway, "x", 60);
    let failed = answers.iter().filter(|(status, _)| *status == 502).count();
    assert_eq!(
        (failed, resetting.requests().len()),
        (3, 3),
        "one answer for one request"
    );
    assert_eq!(well.requests().len(), 57, "a webhook was sent twice");
    assert!(answers[answers.len() - 20..].iter().all(|(status, _)| *status == 200));
    // The retry of the failed webhook is accepted and delivered.
    let lost = answers.iter().position(|(status, _)| *status == 502).unwrap();
    let _ = send(&gateway, "retried", lost);
}

/// An answer 500 is relayed unchanged, and its endpoint is then ejected; an endpoint that answers 4xx is not.
#[test]
fn an_endpoint_that_answers_500_is_ejected_and_4xx_is_not() {
    let well = named("well");
    let broken = Upstream::answering(answer("500 Internal Server Error", &[], b"broken"));
    let picky = Upstream::answering(answer("422 Unprocessable Content", &[], b"picky"));
    let gateway = gateway(&[&well, &broken, &picky], "ejection = { failures = 4 }");
    let mut seen: BTreeMap<(u16, String), usize> = BTreeMap::new();
    for answer in send(&gateway, "x", 150) {
        *seen.entry(answer).or_default() += 1;
    }
    assert_eq!(seen[&(500, "broken".into())], 4);
    assert!(seen[&(422, "picky".into())] > 30, "{seen:?}");
    let ejected = |upstream: &Upstream| of(&gateway, "hookgate_upstream_ejections_total", &upstream.url());
    assert_eq!((ejected(&well), ejected(&broken), ejected(&picky)), (0.0, 1.0, 0.0));
}

/// G03: least requests in flight: a slow endpoint gets no more requests than it can hold.
#[test]
fn a_slow_endpoint_gets_fewer_requests() {
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Upstream::new(move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b"slow"))
    });
    let quick = named("quick");
    let gateway = gateway(&[&slow, &quick], "");
    std::thread::scope(|scope| {
        let hanging: Vec<_> = (0..4)
            .map(|number| {
                let gateway = &gateway;
                scope.spawn(move || send(gateway, &format!("{number}"), 20))
            })
            .collect();
        // Of two endpoints with equally many requests either may be chosen, and two workers may choose at the same
        // moment. At least one sender goes on, because no further request goes to the endpoint where more requests
        // wait.
        eventually("the share of the quick endpoint", || {
            (quick.requests().len() >= 20).then_some(())
        });
        assert!(slow.requests().len() <= 3, "{}", slow.requests().len());
        gate.open();
        for thread in hanging {
            assert!(thread.join().unwrap().iter().all(|(status, _)| *status == 200));
        }
    });
    assert_eq!(slow.requests().len() + quick.requests().len(), 80);
    gateway.wait_for_metric("hookgate_upstream_connections", &[("state", "active")], 0.0);
}

/// An endpoint that does not complete connections (a full backlog) costs a part of the connect timeout, but no webhook.
#[test]
fn an_endpoint_that_never_accepts_costs_no_webhook() {
    let (full, address) = refusing();
    full.listen(0).unwrap();
    let socket: SocketAddr = address.strip_prefix("http://").unwrap().parse().unwrap();
    let _filling: Vec<_> = (0..4)
        .map(|_| std::net::TcpStream::connect_timeout(&socket, Duration::from_millis(200)))
        .collect();
    let well = named("well");
    let settings = "connect_timeout = \"600ms\", ejection = { failures = 2 }";
    let gateway = setup(&[address.clone(), well.url()], settings).start();
    let begun = Instant::now();
    assert_eq!(send(&gateway, "x", 20), vec![(200, "well".to_owned()); 20]);
    assert_eq!(of(&gateway, "hookgate_upstream_passed_on_total", &address), 2.0);
    // Two halves of the connect timeout, and time for a loaded machine.
    assert!(begun.elapsed() >= Duration::from_millis(600));
}

/// An endpoint at its connection limit passes requests to the others; when all are at their limit the sender gets
/// `Retry-After`.
#[test]
fn an_endpoint_at_its_limit_passes_requests_on() {
    let gate = Gate::default();
    let upstreams: Vec<_> = (0..2)
        .map(|_| {
            let held = gate.clone();
            Upstream::new(move |_, connection| {
                held.pass();
                connection.send(&answer("200 OK", &[], b"at last"))
            })
        })
        .collect();
    let both: Vec<_> = upstreams.iter().collect();
    let gateway = gateway(&both, "max_connections = 2");
    let mut clients: Vec<_> = (0..4).map(|_| gateway.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&Webhook::new(format!("{number}")).bytes());
    }
    upstreams.iter().for_each(|upstream| drop(upstream.wait_for(2)));
    let response = gateway.exchange(&Webhook::new("one too many").bytes());
    assert_eq!((response.status, response.reason().as_str()), (503, "overloaded"));
    gate.open();
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    // Reaching the limit is not a failure.
    for url in urls(&both) {
        assert_eq!(of(&gateway, "hookgate_upstream_ejections_total", &url), 0.0);
        assert_eq!(of(&gateway, "hookgate_upstream_up", &url), 1.0);
    }
}

/// Endpoints that close after each answer: stale pooled connections are noticed with several endpoints as well.
#[test]
fn stale_connections_to_several_endpoints_lose_nothing() {
    let closing = || {
        Upstream::new(|_, connection| {
            connection.send(&answer("200 OK", &[], b"and goodbye"));
            AfterAnswer::Close
        })
    };
    let (one, other) = (closing(), closing());
    let gateway = gateway(&[&one, &other], "");
    for number in 0..40 {
        let response = gateway.exchange(&Webhook::new(format!("{number}")).bytes());
        assert_eq!(response.status, 200, "webhook {number}: {response:?}");
        eventually("the close by the endpoints", || {
            (one.open() + other.open() == 0).then_some(())
        });
    }
    assert_eq!(
        one.requests().len() + other.requests().len(),
        40,
        "a webhook was delivered twice"
    );
}
