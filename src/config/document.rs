//! Parses the text of the file into values, and records the line of each key.
//!
//! It uses `toml` directly, because figment's own TOML provider stops at the first error, quotes the faulty line (which may
//! hold a secret) and discards the line numbers. All syntax errors are reported at once, with line and without text.

use super::fault::{Fault, Report};
use figment::value::{Dict, Value};
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// A parsed file.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Values by key.
    pub(super) tree: Dict,
    /// Line of each key by its path, from 1.
    pub(super) lines: BTreeMap<String, usize>,
}

impl Document {
    /// Parses `text` and records its syntax errors.
    pub(super) fn parse(text: &str, report: &mut Report) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let starts = line_starts(text);
        for error in errors {
            report.push(Fault {
                key: String::new(),
                problem: format!("this is not TOML: {}", error.message()),
                fix: String::new(),
                line: error.span().map(|span| line_of(&starts, span.start)),
                origin: None,
            });
        }
        let mut lines = Lines {
            starts,
            found: BTreeMap::new(),
        };
        let tree = lines.table(table.get_ref(), "");
        Self {
            tree,
            lines: lines.found,
        }
    }

    /// Line of `key`, or of the nearest table around it, and the path of what was found.
    pub(super) fn line(&self, key: &str) -> Option<(usize, &str)> {
        self.lines
            .iter()
            .filter(|(path, _)| super::fault::is_within(key, path))
            .max_by_key(|(path, _)| path.len())
            .map(|(path, line)| (*line, path.as_str()))
    }
}

/// Parses a value of the command line or the environment: a TOML list or inline table if it is one, otherwise the text
/// itself.
pub(super) fn parse_inline(text: &str) -> Value {
    if text.starts_with(['[', '{'])
        && let Ok(value) = DeValue::parse(text)
    {
        return Lines {
            starts: Vec::new(),
            found: BTreeMap::new(),
        }
        .value(value.get_ref(), "");
    }
    Value::from(text)
}

/// Converts TOML values and records the line of each key.
struct Lines {
    /// Offset of the first byte of each line.
    starts: Vec<usize>,
    /// Line of each key by its path, from 1.
    found: BTreeMap<String, usize>,
}

impl Lines {
    fn table(&mut self, table: &DeTable<'_>, prefix: &str) -> Dict {
        let mut dict = Dict::new();
        for (key, value) in table {
            let path = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            self.found.insert(path.clone(), line_of(&self.starts, key.span().start));
            dict.insert(key.get_ref().to_string(), self.value(value.get_ref(), &path));
        }
        dict
    }

    fn value(&mut self, value: &DeValue<'_>, path: &str) -> Value {
        match value {
            DeValue::String(text) => Value::from(text.as_ref()),
            // An integer outside the range of `i64` becomes a text, which no key for integers accepts.
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Value::from("an integer out of range"), Value::from),
            DeValue::Float(number) => number
                .as_str()
                .parse::<f64>()
                .map_or_else(|_| Value::from(f64::NAN), Value::from),
            DeValue::Boolean(flag) => Value::from(*flag),
            DeValue::Datetime(_) => Value::from("a date"),
            DeValue::Array(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.found
                        .insert(path.clone(), line_of(&self.starts, item.span().start));
                    values.push(self.value(item.get_ref(), &path));
                }
                Value::from(values)
            }
            DeValue::Table(table) => Value::from(self.table(table, path)),
        }
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect()
}

fn line_of(starts: &[usize], offset: usize) -> usize {
    starts.partition_point(|start| *start <= offset)
}
