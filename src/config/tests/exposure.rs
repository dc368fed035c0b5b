//! Warnings of what is more exposed than it need be, and the fault of a signed URL on a route with many paths.

use super::{Fixture, SECRET};
use std::os::unix::fs::PermissionsExt as _;

/// One listener and one route; `listen`, `route` and `top` are further lines.
fn fixture(top: &str, listen: &str, provider: &str, route: &str) -> Fixture {
    Fixture::new(&format!(
        "{top}\n[listen]\n{listen}\n\n[[route]]\npath = \"/a\"\nprovider = \"{provider}\"\nsecrets = [{{ env = \"S\" }}]\nupstream = \"http://127.0.0.1:8000\"\n{route}\n"
    ))
    .variable("S", SECRET)
}

const LOOPBACK: &str = "address = \"127.0.0.1:8080\"\nplaintext = true";
const OPEN: &str = "address = \"0.0.0.0:8080\"\nplaintext = true";
const TLS: &str = "address = \"0.0.0.0:8443\"\ntls = { certificate = \"DIR/tls.crt\", key = \"DIR/tls.key\" }";

#[track_caller]
fn assert_warns(fixture: &Fixture, key: &str, words: &str, expected: bool) {
    let warnings = fixture.config().warnings;
    let found = warnings
        .iter()
        .any(|warning| warning.starts_with(&format!("{key}: ")) && warning.contains(words));
    assert_eq!(found, expected, "{key}: {words}: {warnings:?}");
}

#[test]
fn a_secret_of_two_routes_gets_a_warning() {
    let second = |variable: &str| {
        let route = format!(
            "[[route]]\npath = \"/b\"\nprovider = \"stripe\"\nsecrets = [{{ env = \"{variable}\" }}]\nupstream = \"http://127.0.0.1:8000\""
        );
        fixture("", LOOPBACK, "paddle", &route).variable("T", "whsec_of_another_route_0123456789")
    };
    assert_warns(
        &second("S"),
        "route[1].secrets[0]",
        "route[0].secrets[0] is the same secret",
        true,
    );
    assert_warns(&second("T"), "route[1].secrets[0]", "same secret", false);
}

#[test]
fn a_private_key_that_everyone_can_read_gets_a_warning() {
    let fixture = fixture("", TLS, "paddle", "");
    assert_warns(
        &fixture,
        "listen.tls.key",
        "every user of this machine can read the private key",
        false,
    );
    std::fs::set_permissions(fixture.path("tls.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_warns(
        &fixture,
        "listen.tls.key",
        "every user of this machine can read the private key",
        true,
    );
}

#[test]
fn an_admin_listener_on_all_addresses_gets_a_warning() {
    for (address, expected) in [
        ("0.0.0.0:9090", true),
        ("[::]:9090", true),
        ("127.0.0.1:9090", false),
        ("10.0.0.1:9090", false),
    ] {
        let fixture = fixture("", LOOPBACK, "paddle", &format!("[admin]\naddress = \"{address}\""));
        assert_warns(&fixture, "admin.address", "everyone who reaches this machine", expected);
    }
}

#[test]
fn a_store_on_another_machine_needs_tls_and_a_password() {
    for (store, has_password, without_tls, without_password) in [
        ("redis://127.0.0.1", false, false, false),
        ("redis+unix:///run/redis.sock", false, false, false),
        ("redis://cache.internal", false, true, true),
        ("redis://cache.internal", true, true, false),
        ("rediss://cache.internal", false, false, true),
        ("rediss://cache.internal", true, false, false),
    ] {
        let password = if has_password { "password = { env = \"S\" }" } else { "" };
        let fixture = fixture(
            "",
            LOOPBACK,
            "paddle",
            &format!("[replay]\nstore = \"{store}\"\n{password}"),
        );
        assert_warns(&fixture, "replay.store", "has no TLS", without_tls);
        assert_warns(&fixture, "replay.store", "has no password", without_password);
    }
}

#[test]
fn a_token_on_a_plaintext_listener_of_other_machines_gets_a_warning() {
    for (provider, listen, expected) in [
        ("gitlab-token", OPEN, true),
        ("gitlab-token", LOOPBACK, false),
        ("gitlab-token", TLS, false),
        ("paddle", OPEN, false),
    ] {
        assert_warns(
            &fixture("", listen, provider, ""),
            "route[0].provider",
            "sends the secret itself",
            expected,
        );
    }
}

#[test]
fn a_custom_time_without_a_tolerance_gets_a_warning() {
    let custom = "custom = { signature = { header = \"X-S\" }, timestamp = { header = \"X-T\" }, payload = \"{timestamp}.{body}\" }";
    let without = fixture("", LOOPBACK, "custom", custom);
    assert_warns(&without, "route[0].tolerance", "not judged", true);
    let with = fixture("", LOOPBACK, "custom", &format!("tolerance = \"5m\"\n{custom}"));
    assert_warns(&with, "route[0].tolerance", "not judged", false);
}

/// Proof of a review: the signature of one path was valid for every path of the route.
#[test]
fn a_public_url_with_a_path_needs_an_exact_route() {
    let square = |path: &str, url: &str| {
        let fixture = fixture("", LOOPBACK, "square", &format!("public_url = \"{url}\""));
        let text = std::fs::read_to_string(fixture.path("gateway.toml")).unwrap();
        let text = text.replace("path = \"/a\"", &format!("path = \"{path}\""));
        std::fs::write(fixture.path("gateway.toml"), text).unwrap();
        fixture
    };
    let faults = square("/t/*", "https://h.example/t/a").faults();
    let [fault] = &faults.faults[..] else {
        panic!("{faults}")
    };
    assert_eq!(fault.key, "route[0].public_url");
    assert!(fault.fix.contains("write an exact `path`"), "{fault}");
    for (path, url) in [
        ("/t/a", "https://h.example/t/a"),
        ("/t/*", "https://h.example"),
        ("/t/*", "https://h.example/"),
        ("/b", "https://h.example/t/a"),
    ] {
        square(path, url).config();
    }
}

/// A URL with a password is a fault that does not show it; the credentials come from a variable or a file.
#[test]
fn user_and_password_of_the_url_are_no_part_of_the_configuration() {
    let square = |lines: &str| {
        fixture("", LOOPBACK, "square", lines)
            .variable("C", "user:canary1")
            .variable("BAD", "canary@x")
    };
    let url = "public_url = \"https://h.example/a\"";
    let good = square(&format!("{url}\npublic_url_credentials = {{ env = \"C\" }}"));
    let loaded = good.inspect().unwrap();
    assert!(!format!("{loaded:?}").contains("canary"));
    assert_eq!(
        good.printed()["route"][0]["public_url_credentials"],
        serde_json::json!({"name": "public_url_credentials", "env": "C", "value": "[redacted]"})
    );
    for (lines, key, words) in [
        (
            "public_url = \"https://u:canary@h.example/a\"",
            "public_url",
            "public_url_credentials = { env",
        ),
        (
            "public_url_credentials = { env = \"C\" }",
            "public_url_credentials",
            "no `public_url`",
        ),
        (
            &format!("{url}\npublic_url_credentials = {{ env = \"BAD\" }}"),
            "public_url_credentials",
            "cannot stand in a URL",
        ),
        (
            &format!("{url}\npublic_url_credentials = {{ env = \"NOWHERE\" }}"),
            "public_url_credentials.env",
            "not set",
        ),
    ] {
        let faults = square(lines).faults();
        let text = faults.to_string();
        assert!(text.contains(words) && !text.contains("canary"), "{text}");
        let [fault] = &faults.faults[..] else { panic!("{text}") };
        assert_eq!(fault.key, format!("route[0].{key}"), "{text}");
    }
}
