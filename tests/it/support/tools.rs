//! Programs that run to their end, and the tools that check `deploy/`, which `make test-apps` installs.

use super::apps::installed;
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A tool below `apps/deploy`: `bin/helm`, `venv/bin/hadolint`.
pub(crate) fn tool(path: &str) -> Command {
    Command::new(installed(&format!("deploy/{path}")))
}

/// Runs to the end with `input` on standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A command that does not read its input may have ended already.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

/// Runs the command and returns its standard output; the test fails when the command fails.
#[track_caller]
pub(crate) fn succeeds(command: &mut Command, input: &[u8]) -> String {
    let output = run(command, input);
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}\n{error}",
        output.status
    );
    text
}

/// Runs the command and returns all of its output; the test fails when the command succeeds.
#[track_caller]
pub(crate) fn fails(command: &mut Command) -> String {
    let output = run(command, b"");
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    assert!(!output.status.success(), "{command:?} should have failed:\n{printed}");
    printed
}

/// The documents of a YAML stream; a duplicate key is an error.
#[track_caller]
pub(crate) fn yaml(text: &str) -> Vec<Value> {
    let mut python = tool("venv/bin/python");
    python.arg(repository("tests/deploy/resources.py"));
    let documents: Vec<Value> = serde_json::from_str(&succeeds(&mut python, text.as_bytes())).unwrap();
    assert!(!documents.is_empty());
    documents
}

/// Copies a directory with its contents.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
