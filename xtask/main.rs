//! Chores of this repository, run with `cargo xtask CHORE`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "it runs on the machines of developers, and fails by panicking"
)]

mod generated;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask CHORE

Chores:
  lists  write every file and list that is generated from the code, and print the names of those that changed";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("lists") => {
            lists();
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{HELP}");
            ExitCode::from(2)
        }
    }
}

fn lists() {
    for path in generated::providers::pages_without_preset() {
        std::fs::remove_file(&path).unwrap();
        println!("removed {}", path.display());
    }
    for document in generated::all().iter().filter(|document| !document.is_current()) {
        document.write();
        println!("{}", document.path);
    }
    // What the chart knows of gateway.toml, from the tables of docs/configuration.md.
    let chart = generated::repository("deploy/helm/schema.py");
    let status = std::process::Command::new("python3").arg(chart).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "python3 deploy/helm/schema.py failed"
    );
}
