//! Replaces `credential:NAME` by the path of a file in `$CREDENTIALS_DIRECTORY`. The service manager puts such files
//! there for this process alone (`LoadCredential=` of a systemd unit, <https://systemd.io/CREDENTIALS>). Without the
//! variable it is the directory `credentials` beside the configuration file, from which the unit of the package loads
//! them, so that a person can run `check` and `verify` with the same file.
//!
//! This happens in the merged values, before they are decoded, so that it works for every path: secrets, public keys,
//! certificates, private keys and root certificates.

use super::fault::Report;
use figment::value::{Dict, Empty, Value};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Start of a value that names a credential.
const PREFIX: &str = "credential:";

/// Variable that the service manager sets.
const DIRECTORY_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Directory beside the configuration file that is used without the variable.
const DIRECTORY: &str = "credentials";

/// Table whose texts are literal values for the upstream and never paths.
const LITERAL_TABLE: &str = "headers";

/// Longest name of a credential in bytes (`NAME_MAX`, as for systemd).
const MAX_NAME_BYTES: usize = 255;

/// Replaces every `credential:NAME` by the path of its file. A value that cannot be replaced is removed and recorded as
/// a fault. `base` is the directory of the configuration file.
pub(super) fn resolve(tree: Dict, environment: &[(OsString, OsString)], base: &Path, report: &mut Report) -> Dict {
    let variable = environment
        .iter()
        .find(|(name, directory)| name == DIRECTORY_VARIABLE && !directory.is_empty());
    // A user who may not list the directory may not read its files either, and gets the fault that says what to do.
    let beside = || Some(base.join(DIRECTORY)).filter(|directory| std::fs::read_dir(directory).is_ok());
    let mut resolver = CredentialResolver {
        directory: variable.map_or_else(beside, |(_, directory)| Some(PathBuf::from(directory))),
        report,
    };
    resolver.table("", tree, false)
}

struct CredentialResolver<'a> {
    /// Where the files are; `None` if [`DIRECTORY_VARIABLE`] is unset or empty, and there is no such directory beside the
    /// configuration file that this user may read.
    directory: Option<PathBuf>,
    report: &'a mut Report,
}

impl CredentialResolver<'_> {
    /// Replaces credentials in `table` at `path`. With `texts_are_literal` only tables inside it may name a credential.
    fn table(&mut self, path: &str, table: Dict, texts_are_literal: bool) -> Dict {
        let mut resolved = Dict::new();
        for (key, value) in table {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            let value = if texts_are_literal && value.as_str().is_some() {
                Some(value)
            } else {
                self.value(&path, value, key == LITERAL_TABLE)
            };
            resolved.extend(value.map(|value| (key, value)));
        }
        resolved
    }

    fn value(&mut self, path: &str, value: Value, texts_are_literal: bool) -> Option<Value> {
        match value {
            Value::Dict(tag, fields) => Some(Value::Dict(tag, self.table(path, fields, texts_are_literal))),
            Value::Array(tag, items) => {
                let items = items.into_iter().enumerate();
                // `Empty` replaces a removed item, so that the others keep their indices, as in `decode`.
                let items = items.map(|(index, item)| {
                    self.value(&format!("{path}[{index}]"), item, false)
                        .unwrap_or_else(|| Value::from(Empty::None))
                });
                Some(Value::Array(tag, items.collect()))
            }
            Value::String(tag, text) => match text.strip_prefix(PREFIX) {
                Some(name) => self.file(path, name).map(|file| Value::String(tag, file)),
                None => Some(Value::String(tag, text)),
            },
            other @ (Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..)) => Some(other),
        }
    }

    /// The path of the credential `name`, which the value at `key` names.
    fn file(&mut self, key: &str, name: &str) -> Option<String> {
        // systemd accepts every valid file name; `:` separates the name from the path in `LoadCredential=`.
        let is_name = !matches!(name, "" | "." | "..")
            && name.len() <= MAX_NAME_BYTES
            && name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
        if !is_name {
            let problem = "this is not the name of a credential";
            let fix = "write the name that `LoadCredential=` gives it, such as \"credential:tls.key\"";
            self.report.fault(key, problem, fix);
            return None;
        }
        let Some(path) = self.directory.as_deref().map(|directory| directory.join(name)) else {
            self.report.fault(
                key,
                format!("`credential:{name}` cannot be found, because the variable {DIRECTORY_VARIABLE} is not set"),
                format!(
                    "let systemd start hookgate with `LoadCredential={name}:/path`; for a command by hand, run it as a user who may read the directory `{DIRECTORY}` beside the configuration file, with `{name}` in it, or set {DIRECTORY_VARIABLE} to another directory"
                ),
            );
            return None;
        };
        let text = path.to_str().map(str::to_owned);
        if text.is_none() {
            let problem = format!("the path in {DIRECTORY_VARIABLE} is not UTF-8");
            self.report.fault(key, problem, "use another directory");
        }
        text
    }
}
