//! Loads a configuration from its sources, or reports every fault with its line.

use super::decode::decode;
use super::document::Document;
use super::fault::{Fault, Faults, Report, is_within, unreadable};
use super::layers::{Origins, Sources, merge};
use super::printed::printed;
use super::resolve::{Resolved, resolve};
use super::service_credential;
use crate::settings::Config;
use crate::time::clock;
use figment::value::Dict;
use std::fmt;
use std::path::{Path, PathBuf};

/// A valid configuration with what `check` and the reload need.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Remarks that only `check` prints: settings that may be right and should be reviewed.
    pub notes: Vec<String>,
    /// Every file that was read (configuration, secrets, certificates, keys, root certificates), sorted. `serve` watches
    /// them and reloads when one changes.
    pub files: Vec<PathBuf>,
    /// The merged values of the file, the variables and the options.
    pub(super) written: WrittenValues,
}

/// Values as they were written. A literal header value may be a token, so none is shown.
pub(super) struct WrittenValues(Dict);

impl fmt::Debug for WrittenValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Loaded {
    /// The settings in force as a configuration file that gives the same settings.
    ///
    /// # Errors
    /// A value has no form in TOML.
    pub fn printed(&self) -> Result<String, toml::ser::Error> {
        printed(&self.config, self.written.0.clone()).and_then(|tree| toml::to_string_pretty(&tree))
    }
}

/// Loads the configuration, including the files that it names (secrets, certificates). Binds no socket and opens no
/// connection.
///
/// # Errors
/// All faults at once, each with its key and line.
pub fn load(sources: &Sources) -> Result<Config, Faults> {
    inspect(sources).map(|loaded| loaded.config)
}

/// As [`load`], with remarks and the list of files.
///
/// # Errors
/// All faults at once, each with its key and line.
pub fn inspect(sources: &Sources) -> Result<Loaded, Faults> {
    let mut report = Report::default();
    let mut document = sources
        .file
        .as_deref()
        .map_or_else(Document::default, |path| read(path, &mut report));
    if !report.faults.is_empty() {
        // Keys after a syntax error are missing; reporting them as faults would mislead.
        return Err(faults(sources, report, Vec::new(), &document, &Origins::new()));
    }
    let (tree, origins) = merge(std::mem::take(&mut document.tree), sources, &mut report);
    let base = sources
        .file
        .as_deref()
        .and_then(Path::parent)
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let mut tree = service_credential::resolve(tree, &sources.environment, &base, &mut report);
    let file = decode(&mut tree, &mut report);
    let Resolved {
        config,
        mut files,
        report,
    } = resolve(file, &sources.environment, base, clock::unix_now(), report);
    if !report.faults.is_empty() {
        return Err(faults(sources, report, files, &document, &origins));
    }
    files = with_configuration(files, sources);
    Ok(Loaded {
        config,
        notes: report.notes,
        files,
        written: WrittenValues(tree),
    })
}

fn read(path: &Path, report: &mut Report) -> Document {
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Document::parse(&text, report),
        Ok(Err(_)) => {
            report.fault("", "the file is not UTF-8, so it is not TOML", "save it as UTF-8");
            Document::default()
        }
        Err(error) => {
            report.fault(
                "",
                format!("the file {}", unreadable(&error)),
                "write the path of a readable file after `--config`; without it, ./gateway.toml and /etc/hookgate/gateway.toml are tried; `hookgate init` writes one",
            );
            Document::default()
        }
    }
}

/// Adds the line or origin to each fault and sorts the faults by line.
fn faults(sources: &Sources, report: Report, files: Vec<PathBuf>, document: &Document, origins: &Origins) -> Faults {
    let mut faults = report.faults;
    for fault in &mut faults {
        locate(fault, document, origins);
    }
    faults.sort_by_key(|fault| (fault.origin.is_some(), fault.line.unwrap_or(usize::MAX)));
    Faults {
        file: sources.file.clone(),
        faults,
        warnings: report.warnings,
        files: with_configuration(files, sources),
    }
}

/// The files and the configuration file itself, sorted, each once.
fn with_configuration(mut files: Vec<PathBuf>, sources: &Sources) -> Vec<PathBuf> {
    files.extend(sources.file.clone());
    files.sort();
    files.dedup();
    files
}

/// Adds the line, variable or option that set the key of `fault`, or else the nearest table around the key.
fn locate(fault: &mut Fault, document: &Document, origins: &Origins) {
    if fault.line.is_some() || fault.origin.is_some() || fault.key.is_empty() {
        return;
    }
    let origin = origins
        .iter()
        .filter(|(path, _)| is_within(&fault.key, path))
        .max_by_key(|(path, _)| path.len());
    let nearest = document.nearest(&fault.key).map_or(0, str::len);
    match origin {
        Some((path, origin)) if path.len() >= nearest => fault.origin = Some(origin.clone()),
        Some(_) | None => document.locate(fault),
    }
}
