//! Rewrites JSON text token by token: only white space, escapes and the order of keys change.
//!
//! A general parser is not suitable, because it also rewrites numbers (`1.0`, `1e5`, numbers of sixty digits) and
//! merges repeated keys. Here every token keeps its text unless a change is requested.

/// White space between tokens, as libraries write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whitespace {
    /// `{"a":1,"b":[2]}`: the default of JavaScript, Go, PHP and Ruby.
    Compact,
    /// `{"a": 1, "b": [2]}`: the default of Python.
    Spaced,
    /// One line for each value, indented by this number of spaces for each level.
    Indented(usize),
}

/// How characters in strings are escaped, as libraries write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// Unchanged.
    Kept,
    /// Non-ASCII characters as `\uXXXX`, `/` not escaped: Python, Paddle.
    Ascii,
    /// Non-ASCII characters as `\uXXXX`, and `/` as `\/`: PHP.
    AsciiAndSlash,
    /// Nothing that can be written without an escape is escaped: JavaScript, Ruby.
    Plain,
    /// As [`Escapes::Plain`], with `<`, `>` and `&` as `\u003c`: Go.
    Html,
}

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

/// Writes the value with this white space and these escapes.
pub(super) fn write(node: &JsonNode, space: Whitespace, escapes: Escapes) -> String {
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
        write_scalar(string, escapes, &mut out);
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

fn write_node(node: &JsonNode, space: Whitespace, escapes: Escapes, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        if let Whitespace::Indented(width) = space {
            out.push('\n');
            out.push_str(&" ".repeat(width * depth));
        }
    };
    let comma = match space {
        Whitespace::Spaced => ", ",
        Whitespace::Compact | Whitespace::Indented(_) => ",",
    };
    let colon = match space {
        Whitespace::Spaced | Whitespace::Indented(_) => ": ",
        Whitespace::Compact => ":",
    };
    let (open, close, count) = match node {
        JsonNode::Scalar(text) => return write_scalar(text, escapes, out),
        JsonNode::List(nodes) => ('[', ']', nodes.len()),
        JsonNode::Table(pairs) => ('{', '}', pairs.len()),
    };
    out.push(open);
    for at in 0..count {
        if at > 0 {
            out.push_str(comma);
        }
        line(depth + 1, out);
        match node {
            JsonNode::List(nodes) => {
                nodes
                    .get(at)
                    .into_iter()
                    .for_each(|node| write_node(node, space, escapes, depth + 1, out));
            }
            JsonNode::Table(pairs) => {
                if let Some((key, node)) = pairs.get(at) {
                    write_scalar(key, escapes, out);
                    out.push_str(colon);
                    write_node(node, space, escapes, depth + 1, out);
                }
            }
            JsonNode::Scalar(_) => {}
        }
    }
    if count > 0 {
        line(depth, out);
    }
    out.push(close);
}

/// Writes a scalar; strings get the requested escapes, with lower-case hexadecimal digits.
fn write_scalar(text: &str, escapes: Escapes, out: &mut String) {
    if escapes == Escapes::Kept || !text.starts_with('"') {
        return out.push_str(text);
    }
    let Ok(plain) = serde_json::from_str::<String>(text) else {
        // The string has a surrogate without its pair, which only this escape can represent.
        return out.push_str(text);
    };
    let ascii = matches!(escapes, Escapes::Ascii | Escapes::AsciiAndSlash);
    let Ok(written) = serde_json::to_string(&plain) else {
        return out.push_str(text);
    };
    for c in written.chars() {
        match c {
            '/' if escapes == Escapes::AsciiAndSlash => out.push_str("\\/"),
            '<' | '>' | '&' if escapes == Escapes::Html => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if ascii && !c.is_ascii() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = r#"{"b": 1.0, "a":[true,"J\u00f3sef \/ <é>"],
        "n":1e5, "e":{}, "l":[]}"#;

    #[test]
    fn white_space_and_escapes_of_each_language_are_written() {
        let node = parse(TEXT).unwrap();
        let compact = |escapes| write(&node, Whitespace::Compact, escapes);
        assert_eq!(
            compact(Escapes::Kept),
            r#"{"b":1.0,"a":[true,"J\u00f3sef \/ <é>"],"n":1e5,"e":{},"l":[]}"#
        );
        assert!(compact(Escapes::Plain).contains(r#""Jósef / <é>""#));
        assert!(compact(Escapes::Ascii).contains(r#""J\u00f3sef / <\u00e9>""#));
        assert!(compact(Escapes::AsciiAndSlash).contains(r#""J\u00f3sef \/ <\u00e9>""#));
        assert!(compact(Escapes::Html).contains(r#""Jósef / \u003cé\u003e""#));
        assert!(write(&node, Whitespace::Spaced, Escapes::Kept).starts_with(r#"{"b": 1.0, "a": [true, "#));
        assert_eq!(
            write(
                &parse(r#"{"a":[1,{}]}"#).unwrap(),
                Whitespace::Indented(2),
                Escapes::Kept
            ),
            "{\n  \"a\": [\n    1,\n    {}\n  ]\n}"
        );
        assert!(change_escapes(TEXT, Escapes::Ascii).starts_with(r#"{"b": 1.0, "a":[true,"J\u00f3sef / "#));
    }

    proptest! {
        /// JSON that is written again has the same values. Text that is not JSON causes no panic.
        #[test]
        fn rewritten_json_has_the_same_values(text in "[\\[\\]{}:,\"0-9a-z\\\\ ué🎉/]{0,40}", key in "\\PC{0,8}", value in "\\PC{0,8}") {
            let made = serde_json::json!({ key.clone(): [value, 1.5, null, { "x": key }] });
            for text in [text, made.to_string()] {
                let Ok(meant) = serde_json::from_str::<serde_json::Value>(&text) else {
                    let _ = parse(&text).map(|node| write(&node, Whitespace::Spaced, Escapes::Ascii));
                    let _ = change_escapes(&text, Escapes::Ascii);
                    continue;
                };
                // Both sides are compared after serde_json has merged repeated keys; the rewriting keeps them.
                for escapes in [Escapes::Kept, Escapes::Ascii, Escapes::AsciiAndSlash, Escapes::Plain, Escapes::Html] {
                    for space in [Whitespace::Compact, Whitespace::Spaced, Whitespace::Indented(2)] {
                        let written = write(&parse(&text).unwrap(), space, escapes);
                        prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&written).unwrap(), &meant);
                    }
                    let written = change_escapes(&text, escapes);
                    prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&written).unwrap(), &meant);
                }
            }
        }
    }
}
