//! What `sign`, `send` and `verify` share: the arguments that name secrets, and the readers of secrets and bodies.

use super::{Environment, Failure};
use crate::config::{Loaded, SecretError, SecretFiles, Sources, inspect, read_secret};
use crate::scheme::{NamedSecret, SignRequest, Verifier, presets};
use crate::settings::{SecretInfo, SecretSource};
use hyper::header::{HeaderName, HeaderValue};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The provider and the sources of its secrets, or a route of the configuration. Several secrets sign as a provider does
/// during a rotation.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("secret source").args(["secret_env", "secret_file", "route"]).required(true).multiple(true))]
pub(super) struct SigningArguments {
    /// Provider whose signature scheme is used
    #[arg(long, value_name = "NAME", default_value = "paddle", value_parser = provider_names())]
    provider: String,
    /// Environment variable that holds the signing secret (repeatable: sign with several, as during a rotation)
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// File that holds the signing secret; one newline at its end is dropped (repeatable)
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// URL that the provider was given, for providers that sign it (twilio, square, hubspot-v3)
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Route of the configuration, by its name or its path: its scheme (`custom` too), its first secret and its public_url are used
    #[arg(long, value_name = "NAME", conflicts_with_all = ["provider", "secret_env", "secret_file", "public_url"])]
    route: Option<String>,
}

/// A scheme with its secrets, ready to sign.
#[derive(Debug)]
pub(super) struct Signer {
    verifier: Verifier,
    /// Indices of the secrets that sign.
    keys: Vec<usize>,
}

impl SigningArguments {
    /// Reads the secrets and prepares the scheme.
    ///
    /// # Errors
    /// A secret cannot be read, or the provider does not accept it; the configuration is faulty or has no such route.
    /// The message contains no secret.
    pub(super) fn signer(&self, sources: &Sources) -> Result<Signer, Failure> {
        if let Some(name) = &self.route {
            return Signer::of_route(name, sources);
        }
        let secrets = read_secrets(&self.secret_env, &self.secret_file, &sources.environment)?;
        let keys = (0..secrets.len()).collect();
        let verifier = Verifier::new(&self.provider, None, secrets, self.public_url.clone())
            .map_err(|faults| Failure::Usage(faults.join("\n")))?;
        Ok(Signer { verifier, keys })
    }
}

impl Signer {
    /// The scheme of a route of the configuration, with its first secret that is not retired.
    fn of_route(name: &str, sources: &Sources) -> Result<Self, Failure> {
        let Loaded { config, .. } = inspect(sources).map_err(|faults| Failure::Usage(faults.to_string()))?;
        let by_name = config.routes.iter().find(|route| route.name == name);
        let route = by_name.or_else(|| config.routes.iter().find(|route| route.path == name));
        let route = route.ok_or_else(|| {
            let names: Vec<_> = config.routes.iter().map(|route| route.name.as_str()).collect();
            Failure::Usage(format!(
                "the configuration has no route `{name}`; choose one of: {}",
                names.join(", ")
            ))
        })?;
        let current = route.secrets.iter().position(|secret| !secret.retired);
        Ok(Self {
            verifier: route.verifier.clone(),
            keys: vec![current.unwrap_or_default()],
        })
    }

    /// The name of the scheme.
    pub(super) fn provider(&self) -> &str {
        self.verifier.name()
    }

    /// The headers of a genuine request that is signed at `now_unix` (Unix seconds).
    ///
    /// # Errors
    /// The scheme cannot sign, or not with these secrets.
    pub(super) fn headers(
        &self,
        request: &SignRequest<'_>,
        now_unix: u64,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        self.verifier.sign_with(&self.keys, request, now_unix).ok_or_else(|| {
            let name = self.verifier.name();
            Failure::Usage(format!(
                "{name} cannot sign with these secrets: a public key only verifies, mailgun and adyen sign inside the body, and some schemes take one secret at a time"
            ))
        })
    }
}

/// Reads a body from a file, or from standard input for `-`.
///
/// # Errors
/// The body cannot be read or is larger than [`MAX_BODY_BYTES`].
pub(super) fn read_body(source: &Path) -> Result<Vec<u8>, Failure> {
    let body = if source == Path::new("-") {
        read_bounded(io::stdin().lock(), MAX_BODY_BYTES)
    } else {
        File::open(source).and_then(|file| read_bounded(file, MAX_BODY_BYTES))
    };
    body.map_err(|error| Failure::Usage(format!("cannot read the body from {}: {error}", source.display())))
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
            SecretError::UnreadableFile { .. } => format!("cannot read the secret: {error}"),
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
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use hyper::Method;

    const SECRET: &str = "pdl_ntfset_01gkdws5r0gc6jr28dqhd5_canary0123456789abcdefABCDEF";

    fn signing(env: &[&str], files: &[&Path]) -> SigningArguments {
        SigningArguments {
            provider: "paddle".into(),
            secret_env: env.iter().map(|name| (*name).to_owned()).collect(),
            secret_file: files.iter().map(|path| path.to_path_buf()).collect(),
            public_url: None,
            route: None,
        }
    }

    fn sources(environment: &Environment) -> Sources {
        Sources {
            file: None,
            environment: environment.clone(),
            overrides: Vec::new(),
        }
    }

    fn header(signer: &Signer, now_unix: u64) -> String {
        let request = SignRequest {
            method: &Method::POST,
            target: "/",
            delivery_id: None,
            body: b"{}",
        };
        let headers = signer.headers(&request, now_unix).unwrap();
        assert_eq!(headers[0].0, "paddle-signature");
        headers[0].1.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_variable_and_a_file_give_the_same_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, format!("{SECRET}\n")).unwrap();
        let environment: Environment = vec![("PADDLE_SECRET".into(), SECRET.into())];
        let from_variable = header(
            &signing(&["PADDLE_SECRET"], &[]).signer(&sources(&environment)).unwrap(),
            1_671_552_777,
        );
        let from_file = header(
            &signing(&[], &[&path]).signer(&sources(&environment)).unwrap(),
            1_671_552_777,
        );
        assert_eq!(from_variable, from_file);
        assert!(from_file.starts_with("ts=1671552777;h1="));
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let environment: Environment = vec![
            ("A".into(), SECRET.into()),
            ("B".into(), format!("{SECRET}-other").into()),
        ];
        let value = header(
            &signing(&["A", "B"], &[]).signer(&sources(&environment)).unwrap(),
            1_671_552_777,
        );
        assert_eq!(value.matches(";h1=").count(), 2);
    }

    #[test]
    fn failures_name_the_fix_and_never_the_secret() {
        let environment: Environment = vec![("EMPTY".into(), "".into())];
        for (env, expected) in [
            ("MISSING", "MISSING is not set"),
            (SECRET, "not the secret itself"),
            ("EMPTY", "is empty"),
        ] {
            let failure = signing(&[env], &[]).signer(&sources(&environment)).unwrap_err();
            assert!(matches!(failure, Failure::Usage(_)));
            assert!(failure.to_string().contains(expected), "{failure}");
            assert!(!failure.to_string().contains("canary"), "{failure}");
        }
        let failure = signing(&[], &[Path::new("/nonexistent/secret")])
            .signer(&sources(&environment))
            .unwrap_err();
        assert!(failure.to_string().contains("/nonexistent/secret"), "{failure}");
    }

    #[test]
    fn a_body_is_read_verbatim_and_up_to_its_limit() {
        assert_eq!(read_bounded(&b"a\r\n\n"[..], 4).unwrap(), b"a\r\n\n");
        assert!(read_bounded(&b"abcde"[..], 4).is_err());
    }
}
