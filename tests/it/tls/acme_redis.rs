//! Replicas that share account, certificate and lock in a real Redis: with its contents lost, with its lock held by a
//! process that is gone, and with the server's challenges spread over the replicas by a balancer.

use super::acme::{KEY, NAMES, connect, listener, orders, serves};
use crate::support::balancer::Balancer;
use crate::support::pebble::Pebble;
use crate::support::redis::{Redis, free_port};
use crate::support::redis_cluster::RedisCluster;
use crate::support::wait::within;
use crate::support::{Client, Gateway, Setup, Upstream, certificates, eventually};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const MONTH: u64 = 30 * 86_400;

/// A replica with these keys of `storage`.
fn replica(upstream: &Upstream, port: u16, acme: &str, storage: &str) -> Setup {
    let keys = format!("{acme}, storage = {storage}, keys = [{{ env = \"ACME_KEY\" }}]");
    Setup::new(&upstream.url())
        .more(&listener(port, &keys))
        .variable("ACME_KEY", KEY)
}

fn url(redis: &Redis) -> String {
    format!("{:?}", redis.url())
}

/// The key of this kind in Redis.
fn key(redis: &Redis, kind: &str) -> Option<String> {
    redis.keys().into_iter().find(|key| key.ends_with(kind))
}

/// The server reaches the replicas through a balancer, so that its checks of one name go to both of them: the one that
/// ordered, and the one that knows of the challenge from Redis only.
#[test]
fn either_replica_answers_both_challenges_and_both_serve_one_certificate() {
    for challenge in ["tls-alpn-01", "http-01"] {
        let (upstream, redis) = (Upstream::ok(), Redis::start());
        let ports = [free_port(), free_port()];
        let http = [free_port(), free_port()];
        let at = |ports: [u16; 2]| ports.map(|port| ([127, 0, 0, 1], port).into()).to_vec();
        let (tls_balancer, http_balancer) = (Balancer::new(at(ports)), Balancer::new(at(http)));
        let mut pebble = Pebble::stopped(tls_balancer.address().port(), http_balancer.address().port(), MONTH);
        let replicas = [0, 1].map(|number| {
            let mut acme = format!("{}, challenge = \"{challenge}\"", pebble.keys(&NAMES));
            if challenge == "http-01" {
                acme += &format!(", http = \"127.0.0.1:{}\"", http[number]);
            }
            replica(&upstream, ports[number], &acme, &url(&redis)).start()
        });
        pebble.start();
        let root = pebble.root();
        let served = [0, 1].map(|number| serves(&replicas[number], ports[number], NAMES[0], &root));
        assert_eq!(served[0], served[1]);
        assert_eq!(orders(&replicas[0], "ok") + orders(&replicas[1], "ok"), 1.0);
        assert_eq!(pebble.issued(), 1);
        if challenge == "tls-alpn-01" {
            for replica in &replicas {
                let labels = [("result", "acme")];
                eventually("a challenge at each replica", || {
                    let asked = replica.metrics().sum("hookgate_tls_handshakes_total", &labels);
                    (asked >= 1.0).then_some(())
                });
            }
        }
        for key in redis.keys().iter().filter(|key| !key.ends_with(":certificates")) {
            let value = redis.ask(&["GET", key]);
            assert!(!value.contains("PRIVATE KEY") && !value.contains("key_pkcs8"), "{key}");
        }
        assert_eq!(key(&redis, ".lock"), None, "it is given back after the order");
    }
}

/// Without Redis nothing is ordered, the process starts and is ready; a Redis that has lost everything gets the
/// certificate back from a process that has it, and costs no order.
#[test]
fn a_redis_that_is_gone_costs_no_order_and_no_handshake() {
    let (upstream, port) = (Upstream::ok(), free_port());
    let mut redis = Redis::prepared(&[]);
    let pebble = Pebble::new(port, free_port(), MONTH);
    let storage = url(&redis);
    let setup = |port| replica(&upstream, port, &pebble.keys(&NAMES), &storage);
    let gateway = setup(port).start();
    gateway.logs.wait_for("the fault of the storage", |line| {
        line.contains("the ACME storage cannot be used").then_some(())
    });
    assert_eq!((gateway.readiness(), pebble.issued()), (Some(200), 0));
    redis.run();
    let root = pebble.root();
    let certificate = serves(&gateway, port, NAMES[0], &root);

    redis.kill();
    eventually("the fault of the storage, again", || {
        (gateway.logs.text().matches("the ACME storage cannot be used").count() >= 2).then_some(())
    });
    assert_eq!(serves(&gateway, port, NAMES[0], &root), certificate);
    redis.run();
    gateway.logs.wait_for("the certificate to be stored again", |line| {
        line.contains("the storage had lost the certificate").then_some(())
    });
    drop(gateway);
    let other = free_port();
    let gateway = setup(other).start();
    let now = connect(other, NAMES[0], &root).expect("the certificate of Redis is there with the first handshake");
    assert_eq!(now.server_certificate(), certificate);
    assert_eq!((pebble.issued(), orders(&gateway, "ok")), (1, 0.0));
}

/// The lock of a process that is gone ends by itself; one that is taken during an order ends the order.
#[test]
fn the_lock_of_a_process_that_is_gone_ends_and_a_lost_lock_ends_the_order() {
    let (upstream, port, redis) = (Upstream::ok(), free_port(), Redis::start());
    let mut pebble = Pebble::stopped(port, free_port(), MONTH);
    let gateway = replica(&upstream, port, &pebble.keys(&NAMES), &url(&redis)).start();
    // The account's hash is in the name of every key.
    let state = eventually("the state of a failed order", || key(&redis, ".state"));
    let account = state.split(['{', '}']).nth(1).unwrap().to_owned();
    let lock = format!("hookgate:acme:{{{account}}}:{account}.lock");
    redis.ask(&["SET", &lock, "a process that is gone", "PX", "9000"]);
    pebble.start();
    within(Duration::from_secs(20), "the end of the lock", || {
        let exists = redis.ask(&["EXISTS", &lock]) == "1" && redis.ask(&["GET", &lock]).starts_with("a process");
        if exists {
            assert_eq!(pebble.issued(), 0, "another process has the lock");
        }
        (!exists).then_some(())
    });
    // The answers to challenges are published, and the server is told 2.5 seconds later.
    within(Duration::from_secs(60), "an order", || {
        key(&redis, ".challenges").filter(|key| redis.ask(&["GET", key]).contains("key_authorization"))
    });
    redis.ask(&["SET", &lock, "a process that took it", "PX", "9000"]);
    gateway.logs.wait_for("the end of the order", |line| {
        line.contains("another process has taken the lock").then_some(())
    });
    assert_eq!(key(&redis, ".certificate"), None);
    assert!(redis.ask(&["GET", &lock]).starts_with("a process") || redis.ask(&["EXISTS", &lock]) == "0");
    serves(&gateway, port, NAMES[0], &pebble.root());
}

/// Certificates of 24 seconds on two replicas: both take over each renewal, and no handshake fails.
#[test]
fn renewals_in_redis_reach_both_replicas_without_a_failed_handshake() {
    let (upstream, redis) = (Upstream::ok(), Redis::start());
    let ports = [free_port(), free_port()];
    let pebble = Pebble::new(ports[0], free_port(), 24);
    let replicas = ports.map(|port| replica(&upstream, port, &pebble.keys(&NAMES[..1]), &url(&redis)).start());
    let root = pebble.root();
    let first = serves(&replicas[0], ports[0], NAMES[0], &root);
    serves(&replicas[1], ports[1], NAMES[0], &root);
    let (stop, handshakes) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for port in ports {
            let (stop, handshakes) = (&stop, &handshakes);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let at = ([127, 0, 0, 1], port).into();
                    let client = Client::try_tls(at, NAMES[0], certificates::client_of_any());
                    assert!(client.is_ok(), "{:?}", client.err());
                    handshakes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let served = |port: u16| {
            let at = ([127, 0, 0, 1], port).into();
            let client = Client::try_tls(at, NAMES[0], certificates::client_of_any()).ok()?;
            Some(client.server_certificate())
        };
        let renewed = within(Duration::from_secs(60), "one renewal on both replicas", || {
            let one = served(ports[0]).filter(|now| *now != first)?;
            (served(ports[1])? == one).then_some(one)
        });
        stop.store(true, Ordering::Relaxed);
        assert_ne!(renewed, first);
    });
    assert!(handshakes.load(Ordering::Relaxed) > 20, "too little load");
    for replica in &replicas {
        let failed = replica
            .metrics()
            .sum("hookgate_tls_handshakes_total", &[("result", "failed")]);
        assert_eq!(failed, 0.0);
    }
}

/// A Redis Cluster and a password; and a key that does not fit is a fault at the start, in Redis as in a directory.
#[test]
fn a_cluster_and_a_password_work_and_another_key_is_a_fault() {
    let (upstream, port) = (Upstream::ok(), free_port());
    let pebble = Pebble::new(port, free_port(), MONTH);
    let cluster = RedisCluster::of_three(&[]);
    let nodes: Vec<String> = cluster.masters.iter().map(Redis::url).collect();
    let gateway = replica(
        &upstream,
        port,
        &pebble.keys(&NAMES),
        &format!("{{ redis = {nodes:?}, cluster = true, prefix = \"shop\" }}"),
    )
    .start();
    let certificate = serves(&gateway, port, NAMES[0], &pebble.root());
    let keys: Vec<String> = cluster.masters.iter().flat_map(Redis::keys).collect();
    assert!(
        keys.iter()
            .any(|key| key.starts_with("shop:acme:{") && key.ends_with(".certificate")),
        "{keys:?}"
    );
    drop(gateway);

    let mut redis = Redis::prepared(&[]).password("hunter2 of the store");
    redis.run();
    let storage = format!("{{ redis = {}, password = {{ env = \"STORE\" }} }}", url(&redis));
    let setup = |key: &str| {
        replica(&upstream, port, &pebble.keys(&NAMES), &storage)
            .variable("STORE", "hunter2 of the store")
            .variable("ACME_KEY", key)
    };
    let gateway = setup(KEY).start();
    assert_ne!(serves(&gateway, port, NAMES[0], &pebble.root()), certificate);
    drop(gateway);
    let other = setup("another key of the storage, long enough for it");
    other.write();
    let output = Gateway::command(&other, &[], None).output().unwrap();
    assert!(!output.status.success());
    let printed = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("was encrypted with another key"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
}
