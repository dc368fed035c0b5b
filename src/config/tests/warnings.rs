//! Warnings of a valid configuration that could be more secure, and configurations that get none.

use super::{Fixture, SECRET};

/// A configuration with one route of `provider`; `more` are further lines of the route.
fn route(provider: &str, more: &str) -> Fixture {
    let route = format!(
        "[[route]]\npath = \"/a\"\nprovider = {provider:?}\nsecrets = {{ env = \"SECRET\" }}\nupstream = \"http://127.0.0.1:8000\"\n{more}"
    );
    Fixture::new(&format!(
        "[listen]\naddress = \"127.0.0.1:8080\"\nplaintext = true\n{route}\n"
    ))
    .variable("SECRET", SECRET)
}

/// Asserts that a valid configuration has exactly the expected warnings: each has the key and contains the words.
#[track_caller]
fn assert_warnings(fixture: &Fixture, expected: &[(&str, &str)]) {
    let warnings = fixture.config().warnings;
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (key, words) in expected {
        let found = warnings
            .iter()
            .any(|warning| warning.starts_with(&format!("{key}: ")) && warning.contains(words));
        assert!(found, "{key}: {words} is not in {warnings:?}");
    }
}

const WINDOW: &str = "route[0].replay.window";
const PROVIDER: &str = "route[0].provider";

#[test]
fn a_scheme_without_a_timestamp_warns_of_its_replay_window() {
    assert_warnings(&route("paddle", ""), &[]);
    assert_warnings(&route("github", ""), &[(WINDOW, "signs no timestamp")]);
    // A window in the file was chosen on purpose.
    assert_warnings(&route("github", "replay = { window = \"1h\" }"), &[]);
    assert_warnings(
        &route("github", "replay = { enabled = false }"),
        &[("route[0].replay", "accepted again at any time")],
    );
    assert_warnings(
        &route("paddle", "replay = { enabled = false }"),
        &[("route[0].replay", "accepted again until its timestamp is too old")],
    );
}

#[test]
fn weak_algorithms_and_partly_signed_bodies_get_a_warning() {
    let window = "replay = { window = \"10m\" }";
    let digest = |algorithm: &str| {
        route(
            "custom",
            &format!("{window}\ncustom = {{ form_digest = {{ algorithm = {algorithm:?} }} }}"),
        )
    };
    assert_warnings(&digest("md5"), &[(PROVIDER, "MD5")]);
    assert_warnings(&digest("sha1"), &[(PROVIDER, "SHA-1")]);
    assert_warnings(&digest("sha256"), &[(PROVIDER, "SHA-256")]);
    assert_warnings(&route("intercom", window), &[(PROVIDER, "HMAC-SHA1")]);
    assert_warnings(&route("gitlab-token", window), &[(PROVIDER, "compares a token")]);
    assert_warnings(&route("mailgun", ""), &[(PROVIDER, "does not sign the whole body")]);

    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../tests/vectors/paddle-classic.json")).unwrap();
    let classic = route("paddle-classic", window).variable("KEY", vectors[0]["public_key_pem"].as_str().unwrap());
    let classic = classic.option("route.0.public_keys.0.env", "KEY");
    let text = std::fs::read_to_string(classic.path("gateway.toml")).unwrap();
    let without = text.replace("secrets = { env = \"SECRET\" }\n", "");
    std::fs::write(classic.path("gateway.toml"), without).unwrap();
    assert_warnings(&classic, &[(PROVIDER, "RSA with SHA-1")]);
}

/// A faulty secret is one fault, without a warning about the tolerance of the unknown scheme.
#[test]
fn a_faulty_secret_does_not_warn_of_the_tolerance() {
    let faults = route("standard-webhooks", "")
        .variable("SECRET2", "x")
        .option("route.0.secrets.env", "NOWHERE")
        .faults();
    assert_eq!(faults.warnings, Vec::<String>::new());
    let undecodable = route("adyen-platform", "").faults();
    assert_eq!(undecodable.faults.len(), 1, "{undecodable}");
    assert_eq!(undecodable.warnings, Vec::<String>::new());
}

/// `handshake` needs a provider that sends a challenge, and Meta's challenge needs a token.
#[test]
fn challenges_are_checked_at_start() {
    assert!(
        route("slack", "handshake = true").config().routes[0]
            .challenge
            .is_some()
    );
    assert!(route("slack", "").config().routes[0].challenge.is_none());
    let token = "verify_token = { env = \"TOKEN\" }";
    let meta = route("meta", &format!("handshake = true\n{token}")).variable("TOKEN", "canary of a token");
    let loaded = meta.inspect().unwrap();
    assert!(loaded.config.routes[0].challenge.is_some());
    assert!(!format!("{loaded:?}").contains("canary of"));
    assert_eq!(meta.printed()["route"][0]["verify_token"]["value"], "[redacted]");
    for (provider, lines, key, words) in [
        ("paddle", "handshake = true", "route[0].handshake", "slack, zoom"),
        ("meta", "handshake = true", "route[0].handshake", "verify_token"),
        ("meta", token, "route[0].verify_token", "handshake = true"),
        (
            "slack",
            &format!("handshake = true\n{token}"),
            "route[0].verify_token",
            "remove it",
        ),
        (
            "meta",
            "handshake = true\nverify_token = { env = \"EMPTY\" }",
            "route[0].verify_token",
            "empty",
        ),
        (
            "meta",
            "handshake = true\nverify_token = { env = \"NOWHERE\" }",
            "route[0].verify_token",
            "NOWHERE",
        ),
    ] {
        let faults = route(provider, lines)
            .variable("TOKEN", "canary of a token")
            .variable("EMPTY", " ")
            .faults();
        let text = faults.to_string();
        assert_eq!(faults.faults.len(), 1, "{text}");
        assert!(
            text.contains(key) && text.contains(words) && !text.contains("canary of"),
            "{text}"
        );
    }
}
