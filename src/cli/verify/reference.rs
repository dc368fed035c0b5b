//! What a captured request is compared with: the scheme, its secrets, and other secrets that may have signed it. They
//! come from the arguments, or else from the configuration, which also says what the gateway would do.

use super::VerifyArguments;
use crate::cli::inputs::{expected, read_again, read_body, read_secrets};
use crate::cli::{Environment, Failure};
use crate::config::{Loaded, Sources, inspect};
use crate::gateway::diagnosis::judge::{CapturedHead, Judgement, Routes};
use crate::gateway::diagnosis::{Capture, OtherSecret, PublishedKeys, Reference, guess_provider, with_secrets};
use crate::gateway::snapshot::CompiledRoute;
use crate::scheme::{KeySettings, ListedKeys, NamedSecret, RouteContext, UrlOfRoute, Verifier, presets};
use crate::secret::Secret;
use crate::time::clock;
use std::sync::Arc;

/// What a captured request is compared with.
pub(super) struct Compared {
    /// The scheme with its secrets.
    pub(super) reference: Reference,
    /// The routes of the configuration and the route that is meant; `None` if the arguments name the secrets.
    pub(super) gateway: Option<(Routes, Arc<CompiledRoute>)>,
    /// Whether the provider was recognised by the headers.
    pub(super) was_guessed: bool,
}

impl Compared {
    /// Uses the provider and the secrets that the arguments name, or else the configuration.
    ///
    /// # Errors
    /// The configuration is invalid or has no matching route, a secret cannot be read, or the scheme does not accept
    /// it.
    pub(super) fn new(
        arguments: &VerifyArguments,
        sources: &Sources,
        capture: &Capture,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let has_secrets = !arguments.secret_env.is_empty() || !arguments.secret_file.is_empty();
        // With published keys the provider alone says what the request is compared with.
        let names_keys = arguments.keys.is_some() && arguments.provider.is_some();
        let mut compared = match has_secrets || names_keys {
            true => Self::from_arguments(arguments, &sources.environment, capture, body)?,
            false => Self::from_configuration(arguments, sources, capture, body)?,
        };
        compared.reference.keys = published_keys(arguments, capture)?;
        let more = compared.other_secrets_of_arguments(arguments, &sources.environment)?;
        compared.reference.other_secrets.extend(more);
        Ok(compared)
    }

    /// What the gateway would do before it verifies the signature; `None` without a configuration.
    pub(super) fn judge(&self, arguments: &VerifyArguments, capture: &Capture, body_bytes: usize) -> Option<Judgement> {
        let (routes, route) = self.gateway.as_ref()?;
        let head = head(arguments, capture, body_bytes);
        Some(routes.judge(&head, route, arguments.route.is_some()))
    }

    fn from_arguments(
        arguments: &VerifyArguments,
        environment: &Environment,
        capture: &Capture,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let secrets = read_secrets(&arguments.secret_env, &arguments.secret_file, environment)?;
        let public_url = arguments.public_url.clone();
        let guessed = guess_provider(&capture.headers, body).filter(|_| arguments.provider.is_none());
        let provider = arguments.provider.as_deref().or(guessed).unwrap_or("paddle");
        let verifier = match arguments.keys.is_some() || !arguments.expect.is_empty() {
            true => fetching(provider, secrets.clone(), arguments),
            false => Verifier::new(provider, None, secrets.clone(), public_url.clone()),
        };
        let verifier = verifier.map_err(|faults| Failure::Usage(faults.join("\n")))?;
        Ok(Self {
            reference: Reference {
                tolerance_seconds: verifier.default_tolerance().map(|tolerance| tolerance.as_secs()),
                verifier,
                secrets,
                public_url,
                other_secrets: Vec::new(),
                keys: None,
                unknown_tenant: None,
            },
            gateway: None,
            was_guessed: guessed.is_some(),
        })
    }

    /// The scheme and secrets of one route; the secrets of all other routes are the other secrets.
    fn from_configuration(
        arguments: &VerifyArguments,
        sources: &Sources,
        capture: &Capture,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let Loaded { config, .. } = inspect(sources).map_err(|faults| {
            Failure::Usage(format!(
                "{faults}\nor name the secret with --secret-env NAME or --secret-file FILE"
            ))
        })?;
        let routes = Routes::new(config.routes).map_err(|faults| Failure::Usage(faults.join("\n")))?;
        let head = head(arguments, capture, body.len());
        let route = match arguments.route.as_deref() {
            Some(name) => routes.named(name),
            None => routes.matching(&head).or_else(|| routes.meant(&head)),
        };
        let route = route.cloned().ok_or_else(|| {
            let names: Vec<_> = routes.all().iter().map(|route| route.settings.name.as_str()).collect();
            Failure::Usage(format!(
                "no route of the configuration has the host and the path of this request; choose one with --route: {}",
                names.join(", ")
            ))
        })?;
        let settings = &route.settings;
        let secrets = match &settings.tenants {
            Some(_) => Vec::new(),
            None => read_again(&settings.secrets, &sources.environment)?,
        };
        let mut other_secrets = Vec::new();
        let others = routes.all().iter().filter(|other| !Arc::ptr_eq(other, &route));
        // Of other routes with tenants, nothing says whose secret it could be.
        for other in others.filter(|other| other.settings.tenants.is_none()) {
            let secrets = read_again(&other.settings.secrets, &sources.environment)?;
            // The other route's secret may have been used with this route's scheme.
            let rebuilt = with_secrets(&settings.verifier, secrets, settings.public_url.as_deref());
            other_secrets.push(OtherSecret {
                description: format!("a secret of the route `{}`", other.settings.name),
                verifier: rebuilt.unwrap_or_else(|_| other.settings.verifier.clone()),
            });
        }
        let reference = Reference {
            tolerance_seconds: route.tolerance_seconds(),
            verifier: settings.verifier.clone(),
            secrets,
            public_url: settings.public_url.clone(),
            other_secrets,
            keys: None,
            unknown_tenant: None,
        };
        Ok(Self {
            reference: match &settings.tenants {
                Some(tenants) => reference.of_tenant(head.tenant(tenants, body), |name| tenants.read_again(name)),
                None => reference,
            },
            gateway: Some((routes, route)),
            was_guessed: false,
        })
    }

    /// The secrets of `--other-secret-env` and `--other-secret-file`, each under this scheme.
    fn other_secrets_of_arguments(
        &self,
        arguments: &VerifyArguments,
        environment: &Environment,
    ) -> Result<Vec<OtherSecret>, Failure> {
        let secrets = read_secrets(&arguments.other_secret_env, &arguments.other_secret_file, environment)?;
        let other = |secret: NamedSecret| {
            let description = format!("the other secret `{}`", secret.name);
            with_secrets(
                &self.reference.verifier,
                vec![secret],
                self.reference.public_url.as_deref(),
            )
            .map(|verifier| OtherSecret { description, verifier })
            .map_err(|faults| Failure::Usage(faults.join("\n")))
        };
        secrets.into_iter().map(other).collect()
    }
}

/// The document of `--keys`.
///
/// # Errors
/// It cannot be read.
fn published_keys(arguments: &VerifyArguments, capture: &Capture) -> Result<Option<PublishedKeys>, Failure> {
    let Some(path) = &arguments.keys else {
        return Ok(None);
    };
    let document = read_body(path)?;
    Ok(Some(PublishedKeys {
        document,
        at_unix: capture.received_at_unix.unwrap_or_else(clock::unix_now),
    }))
}

/// The scheme of a route whose keys are fetched. What the route says only to fetch them stands empty.
///
/// # Errors
/// Sentences about what is missing.
fn fetching(provider: &str, secrets: Vec<NamedSecret>, arguments: &VerifyArguments) -> Result<Verifier, Vec<String>> {
    let keys = presets::description(provider).and_then(|row| row.keys.as_ref());
    let is_of_route = keys.is_some_and(|keys| keys.jwks.as_deref() == Some("")) && arguments.keys.is_some();
    let is_of_account = keys.is_some_and(|keys| keys.plaid.is_some());
    let settings = KeySettings {
        url: is_of_route.then(|| String::from("https://keys.invalid/")),
        client_id: is_of_account.then(String::new),
        secret: is_of_account.then(|| Secret::new(Vec::new())),
        ..KeySettings::default()
    };
    let lists = ListedKeys {
        secrets,
        ..ListedKeys::default()
    };
    let route = RouteContext {
        url: UrlOfRoute {
            public: arguments.public_url.as_deref(),
            credentials: None,
            is_path_fixed: true,
        },
        expect: &expected(&arguments.expect),
        keys: &settings,
    };
    Verifier::for_route(provider, None, lists, &route)
        .map_err(|faults| faults.into_iter().map(|fault| fault.text).collect())
}

/// The head of the capture, as the gateway's steps read it.
fn head<'c>(arguments: &VerifyArguments, capture: &'c Capture, body_bytes: usize) -> CapturedHead<'c> {
    CapturedHead {
        method: capture.method.as_ref(),
        target: capture.target.as_deref(),
        headers: &capture.headers,
        body_bytes,
        peer: arguments.peer,
    }
}
