//! I5: secrets planted in every source are searched for in everything that the process writes or shows.

use crate::support::gateway::binary;
use crate::support::paddle::{self, mac, signature};
use crate::support::{Setup, Upstream, Webhook};
use std::io::Read;
use std::process::Stdio;

const IN_ENVIRONMENT: &str = "pdl_ntfset_canary_environment_9f8e7d6c5b4a";
const IN_FILE: &str = "pdl_ntfset_canary_file_0a1b2c3d4e5f";
const IN_HEADER: &str = "canary_header_token_77aa88bb99cc";

fn assert_silent(what: &str, written: &str) {
    for canary in [IN_ENVIRONMENT, IN_FILE, IN_HEADER, "canary_", "canary-body"] {
        assert!(!written.contains(canary), "{what} contains {canary}");
    }
    for canary in [IN_ENVIRONMENT, IN_FILE, IN_HEADER] {
        assert!(
            !written.contains(&hex::encode(canary)),
            "{what} contains {canary} in hexadecimal"
        );
    }
}

/// I15, I4: logs at trace level, metrics, answers, the command line, and what other processes can see.
#[test]
fn a_serving_process_reveals_no_secret() {
    let upstream = Upstream::ok();
    let setup = Setup::new(&upstream.url());
    let file = setup.directory().join("secret");
    std::fs::write(&file, format!("{IN_FILE}\n")).unwrap();
    let route = format!(
        "[[route]]\nname = \"file\"\npath = \"/file\"\nprovider = \"paddle\"\nsecrets = [{{ file = {file:?} }}]\nupstream = {{ url = {:?}, headers = {{ X-Token = {{ env = \"TOKEN\" }} }} }}\ntolerance = \"60s\"",
        upstream.url()
    );
    let mut gateway = setup
        .secrets(&[IN_ENVIRONMENT])
        .more(&route)
        .variable("TOKEN", IN_HEADER)
        .variable("RUST_LOG", "trace")
        .variable("RUST_BACKTRACE", "full")
        .variable("HOOKGATE_LOG__FILTER", "trace,hyper=trace,h2=trace,rustls=trace")
        .start();
    let mut answers = String::new();
    let mut macs = Vec::new();
    let mut send = |webhook: Webhook| {
        let response = gateway.exchange(&webhook.bytes());
        answers.push_str(&String::from_utf8_lossy(&response.message.raw));
        macs.extend(
            webhook
                .signature
                .as_deref()
                .and_then(|value| value.split("h1=").nth(1))
                .map(str::to_owned),
        );
        response.status
    };
    let body = "canary-body";
    let ts = paddle::now();
    assert_eq!(send(Webhook::signed(body, IN_ENVIRONMENT, ts)), 200);
    assert_eq!(send(Webhook::signed(body, IN_FILE, ts).path("/file")), 200);
    assert_eq!(send(Webhook::signed(body, IN_ENVIRONMENT, ts)), 409);
    assert_eq!(send(Webhook::signed(body, IN_FILE, ts)), 401);
    assert_eq!(send(Webhook::signed(body, IN_ENVIRONMENT, 1_600_000_000)), 401);
    assert_eq!(send(Webhook::signed(body, IN_ENVIRONMENT, ts + 10_000)), 401);
    assert_eq!(send(Webhook::new(body).signature(None)), 401);
    assert_eq!(send(Webhook::new(body).signature(Some("canary_signature"))), 401);
    assert_eq!(send(Webhook::new(body).path("/other?token=canary_query")), 404);
    assert_eq!(send(Webhook::new(body).method("GET")), 405);
    assert_eq!(send(Webhook::new(body).header("Expect", "canary_expect")), 417);
    assert_eq!(send(Webhook::new(body).header("Paddle_Signature", "canary_alias")), 400);
    assert_eq!(send(Webhook::new(vec![b'x'; 2 << 20])), 413);
    // The MAC that hookgate computed for the refused webhook.
    macs.push(mac(IN_ENVIRONMENT, &ts.to_string(), b"other"));
    gateway.signal(rustix::process::Signal::HUP);
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "ok")], 1.0);

    let metrics = String::from_utf8(gateway.ask("/metrics").body.clone()).unwrap();
    let process = |name: &str| {
        let mut text = Vec::new();
        let mut file = std::fs::File::open(format!("/proc/{}/{name}", gateway.pid())).unwrap();
        file.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    };
    assert_silent("the command line", &process("cmdline"));
    // A core file would contain the keys: none is ever written, and no debugger of the same user can attach.
    let limits = process("limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    let owner =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("/proc/{}/mem", gateway.pid())).unwrap());
    assert_eq!(owner, 0, "a process that is not dumpable belongs to root in /proc");

    gateway.signal(rustix::process::Signal::TERM);
    assert!(gateway.wait_for_exit().success());
    for (what, written) in [
        ("an answer", &answers),
        ("/metrics", &metrics),
        ("a log line", &gateway.logs.text()),
    ] {
        assert_silent(what, written);
        for mac in &macs {
            assert!(!written.contains(mac.as_str()), "{what} contains a MAC");
        }
    }
    for request in upstream.requests() {
        let written = String::from_utf8_lossy(&request.raw)
            .replace(IN_HEADER, "")
            .replace("canary-body", "");
        assert_silent("the forwarded request", &written);
    }
}

/// I15: `check` prints the configuration in force, for people and as JSON, without any of its secrets.
#[test]
fn check_prints_no_secret() {
    let setup = Setup::new("http://127.0.0.1:1");
    let file = setup.directory().join("secret");
    std::fs::write(&file, format!("{IN_FILE}\n")).unwrap();
    let more = format!(
        "[[route]]\nname = \"file\"\npath = \"/file\"\nprovider = \"meta\"\nchallenge = true\nverify_token = {{ env = \"TOKEN\" }}\nsecrets = [{{ file = {file:?} }}]\nupstream = {{ url = \"http://127.0.0.1:1\", headers = {{ X-Token = {{ env = \"TOKEN\" }} }} }}"
    );
    let setup = setup.secrets(&[IN_ENVIRONMENT]).more(&more);
    setup.write();
    // A configuration file has the sources; the report for programs shows that there are values.
    for (arguments, redacted) in [
        (&["check"][..], 0),
        (&["check", "--print"], 0),
        (&["check", "--json"], 4),
    ] {
        let run = |faulty: bool| {
            let mut command = binary();
            command
                .args(arguments)
                .arg("--config")
                .arg(setup.file())
                .env("RUST_BACKTRACE", "full");
            command
                .env("PADDLE_SECRET_0", IN_ENVIRONMENT)
                .env("TOKEN", IN_HEADER)
                .env("RUST_LOG", "trace");
            if faulty {
                command.args(["--set", "route.0.tolerance=never", "--set", "route.1.provider=metta"]);
            }
            let output = command.output().unwrap();
            let printed = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8(printed).unwrap())
        };
        let (code, printed) = run(false);
        assert_eq!(code, Some(0), "{printed}");
        assert_eq!(printed.matches("[redacted]").count(), redacted, "{printed}");
        assert_silent("check", &printed);
        let (code, printed) = run(true);
        assert_eq!(code, Some(2), "{printed}");
        assert_silent("check of a faulty file", &printed);
    }
}

/// Run as a process of its own by the test below: loads a configuration with secrets and panics with all of it in the
/// message.
#[test]
#[ignore = "panics: `a_panic_prints_no_secret` starts it"]
fn panics_with_the_whole_configuration() {
    let sources = hookgate::config::Sources {
        file: std::env::var_os("CANARY_FILE").map(Into::into),
        environment: std::env::vars_os().collect(),
        overrides: Vec::new(),
    };
    let loaded = hookgate::config::inspect(&sources);
    let verifier = loaded.as_ref().map(|loaded| loaded.config.routes[0].verifier.clone());
    assert!(loaded.is_err(), "all values at hand: {verifier:?} {loaded:#?}");
}

/// I15: a real panic, with a full backtrace, of a process that holds secrets and formats every one of its values into
/// the message.
#[test]
fn a_panic_prints_no_secret() {
    let setup = Setup::new("http://127.0.0.1:1").secrets(&[IN_ENVIRONMENT]);
    let token = "upstream = { url = \"http://127.0.0.1:1\", headers = { X-Token = { env = \"TOKEN\" } } }";
    let setup = setup.more(&format!(
        "[[route]]\nname = \"meta\"\npath = \"/meta\"\nprovider = \"meta\"\nchallenge = true\nverify_token = {{ env = \"TOKEN\" }}\nsecrets = [{{ env = \"SECOND\" }}]\n{token}"
    ));
    setup.write();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "operations::canary::panics_with_the_whole_configuration",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("CANARY_FILE", setup.file())
        .env("PADDLE_SECRET_0", IN_ENVIRONMENT)
        .env("SECOND", IN_FILE)
        .env("TOKEN", IN_HEADER)
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{printed}");
    for expected in [
        "panicked at",
        "all values at hand",
        "stack backtrace",
        "PADDLE_SECRET_0",
        "challenges: [",
    ] {
        assert!(printed.contains(expected), "{expected} is not in {printed}");
    }
    assert_silent("a panic", &printed);
}

/// I01, I02: a secret is exactly the string in the environment, whatever other type it looks like.
#[test]
fn secrets_are_literal() {
    let upstream = Upstream::ok();
    for secret in [
        "1234567890123456789012345",
        "0123456789012345678901234",
        "+5555555555555555555555555",
        "[aaaaaaaaaaaaaaaaaaaaaaaa]",
        "{a=bbbbbbbbbbbbbbbbbbbbbb}",
        "\"quoted-quoted-quoted-quoted\"",
        "'quoted-quoted-quoted-quoted'",
        "  leading-and-trailing-spaces  ",
        "true-true-true-true-true-true",
    ] {
        let gateway = Setup::new(&upstream.url()).secrets(&[secret]).start();
        let webhook = Webhook::signed(secret, secret, paddle::now());
        assert_eq!(gateway.exchange(&webhook.bytes()).status, 200, "{secret:?}");
        assert_silent("the log", &gateway.logs.text());
        assert!(!gateway.logs.text().contains(secret.trim()), "{secret:?} was logged");
    }
}

/// Runs `serve` with a file that must be refused; returns its exit code and its output.
fn refused(text: &str, variables: &[(&str, &str)], files: &[(&str, &[u8])]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    std::fs::write(&file, text.replace("DIR", &directory.path().display().to_string())).unwrap();
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    let mut command = binary();
    command
        .args(["serve", "--config"])
        .arg(file)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped());
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&printed).into_owned())
}

/// The smallest configuration file, with `route` as the lines of its route.
fn file(route: &str) -> String {
    format!(
        "[listen]\naddress = \"127.0.0.1:0\"\nplaintext = true\n[admin]\naddress = \"127.0.0.1:0\"\n[[route]]\n{route}\n"
    )
}

/// I03, I04, I05, D09: a configuration that cannot work is refused at the start with exit code 2 and the name of the
/// key, without the value of any secret, and all faults are reported together.
#[test]
fn faults_at_the_start_are_reported_together() {
    let good = "path = \"/p\"\nprovider = \"paddle\"\nupstream = \"http://127.0.0.1:1\"\n";
    let secret = "secrets = [{ env = \"SECRET\" }]";
    let literal = format!("{good}secrets = [{IN_FILE:?}]");
    let cases: Vec<(String, &str, &str)> = vec![
        (file(&literal), "", "secrets"),
        (file(&format!("{good}secrets = {IN_FILE:?}")), "", "secrets"),
        (
            file(&format!(
                "{good}secrets = [{{ env = \"SECRET\", value = {IN_FILE:?} }}]"
            )),
            IN_ENVIRONMENT,
            "secrets",
        ),
        (file(&format!("{good}{secret}")), "", "SECRET"),
        (file(&format!("{good}{secret}")), "   ", "SECRET"),
        (
            file(&format!("{good}secrets = [{{ env = \"NOT_THERE\" }}]")),
            IN_ENVIRONMENT,
            "NOT_THERE",
        ),
        (
            file(&format!("{good}secrets = [{{ file = \"DIR/none\" }}]")),
            IN_ENVIRONMENT,
            "none",
        ),
        (
            file(&format!("{good}secrets = [{{ file = \"DIR/empty\" }}]")),
            IN_ENVIRONMENT,
            "empty",
        ),
        (
            file(&format!("{good}{secret}\nboddy_limit = \"1MiB\"")),
            IN_ENVIRONMENT,
            "body_limit",
        ),
        (
            file(&format!("{good}{secret}\nbody_limit = \"much\"")),
            IN_ENVIRONMENT,
            "body_limit",
        ),
        (
            file(&format!("{good}{secret}\nbody_limit = true")),
            IN_ENVIRONMENT,
            "body_limit",
        ),
        (
            file(&format!("{good}{secret}\n[[route]]\n{good}{secret}")),
            IN_ENVIRONMENT,
            "route",
        ),
        (file(&format!("{good}secrets = []")), IN_ENVIRONMENT, "secrets"),
        ("[listen".into(), IN_ENVIRONMENT, "gateway.toml"),
    ];
    for (text, value, named) in cases {
        let (code, printed) = refused(&text, &[("SECRET", value)], &[("empty", b"")]);
        assert_eq!(code, Some(2), "{text}\n{printed}");
        assert!(printed.contains(named), "{named} is not named for\n{text}\n{printed}");
        assert!(!printed.contains("canary_"), "a value is printed:\n{printed}");
    }
    let (code, printed) = refused(
        &file(&format!("{good}boddy = 1\nsecrets = []\ntolerance = \"x\"")),
        &[],
        &[],
    );
    assert_eq!(code, Some(2));
    assert!(
        ["boddy", "secrets", "tolerance"]
            .iter()
            .all(|key| printed.contains(key)),
        "not all faults are reported together:\n{printed}"
    );
}

/// I05: one newline at the end of a secret file is removed; everything else is part of the secret.
#[test]
fn one_newline_at_the_end_of_a_secret_file_is_removed() {
    let upstream = Upstream::ok();
    for (bytes, secret) in [
        (format!("{IN_FILE}\n"), IN_FILE.to_owned()),
        (IN_FILE.to_owned(), IN_FILE.to_owned()),
        (format!("{IN_FILE}\n\n"), format!("{IN_FILE}\n")),
        (format!(" {IN_FILE}\n"), format!(" {IN_FILE}")),
    ] {
        let setup = Setup::new(&upstream.url());
        let path = setup.directory().join("secret");
        std::fs::write(&path, &bytes).unwrap();
        let route = format!(
            "[[route]]\nname = \"file\"\npath = \"/file\"\nprovider = \"paddle\"\nsecrets = [{{ file = {path:?} }}]\nupstream = {:?}\ntolerance = \"60s\"",
            upstream.url()
        );
        let gateway = setup.more(&route).start();
        let ts = paddle::now();
        let webhook = Webhook::new(bytes.clone())
            .signature(Some(&signature(&secret, ts, bytes.as_bytes())))
            .path("/file");
        assert_eq!(gateway.exchange(&webhook.bytes()).status, 200, "{bytes:?}");
        // The file is readable by everyone: the start logs a warning.
        gateway.logs.wait_for("a warning about the file's mode", |line| {
            (line.contains("secret") && line.to_lowercase().contains("read")).then_some(())
        });
    }
}
