//! The storage of a certificate that is ordered: a directory, or a Redis.

use super::Fixture;
use super::faults::only;
use crate::settings::AcmeStorage;

const KEY: &str = "8f0c4f3e6a1b8d7290e4c3b2a1f0e9d8c7b6a5948372615049382716f5e4d3c2";
const KEYS: &str = ", keys = [{ env = \"ACME_KEY\" }]";

fn fixture(storage: &str, keys: &str) -> Fixture {
    let text = format!(
        r#"[listen]
address = "0.0.0.0:443"
tls = {{ acme = {{ domains = ["hooks.example.com"], storage = {storage}{keys} }} }}
[[route]]
path = "/webhooks/paddle"
provider = "paddle"
secrets = [{{ env = "PADDLE_WEBHOOK_SECRET" }}]
upstream = "http://127.0.0.1:8000"
"#
    );
    let fixture = Fixture::new(&text).variable("ACME_KEY", KEY);
    fixture.variable("STORE", "canary-password")
}

#[test]
fn a_storage_is_a_directory_or_a_redis() {
    let storage = |written: &str| {
        let config = fixture(written, KEYS).config();
        config.listeners[0].acme().next().unwrap().storage.clone()
    };
    assert!(matches!(storage("\"DIR\""), AcmeStorage::Directory(_)));
    for (written, address, prefix) in [
        ("\"redis://127.0.0.1\"", "127.0.0.1:6379", "hookgate"),
        (
            "{ redis = \"rediss://cache.internal:7000\", password = { env = \"STORE\" } }",
            "cache.internal:7000",
            "hookgate",
        ),
        (
            "{ redis = [\"redis://127.0.0.1:7\", \"redis://127.0.0.1:8\"], cluster = true, prefix = \"shop\" }",
            "127.0.0.1:7",
            "shop",
        ),
    ] {
        let AcmeStorage::Redis(servers) = storage(written) else {
            panic!("{written}");
        };
        assert_eq!(
            (servers.servers[0].to_string().as_str(), servers.prefix.as_str()),
            (address, prefix)
        );
    }
    let printed = fixture("{ redis = \"rediss://r\", password = { env = \"STORE\" } }", KEYS).printed();
    assert!(!printed.to_string().contains("canary"), "{printed}");
}

#[test]
fn a_redis_that_cannot_work_is_refused() {
    for (storage, keys, key, problem) in [
        (
            "\"redis://127.0.0.1\"",
            "",
            "keys",
            "not stored in Redis without encryption",
        ),
        ("\"https://127.0.0.1\"", KEYS, "storage", "not the URL of a Redis"),
        ("{ prefix = \"shop\" }", KEYS, "storage.redis", "no URL"),
        (
            "{ redis = \"http://r\" }",
            KEYS,
            "storage.redis",
            "not the URL of a Redis",
        ),
        (
            "{ redis = \"redis://u:hunter2@r\" }",
            KEYS,
            "storage.redis",
            "must not contain a user",
        ),
        (
            "{ redis = \"redis://127.0.0.1/3\", cluster = true }",
            KEYS,
            "storage.redis",
            "only database 0",
        ),
        (
            "{ redis = \"redis://127.0.0.1\", ca = \"DIR/tls.crt\" }",
            KEYS,
            "storage.ca",
            "without TLS",
        ),
        ("\"DIR/missing\"", KEYS, "storage", "is not a directory"),
    ] {
        let fault = only(&fixture(storage, keys));
        assert_eq!(fault.key, format!("listen.tls.acme.{key}"), "{fault:?}");
        assert!(fault.problem.contains(problem), "{fault:?}");
        assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
    }
}

/// What is in Redis is as secret as the certificates, on the way too.
#[test]
fn a_redis_on_another_machine_without_tls_or_password_is_warned_of() {
    let warnings = fixture("\"redis://cache.internal\"", KEYS).config().warnings;
    let about = |word: &str| {
        warnings
            .iter()
            .any(|warning| warning.contains("acme.storage") && warning.contains(word))
    };
    assert!(about("no TLS") && about("no password"), "{warnings:?}");
}
