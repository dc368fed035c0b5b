//! The `hookgate` command: parses arguments, dispatches, exits.

use clap::{Parser, Subcommand};
use hookgate::cli;
use hookgate::config::Sources;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file.
    #[arg(long, short, global = true, env = "HOOKGATE_CONFIG", default_value = "gateway.toml")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway (the default).
    Serve,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    let environment = std::env::vars_os().collect();
    let sources = Sources {
        file: Some(arguments.config),
        environment,
        overrides: Vec::new(),
    };
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => cli::serve::run(sources),
    }
}
