//! The output of a process under test, line by line, while it runs.

use super::wait::eventually;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// Lines of both standard output and standard error, in the order of arrival.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<String>>>);

/// Starts a process without input; returns it with its output.
pub(crate) fn spawn(command: &mut Command) -> (Child, Logs) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let logs = Logs::default();
    logs.follow(child.stdout.take().unwrap());
    logs.follow(child.stderr.take().unwrap());
    (child, logs)
}

impl Logs {
    /// Reads `stream` to its end on a thread of its own.
    pub(crate) fn follow(&self, stream: impl Read + Send + 'static) {
        let lines = self.0.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                lines
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Waits for a line for which `pick` returns a value.
    pub(crate) fn wait_for<T>(&self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        eventually(what, || self.lines().iter().find_map(|line| pick(line)))
    }

    /// The lines that are JSON objects.
    pub(crate) fn objects(&self) -> Vec<serde_json::Value> {
        self.lines()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|v: &serde_json::Value| v.is_object())
            .collect()
    }
}
