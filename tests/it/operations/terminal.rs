//! `serve` on a terminal: lines for people, with the URLs of the routes. Elsewhere it writes JSON.

use crate::support::gateway::{Gateway, listening};
use crate::support::logs::Logs;
use crate::support::paddle::PATH;
use crate::support::{Client, Setup, Upstream, Webhook};
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::process::Stdio;

/// The lines of `serve` from its start to its end, with one refused request between. Standard error is a terminal, and
/// standard output too if `is_output_terminal`.
fn session(setup: &Setup, is_output_terminal: bool) -> Vec<String> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    setup.write();
    let mut command = Gateway::command(setup, &[], None);
    command.env("NO_COLOR", "1").stderr(terminal.try_clone().unwrap());
    if is_output_terminal {
        command.stdout(terminal.try_clone().unwrap());
    } else {
        command.stdout(Stdio::piped());
    }
    let mut child = command.spawn().unwrap();
    drop((command, terminal));
    let logs = Logs::default();
    logs.follow(File::from(master));
    if let Some(output) = child.stdout.take() {
        logs.follow(output);
    }
    let address = logs.wait_for("the address", |line| listening(line, "plain"));
    logs.wait_for("the last address", |line| listening(line, "admin"));
    let answer = Client::tcp(address).exchange(&Webhook::new("{}").signature(None).bytes());
    assert_eq!(answer.status, 401);
    logs.wait_for("the audit line", |line| {
        line.contains("signature_missing").then_some(())
    });
    rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    logs.wait_for("the last line", |line| line.contains("stopped").then_some(()));
    logs.lines()
}

#[test]
fn serve_on_a_terminal_writes_for_people_and_shows_the_urls_of_the_routes() {
    let upstream = Upstream::ok();
    let lines = session(&Setup::new(&upstream.url()).log(""), true);
    for line in &lines {
        assert!(!line.starts_with('{'), "{line}");
    }
    let address = |name| lines.iter().find_map(|line| listening(line, name)).unwrap();
    let route = lines.iter().find(|line| line.contains("serving")).unwrap();
    let (plain, tls) = (address("plain"), address("tls"));
    for part in [
        "route=paddle".to_owned(),
        format!("http://{plain}{PATH}"),
        format!("https://{tls}{PATH}"),
        format!("upstream={}{PATH}", upstream.url()),
    ] {
        assert!(route.contains(&part), "{part} in {route}");
    }
    let audit = lines.iter().find(|line| line.contains("signature_missing")).unwrap();
    assert!(
        audit.contains(&format!(" 401 POST shop.example{PATH} rejected ")),
        "{audit}"
    );
    let last = lines.iter().find(|line| line.contains("stopped")).unwrap();
    assert!(last.contains("requests=1") && last.contains("refused=1"), "{last}");
}

/// A pipe beside the terminal belongs to a program, and a format that the file sets is used everywhere.
#[test]
fn the_format_of_the_file_and_a_pipe_decide_before_the_terminal() {
    let upstream = Upstream::ok();
    let set = Setup::new(&upstream.url()).log("format = \"json\"");
    let unset = Setup::new(&upstream.url()).log("");
    for lines in [session(&set, true), session(&unset, false)] {
        for line in &lines {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(value["kind"].is_string(), "{line}");
        }
    }
}
