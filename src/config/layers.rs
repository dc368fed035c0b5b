//! Merges the three layers in their order: the file, then `HOOKGATE_…` variables, then the command line.
//!
//! figment merges them, but the layers are built here. figment's own environment provider would interpret values
//! (`123456` becomes a number, quotes and spaces are removed) and print them in errors. Here a value stays text until the
//! type of its key parses it. The environment is an argument and is read nowhere else in this folder.

use super::document::parse_inline;
use super::fault::{Fault, Report};
use figment::value::{Dict, Empty, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// Where a configuration comes from.
#[derive(Clone, Default)]
pub struct Sources {
    /// Path of the TOML file; `None` if the configuration comes from the environment and the command line only.
    pub file: Option<PathBuf>,
    /// Variables of the process: `HOOKGATE_…` keys, and the secrets of `{ env = … }`.
    pub environment: Vec<(OsString, OsString)>,
    /// Keys such as `limits.connections`, `route.0.path` or `route[0].path`, each with its value. The last value of a key
    /// is used.
    pub overrides: Vec<(String, String)>,
}

impl fmt::Debug for Sources {
    /// Omits the environment and the values of options, because they hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Variables that have the prefix of keys and are options of the command line.
pub const RESERVED_VARIABLES: [&str; 1] = ["HOOKGATE_CONFIG"];

/// Prefix of variables that set a key.
const PREFIX: &str = "HOOKGATE_";

/// Whether a variable of this name sets a key of the configuration.
#[must_use]
pub fn is_key_variable(name: &OsStr) -> bool {
    let name = name.to_str().filter(|name| !RESERVED_VARIABLES.contains(name));
    name.and_then(|name| name.strip_prefix(PREFIX))
        .is_some_and(|rest| !is_service_link(rest))
}

/// Origin of a key that the command line sets, in faults.
const COMMAND_LINE: &str = "command line";

/// Origin of each key that the file does not set: the path of the key, and the variable or [`COMMAND_LINE`].
pub(super) type Origins = BTreeMap<String, String>;

/// Merges the layers over the values of the file. Faulty variables and options are recorded and skipped.
pub(super) fn merge(file: Dict, sources: &Sources, report: &mut Report) -> (Dict, Origins) {
    let mut origins = Origins::new();
    let options = command_line(sources, report);
    let mut secrets = BTreeSet::new();
    referenced_in(&file, &mut secrets);
    let variables = sources
        .environment
        .iter()
        .filter_map(|(name, text)| Some((name.to_str()?, text.to_str()?)));
    for (name, text) in variables.filter(|(name, _)| name.starts_with(PREFIX)) {
        referenced_by(name.ends_with("__ENV"), text, &mut secrets);
    }
    for option in &options {
        referenced_by(
            option.segments.last().is_some_and(|key| key == "env"),
            &option.text,
            &mut secrets,
        );
    }

    let layers = [
        ("environment", environment(sources, &secrets, report)),
        (COMMAND_LINE, options),
    ];
    if layers.iter().all(|(_, assignments)| assignments.is_empty()) {
        return (file, origins);
    }
    let mut tree = file.clone();
    let mut figment = Figment::from(Layer::new("file", file));
    for (name, assignments) in layers {
        for assignment in assignments {
            match assign(&mut tree, &assignment) {
                Ok(path) => {
                    origins.insert(path, assignment.origin);
                }
                Err((problem, fix)) => {
                    report.push(Fault {
                        key: assignment.segments.join("."),
                        problem,
                        fix,
                        origin: Some(assignment.origin),
                        ..Fault::default()
                    });
                }
            }
        }
        figment = figment.merge(Layer::new(name, tree.clone()));
    }
    (figment.extract().unwrap_or(tree), origins)
}

/// One layer in the form that figment merges.
struct Layer {
    name: &'static str,
    /// Taken by figment, which asks once.
    tree: Cell<Dict>,
}

impl Layer {
    const fn new(name: &'static str, tree: Dict) -> Self {
        Self {
            name,
            tree: Cell::new(tree),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.tree.take()))
    }
}

/// One key that a variable or option sets.
struct Assignment {
    /// The path of the key, split at its dots.
    segments: Vec<String>,
    /// The value.
    text: String,
    /// Name of the variable, or [`COMMAND_LINE`].
    origin: String,
}

fn command_line(sources: &Sources, report: &mut Report) -> Vec<Assignment> {
    let mut assignments = Vec::new();
    for (key, text) in &sources.overrides {
        let segments: Vec<String> = key
            .replace('[', ".")
            .replace(']', "")
            .split('.')
            .map(|part| part.trim().to_owned())
            .collect();
        if segments.iter().any(String::is_empty) {
            report.push(Fault {
                key: key.clone(),
                problem: String::from("this is not a key"),
                fix: String::from("write a key such as `limits.connections` or `route[0].path`"),
                origin: Some(String::from(COMMAND_LINE)),
                ..Fault::default()
            });
        } else {
            assignments.push(Assignment {
                segments,
                text: text.clone(),
                origin: String::from(COMMAND_LINE),
            });
        }
    }
    assignments
}

fn environment(sources: &Sources, secrets: &BTreeSet<String>, report: &mut Report) -> Vec<Assignment> {
    let mut assignments = Vec::new();
    for (name, text) in &sources.environment {
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if RESERVED_VARIABLES.contains(&name) || secrets.contains(name) || is_service_link(rest) {
            continue;
        }
        let segments: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        match text.to_str() {
            Some(_) if segments.iter().any(String::is_empty) => {
                report.fault(
                    name,
                    "this variable does not name a key",
                    "write a name such as `HOOKGATE_LIMITS__CONNECTIONS` or `HOOKGATE_ROUTE__0__PATH`",
                );
            }
            Some(text) => assignments.push(Assignment {
                segments,
                text: text.to_owned(),
                origin: name.to_owned(),
            }),
            None => report.fault(
                name,
                "the value of this variable is not UTF-8",
                "write it as UTF-8 text",
            ),
        }
    }
    // Variables have no order. A table is set before the keys in it, and the items of a list by their index.
    assignments.sort_by_key(|assignment| {
        let numbered = |part: &String| {
            part.parse::<usize>()
                .map_or_else(|_| (0, part.clone()), |n| (n, String::new()))
        };
        assignment.segments.iter().map(numbered).collect::<Vec<_>>()
    });
    assignments
}

/// Whether the variable is one of those that Kubernetes sets in every pod for a Service named `hookgate` or `hookgate-…`.
/// Such a variable is not a key. `rest` is the name without [`PREFIX`].
fn is_service_link(rest: &str) -> bool {
    if rest.contains("__") {
        return false;
    }
    let is_port = |tail: &str| {
        let mut parts = tail.split('_');
        parts
            .next()
            .is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
            && parts
                .next()
                .is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
            && parts
                .next()
                .is_none_or(|part| matches!(part, "PROTO" | "PORT" | "ADDR"))
            && parts.next().is_none()
    };
    let starts = |marker: &str| {
        let inner = format!("_{marker}");
        rest.strip_prefix(marker)
            .or_else(|| rest.rfind(&inner).and_then(|at| rest.get(at + inner.len()..)))
    };
    starts("SERVICE_HOST").is_some_and(str::is_empty)
        || starts("SERVICE_PORT").is_some_and(|tail| tail.is_empty() || tail.starts_with('_'))
        || rest == "PORT"
        || rest.ends_with("_PORT")
        || rest.match_indices("PORT_").any(|(at, found)| {
            (at == 0 || rest.as_bytes().get(at - 1) == Some(&b'_')) && rest.get(at + found.len()..).is_some_and(is_port)
        })
}

/// Adds the names of variables that `{ env = … }` in `value` refers to. They hold secrets and are not keys.
fn referenced(value: &Value, names: &mut BTreeSet<String>) {
    if let Some(dict) = value.as_dict() {
        referenced_in(dict, names);
    } else if let Value::Array(_, items) = value {
        items.iter().for_each(|item| referenced(item, names));
    }
}

/// The same for a table.
fn referenced_in(table: &Dict, names: &mut BTreeSet<String>) {
    for (key, value) in table {
        match value.as_str() {
            Some(name) if key == "env" => {
                names.insert(name.to_owned());
            }
            _ => referenced(value, names),
        }
    }
}

/// The same for a key that a variable or option sets to `text`. `is_env` if the key itself is an `env`.
fn referenced_by(is_env: bool, text: &str, names: &mut BTreeSet<String>) {
    if is_env {
        names.insert(text.to_owned());
    } else {
        referenced(&parse_inline(text), names);
    }
}

/// Sets one key and returns its path in the form of the faults. An error is a problem and its fix.
fn assign(tree: &mut Dict, assignment: &Assignment) -> Result<String, (String, String)> {
    let (first, rest) = assignment
        .segments
        .split_first()
        .ok_or_else(|| (String::from("no key"), String::new()))?;
    let key = existing(tree, first);
    let mut path = key.clone();
    let mut current = tree.entry(key).or_insert_with(|| container(rest));
    for (depth, segment) in rest.iter().enumerate() {
        let after = rest.get(depth + 1..).unwrap_or_default();
        let index = segment.parse::<usize>().ok();
        current = match (current, index) {
            (Value::Array(_, items), Some(index)) => {
                path = format!("{path}[{index}]");
                let count = items.len();
                if index == count {
                    items.push(container(after));
                }
                items.get_mut(index).ok_or_else(|| {
                    (
                        format!("{path} does not exist"),
                        format!("the list has {count} items, and their indices start at 0"),
                    )
                })?
            }
            (Value::Array(..), None) => {
                return Err((
                    format!("{path} is a list"),
                    format!("write the index of the item, such as `{path}[0].{segment}`"),
                ));
            }
            (Value::Dict(_, dict), _) => {
                let key = existing(dict, segment);
                path = format!("{path}.{key}");
                dict.entry(key).or_insert_with(|| container(after))
            }
            (Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..), _) => {
                return Err((
                    format!("{path} is not a table, so it has no `{segment}`"),
                    format!("write {path} as a table"),
                ));
            }
        };
    }
    *current = parse_inline(&assignment.text);
    Ok(path)
}

/// The value to create for a missing key: a list if the next segment is an index, a table if it is a name.
fn container(rest: &[String]) -> Value {
    match rest.first() {
        Some(next) if next.parse::<usize>().is_ok() => Value::from(Vec::<Value>::new()),
        Some(_) => Value::from(Dict::new()),
        None => Value::from(Empty::Unit),
    }
}

/// The spelling of a key in `dict`: variables are in upper case, keys may be in mixed case.
fn existing(dict: &Dict, segment: &str) -> String {
    dict.keys()
        .find(|key| key.eq_ignore_ascii_case(segment))
        .map_or_else(|| segment.to_owned(), Clone::clone)
}
