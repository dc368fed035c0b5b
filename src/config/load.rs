//! From the sources to the configuration in force, or to everything that is wrong with them.

use super::Config;
use super::decode::decode;
use super::describe::describe;
use super::document::Document;
use super::fault::{Fault, Faults, Report, is_within, unreadable};
use super::layer::{Origins, Sources, merge};
use super::resolve::{Resolved, resolve};
use super::service_credential;
use std::path::{Path, PathBuf};

/// A configuration with what is known about it.
#[derive(Debug)]
pub struct Loaded {
    /// What the gateway runs on.
    pub config: Config,
    /// What only `check` mentions: things that may be right and are worth a look.
    pub notes: Vec<String>,
    /// Every file that was read (configuration, secrets, certificates, keys, roots), sorted, for the watch that reloads.
    pub files: Vec<PathBuf>,
    /// The resolved configuration as `check` prints it: every default filled in, every secret `[redacted]` with its place.
    pub description: serde_json::Value,
}

/// Reads the file, lays environment and command line over it, and resolves the whole. Reads the files that the
/// configuration names (secrets, certificates); binds nothing and connects to nothing.
///
/// # Errors
/// All faults at once, each with its key.
pub fn load(sources: &Sources) -> Result<Config, Faults> {
    inspect(sources).map(|loaded| loaded.config)
}

/// As [`load`], with what `check` prints and the watch needs.
///
/// # Errors
/// All faults at once, each with its key.
pub fn inspect(sources: &Sources) -> Result<Loaded, Faults> {
    let mut report = Report::default();
    let document = sources
        .file
        .as_deref()
        .map_or_else(Document::default, |path| read(path, &mut report));
    if !report.faults.is_empty() {
        // Half a tree would fault everything that stands in the other half.
        return Err(faults(sources, report, Vec::new(), &document, &Origins::new()));
    }
    let (tree, origins) = merge(document.tree.clone(), sources, &mut report);
    let tree = service_credential::resolve(tree, &sources.environment, &mut report);
    let file = decode(tree, &mut report);
    let base = sources
        .file
        .as_deref()
        .and_then(Path::parent)
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let Resolved {
        config,
        mut files,
        report,
    } = resolve(file, &sources.environment, base, report);
    if !report.faults.is_empty() {
        return Err(faults(sources, report, files, &document, &origins));
    }
    files = with_own(files, sources);
    let description = describe(&config);
    Ok(Loaded {
        config,
        notes: report.notes,
        files,
        description,
    })
}

fn read(path: &Path, report: &mut Report) -> Document {
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Document::parse(&text, report),
        Ok(Err(_)) => {
            report.fault("", "not UTF-8, so not TOML", "");
            Document::default()
        }
        Err(error) => {
            report.fault(
                "",
                format!("the file {}", unreadable(&error)),
                "write its path after `--config`",
            );
            Document::default()
        }
    }
}

/// Gives each fault its place, and puts them in the order of the file.
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
        files: with_own(files, sources),
    }
}

/// The files, and the configuration's own, each once.
fn with_own(mut files: Vec<PathBuf>, sources: &Sources) -> Vec<PathBuf> {
    files.extend(sources.file.clone());
    files.sort();
    files.dedup();
    files
}

/// The deepest place that set the key or the table around it.
fn locate(fault: &mut Fault, document: &Document, origins: &Origins) {
    if fault.line.is_some() || fault.origin.is_some() || fault.key.is_empty() {
        return;
    }
    let line = document.line(&fault.key);
    let origin = origins
        .iter()
        .filter(|(path, _)| is_within(&fault.key, path))
        .max_by_key(|(path, _)| path.len());
    match (line, origin) {
        (Some((_, at)), Some((path, origin))) if path.len() >= at.len() => fault.origin = Some(origin.clone()),
        (Some((line, _)), _) => fault.line = Some(line),
        (None, Some((_, origin))) => fault.origin = Some(origin.clone()),
        (None, None) => {}
    }
}
