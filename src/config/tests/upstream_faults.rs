//! Faults of upstreams: each has its key and its fix.

use super::Fixture;
use super::faults::only;

#[test]
fn each_fault_of_an_upstream_has_its_key_and_fix() {
    for (upstream, key, words) in [
        ("\"app\"", "", "neither a URL nor the name"),
        (
            "\"ap\"\n[upstreams.api]\nurl = \"http://127.0.0.1\"",
            "",
            "did you mean `api`",
        ),
        ("\"http://user:canary@127.0.0.1\"", "", "a user and a password"),
        ("\"http://127.0.0.1:8443\"", "", "address of the gateway itself"),
        ("\"https://localhost:8443\"", "", "address of the gateway itself"),
        ("\"http://localhost:9464\"", "", "address of the gateway itself"),
        ("5", "", "this is an integer"),
        ("{}", ".url", "no URL"),
        ("{ url = \"http://127.0.0.1\", ca = \"tls.crt\" }", "", "`https://`"),
        (
            "{ url = \"https://127.0.0.1\", ca = \"gateway.toml\" }",
            "",
            "has no certificate in PEM",
        ),
        (
            "{ url = \"https://127.0.0.1\", ca = \"missing.pem\" }",
            "",
            "missing.pem",
        ),
        (
            "{ url = \"https://127.0.0.1\", ca = \"tls.crt\", client = { certificate = \"tls.crt\" } }",
            ".client.key",
            "missing",
        ),
        (
            "{ url = \"https://127.0.0.1\", ca = \"tls.crt\", client = { certificate = \"tls.crt\", key = \"tls.crt\" } }",
            "",
            "tls.crt",
        ),
        ("{ url = \"http://127.0.0.1\", timeout = \"0s\" }", ".timeout", "zero"),
        (
            "{ url = \"http://127.0.0.1\", host = \"https://app\" }",
            ".host",
            "host name",
        ),
        ("{ url = \"http://127.0.0.1\", host = \"app:0\" }", ".host", "host name"),
        ("{ url = \"http://127.0.0.1\", host = \"\" }", ".host", "host name"),
        (
            "{ url = \"http://127.0.0.1\", path = \"api\" }",
            ".path",
            "begin with `/`",
        ),
        ("{ url = \"http://127.0.0.1\", path = \"/a?b\" }", ".path", "query"),
        ("{ url = \"http://127.0.0.1\", path = \"/a/*\" }", ".path", "`/*`"),
        ("{ url = \"http://127.0.0.1/base\", path = \"/a\" }", ".path", "`/base`"),
        (
            "{ url = \"http://127.0.0.1\", max_connections = 0 }",
            ".max_connections",
            "from 1",
        ),
    ] {
        let fault = only(&with_upstream(upstream));
        assert!(
            fault.key == format!("route[0].upstream{key}") && fault.to_string().contains(words),
            "{upstream}: {fault}"
        );
        assert!(!fault.to_string().contains("canary"), "{fault}");
    }
}

#[test]
fn each_fault_of_several_servers_has_its_key_and_fix() {
    for (upstream, key, words) in [
        ("[]", "", "no URL"),
        ("{ url = [] }", ".url", "no URL"),
        (
            "[\"http://127.0.0.1\", \"app\"]",
            "[1]",
            "does not begin with `http://`",
        ),
        ("[\"http://127.0.0.1\", { weight = 2 }]", "[1].url", "no URL"),
        ("[\"http://127.0.0.1\", 5]", "[1]", "this is an integer"),
        ("[\"http://127.0.0.1\", \"http://user:canary@b\"]", "[1]", "password"),
        (
            "[\"http://127.0.0.1\", { url = \"http://127.0.0.1:80\" }]",
            "[1].url",
            "same server as route[0].upstream[0]",
        ),
        (
            "[\"http://127.0.0.1/a\", \"http://127.0.0.1:81/b\"]",
            "[1]",
            "the path differs",
        ),
        (
            "{ url = [{ url = \"http://127.0.0.1\", weight = 0 }] }",
            ".url[0].weight",
            "from 1 to 1000",
        ),
        (
            "[{ url = \"http://127.0.0.1\", wieght = 2 }]",
            "[0].wieght",
            "did you mean `weight`",
        ),
        (
            "[{ url = \"http://127.0.0.1\", timeout = \"2s\" }]",
            "[0].timeout",
            "unknown key",
        ),
        (
            "[\"http://127.0.0.1\", \"http://127.0.0.1:8443\"]",
            "",
            "address of the gateway itself",
        ),
        (
            "{ url = [\"http://127.0.0.1\", \"unix:/a\"], ca = \"tls.crt\" }",
            "",
            "`https://`",
        ),
        (
            "{ url = \"http://127.0.0.1\", ejection = { panic_below = 101 } }",
            ".ejection.panic_below",
            "from 0 to 100",
        ),
        (
            "{ url = \"http://127.0.0.1\", ejection = { backoff = \"10m\" } }",
            ".ejection.backoff_limit",
            "shorter than `backoff`",
        ),
        (
            "{ url = \"http://127.0.0.1\", health_check = {} }",
            ".health_check.path",
            "no path",
        ),
        (
            "{ url = \"http://127.0.0.1\", health_check = { path = \"healthz\" } }",
            ".health_check.path",
            "\"/healthz\"",
        ),
        (
            "{ url = \"http://127.0.0.1\", health_check = { path = \"/a b\" } }",
            ".health_check.path",
            "not a path",
        ),
        (
            "{ url = \"http://127.0.0.1\", health_check = { path = \"/\", interval = \"1ms\" } }",
            ".health_check.interval",
            "100 ms",
        ),
        (
            "{ url = \"http://127.0.0.1\", health_check = { path = \"/\", healthy_after = 0 } }",
            ".health_check.healthy_after",
            "from 1",
        ),
        (
            "{ url = \"http://127.0.0.1\", resolve_interval = \"1ms\" }",
            ".resolve_interval",
            "100 ms",
        ),
    ] {
        let fault = only(&with_upstream(upstream));
        assert!(
            fault.key == format!("route[0].upstream{key}") && fault.to_string().contains(words),
            "{upstream}: {fault}"
        );
        assert!(!fault.to_string().contains("canary"), "{fault}");
    }
    let crowd: Vec<String> = (1..=300).map(|port| format!("\"http://127.0.0.1:{port}\"")).collect();
    let fault = only(&with_upstream(&format!("[{}]", crowd.join(", "))));
    assert!(
        fault.key == "route[0].upstream" && fault.problem.contains("at most 256"),
        "{fault}"
    );
}

#[test]
fn each_fault_of_a_static_header_has_its_key_and_fix() {
    for (header, key, words) in [
        ("Host = \"a\"", "Host", "another name"),
        ("Hookgate-Verified = \"a\"", "Hookgate-Verified", "another name"),
        ("X-Forwarded-For = \"a\"", "X-Forwarded-For", "another name"),
        ("X-Original-URL = \"a\"", "X-Original-URL", "another name"),
        ("X_A = \"a\"", "X_A", "another name"),
        ("\"a b\" = \"a\"", "a b", "name of a header"),
        ("X-A = \"a\", x-a = \"b\"", "x-a", "twice"),
        ("X-A = \"\"", "X-A", "empty"),
        ("X-A = \"canary\\n\"", "X-A", "line end"),
        ("X-A = 5", "X-A", "this is an integer"),
        ("X-A = { env = \"NOT_SET\" }", "X-A.env", "not set"),
        ("X-A = { value = \"canary\" }", "X-A.value", "must not be part"),
    ] {
        let fault = with_upstream(&format!("{{ url = \"http://127.0.0.1\", headers = {{ {header} }} }}"))
            .faults()
            .faults
            .remove(0);
        assert!(
            fault.key == format!("route[0].upstream.headers.{key}") && fault.to_string().contains(words),
            "{header}: {fault}"
        );
        assert!(!fault.to_string().contains("canary"), "{fault}");
    }
}

#[test]
fn a_static_header_cannot_have_the_name_of_the_signature_header() {
    let fault = only(&with_upstream(
        "{ url = \"http://127.0.0.1\", headers = { Paddle-Signature = \"a\" } }",
    ));
    assert!(
        fault.key == "route[0].upstream" && fault.problem.contains("`paddle-signature`"),
        "{fault}"
    );
}

/// The smallest useful file with another upstream.
fn with_upstream(upstream: &str) -> Fixture {
    let fixture = Fixture::minimal("", "");
    let text = std::fs::read_to_string(fixture.path("gateway.toml")).unwrap();
    std::fs::write(
        fixture.path("gateway.toml"),
        text.replace("\"http://127.0.0.1:8000\"", upstream),
    )
    .unwrap();
    fixture
}
