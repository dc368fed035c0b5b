//! Reads a secret or public key from its source, byte for byte: `serve`, `check`, `sign`, `send` and `verify` all use
//! [`read_secret`].
//!
//! A variable is looked up by name in the environment that the caller passes in, and its value is never parsed:
//! `123456`, `"quoted"` and `[abc]` are secrets of exactly these bytes. A file loses exactly one newline at its end.

use super::fault::unreadable;
use crate::secret::Secret;
use crate::settings::SecretSource;
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Largest secret or PEM key in bytes (64 KiB): a wrong path cannot fill the memory.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// Which files may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretFiles {
    /// Regular files only: `serve` reads them at start and at each reload, and must not block on a pipe.
    RegularOnly,
    /// Any file that can be read, for a command line such as `--secret-file <(pass show paddle)`.
    Any,
}

/// Why a secret cannot be read. Its text contains no value of a variable and no content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// The text is not the name of a variable. It is not repeated here: it may be the secret itself.
    InvalidVariableName,
    /// No variable has this name. `None` when the text does not look like a name in capital letters and may therefore
    /// be the secret itself.
    VariableNotSet(Option<String>),
    /// The file cannot be read.
    UnreadableFile {
        /// Path as the source gives it.
        path: PathBuf,
        /// What is wrong, to follow the path: "does not exist".
        problem: String,
    },
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidVariableName => f.write_str("this is not the name of a variable"),
            Self::VariableNotSet(Some(name)) => write!(f, "the variable {name} is not set"),
            Self::VariableNotSet(None) => f.write_str("no variable of this name is set"),
            Self::UnreadableFile { path, problem } => write!(f, "{} {problem}", path.display()),
        }
    }
}

impl std::error::Error for SecretError {}

/// Reads the secret at `source`. `environment` holds the variables of the process.
///
/// # Errors
/// The variable is not set, or the file cannot be read, is larger than 64 KiB, or is of a kind that `files` excludes.
pub fn read_secret(
    source: &SecretSource,
    environment: &[(OsString, OsString)],
    files: SecretFiles,
) -> Result<Secret, SecretError> {
    match source {
        SecretSource::Env(name) => read_variable(name, environment),
        SecretSource::File(path) => read_file(path, files).map_err(|problem| SecretError::UnreadableFile {
            path: path.clone(),
            problem,
        }),
    }
}

/// Whether every user of the machine may read the file. `false` if its mode cannot be read.
pub(super) fn is_world_readable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
}

fn read_variable(name: &str, environment: &[(OsString, OsString)]) -> Result<Secret, SecretError> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(SecretError::InvalidVariableName);
    }
    match environment.iter().find(|(variable, _)| variable == name) {
        Some((_, value)) => Ok(Secret::new(value.as_bytes().to_vec())),
        None => {
            // Many secrets consist of letters, digits and `_` too, but few have capital letters only.
            let looks_like_a_name = !name.bytes().any(|byte| byte.is_ascii_lowercase());
            Err(SecretError::VariableNotSet(looks_like_a_name.then(|| name.to_owned())))
        }
    }
}

fn read_file(path: &Path, files: SecretFiles) -> Result<Secret, String> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if files == SecretFiles::RegularOnly && !metadata.is_file() {
        return Err(String::from("is not a regular file"));
    }
    let mut bytes = read_bounded(path, &metadata).map_err(|error| unreadable(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_SECRET_BYTES) {
        return Err(String::from("is larger than 64 KiB"));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(Secret::new(bytes))
}

/// Reads at most one byte more than [`MAX_SECRET_BYTES`].
fn read_bounded(path: &Path, metadata: &Metadata) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // The buffer has its final size from the start, because a buffer that grows leaves copies of the secret in memory.
    // The size of a pipe is unknown.
    let size = if metadata.is_file() {
        metadata.len().min(MAX_SECRET_BYTES)
    } else {
        MAX_SECRET_BYTES
    };
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
