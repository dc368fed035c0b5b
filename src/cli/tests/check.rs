//! `check`: its exit code says whether the configuration is valid, and its output is the configuration in force.

use crate::cli::check::{self, FAULTY, Format, VALID};
use crate::config::tests::{Fixture, SECRET};
use serde_json::{Value, json};

fn run(fixture: &Fixture, json: bool) -> (u8, String) {
    let mut out = Vec::new();
    let format = if json { Format::Json } else { Format::Toml };
    let code = check::run(&fixture.sources(), format, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn a_valid_configuration_is_printed_with_its_defaults() {
    let (code, text) = run(&Fixture::minimal("", ""), false);
    assert_eq!(code, VALID);
    let tree: toml::Table = text.parse().unwrap();
    assert_eq!(tree["limits"]["idle_timeout"].as_str(), Some("75s"));
    assert_eq!(tree["route"][0]["body_limit"].as_str(), Some("1MiB"));
    assert!(tree["route"][0]["secrets"][0].get("value").is_none());
    assert_eq!(
        tree["route"][0]["secrets"][0]["env"].as_str(),
        Some("PADDLE_WEBHOOK_SECRET")
    );
    assert!(text.ends_with("is valid\n") && !text.contains(SECRET), "{text}");
}

/// The output of `--print` is itself a configuration file, which gives the same output.
#[test]
fn the_output_loads_again_and_gives_the_same_output() {
    let route = "host = \"*.example.com\"\nallow = \"paddle-live\"\ntolerance = \"unlimited\"\nreplay = { window = \"90s\" }\nmode = \"report\"";
    for (top, route) in [
        ("", ""),
        (
            "[upstreams.app]\nurl = [\"http://127.0.0.1:8000\", { url = \"http://127.0.0.1:8001\", weight = 2 }]\nheaders = { X-A = { env = \"PADDLE_WEBHOOK_SECRET\" } }\n[replay]\nstore = \"redis://127.0.0.1/0\"\npassword = { env = \"PADDLE_WEBHOOK_SECRET\" }",
            "dedupe = { header = \"X-Id\" }\nrate = \"10/s\"\n[[route]]\npath = \"/custom\"\nprovider = \"custom\"\nsecrets = [{ env = \"PADDLE_WEBHOOK_SECRET\", name = \"a\" }, { env = \"OTHER\", retired = true }]\nupstream = \"app\"\nchallenge = { method = \"HEAD\" }\n[route.custom]\nsignature = { header = \"X-S\", field = \"v1\" }\ntimestamp = { field = \"t\" }\ntolerance = \"300s\"\npayload = \"{timestamp}.{body}\"",
        ),
        (
            "workers = 3\n[drain]\ndelay = \"1500ms\"\n[log]\nformat = \"human\"",
            route,
        ),
    ] {
        let fixture = Fixture::minimal(top, route).variable("OTHER", "another secret that is long enough");
        let (code, first) = run(&fixture, false);
        assert_eq!(code, VALID, "{first}");
        std::fs::write(fixture.path("gateway.toml"), &first).unwrap();
        let (code, second) = run(&fixture, false);
        // The comments name a listener by its place in the file, which is a list now.
        let settings = |text: &str| {
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!((code, settings(&second)), (VALID, settings(&first)));
    }
}

#[test]
fn faults_are_printed_and_the_exit_code_is_2() {
    let fixture = Fixture::minimal("wrokers = 1", "");
    let (code, text) = run(&fixture, false);
    assert_eq!(code, FAULTY);
    let expected = "gateway.toml has 1 fault:\n  line 1, column 1: wrokers: unknown key `wrokers`, did you mean `workers`?\n    1 | wrokers = …\n      | ^^^^^^^\n";
    assert!(text.ends_with(expected), "{text}");
    let (code, text) = run(&fixture, true);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &report["valid"], &report["configuration"]),
        (FAULTY, &json!(false), &Value::Null)
    );
    assert_eq!(report["faults"][0]["key"], json!("wrokers"));
    assert_eq!(report["faults"][0]["line"], json!(1));
}

/// G12: `check` prints a note for an upstream that is neither on loopback nor a Unix socket.
#[test]
fn warnings_and_notes_are_printed_and_the_exit_code_stays_0() {
    let fixture = Fixture::minimal("", "mode = \"report\"").option("route.0.upstream", "http://app.internal:8000");
    let (code, text) = run(&fixture, false);
    assert_eq!(code, VALID);
    assert!(text.contains("# warning: route[0].mode: report mode"), "{text}");
    assert!(
        text.contains("# note: route[0].upstream: `app.internal` is not a loopback address"),
        "{text}"
    );
    let (code, text) = run(&fixture, true);
    let report: Value = serde_json::from_str(&text).unwrap();
    let length = |key: &str| report[key].as_array().unwrap().len();
    assert_eq!((code, length("warnings"), length("notes")), (VALID, 1, 1));
    for upstream in ["http://localhost:8000", "http://[::1]:8000", "unix:/run/app.sock"] {
        let fixture = Fixture::minimal("", "").option("route.0.upstream", upstream);
        assert_eq!(fixture.inspect().unwrap().notes, Vec::<String>::new(), "{upstream}");
    }
}

#[test]
fn the_list_of_files_contains_every_file_that_was_read() {
    let fixture = Fixture::minimal("", "").option("route.0.secrets.1.file", "secret");
    fixture.write_private("secret", b"another secret that is long enough");
    let files = fixture.inspect().unwrap().files;
    assert_eq!(
        files,
        ["gateway.toml", "secret", "tls.crt", "tls.key"].map(|name| fixture.path(name))
    );
}

/// Without an option, `check` shows one line for each listener and each route, and everything that it warns of.
#[test]
fn a_summary_has_listeners_routes_and_warnings() {
    let fixture = Fixture::minimal("", "mode = \"report\"");
    let mut out = Vec::new();
    let code = check::run(&fixture.sources(), Format::Summary, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(code, VALID);
    assert_eq!(
        lines[..3],
        [
            "listen  0.0.0.0:8443 (TLS)",
            "admin   http://127.0.0.1:9464",
            "route   /webhooks/paddle: https://0.0.0.0:8443/webhooks/paddle -> http://127.0.0.1:8000/webhooks/paddle (paddle, 1 key)",
        ],
        "{text}"
    );
    assert!(
        text.contains("# warning: route[0].mode") && text.ends_with("is valid\n"),
        "{text}"
    );
    assert!(lines.len() < 8, "{text}");
}
