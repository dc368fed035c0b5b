//! The commands, one file each: arguments in, text and an exit code out.
//!
//! Commands keep three habits. Results go to standard output and everything else to standard error, so that output can
//! be piped. Errors name the fix. The environment is passed in, and a secret never comes from the command line, where
//! every user of the machine could read it.

pub mod check;
mod client;
mod completions;
mod demo;
mod healthcheck;
#[cfg(test)]
mod manual;
mod send;
mod serve;
mod sign;
mod signing;
mod terminal;
mod verify;
mod watch;

use crate::config::Sources;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// The process's environment, read once by `main`.
type Environment = Vec<(OsString, OsString)>;

/// Lets only genuine webhooks through to your application.
#[derive(Debug, Parser)]
#[command(name = "hookgate", version, after_long_help = AFTER_HELP, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file
    #[arg(
        long,
        short,
        global = true,
        help_heading = "Configuration",
        value_name = "FILE",
        env = "HOOKGATE_CONFIG",
        hide_env_values = true,
        default_value = "gateway.toml"
    )]
    config: PathBuf,
    /// Set a key of the configuration, such as limits.connections=500 (repeatable)
    #[arg(long = "set", global = true, help_heading = "Configuration", value_name = "KEY=VALUE", value_parser = assignment)]
    overrides: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default)
    Serve,
    /// Print the resolved configuration and every fault in it, without binding anything
    Check(CheckArguments),
    /// Show that it works: self-signed TLS, a sample application, real good and bad requests
    Demo(demo::DemoArguments),
    /// Print the headers that a provider would send with a body
    Sign(sign::SignArguments),
    /// Sign a body and deliver it to a URL, as the provider would
    Send(send::SendArguments),
    /// Judge a captured request offline, and say why it is not genuine
    Verify(verify::VerifyArguments),
    /// Ask a running gateway whether it is ready, for container probes
    Healthcheck(healthcheck::HealthcheckArguments),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArguments),
}

#[derive(Debug, clap::Args)]
struct CheckArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is said after `--help`; `-h` stays short.
const AFTER_HELP: &str = "\
Exit codes:
  0  done; for serve: everything in flight was finished
  1  failed: could not serve or deliver, not ready, not genuine, an answer other than 2xx, a demo row that is not as it must be
  2  usage or configuration: nothing was started

Environment:
  HOOKGATE_CONFIG  the configuration file
  HOOKGATE_…       any key of the configuration, nested with two underscores (HOOKGATE_LIMITS__CONNECTIONS=500)
  NO_COLOR         no colours
  CREDENTIALS_DIRECTORY  where credential:NAME in place of a path is found; set by systemd for LoadCredential=
  LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID  listening sockets from the service manager
  NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID  where the service manager is told of readiness, reload and drain

Signals of serve:
  SIGHUP  read everything again: file, secrets, certificates
  SIGTERM, SIGINT  drain (a second one ends the process at once)";

/// Runs the command. The environment holds secrets; it is looked up by name and never printed.
#[must_use]
pub fn run(arguments: Arguments, environment: Environment) -> ExitCode {
    let sources = Sources {
        file: Some(arguments.config),
        environment,
        overrides: arguments.overrides,
    };
    let ended = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(sources),
        Command::Check(CheckArguments { json }) => check(&sources, json),
        Command::Demo(arguments) => demo::run(&arguments, &sources.environment),
        Command::Sign(arguments) => sign::run(&arguments, &sources.environment),
        Command::Send(arguments) => send::run(arguments, &sources.environment),
        Command::Verify(arguments) => verify::run(&arguments, &sources),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments, &sources),
        Command::Completions(arguments) => completions::run(&arguments),
    };
    ended.unwrap_or_else(|failure| {
        // Standard error may be closed as well; the exit code still tells.
        let _ = writeln!(io::stderr(), "hookgate: {failure}");
        failure.code()
    })
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
enum Failure {
    /// Arguments or configuration: exit code 2.
    Usage(String),
    /// Everything else: exit code 1.
    Failed(String),
}

impl Failure {
    fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Failed(message) => f.write_str(message),
        }
    }
}

type Ended = Result<ExitCode, Failure>;

fn check(sources: &Sources, json: bool) -> Ended {
    match check::run(sources, json, &mut io::stdout().lock()) {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Failed(format!("cannot write: {error}"))),
    }
}

/// `KEY=VALUE`; the value may contain further equals signs.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        Some(_) | None => Err("write KEY=VALUE, such as limits.connections=500".into()),
    }
}

/// Runs a command's future on a runtime of its own.
fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime
        .map_err(|error| Failure::Failed(format!("cannot start a runtime: {error}")))?
        .block_on(future))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_option_takes_a_secret() {
        for command in Arguments::command().get_subcommands() {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                assert!(!matches!(name, "secret" | "key" | "password" | "token"), "{name}");
            }
        }
    }

    #[test]
    fn serve_is_the_default_and_options_are_global() {
        let arguments = Arguments::parse_from(["hookgate", "-c", "a.toml", "--set", "log.filter=a=b,c"]);
        assert!(arguments.command.is_none());
        assert_eq!(arguments.overrides, [("log.filter".to_owned(), "a=b,c".to_owned())]);
        let arguments = Arguments::parse_from(["hookgate", "serve", "--config", "a.toml"]);
        assert_eq!(arguments.config, PathBuf::from("a.toml"));
        assert!(Arguments::try_parse_from(["hookgate", "--set", "limits"]).is_err());
        assert!(Arguments::try_parse_from(["hookgate", "--set", "=1"]).is_err());
    }

    #[test]
    fn help_documents_the_exit_codes() {
        let help = Arguments::command().render_long_help().to_string();
        for line in ["  0  ", "  1  ", "  2  ", "NO_COLOR"] {
            assert!(help.contains(line), "{help}");
        }
    }
}
