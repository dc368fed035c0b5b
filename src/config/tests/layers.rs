//! Faults of variables and command-line options.

use super::Fixture;

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
