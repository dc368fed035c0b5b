//! The `hookgate` command: reads arguments and environment, dispatches, exits.

use clap::Parser as _;
use hookgate::cli::{self, Arguments};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    let environment = std::env::vars_os().collect();
    cli::run(arguments, environment)
}
