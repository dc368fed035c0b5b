//! `hookgate verify`: verifies a captured request offline, and reports why it would be refused.
//!
//! The work is done by [`crate::gateway::diagnosis`]; this command reads the capture, finds the scheme and the secrets,
//! and prints the report. The output never contains a secret, a part of the body, or a signature that would be accepted.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`report`] | the result as text or JSON |
//! | [`times`] | times as people read them |
//! | [`reference`] | the scheme and the secrets, from the arguments or the configuration |

mod reference;
mod report;
mod times;

use super::inputs::read_body;
use super::terminal::{self, Paint};
use super::{CommandResult, Failure};
use crate::config::Sources;
use crate::gateway::diagnosis::{self, Capture, Case};
use crate::time::clock;
use clap::builder::PossibleValuesParser;
use reference::Compared;
use report::Report;
use std::io::{self, IsTerminal as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArguments {
    /// File with the captured request: raw HTTP, the output of curl, "Copy as cURL", a HAR export, the JSON of an inspector or a function's event, logged headers and body, or header lines; - for standard input
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// File with the exact body, if the capture has none (curl, header lines)
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// A header that the capture does not contain, such as 'Paddle-Signature: ts=…;h1=…' (repeatable)
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Number of the request, counted from 1, if the capture has several (HAR export, list)
    #[arg(long, value_name = "NUMBER")]
    entry: Option<usize>,
    /// Provider whose signature scheme is expected; the default is the one that the headers show
    #[arg(long, value_name = "NAME", conflicts_with = "route", value_parser = super::inputs::provider_names())]
    provider: Option<String>,
    /// Environment variable that holds the secret or public key (repeatable); the default is the secrets of the configuration
    #[arg(long, value_name = "NAME", conflicts_with = "route")]
    secret_env: Vec<String>,
    /// File that holds the secret or public key; one newline at its end is dropped (repeatable)
    #[arg(long, value_name = "FILE", conflicts_with = "route")]
    secret_file: Vec<PathBuf>,
    /// URL that the provider was given, for providers that sign it (twilio, square, hubspot-v3)
    #[arg(long, value_name = "URL", conflicts_with = "route")]
    public_url: Option<String>,
    /// File with the keys that the provider publishes, for a provider whose keys are fetched: a key set (JWKS), or the certificate of the signer in PEM
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Value that the provider's tokens carry, such as aud=shop (repeatable); `expect` of the route has the same
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "route", value_parser = super::inputs::name_and_value)]
    expect: Vec<(String, String)>,
    /// Environment variable that holds another secret that may have signed the request, such as that of a test environment (repeatable)
    #[arg(long, value_name = "NAME")]
    other_secret_env: Vec<String>,
    /// File that holds another secret that may have signed the request (repeatable)
    #[arg(long, value_name = "FILE")]
    other_secret_file: Vec<PathBuf>,
    /// Route of the configuration to verify against; the default is the route that matches the request's host and path
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Address of the sender, to check the route's `allow` list
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<IpAddr>,
    /// When the request was received (Unix seconds, RFC 3339, or now), to check its age; the default is the time in the capture
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Largest accepted difference between the signed time and the time of receipt, such as 5s; the default is the tolerance of the route or the provider
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    tolerance: Option<std::time::Duration>,
    /// Framework in whose code fixes are explained
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(diagnosis::framework_names()))]
    framework: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Verifies the captured request and prints the report. The exit code is 0 when the request is genuine, its age is
/// within the tolerance if the time of receipt is known, and the gateway would forward or answer it if a configuration
/// was used; otherwise 1.
pub(super) fn run(arguments: &VerifyArguments, sources: &Sources) -> CommandResult {
    let captured = read_body(&arguments.capture)?;
    let mut capture = diagnosis::parse(&captured, arguments.entry).map_err(Failure::Usage)?;
    for header in &arguments.headers {
        let (name, value) = diagnosis::header(header).map_err(|error| Failure::Usage(format!("--header: {error}")))?;
        capture.headers.append(name, value);
    }
    if let Some(at) = received_at(arguments)? {
        capture.received_at_unix = Some(at);
    }
    let body = body(arguments, &mut capture)?;
    let compared = Compared::new(arguments, sources, &capture, &body)?;
    let judged = compared.judge(arguments, &capture, body.len());
    let tolerance = arguments.tolerance.map(|tolerance| tolerance.as_secs());
    let format = capture.format;
    let received_at_unix = capture.received_at_unix;
    let Compared {
        reference,
        gateway,
        was_guessed,
    } = compared;
    let mut case = Case::new(capture, body, reference);
    case.tolerance_seconds = tolerance.or(case.tolerance_seconds);
    if arguments.framework.is_some() {
        case.framework.clone_from(&arguments.framework);
    }
    let now_unix = clock::unix_now();
    let judged = judged.map(|mut judgement| {
        if let Some((_, route)) = &gateway
            && judgement.rejection.is_none()
        {
            let at = received_at_unix.unwrap_or(now_unix);
            let (is_challenge, rejection) = diagnosis::judge::after_body(&case, route, at);
            judgement.is_challenge |= is_challenge;
            judgement.rejection = rejection;
        }
        judgement
    });
    let report = Report {
        format,
        provider: case.provider.clone(),
        was_guessed,
        diagnosis: if judged.as_ref().is_some_and(|judgement| judgement.is_challenge) {
            None
        } else {
            Some(diagnosis::diagnose(&case))
        },
        route: gateway
            .as_ref()
            .map(|(_, route)| (route.settings.name.clone(), route.settings.report_only())),
        judged,
        has_tolerance: case.tolerance_seconds.is_some(),
        body_bytes: case.body.len(),
        now_unix,
    };
    let paint = Paint::new(io::stdout().is_terminal(), &sources.environment);
    terminal::emit(&if arguments.json {
        report.json()
    } else {
        report.human(paint)
    })?;
    Ok(if report.is_accepted() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The body: of the file that the arguments name, or else of the capture.
fn body(arguments: &VerifyArguments, capture: &mut Capture) -> Result<Vec<u8>, Failure> {
    let declared_length = capture.declared_length();
    match (&arguments.body, capture.body.take()) {
        (Some(source), _) => {
            capture.body_was_parsed = false;
            read_body(source)
        }
        (None, Some(body)) => Ok(body),
        (None, None) if declared_length.is_none_or(|length| length == 0) && capture.method.is_some() => Ok(Vec::new()),
        (None, None) => Err(Failure::Usage(format!(
            "the capture ({}) has no body; give the body with --body FILE",
            capture.format
        ))),
    }
}

/// The time of `--at` in Unix seconds.
fn received_at(arguments: &VerifyArguments) -> Result<Option<u64>, Failure> {
    let wrong =
        || Failure::Usage("--at takes Unix seconds, an RFC 3339 time such as 2026-01-02T03:04:05Z, or now".into());
    match arguments.at.as_deref() {
        None => Ok(None),
        Some("now") => Ok(Some(clock::unix_now())),
        Some(text) => diagnosis::parse_time(text).map(Some).ok_or_else(wrong),
    }
}
