//! A shared store that fails in every way that a real server does: what is decided without it, how fast, and that no
//! webhook is lost.

use crate::replay::store::replica;
use crate::support::redis::{Namespace, Redis, Sentinel, also_on_valkey};
use crate::support::upstream::answer;
use crate::support::wait::{WAIT_TIMEOUT, within};
use crate::support::{Gate, Gateway, Setup, Upstream, Webhook, eventually};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Sends fresh webhooks until one is delivered.
fn wait_for_recovery(gateway: &Gateway) {
    let mut number = 0;
    within(WAIT_TIMEOUT * 2, "a delivery after the fault", || {
        number += 1;
        let webhook = Webhook::new(format!("after the fault {number}"));
        (gateway.exchange(&webhook.bytes()).status == 200).then_some(())
    });
    eventually("readiness", || (gateway.readiness() == Some(200)).then_some(()));
}

/// Asserts the refusal for a failed store.
fn assert_store_down(gateway: &Gateway, body: &str) {
    let refused = gateway.exchange(&Webhook::new(body).bytes());
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (503, "replay_store_down"),
        "{body}"
    );
    assert!(refused.header("Retry-After").is_some());
}

/// E11, killed: webhooks are refused and the fault is logged; service resumes as soon as the server is back, although
/// it is empty.
#[test]
fn a_killed_store_refuses_until_it_is_back() {
    let (upstream, mut redis) = (Upstream::ok(), Redis::start());
    let gateway = replica(&upstream, &redis).start();
    let before = Webhook::new("before").bytes();
    assert_eq!(gateway.exchange(&before).status, 200);
    redis.holds(&["1"]);
    redis.kill();
    assert_store_down(&gateway, "without a store");
    let ready = gateway.ask("/readyz");
    assert_eq!(
        (ready.status, ready.body.as_slice()),
        (503, &b"ready\nreplay store down\n"[..])
    );
    gateway.wait_for_metric("hookgate_replay_store_up", &[], 0.0);
    gateway.wait_for_metric("hookgate_requests_total", &[("reason", "replay_store_down")], 1.0);
    assert!(gateway.metrics().sum("hookgate_replay_store_errors_total", &[]) >= 1.0);
    // The store is down for longer than the timeout: no request waits for it.
    eventually("immediate refusals", || {
        let started = Instant::now();
        assert_store_down(&gateway, "at once");
        (started.elapsed() < Duration::from_secs(2)).then_some(())
    });
    assert_eq!(upstream.requests().len(), 1);
    redis.run();
    wait_for_recovery(&gateway);
    // Webhooks whose keys the server has lost can be replayed while their timestamp is fresh; docs/security.md
    // documents this.
    eventually("every worker to be connected", || {
        (gateway.exchange(&before).status == 200).then_some(())
    });
    gateway.logs.wait_for("the loss in the log", |line| {
        line.contains("connection is lost").then_some(())
    });
}

/// E11, absent at the start: the gateway starts, is not ready, and becomes ready by itself.
#[test]
fn readiness_waits_for_an_absent_store() {
    let upstream = Upstream::ok();
    let mut redis = Redis::prepared(&[]);
    let gateway = replica(&upstream, &redis).expecting_readiness(503).start();
    eventually("a refusal", || {
        (gateway.exchange(&Webhook::new("early").bytes()).status == 503).then_some(())
    });
    upstream.assert_untouched();
    redis.run();
    wait_for_recovery(&gateway);
}

/// E11, accepted: requests are forwarded, guarded by this replica's memory only, counted and marked in the audit line;
/// the replica stays ready.
#[test]
fn requests_are_accepted_without_the_store_where_configured() {
    let (upstream, mut redis) = (Upstream::ok(), Redis::start());
    let gateway = replica(&upstream, &redis)
        .replay("on_store_failure = \"accept\"")
        .start();
    assert_eq!(gateway.exchange(&Webhook::new("with").bytes()).status, 200);
    redis.kill();
    let webhook = Webhook::new("without").bytes();
    assert_eq!(gateway.exchange(&webhook).status, 200);
    assert_eq!(
        gateway.exchange(&webhook).reason(),
        "replayed",
        "this replica's memory refuses the replay"
    );
    gateway.wait_for_metric("hookgate_replay_store_fallbacks_total", &[], 2.0);
    gateway.wait_for_metric("hookgate_replay_keys", &[], 1.0);
    let ready = gateway.ask("/readyz");
    assert_eq!(ready.status, 200);
    assert_eq!(
        ready.body,
        b"ready\nreplay store down, requests are accepted without it\n"
    );
    let lines = gateway.wait_for_audit_lines("none", 2);
    assert_eq!(lines[0].get("replay_store"), None);
    assert_eq!(lines[1]["replay_store"], "failed");
    redis.run();
    wait_for_recovery(&gateway);
    assert_eq!(
        upstream
            .requests()
            .iter()
            .filter(|request| request.body == b"without")
            .count(),
        1
    );
}

/// E11, paused: decided within the timeout; when the server continues, the timed-out claims block nothing.
#[test]
fn a_paused_store_is_bounded_by_the_timeout() {
    let (upstream, redis) = (Upstream::ok(), Redis::start());
    let gateway = Setup::new(&upstream.url())
        .replay(&format!("store = {:?}\ntimeout = \"300ms\"", redis.url()))
        .start();
    wait_for_recovery(&gateway);
    let delivered = upstream.requests().len();
    redis.signal(Signal::STOP);
    let webhook = Webhook::new("during the pause").bytes();
    for _ in 0..5 {
        let refused = gateway.exchange(&webhook);
        assert_eq!((refused.status, refused.reason().as_str()), (503, "replay_store_down"));
    }
    // Without a limit the first requests would still wait for the store; with it, each took a short time.
    eventually("the store to be marked as down", || {
        (gateway.readiness() == Some(503)).then_some(())
    });
    assert_eq!(upstream.requests().len(), delivered);
    redis.signal(Signal::CONT);
    wait_for_recovery(&gateway);
    eventually("the delivery of the webhook that timed out", || {
        (gateway.exchange(&webhook).status == 200).then_some(())
    });
    eventually("the commit of the claim", || {
        let again = gateway.exchange(&webhook);
        assert_eq!(again.status, 409);
        (again.reason() == "replayed").then_some(())
    });
}

/// E11, slow: an answer that comes too late counts as no answer, and one that comes in time counts.
#[test]
fn a_late_answer_of_the_store_counts_as_none() {
    let (upstream, redis) = (Upstream::ok(), Redis::start());
    let with_long_timeout = replica(&upstream, &redis).start();
    let with_short_timeout = Setup::new(&upstream.url())
        .replay(&format!("store = {:?}\ntimeout = \"100ms\"", redis.url()))
        .start();
    wait_for_recovery(&with_short_timeout);
    let mut number = 0;
    // The server may read the webhook's claim before the command to sleep.
    let (webhook, sleeping) = eventually("a claim that was answered too late", || {
        number += 1;
        let webhook = Webhook::new(format!("slowly {number}")).bytes();
        let sleeping = redis.send(&["DEBUG", "SLEEP", "1"]);
        let refused = with_short_timeout.exchange(&webhook);
        (refused.status == 503 && refused.reason() == "replay_store_down").then_some((webhook, sleeping))
    });
    assert_eq!(with_long_timeout.exchange(&Webhook::new("in time").bytes()).status, 200);
    drop(sleeping);
    // The claim that was answered too late has been released in the background.
    eventually("the delivery of the webhook that timed out", || {
        (with_short_timeout.exchange(&webhook).status == 200).then_some(())
    });
    let body = format!("slowly {number}").into_bytes();
    let delivered = upstream.requests();
    assert_eq!(delivered.iter().filter(|request| request.body == body).count(), 1);
}

/// E11, the wrong password: refused, explained once in the log, and the password is not written anywhere.
#[test]
fn a_wrong_store_password_refuses_and_stays_secret() {
    let upstream = Upstream::ok();
    let mut redis = Redis::prepared(&[]).password("the right one");
    redis.run();
    let with = |password: &str, status| {
        replica(&upstream, &redis)
            .replay("password = { env = \"STORE_PASSWORD\" }")
            .variable("STORE_PASSWORD", password)
            .expecting_readiness(status)
            .start()
    };
    let gateway = with("canary-wrong-one", 503);
    eventually("a refusal", || {
        (gateway.exchange(&Webhook::new("1").bytes()).status == 503).then_some(())
    });
    gateway
        .logs
        .wait_for("the reason", |line| line.contains("WRONGPASS").then_some(()));
    assert!(!gateway.logs.text().contains("canary"));
    upstream.assert_untouched();
    assert_eq!(
        with("the right one", 200).exchange(&Webhook::new("2").bytes()).status,
        200
    );
}

/// E11, out of memory with `noeviction`: no claim, so no delivery; but the commit of a delivered webhook is still
/// stored.
#[test]
fn a_store_out_of_memory_refuses_claims() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |request, connection| {
        if request.body == b"held" {
            held.pass();
        }
        connection.send(&answer("200 OK", &[], b"done"))
    });
    let redis = Redis::start();
    let gateway = replica(&upstream, &redis).start();
    let webhook = Webhook::new("held").bytes();
    let mut client = gateway.connect();
    client.send(&webhook);
    upstream.wait_for(1);
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_store_down(&gateway, "no room");
    let full = [("operation", "claim"), ("result", "out_of_memory")];
    gateway.wait_for_metric("hookgate_replay_store_operations_total", &full, 1.0);
    gate.open();
    assert_eq!(client.response().status, 200);
    redis.holds(&["1"]);
    assert_eq!(upstream.requests().len(), 1);
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    wait_for_recovery(&gateway);
    assert_eq!(gateway.exchange(&webhook).reason(), "replayed");
}

/// E12: a server that evicts keys when memory is short is reported at the start, and by a gauge.
#[test]
fn an_evicting_store_is_reported() {
    let upstream = Upstream::ok();
    let redis = Redis::with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let gateway = replica(&upstream, &redis).start();
    gateway
        .logs
        .wait_for("the warning", |line| line.contains("allkeys-lru").then_some(()));
    gateway.wait_for_metric("hookgate_replay_store_evicts", &[], 1.0);
    let refusing = Redis::with(&["--maxmemory", "100mb"]);
    let careful = replica(&upstream, &refusing).start();
    assert_eq!(careful.exchange(&Webhook::new("1").bytes()).status, 200);
    careful.wait_for_metric("hookgate_replay_store_evicts", &[], 0.0);
}

/// E13: the master dies and Sentinel promotes its replica: hookgate follows by itself, and webhooks that the replica
/// knows are still refused.
#[test]
fn a_sentinel_failover_is_followed() {
    let (upstream, mut master) = (Upstream::ok(), Redis::start());
    let replica = Redis::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let sentinel = Sentinel::of(&master);
    let gateway = Setup::new(&upstream.url())
        .replay(&format!(
            "store = [\"redis://127.0.0.1:1\", \"redis://127.0.0.1:{}\"]\nsentinel = \"hooks\"\ntimeout = \"5s\"",
            sentinel.port
        ))
        .start();
    let webhook = Webhook::new("before").bytes();
    assert_eq!(gateway.exchange(&webhook).status, 200);
    replica.holds(&["1"]);
    master.kill();
    wait_for_recovery(&gateway);
    eventually("the replay refused by every worker", || {
        let again = gateway.exchange(&webhook);
        assert_ne!(again.status, 200);
        (again.reason() == "replayed").then_some(())
    });
    replica.ask(&["PING"]);
    assert!(replica.ask(&["ROLE"]).starts_with("master"));
}

/// E13 without Sentinel: of several addresses the master is used, and another one once it is promoted; a server that
/// has become a replica (READONLY) is left.
#[test]
fn a_manual_failover_is_followed() {
    let (upstream, first) = (Upstream::ok(), Redis::start());
    let second = Redis::with(&["--replicaof", &format!("127.0.0.1 {}", first.port)]);
    let gateway = Setup::new(&upstream.url())
        .replay(&format!(
            "store = [{:?}, {:?}]\ntimeout = \"5s\"",
            second.url(),
            first.url()
        ))
        .start();
    let webhook = Webhook::new("before").bytes();
    assert_eq!(gateway.exchange(&webhook).status, 200);
    second.holds(&["1"]);
    second.ask(&["REPLICAOF", "NO", "ONE"]);
    first.ask(&["REPLICAOF", "127.0.0.1", &second.port.to_string()]);
    wait_for_recovery(&gateway);
    // Each worker has a connection of its own and follows by itself.
    eventually("the replay refused by every worker", || {
        let again = gateway.exchange(&webhook);
        assert_ne!(again.status, 200);
        (again.reason() == "replayed").then_some(())
    });
    let refused = [("result", "not_master")];
    assert!(
        gateway
            .metrics()
            .sum("hookgate_replay_store_operations_total", &refused)
            >= 1.0
    );
    assert!(second.calls("evalsha") > 0);
}

/// E11, a cut network cable: packets are lost without an error; decided within the timeout nevertheless.
#[test]
fn a_cut_network_is_bounded_by_the_timeout() {
    let upstream = Upstream::ok();
    let namespace = Namespace::new();
    let mut redis = Redis::prepared(&[]).in_namespace(&namespace.name, &namespace.host);
    redis.run();
    let gateway = Setup::new(&upstream.url())
        .replay(&format!("store = {:?}\ntimeout = \"300ms\"", redis.url()))
        .start();
    wait_for_recovery(&gateway);
    let delivered = upstream.requests().len();
    namespace.cable("down");
    for number in 0..5 {
        assert_store_down(&gateway, &format!("cut {number}"));
    }
    eventually("the store to be marked as down", || {
        (gateway.readiness() == Some(503)).then_some(())
    });
    assert_eq!(upstream.requests().len(), delivered);
    namespace.cable("up");
    wait_for_recovery(&gateway);
}

also_on_valkey!(
    a_killed_store_refuses_until_it_is_back,
    readiness_waits_for_an_absent_store,
    requests_are_accepted_without_the_store_where_configured,
    a_paused_store_is_bounded_by_the_timeout,
    a_late_answer_of_the_store_counts_as_none,
    a_wrong_store_password_refuses_and_stays_secret,
    a_store_out_of_memory_refuses_claims,
    an_evicting_store_is_reported,
    a_manual_failover_is_followed,
);
