//! Reads the files of the owners, and notices when they come, change and go.
//!
//! The file of an owner has its name and one secret a line: the present one, then during a rotation the one before. Hidden
//! files are passed over, so that the links of Kubernetes and the temporary files of editors are no owners.

use super::{OwnerTable, Secret, is_owner_name};
use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// Most secrets of one owner: the present one, and the one before it during a rotation.
pub const MAX_SECRETS: usize = 2;

/// Makes what is kept of an owner from its name and its secrets, or says what is wrong with them.
pub type Make<'m, T> = dyn Fn(&str, Vec<Secret>) -> Result<T, String> + 'm;

/// Largest file of an owner, in bytes.
const MAX_FILE_BYTES: u64 = 8 << 10;

/// How often every file is looked at. Files that come and go are noticed at once, because the directory itself changes then;
/// a file that is written in place changes only itself.
const FULL_SCAN: Duration = Duration::from_secs(30);

/// How long after a change of the directory it is read again: file systems keep times in steps, so a second change may have
/// the time of the first.
const SETTLING: Duration = Duration::from_secs(3);

/// Owners of secrets, and the directory from which they are read.
#[derive(Debug)]
pub struct SecretDirectory<T> {
    path: PathBuf,
    table: OwnerTable<T>,
    seen: Mutex<Seen>,
}

/// What was seen at the last reading.
#[derive(Debug, Default)]
struct Seen {
    files: HashMap<String, FileState>,
    directory: Option<SystemTime>,
    last_scan: Option<SystemTime>,
}

/// What tells two versions of a file apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    inode: u64,
    modified: (i64, i64),
    length: u64,
}

impl FileState {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            length: metadata.len(),
        }
    }
}

/// What a reading of the directory found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Owners that are new, or whose file changed.
    pub loaded: usize,
    /// Owners whose file is gone.
    pub removed: usize,
    /// Files that cannot be used: name and problem. The first few of them.
    pub problems: Vec<String>,
    /// The number of such files.
    pub unusable: usize,
}

/// Most problems that are told in words.
const MOST_PROBLEMS: usize = 5;

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn problem(&mut self, text: String) {
        self.unusable += 1;
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(text);
        }
    }
}

impl<T> SecretDirectory<T> {
    /// Reads all files of a directory. `make` turns the name and the secrets of an owner into what is kept, or says what is
    /// wrong with them; `now` is the time of the clock.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn open(path: PathBuf, make: &Make<'_, T>, now: SystemTime) -> io::Result<(Self, Changes)> {
        let directory = Self {
            path,
            table: OwnerTable::default(),
            seen: Mutex::default(),
        };
        let changes = directory.read(make, now)?;
        Ok((directory, changes))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The owners.
    #[must_use]
    pub const fn table(&self) -> &OwnerTable<T> {
        &self.table
    }

    /// Reads the secrets of one owner again, for who needs their bytes: the table has what they became. `None` for a name that
    /// no owner has, which never becomes a part of a path, and for a file that can no longer be used.
    #[must_use]
    pub fn read_again(&self, name: &str) -> Option<Vec<Secret>> {
        self.table.choose(name).0?;
        let path = self.path.join(name);
        let metadata = fs::metadata(&path).ok()?;
        secrets(name, &path, &metadata).ok()
    }

    /// Reads what changed since the last time. It costs one look at the directory while nothing does.
    ///
    /// # Errors
    /// When the directory cannot be read; the owners stay as they were.
    pub fn refresh(&self, make: &Make<'_, T>, now: SystemTime) -> io::Result<Changes> {
        let modified = fs::metadata(&self.path)?.modified()?;
        let is_due = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let since = |then: SystemTime| now.duration_since(then).unwrap_or_default();
            seen.directory != Some(modified)
                || since(modified) < SETTLING
                || seen.last_scan.is_none_or(|then| since(then) >= FULL_SCAN)
        };
        if is_due {
            self.read(make, now)
        } else {
            Ok(Changes::default())
        }
    }

    /// Reads the files that are new or changed.
    fn read(&self, make: &Make<'_, T>, now: SystemTime) -> io::Result<Changes> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = fs::metadata(&self.path)?.modified()?;
        let mut found = HashMap::with_capacity(seen.files.len());
        let mut changes = Changes::default();
        let mut updates = Vec::new();
        let mut width = 0;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            if shown.starts_with('.') {
                continue;
            }
            // Follows links. A file that is gone again was removed meanwhile.
            let Ok(metadata) = fs::metadata(entry.path()) else {
                continue;
            };
            if metadata.is_dir() {
                continue;
            }
            let state = FileState::of(&metadata);
            let is_known = seen.files.get(&*shown) == Some(&state);
            let name = shown.into_owned();
            if !is_known {
                let secrets = secrets(&name, &entry.path(), &metadata);
                width = width.max(secrets.as_ref().map_or(0, Vec::len));
                match secrets.and_then(|secrets| make(&name, secrets)) {
                    Ok(owner) => updates.push((name.clone(), Some(owner))),
                    Err(problem) => {
                        changes.problem(format!("{}: {problem}", name.escape_default()));
                        updates.push((name.clone(), None));
                    }
                }
            }
            found.insert(name, state);
        }
        changes.loaded = updates.iter().filter(|(_, owner)| owner.is_some()).count();
        let gone = seen.files.keys().filter(|name| !found.contains_key(*name));
        let gone: Vec<_> = gone.map(|name| (name.clone(), None)).collect();
        changes.removed = gone.len();
        updates.extend(gone);
        self.table.apply(updates, width);
        *seen = Seen {
            files: found,
            directory: Some(directory),
            last_scan: Some(now),
        };
        Ok(changes)
    }
}

/// Reads the file of one owner.
///
/// # Errors
/// Why it cannot be used, without a byte of the file.
fn secrets(name: &str, path: &Path, metadata: &Metadata) -> Result<Vec<Secret>, String> {
    if !is_owner_name(name) {
        return Err(String::from(
            "the name is not 1 to 128 letters, digits, `.`, `-` and `_`",
        ));
    }
    if !metadata.is_file() {
        return Err(String::from("this is not a regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!("the file is larger than {} KiB", MAX_FILE_BYTES >> 10));
    }
    // The buffer has its final size from the start, because a buffer that grows leaves copies of the secret in memory.
    let size = usize::try_from(metadata.len()).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|_| String::from("the file cannot be read"))?;
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let secrets: Vec<Secret> = lines
        .filter(|line| !line.trim_ascii().is_empty())
        .map(|line| Secret::new(line.to_vec()))
        .collect();
    if secrets.is_empty() {
        return Err(String::from("the file is empty"));
    }
    if secrets.len() > MAX_SECRETS {
        return Err(format!("the file has more than {MAX_SECRETS} secrets, one a line"));
    }
    Ok(secrets)
}
