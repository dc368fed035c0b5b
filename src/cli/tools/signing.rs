//! What `sign` and `send` share: the arguments that name secrets, and a scheme that is ready to sign.

use crate::cli::Failure;
use crate::cli::inputs::{provider_names, read_secrets};
use crate::config::{Loaded, Sources, inspect};
use crate::scheme::{SignRequest, Verifier};
use hyper::header::{HeaderName, HeaderValue};
use std::path::PathBuf;

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::cli::Environment;
    use hyper::Method;
    use std::path::Path;

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
}
