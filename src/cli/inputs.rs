//! What several commands read: bodies, secrets, and names of providers.

use super::{Environment, Failure};
use crate::config::{SecretError, SecretFiles, read_secret};
use crate::scheme::{Expected, NamedSecret, presets};
use crate::settings::{SecretInfo, SecretSource};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
#[cfg(feature = "tools")]
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Reads a body, a capture or a key set from a file, or from standard input for `-`.
///
/// # Errors
/// The body cannot be read or is larger than [`MAX_BODY_BYTES`].
pub(super) fn read_body(source: &Path) -> Result<Vec<u8>, Failure> {
    let body = if source == Path::new("-") {
        read_bounded(io::stdin().lock(), MAX_BODY_BYTES)
    } else {
        File::open(source).and_then(|file| read_bounded(file, MAX_BODY_BYTES))
    };
    body.map_err(|error| Failure::Usage(unreadable(source, &error)))
}

/// Why a file that the command line names cannot be read, and what to do.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    if error.kind() == io::ErrorKind::NotFound {
        format!("the file {path} does not exist; write the path of an existing file")
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        format!("this user may not read {path}; change its owner or mode, or run the command as another user")
    } else if error.kind() == io::ErrorKind::IsADirectory {
        format!("{path} is a directory; write the path of a file in it")
    } else {
        format!("cannot read {path}: {}", in_words(error))
    }
}

/// Why a file that the command line names cannot be written, and what to do.
#[cfg(feature = "tools")]
pub(super) fn unwritable(path: &Path, error: &io::Error) -> String {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.display(),
        Some(_) | None => Path::new(".").display(),
    };
    let path = path.display();
    if error.kind() == io::ErrorKind::NotFound {
        format!("cannot write {path}: the directory {directory} does not exist; create it with `mkdir -p {directory}`")
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        format!(
            "cannot write {path}: this user may not write to {directory}; write another path, or run the command as another user"
        )
    } else {
        format!("cannot write {path}: {}", in_words(error))
    }
}

/// The error without the number that the system has for it.
pub(super) fn in_words(error: &io::Error) -> String {
    error
        .get_ref()
        .map_or_else(|| error.kind().to_string(), ToString::to_string)
}

/// Parses an IP address with a port.
///
/// # Errors
/// What to write instead.
#[cfg(feature = "tools")]
pub(super) fn listener_address(text: &str) -> Result<SocketAddr, String> {
    let parsed = text.parse();
    parsed.map_err(|_| String::from("write an IP address and a port, such as 127.0.0.1:8443 or [::]:8443"))
}

/// Reads the secrets that arguments such as `--secret-env` and `--secret-file` name: first all variables, then all
/// files. Each is named by its variable or path.
///
/// # Errors
/// A secret cannot be read. The message contains no secret, not even one that was given in place of a variable's name.
pub(super) fn read_secrets(
    variables: &[String],
    files: &[PathBuf],
    environment: &Environment,
) -> Result<Vec<NamedSecret>, Failure> {
    let variables = variables
        .iter()
        .map(|name| (name.clone(), SecretSource::Env(name.clone())));
    let files = files
        .iter()
        .map(|path| (path.display().to_string(), SecretSource::File(path.clone())));
    variables
        .chain(files)
        .map(|(name, source)| {
            // A pipe such as `--secret-file <(pass show paddle)` is allowed: the command reads it once.
            let secret = read_secret(&source, environment, SecretFiles::Any)?;
            Ok(NamedSecret { name, secret })
        })
        .collect()
}

/// Reads the secrets of a route from their sources again: the configuration keeps them only inside the route's verifier.
///
/// # Errors
/// A secret can no longer be read.
pub(super) fn read_again(secrets: &[SecretInfo], environment: &Environment) -> Result<Vec<NamedSecret>, Failure> {
    let read = |info: &SecretInfo| {
        let secret = read_secret(&info.source, environment, SecretFiles::RegularOnly)?;
        Ok(NamedSecret {
            name: info.name.clone(),
            secret,
        })
    };
    secrets.iter().map(read).collect()
}

/// Parses `NAME=VALUE`.
///
/// # Errors
/// What to write instead.
pub(super) fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, such as aud=shop")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The values that requests must carry, from pairs of names and values.
pub(super) fn expected(pairs: &[(String, String)]) -> Expected {
    let mut expected = Expected::new();
    for (name, value) in pairs {
        expected.entry(name.clone()).or_default().push(value.clone());
    }
    expected
}

/// The names of providers, for shells that complete them. A name that is not one of them is accepted here, because the
/// scheme's own fault suggests the nearest name.
pub(super) fn provider_names() -> impl clap::builder::TypedValueParser<Value = String> {
    ProviderNames
}

/// A parser that accepts every text and offers the names of all presets.
#[derive(Clone)]
struct ProviderNames;

impl clap::builder::TypedValueParser for ProviderNames {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        clap::builder::StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = clap::builder::PossibleValue> + '_>> {
        Some(Box::new(presets::names().map(clap::builder::PossibleValue::new)))
    }
}

impl From<SecretError> for Failure {
    /// Adds the fix to the error.
    fn from(error: SecretError) -> Self {
        Self::Usage(match error {
            SecretError::VariableNotSet(Some(_)) => format!("{error}; export it, or name a file that holds the secret"),
            SecretError::VariableNotSet(None) | SecretError::InvalidVariableName => {
                format!(
                    "{error}; write the name of an environment variable that holds the secret, not the secret itself"
                )
            }
            SecretError::UnreadableFile { .. } => {
                format!("cannot read the secret: {error}; write the path of a readable file")
            }
        })
    }
}

/// Reads `source` to its end.
///
/// # Errors
/// Reading failed, or there are more than `max_bytes`.
fn read_bounded(source: impl Read, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {max_bytes} bytes"),
        ));
    }
    Ok(bytes)
}

/// Largest body that is read (64 MiB).
const MAX_BODY_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_body_is_read_verbatim_and_up_to_its_limit() {
        assert_eq!(read_bounded(&b"a\r\n\n"[..], 4).unwrap(), b"a\r\n\n");
        assert!(read_bounded(&b"abcde"[..], 4).is_err());
    }
}
