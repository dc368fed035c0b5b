//! `hookgate schema`: prints the JSON Schema of the configuration file, with which editors complete and check it.

use crate::cli::{CommandResult, terminal};
use crate::config;
use std::process::ExitCode;

/// Prints the schema.
pub(in crate::cli) fn run() -> CommandResult {
    terminal::emit(&format!("{:#}\n", config::schema()))?;
    Ok(ExitCode::SUCCESS)
}
