//! What new users write, each with the message that explains it.

use super::Fixture;
use super::faults::only;
use crate::config::Fault;

/// The message without its place.
fn message(fault: Fault) -> String {
    let fault = Fault {
        line: None,
        column: None,
        ..fault
    };
    fault.to_string()
}

#[test]
fn mistakes_of_new_users_are_explained() {
    for (lines, expected) in [
        (
            "body_timeout = \"5M\"",
            "body_timeout: this is not a duration; write \"5m\" for minutes; months are not a unit",
        ),
        (
            "body_timeout = \"5 minutes\"",
            "body_timeout: this is not a duration; write \"5m\"",
        ),
        (
            "tolerance = \"2min\"",
            "tolerance: this is not a tolerance; write \"2m\"",
        ),
        (
            "body_timeout = \"10\"",
            "body_timeout: this is not a duration; write the unit too, such as \"10s\" for seconds or \"10ms\" for milliseconds",
        ),
        (
            "body_limit = \"1m\"",
            "body_limit: this is not a size in bytes; write \"1MiB\"",
        ),
        (
            "body_limit = \"100mb\"",
            "body_limit: this is not a size in bytes; write \"100MiB\"",
        ),
        (
            "body_limit = \"1.5MiB\"",
            "body_limit: this is not a size in bytes; write \"1536KiB\"",
        ),
        (
            "allow = \"shopify\"",
            "allow: there is no list of the addresses of `shopify`; write the networks that the provider documents, such as \"203.0.113.0/24\"; the lists are `github`, `stripe`, `paddle-live` and `paddle-sandbox`",
        ),
        (
            "dedupe = true",
            "dedupe: this is a boolean, and `dedupe` is a table; write `dedupe = {}` to turn it on, or remove the line",
        ),
        (
            "replay = false",
            "replay: this is a boolean, and `replay` is a table; write `replay = { enabled = false }` to turn it off",
        ),
        (
            "host = [\"a.example\", \"b.example\"]",
            "host: this is a list, and a route has one `host`; write a `[[route]]` for each",
        ),
    ] {
        let text = message(only(&Fixture::minimal("", lines)));
        assert_eq!(text, format!("route[0].{expected}"), "{lines}");
    }
    for (text, expected) in [
        (
            "listen = { address = 8443, plaintext = true }",
            "listen.address: this is a number, and an address is a text with an IP address and a port; write \"0.0.0.0:8443\", or \"127.0.0.1:8443\" for this machine only",
        ),
        (
            "log = { filter = \"verbose\" }",
            "log.filter: `verbose` is not a level; write error, warn, info, debug, trace or off, or levels by target, such as \"info,hookgate=debug\"",
        ),
        (
            "route:\n  - path: /hook\n",
            "this is YAML, and the configuration is TOML; write `key = value` in place of `key: value`, and tables as `[listen]` and `[[route]]`",
        ),
        (
            "{ \"listen\": { \"address\": \"0.0.0.0:1\" } }",
            "this is JSON, and the configuration is TOML; write `key = value`, and tables as `[listen]` and `[[route]]`",
        ),
        ("workers = two", "a text needs quotation marks; write workers = \"…\""),
        (
            "[log]\nfilter = \"info",
            "a quotation mark is missing; write one quotation mark on each side of every text",
        ),
    ] {
        let faults = Fixture::new(text).faults();
        let fault = faults
            .faults
            .iter()
            .find(|fault| fault.key != "listen" && fault.key != "route");
        assert_eq!(message(fault.unwrap().clone()), expected, "{text}");
    }
    let faults = Fixture::minimal("", "")
        .variable("HOOKGATE_LIMITS_CONNECTIONS", "5")
        .faults();
    assert_eq!(
        faults.faults[0].to_string(),
        "HOOKGATE_LIMITS_CONNECTIONS: limits_connections: unknown key `limits_connections`: `connections` is part of `[limits]`, so a variable has two underscores between them, `HOOKGATE_LIMITS__CONNECTIONS`"
    );
}

/// A list of more than a hundred names explains nothing: it names what is similar, and where the others are.
#[test]
fn an_unknown_provider_and_a_bare_sign_in_a_path_are_explained() {
    for (path, provider, expected) in [
        (
            "/hook",
            "amazon-sns",
            "route[0].provider: unknown provider `amazon-sns`; write `aws-sns`; `hookgate providers` lists the names; `custom` describes any other scheme",
        ),
        (
            "/hook",
            "acme-inc",
            "route[0].provider: unknown provider `acme-inc`; `hookgate providers` lists the names; `custom` describes any other scheme",
        ),
        (
            "/a|b",
            "paddle",
            "route[0].path: `|` does not occur in a path as it is sent, where it is `%7C`; write the path as the sender sends it, such as \"/webhooks/paddle\" or \"/webhooks/*\"",
        ),
    ] {
        let text = format!(
            "listen = {{ address = \"0.0.0.0:8443\", tls = {{ certificate = \"DIR/tls.crt\", key = \"DIR/tls.key\" }} }}\n[[route]]\npath = {path:?}\nprovider = {provider:?}\nsecrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = \"http://127.0.0.1:8000\"\n"
        );
        assert_eq!(message(only(&Fixture::new(&text))), expected);
    }
}

/// The fault of a value shows its line with a mark below the value.
#[test]
fn the_line_of_a_fault_is_shown() {
    let text = Fixture::minimal("", "tolerance = \"5M\"").faults().to_string();
    assert!(
        text.ends_with("\n    11 | tolerance = \"5M\"\n       |             ^^^^"),
        "{text}"
    );
}

/// An upstream with the route's path would get the path twice.
#[test]
fn an_upstream_that_repeats_the_path_is_refused() {
    let upstream = |url: &str| Fixture::minimal("", "").option("route.0.upstream", url);
    let fault = only(&upstream("http://127.0.0.1:8000/webhooks/paddle"));
    let fix = "write \"http://127.0.0.1:8000\"; a table with `path` sends every request to one path";
    assert_eq!(fault.fix, fix, "{fault}");
    upstream("http://127.0.0.1:8000/app").config();
}

/// A listener without TLS stands behind a proxy, whose address must be known.
#[test]
fn plaintext_without_trusted_proxies_is_a_warning() {
    let listener = |address: &str, more: &str| {
        Fixture::new(&format!(
            r#"
listen = {{ address = "{address}", plaintext = true{more} }}
[[route]]
path = "/a"
provider = "paddle"
secrets = {{ env = "PADDLE_WEBHOOK_SECRET" }}
upstream = "http://127.0.0.1:8000"
"#
        ))
    };
    let warns = |fixture: Fixture| {
        fixture
            .config()
            .warnings
            .iter()
            .any(|text| text.contains("trusted_proxies"))
    };
    assert!(warns(listener("0.0.0.0:8080", "")));
    assert!(!warns(listener("0.0.0.0:8080", ", trusted_proxies = [\"10.0.0.0/8\"]")));
    assert!(!warns(listener("127.0.0.1:8080", "")));
    let notes = listener("127.0.0.1:8080", "").inspect().unwrap().notes;
    assert!(notes.iter().any(|text| text.contains("trusted_proxies")), "{notes:?}");
}
