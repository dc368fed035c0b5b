//! Secrets and public keys: read verbatim from a variable or a file, judged, never shown.
//!
//! Variables are looked up by name in the environment that was passed in and go nowhere near a value parser, so `123456`,
//! `"quoted"` and `[abc]` are the secrets that they look like. A file loses exactly one trailing newline and nothing else.

use super::super::credential::{SecretError, SecretFiles, is_world_readable, read_secret};
use super::super::file::KeyTable;
use super::super::value::{Flag, List};
use super::Resolver;
use crate::scheme::NamedSecret;
use crate::secret::Secret;
use crate::settings::{SecretInfo, SecretSource};

/// Secrets shorter than this can be guessed by someone with time: a warning.
const SHORT: usize = 24;

/// Texts that stand in examples and templates for a secret that was never put in.
const PLACEHOLDERS: [&str; 12] = [
    "changeme",
    "change-me",
    "change_me",
    "secret",
    "password",
    "placeholder",
    "example",
    "test",
    "todo",
    "replace-me",
    "replaceme",
    "none",
];

const PLACEHOLDER_STARTS: [&str; 7] = [
    "your-secret",
    "your_secret",
    "your secret",
    "yoursecret",
    "your-webhook-secret",
    "your_webhook_secret",
    "<",
];

impl Resolver<'_> {
    /// The secrets or public keys of one route. `are_secret` judges them as secrets.
    pub(super) fn keys(
        &mut self,
        key: &str,
        list: List<super::super::file::Key>,
        are_secret: bool,
    ) -> (Vec<NamedSecret>, Vec<SecretInfo>) {
        let mut named: Vec<NamedSecret> = Vec::new();
        let mut sources: Vec<SecretInfo> = Vec::new();
        for (key, super::super::file::Key(table)) in list.into_paths(key) {
            let name = table.name.clone();
            let retired = table.retired.is_some_and(|Flag(flag)| flag);
            let Some((source, secret)) = self.key(&key, table, are_secret) else {
                continue;
            };
            if are_secret && !self.judge(&key, &source, &secret) {
                continue;
            }
            let name = name.unwrap_or_else(|| default_name(&source));
            if !is_name(&name) {
                self.report.fault(
                    format!("{key}.name"),
                    "a name goes into metrics and a header",
                    "write 1 to 64 letters, digits, `_`, `-` or `.`, such as `name = \"current\"`",
                );
            }
            if let Some(twin) = named.iter().find(|other| other.secret == secret) {
                self.report.fault(
                    &key,
                    format!("the same secret as `{}`", twin.name),
                    "remove one of the two",
                );
                continue;
            }
            if named.iter().any(|other| other.name == name) {
                let problem = format!("two secrets of this route are named `{name}`");
                self.report.fault(&key, problem, "give one of them another `name`");
                continue;
            }
            sources.push(SecretInfo {
                name: name.clone(),
                source,
                retired,
            });
            named.push(NamedSecret { name, secret });
        }
        if !sources.is_empty() && sources.iter().all(|source| source.retired) {
            self.report
                .warn(key, "all are retired, so every genuine request raises an alert");
        }
        (named, sources)
    }

    /// Reads the secret at `{ env }` or `{ file }` and records why it cannot be read.
    pub(super) fn key(&mut self, key: &str, table: KeyTable, is_secret: bool) -> Option<(SecretSource, Secret)> {
        let (key, source) = match (table.env, table.file) {
            (Some(name), None) => (format!("{key}.env"), SecretSource::Env(name)),
            (None, Some(file)) => (format!("{key}.file"), SecretSource::File(self.path(&file))),
            (Some(_), Some(_)) => {
                self.report.fault(key, "both `env` and `file` are set", "keep one of them");
                return None;
            }
            (None, None) => {
                self.report.missing(
                    key.to_owned(),
                    "neither `env` nor `file` is set",
                    "write { env = \"NAME_OF_A_VARIABLE\" } or { file = \"/path\" }",
                );
                return None;
            }
        };
        if let SecretSource::File(path) = &source {
            self.files.push(path.clone());
        }
        match read_secret(&source, self.environment, SecretFiles::RegularOnly) {
            Ok(secret) => {
                if let SecretSource::File(path) = &source
                    && is_secret
                    && is_world_readable(path)
                {
                    self.report.warn(
                        &key,
                        format_args!(
                            "every user of this machine can read {0}; run `chmod o= {0}`",
                            path.display()
                        ),
                    );
                }
                Some((source, secret))
            }
            Err(error) => {
                let fix = match &error {
                    SecretError::InvalidVariableName => "write the variable's name, such as \"PADDLE_WEBHOOK_SECRET\"",
                    SecretError::VariableNotSet(_) => "export it, or remove this entry",
                    SecretError::UnreadableFile { .. } => "write the path of a readable file",
                };
                self.report.fault(key, error.to_string(), fix);
                None
            }
        }
    }

    /// Faults and warnings about what a secret is; whether it can be one at all.
    fn judge(&mut self, key: &str, source: &SecretSource, secret: &Secret) -> bool {
        let bytes = secret.expose();
        let text = String::from_utf8_lossy(bytes).trim().to_ascii_lowercase();
        if text.is_empty() {
            let place = match source {
                SecretSource::Env(name) => format!("the variable `{name}`"),
                SecretSource::File(path) => path.display().to_string(),
            };
            self.report.fault(
                key,
                format!("{place} is empty"),
                "put the provider's secret there: an empty key would verify anyone's signature",
            );
            return false;
        }
        let is_one_character = bytes.iter().all(|byte| Some(byte) == bytes.first());
        let is_placeholder = PLACEHOLDERS.contains(&text.as_str())
            || PLACEHOLDER_STARTS.iter().any(|start| text.starts_with(start))
            || text.ends_with("...")
            || text.ends_with('\u{2026}')
            || is_one_character;
        if is_placeholder {
            self.report
                .fault(key, "a placeholder, not a secret", "put the provider's secret there");
            return false;
        }
        if bytes.len() < SHORT {
            self.report.warn(
                key,
                format_args!("the secret is shorter than {SHORT} bytes, which is easy to guess"),
            );
        }
        let edges = [bytes.first(), bytes.last()];
        if edges.into_iter().flatten().any(u8::is_ascii_whitespace) {
            self.report.warn(
                key,
                "the secret begins or ends with a space or a line end, which counts as part of the key",
            );
        } else if bytes.starts_with(b"\xef\xbb\xbf") {
            self.report.warn(
                key,
                "the secret begins with a byte order mark, which counts as part of the key",
            );
        } else if bytes.len() > 1 && edges.into_iter().flatten().all(|byte| matches!(byte, b'"' | b'\'')) {
            self.report
                .warn(key, "the secret stands in quotes, which count as part of the key");
        }
        true
    }
}

/// A label that says where the secret is: the variable's name, or the file's.
fn default_name(source: &SecretSource) -> String {
    let text = match source {
        SecretSource::Env(name) => name.clone(),
        SecretSource::File(path) => path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
    };
    let plain: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') {
                c
            } else {
                '_'
            }
        })
        .collect();
    plain.chars().take(64).collect()
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}
