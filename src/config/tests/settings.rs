//! The settings of valid configurations.

use super::Fixture;
use crate::settings::{Address, Audit, Ejection, HealthCheck, LogFormat, ReadyWhen, TlsVersion, UpstreamTarget};
use hyper::{Method, StatusCode};
use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The ten-line file of the README, with its paths replaced.
#[test]
fn the_smallest_useful_file_has_every_default() {
    let fixture = Fixture::new(
        r#"
[listen]
address = "0.0.0.0:8443"
tls = { certificate = "DIR/tls.crt", key = "DIR/tls.key" }

[admin]
address = "127.0.0.1:9464"

[[route]]
path = "/webhooks/paddle"
provider = "paddle"
secrets = [{ env = "PADDLE_WEBHOOK_SECRET" }]
upstream = "http://127.0.0.1:8000"
"#,
    );
    let config = fixture.config();
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.admin.address, Some("127.0.0.1:9464".parse().unwrap()));
    assert!(config.workers >= 1);

    let limits = &config.limits;
    assert_eq!(
        (limits.connections, limits.headers, limits.http2_streams),
        (10_000, 100, 32)
    );
    assert_eq!((limits.min_body_rate, limits.per_source), (240, None));
    assert_eq!((limits.in_flight_bytes, limits.head_bytes), (64 << 20, 32 << 10));
    assert_eq!(
        (limits.handshake_timeout, limits.head_timeout),
        (seconds(10), seconds(10))
    );
    assert_eq!((limits.idle_timeout, limits.write_timeout), (seconds(75), seconds(30)));
    assert_eq!((config.drain.delay, config.drain.grace), (Duration::ZERO, seconds(25)));
    assert_eq!(config.replay.capacity, 1_000_000);
    assert_eq!((config.log.format, config.log.audit), (LogFormat::Json, Audit::All));

    let [listener] = &config.listeners[..] else {
        panic!("{:?}", config.listeners)
    };
    assert_eq!(listener.name, "0.0.0.0:8443");
    assert_eq!(listener.address, Address::Tcp("0.0.0.0:8443".parse().unwrap()));
    assert_eq!(listener.tls.as_ref().unwrap().minimum, TlsVersion::Tls12);
    assert!(listener.trusted_proxies.is_empty());
    assert!(!listener.proxy_protocol);

    let [route] = &config.routes[..] else {
        panic!("{:?}", config.routes)
    };
    assert_eq!(
        (route.name.as_str(), &route.host, route.path.as_str()),
        ("/webhooks/paddle", &None, "/webhooks/paddle")
    );
    assert_eq!(route.methods, [Method::POST]);
    assert_eq!(
        (route.tolerance, route.replay.window, route.replay.acknowledge),
        (Some(seconds(5)), None, false)
    );
    assert_eq!((route.body_limit, route.body_timeout), (1 << 20, seconds(10)));
    assert_eq!(
        (route.reject_status, route.refusal_detail, route.report_only()),
        (StatusCode::UNAUTHORIZED, true, false)
    );
    assert_eq!(route.verifier.key_names(), ["PADDLE_WEBHOOK_SECRET"]);

    let upstream = &route.upstream;
    assert_eq!(
        upstream.servers[0].target,
        UpstreamTarget::Tcp {
            host: "127.0.0.1".into(),
            port: 8000
        }
    );
    assert_eq!((upstream.connect_timeout, upstream.timeout), (seconds(2), seconds(30)));
    assert_eq!((upstream.resolve_interval, &upstream.health_check), (seconds(5), &None));
    assert_eq!(config.admin.readiness, ReadyWhen::Serving);
}

/// Every way to write several servers.
#[test]
fn several_servers_can_be_written_as_texts_and_tables() {
    let servers = |upstream: &str| {
        let fixture = Fixture::minimal("", "").option("route.0.upstream", upstream);
        let upstream = fixture.config().routes.remove(0).upstream;
        let servers = upstream.servers.iter();
        servers
            .map(|server| (server.target.to_string(), server.weight))
            .collect::<Vec<_>>()
    };
    let (a, b) = (String::from("http://127.0.0.1:1"), String::from("unix:/run/b.sock"));
    for upstream in [
        r#"["http://127.0.0.1:1", "unix:/run/b.sock"]"#,
        r#"["http://127.0.0.1:1", { url = "unix:/run/b.sock" }]"#,
        r#"{ url = ["http://127.0.0.1:1", "unix:/run/b.sock"] }"#,
        r#"{ url = ["http://127.0.0.1:1", { url = "unix:/run/b.sock", weight = 1 }] }"#,
    ] {
        assert_eq!(servers(upstream), [(a.clone(), 1), (b.clone(), 1)], "{upstream}");
    }
    for upstream in [
        r#"["http://127.0.0.1:1", { url = "unix:/run/b.sock", weight = 3 }]"#,
        r#"{ url = ["http://127.0.0.1:1", { url = "unix:/run/b.sock", weight = "3" }] }"#,
    ] {
        assert_eq!(servers(upstream), [(a.clone(), 1), (b.clone(), 3)], "{upstream}");
    }
    assert_eq!(servers(r#"["http://127.0.0.1:1"]"#), [(a, 1)]);
}

#[test]
fn every_key_of_an_upstream_with_several_servers_has_its_effect() {
    let upstream = r#"{
        url = ["https://a.internal/base", "https://b.internal/base"],
        ca = "tls.crt",
        resolve_interval = "1s",
        ejection = { failures = 2, backoff = "3s", backoff_limit = "4s", panic_below = 50 },
        health_check = { path = "/healthz?full=1", interval = "6s", timeout = "7s", unhealthy_after = 8, healthy_after = 9 },
    }"#;
    let fixture = Fixture::minimal("", "")
        .option("route.0.upstream", &upstream.replace('\n', " "))
        .option("admin.readiness", "upstream");
    let config = fixture.config();
    let upstream = &config.routes[0].upstream;
    assert_eq!(
        (upstream.base_path.as_str(), upstream.resolve_interval),
        ("/base", seconds(1))
    );
    assert_eq!(
        upstream.ejection,
        Ejection {
            failures: 2,
            backoff: seconds(3),
            backoff_limit: seconds(4),
            panic_below: 50
        }
    );
    assert_eq!(
        upstream.health_check,
        Some(HealthCheck {
            path: "/healthz?full=1".into(),
            interval: seconds(6),
            timeout: seconds(7),
            unhealthy_after: 8,
            healthy_after: 9
        })
    );
    // All servers have the same root certificates.
    for server in &upstream.servers {
        assert!(matches!(&server.target, UpstreamTarget::Tls { ca: Some(ca), .. } if ca.ends_with("tls.crt")));
    }
    assert_eq!(config.admin.readiness, ReadyWhen::Upstream);
}

#[test]
fn every_key_has_its_effect() {
    let fixture = Fixture::new(
        r#"
workers = 3

[[listen]]
name = "public"
address = "[::]:8443"
tls = [{ certificate = "DIR/tls.crt", key = "DIR/tls.key" }]
tls_minimum = "1.3"
trusted_proxies = ["10.0.0.0/8", "::ffff:192.0.2.1"]
proxy_protocol = true

[[listen]]
unix = "run/hookgate.sock"
mode = "0600"
plaintext = true
proxy_protocol = true

[admin]
address = "off"

[limits]
connections = 7
in_flight_bytes = "2MiB"
head_bytes = "8KiB"
headers = 8
handshake_timeout = "1s"
head_timeout = "2s"
idle_timeout = "3s"
write_timeout = "4s"
http2_streams = 5
min_body_rate = "1KiB"
per_source = "600/m"

[drain]
delay = "5s"
grace = "500ms"

[replay]
capacity = 12

[log]
format = "human"
filter = "info,hookgate=debug"
audit = "refused"

[upstreams.app]
url = "http://[::1]:3000/base/"
connect_timeout = "100ms"
timeout = "4s"
idle_connections = 0
idle_timeout = "1m"
max_connections = 9
queue_limit = 3
queue_timeout = "200ms"
headers = { X-Gateway-Token = { env = "TOKEN" }, X-Plain = "yes" }

[[route]]
name = "first"
host = "Hooks.Example.com"
path = "/a/*"
methods = ["POST", "GET", "POST"]
allow = ["paddle-sandbox", "192.0.2.0/24"]
provider = "paddle"
secrets = [{ file = "DIR/secret", name = "current" }, { env = "PADDLE_WEBHOOK_SECRET" }]
tolerance = "60s"
replay = { window = "3m", on_replay = "acknowledge" }
dedupe = { header = "X-Event", window = "7d", on_duplicate = "reject", on_missing_id = "reject" }
mode = "report"
body_limit = 1024
body_timeout = "1500ms"
reject_status = 403
refusal_detail = "none"
upstream = "app"

[[route]]
host = "*.example.com"
path = "/a/*"
provider = "paddle"
secrets = { env = "PADDLE_WEBHOOK_SECRET" }
tolerance = "unlimited"
upstream = { url = "http://[::1]:3000/base", connect_timeout = "100ms", timeout = "4s", idle_connections = 0, idle_timeout = "60s", max_connections = 9, queue_limit = 3, queue_timeout = "200ms", headers = { x-gateway-token = { env = "TOKEN" }, x-plain = "yes" } }
"#,
    )
    .variable("TOKEN", "token of the gateway");
    fixture.write_private("secret", b"another_secret_of_enough_length\n");
    let config = fixture.config();

    assert_eq!(config.workers, 3);
    assert_eq!(config.admin.address, None);
    let [public, unix] = &config.listeners[..] else {
        panic!("{:?}", config.listeners)
    };
    assert_eq!(
        (public.name.as_str(), public.tls.as_ref().unwrap().minimum),
        ("public", TlsVersion::Tls13)
    );
    assert_eq!(
        public.trusted_proxies,
        ["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()]
    );
    // A Unix socket with the PROXY protocol needs no trusted proxies, because its mode decides who may connect.
    assert!(public.proxy_protocol && unix.proxy_protocol);
    // A relative path starts at the directory of the file.
    assert_eq!(unix.address, Address::Unix(fixture.path("run/hookgate.sock"), 0o600));
    assert!(unix.tls.is_none());

    let limits = &config.limits;
    assert_eq!((limits.connections, limits.headers, limits.http2_streams), (7, 8, 5));
    assert_eq!(limits.min_body_rate, 1024);
    assert_eq!(limits.per_source.unwrap().to_string(), "600/m");
    assert_eq!((limits.in_flight_bytes, limits.head_bytes), (2 << 20, 8 << 10));
    assert_eq!(
        (limits.handshake_timeout, limits.head_timeout),
        (seconds(1), seconds(2))
    );
    assert_eq!((limits.idle_timeout, limits.write_timeout), (seconds(3), seconds(4)));
    assert_eq!(
        (config.drain.delay, config.drain.grace),
        (seconds(5), Duration::from_millis(500))
    );
    assert_eq!(config.replay.capacity, 12);
    assert_eq!(
        (config.log.format, config.log.audit),
        (LogFormat::Human, Audit::Refused)
    );
    assert_eq!(config.log.filter, "info,hookgate=debug");

    let [first, second] = &config.routes[..] else {
        panic!("{:?}", config.routes)
    };
    assert_eq!(
        (first.name.as_str(), first.host.as_deref()),
        ("first", Some("hooks.example.com"))
    );
    assert_eq!(first.methods, [Method::POST, Method::GET]);
    assert_eq!(first.allow.len(), 1);
    let published: Vec<_> = first
        .allow_published
        .iter()
        .map(|published| published.list.name)
        .collect();
    assert_eq!(published, ["paddle-sandbox"]);
    assert_eq!(first.verifier.key_names(), ["current", "PADDLE_WEBHOOK_SECRET"]);
    assert_eq!(
        (first.tolerance, first.replay.window, first.replay.acknowledge),
        (Some(seconds(60)), Some(seconds(180)), true)
    );
    assert_eq!(
        (first.body_limit, first.body_timeout),
        (1_024, Duration::from_millis(1_500))
    );
    assert_eq!(
        (first.reject_status, first.refusal_detail, first.report_only()),
        (StatusCode::FORBIDDEN, false, true)
    );

    let upstream = &first.upstream;
    assert_eq!(
        upstream.servers[0].target,
        UpstreamTarget::Tcp {
            host: "::1".into(),
            port: 3_000
        }
    );
    assert_eq!(upstream.base_path, "/base");
    assert_eq!(
        (upstream.connect_timeout, upstream.timeout, upstream.idle_timeout),
        (Duration::from_millis(100), seconds(4), seconds(60))
    );
    assert_eq!((upstream.idle_connections, upstream.max_connections), (0, 9));
    assert_eq!(
        (upstream.queue_limit, upstream.queue_timeout),
        (3, Duration::from_millis(200))
    );
    let headers: Vec<(&str, &[u8])> = upstream
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    assert_eq!(
        headers,
        [("x-gateway-token", &b"token of the gateway"[..]), ("x-plain", b"yes")]
    );
    assert!(upstream.headers.iter().all(|(_, value)| value.is_sensitive()));

    // Equal upstreams are one, even if they are written in different ways: they share connections and limits.
    assert!(std::sync::Arc::ptr_eq(upstream, &second.upstream));
    assert_eq!((second.name.as_str(), second.tolerance), ("*.example.com/a/*", None));
    assert_eq!(second.replay.window, Some(seconds(300)));
    assert_eq!(config.warnings.len(), 6, "{:?}", config.warnings);
}

/// A shared store with all keys, and how `check` prints it.
#[test]
fn every_key_of_a_shared_replay_store_has_its_effect() {
    let fixture = Fixture::minimal(
        r#"
[replay]
store = ["rediss://s1.internal", "rediss://[::1]:7000/0"]
sentinel = "hooks"
user = { env = "STORE_USER" }
password = { file = "DIR/password" }
ca = "DIR/tls.crt"
prefix = "shop"
timeout = "20ms"
on_store_failure = "accept"
"#,
        "dedupe = { window = \"7d\" }",
    )
    .variable("STORE_USER", "canary-user");
    fixture.write_private("password", b"canary-password\n");
    let printed = fixture.printed();
    let shown = &printed["replay"];
    assert_eq!(
        shown["store"],
        serde_json::json!(["rediss://s1.internal:26379/0", "rediss://[::1]:7000/0"])
    );
    assert_eq!(
        (&shown["user"], &shown["password"]),
        (&"[redacted]".into(), &"[redacted]".into())
    );
    assert_eq!((&shown["prefix"], &shown["timeout"]), (&"shop".into(), &"20ms".into()));
    let dedupe = &printed["route"][0]["dedupe"];
    assert_eq!(
        (&dedupe["pointer"], &dedupe["window"]),
        (&"/event_id".into(), &"7d".into())
    );
    let config = fixture.config();
    let redis = config.replay.shared.unwrap();
    assert_eq!(redis.servers.password.unwrap().expose(), b"canary-password");
    assert!(redis.servers.tls && redis.accept_on_failure && redis.servers.sentinel.is_some());
    assert!(!printed.to_string().contains("canary"));
    assert!(!format!("{:?}", fixture.config().replay).contains("canary"));
}
