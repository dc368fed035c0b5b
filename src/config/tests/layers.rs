//! Variables and command-line options: which one counts, and their faults.

use super::{Fixture, SECRET};
use crate::settings::{Address, UpstreamTarget};
use hyper::Method;
use std::path::PathBuf;

#[test]
fn variables_override_the_file_and_options_override_both() {
    let fixture = Fixture::minimal("workers = 2\n[limits]\nconnections = 1\nheaders = 1\n", "")
        .variable("HOOKGATE_LIMITS__CONNECTIONS", "3")
        .variable("HOOKGATE_LIMITS__HEADERS", "3")
        .variable("HOOKGATE_LISTEN__ADDRESS", "[::]:9443")
        .variable("HOOKGATE_LISTEN__TRUSTED_PROXIES", r#"["10.0.0.0/8", "192.0.2.7"]"#)
        .variable("HOOKGATE_ROUTE__0__BODY_LIMIT", "2KiB")
        .variable("HOOKGATE_ROUTE__1__PATH", "/second")
        .variable("HOOKGATE_ROUTE__1__PROVIDER", "paddle")
        .variable("HOOKGATE_ROUTE__1__SECRETS__0__ENV", "PADDLE_WEBHOOK_SECRET")
        .variable("HOOKGATE_ROUTE__1__UPSTREAM", "unix:/run/app.sock")
        .option("limits.connections", "4")
        .option("route[0].name", "123")
        .option("route.1.methods", "GET");
    let config = fixture.config();
    assert_eq!(
        (config.workers, config.limits.connections, config.limits.headers),
        (2, 4, 3)
    );
    assert_eq!(config.listeners[0].address, Address::Tcp("[::]:9443".parse().unwrap()));
    assert_eq!(config.listeners[0].trusted_proxies.len(), 2);
    assert_eq!(
        (config.routes[0].body_limit, config.routes[0].name.as_str()),
        (2_048, "123")
    );
    assert_eq!(
        (config.routes[1].path.as_str(), &config.routes[1].methods[..]),
        ("/second", &[Method::GET][..])
    );
    assert_eq!(
        config.routes[1].upstream.servers[0].target,
        UpstreamTarget::Unix(PathBuf::from("/run/app.sock"))
    );
}

/// A container may have no configuration file.
#[test]
fn the_environment_alone_is_a_complete_configuration() {
    let fixture = Fixture::new("");
    let mut sources = fixture
        .variable("HOOKGATE_LISTEN__ADDRESS", "0.0.0.0:8080")
        .variable("HOOKGATE_LISTEN__PLAINTEXT", "true")
        .variable("HOOKGATE_ROUTE__0__PATH", "/hook")
        .variable("HOOKGATE_ROUTE__0__PROVIDER", "paddle")
        .variable("HOOKGATE_ROUTE__0__SECRETS", r#"[{ env = "HOOKGATE_SECRET" }]"#)
        .variable("HOOKGATE_SECRET", SECRET)
        .variable("HOOKGATE_ROUTE__0__UPSTREAM", "http://127.0.0.1:8000")
        .sources();
    sources.file = None;
    let loaded = super::inspect(&sources).unwrap();
    assert_eq!(loaded.config.routes[0].path, "/hook");
    assert!(loaded.files.is_empty());
}

#[test]
fn a_fault_names_the_variable_or_option() {
    for (name, value, words) in [
        ("HOOKGATE_CONECTIONS", "1", "unknown key `conections`"),
        ("HOOKGATE_LIMITS__CONECTIONS", "1", "did you mean `connections`"),
        ("HOOKGATE_LIMITS__", "1", "does not name a key"),
        ("HOOKGATE_ROUTE__PATH", "/a", "route[0].path"),
        ("HOOKGATE_ROUTE__2__PATH", "/a", "has 1 items"),
        ("HOOKGATE_ROUTE__0__UPSTREAM__TIMEOUT", "1s", "not a table"),
        ("HOOKGATE_ROUTE__0__SECRETS", "canary", "must not be part"),
        ("HOOKGATE_ROUTE__0__MODE", "{ canary = 5 }", "\"report\""),
        ("HOOKGATE_LIMITS__CONNECTIONS", "canary", "not a whole number"),
        ("HOOKGATE_LIMITS__CONNECTIONS", "", "not a whole number"),
    ] {
        let faults = Fixture::minimal("", "").variable(name, value).faults();
        let text = faults.to_string();
        assert!(
            faults.faults.len() == 1 && text.contains(name) && text.contains(words),
            "{text}"
        );
        assert!(!text.contains("canary"), "{text}");
    }
    for (key, words) in [
        ("limits..headers", "this is not a key"),
        ("limits.headerz", "did you mean `headers`"),
        ("workers.a", "not a table"),
    ] {
        let text = Fixture::minimal("workers = 1", "")
            .option(key, "1")
            .faults()
            .to_string();
        assert!(text.contains(words) && text.contains("command line: "), "{text}");
    }
}

#[test]
fn only_a_variable_with_our_prefix_must_be_utf8() {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = || std::ffi::OsString::from_vec(b"\xff".to_vec());
    let mut fixture = Fixture::minimal("", "");
    fixture.environment.push(("LS_COLORS".into(), bytes()));
    fixture.environment.push((bytes(), bytes()));
    fixture.config();
    fixture.environment.push(("HOOKGATE_WORKERS".into(), bytes()));
    assert!(
        fixture
            .faults()
            .to_string()
            .contains("HOOKGATE_WORKERS: the value of this variable is not UTF-8")
    );
}

/// Kubernetes sets these variables in every pod if a Service is named `hookgate` or `hookgate-…`.
#[test]
fn service_links_of_kubernetes_are_not_keys() {
    let mut fixture = Fixture::minimal("", "").variable("HOOKGATE_CONFIG", "/elsewhere");
    for name in [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTPS",
        "PORT",
        "PORT_8443_TCP",
        "PORT_8443_TCP_PROTO",
        "PORT_8443_TCP_PORT",
        "PORT_8443_TCP_ADDR",
        "ADMIN_SERVICE_HOST",
        "ADMIN_SERVICE_PORT",
        "ADMIN_PORT",
        "ADMIN_PORT_9464_TCP",
        "ADMIN_PORT_9464_UDP_ADDR",
    ] {
        fixture = fixture.variable(&format!("HOOKGATE_{name}"), "tcp://10.0.0.1:8443");
    }
    fixture.config();
    for name in ["PORTS", "PORT_8443", "PORT_X_TCP", "SERVICE", "PORT_8443_TCP_X"] {
        Fixture::minimal("", "")
            .variable(&format!("HOOKGATE_{name}"), "1")
            .faults();
    }
}
