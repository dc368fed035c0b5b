//! Faults of invalid configurations: each has its key, its line and its fix.

use super::Fixture;
use crate::config::Fault;

/// The only fault of a configuration. Panics with all faults if there are several.
#[track_caller]
pub(super) fn only(fixture: &Fixture) -> Fault {
    let faults = fixture.faults();
    assert_eq!(faults.faults.len(), 1, "{faults}");
    faults.faults[0].clone()
}

/// CASES I04: all faults at once, in the order of the lines, each with key and line.
#[test]
fn all_faults_are_listed_at_once() {
    let fixture = Fixture::new(
        r#"workers = 0
[listen]
address = "localhost:8443"
port = 1

[limits]
conections = 1
head_bytes = "4KiB"
headers = "many"
idle_timeout = 5

[[route]]
path = "/a/../b"
provider = "padle"
tolerence = "5s"
secrets = ["pdl_ntfset_in_the_file_itself", { env = "NOT_SET" }, { env = "NOT_SET_EITHER", vaule = 1 }]
upstream = "http://127.0.0.1:8000"
allow = ["10.0.0.1/8", "everyone"]

[[route]]
provider = "paddle"
upstream = ["http://a", "http://a"]
reject_status = 410
"#,
    )
    .variable("HOOKGATE_LIMITS__HEAD_TIMEOUT", "soon")
    .option("drain.grace", "0s");
    let faults = fixture.faults();
    let text = faults.to_string().replace(&fixture.path("").display().to_string(), "");
    let expected = [
        "gateway.toml has 23 faults:",
        "line 1: workers: this number is out of bounds; write a number from 1 to 1024",
        "line 2: listen.tls: this listener has no certificate, so webhooks would arrive unencrypted; write `tls = { certificate = \"…\", key = \"…\" }`, or `plaintext = true` behind a proxy that terminates TLS",
        "line 3: listen.address: `localhost:8443` is not an address with a port; write \"127.0.0.1:8443\"",
        "line 4: listen.port: unknown key: the port is part of the address, such as \"0.0.0.0:8443\"",
        "line 7: limits.conections: unknown key `conections`, did you mean `connections`?",
        "line 8: limits.head_bytes: this size is out of bounds; write a size from \"8KiB\" to \"16MiB\"",
        "line 9: limits.headers: this is not a whole number; write digits without quotes, such as 100",
        "line 10: limits.idle_timeout: this is not a duration; write a number with its unit, such as \"500ms\", \"5s\", \"2m\" or \"24h\" (at most one year)",
        "line 13: route[0].path: servers interpret the segments `.` and `..` differently; write the path as the sender sends it, such as \"/webhooks/paddle\" or \"/webhooks/*\"",
        "line 14: route[0].provider: unknown provider `padle`, did you mean `paddle`?",
        "line 15: route[0].tolerence: unknown key `tolerence`, did you mean `tolerance`?",
        "line 16: route[0].secrets[0]: a secret must not be part of the configuration itself, where backups, `git` and process lists would show it; write { env = \"NAME_OF_A_VARIABLE\" } or { file = \"/path\" }",
        "line 16: route[0].secrets[2].vaule: unknown key `vaule`; the keys of this table are `name`, `env`, `file`, `retired`, `directory` and `by`",
        "line 16: route[0].secrets[1].env: the variable NOT_SET is not set; export it, or remove this entry",
        "line 16: route[0].secrets[2].env: the variable NOT_SET_EITHER is not set; export it, or remove this entry",
        "line 18: route[0].allow[0]: `10.0.0.1/8` has bits set after its prefix; write \"10.0.0.0/8\" for the network, or \"10.0.0.1\" for the one address",
        "line 18: route[0].allow[1]: `everyone` is neither a network nor an address; write \"203.0.113.0/24\", \"203.0.113.7\", or one of `github`, `stripe`, `paddle-live` and `paddle-sandbox`",
        "line 20: route[1].path: this route has no path; write `path = \"/webhooks/paddle\"`",
        "line 20: route[1].secrets: this route has neither `secrets` nor `public_keys`; write `secrets = [{ env = \"PADDLE_WEBHOOK_SECRET\" }]`",
        "line 22: route[1].upstream[1]: this is the same server as route[1].upstream[0]; remove one of them; `weight` gives a server a larger share",
        "line 23: route[1].reject_status: senders interpret other statuses as success, as a redirect or as a removed endpoint; write 400, 401, 403, or 500 for providers that retry only on 5xx",
        "HOOKGATE_LIMITS__HEAD_TIMEOUT: limits.head_timeout: this is not a duration; write a number with its unit, such as \"500ms\", \"5s\", \"2m\" or \"24h\" (at most one year)",
        "command line: drain.grace: a timeout of zero would expire immediately; write a duration such as \"25s\"",
    ];
    // The lines with the text of the file are left out here, and the columns.
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("    ")).collect();
    for (line, expected) in lines.iter().zip(expected) {
        let line = match line.split_once(", column ") {
            Some((line, rest)) => format!("{line}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
            None => (*line).to_owned(),
        };
        assert!(line.trim().starts_with(expected), "{line}\n  is not\n{expected}");
    }
    assert_eq!(lines.len(), expected.len(), "{text}");
}

#[test]
fn syntax_errors_are_listed_by_line_without_their_text() {
    let fixture = Fixture::minimal("", "name = 'a\nmode = = \"canary\"\nsecrets = \"canary\n");
    let faults = fixture.faults();
    let lines: Vec<_> = faults.faults.iter().map(|fault| fault.line).collect();
    assert!(lines.len() >= 2 && lines.iter().all(Option::is_some), "{faults}");
    assert!(!faults.to_string().contains("canary"), "{faults}");
    // One slip is one fault.
    let mut distinct = lines.clone();
    distinct.dedup();
    assert_eq!(lines, distinct, "{faults}");
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_fault() {
    let mut sources = Fixture::new("").sources();
    sources.file = Some("/nonexistent/gateway.toml".into());
    let faults = super::inspect(&sources).unwrap_err();
    let expected = "/nonexistent/gateway.toml has 1 fault:\n  the file does not exist; write the path of a readable file after `--config`; without it, ./gateway.toml and /etc/hookgate/gateway.toml are tried; `hookgate init` writes one";
    assert_eq!(faults.to_string(), expected);
    let fixture = Fixture::new("");
    std::fs::write(fixture.path("gateway.toml"), b"workers = \xff").unwrap();
    assert_eq!(only(&fixture).problem, "the file is not UTF-8, so it is not TOML");
}

#[test]
fn an_empty_file_lacks_a_listener_and_a_route() {
    let keys: Vec<String> = Fixture::new("")
        .faults()
        .faults
        .into_iter()
        .map(|fault| fault.key)
        .collect();
    assert_eq!(keys, ["listen", "route"]);
}

const SECOND_ROUTE: &str =
    "provider = \"paddle\"\nsecrets = { env = \"PADDLE_WEBHOOK_SECRET\" }\nupstream = \"unix:/app.sock\"";

#[test]
fn routes_have_distinct_patterns_and_names() {
    for (lines, key) in [
        ("[[route]]\npath = \"/webhooks/paddle\"", "route[1].path"),
        ("[[route]]\nname = \"x\"\npath = \"/webhooks/paddle\"", "route[1].path"),
        ("name = \"x\"\n[[route]]\nname = \"x\"\npath = \"/b\"", "route[1].name"),
        (
            "host = \"A.example\"\n[[route]]\nhost = \"a.example\"\npath = \"/webhooks/paddle\"",
            "route[1].path",
        ),
    ] {
        let fault = only(&Fixture::minimal("", &format!("{lines}\n{SECOND_ROUTE}")));
        assert!(
            fault.key == key && fault.problem.contains("route[0]"),
            "{lines}: {fault}"
        );
    }
    let other_host = "[[route]]\nhost = \"a.example\"\npath = \"/webhooks/paddle\"";
    assert_eq!(
        Fixture::minimal("", &format!("{other_host}\n{SECOND_ROUTE}"))
            .config()
            .routes
            .len(),
        2
    );
}

/// Each row is a configuration with one fault: its key, and words of the fault.
#[test]
fn each_fault_of_a_route_has_its_key_and_fix() {
    for (lines, key, words) in [
        ("host = \"a:80\"", "host", "host name"),
        ("methods = [\"post\"]", "methods[0]", "capital"),
        ("methods = \"CONNECT\"", "methods", "CONNECT"),
        ("tolerance = \"0s\"", "tolerance", "unlimited"),
        ("tolerance = \"off\"", "tolerance", "unlimited"),
        ("tolerance = \"1500ms\"", "tolerance", "whole seconds"),
        ("tolerance = 5", "tolerance", "\"5s\""),
        ("replay = { window = \"9s\" }", "replay.window", "twice the tolerance"),
        ("replay = { window = \"0s\" }", "replay.window", "enabled = false"),
        (
            "replay = { enabled = false, on_replay = \"reject\" }",
            "replay",
            "have no effect",
        ),
        (
            "replay = { on_replay = \"accept\" }",
            "replay.on_replay",
            "\"acknowledge\"",
        ),
        ("replay = true", "replay", "this is a boolean"),
        ("mode = \"off\"", "mode", "\"report\""),
        ("body_limit = \"65MiB\"", "body_limit", "limits.in_flight_bytes"),
        ("body_limit = 0", "body_limit", "\"1B\""),
        ("body_limit = \"1 parsec\"", "body_limit", "\"1MiB\""),
        ("body_limit = -1", "body_limit", "size"),
        ("body_limit = 99999999999999999999", "body_limit", "size"),
        ("body_timeout = \"0ms\"", "body_timeout", "zero"),
        ("body_timeout = \"10000d\"", "body_timeout", "year"),
        ("reject_status = 302", "reject_status", "403"),
        ("reject_status = 70000", "reject_status", "403"),
        ("refusal_detail = true", "refusal_detail", "\"none\""),
        (
            "dedupe = { header = \"X-Id\", pointer = \"/id\" }",
            "dedupe",
            "more than one location",
        ),
        ("dedupe = { pointer = \"id\" }", "dedupe", "leading slash"),
        ("dedupe = { window = \"0s\" }", "dedupe.window", "\"3d\""),
        (
            "dedupe = { on_missing_id = \"accept\" }",
            "dedupe.on_missing_id",
            "\"forward\"",
        ),
        ("name = \"a b\"", "name", "visible ASCII"),
        ("name = 5", "name", "quotation marks"),
        ("public_url = \"https://example.com/hook\"", "", "public_url"),
        ("custom = {}", "", "custom"),
    ] {
        let fault = only(&Fixture::minimal("", lines));
        let key = format!("route[0].{key}");
        assert!(
            fault.key == key.trim_end_matches('.') && fault.to_string().contains(words),
            "{lines}: {fault}"
        );
        assert!(fault.line.is_some(), "{lines}: {fault}");
    }
}

#[test]
fn each_fault_of_a_listener_has_its_key_and_fix() {
    const TLS: &str = "tls = { certificate = \"DIR/tls.crt\", key = \"DIR/tls.key\" }";
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (text, key, words) in [
        ("TLS", "listen.address", "no address"),
        ("address = \":8443\"\nTLS", "listen.address", "0.0.0.0:8443"),
        ("address = \"0.0.0.0\"\nTLS", "listen.address", "port"),
        ("address = \"0.0.0.0:1\"\nunix = \"/a\"\nTLS", "listen", "both"),
        (
            "address = \"0.0.0.0:1\"\nmode = \"0600\"\nTLS",
            "listen.mode",
            "file mode",
        ),
        ("unix = \"/a\"\nmode = 660\nTLS", "listen.mode", "\"0660\""),
        (
            "unix = \"/a\"\nplaintext = true\nclient_auth = { ca = \"DIR/tls.crt\" }",
            "listen.client_auth",
            "without `tls`",
        ),
        (
            "unix = \"/a\"\nclient_auth = {}\nTLS",
            "listen.client_auth.ca",
            "missing",
        ),
        (
            "unix = \"/a\"\nclient_auth = { ca = \"DIR/gone.pem\" }\nTLS",
            "listen.client_auth.ca",
            "gone.pem",
        ),
        (
            "unix = \"/a\"\nclient_auth = { ca = \"DIR/tls.crt\", mode = \"maybe\" }\nTLS",
            "listen.client_auth.mode",
            "\"optional\"",
        ),
        ("unix = \"/a\"\nmode = \"0999\"\nTLS", "listen.mode", "octal"),
        (
            "address = \"0.0.0.0:1\"\nplaintext = true\nTLS",
            "listen.plaintext",
            "both",
        ),
        (
            "address = \"0.0.0.0:1\"\ntls_minimum = 1.2\nTLS",
            "listen.tls_minimum",
            "\"1.3\"",
        ),
        (
            "address = \"0.0.0.0:1\"\nplaintext = true\ntls_minimum = \"1.2\"",
            "listen.tls_minimum",
            "no TLS version",
        ),
        (
            "address = \"0.0.0.0:1\"\nplaintext = false",
            "listen.tls",
            "unencrypted",
        ),
        ("unix = \"/a\"", "listen.tls", "unencrypted"),
        (
            "address = \"0.0.0.0:1\"\ntls = { certificate = \"tls.crt\" }",
            "listen.tls.key",
            "missing",
        ),
        (
            "address = \"0.0.0.0:1\"\ntls = { certificate = \"tls.crt\", key = \"none\" }",
            "listen.tls",
            "none",
        ),
        (
            "address = \"0.0.0.0:1\"\ntls = { certificate = \"tls.crt\", key = \"tls.crt\" }",
            "listen.tls",
            "tls.crt",
        ),
        (
            "address = \"0.0.0.0:1\"\ntls = { certificate = \"tls.key\", key = \"tls.key\" }",
            "listen.tls",
            "tls.key",
        ),
        (
            "address = \"0.0.0.0:1\"\ntls = { certificate = \"tls.crt\", key = \"other.key\" }",
            "listen.tls",
            "other.key",
        ),
        ("address = \"127.0.0.1:9464\"\nTLS", "admin.address", "another port"),
        (
            "address = \"0.0.0.0:1\"\ntrusted_proxies = \"nginx\"\nTLS",
            "listen.trusted_proxies",
            "network",
        ),
        (
            "address = \"0.0.0.0:1\"\nproxy_protocol = true\nTLS",
            "listen.proxy_protocol",
            "`trusted_proxies`",
        ),
    ] {
        let fixture = Fixture::new(&format!(
            "[listen]\n{}\n[[route]]\npath = \"/a\"\n{SECOND_ROUTE}\n",
            text.replace("TLS", TLS)
        ));
        std::fs::write(fixture.path("other.key"), &other).unwrap();
        let fault = only(&fixture);
        assert!(fault.key == key && fault.to_string().contains(words), "{text}: {fault}");
    }
    for (second, key, words) in [
        ("name = \"b\"\naddress = \"0.0.0.0:1\"", "listen[1]", "same address"),
        ("name = \"0.0.0.0:1\"\naddress = \"0.0.0.0:2\"", "listen[1]", "named"),
    ] {
        let text = format!(
            "[[listen]]\naddress = \"0.0.0.0:1\"\n{TLS}\n[[listen]]\n{second}\n{TLS}\n[[route]]\npath = \"/a\"\n{SECOND_ROUTE}\n"
        );
        let fault = only(&Fixture::new(&text));
        assert!(
            fault.key == key && fault.to_string().contains(words),
            "{second}: {fault}"
        );
    }
}

#[test]
fn each_fault_of_another_table_has_its_key_and_fix() {
    for (top, key, words) in [
        ("listen.x = 1", "", "written twice"),
        ("[admin]\naddress = \"9464\"", "admin.address", "port"),
        ("[replay]\ncapacity = 0", "replay.capacity", "from 1"),
        ("[log]\nformat = \"xml\"", "log.format", "\"human\""),
        ("[log]\nfilter = \"a=b=c\"", "log.filter", "filter"),
        ("[limits]\nper_source = \"10\"", "limits.per_source", "100/s"),
        ("[limits]\nper_source = \"0/s\"", "limits.per_source", "100/s"),
        ("[limits]\nhttp2_streams = 0", "limits.http2_streams", "from 1"),
        (
            "[limits]\nin_flight_bytes = \"1KiB\"",
            "route[0].body_limit",
            "limits.in_flight_bytes",
        ),
        ("limits = 5", "limits", "this is an integer"),
        (
            "[upstreams.\"a b\"]\nurl = \"http://127.0.0.1\"",
            "upstreams.a b",
            "not a name of an upstream",
        ),
        ("port = 5", "port", "under `[listen]`"),
    ] {
        let fault = only(&Fixture::minimal(top, ""));
        assert!(fault.key == key && fault.to_string().contains(words), "{top}: {fault}");
    }
}
