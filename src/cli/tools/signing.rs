//! What `sign` and `send` share: the arguments that name secrets or a private key, and a scheme that is ready to sign.

use super::key_file;
use crate::cli::Failure;
use crate::cli::inputs::{expected, name_and_value, provider_names, read_secrets};
use crate::config::{Loaded, Sources, inspect};
use crate::scheme::{
    Expected, PrivateKey, SchemeDescription, Sender, SignRequest, SignedRequest, facts, presets, private_key_kind,
};
use std::path::PathBuf;

/// The provider and the sources of its secrets or its private key, or a route of the configuration. Several secrets sign as a
/// provider does during a rotation.
#[derive(Clone, Debug, clap::Args)]
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
    /// Private key in PEM, for a provider that signs with one (discord, wise, google-pubsub). A file that does not exist is made. What the route needs to verify is written beside it, to FILE.pub or FILE.jwks
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret_env", "secret_file"])]
    private_key: Option<PathBuf>,
    /// Value that the provider's tokens carry, such as aud=shop (repeatable); `expect` of the route has the same
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    expect: Vec<(String, String)>,
    /// URL that the provider was given, for providers that sign it (twilio, square, hubspot-v3)
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Route of the configuration, by its name or its path: its scheme (`custom` too), its first secret, its public_url and its expect are used
    #[arg(long, value_name = "NAME", conflicts_with_all = ["provider", "secret_env", "secret_file", "public_url", "expect"])]
    route: Option<String>,
}

/// What the arguments lead to.
pub(super) enum Prepared {
    /// A scheme that is ready to sign.
    Ready(Box<Signer>),
    /// A text: files were written that the route needs before anything can be sent.
    FilesWritten(String),
}

/// A scheme with its keys, ready to sign.
#[derive(Debug)]
pub(super) struct Signer(Sender);

impl SigningArguments {
    /// Reads the keys and prepares the scheme. A private key that is used for the first time is made, and what the route
    /// needs is written beside it.
    ///
    /// # Errors
    /// A key cannot be read or made, or the provider does not accept it; the configuration is faulty or has no such route.
    /// The message contains no secret.
    pub(super) fn prepare(&self, sources: &Sources) -> Result<Prepared, Failure> {
        let (sender, key_is_new) = match &self.route {
            Some(name) => self.of_route(name, sources)?,
            None => self.of_provider(sources)?,
        };
        if let (Some(path), Some(published)) = (&self.private_key, sender.published_key())
            && let Some(text) = key_file::publish(path, key_is_new, &published)?
        {
            return Ok(Prepared::FilesWritten(text));
        }
        Ok(Prepared::Ready(Box::new(Signer(sender))))
    }

    /// A sender of the provider, and whether its private key was made just now.
    fn of_provider(&self, sources: &Sources) -> Result<(Sender, bool), Failure> {
        let provider = &self.provider;
        if let Some(test) = facts::find(provider).and_then(|facts| facts.own_test.as_deref()) {
            return Err(Failure::Usage(format!(
                "`{provider}` is signed with a certificate that the provider alone has, so no one else can send a sample: {test}"
            )));
        }
        let kind = presets::description(provider).and_then(private_key_kind);
        let expect = self.expected();
        let public_url = self.public_url.as_deref();
        let faults = |faults: Vec<String>| Failure::Usage(faults.join("\n"));
        if let Some(path) = &self.private_key {
            let kind = kind.ok_or_else(|| {
                Failure::Usage(format!(
                    "`{provider}` signs with a shared secret: give --secret-env NAME or --secret-file FILE in place of --private-key"
                ))
            })?;
            let (key, is_new) = key_file::read_or_make(path, kind)?;
            let sender = Sender::with_private_key(provider, key, &expect, public_url).map_err(faults)?;
            return Ok((sender, is_new));
        }
        if kind.is_some() && (presets::takes_public_keys(provider) || presets::fetches_keys(provider)) {
            return Err(Failure::Usage(format!(
                "`{provider}` signs with a private key: add --private-key FILE. A file that does not exist is made, and what the route needs is written beside it"
            )));
        }
        if self.secret_env.is_empty() && self.secret_file.is_empty() {
            return Err(Failure::Usage(
                "nothing says what signs: add --secret-env NAME, --secret-file FILE or --private-key FILE, or --route NAME for a route of the configuration".into(),
            ));
        }
        let secrets = read_secrets(&self.secret_env, &self.secret_file, &sources.environment)?;
        let sender = Sender::with_secrets(provider, secrets, &expect, public_url).map_err(faults)?;
        Ok((sender, false))
    }

    /// The scheme of a route of the configuration, with its first secret that is not retired, or with the private key; and
    /// whether that was made just now.
    fn of_route(&self, name: &str, sources: &Sources) -> Result<(Sender, bool), Failure> {
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
        let (private, is_new) = self.private_key_of(route.verifier.description(), name)?.unzip();
        let sender = Sender::of_route(route.verifier.clone(), current.unwrap_or_default(), private);
        Ok((sender, is_new.unwrap_or_default()))
    }

    /// The private key for a route with this scheme, and whether it was made just now; `None` without the argument.
    fn private_key_of(&self, scheme: &SchemeDescription, route: &str) -> Result<Option<(PrivateKey, bool)>, Failure> {
        let Some(path) = &self.private_key else {
            return Ok(None);
        };
        let kind = private_key_kind(scheme).ok_or_else(|| {
            Failure::Usage(format!(
                "the route `{route}` has no public keys: leave out --private-key"
            ))
        })?;
        key_file::read_or_make(path, kind).map(Some)
    }

    /// The values that tokens carry.
    fn expected(&self) -> Expected {
        expected(&self.expect)
    }
}

impl Signer {
    /// The name of the scheme.
    pub(super) fn provider(&self) -> &str {
        self.0.name()
    }

    /// What the provider sends at `now_unix` (Unix seconds).
    ///
    /// # Errors
    /// The scheme cannot sign this with these keys.
    pub(super) fn sign(&self, request: &SignRequest<'_>, now_unix: u64) -> Result<SignedRequest, Failure> {
        self.0.sign(request, now_unix).ok_or_else(|| {
            let name = self.0.name();
            Failure::Usage(format!(
                "`{name}` cannot sign this: some schemes take one secret at a time, a public key needs --private-key, and a signature in the body needs the JSON or the form that the provider sends"
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
            private_key: None,
            expect: Vec::new(),
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

    fn signer(env: &[&str], files: &[&Path], environment: &Environment) -> Result<Signer, Failure> {
        match signing(env, files).prepare(&sources(environment))? {
            Prepared::Ready(signer) => Ok(*signer),
            Prepared::FilesWritten(text) => panic!("{text}"),
        }
    }

    fn header(signer: &Signer, now_unix: u64) -> String {
        let request = SignRequest {
            method: &Method::POST,
            target: "/",
            delivery_id: None,
            body: b"{}",
        };
        let headers = signer.sign(&request, now_unix).unwrap().headers;
        assert_eq!(headers[0].0, "paddle-signature");
        headers[0].1.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_variable_and_a_file_give_the_same_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, format!("{SECRET}\n")).unwrap();
        let environment: Environment = vec![("PADDLE_SECRET".into(), SECRET.into())];
        let from_variable = header(&signer(&["PADDLE_SECRET"], &[], &environment).unwrap(), 1_671_552_777);
        let from_file = header(&signer(&[], &[&path], &environment).unwrap(), 1_671_552_777);
        assert_eq!(from_variable, from_file);
        assert!(from_file.starts_with("ts=1671552777;h1="));
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let environment: Environment = vec![
            ("A".into(), SECRET.into()),
            ("B".into(), format!("{SECRET}-other").into()),
        ];
        let value = header(&signer(&["A", "B"], &[], &environment).unwrap(), 1_671_552_777);
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
            let failure = signer(&[env], &[], &environment).unwrap_err();
            assert!(matches!(failure, Failure::Usage(_)));
            assert!(failure.to_string().contains(expected), "{failure}");
            assert!(!failure.to_string().contains("canary"), "{failure}");
        }
        let failure = signer(&[], &[Path::new("/nonexistent/secret")], &environment).unwrap_err();
        assert!(failure.to_string().contains("/nonexistent/secret"), "{failure}");
    }
}
