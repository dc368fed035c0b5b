//! `hookgate check`: the verdict that `serve` would reach, without binding anything.
//!
//! Prints the resolved configuration, every default filled in, so that a person sees what is really in force; secrets
//! appear as `[redacted]` with the place they were read from. Faults, warnings and notes follow, all of them.

use crate::config::{Faults, Loaded, Sources, inspect};
use serde_json::json;
use std::io::{self, Write};

/// The configuration is valid.
pub const VALID: u8 = 0;

/// The configuration has faults; `serve` would end with the same code.
pub const FAULTY: u8 = 2;

/// Loads the configuration and prints what comes of it: TOML with comments, or one JSON object with `valid`, `file`,
/// `configuration` (`null` when faulty), `faults`, `warnings` and `notes`. Gives the exit code, [`VALID`] or [`FAULTY`].
///
/// # Errors
/// Only those of `out`.
pub fn run(sources: &Sources, json: bool, out: &mut dyn Write) -> io::Result<u8> {
    let result = inspect(sources);
    match (&result, json) {
        (Ok(loaded), true) => {
            let report = json!({
                "valid": true,
                "file": sources.file,
                "configuration": loaded.description,
                "faults": [],
                "warnings": loaded.config.warnings,
                "notes": loaded.notes,
            });
            writeln!(out, "{report:#}")?;
        }
        (Err(faults), true) => {
            let report = json!({
                "valid": false,
                "file": faults.file,
                "configuration": null,
                "faults": faults.faults,
                "warnings": faults.warnings,
                "notes": [],
            });
            writeln!(out, "{report:#}")?;
        }
        (Ok(loaded), false) => valid(sources, loaded, out)?,
        (Err(faults), false) => faulty(faults, out)?,
    }
    out.flush()?;
    Ok(if result.is_ok() { VALID } else { FAULTY })
}

fn valid(sources: &Sources, loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    let text = toml::to_string_pretty(&loaded.description).map_err(io::Error::other)?;
    writeln!(out, "{text}")?;
    list(out, "warning", &loaded.config.warnings)?;
    list(out, "note", &loaded.notes)?;
    match &sources.file {
        Some(file) => writeln!(out, "# {} is valid", file.display()),
        None => writeln!(out, "# the configuration is valid"),
    }
}

fn faulty(faults: &Faults, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{faults}")?;
    list(out, "warning", &faults.warnings)
}

/// As TOML comments, so that the whole output is TOML.
fn list(out: &mut dyn Write, kind: &str, lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(out, "# {kind}: {line}"))
}
