//! What `sign`, `send` and `verify` share: secrets from variables and files, bodies from files and standard input.

use super::{Environment, Failure};
use crate::scheme::{NamedSecret, SignRequest, Verifier};
use crate::secret::Secret;
use hyper::header::{HeaderName, HeaderValue};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The scheme and where its secrets are. Several secrets sign as a provider does during a rotation.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("secret source").args(["secret_env", "secret_file"]).required(true).multiple(true))]
pub(super) struct Signing {
    /// The provider whose convention is followed
    #[arg(long, value_name = "NAME", default_value = "paddle")]
    provider: String,
    /// Environment variable that holds the signing secret (repeatable: sign with several, as during a rotation)
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// File that holds the signing secret; one newline at its end is dropped (repeatable)
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// The URL that the provider was given, for those that sign it (twilio, square, hubspot-v3)
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

/// A scheme with its keys, ready to sign.
#[derive(Debug)]
pub(super) struct Signer {
    verifier: Verifier,
    keys: Vec<usize>,
}

impl Signing {
    /// Reads the secrets.
    ///
    /// # Errors
    /// A usage failure that shows no secret, not even one that was mistaken for a variable's name.
    pub(super) fn signer(&self, environment: &Environment) -> Result<Signer, Failure> {
        let mut named = Vec::new();
        for name in &self.secret_env {
            let secret = variable(name, environment)?;
            named.push(NamedSecret {
                name: name.clone(),
                secret,
            });
        }
        for path in &self.secret_file {
            let secret = file(path)?;
            named.push(NamedSecret {
                name: path.display().to_string(),
                secret,
            });
        }
        let keys = (0..named.len()).collect();
        let verifier = Verifier::new(&self.provider, None, named, self.public_url.clone())
            .map_err(|faults| Failure::Usage(faults.join("\n")))?;
        Ok(Signer { verifier, keys })
    }
}

impl Signer {
    /// The headers of a genuine request at `now` (Unix seconds).
    pub(super) fn headers(
        &self,
        request: &SignRequest<'_>,
        now: u64,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        self.verifier.sign_with(&self.keys, request, now).ok_or_else(|| {
            let name = self.verifier.name();
            Failure::Usage(format!(
                "{name} cannot be signed with what was given: a public key only verifies, mailgun and adyen sign inside the body, and some schemes take one secret at a time"
            ))
        })
    }
}

/// The bytes of a body: a file's, or those of standard input for `-`.
pub(super) fn body(source: &Path) -> Result<Vec<u8>, Failure> {
    let read = if source == Path::new("-") {
        bounded(io::stdin().lock(), LARGEST_BODY)
    } else {
        File::open(source).and_then(|file| bounded(file, LARGEST_BODY))
    };
    read.map_err(|error| Failure::Usage(format!("cannot read the body from {}: {error}", source.display())))
}

/// The secret in a variable.
///
/// # Errors
/// A usage failure that echoes the name only when it looks like one.
pub(super) fn variable(name: &str, environment: &Environment) -> Result<Secret, Failure> {
    if let Some((_, value)) = environment.iter().find(|(key, _)| key == name) {
        return Ok(Secret::new(value.as_bytes().to_vec()));
    }
    // Somebody may have written the secret itself: it is echoed only when it looks like a variable's name.
    let is_name = |name: &str| {
        name.bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    Err(Failure::Usage(if is_name(name) {
        format!("the environment variable {name} is not set; export it, or use --secret-file FILE")
    } else {
        "--secret-env takes the name of an environment variable that holds the secret, and there is none of that name"
            .into()
    }))
}

/// The secret in a file, without one newline at its end.
pub(super) fn file(path: &Path) -> Result<Secret, Failure> {
    let mut bytes = File::open(path)
        .and_then(|file| bounded(file, LARGEST_SECRET))
        .map_err(|error| Failure::Usage(format!("cannot read the secret from {}: {error}", path.display())))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(Secret::new(bytes))
}

fn bounded(source: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

const LARGEST_BODY: u64 = 64 << 20;
const LARGEST_SECRET: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use hyper::Method;

    const SECRET: &str = "pdl_ntfset_01gkdws5r0gc6jr28dqhd5_canary0123456789abcdefABCDEF";

    fn signing(env: &[&str], files: &[&Path]) -> Signing {
        Signing {
            provider: "paddle".into(),
            secret_env: env.iter().map(|name| (*name).to_owned()).collect(),
            secret_file: files.iter().map(|path| path.to_path_buf()).collect(),
            public_url: None,
        }
    }

    fn header(signer: &Signer, now: u64) -> String {
        let request = SignRequest {
            method: &Method::POST,
            target: "/",
            delivery_id: None,
            body: b"{}",
        };
        let headers = signer.headers(&request, now).unwrap();
        assert_eq!(headers[0].0, "paddle-signature");
        headers[0].1.to_str().unwrap().to_owned()
    }

    #[test]
    fn variable_and_file_give_the_same_key() {
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
    fn two_secrets_sign_as_in_a_rotation() {
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
            (SECRET, "takes the name"),
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
    fn bodies_are_bounded_and_verbatim() {
        assert_eq!(bounded(&b"a\r\n\n"[..], 4).unwrap(), b"a\r\n\n");
        assert!(bounded(&b"abcde"[..], 4).is_err());
    }
}
