//! Libraries of the providers in a process that keeps running: `tests/oracles/oracle.mjs` and `oracle.py`, with one JSON
//! object per line.

use super::apps::installed;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

static STARTED: AtomicUsize = AtomicUsize::new(0);

/// A running oracle; ends when its standard input is closed, and is killed on drop.
pub(crate) struct Oracle {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The folder of the copied scripts.
    copies: Option<PathBuf>,
}

/// What an oracle has for one provider.
#[derive(Clone, Debug)]
pub(crate) struct Library {
    /// The preset, or the preset, `+` and a variant.
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Whether it makes requests; otherwise it only judges them.
    pub(crate) signs: bool,
}

impl Oracle {
    /// With the libraries of these providers, or with all if the list is empty.
    pub(crate) fn node(only: &[&str]) -> Self {
        Self::script("oracle.mjs", only)
    }

    /// Libraries for tokens and for requests with published keys.
    pub(crate) fn tokens() -> Self {
        Self::script("tokens.mjs", &[])
    }

    fn script(name: &str, only: &[&str]) -> Self {
        // Node finds modules relative to the scripts, so the scripts are copied below their folder.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let copies = installed("oracles").join(format!("oracle-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&copies).unwrap();
        for entry in std::fs::read_dir(source("")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "mjs") {
                std::fs::copy(&path, copies.join(path.file_name().unwrap())).unwrap();
            }
        }
        let mut oracle = Self::start(Command::new("node").arg(copies.join(name)).args(only));
        oracle.copies = Some(copies);
        oracle
    }

    pub(crate) fn python() -> Self {
        Self::python_script("oracle.py")
    }

    /// Libraries for tokens and for requests with published keys, in Python.
    pub(crate) fn python_tokens() -> Self {
        Self::python_script("tokens.py")
    }

    fn python_script(name: &str) -> Self {
        let mut command = Command::new(installed("oracles/venv/bin/python"));
        Self::start(command.arg(source(name)).env("PYTHONDONTWRITEBYTECODE", "1"))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut oracle = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            copies: None,
        };
        // The script itself is loaded when it gives its first answer.
        assert!(!oracle.libraries().is_empty());
        oracle
    }

    /// Its libraries, by provider.
    pub(crate) fn libraries(&mut self) -> Vec<Library> {
        let list = self.ask(&serde_json::json!({ "op": "list" }));
        let pairs = list.as_object().unwrap().iter();
        pairs
            .map(|(provider, library)| {
                let (name, version) = library["library"].as_str().unwrap().rsplit_once(' ').unwrap();
                Library {
                    provider: provider.clone(),
                    name: name.to_owned(),
                    version: version.to_owned(),
                    signs: library["signs"].as_bool().unwrap(),
                }
            })
            .collect()
    }

    /// Asks one question and returns its answer.
    pub(crate) fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?} to {question}"));
        assert!(answer.get("failed").is_none(), "{answer} to {question}");
        answer
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(copies) = &self.copies {
            let _ = std::fs::remove_dir_all(copies);
        }
    }
}

fn source(script: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles").join(script)
}

/// Reproducible pseudo-random numbers: SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn of<'t, T>(&mut self, choices: &'t [T]) -> &'t T {
        &choices[self.below(choices.len())]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Characters of every length in UTF-8, with quotes, escapes and line ends among them.
    pub(crate) fn text(&mut self, longest: usize) -> String {
        const SIGNS: [char; 22] = [
            'a', 'Z', '0', ' ', '"', '\\', '/', '\n', '\r', '\t', 'é', 'ß', '日', '🎉', '\u{7f}', '\u{2028}', '<', '&',
            '+', '%', '=', ':',
        ];
        (0..self.below(longest + 1)).map(|_| *self.of(&SIGNS)).collect()
    }
}
