//! The `hookgate` command: reads the arguments and the environment, runs a command, and exits with its exit code.

use clap::Parser as _;
use hookgate::cli::{self, Arguments};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the only place that reads the environment"
    )]
    let environment = std::env::vars_os().collect();
    cli::run(arguments, environment)
}
