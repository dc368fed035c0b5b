//! The first minutes of a new user: `init`, `dev`, and the help.

use crate::support::Client;
use crate::support::gateway::binary;
use crate::support::logs::Logs;
use crate::support::tools::repository;
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Command, Output};

/// A text that is a secret for every scheme with shared secrets: it is hexadecimal, and Base64 too.
const SECRET: &str = "8f14e45fceea167a5a36dedd4bea2543c9f0f895fb98ab9159f51fd0297e236d";

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = binary();
    let Output { status, stdout, stderr } = command
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// The names of all presets.
fn providers() -> Vec<(String, bool)> {
    let (_, text) = run(&["providers", "--json"], &[]);
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    let name = |row: &serde_json::Value| {
        (
            row["name"].as_str().unwrap().to_owned(),
            row["needs_public_url"] == true,
        )
    };
    rows.as_array().unwrap().iter().map(name).collect()
}

/// For every provider, the file that `init` writes is valid as soon as its variable has the provider's key.
#[test]
fn init_writes_a_valid_file_for_every_provider() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    let file = file.to_str().unwrap();
    let names = providers();
    assert!(names.len() >= 30);
    for name in names.iter().map(|(name, _)| name.as_str()).chain(["custom"]) {
        let arguments = [
            "init",
            "--provider",
            name,
            "--to",
            "localhost:3000",
            "--plaintext",
            "--force",
            "-o",
            file,
        ];
        let (code, text) = run(&[&arguments[..], &["--secret-env", "KEY"]].concat(), &[]);
        assert_eq!(code, Some(0), "{name}: {text}");
        assert!(text.contains("hookgate check --config"), "{text}");
        let written = std::fs::read_to_string(file).unwrap();
        // A scheme with Basic authentication has a user and a password.
        let basic = format!("user:{SECRET}");
        let key = if written.contains("user:password") {
            &basic
        } else {
            SECRET
        };
        let (code, text) = run(
            &["check", file],
            &[("KEY", key), ("META_VERIFY_TOKEN", SECRET), ("PLAID_SECRET", SECRET)],
        );
        // The text is no public key of most schemes, which is the only fault then.
        if written.contains("public_keys") && code != Some(0) {
            assert!(
                text.contains("has 1 fault") && text.contains("public_keys"),
                "{name}: {text}"
            );
        } else {
            assert_eq!(code, Some(0), "{name}: {text}\n{written}");
            assert!(!text.contains("plaintext"), "{name}: {text}");
        }
    }
}

/// `check FILE` and `serve FILE` read the same file; a person who has used one expects the other.
#[test]
fn serve_takes_the_file_as_check_does() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.toml");
    std::fs::write(&file, "workers = 0\n").unwrap();
    let file = file.to_str().unwrap();
    for command in ["check", "serve"] {
        let (code, text) = run(&[command, file], &[]);
        assert_eq!(code, Some(2), "{command}: {text}");
        assert!(
            text.contains("shop.toml has ") && text.contains("workers"),
            "{command}: {text}"
        );
    }
}

#[test]
fn init_asks_for_what_is_missing_and_keeps_a_file_that_exists() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    let at = file.to_str().unwrap();
    let (code, text) = run(&["init", "-o", at], &[]);
    assert_eq!(code, Some(2));
    assert!(text.contains("--provider stripe --to localhost:3000"), "{text}");
    std::fs::write(&file, "mine").unwrap();
    let complete = ["init", "--provider", "stripe", "--to", "3000", "-o"];
    let (code, text) = run(&[&complete[..], &[at]].concat(), &[]);
    assert_eq!(code, Some(2));
    assert!(text.contains("--force"), "{text}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    let (code, text) = run(&[&complete[..], &["-"]].concat(), &[]);
    assert_eq!(code, Some(0));
    assert!(
        text.contains("STRIPE_WEBHOOK_SECRET") && text.contains("http://127.0.0.1:3000"),
        "{text}"
    );
    let (code, text) = run(&["init", "--provider", "strip", "--to", "3000", "-o", "-"], &[]);
    assert_eq!(code, Some(2));
    assert!(text.contains("no preset `strip`"), "{text}");
}

/// Address and token of the console, as `dev` prints them.
fn console(text: &str) -> (std::net::SocketAddr, &str) {
    let line = text.lines().find(|line| line.contains("(token ")).unwrap();
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
    let token = line.split("(token ").nth(1).unwrap().trim_end_matches(')');
    (address.parse().unwrap(), token)
}

/// `dev` needs no file: it prints the command that sends a genuine event, and the command works as printed.
#[test]
fn dev_forwards_the_event_of_the_command_that_it_prints() {
    for (provider, more) in [
        ("github", &[][..]),
        ("twilio", &[]),
        ("svix", &["--plaintext"]),
        ("adyen-platform", &[]),
    ] {
        let upstream = Upstream::ok();
        let to = upstream.url();
        let mut command = binary();
        command.args(["dev", "--provider", provider, "--to", &to, "--listen", "127.0.0.1:0"]);
        let mut child = command.args(more).spawn().unwrap();
        let logs = Logs::default();
        logs.follow(child.stdout.take().unwrap());
        logs.follow(child.stderr.take().unwrap());
        eventually("the log of the listener", || {
            logs.text().contains("listening").then_some(())
        });
        let text = logs.text();
        let printed = text
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("hookgate send "));
        let line = printed.unwrap_or_else(|| panic!("{provider}: {text}")).to_owned();
        let program = binary();
        let folder = Path::new(program.get_program()).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let sent = Command::new("sh")
            .args(["-c", &line])
            .env("PATH", path)
            .output()
            .unwrap();
        assert!(sent.status.success(), "{provider}: {line}\n{sent:?}\n{}", logs.text());
        assert_eq!(upstream.requests().len(), 1, "{provider}");
        // The console that is printed shows it.
        let (address, token) = console(&text);
        let request =
            format!("GET /api/v1/requests HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n");
        eventually("the request in the console", || {
            std::net::TcpStream::connect(address).ok()?;
            let shown = Client::tcp(address).exchange(request.as_bytes());
            let shown: serde_json::Value = serde_json::from_slice(&shown.body).ok()?;
            (shown["requests"][0]["request"]["route"] == provider).then_some(())
        });
        let directory = line
            .split(' ')
            .find_map(|word| word.strip_suffix("/secret"))
            .unwrap()
            .to_owned();
        assert!(Path::new(&directory).is_dir());
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{}", logs.text());
        assert!(!Path::new(&directory).exists(), "{directory}");
    }
}

#[test]
fn dev_says_what_it_cannot_make() {
    for (arguments, words) in [
        (["dev", "--provider", "discord", "--to", "3000"], "--secret-file"),
        (
            ["dev", "--provider", "custom", "--to", "3000"],
            "hookgate init --provider custom",
        ),
        (["dev", "--provider", "strip", "--to", "3000"], "hookgate providers"),
        (["dev", "--provider", "stripe", "--to", "ftp://x"], "localhost:3000"),
    ] {
        let (code, text) = run(&arguments, &[]);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn the_help_is_shown_without_a_command_and_for_each_command() {
    for arguments in [&[][..], &["help"], &["--help"]] {
        let (_, text) = run(arguments, &[]);
        for command in ["serve", "check", "init", "dev", "schema", "demo", "send", "verify"] {
            assert!(text.contains(&format!("  {command}")), "{arguments:?}: {text}");
        }
    }
    let (code, text) = run(&["help", "init"], &[]);
    assert_eq!(code, Some(0));
    assert!(text.contains("--provider"), "{text}");
}

/// The README shows a recording of the demonstration.
#[test]
fn the_recording_of_the_demo_has_the_rows_of_the_demo() {
    let (code, text) = run(&["demo", "--exit"], &[("NO_COLOR", "1")]);
    assert_eq!(code, Some(0), "{text}");
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures/demo.svg");
    let picture = std::fs::read_to_string(picture).unwrap().replace("&#x27;", "'");
    let rows: Vec<&str> = text.lines().filter(|line| line.trim_end().ends_with(" ok")).collect();
    assert!(rows.len() > 15, "{text}");
    for row in &rows {
        let sent = row.trim().split("  ").next().unwrap();
        assert!(
            picture.contains(&format!(">  {sent}  ")),
            "`{sent}` is not in the recording: run docs/pictures/record.py"
        );
    }
    assert_eq!(
        picture.matches(">ok<").count(),
        rows.len(),
        "run docs/pictures/record.py"
    );
}

/// A new user has no certificate. The command that `init` prints makes one, and `send` trusts it with `--ca`.
#[test]
fn init_prints_a_command_that_makes_the_missing_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    let at = file.to_str().unwrap();
    let init = ["init", "--provider", "stripe", "--to", "3000", "--force", "-o", at];
    let files = ["--certificate", "new folder/tls.crt", "--certificate-key", "tls.key"];
    let (code, text) = run(&[&init[..], &files].concat(), &[]);
    assert_eq!(code, Some(0), "{text}");
    let line = text.lines().find(|line| line.contains("openssl req")).unwrap();
    let (command, _) = line.split_once(" -addext").unwrap();
    let command = command.rsplit(" && ").next().unwrap().trim();
    let page = std::fs::read_to_string(repository("docs/start.md")).unwrap();
    assert!(page.contains(command), "docs/start.md does not have `{command}`");
    let made = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(made.status.success(), "{line}\n{made:?}");
    let (code, checked) = run(&["check", at], &[("STRIPE_WEBHOOK_SECRET", SECRET)]);
    assert_eq!(code, Some(0), "{line}\n{checked}");
    // Nothing is said about a certificate that exists, or where a proxy has it.
    for arguments in [&files[..], &["--plaintext"]] {
        let (code, text) = run(&[&init[..], arguments].concat(), &[]);
        assert_eq!(code, Some(0), "{text}");
        assert!(!text.contains("openssl"), "{text}");
    }
}

/// What people mistype in the first minutes is answered with what to write instead, and without numbers of the system.
#[test]
fn mistyped_files_addresses_and_urls_are_answered_with_what_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (missing, folder, secret) = (place("missing"), place(""), place("secret"));
    std::fs::write(&secret, SECRET).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (closed, url) = (closed.to_string(), format!("http://{closed}/"));
    let below = place("missing/gateway.toml");
    let [missing, folder, secret] = [&missing, &folder, &secret].map(String::as_str);
    let [closed, url, below] = [&closed, &url, &below].map(String::as_str);
    let send = ["send", "--provider", "stripe", "--secret-file"];
    let init = ["init", "--provider", "stripe", "--to", "3000"];
    let dev = ["dev", "--provider", "stripe", "--to", "3000"];
    for (command, further, words) in [
        (
            &send[..],
            &[missing, url][..],
            "does not exist; write the path of a readable file",
        ),
        (
            &send,
            &[secret, "--body", missing, url],
            "does not exist; write the path of an existing file",
        ),
        (
            &send,
            &[secret, "--body", folder, url],
            "is a directory; write the path of a file in it",
        ),
        (
            &send,
            &[secret, url],
            "nothing listens there; check that the gateway runs",
        ),
        (
            &send,
            &[secret, "localhost:8443/webhooks/stripe"],
            "write https://localhost:8443/webhooks/stripe",
        ),
        (&send, &[secret, "localhost:8443"], "write https://localhost:8443"),
        (
            &send,
            &[secret, "/webhooks/stripe"],
            "write it like https://localhost:8443/",
        ),
        (
            &["verify"],
            &[missing],
            "does not exist; write the path of an existing file",
        ),
        (&init, &["-o", below], "create it with `mkdir -p "),
        (
            &init,
            &["--listen", "8443"],
            "write an IP address and a port, such as 127.0.0.1:8443",
        ),
        (
            &dev,
            &["--listen", "localhost:8443"],
            "write an IP address and a port, such as 127.0.0.1:8443",
        ),
        (
            &["healthcheck"],
            &["--address", closed],
            "check that hookgate runs with this admin.address",
        ),
        (&["check"], &[missing], "`hookgate init` writes one"),
    ] {
        let (code, text) = run(&[command, further].concat(), &[]);
        assert!(code.is_some_and(|code| code > 0), "{command:?} {further:?}: {text}");
        assert!(text.contains(words), "{command:?} {further:?}: {text}");
        assert!(!text.contains("os error"), "{command:?} {further:?}: {text}");
    }
}
