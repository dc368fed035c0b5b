//! What a captured request is verified against: the scheme, its secrets, and other secrets that may have signed it.
//! They come from the arguments, or else from the configuration.

use super::VerifyArguments;
use super::capture::Capture;
use super::case::OtherSecret;
use crate::cli::signing::read_secrets;
use crate::cli::{Environment, Failure};
use crate::config::{Loaded, SecretFiles, Sources, inspect, read_secret};
use crate::gateway::route_table::{RoutePattern, RouteTable};
use crate::scheme::{NamedSecret, Verifier, presets};
use crate::settings::{Route, SecretInfo};

/// What a captured request is verified against.
pub(super) struct Reference {
    /// The scheme with its secrets.
    pub(super) verifier: Verifier,
    /// The secrets of `verifier`; empty for a `custom` scheme.
    pub(super) secrets: Vec<NamedSecret>,
    /// URL that the provider was given, for schemes that sign it.
    pub(super) public_url: Option<String>,
    /// Secrets that the request should not be signed with.
    pub(super) other_secrets: Vec<OtherSecret>,
    /// Tolerance of the route or the provider, in seconds; `None` if the age is not limited.
    pub(super) tolerance_seconds: Option<u64>,
}

impl Reference {
    /// Uses the provider and the secrets that the arguments name, or else the configuration.
    ///
    /// # Errors
    /// The configuration is invalid or has no matching route, a secret cannot be read, or the scheme does not accept
    /// it.
    pub(super) fn new(arguments: &VerifyArguments, sources: &Sources, capture: &Capture) -> Result<Self, Failure> {
        let mut reference = if arguments.secret_env.is_empty() && arguments.secret_file.is_empty() {
            Self::from_configuration(arguments, sources, capture)?
        } else {
            Self::from_arguments(arguments, &sources.environment)?
        };
        let more = reference.other_secrets_of_arguments(arguments, &sources.environment)?;
        reference.other_secrets.extend(more);
        Ok(reference)
    }

    fn from_arguments(arguments: &VerifyArguments, environment: &Environment) -> Result<Self, Failure> {
        let secrets = read_secrets(&arguments.secret_env, &arguments.secret_file, environment)?;
        let public_url = arguments.public_url.clone();
        let verifier = Verifier::new(&arguments.provider, None, secrets.clone(), public_url.clone())
            .map_err(|faults| Failure::Usage(faults.join("\n")))?;
        Ok(Self {
            tolerance_seconds: verifier.default_tolerance().map(|tolerance| tolerance.as_secs()),
            verifier,
            secrets,
            public_url,
            other_secrets: Vec::new(),
        })
    }

    /// The scheme and secrets of one route; the secrets of all other routes are the other secrets.
    fn from_configuration(arguments: &VerifyArguments, sources: &Sources, capture: &Capture) -> Result<Self, Failure> {
        let Loaded { config, .. } = inspect(sources).map_err(|faults| {
            Failure::Usage(format!(
                "{faults}\nor name the secret with --secret-env NAME or --secret-file FILE"
            ))
        })?;
        let mut others = config.routes;
        let route = find_route(&others, arguments.route.as_deref(), capture)
            .map(|index| others.remove(index))
            .ok_or_else(|| {
                let names: Vec<_> = others.iter().map(|route| route.name.as_str()).collect();
                let names = names.join(", ");
                Failure::Usage(format!(
                    "no such route in the configuration; choose one with --route: {names}"
                ))
            })?;
        let secrets = read_again(&route.secrets, &sources.environment)?;
        let mut other_secrets = Vec::new();
        for other in others {
            let secrets = read_again(&other.secrets, &sources.environment)?;
            // The other route's secret may have been used with this route's scheme.
            let rebuilt = Verifier::new(route.verifier.name(), None, secrets, route.public_url.clone());
            other_secrets.push(OtherSecret {
                description: format!("a secret of the route `{}`", other.name),
                verifier: rebuilt.unwrap_or(other.verifier),
            });
        }
        // A custom scheme cannot be rebuilt from its name.
        let is_preset = presets::names().any(|name| name == route.verifier.name());
        Ok(Self {
            tolerance_seconds: route.tolerance.map(|tolerance| tolerance.as_secs()),
            verifier: route.verifier,
            secrets: if is_preset { secrets } else { Vec::new() },
            public_url: route.public_url,
            other_secrets,
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
            Verifier::new(self.verifier.name(), None, vec![secret], self.public_url.clone())
                .map(|verifier| OtherSecret { description, verifier })
                .map_err(|faults| Failure::Usage(faults.join("\n")))
        };
        secrets.into_iter().map(other).collect()
    }
}

/// Index of the route with this name; without a name, of the route that the gateway would choose for the request, or of
/// the only route.
fn find_route(routes: &[Route], name: Option<&str>, capture: &Capture) -> Option<usize> {
    if let Some(name) = name {
        return routes.iter().position(|route| route.name == name);
    }
    let table = RouteTable::new(routes.iter().map(|route| RoutePattern {
        host: route.host.clone(),
        path: route.path.clone(),
    }));
    let host = capture.headers.get(hyper::header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = capture.target.split('?').next().unwrap_or_default();
    table.find(host, path).or_else(|| (routes.len() == 1).then_some(0))
}

/// Reads the secrets of a route from their sources again: the configuration keeps them only inside the route's
/// verifier.
fn read_again(secrets: &[SecretInfo], environment: &Environment) -> Result<Vec<NamedSecret>, Failure> {
    let read = |info: &SecretInfo| {
        let secret = read_secret(&info.source, environment, SecretFiles::RegularOnly)?;
        Ok(NamedSecret {
            name: info.name.clone(),
            secret,
        })
    };
    secrets.iter().map(read).collect()
}
