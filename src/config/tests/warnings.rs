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
    assert_warnings(
        &route("intercom", window),
        &[(PROVIDER, "HMAC-SHA1"), ("route[0].challenge", "unsigned HEAD")],
    );
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

/// `challenge = true` needs a preset that sends a challenge, and Meta's challenge needs a token.
#[test]
fn challenges_are_checked_at_start() {
    assert!(route("slack", "challenge = true").config().routes[0].challenges.len() == 1);
    assert!(route("slack", "").config().routes[0].challenges.is_empty());
    let token = "verify_token = { env = \"TOKEN\" }";
    let meta = route("meta", &format!("challenge = true\n{token}")).variable("TOKEN", "canary of a token");
    let loaded = meta.inspect().unwrap();
    assert_eq!(loaded.config.routes[0].challenges.len(), 1);
    assert!(!format!("{loaded:?}").contains("canary of"));
    assert_eq!(meta.printed()["route"][0]["verify_token"]["value"], "[redacted]");
    for (provider, lines, key, words) in [
        ("paddle", "challenge = true", "route[0].challenge", "slack, zoom"),
        (
            "slack",
            "challenge = true\nhandshake = true",
            "route[0].handshake",
            "older name",
        ),
        (
            "custom",
            "challenge = { query = \"a\", header = \"b\" }\ncustom = { signature = { header = \"S\" } }",
            "route[0].challenge",
            "more than one",
        ),
        (
            "custom",
            "challenge = [{ method = \"HEAD\" }, { body = \"ping\", method = \"PUT\" }]\ncustom = { signature = { header = \"S\" } }",
            "route[0].challenge[1].method",
            "add \"PUT\" to `methods`",
        ),
        (
            "slack",
            "challenge = \"yes\"",
            "route[0].challenge",
            "write true, false",
        ),
        ("meta", "challenge = true", "route[0].challenge", "verify_token"),
        ("meta", token, "route[0].verify_token", "challenge = true"),
        (
            "slack",
            &format!("challenge = true\n{token}"),
            "route[0].verify_token",
            "remove it",
        ),
        (
            "meta",
            "challenge = true\nverify_token = { env = \"EMPTY\" }",
            "route[0].verify_token",
            "empty",
        ),
        (
            "meta",
            "challenge = true\nverify_token = { env = \"NOWHERE\" }",
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

/// `check` names the challenge of a preset whose route says nothing about it.
#[test]
fn a_preset_with_a_challenge_is_named() {
    let about = |fixture: &Fixture| {
        let warnings = fixture.config().warnings;
        let about = |warning: &&String| warning.contains("].challenge: ") || warning.contains("].handshake: ");
        warnings.iter().filter(about).cloned().collect::<Vec<_>>()
    };
    for provider in ["dropbox", "meta", "intercom"] {
        let silent = about(&route(provider, ""));
        assert!(
            silent.len() == 1 && silent[0].contains("write `challenge = true`"),
            "{silent:?}"
        );
        assert_eq!(about(&route(provider, "challenge = false")), [""; 0]);
    }
    assert_eq!(about(&route("dropbox", "challenge = true")), [""; 0]);
    assert_eq!(about(&route("paddle", "")), [""; 0]);
    let older = about(&route("dropbox", "handshake = true"));
    assert!(
        older.len() == 1 && older[0].contains("write `challenge = true`"),
        "{older:?}"
    );
    assert_eq!(
        route("dropbox", "handshake = true").printed()["route"][0]["challenge"],
        true
    );
    // A signed challenge reaches the application, so this is a remark only.
    assert_eq!(about(&route("slack", "")), [""; 0]);
    let notes = route("slack", "").inspect().unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("url_verification")), "{notes:?}");
}

/// The HMAC that answers a challenge would be a signature on a route with the same secret.
#[test]
fn a_secret_that_answers_challenges_belongs_to_one_route() {
    let crc =
        "challenge = { query = \"crc\", answer = { hmac = \"hex\" } }\ncustom = { signature = { header = \"S\" } }";
    let other = "[[route]]\npath = \"/b\"\nprovider = \"github\"\nsecrets = { env = \"SECRET\" }\nupstream = \"http://127.0.0.1:8000\"";
    let alone = route("custom", crc).config();
    assert!(alone.routes[0].challenges[0].signs());
    let faults = route("custom", &format!("{crc}\n{other}")).faults();
    assert_eq!(faults.faults.len(), 1, "{faults}");
    assert!(faults.to_string().contains("a secret of its own"), "{faults}");
}
