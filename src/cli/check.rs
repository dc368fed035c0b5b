//! `hookgate check`: validates the configuration exactly as `serve` does, but binds no socket.
//!
//! It prints a summary with every warning and note, or all faults. With `--print` it prints the configuration in force with
//! every default, which is a configuration file itself: secrets appear as the variable or file that they are read from.

use super::route_lines::{RouteLine, RouteLines};
use crate::config::{Faults, Loaded, Sources, inspect};
use crate::settings::{Address, Config, DeliveryMode, Route};
use serde_json::json;
use std::io::{self, Write};

/// Exit code: the configuration is valid.
pub const VALID: u8 = 0;

/// Exit code: the configuration has faults. `serve` exits with the same code.
pub const FAULTY: u8 = 2;

/// What `check` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Listeners and routes, one line each, with warnings and notes.
    Summary,
    /// The configuration as TOML, with warnings and notes as comments.
    Toml,
    /// One JSON object with `valid`, `file`, `configuration` (`null` when faulty), `acknowledgements`, `faults`, `warnings` and `notes`.
    Json,
    /// Faults, warnings and notes only.
    Quiet,
}

/// Loads the configuration and prints the result. Returns the exit code, [`VALID`] or [`FAULTY`].
///
/// # Errors
/// Writing to `out` failed.
pub fn run(sources: &Sources, format: Format, out: &mut dyn Write) -> io::Result<u8> {
    let result = inspect(sources);
    match (&result, format) {
        (Ok(loaded), Format::Json) => {
            let report = json!({
                "valid": true,
                "file": sources.file,
                "configuration": loaded.config,
                "acknowledgements": loaded.config.routes.iter().map(acknowledgement).collect::<Vec<_>>(),
                "faults": [],
                "warnings": loaded.config.warnings,
                "notes": loaded.notes,
            });
            writeln!(out, "{report:#}")?;
        }
        (Err(faults), Format::Json) => {
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
        (Ok(loaded), Format::Toml) => {
            writeln!(out, "{}", loaded.printed().map_err(io::Error::other)?)?;
            print_valid(sources, loaded, out)?;
        }
        (Ok(loaded), Format::Summary) => {
            print_summary(&loaded.config, out)?;
            print_valid(sources, loaded, out)?;
        }
        (Ok(loaded), Format::Quiet) => print_valid(sources, loaded, out)?,
        (Err(faults), Format::Summary | Format::Toml | Format::Quiet) => print_faults(faults, out)?,
    }
    out.flush()?;
    Ok(if result.is_ok() { VALID } else { FAULTY })
}

/// What a 2xx to the sender means on a route.
fn meaning(route: &Route) -> &'static str {
    if route.report_only() {
        return "a 2xx means that the application answered 2xx, for a genuine webhook or another request";
    }
    match route.delivery.as_ref().map(|delivery| delivery.mode) {
        None => "a 2xx means that the application answered 2xx",
        Some(DeliveryMode::Failover) => "a 2xx means that the application answered 2xx, or that the webhook is stored",
        Some(DeliveryMode::Queue) => "a 2xx means that the webhook is stored",
    }
}

/// What a 2xx to the sender means on a route, for programs.
fn acknowledgement(route: &Route) -> serde_json::Value {
    json!({ "route": route.name, "meaning": meaning(route) })
}

/// One line for each listener and each route.
fn print_summary(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let listeners: Vec<(String, Address)> = config
        .listeners
        .iter()
        .map(|listener| (listener.name.clone(), listener.address.clone()))
        .collect();
    for listener in &config.listeners {
        let tls = if listener.tls.is_some() { "TLS" } else { "no TLS" };
        writeln!(out, "listen  {} ({tls})", listener.address)?;
    }
    if let Some(address) = config.admin.address {
        writeln!(out, "admin   http://{address}")?;
    }
    for (route, line) in config.routes.iter().zip(RouteLines::new(config).lines(&listeners)) {
        let RouteLine { name, urls, upstream } = line;
        let keys = match route.secrets.len() {
            1 => String::from("1 key"),
            count => format!("{count} keys"),
        };
        let provider = route.verifier.name();
        writeln!(out, "route   {name}: {urls} -> {upstream} ({provider}, {keys})")?;
    }
    Ok(())
}

fn print_valid(sources: &Sources, loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    print_comments(out, "warning", &loaded.config.warnings)?;
    print_comments(out, "note", &loaded.notes)?;
    for route in &loaded.config.routes {
        writeln!(out, "# route {}: {}", route.name, meaning(route))?;
    }
    match &sources.file {
        Some(file) => writeln!(out, "# {} is valid", file.display()),
        None => writeln!(out, "# the configuration is valid"),
    }
}

fn print_faults(faults: &Faults, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{faults}")?;
    print_comments(out, "warning", &faults.warnings)
}

/// Prints one TOML comment for each line, so that the whole output is valid TOML.
fn print_comments(out: &mut dyn Write, kind: &str, lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(out, "# {kind}: {line}"))
}
