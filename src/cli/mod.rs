//! The commands, one file each: a command takes its arguments, prints text, and returns an exit code.
//!
//! Three rules hold for every command. Results go to standard output and everything else to standard error, so that the
//! output can be piped. An error names the fix. The environment is passed in, and no option takes a secret as its
//! value, because every user of the machine can read the command line of a process.
//!
//! Start with `serve`, which runs the gateway; the other commands are independent of one another. `terminal`, `client`
//! and `inputs` are shared.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`tools`] | init, dev, schema, demo, send, sign: for developers, in builds with the feature `tools` |
//! | [`verify`] | checks a captured request offline and reports why it is not genuine |
//! | [`providers`] | lists the presets and their facts |
//! | [`tail`] | follows the requests of a running gateway |
//! | [`capture`] | captures whole requests of a route for a while |
//! | [`serve`] | runs the gateway |
//! | [`inbox`] | shows and changes what the inbox has stored |
//! | [`stopping`] | announces to a running gateway that its application is about to end |
//! | [`healthcheck`] | asks a running gateway whether it is ready |
//! | [`completions`] | prints a completion script for a shell |
//! | [`check`] | validates the configuration and prints it |
//! | [`route_lines`] | the URLs of each route and where it forwards, for `serve` |
//! | [`file_watch`] | detects changed configuration files, for reloads |
//! | [`inputs`] | readers of secrets and bodies, shared by `sign`, `send` and `verify` |
//! | [`api_client`] | the client of a running gateway's API |
//! | [`client`] | the HTTP client of `send`, `demo` and `healthcheck` |
//! | [`terminal`] | colours and sanitized output |

mod api_client;
mod capture;
pub mod check;
mod client;
mod completions;
mod file_watch;
mod healthcheck;
mod inbox;
mod inputs;
mod providers;
mod route_lines;
mod serve;
mod stopping;
mod tail;
mod terminal;
#[cfg(feature = "tools")]
mod tools;
mod verify;

#[cfg(test)]
mod tests;

use crate::config::{self, Sources};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// The environment variables of the process, read once by `main`.
type Environment = Vec<(OsString, OsString)>;

/// Forwards only genuine webhooks to your application.
#[derive(Debug, Parser)]
#[command(name = "hookgate", version, after_long_help = AFTER_HELP, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file; by default ./gateway.toml or else /etc/hookgate/gateway.toml
    #[arg(
        long,
        short,
        global = true,
        help_heading = "Configuration",
        value_name = "FILE",
        env = "HOOKGATE_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    /// Set a key of the configuration, such as limits.connections=500 (repeatable)
    #[arg(long = "set", global = true, help_heading = "Configuration", value_name = "KEY=VALUE", value_parser = assignment)]
    overrides: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(ServeArguments),
    /// Validate the configuration and report every fault in it, without binding a socket
    Check(CheckArguments),
    /// Write a configuration file for one provider, with comments, and show how to try it
    #[cfg(feature = "tools")]
    Init(tools::init::InitArguments),
    /// Run the gateway for development, without a file: one route, a self-signed certificate, a log for people
    #[cfg(feature = "tools")]
    Dev(tools::dev::DevArguments),
    /// Print the JSON Schema of the configuration file, for editors
    #[cfg(feature = "tools")]
    Schema,
    /// Demonstrate that hookgate works: self-signed TLS, a sample application, valid and invalid requests
    #[cfg(feature = "tools")]
    Demo(tools::demo::DemoArguments),
    /// Print the headers that a provider would send with a body
    #[cfg(feature = "tools")]
    Sign(tools::sign::SignArguments),
    /// Sign a body and deliver it to a URL as the provider would
    #[cfg(feature = "tools")]
    Send(tools::send::SendArguments),
    /// Check a captured request offline and report why it is not genuine
    Verify(Box<verify::VerifyArguments>),
    /// Follow the requests of a running gateway, and save refused ones for verify
    Tail(tail::TailArguments),
    /// Capture whole requests of a route of a running gateway for a while
    Capture(capture::CaptureArguments),
    /// Ask a running gateway whether it is ready, for container probes
    Healthcheck(healthcheck::HealthcheckArguments),
    /// Announce to a running gateway that its application is about to end: the pre-stop hook of a sidecar
    Stopping(healthcheck::HealthcheckArguments),
    /// Show and change what the inbox has stored
    Inbox(inbox::InboxArguments),
    /// List the providers that hookgate knows, with what they sign and where they show the secret
    Providers(providers::ProvidersArguments),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArguments),
}

#[derive(Debug, clap::Args)]
struct ServeArguments {
    /// Configuration file, in place of --config
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct CheckArguments {
    /// Configuration file, in place of --config
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print faults, warnings and notes only
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Print the configuration in force with every default, as a configuration file
    #[arg(long, conflicts_with_all = ["json", "quiet"])]
    print: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The text after `--help`; `-h` does not show it. The manual page contains the same sentences.
const AFTER_HELP: &str = "\
Exit codes:
  0  success; for serve: all exchanges were finished
  1  failure: could not serve or deliver, not ready, not genuine, an answer other than 2xx, a demo row that is not as expected
  2  error in the arguments or the configuration: nothing was started

Environment:
  HOOKGATE_CONFIG  the configuration file
  HOOKGATE_…       any key of the configuration, nested with two underscores (HOOKGATE_LIMITS__CONNECTIONS=500)
  NO_COLOR         no colours
  CREDENTIALS_DIRECTORY  directory of the files that credential:NAME refers to; set by systemd for LoadCredential=; without it credentials beside the configuration
  LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID  listening sockets from the service manager
  NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID  socket and interval for notifications to the service manager

Signals of serve:
  SIGHUP  reload the configuration, secrets and certificates
  SIGTERM, SIGINT  drain (a second signal ends the process immediately)";

/// Runs the command. The environment may contain secrets; its variables are looked up by name and never printed.
#[must_use]
pub fn run(arguments: Arguments, environment: Environment) -> ExitCode {
    let Some(command) = arguments.command else {
        return ExitCode::from(2);
    };
    let named = if let Command::Check(CheckArguments { file: Some(file), .. })
    | Command::Serve(ServeArguments { file: Some(file) }) = &command
    {
        Some(file.clone())
    } else {
        arguments.config
    };
    let sources = Sources {
        file: configuration_file(named, &environment, &arguments.overrides),
        environment,
        overrides: arguments.overrides,
    };
    let result = match command {
        Command::Serve(_) => serve::run(sources),
        Command::Check(arguments) => check(&sources, &arguments),
        #[cfg(feature = "tools")]
        Command::Init(arguments) => tools::init::run(&arguments),
        #[cfg(feature = "tools")]
        Command::Dev(arguments) => tools::dev::run(&arguments, &sources.environment),
        #[cfg(feature = "tools")]
        Command::Schema => tools::schema::run(),
        #[cfg(feature = "tools")]
        Command::Demo(arguments) => tools::demo::run(&arguments, &sources.environment),
        #[cfg(feature = "tools")]
        Command::Sign(arguments) => tools::sign::run(&arguments, &sources),
        #[cfg(feature = "tools")]
        Command::Send(arguments) => tools::send::run(arguments, &sources),
        Command::Verify(arguments) => verify::run(&arguments, &sources),
        Command::Tail(arguments) => tail::run(&arguments, &sources),
        Command::Capture(arguments) => capture::run(&arguments, &sources),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments, &sources),
        Command::Stopping(arguments) => stopping::run(&arguments, &sources),
        Command::Inbox(arguments) => inbox::run(arguments, &sources),
        Command::Providers(arguments) => providers::run(&arguments, &sources.environment),
        Command::Completions(arguments) => completions::run(&arguments),
    };
    result.unwrap_or_else(|failure| {
        // An error is ignored: standard error may be closed, and the exit code still reports the failure.
        let _ = writeln!(io::stderr(), "hookgate: {failure}");
        failure.code()
    })
}

/// Why a command failed, as a message for the user.
#[derive(Debug)]
enum Failure {
    /// The arguments or the configuration are invalid: exit code 2.
    Usage(String),
    /// Any other failure: exit code 1.
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

/// The exit code of a command that ran, or why it failed.
type CommandResult = Result<ExitCode, Failure>;

/// Where a configuration file is looked for when none is named, in this order.
const CONFIGURATION_FILES: [&str; 2] = ["gateway.toml", "/etc/hookgate/gateway.toml"];

/// The configuration file: the named one, or else the first that exists. `None` if there is none and variables or options
/// set keys; otherwise the first path, whose fault then says that it does not exist.
fn configuration_file(
    named: Option<PathBuf>,
    environment: &Environment,
    overrides: &[(String, String)],
) -> Option<PathBuf> {
    let found = || CONFIGURATION_FILES.iter().map(PathBuf::from).find(|path| path.exists());
    let sets_keys = environment.iter().any(|(name, _)| config::is_key_variable(name)) || !overrides.is_empty();
    named
        .or_else(found)
        .or_else(|| CONFIGURATION_FILES.first().filter(|_| !sets_keys).map(PathBuf::from))
}

fn check(sources: &Sources, arguments: &CheckArguments) -> CommandResult {
    let CheckArguments { json, quiet, print, .. } = arguments;
    let format = match (json, quiet, print) {
        (true, ..) => check::Format::Json,
        (false, true, _) => check::Format::Quiet,
        (false, false, true) => check::Format::Toml,
        (false, false, false) => check::Format::Summary,
    };
    match check::run(sources, format, &mut io::stdout().lock()) {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Failed(format!("cannot write to standard output: {error}"))),
    }
}

/// Parses `KEY=VALUE`. The value may contain further equals signs.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        Some(_) | None => Err("write KEY=VALUE, such as limits.connections=500".into()),
    }
}

/// Runs a future on a new runtime with one thread.
fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime
        .map_err(|error| Failure::Failed(format!("cannot start the asynchronous runtime: {error}")))?
        .block_on(future))
}
