//! The replay guard in a real Redis Cluster: claims whose keys are on several nodes, slots that move, and nodes that
//! die.

use crate::support::certificates::Certificate;
use crate::support::paddle::{SECRET, now};
use crate::support::redis::Redis;
use crate::support::redis_cluster::RedisCluster;
use crate::support::upstream::answer;
use crate::support::wait::{WAIT_TIMEOUT, within};
use crate::support::{Gateway, Setup, Upstream, Webhook, eventually};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A replica that deduplicates, so that a claim has two keys.
fn replica(upstream: &Upstream, cluster: &RedisCluster) -> Setup {
    Setup::new(&upstream.url())
        .replay(&format!("store = {}\ncluster = true\ntimeout = \"5s\"", cluster.urls()))
        .route("dedupe = {}")
}

fn event(number: usize, ts: u64) -> Vec<u8> {
    Webhook::signed(format!("{{\"event_id\":\"evt_{number}\"}}"), SECRET, ts).bytes()
}

/// E04, E10 over a cluster: each webhook is delivered once over all replicas, and a repetition has the same reason as
/// with a single server.
#[test]
fn a_cluster_delivers_once_over_all_replicas() {
    let (upstream, cluster) = (Upstream::ok(), RedisCluster::of_six());
    let replicas = [0, 1].map(|_| replica(&upstream, &cluster).start());
    let start = now();
    for number in 0..20 {
        assert_eq!(replicas[number % 2].exchange(&event(number, start)).status, 200);
    }
    cluster.holds(&["1"; 40]);
    assert!(
        cluster.masters.iter().all(|node| !node.keys().is_empty()),
        "keys are on every master"
    );
    for number in 0..20 {
        let again = replicas[(number + 1) % 2].exchange(&event(number, start));
        assert_eq!((again.status, again.reason().as_str()), (409, "replayed"));
    }
    // Signed again: its request key is new, and its delivery is known.
    let repeated = replicas[0].exchange(&event(3, start - 1));
    assert_eq!((repeated.status, repeated.body.as_slice()), (200, &b""[..]));
    replicas[0].wait_for_metric("hookgate_requests_total", &[("reason", "duplicate")], 1.0);
    cluster.holds(&["1"; 40]);
    assert_eq!(upstream.requests().len(), 20);
    replicas[0].wait_for_metric("hookgate_replay_store_errors_total", &[], 0.0);
}

/// The delivery's key is claimed, then the request's key is refused: the delivery's key is released.
#[test]
fn a_claim_that_is_refused_in_part_is_released() {
    let (upstream, cluster) = (Upstream::ok(), RedisCluster::of_three(&[]));
    let gateway = replica(&upstream, &cluster).start();
    let webhook = event(1, now());
    assert_eq!(gateway.exchange(&webhook).status, 200);
    cluster.holds(&["1", "1"]);
    // The key of a delivery is remembered longer than that of a request.
    let keys = cluster
        .masters
        .iter()
        .flat_map(|node| node.keys().into_iter().map(move |key| (node, key)));
    let (node, key) = keys
        .max_by_key(|(node, key)| node.ask(&["PTTL", key]).parse::<u64>().unwrap())
        .unwrap();
    node.ask(&["DEL", &key]);
    assert_eq!(gateway.exchange(&webhook).reason(), "replayed");
    cluster.holds(&["1"]);
}

/// E05 in a cluster: a webhook that the application refused is accepted again by every replica.
#[test]
fn a_failed_delivery_is_released_on_every_node() {
    let script = ["500 Internal Server Error", "200 OK"];
    let upstream = Upstream::new(move |request, connection| connection.send(&answer(script[request.index], &[], b"")));
    let cluster = RedisCluster::of_three(&[]);
    let gateway = replica(&upstream, &cluster).start();
    let webhook = event(1, now());
    assert_eq!(gateway.exchange(&webhook).status, 500);
    cluster.holds(&[]);
    assert_eq!(gateway.exchange(&webhook).status, 200);
    cluster.holds(&["1", "1"]);
}

/// A replica dies between the two calls of a claim: the key that it has claimed blocks the webhook only until its lease
/// ends.
#[test]
fn a_crash_between_two_keys_ends_with_the_lease() {
    let (upstream, cluster, single) = (Upstream::ok(), RedisCluster::of_three(&[]), Redis::start());
    // A single server shows under which names a webhook is claimed; the names do not depend on the server.
    let probe = Setup::new(&upstream.url())
        .replay(&format!("store = {:?}\ntimeout = \"5s\"", single.url()))
        .route("dedupe = {}")
        .start();
    let start = now();
    let (webhook, paused) = (0..)
        .find_map(|number| {
            single.ask(&["FLUSHALL"]);
            let webhook = event(number, start);
            assert_eq!(probe.exchange(&webhook).status, 200);
            single.holds(&["1", "1"]);
            let mut keys = single.keys();
            keys.sort_by_key(|key| single.ask(&["PTTL", key]).parse::<u64>().unwrap());
            let [request, delivery] = [0, 1].map(|at| RedisCluster::first_owner(cluster.slot(&keys[at])));
            (request != delivery).then_some((webhook, request))
        })
        .unwrap();
    let delivered = upstream.requests().len();
    let start = || {
        replica(&upstream, &cluster)
            .upstream("timeout = \"1s\", connect_timeout = \"100ms\"")
            .start()
    };
    let (dying, other) = (start(), start());
    cluster.masters[paused].signal(Signal::STOP);
    let mut client = dying.connect();
    client.send(&webhook);
    let claimed = || {
        let others = cluster
            .masters
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != paused);
        others.map(|(_, node)| node.keys().len()).sum::<usize>()
    };
    eventually("the claim of the first key", || (claimed() == 1).then_some(()));
    dying.signal(Signal::KILL);
    cluster.masters[paused].signal(Signal::CONT);
    cluster.wait_until_it_is_ok();
    within(WAIT_TIMEOUT * 2, "the end of the lease", || {
        let answer = other.exchange(&webhook);
        assert!([200, 409, 503].contains(&answer.status), "{}", answer.status);
        (answer.status == 200).then_some(())
    });
    assert_eq!(upstream.requests().len(), delivered + 1);
}

/// E13 in a cluster: slots move and a master is killed while webhooks arrive. Senders retry what was refused. Every
/// webhook is delivered, and each once.
#[test]
fn a_cluster_under_load_survives_moved_slots_and_a_dead_master() {
    const SENDERS: usize = 4;
    let delivered: Arc<Mutex<BTreeMap<Vec<u8>, usize>>> = Arc::default();
    let counts = Arc::clone(&delivered);
    let upstream = Upstream::new(move |request, connection| {
        *counts.lock().unwrap().entry(request.body.clone()).or_default() += 1;
        connection.send(&answer("200 OK", &[], b""))
    });
    let mut cluster = RedisCluster::of_six();
    let replicas = [0, 1].map(|_| replica(&upstream, &cluster).start());
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let (replicas, stop) = (&replicas, &stop);
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| scope.spawn(move || send_until(stop, replicas, sender)))
            .collect();
        let progress = |what: &str| {
            let before = delivered.lock().unwrap().len();
            within(WAIT_TIMEOUT * 4, what, || {
                (delivered.lock().unwrap().len() > before + 40).then_some(())
            });
        };
        progress("deliveries before the faults");
        for slot in (0..1000).step_by(20) {
            cluster.move_slot(slot, 1);
        }
        progress("deliveries after slots have moved");
        cluster.masters[2].kill();
        within(WAIT_TIMEOUT * 4, "the promotion of the dead master's replica", || {
            cluster.replicas[2].ask(&["ROLE"]).starts_with("master").then_some(())
        });
        progress("deliveries after the death of a master");
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).sum::<usize>()
    });
    let delivered = delivered.lock().unwrap();
    assert_eq!(delivered.len(), sent);
    let twice = delivered.iter().filter(|(_, times)| **times > 1).count();
    assert_eq!(twice, 0, "of {sent} webhooks {twice} were delivered more than once");
    for gateway in &replicas {
        eventually("readiness", || (gateway.readiness() == Some(200)).then_some(()));
    }
}

/// Sends webhooks, each until it is accepted, and returns how many.
fn send_until(stop: &AtomicBool, replicas: &[Gateway], sender: usize) -> usize {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let number = sender * 1_000_000 + sent;
        within(WAIT_TIMEOUT * 4, "a webhook to be accepted", || {
            // Senders sign a retry again.
            let answer = replicas[(sender + sent) % 2].exchange(&event(number, now()));
            assert!([200, 409, 503].contains(&answer.status), "{}", answer.status);
            (answer.status == 200).then_some(())
        });
        sent += 1;
    }
    sent
}

/// E11 in a cluster without replicas: when a master is dead the cluster is down, and webhooks are refused until it is
/// back.
#[test]
fn a_cluster_without_a_master_for_some_slots_refuses() {
    let (upstream, mut cluster) = (Upstream::ok(), RedisCluster::of_three(&[]));
    let gateway = replica(&upstream, &cluster).replay("prefix = \"shop\"").start();
    assert_eq!(gateway.exchange(&event(0, now())).status, 200);
    cluster.masters[2].kill();
    eventually("a refusal for every slot", || {
        (gateway.readiness() == Some(503)).then_some(())
    });
    let refused = gateway.exchange(&event(1, now()));
    assert_eq!((refused.status, refused.reason().as_str()), (503, "replay_store_down"));
    // The nodes that are left accept a new connection, which does not make the replica ready again.
    gateway.logs.wait_for("an attempt to connect again", |line| {
        line.contains("the replay store cannot be reached").then_some(())
    });
    let connected = gateway.logs.text().matches("connected to the replay store").count();
    assert_eq!((connected, gateway.readiness()), (1, Some(503)));
    cluster.masters[2].run();
    let mut number = 1;
    within(WAIT_TIMEOUT * 2, "a delivery after the fault", || {
        number += 1;
        (gateway.exchange(&event(number, now())).status == 200).then_some(())
    });
}

/// TLS with a private root and a password, on every node that the client finds.
#[test]
fn a_cluster_works_over_tls_with_a_password() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    Certificate::new(&["localhost", "127.0.0.1"]).write(directory.path(), "redis");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let (certificate, key) = (at("redis.crt"), at("redis.key"));
    let cluster = RedisCluster::of_three(&[
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
        // Nodes tell each other their TLS ports only if they use TLS among themselves.
        "--tls-cluster",
        "yes",
        "--tls-ca-cert-file",
        &certificate,
    ]);
    for node in &cluster.masters {
        node.ask(&["ACL", "SETUSER", "gate", "on", ">canary password", "~*", "+@all"]);
    }
    let port = cluster.masters[0]
        .ask(&["CONFIG", "GET", "tls-port"])
        .lines()
        .last()
        .unwrap()
        .to_owned();
    let gateway = Setup::new(&upstream.url())
        .replay(&format!(
            "store = \"rediss://127.0.0.1:{port}\"\ncluster = true\nca = {certificate:?}\nuser = \"gate\"\n\
             password = {{ env = \"STORE_PASSWORD\" }}\ntimeout = \"5s\""
        ))
        .route("dedupe = {}")
        .variable("STORE_PASSWORD", "canary password")
        .start();
    let start = now();
    for number in 0..6 {
        assert_eq!(gateway.exchange(&event(number, start)).status, 200);
    }
    cluster.holds(&["1"; 12]);
    for number in 0..6 {
        assert_eq!(gateway.exchange(&event(number, start)).reason(), "replayed");
    }
    assert!(!gateway.logs.text().contains("canary"), "{}", gateway.logs.text());
}
