//! What may be shown of secrets and public keys: names and sources.

use super::serialize::REDACTED;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::path::PathBuf;

/// The source of a secret or public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable, by name.
    Env(String),
    /// A file, by path; one newline at its end is not part of the secret.
    File(PathBuf),
}

/// What may be shown of a secret or public key: everything but its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    /// Label in metrics and in `Hookgate-Key`: 1 to 64 letters, digits, `_`, `-` or `.`. Default: the name of the
    /// variable or file.
    pub name: String,
    /// Where the secret is read from, at start and at each reload.
    pub source: SecretSource,
    /// Whether senders should no longer use the secret. It is still accepted; a match raises an alert.
    pub retired: bool,
}

impl Serialize for SecretInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("name", &self.name)?;
        match &self.source {
            SecretSource::Env(name) => table.serialize_entry("env", name)?,
            SecretSource::File(path) => table.serialize_entry("file", &path.display().to_string())?,
        }
        if self.retired {
            table.serialize_entry("retired", &true)?;
        }
        table.serialize_entry("value", REDACTED)?;
        table.end()
    }
}
