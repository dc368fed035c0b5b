//! `credential:NAME` in place of a path: a file that the service manager put into `$CREDENTIALS_DIRECTORY` for this
//! process alone (`LoadCredential=` of a systemd unit, <https://systemd.io/CREDENTIALS>).
//!
//! Resolved in the merged tree, before anything is decoded, so that it works wherever a path may stand: secrets, public
//! keys, certificates, their keys, roots.

use super::fault::Report;
use figment::value::{Dict, Empty, Value};
use std::ffi::OsString;
use std::path::PathBuf;

/// Begins a value that names a credential.
const PREFIX: &str = "credential:";

/// Set by the service manager.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Literal texts for the upstream, where a path never stands.
const LITERALS: &str = "headers";

/// Replaces every `credential:NAME` by the path of that file. A value that cannot be replaced is recorded and taken out.
pub(super) fn resolve(tree: Dict, environment: &[(OsString, OsString)], report: &mut Report) -> Dict {
    let mut resolver = Resolver {
        directory: environment
            .iter()
            .find(|(name, directory)| name == DIRECTORY && !directory.is_empty())
            .map(|(_, directory)| PathBuf::from(directory)),
        report,
    };
    resolver.table("", tree, false)
}

struct Resolver<'a> {
    directory: Option<PathBuf>,
    report: &'a mut Report,
}

impl Resolver<'_> {
    /// `texts_are_literal` in a table whose texts are meant as written: only tables in it may name a credential.
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
                self.value(&path, value, key == LITERALS)
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
                // A hole keeps the indices of the others, as in `decode`.
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

    fn file(&mut self, key: &str, name: &str) -> Option<String> {
        // systemd's own rule: a valid file name.
        let is_name = !matches!(name, "" | "." | "..")
            && name.len() <= 255
            && name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
        if !is_name {
            let problem = "not the name of a credential";
            let fix = "write the name that `LoadCredential=` gives it, such as \"credential:tls.key\"";
            self.report.fault(key, problem, fix);
            return None;
        }
        let Some(path) = self.directory.as_deref().map(|directory| directory.join(name)) else {
            self.report.fault(
                key,
                format!("`credential:{name}` is for the service manager to bring, and ${DIRECTORY} is not set"),
                format!("start it by systemd with `LoadCredential={name}:/path`, or by hand with {DIRECTORY} set to a directory that holds `{name}`"),
            );
            return None;
        };
        let text = path.to_str().map(str::to_owned);
        if text.is_none() {
            self.report
                .fault(key, format!("${DIRECTORY} is not UTF-8"), "use another directory");
        }
        text
    }
}
