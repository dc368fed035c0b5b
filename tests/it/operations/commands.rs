//! The commands that people and scripts run, as processes: exit codes, their output, and whether the output is true.

use crate::support::gateway::binary;
use crate::support::paddle::{PATH, SECRET, signature};
use crate::support::{Setup, Upstream, eventually};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// Runs the command to its end with `input` on standard input.
fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn hookgate(arguments: &[&str]) -> Command {
    let mut command = binary();
    command.args(arguments).env("PADDLE_SECRET", SECRET);
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[track_caller]
/// Asserts the exit code, and that no output contains the secret.
fn exits(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    for stream in [&output.stdout, &output.stderr] {
        assert!(
            !String::from_utf8_lossy(stream).contains(SECRET),
            "the output contains the secret"
        );
    }
}

#[test]
fn every_row_of_the_demo_is_as_expected_and_its_files_are_removed() {
    let temporary = tempfile::tempdir().unwrap();
    let output = run(
        hookgate(&["demo", "--exit", "--json"]).env("TMPDIR", temporary.path()),
        b"",
    );
    exits(&output, 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true);
    let rows = report["rows"].as_array().unwrap();
    let answers: Vec<_> = rows.iter().map(|row| row["came_back"].as_str().unwrap()).collect();
    for expected in [
        "200",
        "401 signature_missing",
        "401 signature_mismatch",
        "401 timestamp_stale",
        "401 timestamp_future",
        "409 replayed",
        "413 body_too_large",
        "400 header_conflict",
        "404 no_route",
        "500 from the application",
        "15 requests counted",
    ] {
        assert!(
            answers.contains(&expected),
            "{expected} was not received among {answers:?}"
        );
    }
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// Follows the instructions that `demo` prints exactly, with a shell, openssl and curl.
#[test]
fn the_demo_serves_and_what_it_prints_can_be_pasted() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = hookgate(&["demo"])
        .env("TMPDIR", temporary.path())
        .env("TERM", "xterm")
        .spawn()
        .unwrap();
    let printed = Arc::new(Mutex::new(String::new()));
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn({
        let printed = Arc::clone(&printed);
        move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut buffer) {
                printed
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        }
    });
    let shown = eventually("the printed instructions", || {
        let text = printed.lock().unwrap().clone();
        text.contains("Serving until Ctrl-C").then_some(text)
    });
    assert!(!shown.contains('\x1b'), "colours without a terminal: {shown}");
    let from = shown.find("body=").unwrap();
    let snippet = &shown[from..from + shown[from..].find("\n\n").unwrap()];
    let pasted = Command::new("sh").args(["-ec", snippet]).output().unwrap();
    assert_eq!(
        text(&pasted.stdout),
        "{\"received\":63}\n",
        "needs openssl and curl: {pasted:?}"
    );
    eventually("the audit line of the pasted request", || {
        printed.lock().unwrap().contains(" forwarded route=").then_some(())
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    reader.join().unwrap();
    let lines = printed
        .lock()
        .unwrap()
        .lines()
        .filter(|line| line.contains(" request_id="))
        .count();
    assert_eq!(lines, 1, "the audit lines of the demonstration itself are not shown");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn sign_gives_the_same_signature_as_an_independent_implementation() {
    let directory = tempfile::tempdir().unwrap();
    let (secret, body) = (directory.path().join("secret"), directory.path().join("body"));
    let bytes = b"{\"name\":\"Zo\xc3\xab\"}\r\n\xff\x00";
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    std::fs::write(&body, bytes).unwrap();
    let expected = format!("Paddle-Signature: {}\n", signature(SECRET, 1_671_552_777, bytes));
    let (secret, body) = (secret.to_str().unwrap(), body.to_str().unwrap());
    for arguments in [
        ["sign", body, "--secret-env", "PADDLE_SECRET"],
        ["sign", "-", "--secret-env", "PADDLE_SECRET"],
        ["sign", body, "--secret-file", secret],
    ] {
        let output = run(hookgate(&arguments).args(["--timestamp", "1671552777"]), bytes);
        exits(&output, 0);
        assert_eq!(text(&output.stdout), expected, "{arguments:?}");
    }
}

#[test]
fn send_delivers_and_reports_failures() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let certificate = gateway.setup.directory().join("tls.crt");
    let url = format!("https://localhost:{}{PATH}", gateway.tls().port());
    let send = |more: &[&str]| {
        let mut command = hookgate(&["send", &url, "--secret-env", "PADDLE_SECRET"]);
        run(command.args(more), b"{\"a\":1}")
    };
    let ca = certificate.to_str().unwrap();
    exits(&send(&["--ca", ca, "--body", "-", "--header", "X-Test: yes"]), 0);
    let first = upstream.requests().remove(0);
    assert_eq!(first.body, b"{\"a\":1}");
    let many = send(&["--insecure", "--count", "200", "--concurrency", "4", "--json"]);
    exits(&many, 0);
    let summary: Value = serde_json::from_slice(&many.stdout).unwrap();
    assert_eq!(
        (&summary["sent"], &summary["statuses"]["200"]),
        (&200.into(), &200.into())
    );
    assert_eq!(upstream.requests().len(), 201);

    exits(&send(&["--ca", ca, "--secret-env", "OTHER"]), 2);
    let mut unknown_secret = hookgate(&["send", &url, "--ca", ca, "--secret-env", "OTHER"]);
    let refused = run(unknown_secret.env("OTHER", "another secret, of another endpoint"), b"");
    exits(&refused, 1);
    assert!(text(&refused.stdout).contains("signature_mismatch"), "{refused:?}");
    let untrusted = send(&[]);
    exits(&untrusted, 1);
    assert!(text(&untrusted.stdout).contains("--ca"), "{untrusted:?}");
    let replays = send(&["--insecure", "--body", "-", "--count", "2"]);
    exits(&replays, 2);
    assert!(text(&replays.stderr).contains("{{number}}"), "{replays:?}");
    assert_eq!(upstream.requests().len(), 201);
}

#[test]
fn the_exit_code_of_healthcheck_depends_on_readiness() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).start();
    let address = gateway.admin().to_string();
    exits(&run(&mut hookgate(&["healthcheck", "--address", &address]), b""), 0);
    let mut by_variable = hookgate(&["healthcheck", "--config", "/nonexistent.toml"]);
    exits(&run(by_variable.env("HOOKGATE_ADMIN__ADDRESS", &address), b""), 0);
    drop(gateway);
    let stopped = run(&mut hookgate(&["healthcheck", "--address", &address]), b"");
    exits(&stopped, 1);
    assert!(text(&stopped.stderr).contains(&address), "{stopped:?}");
}

/// I04, I15: exit code 2 before anything is started, and even a misplaced secret is not printed.
#[test]
fn usage_and_configuration_faults_exit_with_2() {
    for arguments in [
        &["serve", "--config", "/nonexistent/gateway.toml"][..],
        &["--config", "/nonexistent/gateway.toml"],
        &["check", "--config", "/nonexistent/gateway.toml"],
        &["frobnicate"],
        &["serve", "--set", "limits"],
        &["sign", "/nonexistent", "--secret-env", "PADDLE_SECRET"],
        &["sign", "-"],
        &["sign", "-", "--secret-env", SECRET],
        &["sign", "-", "--secret-file", "/nonexistent/secret"],
        &["send", "/webhooks/paddle", "--secret-env", "PADDLE_SECRET"],
        &[
            "send",
            "https://localhost/",
            "--secret-env",
            "PADDLE_SECRET",
            "--ca",
            "/nonexistent/ca.pem",
        ],
        &["healthcheck", "--address", "localhost"],
    ] {
        let output = run(&mut hookgate(arguments), b"");
        exits(&output, 2);
        assert!(
            !(output.stderr.is_empty() && output.stdout.is_empty()),
            "{arguments:?} prints nothing"
        );
    }
}

#[test]
fn help_and_completions_are_printed() {
    let help = run(&mut hookgate(&["--help"]), b"");
    exits(&help, 0);
    assert!(text(&help.stdout).contains("Exit codes:"));
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&mut hookgate(&["completions", shell]), b"");
        exits(&script, 0);
        assert!(text(&script.stdout).contains("healthcheck"), "{shell}");
    }
}
