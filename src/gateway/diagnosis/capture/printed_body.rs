//! The body behind headers that a program printed: bare, behind a label, or as the language prints text and bytes.

use super::notation;
use super::value::Value;

/// Labels of a body, in lower case without signs.
const LABELS: [&str; 12] = [
    "body",
    "rawbody",
    "requestbody",
    "payload",
    "rawpayload",
    "content",
    "rawcontent",
    "data",
    "rawdata",
    "raw",
    "postdata",
    "rawpost",
];

/// Longest text of a log before the body, in bytes.
const MAX_LOG_PREFIX: usize = 200;

/// The bytes of the body in the text after the headers. `prints_text` says that the language prints a text in quotes, so
/// that quotes without a label are not the body's own. `None` if nothing follows.
pub(super) fn read(rest: &str, prints_text: bool) -> Option<Vec<u8>> {
    let rest = rest
        .trim_start_matches([' ', '\r', ';', ',', ')', '"', '\'', '>'].as_slice())
        .trim_start_matches(['\r', '\n', ' '].as_slice());
    let bare = without_log_prefix(rest);
    if bare.trim().is_empty() {
        return None;
    }
    let unlabelled = label(bare);
    let text = unlabelled.unwrap_or(bare);
    let is_literal = text.starts_with("b'")
        || text.starts_with("b\"")
        || text.starts_with("string(")
        || text.starts_with("<Buffer ")
        || text.starts_with('\'')
        || (text.starts_with('"') && (unlabelled.is_some() || prints_text));
    if is_literal && let Some((value, after)) = notation::literal(text) {
        let ends = after.trim_start_matches([')', '}', ']', ',', ';', ' ']).lines().next();
        let closes = unlabelled.is_some() || ends.unwrap_or_default().trim().is_empty();
        match value {
            Value::Bytes(bytes) if closes => return Some(bytes),
            Value::Text(text) if closes => return Some(text.into_bytes()),
            Value::Bytes(_)
            | Value::Text(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::List(_)
            | Value::Map(_) => {}
        }
    }
    Some(text.as_bytes().to_vec())
}

/// The text behind a label such as `Raw body:` or `body =`; `None` without one.
fn label(text: &str) -> Option<&str> {
    let end = text.find([':', '='])?;
    let name: String = text
        .get(..end)?
        .chars()
        .filter(|c| !" _-\"'".contains(*c))
        .collect::<String>()
        .to_ascii_lowercase();
    let value = text.get(end + 1..)?;
    let value = value.strip_prefix('>').unwrap_or(value).trim_start();
    // A form can begin with such a field: its value has no quotes, and no space stands behind its sign.
    let is_field = text.get(end..)?.starts_with('=')
        && !text.get(end..)?.starts_with("= ")
        && !value.starts_with(['{', '[', '"', '\'', 'b', '<']);
    (LABELS.contains(&name.as_str()) && !is_field).then_some(value)
}

/// The text without what a log writes before it in its line: a time, a level, a name.
fn without_log_prefix(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    let Some(at) = line.find(['{', '"']).filter(|at| *at <= MAX_LOG_PREFIX) else {
        return text;
    };
    let before = line.get(..at).unwrap_or_default();
    let is_log = before.ends_with(' ')
        && before.trim_end().ends_with([':', ']', '-', '|'])
        && before.contains(|c: char| c.is_ascii_digit())
        && !before.contains(['&', '<', '%']);
    if is_log { text.get(at..).unwrap_or(text) } else { text }
}
