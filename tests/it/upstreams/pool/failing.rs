//! Real upstreams of which one misbehaves.

use super::{gateway, named, of, send, setup, urls};
use crate::support::upstream::answer;
use crate::support::{Gate, Then, Upstream, Webhook, eventually};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A port that is ours and refuses connections.
fn refusing() -> (socket2::Socket, String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, format!("http://{address}"))
}

#[test]
fn requests_are_shared_by_weight_and_the_audit_line_says_by_whom() {
    let (light, heavy) = (named("light"), named("heavy"));
    let list = format!("[{:?}, {{ url = {:?}, weight = 3 }}]", light.url(), heavy.url());
    let gateway = crate::support::Setup::new("").upstream_text(&list).start();
    let answers = send(&gateway, "shared", 400);
    assert!(answers.iter().all(|(status, _)| *status == 200));
    let (light_got, heavy_got) = (light.requests().len(), heavy.requests().len());
    assert_eq!(light_got + heavy_got, 400);
    // 100 and 300 are expected; six standard deviations of a fair draw are 52.
    assert!((48..=152).contains(&light_got), "{light_got} and {heavy_got}");
    let lines = gateway.audited("none", 400);
    let by = |url: &str| lines.iter().filter(|line| line["upstream"] == url).count();
    assert_eq!((by(&light.url()), by(&heavy.url())), (light_got, heavy_got));
}

/// G01: a dead one costs no webhook: nothing of it was sent, so it goes elsewhere; then the dead one is left alone.
#[test]
fn one_dead() {
    let (_held, dead) = refusing();
    let alive = named("alive");
    let gateway = setup(&[dead.clone(), alive.url()], "ejection = { failures = 3 }").start();
    assert!(
        send(&gateway, "x", 40)
            .iter()
            .all(|answer| *answer == (200, "alive".into()))
    );
    assert_eq!(alive.requests().len(), 40, "none twice");
    let passed_on = of(&gateway, "hookgate_upstream_passed_on_total", &dead);
    assert_eq!(passed_on, 3.0, "after three failures it is left alone");
    assert_eq!(of(&gateway, "hookgate_upstream_ejections_total", &dead), 1.0);
    assert_eq!(of(&gateway, "hookgate_upstream_up", &dead), 0.0);
    assert_eq!(of(&gateway, "hookgate_upstream_up", &alive.url()), 1.0);
    let states = gateway.metrics();
    let state = |state: &str| states.sum("hookgate_upstream_endpoints", &[("upstream", &dead), ("state", state)]);
    assert_eq!((state("up"), state("ejected")), (0.0, 1.0));
}

/// What was ejected is tried again by one request when its time is over, and is back once that succeeds.
#[test]
fn one_dead_and_back() {
    let (held, dead) = refusing();
    let alive = named("alive");
    let settings = "ejection = { failures = 1, backoff = \"300ms\", backoff_limit = \"300ms\" }";
    let gateway = setup(&[dead.clone(), alive.url()], settings).start();
    let sent = std::cell::Cell::new(0);
    let next = || {
        sent.set(sent.get() + 1);
        send(&gateway, &format!("round {}", sent.get()), 1).remove(0)
    };
    eventually("several trials that fail", || {
        assert_eq!(next(), (200, "alive".into()));
        (of(&gateway, "hookgate_upstream_ejections_total", &dead) >= 3.0).then_some(())
    });
    let address = dead.strip_prefix("http://").unwrap().to_owned();
    drop(held);
    let back = Upstream::at(&address, |_, connection| {
        connection.say(&answer("200 OK", &[], b"back"))
    });
    eventually("the one that is back", || {
        (next() == (200, "back".into())).then_some(())
    });
    assert_eq!(of(&gateway, "hookgate_upstream_up", &dead), 1.0);
    assert_eq!(
        back.requests().len() + alive.requests().len(),
        sent.get(),
        "none twice, none lost"
    );
}

/// All are dead: every one is tried, the answer says so, and the first that is back is found at once, ejected or not.
#[test]
fn all_dead_is_a_panic_and_not_the_end() {
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
    let line = gateway.audited("upstream_unreachable", 3).remove(0);
    assert!([&*one, &*other].contains(&line["upstream"].as_str().unwrap()), "{line}");
    let address = one.strip_prefix("http://").unwrap().to_owned();
    drop(first);
    let _back = Upstream::at(&address, |_, connection| {
        connection.say(&answer("200 OK", &[], b"back"))
    });
    // Ejected for an hour, and yet: there is nobody else.
    assert_eq!(send(&gateway, "then", 5), vec![(200, "back".to_owned()); 5]);
}

/// G02: one that resets loses what was sent to it, because that may have arrived; it is not sent again, and soon avoided.
#[test]
fn one_resetting() {
    let (well, resetting) = (named("well"), Upstream::new(|_, _| Then::Reset));
    let gateway = gateway(&[&well, &resetting], "ejection = { failures = 3 }");
    let answers = send(&gateway, "x", 60);
    let failed = answers.iter().filter(|(status, _)| *status == 502).count();
    assert_eq!(
        (failed, resetting.requests().len()),
        (3, 3),
        "one answer for one request"
    );
    assert_eq!(well.requests().len(), 57, "none was sent twice");
    assert!(answers[answers.len() - 20..].iter().all(|(status, _)| *status == 200));
    // The retry of what failed is let in, and delivered.
    let lost = answers.iter().position(|(status, _)| *status == 502).unwrap();
    let _ = send(&gateway, "retried", lost);
}

/// One that answers 500 is passed on as it is, and then avoided; one that answers 4xx has judged, and is not.
#[test]
fn one_answering_500() {
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

/// G03: the fewest requests in flight: one that is slow gets no more than it can hold.
#[test]
fn one_slow() {
    let gate = Gate::default();
    let held = gate.clone();
    let slow = Upstream::new(move |_, connection| {
        held.pass();
        connection.say(&answer("200 OK", &[], b"slow"))
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
        // Of two with equally many requests either may be taken, and two workers may choose at the same moment; but
        // one sender goes on at the least, because nothing more goes where more hangs.
        eventually("the quick one's share", || (quick.requests().len() >= 20).then_some(()));
        assert!(slow.requests().len() <= 3, "{}", slow.requests().len());
        gate.open();
        for thread in hanging {
            assert!(thread.join().unwrap().iter().all(|(status, _)| *status == 200));
        }
    });
    assert_eq!(slow.requests().len() + quick.requests().len(), 80);
    gateway.counted("hookgate_upstream_connections", &[("state", "active")], 0.0);
}

/// One that swallows connections (a full backlog) costs a part of the connect timeout, and the webhook nothing.
#[test]
fn one_that_never_accepts() {
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
    // Two halves of the connect timeout; the rest is what a loaded machine takes.
    assert!(begun.elapsed() >= Duration::from_millis(600));
}

/// A bound of connections that is reached sends requests elsewhere; when all are full the sender is told to come back.
#[test]
fn full_ones_pass_on() {
    let gate = Gate::default();
    let upstreams: Vec<_> = (0..2)
        .map(|_| {
            let held = gate.clone();
            Upstream::new(move |_, connection| {
                held.pass();
                connection.say(&answer("200 OK", &[], b"at last"))
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
    // Being full is no failure.
    for url in urls(&both) {
        assert_eq!(of(&gateway, "hookgate_upstream_ejections_total", &url), 0.0);
        assert_eq!(of(&gateway, "hookgate_upstream_up", &url), 1.0);
    }
}

/// A server that closes behind its answers: stale pooled connections are noticed with several upstreams too.
#[test]
fn stale_connections_of_several() {
    let closing = || {
        Upstream::new(|_, connection| {
            connection.say(&answer("200 OK", &[], b"and goodbye"));
            Then::Close
        })
    };
    let (one, other) = (closing(), closing());
    let gateway = gateway(&[&one, &other], "");
    for number in 0..40 {
        let response = gateway.exchange(&Webhook::new(format!("{number}")).bytes());
        assert_eq!(response.status, 200, "webhook {number}: {response:?}");
        eventually("the close", || (one.open() + other.open() == 0).then_some(()));
    }
    assert_eq!(one.requests().len() + other.requests().len(), 40, "none twice");
}
