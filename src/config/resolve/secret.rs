//! `secrets`, `public_keys` and every other `{ env = … }` or `{ file = … }`: reads the secret and reports weak ones.
//! No fault or warning shows a secret.

use super::Resolver;
use crate::config::credential::{SecretError, SecretFiles, is_world_readable, read_secret};
use crate::config::file::{SecretReference, SecretTable};
use crate::config::value::{Flag, OneOrMany};
use crate::gateway::diagnosis::secret_remarks;
use crate::scheme::NamedSecret;
use crate::scheme::strength::Weakness;
use crate::secret::Secret;
use crate::settings::{SecretInfo, SecretSource};

/// The keys of one list of a route, each with its name, its source and its place in the configuration.
#[derive(Debug, Default)]
pub(super) struct RouteKeys {
    /// The keys by name.
    pub(super) named: Vec<NamedSecret>,
    /// Names and sources, in the same order.
    pub(super) sources: Vec<SecretInfo>,
    /// Places such as `route[0].secrets[1]`, in the same order.
    pub(super) places: Vec<String>,
}

impl Resolver<'_> {
    /// The secrets (`are_secret`) or public keys of one route, with their names and sources in the same order. Faulty ones
    /// are recorded and left out.
    pub(super) fn secrets(&mut self, key: &str, list: OneOrMany<SecretReference>, are_secret: bool) -> RouteKeys {
        let RouteKeys {
            mut named,
            mut sources,
            mut places,
        } = RouteKeys::default();
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
            places.push(key);
        }
        if !sources.is_empty() && sources.iter().all(|source| source.retired) {
            self.report
                .warn(key, "all secrets are retired, so every genuine request raises an alert");
        }
        RouteKeys { named, sources, places }
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

    /// Warns about secrets of a provider that look like something else, or like a corrupted copy. `places` are their keys.
    pub(super) fn remark_on_secrets(&mut self, provider: &str, secrets: &[NamedSecret], places: &[String]) {
        for (named, place) in secrets.iter().zip(places) {
            for remark in secret_remarks(provider, named.secret.expose()) {
                self.report.warn(place, format_args!("the secret {remark}"));
            }
        }
    }

    /// Checks the bytes of a secret. Empty secrets and placeholders are faults, and weak ones get a warning. Returns
    /// whether it can be used.
    fn check_secret(&mut self, key: &str, source: &SecretSource, secret: &Secret) -> bool {
        let bytes = secret.expose();
        if bytes.trim_ascii().is_empty() {
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
        match Weakness::of(bytes) {
            Some(Weakness::Placeholder) => {
                self.report.fault(
                    key,
                    "this is a placeholder and not a secret",
                    "write the provider's secret there",
                );
                return false;
            }
            Some(weakness @ (Weakness::Short | Weakness::FewDifferentBytes(_))) => {
                self.report.warn(key, format_args!("the secret {}", weakness.problem()));
            }
            None => {}
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

impl Resolver<'_> {
    /// Reports a secret that is weak once it is decoded: a placeholder is a fault, as it is in the text.
    pub(super) fn decoded_weakness(&mut self, key: &str, weakness: Weakness) {
        let problem = format!("the decoded secret {}", weakness.problem());
        match weakness {
            Weakness::Placeholder => self.report.fault(key, problem, "write the provider's secret there"),
            Weakness::Short | Weakness::FewDifferentBytes(_) => self.report.warn(key, problem),
        }
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
