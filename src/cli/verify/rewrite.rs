//! JSON written another way, token by token: spaces, escapes and the order of keys change, and nothing else does.
//!
//! A general parser would not do, because it also rewrites numbers (`1.0`, `1e5`, sixty digits) and merges repeated keys;
//! here every token that is not asked for stays as it stands.

/// White space between tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// `{"a":1,"b":[2]}`: JavaScript, Go, PHP, Ruby.
    Compact,
    /// `{"a": 1, "b": [2]}`: Python.
    Spaced,
    /// A line for each value, this much deeper on each level.
    Indented(usize),
}

/// Characters that may be written in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// As they stand.
    Kept,
    /// Non-ASCII as `\uXXXX`, `/` plain: Python, Paddle.
    Ascii,
    /// Non-ASCII as `\uXXXX`, and `/` as `\/`: PHP.
    AsciiAndSlash,
    /// Non-ASCII as it is, `/` plain: JavaScript, Ruby.
    Plain,
    /// As [`Escapes::Plain`], with `<`, `>` and `&` as `\u003c`: Go.
    Html,
}

/// A node of the text; every scalar as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Scalar(String),
    List(Vec<Node>),
    /// Keys with their quotes.
    Table(Vec<(String, Node)>),
}

/// Reads JSON; `None` when it is none, or nested deeper than [`DEEPEST`].
pub(super) fn read(text: &str) -> Option<Node> {
    let mut reader = Reader { rest: text };
    let node = reader.node(0)?;
    reader.skip();
    reader.rest.is_empty().then_some(node)
}

/// Writes it again.
pub(super) fn write(node: &Node, space: Space, escapes: Escapes) -> String {
    let mut out = String::new();
    put(node, space, escapes, 0, &mut out);
    out
}

/// The same text with other escapes, every space left where it is.
pub(super) fn respell(text: &str, escapes: Escapes) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some((string, after)) = string(from) else { break };
        scalar(string, escapes, &mut out);
        rest = after;
    }
    out.push_str(rest);
    out
}

const DEEPEST: usize = 64;

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn take(&mut self, sign: char) -> bool {
        self.skip();
        let taken = self.rest.strip_prefix(sign);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    fn string(&mut self) -> Option<String> {
        self.skip();
        let (string, rest) = string(self.rest)?;
        self.rest = rest;
        Some(string.to_owned())
    }

    fn node(&mut self, depth: usize) -> Option<Node> {
        if depth > DEEPEST {
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
            return Some(Node::Table(pairs));
        }
        if self.take('[') {
            let mut nodes = Vec::new();
            while !self.take(']') {
                if !nodes.is_empty() && !self.take(',') {
                    return None;
                }
                nodes.push(self.node(depth + 1)?);
            }
            return Some(Node::List(nodes));
        }
        if let Some(string) = self.string() {
            return Some(Node::Scalar(string));
        }
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'));
        let (scalar, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!scalar.is_empty()).then(|| Node::Scalar(scalar.to_owned()))
    }
}

/// The string with its quotes that a text begins with, and what follows it.
fn string(text: &str) -> Option<(&str, &str)> {
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

fn put(node: &Node, space: Space, escapes: Escapes, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        if let Space::Indented(width) = space {
            out.push('\n');
            out.push_str(&" ".repeat(width * depth));
        }
    };
    let comma = match space {
        Space::Spaced => ", ",
        Space::Compact | Space::Indented(_) => ",",
    };
    let colon = match space {
        Space::Spaced | Space::Indented(_) => ": ",
        Space::Compact => ":",
    };
    let (open, close, count) = match node {
        Node::Scalar(text) => return scalar(text, escapes, out),
        Node::List(nodes) => ('[', ']', nodes.len()),
        Node::Table(pairs) => ('{', '}', pairs.len()),
    };
    out.push(open);
    for at in 0..count {
        if at > 0 {
            out.push_str(comma);
        }
        line(depth + 1, out);
        match node {
            Node::List(nodes) => {
                nodes
                    .get(at)
                    .into_iter()
                    .for_each(|node| put(node, space, escapes, depth + 1, out));
            }
            Node::Table(pairs) => {
                if let Some((key, node)) = pairs.get(at) {
                    scalar(key, escapes, out);
                    out.push_str(colon);
                    put(node, space, escapes, depth + 1, out);
                }
            }
            Node::Scalar(_) => {}
        }
    }
    if count > 0 {
        line(depth, out);
    }
    out.push(close);
}

/// A token; strings are spelled as asked for, with lower-case hexadecimal digits.
fn scalar(text: &str, escapes: Escapes, out: &mut String) {
    if escapes == Escapes::Kept || !text.starts_with('"') {
        return out.push_str(text);
    }
    let Ok(plain) = serde_json::from_str::<String>(text) else {
        // A lone surrogate, which no other spelling can hold.
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
    fn as_the_languages_write_it() {
        let node = read(TEXT).unwrap();
        let compact = |escapes| write(&node, Space::Compact, escapes);
        assert_eq!(
            compact(Escapes::Kept),
            r#"{"b":1.0,"a":[true,"J\u00f3sef \/ <é>"],"n":1e5,"e":{},"l":[]}"#
        );
        assert!(compact(Escapes::Plain).contains(r#""Jósef / <é>""#));
        assert!(compact(Escapes::Ascii).contains(r#""J\u00f3sef / <\u00e9>""#));
        assert!(compact(Escapes::AsciiAndSlash).contains(r#""J\u00f3sef \/ <\u00e9>""#));
        assert!(compact(Escapes::Html).contains(r#""Jósef / \u003cé\u003e""#));
        assert!(write(&node, Space::Spaced, Escapes::Kept).starts_with(r#"{"b": 1.0, "a": [true, "#));
        assert_eq!(
            write(&read(r#"{"a":[1,{}]}"#).unwrap(), Space::Indented(2), Escapes::Kept),
            "{\n  \"a\": [\n    1,\n    {}\n  ]\n}"
        );
        assert!(respell(TEXT, Escapes::Ascii).starts_with(r#"{"b": 1.0, "a":[true,"J\u00f3sef / "#));
    }

    proptest! {
        /// What is written again means the same, and what cannot be read is not invented.
        #[test]
        fn the_meaning_stays(text in "[\\[\\]{}:,\"0-9a-z\\\\ ué🎉/]{0,40}", key in "\\PC{0,8}", value in "\\PC{0,8}") {
            let made = serde_json::json!({ key.clone(): [value, 1.5, null, { "x": key }] });
            for text in [text, made.to_string()] {
                let Ok(meant) = serde_json::from_str::<serde_json::Value>(&text) else {
                    let _ = read(&text).map(|node| write(&node, Space::Spaced, Escapes::Ascii));
                    let _ = respell(&text, Escapes::Ascii);
                    continue;
                };
                // serde_json merges repeated keys, which the rewriting does not.
                for escapes in [Escapes::Kept, Escapes::Ascii, Escapes::AsciiAndSlash, Escapes::Plain, Escapes::Html] {
                    for space in [Space::Compact, Space::Spaced, Space::Indented(2)] {
                        let written = write(&read(&text).unwrap(), space, escapes);
                        prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&written).unwrap(), &meant);
                    }
                    let written = respell(&text, escapes);
                    prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&written).unwrap(), &meant);
                }
            }
        }
    }
}
