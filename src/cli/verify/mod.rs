//! `hookgate verify`: verifies a captured request offline, and reports why it is not genuine.
//!
//! The verdict is that of the gateway's own code. When the request is not genuine, the usual causes are tried one by
//! one ([`causes`]): each cause undoes one change and verifies the request again. A cause is certain if the signature
//! then fits, and likely if the change only left a trace. The output never contains a secret, a part of the body, or a
//! signature that would be accepted.
//!
//! Read `capture`, `reference`, `case` and `causes`, in this order.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`report`] | the result as text or JSON |
//! | [`causes`] | the list of causes, and those outside the body |
//! | [`body_causes`] | changes of the body |
//! | [`json_text`] | rewrites JSON text token by token |
//! | [`finding`] | one cause that was found, and its fix |
//! | [`reference`] | the scheme and the secrets, from the arguments or the configuration |
//! | [`case`] | the captured request with the scheme and the secrets |
//! | [`capture`] | reads a captured request in four formats |

mod body_causes;
mod capture;
mod case;
mod causes;
mod finding;
mod json_text;
mod reference;
mod report;

use super::signing::read_body;
use super::terminal::{self, Paint};
use super::{CommandResult, Failure};
use crate::config::Sources;
use crate::time::clock;
use case::Case;
use reference::Reference;
use report::Report;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArguments {
    /// File with the captured request: raw HTTP, the output of `curl -v`, a HAR export, or header lines; - for standard input
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// File with the exact body, if the capture has none (curl, header lines)
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Number of the request in a HAR export, counted from 1
    #[arg(long, value_name = "NUMBER")]
    entry: Option<usize>,
    /// Provider whose signature scheme is expected
    #[arg(long, value_name = "NAME", default_value = "paddle", conflicts_with = "route")]
    provider: String,
    /// Environment variable that holds the secret or public key (repeatable); the default is the secrets of the configuration
    #[arg(long, value_name = "NAME", conflicts_with = "route")]
    secret_env: Vec<String>,
    /// File that holds the secret or public key; one newline at its end is dropped (repeatable)
    #[arg(long, value_name = "FILE", conflicts_with = "route")]
    secret_file: Vec<PathBuf>,
    /// URL that the provider was given, for providers that sign it (twilio, square, hubspot-v3)
    #[arg(long, value_name = "URL", conflicts_with = "route")]
    public_url: Option<String>,
    /// Environment variable that holds another secret that may have signed the request, such as that of a test environment (repeatable)
    #[arg(long, value_name = "NAME")]
    other_secret_env: Vec<String>,
    /// File that holds another secret that may have signed the request (repeatable)
    #[arg(long, value_name = "FILE")]
    other_secret_file: Vec<PathBuf>,
    /// Route of the configuration to verify against; the default is the route that matches the request's host and path
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// When the request was received (Unix seconds, RFC 3339, or now), to check its age; the default is the time in the capture
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Largest accepted difference between the signed time and the time of receipt, such as 5s; the default is the tolerance of the route or the provider
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    tolerance: Option<std::time::Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Verifies the captured request and prints the report. The exit code is 0 when the request is genuine and, if the time
/// of receipt is known, its age is within the tolerance; otherwise 1.
pub(super) fn run(arguments: &VerifyArguments, sources: &Sources) -> CommandResult {
    let captured = read_body(&arguments.capture)?;
    let capture = capture::parse(&captured, arguments.entry).map_err(Failure::Usage)?;
    let declared_length = capture.declared_length();
    let body = match (&arguments.body, &capture.body) {
        (Some(source), _) => read_body(source)?,
        (None, Some(body)) => body.clone(),
        (None, None) if declared_length.is_none_or(|length| length == 0) => Vec::new(),
        (None, None) => {
            return Err(Failure::Usage(format!(
                "the capture ({}) has no body; give the body with --body FILE",
                capture.format
            )));
        }
    };
    let reference = Reference::new(arguments, sources, &capture)?;
    let received_at_unix = match arguments.at.as_deref() {
        None => capture.received_at_unix,
        Some("now") => Some(clock::unix_now()),
        Some(text) => Some(
            text.parse()
                .ok()
                .or_else(|| capture::parse_rfc3339(text))
                .ok_or_else(|| {
                    Failure::Usage(
                        "--at takes Unix seconds, an RFC 3339 time such as 2026-01-02T03:04:05Z, or now".into(),
                    )
                })?,
        ),
    };
    let tolerance_seconds = arguments.tolerance.map(|tolerance| tolerance.as_secs());
    let case = Case {
        tolerance_seconds: tolerance_seconds.or(reference.tolerance_seconds),
        provider: reference.verifier.name().to_owned(),
        verifier: reference.verifier,
        secrets: reference.secrets,
        public_url: reference.public_url,
        other_secrets: reference.other_secrets,
        method: capture.method,
        target: capture.target,
        headers: capture.headers,
        body,
        declared_length,
        received_at_unix,
    };
    let report = Report::new(&case, capture.format);
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
