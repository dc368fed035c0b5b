//! What `sign`, `send` and `verify` share: the arguments that name secrets, and the readers of secrets and bodies.

use super::{Environment, Failure};
use crate::config::{SecretError, SecretFiles, read_secret};
use crate::scheme::{NamedSecret, SignRequest, Verifier};
use crate::settings::SecretSource;
use hyper::header::{HeaderName, HeaderValue};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The provider and the sources of its secrets. Several secrets sign as a provider does during a rotation.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("secret source").args(["secret_env", "secret_file"]).required(true).multiple(true))]
pub(super) struct SigningArguments {
    /// Provider whose signature scheme is used
    #[arg(long, value_name = "NAME", default_value = "paddle")]
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
}

/// A scheme with its secrets, ready to sign.
#[derive(Debug)]
pub(super) struct Signer {
    verifier: Verifier,
    /// Indices of the secrets that sign: all of them.
    keys: Vec<usize>,
}

impl SigningArguments {
    /// Reads the secrets and prepares the scheme.
    ///
    /// # Errors
    /// A secret cannot be read, or the provider does not accept it. The message contains no secret.
    pub(super) fn signer(&self, environment: &Environment) -> Result<Signer, Failure> {
        let secrets = read_secrets(&self.secret_env, &self.secret_file, environment)?;
        let keys = (0..secrets.len()).collect();
        let verifier = Verifier::new(&self.provider, None, secrets, self.public_url.clone())
            .map_err(|faults| Failure::Usage(faults.join("\n")))?;
        Ok(Signer { verifier, keys })
    }
}

impl Signer {
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
            &signing(&["PADDLE_SECRET"], &[]).signer(&environment).unwrap(),
            1_671_552_777,
        );
        let from_file = header(&signing(&[], &[&path]).signer(&environment).unwrap(), 1_671_552_777);
        assert_eq!(from_variable, from_file);
        assert!(from_file.starts_with("ts=1671552777;h1="));
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let environment: Environment = vec![
            ("A".into(), SECRET.into()),
            ("B".into(), format!("{SECRET}-other").into()),
        ];
        let value = header(&signing(&["A", "B"], &[]).signer(&environment).unwrap(), 1_671_552_777);
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
            let failure = signing(&[env], &[]).signer(&environment).unwrap_err();
            assert!(matches!(failure, Failure::Usage(_)));
            assert!(failure.to_string().contains(expected), "{failure}");
            assert!(!failure.to_string().contains("canary"), "{failure}");
        }
        let failure = signing(&[], &[Path::new("/nonexistent/secret")])
            .signer(&environment)
            .unwrap_err();
        assert!(failure.to_string().contains("/nonexistent/secret"), "{failure}");
    }

    #[test]
    fn a_body_is_read_verbatim_and_up_to_its_limit() {
        assert_eq!(read_bounded(&b"a\r\n\n"[..], 4).unwrap(), b"a\r\n\n");
        assert!(read_bounded(&b"abcde"[..], 4).is_err());
    }
}
