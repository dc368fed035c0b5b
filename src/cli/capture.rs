//! `hookgate capture`: captures whole requests of a route for a while.

use super::api_client::ApiClient;
use super::{CommandResult, Failure, block_on, terminal};
use crate::config::Sources;
use crate::http::percent;
use hyper::Method;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `capture`.
#[derive(Debug, clap::Args)]
pub(super) struct CaptureArguments {
    /// Name of the route
    #[arg(value_name = "ROUTE")]
    route: String,
    /// For how long, at most capture.keep of the configuration
    #[arg(long = "for", value_name = "DURATION", default_value = "30m", value_parser = humantime::parse_duration)]
    time: std::time::Duration,
    /// End it now
    #[arg(long, conflicts_with = "time")]
    off: bool,
    /// The gateway's socket; the default is api.socket of the configuration
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Turns capturing on or off, and says what to do next.
pub(super) fn run(arguments: &CaptureArguments, sources: &Sources) -> CommandResult {
    let client = ApiClient::new(arguments.socket.as_deref(), sources)?;
    let path = format!("/api/v1/capture/{}", percent::encode(&arguments.route));
    let route = terminal::sanitize(&arguments.route);
    let time = humantime::format_duration(arguments.time);
    let (method, body) = match arguments.off {
        true => (Method::DELETE, String::new()),
        false => (Method::POST, serde_json::json!({ "for": time.to_string() }).to_string()),
    };
    block_on(async { client.ask(method, &path, body).await })??;
    let text = match arguments.off {
        true => format!("Requests of `{route}` are not captured any more.\n"),
        false => format!(
            "Requests of `{route}` are captured for {time}. Save the refused ones with:\n  hookgate tail --refused --save DIR --route {route}\n"
        ),
    };
    terminal::emit(&text)?;
    Ok::<_, Failure>(ExitCode::SUCCESS)
}
