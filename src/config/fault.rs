//! Faults of a configuration: the key, the problem and what to write instead.
//!
//! All faults are reported at once, so that an operator does not start the process again for each. A fault never quotes
//! the value of a key that can hold a secret; it quotes keys, names of variables and paths of files.

use super::excerpt::Excerpt;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// All faults of one configuration: first those of the file in the order of its lines, then those of the environment and
/// the command line.
#[derive(Clone, Debug, Serialize)]
pub struct Faults {
    /// The configuration file; `None` if there is none.
    pub file: Option<PathBuf>,
    /// At least one.
    pub faults: Vec<Fault>,
    /// Warnings that were found before the faults were reported.
    pub warnings: Vec<String>,
    /// The configuration file and every file that it names, as far as it could be read, sorted. `serve` watches them and
    /// tries again when one changes.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
}

/// One problem that prevents the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Path of the key (`route[0].secrets[1].env`); empty if the fault concerns the whole file.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead; empty if the problem makes it clear.
    pub fix: String,
    /// Line in the file, from 1; for a missing key the line of its table.
    pub line: Option<usize>,
    /// Column in that line, from 1, in characters.
    pub column: Option<usize>,
    /// The line itself, as far as it may be shown.
    pub excerpt: Option<Excerpt>,
    /// Environment variable or "command line", if the key was not set by the file.
    pub origin: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.line) {
            (Some(origin), _) => write!(f, "{origin}: ")?,
            (None, Some(line)) => match self.column {
                Some(column) => write!(f, "line {line}, column {column}: ")?,
                None => write!(f, "line {line}: ")?,
            },
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
            if let (Some(line), Some(excerpt)) = (fault.line, &fault.excerpt) {
                for line in excerpt.lines(line) {
                    write!(f, "\n    {line}")?;
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Collects faults, warnings and notes while the configuration is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
    /// Remarks that only `check` prints.
    pub(super) notes: Vec<String>,
    /// Keys that an unknown key was probably meant as. They are not reported as missing too: one slip is one fault.
    meant: Vec<String>,
}

/// Largest number of faults that are recorded. Each new fault is compared with all others, so a binary file would
/// otherwise take quadratic time.
pub(super) const MOST_FAULTS: usize = 100;

impl Report {
    /// Records a fault of `key`.
    pub(super) fn fault(&mut self, key: impl fmt::Display, problem: impl Into<String>, fix: impl Into<String>) {
        self.push(Fault {
            key: key.to_string(),
            problem: problem.into(),
            fix: fix.into(),
            ..Fault::default()
        });
    }

    /// Records a fault whose line or origin may be known already.
    pub(super) fn push(&mut self, fault: Fault) {
        if !self.is_full() && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Records that `key` is missing. Does nothing if `key` has a fault already (its value is invalid, not missing), or if
    /// it was written under another name.
    pub(super) fn missing(&mut self, key: String, problem: impl Into<String>, fix: impl Into<String>) {
        if !self.is_faulted(&key) && !self.is_meant(&key) {
            self.fault(key, problem, fix);
        }
    }

    /// Records an unknown key, which was probably meant as `meant`.
    pub(super) fn unknown(&mut self, key: &str, meant: Option<String>, problem: String, fix: String) {
        self.fault(key, problem, fix);
        self.meant.extend(meant);
    }

    /// Whether `key` was written under another name, which has a fault.
    pub(super) fn is_meant(&self, key: &str) -> bool {
        self.meant.iter().any(|meant| meant == key)
    }

    /// Whether `key` or a key below it has a fault.
    pub(super) fn has_fault_within(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| is_within(&fault.key, key))
    }

    /// Whether `key`, a key below it or a key above it has a fault.
    pub(super) fn is_faulted(&self, key: &str) -> bool {
        self.faults
            .iter()
            .any(|fault| is_within(key, &fault.key) || is_within(&fault.key, key))
    }

    /// Records a problem that does not prevent the start. It is logged once, at level warn.
    pub(super) fn warn(&mut self, key: impl fmt::Display, text: impl fmt::Display) {
        self.warnings.push(format!("{key}: {text}"));
    }

    /// Records a remark that only `check` prints.
    pub(super) fn note(&mut self, key: impl fmt::Display, text: impl fmt::Display) {
        self.notes.push(format!("{key}: {text}"));
    }

    /// Whether further faults are discarded.
    pub(super) const fn is_full(&self) -> bool {
        self.faults.len() >= MOST_FAULTS
    }
}

/// Whether `key` is `ancestor` or a key below it.
pub(super) fn is_within(key: &str, ancestor: &str) -> bool {
    key.strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The word of `known` that is most similar to `word`, for "did you mean"; `None` if none is similar.
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

/// A list such as `a, b or c`, each word in backquotes; `conjunction` is "or" or "and".
pub(super) fn alternatives<'a>(words: impl IntoIterator<Item = &'a str>, conjunction: &str) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} {conjunction} {last}", others.join(", ")),
    }
}

/// Why a file cannot be read, as a predicate that follows its path.
pub(super) fn unreadable(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::NotFound {
        String::from("does not exist")
    } else if error.kind() == std::io::ErrorKind::PermissionDenied {
        String::from("cannot be read: permission denied")
    } else {
        format!("cannot be read: {}", error.kind())
    }
}

/// Why a literal secret is refused.
pub(super) const LITERAL_SECRET: &str =
    "a secret must not be part of the configuration itself, where backups, `git` and process lists would show it";
