//! `secrets`, `public_keys` and every other `{ env = … }` or `{ file = … }`: reads the secret and reports weak ones.
//! No fault or warning shows a secret.

use super::Resolver;
use crate::config::credential::{SecretError, SecretFiles, is_world_readable, read_secret};
use crate::config::file::{SecretReference, SecretTable};
use crate::config::value::{Flag, OneOrMany};
use crate::scheme::NamedSecret;
use crate::secret::Secret;
use crate::settings::{SecretInfo, SecretSource};

/// Length in bytes below which a secret gets a warning, because it may be guessed.
const MIN_SECRET_BYTES: usize = 24;

/// Texts of examples and templates that the operator should have replaced by a secret.
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

/// Beginnings of such texts.
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
    /// The secrets (`are_secret`) or public keys of one route, with their names and sources in the same order. Faulty ones
    /// are recorded and left out.
    pub(super) fn secrets(
        &mut self,
        key: &str,
        list: OneOrMany<SecretReference>,
        are_secret: bool,
    ) -> (Vec<NamedSecret>, Vec<SecretInfo>) {
        let mut named: Vec<NamedSecret> = Vec::new();
        let mut sources: Vec<SecretInfo> = Vec::new();
        for (key, SecretReference(table)) in list.into_paths(key) {
            let name = table.name.clone();
            let retired = table.retired.is_some_and(|Flag(flag)| flag);
            let Some((source, secret)) = self.secret(&key, table, are_secret) else {
                continue;
            };
            if are_secret && !self.check_secret(&key, &source, &secret) {
                continue;
            }
            let name = name.unwrap_or_else(|| default_name(&source));
            if !is_name(&name) {
                self.report.fault(
                    format!("{key}.name"),
                    "this name cannot be used in metrics and a header field",
                    "write 1 to 64 letters, digits, `_`, `-` or `.`, such as `name = \"current\"`",
                );
            }
            if let Some(twin) = named.iter().find(|other| other.secret == secret) {
                self.report.fault(
                    &key,
                    format!("this is the same secret as `{}`", twin.name),
                    "remove one of them",
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
                .warn(key, "all secrets are retired, so every genuine request raises an alert");
        }
        (named, sources)
    }

    /// Reads the secret at `{ env }` or `{ file }`; `None` after a fault. With `is_secret` a file that everyone can read
    /// gets a warning.
    pub(super) fn secret(&mut self, key: &str, table: SecretTable, is_secret: bool) -> Option<(SecretSource, Secret)> {
        let (key, source) = match (table.env, table.file) {
            (Some(name), None) => (format!("{key}.env"), SecretSource::Env(name)),
            (None, Some(file)) => (format!("{key}.file"), SecretSource::File(self.path(&file))),
            (Some(_), Some(_)) => {
                self.report
                    .fault(key, "both `env` and `file` are set", "keep one of them");
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

    /// Checks the bytes of a secret. Empty secrets and placeholders are faults, and weak ones get a warning. Returns
    /// whether it can be used.
    fn check_secret(&mut self, key: &str, source: &SecretSource, secret: &Secret) -> bool {
        let bytes = secret.expose();
        let text = String::from_utf8_lossy(bytes).trim().to_ascii_lowercase();
        if text.is_empty() {
            let source_text = match source {
                SecretSource::Env(name) => format!("the variable {name}"),
                SecretSource::File(path) => path.display().to_string(),
            };
            self.report.fault(
                key,
                format!("{source_text} is empty"),
                "write the provider's secret there: with an empty key everyone could sign",
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
            self.report.fault(
                key,
                "this is a placeholder and not a secret",
                "write the provider's secret there",
            );
            return false;
        }
        if bytes.len() < MIN_SECRET_BYTES {
            self.report.warn(
                key,
                format_args!("the secret is shorter than {MIN_SECRET_BYTES} bytes and may be guessed"),
            );
        }
        let edges = [bytes.first(), bytes.last()];
        if edges.into_iter().flatten().any(u8::is_ascii_whitespace) {
            self.report.warn(
                key,
                "the secret begins or ends with a space or a line end, which is part of the key",
            );
        } else if bytes.starts_with(b"\xef\xbb\xbf") {
            self.report.warn(
                key,
                "the secret begins with a byte order mark, which is part of the key",
            );
        } else if bytes.len() > 1 && edges.into_iter().flatten().all(|byte| matches!(byte, b'"' | b'\'')) {
            self.report
                .warn(key, "the secret is in quotes, which are part of the key");
        }
        true
    }
}

/// The default name of a secret: the name of its variable or file, with `_` for characters that a name cannot contain.
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

/// Whether a name can be a label of metrics and the value of a header field.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}
