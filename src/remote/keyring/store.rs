//! Fetched documents on disk, so that a restart needs no provider. One file for each document.
//!
//! The files hold public keys. Whoever can write to the directory can make hookgate accept other keys, so the directory
//! must belong to the user that runs it.

use crate::scheme::KeySource;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A document on disk.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Stored {
    /// Its name in the source.
    pub(super) document: String,
    /// When it was fetched, Unix seconds.
    pub(super) fetched_unix: u64,
    /// What the server answered.
    pub(super) answer: String,
}

/// The documents of one source on disk.
#[derive(Debug)]
pub(super) struct Store {
    directory: Option<PathBuf>,
    /// The beginning of the names of its files: a hash of the source's settings.
    prefix: String,
}

impl Store {
    /// The files of a source; nothing is kept without a directory.
    pub(super) fn new(directory: Option<&Path>, source: &KeySource) -> Self {
        // No secret is part of this text: a source's addresses are what makes its documents its own.
        let text = source.hosts().join("\n");
        let text = format!(
            "{text}\n{}",
            source.request("").map(|request| request.url).unwrap_or_default()
        );
        Self {
            directory: directory.map(Path::to_owned),
            prefix: short_hash(&text),
        }
    }

    /// The documents that can be read. A file that cannot is passed over: it is fetched again.
    pub(super) fn read(&self) -> Vec<Stored> {
        let entries = self
            .directory
            .as_ref()
            .and_then(|directory| fs::read_dir(directory).ok());
        let files = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        let own = files.filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(&self.prefix) && name.ends_with(".json"))
        });
        own.take(super::documents::MAX_DOCUMENTS)
            .filter_map(|path| {
                let length = fs::metadata(&path).ok()?.len();
                let text = (length <= MAX_FILE_BYTES).then(|| fs::read(&path).ok()).flatten()?;
                serde_json::from_slice(&text).ok()
            })
            .collect()
    }

    /// Writes a document in place of its older version. A failure is logged: the keys are in memory all the same.
    pub(super) fn write(&self, document: &str, answer: &str, fetched_unix: u64) {
        let Some(path) = self.path(document) else {
            return;
        };
        let stored = Stored {
            document: document.to_owned(),
            fetched_unix,
            answer: answer.to_owned(),
        };
        if let Err(error) = replace(&path, &stored) {
            tracing::warn!(path = %path.display(), %error, "fetched keys could not be written");
        }
    }

    /// Removes a document that its provider no longer has.
    pub(super) fn remove(&self, document: &str) {
        if let Some(path) = self.path(document) {
            let _ = fs::remove_file(path);
        }
    }

    fn path(&self, document: &str) -> Option<PathBuf> {
        let name = format!("{}-{}.json", self.prefix, short_hash(document));
        Some(self.directory.as_ref()?.join(name))
    }
}

/// Writes a file beside the old one and renames it, so that a crash leaves one of the two.
fn replace(path: &Path, stored: &Stored) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, serde_json::to_vec(stored)?)?;
    fs::rename(&beside, path)
}

/// The first 16 hex digits of a SHA-256.
fn short_hash(text: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(16);
    digits
}
