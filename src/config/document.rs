//! Parses the text of the file into values, and finds the line of each key.
//!
//! It uses `toml` directly, because figment's own TOML provider stops at the first error, quotes the faulty line (which may
//! hold a secret) and discards the line numbers. All syntax errors are reported at once, with line and without text.

use super::excerpt::Excerpt;
use super::fault::{Fault, Report};
use figment::value::{Dict, Value};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A parsed file.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Values by key.
    pub(super) tree: Dict,
    /// Where each key and its value are in the text. Read from it when the first fault is shown.
    places: OnceCell<Places>,
    text: String,
}

/// Where a key and its value are, in bytes of the text. An item of a list has no key of its own: both are the same.
#[derive(Clone, Debug)]
struct Place {
    key: Range<usize>,
    value: Range<usize>,
}

impl Document {
    /// Parses `text` and records its syntax errors.
    pub(super) fn parse(text: &str, report: &mut Report) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document = Self {
            text: text.to_owned(),
            ..Self::default()
        };
        if let Some((problem, fix)) = other_format(text).filter(|_| !errors.is_empty()) {
            report.fault("", problem, fix);
            return document;
        }
        let mut last_line = None;
        for error in errors {
            let (problem, fix) = syntax_error(text, &error);
            let mut fault = Fault {
                problem,
                fix,
                ..Fault::default()
            };
            if let Some(span) = error.span() {
                document.show(&mut fault, span);
            }
            // One slip often makes several errors on its line; the first one is about the slip.
            if fault.line.is_none() || fault.line != last_line {
                last_line = fault.line;
                report.push(fault);
            }
        }
        document.tree = values(table.get_ref());
        document
    }

    /// Adds line, column and the line's text to the fault of a key, or of the nearest table around it.
    pub(super) fn locate(&self, fault: &mut Fault) {
        let Some((path, place)) = self.place(&fault.key) else {
            return;
        };
        let is_value = path == fault.key && !fault.problem.starts_with("unknown key");
        self.show(
            fault,
            if is_value {
                place.value.clone()
            } else {
                place.key.clone()
            },
        );
    }

    /// The path of `key`, or of the nearest table around it.
    pub(super) fn nearest(&self, key: &str) -> Option<&str> {
        self.place(key).map(|(path, _)| path)
    }

    fn place(&self, key: &str) -> Option<(&str, &Place)> {
        let places = self.places.get_or_init(|| Places::of(&self.text));
        places
            .0
            .iter()
            .filter(|(path, _)| super::fault::is_within(key, path))
            .max_by_key(|(path, _)| path.len())
            .map(|(path, place)| (path.as_str(), place))
    }

    fn show(&self, fault: &mut Fault, part: Range<usize>) {
        let before = self.text.get(..part.start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        fault.line = Some(before.matches('\n').count() + 1);
        fault.column = Some(before.get(start..).unwrap_or_default().chars().count() + 1);
        fault.excerpt = Excerpt::new(&self.text, part);
    }
}

/// What a file in another format is, and what to do. Called only for a text that is not TOML.
fn other_format(text: &str) -> Option<(&'static str, &'static str)> {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    if first.starts_with('{') || serde_json::from_str::<serde_json::Value>(text).is_ok() {
        return Some((
            "this is JSON, and the configuration is TOML",
            "write `key = value`, and tables as `[listen]` and `[[route]]`",
        ));
    }
    if first.starts_with('<') {
        return Some((
            "this is XML or HTML, and the configuration is TOML",
            "write `key = value`, and tables as `[listen]` and `[[route]]`",
        ));
    }
    if first.ends_with('{') && !first.contains('=') {
        return Some((
            "this is the notation of nginx, Caddy or HCL, and the configuration is TOML",
            "write `key = value`, and a block such as `listen { … }` as the table `[listen]`",
        ));
    }
    let is_yaml_key = |line: &str| {
        let key = line.trim_start_matches("- ").split_once(':').map(|(key, _)| key);
        key.is_some_and(|key| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
    };
    (first == "---" || is_yaml_key(first)).then_some((
        "this is YAML, and the configuration is TOML",
        "write `key = value` in place of `key: value`, and tables as `[listen]` and `[[route]]`",
    ))
}

/// The problem and the fix of a syntax error, without words of the parser where they can be avoided.
fn syntax_error(text: &str, error: &toml::de::Error) -> (String, String) {
    let message = error.message();
    let line = error.span().and_then(|span| {
        let start = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
        text.get(start..)?.lines().next()
    });
    let value = line
        .and_then(|line| line.split_once('='))
        .map(|(_, value)| value.trim());
    let quotes = value.map_or(0, |value| value.matches('"').count());
    let key = line
        .and_then(|line| line.split_once('='))
        .map_or("key", |(key, _)| key.trim());
    if quotes % 2 == 1 {
        return (
            String::from("a quotation mark is missing"),
            String::from("write one quotation mark on each side of every text"),
        );
    }
    if message.contains("string values must be quoted")
        || (quotes == 0 && message.contains("invalid")) && value.is_some()
    {
        return (
            String::from("a text needs quotation marks"),
            format!("write {key} = \"…\""),
        );
    }
    if value == Some("") {
        return (
            String::from("this key has no value"),
            format!("write {key} = \"…\", or remove the line"),
        );
    }
    if message.contains("duplicate key") {
        return (
            String::from("this key or table is written twice"),
            String::from("remove one of them; several routes are written as `[[route]]`"),
        );
    }
    let has_backslash = value.is_some_and(|value| value.contains('\\'));
    let (problem, fix) = other_syntax_error(if has_backslash { "escape" } else { message });
    (problem.to_owned(), fix.to_owned())
}

/// The problem and the fix of the other messages of the parser, by a word in each.
fn other_syntax_error(message: &str) -> (&'static str, &'static str) {
    let known = [
        (
            "no value",
            "this line has a key and no value",
            "write `key = \"value\"`; a comment begins with `#`",
        ),
        (
            "escape",
            "a backslash in a text begins an escape, and there is none like this",
            "write two backslashes, or the text in single quotation marks",
        ),
        (
            "unclosed",
            "a bracket is not closed",
            "write `]` or `}` where the list or the table ends",
        ),
        ("extra comma", "there is a comma too many", "remove it"),
        (
            "missing comma",
            "a comma is missing between two items",
            "write a comma after each item of a list or an inline table",
        ),
        (
            "newline",
            "the line goes on after its value",
            "write each key on a line of its own",
        ),
    ];
    let found = known.into_iter().find(|(word, ..)| message.contains(word));
    found.map_or(
        (
            "this is not TOML",
            "write `key = value`, texts in quotation marks, and tables as `[listen]` and `[[route]]`",
        ),
        |(_, problem, fix)| (problem, fix),
    )
}

/// Parses a value of the command line or the environment: a TOML list or inline table if it is one, otherwise the text
/// itself.
pub(super) fn parse_inline(text: &str) -> Value {
    if text.starts_with(['[', '{'])
        && let Ok(value) = DeValue::parse(text)
    {
        return self::value(value.get_ref());
    }
    Value::from(text)
}

/// Converts a TOML table.
fn values(table: &DeTable<'_>) -> Dict {
    let items = table.iter();
    items
        .map(|(key, item)| (key.get_ref().to_string(), value(item.get_ref())))
        .collect()
}

/// Converts a TOML value.
fn value(written: &DeValue<'_>) -> Value {
    match written {
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
        DeValue::Array(items) => Value::from(items.iter().map(|item| value(item.get_ref())).collect::<Vec<_>>()),
        DeValue::Table(table) => Value::from(values(table)),
    }
}

/// Where each key and value is, by the path of the key.
#[derive(Debug, Default)]
struct Places(BTreeMap<String, Place>);

impl Places {
    fn of(text: &str) -> Self {
        let mut places = Self::default();
        places.add_table(DeTable::parse_recoverable(text).0.get_ref(), "");
        places
    }

    fn add_table(&mut self, table: &DeTable<'_>, prefix: &str) {
        for (key, value) in table {
            let dot = if prefix.is_empty() { "" } else { "." };
            let path = format!("{prefix}{dot}{}", key.get_ref());
            self.add(path, key.span(), value);
        }
    }

    fn add(&mut self, path: String, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.add_table(table, &path),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.add(format!("{path}[{index}]"), item.span(), item);
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
        let value = value.span();
        self.0.insert(path, Place { key, value });
    }
}
