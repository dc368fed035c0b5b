//! `hookgate verify`: judges a captured request offline, and says why it is not genuine.
//!
//! The verdict is the gateway's own; when it is no, the usual causes are tried one by one ([`causes`]), each by putting it
//! right and judging again. A cause that is certain made the signature fit; one that is likely left a trace. Nothing of a
//! secret, of a signature that would be right, or of the body is ever printed.

mod bodies;
mod capture;
mod case;
mod causes;
mod finding;
mod report;
mod rewrite;

use super::signing;
use super::terminal::{self, Paint};
use super::{Ended, Environment, Failure};
use crate::config::{Loaded, Sources, inspect};
use crate::gateway::route::{Pattern, Table};
use crate::scheme::{NamedSecret, Verifier};
use case::{Case, Other};
use report::Report;
use serde_json::Value;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArguments {
    /// What was captured: a raw HTTP request, the output of `curl -v`, a HAR export, or header lines; - for standard input
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// File with the exact body, where the capture has none (curl, header lines)
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Which request of a HAR export, counted from 1
    #[arg(long, value_name = "NUMBER")]
    entry: Option<usize>,
    /// The provider whose convention is expected
    #[arg(long, value_name = "NAME", default_value = "paddle", conflicts_with = "route")]
    provider: String,
    /// Environment variable that holds the secret or public key (repeatable); without one, those of the configuration
    #[arg(long, value_name = "NAME", conflicts_with = "route")]
    secret_env: Vec<String>,
    /// File that holds the secret or public key; one newline at its end is dropped (repeatable)
    #[arg(long, value_name = "FILE", conflicts_with = "route")]
    secret_file: Vec<PathBuf>,
    /// The URL that the provider was given, for those that sign it (twilio, square, hubspot-v3)
    #[arg(long, value_name = "URL", conflicts_with = "route")]
    public_url: Option<String>,
    /// Variable with a secret that should not have signed this, such as another environment's (repeatable)
    #[arg(long, value_name = "NAME")]
    other_secret_env: Vec<String>,
    /// File with such a secret (repeatable)
    #[arg(long, value_name = "FILE")]
    other_secret_file: Vec<PathBuf>,
    /// Judge by this route of the configuration; by default the one that the request's host and path lead to
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// When it was received (Unix seconds, RFC 3339, or now), to judge its age; by default what the capture says
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Allowed clock difference in place of the route's or provider's, such as 5s
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    tolerance: Option<std::time::Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit code 0 when the request is genuine (and fresh, where it is known when it came), 1 when it is not.
pub(super) fn run(arguments: &VerifyArguments, sources: &Sources) -> Ended {
    let captured = signing::body(&arguments.capture)?;
    let capture = capture::parse(&captured, arguments.entry).map_err(Failure::Usage)?;
    let body = match (&arguments.body, &capture.body) {
        (Some(source), _) => signing::body(source)?,
        (None, Some(body)) => body.clone(),
        (None, None) if capture.announced().is_none_or(|announced| announced == 0) => Vec::new(),
        (None, None) => {
            return Err(Failure::Usage(format!(
                "{} has no body: give it with --body FILE",
                capture.form
            )));
        }
    };
    let judged = if arguments.secret_env.is_empty() && arguments.secret_file.is_empty() {
        by_configuration(arguments, sources, &capture)?
    } else {
        by_arguments(arguments, &sources.environment)?
    };
    let received = match arguments.at.as_deref() {
        None => capture.received,
        Some("now") => Some(crate::time::clock::unix_now()),
        Some(text) => Some(text.parse().ok().or_else(|| capture::instant(text)).ok_or_else(|| {
            Failure::Usage("--at takes Unix seconds, an RFC 3339 time such as 2026-01-02T03:04:05Z, or now".into())
        })?),
    };
    let announced = capture.announced();
    let case = Case {
        tolerance: arguments
            .tolerance
            .map(|tolerance| tolerance.as_secs())
            .or(judged.tolerance),
        provider: judged.verifier.name().to_owned(),
        verifier: judged.verifier,
        keys: judged.keys,
        public_url: judged.public_url,
        others: judged.others,
        method: capture.method,
        target: capture.target,
        headers: capture.headers,
        body,
        announced,
        received,
    };
    let report = Report::of(&case, capture.form);
    let paint = Paint::new(io::stdout().is_terminal(), &sources.environment);
    terminal::emit(&if arguments.json {
        report.json()
    } else {
        report.human(paint)
    })?;
    Ok(if report.is_genuine() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a request is judged by.
struct Judge {
    verifier: Verifier,
    keys: Vec<NamedSecret>,
    public_url: Option<String>,
    others: Vec<Other>,
    tolerance: Option<u64>,
}

fn by_arguments(arguments: &VerifyArguments, environment: &Environment) -> Result<Judge, Failure> {
    let keys = named(&arguments.secret_env, &arguments.secret_file, environment)?;
    let verifier = Verifier::new(&arguments.provider, None, keys.clone(), arguments.public_url.clone())
        .map_err(|faults| Failure::Usage(faults.join("\n")))?;
    let public_url = arguments.public_url.clone();
    let others = others(arguments, &arguments.provider, public_url.as_deref(), environment)?;
    Ok(Judge {
        tolerance: verifier.default_tolerance().map(|tolerance| tolerance.as_secs()),
        verifier,
        keys,
        public_url,
        others,
    })
}

/// The route that the gateway would choose, and the secrets of all others.
fn by_configuration(
    arguments: &VerifyArguments,
    sources: &Sources,
    capture: &capture::Capture,
) -> Result<Judge, Failure> {
    let Loaded {
        config, description, ..
    } = inspect(sources).map_err(|faults| {
        Failure::Usage(format!(
            "{faults}\nor name the secret with --secret-env NAME or --secret-file FILE"
        ))
    })?;
    let chosen = match &arguments.route {
        Some(name) => config.routes.iter().position(|route| route.name == *name),
        None => {
            let table = Table::new(config.routes.iter().map(|route| Pattern {
                host: route.host.clone(),
                path: route.path.clone(),
            }));
            let host = capture
                .headers
                .get(hyper::header::HOST)
                .and_then(|host| host.to_str().ok());
            let path = capture.target.split('?').next().unwrap_or_default();
            table
                .find(host.unwrap_or_default(), path)
                .or_else(|| (config.routes.len() == 1).then_some(0))
        }
    };
    let chosen = chosen.ok_or_else(|| {
        let names: Vec<_> = config.routes.iter().map(|route| route.name.as_str()).collect();
        Failure::Usage(format!(
            "no route of the configuration: choose with --route one of {}",
            names.join(", ")
        ))
    })?;
    // The configuration's secrets are keyed into their verifiers and gone: they are read again from where it found them.
    let places = |at: usize| description.pointer(&format!("/route/{at}"));
    let mut judge = None;
    let mut others = Vec::new();
    for (at, route) in config.routes.into_iter().enumerate() {
        let keys = places(at).map_or_else(|| Ok(Vec::new()), |place| again(place, &sources.environment))?;
        if at == chosen {
            let public_url = places(at)
                .and_then(|place| place.get("public_url")?.as_str())
                .map(str::to_owned);
            let is_preset = crate::scheme::presets::names().any(|name| name == route.verifier.name());
            judge = Some(Judge {
                tolerance: route.tolerance.map(|tolerance| tolerance.as_secs()),
                verifier: route.verifier,
                keys: if is_preset { keys } else { Vec::new() },
                public_url,
                others: Vec::new(),
            });
        } else {
            let called = format!("a secret of the route `{}`", route.name);
            others.push((called, route.verifier, keys));
        }
    }
    let mut judge = judge.ok_or_else(|| Failure::Failed("the route went away".into()))?;
    for (called, verifier, keys) in others {
        // Another route's secret under this route's scheme.
        let here = Verifier::new(judge.verifier.name(), None, keys, judge.public_url.clone()).ok();
        let verifier = here.unwrap_or(verifier);
        judge.others.push(Other { called, verifier });
    }
    let more = self::others(
        arguments,
        judge.verifier.name(),
        judge.public_url.as_deref(),
        &sources.environment,
    )?;
    judge.others.extend(more);
    Ok(judge)
}

/// The keys of a route as `check` describes it.
fn again(route: &Value, environment: &Environment) -> Result<Vec<NamedSecret>, Failure> {
    let mut keys = Vec::new();
    for key in route.get("secrets").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let secret = match (text("env"), text("file")) {
            (Some(name), _) => signing::variable(name, environment)?,
            (None, Some(path)) => signing::file(Path::new(path))?,
            (None, None) => continue,
        };
        let name = text("name").unwrap_or_default().to_owned();
        keys.push(NamedSecret { name, secret });
    }
    Ok(keys)
}

fn named(variables: &[String], files: &[PathBuf], environment: &Environment) -> Result<Vec<NamedSecret>, Failure> {
    let mut named = Vec::new();
    for name in variables {
        let secret = signing::variable(name, environment)?;
        named.push(NamedSecret {
            name: name.clone(),
            secret,
        });
    }
    for path in files {
        let secret = signing::file(path)?;
        named.push(NamedSecret {
            name: path.display().to_string(),
            secret,
        });
    }
    Ok(named)
}

fn others(
    arguments: &VerifyArguments,
    provider: &str,
    public_url: Option<&str>,
    environment: &Environment,
) -> Result<Vec<Other>, Failure> {
    let keys = named(&arguments.other_secret_env, &arguments.other_secret_file, environment)?;
    let other = |key: NamedSecret| {
        let called = format!("the other secret `{}`", key.name);
        Verifier::new(provider, None, vec![key], public_url.map(str::to_owned))
            .map(|verifier| Other { called, verifier })
            .map_err(|faults| Failure::Usage(faults.join("\n")))
    };
    keys.into_iter().map(other).collect()
}
