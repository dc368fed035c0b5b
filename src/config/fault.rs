//! What is wrong with a configuration: every fault with its key, what is wrong and what to write instead.
//!
//! A person who fixes one fault to meet the next loses an hour, so nothing here stops at the first. Invariant: no text in
//! a fault comes from the value of a key that can hold a secret; keys, variable names and file paths are all it quotes.

use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// All faults of one configuration, in the order of the file's lines, then those of the environment and the command line.
#[derive(Clone, Debug, Serialize)]
pub struct Faults {
    /// The file that was read, where there was one.
    pub file: Option<PathBuf>,
    /// At least one.
    pub faults: Vec<Fault>,
    /// Warnings that were found on the way.
    pub warnings: Vec<String>,
    /// Every file that the configuration names as far as it could be read, and the configuration's own, sorted: what a
    /// watch that hopes for better looks at.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
}

/// One thing that keeps the gateway from starting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Path of the key (`route[0].secrets[1].env`); empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong, in words.
    pub problem: String,
    /// What to write instead; empty when the problem says it all.
    pub fix: String,
    /// Line in the file, from 1; for an absent key the line of the table that misses it.
    pub line: Option<usize>,
    /// The environment variable or command-line option that set the key, when it was not the file.
    pub origin: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.line) {
            (Some(origin), _) => write!(f, "{origin}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        Ok(())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("the configuration")?,
        }
        match self.faults.len() {
            1 => f.write_str(" has 1 fault:")?,
            count => write!(f, " has {count} faults:")?,
        }
        for fault in &self.faults {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Collects while the configuration is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// More than anyone reads; keeps a hostile or binary file from costing quadratic time.
pub(super) const MOST_FAULTS: usize = 100;

impl Report {
    /// Records a fault of `key`.
    pub(super) fn fault(&mut self, key: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) {
        self.push(Fault {
            key: key.into(),
            problem: problem.into(),
            fix: fix.into(),
            line: None,
            origin: None,
        });
    }

    /// Records a fault whose place is known already.
    pub(super) fn push(&mut self, fault: Fault) {
        if !self.is_full() && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Records that `key` is absent, unless it is there and already faulted: an unreadable value is not a missing one.
    pub(super) fn missing(&mut self, key: String, problem: impl Into<String>, fix: impl Into<String>) {
        if !self.is_faulted(&key) {
            self.fault(key, problem, fix);
        }
    }

    /// Whether `key`, a part of it, or what it is a part of has a fault.
    pub(super) fn is_faulted(&self, key: &str) -> bool {
        self.faults
            .iter()
            .any(|fault| is_within(key, &fault.key) || is_within(&fault.key, key))
    }

    /// Records something that does not stop the start; said once at start, at warn.
    pub(super) fn warn(&mut self, key: &str, text: impl fmt::Display) {
        self.warnings.push(format!("{key}: {text}"));
    }

    /// Records something that only `check` mentions.
    pub(super) fn note(&mut self, key: &str, text: impl fmt::Display) {
        self.notes.push(format!("{key}: {text}"));
    }

    /// Whether further faults are dropped.
    pub(super) const fn is_full(&self) -> bool {
        self.faults.len() >= MOST_FAULTS
    }
}

/// Whether `key` is `ancestor` or lies below it.
pub(super) fn is_within(key: &str, ancestor: &str) -> bool {
    key.strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// "did you mean" for a word that is not among `known`: the closest, when it is close.
pub(super) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&word.to_ascii_lowercase(), candidate),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `a, b or c`, each in backquotes.
pub(super) fn alternatives<'a>(words: impl IntoIterator<Item = &'a str>, last_by: &str) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} {last_by} {last}", others.join(", ")),
    }
}

/// Why a file cannot be read, after its name.
pub(super) fn unreadable(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::NotFound {
        String::from("does not exist")
    } else if error.kind() == std::io::ErrorKind::PermissionDenied {
        String::from("may not be read")
    } else {
        format!("cannot be read: {}", error.kind())
    }
}

/// Why a literal secret is refused.
pub(super) const LITERAL_SECRET: &str =
    "a secret must not stand in the configuration itself, where backups, `git` and process lists would see it";
