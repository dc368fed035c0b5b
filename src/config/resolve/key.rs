//! Secrets and public keys: read verbatim from a variable or a file, judged, never shown.
//!
//! Variables are looked up by name in the environment that was passed in and go nowhere near a value parser, so `123456`,
//! `"quoted"` and `[abc]` are the secrets that they look like. A file loses exactly one trailing newline and nothing else.

use super::super::fault::unreadable;
use super::super::file::KeyTable;
use super::super::value::{Flag, List};
use super::super::{Key, KeySource};
use super::Resolver;
use crate::scheme::NamedSecret;
use crate::secret::Secret;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Secrets shorter than this can be guessed by someone with time: a warning.
const SHORT: usize = 24;

/// No secret or PEM key is larger; keeps a mistaken path from filling memory.
const LARGEST: u64 = 64 << 10;

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
    ) -> (Vec<NamedSecret>, Vec<Key>) {
        let mut named: Vec<NamedSecret> = Vec::new();
        let mut sources: Vec<Key> = Vec::new();
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
            sources.push(Key {
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

    /// Reads `{ env }` or `{ file }`.
    pub(super) fn key(&mut self, key: &str, table: KeyTable, is_secret: bool) -> Option<(KeySource, Secret)> {
        match (table.env, table.file) {
            (Some(name), None) => self
                .variable(&format!("{key}.env"), &name)
                .map(|secret| (KeySource::Env(name), secret)),
            (None, Some(file)) => {
                let path = self.path(&file);
                self.key_file(&format!("{key}.file"), &path, is_secret)
                    .map(|secret| (KeySource::File(path), secret))
            }
            (Some(_), Some(_)) => {
                self.report.fault(key, "both `env` and `file`", "keep one of them");
                None
            }
            (None, None) => {
                self.report.missing(
                    key.to_owned(),
                    "neither `env` nor `file`",
                    "write { env = \"NAME_OF_A_VARIABLE\" } or { file = \"/path\" }",
                );
                None
            }
        }
    }

    fn variable(&mut self, key: &str, name: &str) -> Option<Secret> {
        let name_is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !name_is_plain {
            // Not quoted: someone may have put the secret itself here.
            self.report.fault(
                key,
                "not the name of a variable",
                "write the variable's name, such as \"PADDLE_WEBHOOK_SECRET\"",
            );
            return None;
        }
        match self.environment.iter().find(|(variable, _)| variable == name) {
            None => {
                self.report.fault(
                    key,
                    format!("the variable `{name}` is not set"),
                    "set it, or remove this entry",
                );
                None
            }
            Some((_, value)) => Some(Secret::new(value.as_bytes().to_vec())),
        }
    }

    fn key_file(&mut self, key: &str, path: &Path, is_secret: bool) -> Option<Secret> {
        self.files.push(path.to_path_buf());
        match read_bounded(path) {
            Ok((mut bytes, mode)) => {
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                if is_secret && mode & 0o007 != 0 {
                    self.report.warn(
                        key,
                        format_args!(
                            "{} can be read by every user of this machine; `chmod o= …`",
                            path.display()
                        ),
                    );
                }
                Some(Secret::new(bytes))
            }
            Err(problem) => {
                self.report.fault(
                    key,
                    format!("{} {problem}", path.display()),
                    "write the path of a readable file",
                );
                None
            }
        }
    }

    /// Faults and warnings about what a secret is; whether it can be one at all.
    fn judge(&mut self, key: &str, source: &KeySource, secret: &Secret) -> bool {
        let bytes = secret.expose();
        let text = String::from_utf8_lossy(bytes).trim().to_ascii_lowercase();
        if text.is_empty() {
            let place = match source {
                KeySource::Env(name) => format!("the variable `{name}`"),
                KeySource::File(path) => path.display().to_string(),
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

/// Reads a regular file of at most [`LARGEST`] bytes; gives its mode too.
fn read_bounded(path: &Path) -> Result<(Vec<u8>, u32), String> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(String::from("is not a regular file"));
    }
    let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
    // Of the right size from the start: growing would leave copies of a secret behind.
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(LARGEST)).unwrap_or_default() + 1);
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(String::from("is larger than 64 KiB"));
    }
    Ok((bytes, metadata.permissions().mode()))
}

/// A label that says where the secret is: the variable's name, or the file's.
fn default_name(source: &KeySource) -> String {
    let text = match source {
        KeySource::Env(name) => name.clone(),
        KeySource::File(path) => path
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
