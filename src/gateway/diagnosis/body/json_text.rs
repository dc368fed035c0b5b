//! JSON as text: parses it without changing a token, and writes it as libraries and providers do.
//!
//! A general parser is not suitable, because it also rewrites numbers (`1.0`, `1e5`, numbers of sixty digits) and
//! merges repeated keys. Here every token keeps its text unless a change is requested.

use super::json_spelling::{Escapes, NonAscii, Whitespace};
use std::fmt::Write as _;

/// A value of the text; each scalar keeps its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JsonNode {
    Scalar(String),
    List(Vec<JsonNode>),
    /// Pairs of key and value; the keys include their quotes.
    Table(Vec<(String, JsonNode)>),
}

/// Parses JSON; `None` if the text is not JSON or is nested deeper than [`MAX_DEPTH`].
pub(super) fn parse(text: &str) -> Option<JsonNode> {
    let mut parser = Parser { rest: text };
    let node = parser.node(0)?;
    parser.skip_whitespace();
    parser.rest.is_empty().then_some(node)
}

/// Writes the value with this white space and these escapes; `None` keeps the escapes.
pub(super) fn write(node: &JsonNode, space: Whitespace, escapes: Option<Escapes>) -> String {
    let mut out = String::new();
    write_node(node, space, escapes, 0, &mut out);
    out
}

/// Changes the escapes and keeps all white space.
pub(super) fn change_escapes(text: &str, escapes: Escapes) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some((string, after)) = split_string(from) else {
            break;
        };
        write_scalar(string, Some(escapes), &mut out);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Largest nesting of arrays and objects.
const MAX_DEPTH: usize = 64;

/// A parser and the text that it has not read yet.
struct Parser<'t> {
    rest: &'t str,
}

impl Parser<'_> {
    fn skip_whitespace(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    /// Skips white space, and then this character if it follows.
    fn take(&mut self, character: char) -> bool {
        self.skip_whitespace();
        let taken = self.rest.strip_prefix(character);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    fn string(&mut self) -> Option<String> {
        self.skip_whitespace();
        let (string, rest) = split_string(self.rest)?;
        self.rest = rest;
        Some(string.to_owned())
    }

    fn node(&mut self, depth: usize) -> Option<JsonNode> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.take('{') {
            let mut pairs = Vec::new();
            while !self.take('}') {
                if !pairs.is_empty() && !self.take(',') {
                    return None;
                }
                let key = self.string()?;
                if !self.take(':') {
                    return None;
                }
                pairs.push((key, self.node(depth + 1)?));
            }
            return Some(JsonNode::Table(pairs));
        }
        if self.take('[') {
            let mut nodes = Vec::new();
            while !self.take(']') {
                if !nodes.is_empty() && !self.take(',') {
                    return None;
                }
                nodes.push(self.node(depth + 1)?);
            }
            return Some(JsonNode::List(nodes));
        }
        if let Some(string) = self.string() {
            return Some(JsonNode::Scalar(string));
        }
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'));
        let (scalar, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!scalar.is_empty()).then(|| JsonNode::Scalar(scalar.to_owned()))
    }
}

/// Splits off the string, with its quotes, at the beginning of the text. `None` if the text does not begin with a
/// complete string.
fn split_string(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if at == 0 => {}
            _ if at == 0 => return None,
            '"' if !escaped => return text.split_at_checked(at + 1),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    None
}

fn write_node(node: &JsonNode, space: Whitespace, escapes: Option<Escapes>, depth: usize, out: &mut String) {
    let (open, close, count) = match node {
        JsonNode::Scalar(text) => return write_scalar(text, escapes, out),
        JsonNode::List(nodes) => ('[', ']', nodes.len()),
        JsonNode::Table(pairs) => ('{', '}', pairs.len()),
    };
    let is_inline = space.inline_lists && matches!(node, JsonNode::List(_));
    let line = |depth: usize, out: &mut String| match space.indent {
        Some(_) if is_inline => out.push(' '),
        Some(indent) => {
            out.push_str(space.newline);
            (0..depth).for_each(|_| out.push_str(indent));
        }
        None => {}
    };
    // Inside of an inline list the level does not grow.
    let depth = if is_inline { depth.saturating_sub(1) } else { depth };
    out.push(open);
    let element = |at: usize, out: &mut String| {
        if at > 0 {
            out.push_str(space.comma);
        }
        line(depth + 1, out);
    };
    match node {
        JsonNode::Scalar(_) => {}
        JsonNode::List(nodes) => {
            for (at, node) in nodes.iter().enumerate() {
                element(at, out);
                write_node(node, space, escapes, depth + 1, out);
            }
        }
        JsonNode::Table(pairs) => {
            for (at, (key, node)) in pairs.iter().enumerate() {
                element(at, out);
                write_scalar(key, escapes, out);
                out.push_str(space.colon);
                write_node(node, space, escapes, depth + 1, out);
            }
        }
    }
    if count > 0 {
        line(depth, out);
    }
    out.push(close);
}

/// Writes a scalar; strings get the requested escapes.
fn write_scalar(text: &str, escapes: Option<Escapes>, out: &mut String) {
    let Some(escapes) = escapes.filter(|_| text.starts_with('"')) else {
        return out.push_str(text);
    };
    let Ok(plain) = serde_json::from_str::<String>(text) else {
        // The string has a surrogate without its pair, which only this escape can represent.
        return out.push_str(text);
    };
    out.push('"');
    for c in plain.chars() {
        let is_escaped = match escapes.non_ascii {
            _ if c.is_ascii() => escapes.ascii.contains(c),
            // Libraries that make HTML safe also escape these two line separators.
            NonAscii::Kept => !escapes.ascii.is_empty() && matches!(c, '\u{2028}' | '\u{2029}'),
            NonAscii::Lower | NonAscii::Upper => true,
            NonAscii::AstralLower | NonAscii::AstralUpper => u32::from(c) > 0xffff,
        };
        let is_upper = match escapes.non_ascii {
            _ if c.is_ascii() => escapes.upper,
            NonAscii::Upper | NonAscii::AstralUpper => true,
            NonAscii::Kept | NonAscii::Lower | NonAscii::AstralLower => false,
        };
        match c {
            _ if is_escaped => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = if is_upper {
                        write!(out, "\\u{unit:04X}")
                    } else {
                        write!(out, "\\u{unit:04x}")
                    };
                }
            }
            '/' if escapes.slash => out.push_str("\\/"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::super::json_spelling::{COMPACT, ESCAPES, WHITESPACES};
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = r#"{"b": 1.0, "a":[true,"J\u00f3sef \/ <é>"],
        "n":1e5, "e":{}, "l":[]}"#;

    fn named(words: &str) -> Option<Escapes> {
        Some(*ESCAPES.iter().find(|escapes| escapes.name == words).unwrap())
    }

    #[test]
    fn white_space_and_escapes_of_each_language_are_written() {
        let node = parse(TEXT).unwrap();
        let compact = |escapes| write(&node, COMPACT, escapes);
        assert_eq!(
            compact(None),
            r#"{"b":1.0,"a":[true,"J\u00f3sef \/ <é>"],"n":1e5,"e":{},"l":[]}"#
        );
        assert!(compact(named("non-ASCII characters and slashes not escaped")).contains(r#""Jósef / <é>""#));
        assert!(compact(Some(ESCAPES[0])).contains(r#""J\u00f3sef / <\u00e9>""#));
        assert!(compact(Some(ESCAPES[1])).contains(r#""J\u00f3sef \/ <\u00e9>""#));
        assert!(compact(named("<, > and & escaped")).contains(r#""Jósef / \u003cé\u003e""#));
        assert!(compact(named("escaped as .NET does by default")).contains(r#""J\u00F3sef / \u003C\u00E9\u003E""#));
        assert!(write(&node, WHITESPACES[1], None).starts_with(r#"{"b": 1.0, "a": [true, "#));
        let small = parse(r#"{"a":[1,{}]}"#).unwrap();
        assert_eq!(
            write(&small, WHITESPACES[2], None),
            "{\n  \"a\": [\n    1,\n    {}\n  ]\n}"
        );
        // The default printer of Jackson.
        assert_eq!(write(&small, WHITESPACES[10], None), "{\n  \"a\" : [ 1, {} ]\n}");
        assert!(change_escapes(TEXT, ESCAPES[0]).starts_with(r#"{"b": 1.0, "a":[true,"J\u00f3sef / "#));
    }

    proptest! {
        /// JSON that is written again has the same values. Text that is not JSON causes no panic.
        #[test]
        fn rewritten_json_has_the_same_values(text in "[\\[\\]{}:,\"0-9a-z\\\\ ué🎉/]{0,40}", key in "\\PC{0,8}", value in "\\PC{0,8}") {
            let made = serde_json::json!({ key.clone(): [value, 1.5, null, { "x": key }] });
            for text in [text, made.to_string()] {
                let Ok(meant) = serde_json::from_str::<serde_json::Value>(&text) else {
                    let _ = parse(&text).map(|node| write(&node, WHITESPACES[1], Some(ESCAPES[0])));
                    let _ = change_escapes(&text, ESCAPES[0]);
                    continue;
                };
                // Both sides are compared after serde_json has merged repeated keys; the rewriting keeps them.
                for escapes in ESCAPES {
                    for space in WHITESPACES {
                        let written = write(&parse(&text).unwrap(), space, Some(escapes));
                        prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&written).unwrap(), &meant);
                    }
                    let written = change_escapes(&text, escapes);
                    prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&written).unwrap(), &meant);
                }
            }
        }
    }
}
