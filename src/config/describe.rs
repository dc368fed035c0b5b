//! The resolved configuration as a tree for `check`: every default filled in, every secret `[redacted]` with its place.
//!
//! Keys are those of the file, so that a person can compare the two.

use super::file::ClientMode;
use super::value::Words;
use super::{
    Address, CertificateFiles, ClientAuth, Config, Dedupe, Listener, Replay, Route, SecretInfo, SecretSource, Server,
    StoreServer, Target,
    Upstream,
};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Describes `config`. The result contains no secret: those are in types that this function cannot read.
pub(super) fn describe(config: &Config) -> Value {
    let limits = &config.limits;
    json!({
            "workers": config.workers,
            "listen": config.listeners.iter().map(listener).collect::<Vec<_>>(),
            "admin": {
                "address": config.admin.map_or_else(|| String::from("off"), |address| address.to_string()),
                "readiness": config.readiness.word(),
            },
            "limits": {
                "connections": limits.connections,
                "in_flight_bytes": size(limits.in_flight_bytes),
                "head_bytes": size(limits.head_bytes),
                "headers": limits.headers,
                "handshake_timeout": wait(limits.handshake_timeout),
                "head_timeout": wait(limits.head_timeout),
                "idle_timeout": wait(limits.idle_timeout),
                "write_timeout": wait(limits.write_timeout),
                "http2_streams": limits.http2_streams,
            },
            "drain": { "delay": wait(config.drain.delay), "grace": wait(config.drain.grace) },
            "replay": replay_store(&config.replay),
            "log": { "format": config.log.format.word(), "filter": config.log.filter, "audit": config.log.audit.word() },
            "route": config.routes.iter().map(route).collect::<Vec<_>>(),
    })
}

fn replay_store(replay: &Replay) -> Value {
    let mut tree = Map::new();
    tree.insert("capacity".into(), json!(replay.capacity));
    let Some(redis) = &replay.shared else {
        tree.insert("store".into(), json!("memory"));
        return Value::Object(tree);
    };
    let scheme = if redis.tls { "rediss" } else { "redis" };
    let url = |server: &StoreServer| match server {
        StoreServer::Tcp { .. } => format!("{scheme}://{server}/{}", redis.database),
        StoreServer::Unix(path) => format!("redis+unix://{}?db={}", path.display(), redis.database),
    };
    let mut set = |key: &str, value: Value| {
        tree.insert(key.to_owned(), value);
    };
    set("store", redis.servers.iter().map(url).collect());
    if let Some(sentinel) = &redis.sentinel {
        set("sentinel", json!(sentinel));
    }
    for (key, secret) in [("user", &redis.user), ("password", &redis.password)] {
        if secret.is_some() {
            set(key, json!("[redacted]"));
        }
    }
    if let Some(ca) = &redis.ca {
        set("ca", json!(ca.display().to_string()));
    }
    set("prefix", json!(redis.prefix));
    set("timeout", json!(wait(redis.timeout)));
    let on_store_failure = if redis.accept_on_failure { "accept" } else { "reject" };
    set("on_store_failure", json!(on_store_failure));
    Value::Object(tree)
}

fn listener(listener: &Listener) -> Value {
    let mut tree = Map::new();
    tree.insert("name".into(), json!(listener.name));
    match &listener.address {
        Address::Tcp(address) => {
            tree.insert("address".into(), json!(address.to_string()));
        }
        Address::Unix(path, mode) => {
            tree.insert("unix".into(), json!(path.display().to_string()));
            tree.insert("mode".into(), json!(format!("{mode:04o}")));
        }
    }
    match &listener.tls {
        Some(tls) => {
            tree.insert("tls".into(), tls.certificates.iter().map(certificate).collect());
            tree.insert("tls_minimum".into(), json!(tls.minimum.word()));
            if let Some(clients) = &tls.client_auth {
                tree.insert("client_auth".into(), client_auth(clients));
            }
        }
        None => {
            tree.insert("plaintext".into(), json!(true));
        }
    }
    let trusted: Vec<String> = listener.trusted_proxies.iter().map(ToString::to_string).collect();
    tree.insert("trusted_proxies".into(), json!(trusted));
    tree.insert("proxy_protocol".into(), json!(listener.proxy_protocol));
    Value::Object(tree)
}

fn certificate(files: &CertificateFiles) -> Value {
    json!({ "certificate": files.certificate.display().to_string(), "key": files.key.display().to_string() })
}

fn client_auth(clients: &ClientAuth) -> Value {
    json!({
        "ca": clients.ca.display().to_string(),
        "mode": if clients.required { ClientMode::Required } else { ClientMode::Optional }.word(),
        "forward_subject": clients.forward_subject,
    })
}

fn route(route: &Route) -> Value {
    let mut tree = Map::new();
    let mut set = |key: &str, value: Value| {
        tree.insert(key.to_owned(), value);
    };
    set("name", json!(route.name));
    if let Some(host) = &route.host {
        set("host", json!(host));
    }
    set("path", json!(route.path));
    set(
        "methods",
        json!(route.methods.iter().map(ToString::to_string).collect::<Vec<_>>()),
    );
    set(
        "allow",
        json!(route.allow.iter().map(ToString::to_string).collect::<Vec<_>>()),
    );
    set("provider", json!(route.verifier.name()));
    set("secrets", route.secrets.iter().map(key).collect());
    if let Some(url) = &route.public_url {
        set("public_url", json!(url));
    }
    if route.verifier.has_timestamp() {
        set(
            "tolerance",
            json!(route.tolerance.map_or_else(|| String::from("unlimited"), wait)),
        );
    }
    set("replay", replay(route));
    if let Some(written) = &route.dedupe {
        set("dedupe", dedupe(written));
    }
    set("mode", json!(if route.report_only { "report" } else { "verify" }));
    set("body_limit", json!(size(route.body_limit)));
    set("body_timeout", json!(wait(route.body_timeout)));
    set(
        "reject_status",
        json!(route.reject_status.map_or(401, |status| status.as_u16())),
    );
    set(
        "refusal_detail",
        json!(if route.refusal_detail { "reason" } else { "none" }),
    );
    if route.challenge.is_some() {
        set("handshake", json!(true));
    }
    if let Some(token) = &route.verify_token {
        set("verify_token", key(token));
    }
    set("upstream", upstream(&route.upstream));
    Value::Object(tree)
}

fn key(key: &SecretInfo) -> Value {
    let mut tree = Map::new();
    tree.insert("name".into(), json!(key.name));
    match &key.source {
        SecretSource::Env(name) => tree.insert("env".into(), json!(name)),
        SecretSource::File(path) => tree.insert("file".into(), json!(path.display().to_string())),
    };
    if key.retired {
        tree.insert("retired".into(), json!(true));
    }
    tree.insert("value".into(), json!("[redacted]"));
    Value::Object(tree)
}

fn replay(route: &Route) -> Value {
    let on_replay = if route.replay.acknowledge {
        "acknowledge"
    } else {
        "reject"
    };
    match route.replay.window {
        Some(Duration::ZERO) => json!({ "enabled": false }),
        Some(window) => json!({ "enabled": true, "window": wait(window), "on_replay": on_replay }),
        None => json!({ "enabled": true, "on_replay": on_replay }),
    }
}

fn dedupe(dedupe: &Dedupe) -> Value {
    let (place, which) = dedupe.id.written();
    let on_duplicate = if dedupe.acknowledge { "acknowledge" } else { "reject" };
    let on_missing_id = if dedupe.reject_missing { "reject" } else { "forward" };
    json!({ place: which, "window": wait(dedupe.window), "on_duplicate": on_duplicate, "on_missing_id": on_missing_id })
}

fn upstream(upstream: &Upstream) -> Value {
    let mut tree = Map::new();
    let url = |server: &Server| format!("{}{}", server.target, upstream.base_path);
    match &upstream.servers[..] {
        [one] if one.weight == 1 => tree.insert("url".into(), json!(url(one))),
        servers => {
            let described = |server| json!({ "url": url(server), "weight": server.weight });
            tree.insert("url".into(), servers.iter().map(described).collect())
        }
    };
    let of_tls = upstream.servers.iter().find_map(|server| match &server.target {
        Target::Tls { ca, client, .. } => Some((ca, client)),
        Target::Tcp { .. } | Target::Unix(_) => None,
    });
    if let Some((ca, client)) = of_tls {
        if let Some(ca) = ca {
            tree.insert("ca".into(), json!(ca.display().to_string()));
        }
        if let Some(client) = client {
            tree.insert("client".into(), certificate(client));
        }
    }
    tree.insert("connect_timeout".into(), json!(wait(upstream.connect_timeout)));
    tree.insert("timeout".into(), json!(wait(upstream.timeout)));
    tree.insert("idle_connections".into(), json!(upstream.idle_connections));
    tree.insert("idle_timeout".into(), json!(wait(upstream.idle_timeout)));
    tree.insert("max_connections".into(), json!(upstream.max_connections));
    tree.insert("resolve_interval".into(), json!(wait(upstream.resolve_interval)));
    let ejection = &upstream.ejection;
    tree.insert(
        "ejection".into(),
        json!({
            "failures": ejection.failures,
            "backoff": wait(ejection.backoff),
            "backoff_limit": wait(ejection.backoff_limit),
            "panic_below": ejection.panic_below,
        }),
    );
    if let Some(check) = &upstream.health_check {
        tree.insert(
            "health_check".into(),
            json!({
                "path": check.path,
                "interval": wait(check.interval),
                "timeout": wait(check.timeout),
                "unhealthy_after": check.unhealthy_after,
                "healthy_after": check.healthy_after,
            }),
        );
    }
    let headers: Map<String, Value> = upstream
        .headers
        .iter()
        .map(|(name, _)| (name.to_string(), json!("[redacted]")))
        .collect();
    tree.insert("headers".into(), Value::Object(headers));
    Value::Object(tree)
}

/// A duration as the file writes it: in the largest unit that divides it.
fn wait(wait: Duration) -> String {
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let milliseconds = wait.as_millis();
    let is_exact = wait == Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX));
    match units
        .into_iter()
        .find(|(_, factor)| milliseconds > 0 && milliseconds.is_multiple_of(*factor))
    {
        Some((unit, factor)) if is_exact => format!("{}{unit}", milliseconds / factor),
        None if wait.is_zero() => String::from("0s"),
        Some(_) | None => humantime::format_duration(wait).to_string(),
    }
}

/// A size as the file writes it: in the largest unit that divides it.
pub(super) fn size(bytes: usize) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units
        .into_iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
    {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}
