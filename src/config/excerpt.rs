//! The line of the file that has a fault, with a mark below the faulty part.
//!
//! A file may contain a secret at a wrong place, and logs keep what is printed. Therefore a value is shown only if its key
//! cannot hold a secret and the value does not look like one. Every other value is replaced by `…`.

use serde::Serialize;
use std::fmt::Write as _;
use std::ops::Range;

/// A line of the file, as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The line without its indentation, with hidden values as `…`.
    pub text: String,
    /// Characters of `text` before the faulty part.
    pub offset: usize,
    /// Length of the faulty part in characters, at least 1.
    pub width: usize,
}

/// Keys whose values are never secrets. URLs are not among them, because they can contain a password.
const SHOWN_KEYS: [&str; 52] = [
    "address",
    "admin",
    "algorithm",
    "allow",
    "audit",
    "backoff",
    "backoff_limit",
    "body_limit",
    "body_timeout",
    "capacity",
    "certificate",
    "challenge",
    "connect_timeout",
    "connections",
    "dedupe",
    "delay",
    "enabled",
    "encoding",
    "filter",
    "format",
    "grace",
    "handshake",
    "handshake_timeout",
    "head_bytes",
    "head_timeout",
    "headers_limit",
    "host",
    "http2_streams",
    "idle_connections",
    "idle_timeout",
    "in_flight_bytes",
    "interval",
    "listen",
    "max_connections",
    "methods",
    "mode",
    "on_duplicate",
    "on_missing_id",
    "on_replay",
    "path",
    "plaintext",
    "provider",
    "queue_limit",
    "queue_timeout",
    "readiness",
    "reject_status",
    "timeout",
    "tls_minimum",
    "tolerance",
    "trusted_proxies",
    "window",
    "workers",
];

/// Longest value that is shown, in characters.
const MAX_SHOWN: usize = 60;

/// Longest line that is shown, in characters.
const MAX_LINE: usize = 120;

impl Excerpt {
    /// The line of `text` that contains the start of `part`, and the part of it. `None` if the line is empty, or cannot be
    /// shown on one line of a terminal.
    pub(super) fn new(text: &str, part: Range<usize>) -> Option<Self> {
        let start = text.get(..part.start)?.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(start..)?.lines().next()?;
        let part = part.start - start..part.end.saturating_sub(start).min(line.len());
        let mut shown = String::new();
        let (mut offset, mut end) = (None, None);
        for (range, piece) in pieces(line) {
            if part.start >= range.start && part.start < range.end.max(range.start + 1) {
                // A hidden value is marked from its start.
                let is_whole = line.get(range.clone()) == Some(piece.as_str());
                let inside = if is_whole { part.start - range.start } else { 0 };
                offset = Some(shown.chars().count() + piece.get(..inside).map_or(0, |before| before.chars().count()));
            }
            let _ = shown.write_str(&piece);
            if end.is_none() && part.end <= range.end {
                let is_whole = line.get(range.clone()) == Some(piece.as_str());
                let after = if is_whole { range.end - part.end } else { 0 };
                end = Some(shown.chars().count().saturating_sub(after));
            }
        }
        let length = shown.chars().count();
        let offset = offset.unwrap_or(length);
        let indentation = shown.chars().take_while(|c| c.is_whitespace()).count().min(offset);
        let end = end.unwrap_or(length).clamp(offset, length);
        let is_printable = shown.chars().all(|c| c == '\t' || !c.is_control());
        (!shown.trim().is_empty() && length <= MAX_LINE && is_printable).then(|| Self {
            text: shown
                .chars()
                .skip(indentation)
                .collect::<String>()
                .replace('\t', " ")
                .trim_end()
                .to_owned(),
            offset: offset - indentation,
            width: (end - offset).max(1),
        })
    }

    /// Two lines: the line of the file with its number, and the mark.
    pub(super) fn lines(&self, number: usize) -> [String; 2] {
        let number = number.to_string();
        let margin = " ".repeat(number.len());
        let mark = format!("{}{}", " ".repeat(self.offset), "^".repeat(self.width));
        [format!("{number} | {}", self.text), format!("{margin} | {mark}")]
    }
}

/// The parts of a line with the text that is shown for each: keys and punctuation as they are, values as far as they may
/// be shown.
fn pieces(line: &str) -> Vec<(Range<usize>, String)> {
    let mut pieces = Vec::new();
    let mut key = String::new();
    let mut rest = 0;
    while let Some(text) = line.get(rest..).filter(|text| !text.is_empty()) {
        let length = token(text);
        let piece = text.get(..length).unwrap_or(text);
        let follows = text.get(length..).unwrap_or_default().trim_start();
        let shown = if piece.starts_with('#') {
            String::new()
        } else if follows.starts_with('=') && !piece.trim().is_empty() {
            piece
                .trim()
                .trim_matches(['"', '\''])
                .rsplit('.')
                .next()
                .unwrap_or_default()
                .clone_into(&mut key);
            piece.to_owned()
        } else if is_punctuation(piece)
            || (key.is_empty() && line.trim_start().starts_with('['))
            || may_be_shown(&key, piece)
        {
            piece.to_owned()
        } else {
            String::from("…")
        };
        pieces.push((rest..rest + piece.len(), shown));
        rest += piece.len();
    }
    pieces
}

/// The length of the token at the start of `text`: a quoted text, spaces, one sign of punctuation, or anything else.
fn token(text: &str) -> usize {
    let Some(first) = text.chars().next() else { return 0 };
    if first == '"' || first == '\'' {
        let mut is_escaped = false;
        for (at, c) in text.char_indices().skip(1) {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' if first == '"' => is_escaped = true,
                c if c == first => return at + 1,
                _ => {}
            }
        }
        return text.len();
    }
    if first == '#' {
        return text.len();
    }
    if first.is_whitespace() {
        return text.find(|c: char| !c.is_whitespace()).unwrap_or(text.len());
    }
    if is_sign(first) {
        return first.len_utf8();
    }
    text.find(|c: char| c.is_whitespace() || is_sign(c) || c == '"' || c == '\'' || c == '#')
        .unwrap_or(text.len())
}

const fn is_sign(c: char) -> bool {
    matches!(c, '=' | '[' | ']' | '{' | '}' | ',' | ':')
}

fn is_punctuation(piece: &str) -> bool {
    piece.chars().all(|c| is_sign(c) || c.is_whitespace())
}

/// Whether the value of a key may be shown.
fn may_be_shown(key: &str, value: &str) -> bool {
    let is_known = SHOWN_KEYS.contains(&key) || (key == "env" && is_variable(value));
    is_known && !looks_like_a_secret(value)
}

/// Whether a quoted text is written as names of variables are.
fn is_variable(piece: &str) -> bool {
    let name = piece.trim_matches(['"', '\'']);
    name.bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether a value is long, or mixes letters and digits in a long run as keys and tokens do.
fn looks_like_a_secret(value: &str) -> bool {
    let runs = value.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '+');
    let is_random = |run: &str| {
        run.len() >= 16 && run.bytes().any(|b| b.is_ascii_digit()) && run.bytes().any(|b| b.is_ascii_alphabetic())
    };
    value.chars().count() > MAX_SHOWN || value.contains('@') || runs.into_iter().any(is_random)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn marked(text: &str, part: &str) -> [String; 2] {
        let start = text.find(part).unwrap();
        Excerpt::new(text, start..start + part.len()).unwrap().lines(7)
    }

    #[test]
    fn the_faulty_part_is_marked() {
        let text = "a = 1\n  path = \"/a/../b\" # ours\n";
        assert_eq!(
            marked(text, "\"/a/../b\""),
            ["7 | path = \"/a/../b\"", "  |        ^^^^^^^^^"]
        );
        assert_eq!(
            marked("[limits]\nconections = 1", "conections"),
            ["7 | conections = …", "  | ^^^^^^^^^^"]
        );
        assert_eq!(marked("[[route]]\n", "[[route]]"), ["7 | [[route]]", "  | ^^^^^^^^^"]);
        assert_eq!(
            marked("dedupe = true", "true"),
            ["7 | dedupe = true", "  |          ^^^^"]
        );
    }

    /// A value is hidden where it may be a secret: at an unknown key, at a key of a secret, and wherever it looks like one.
    #[test]
    fn values_that_may_be_secret_are_hidden() {
        for text in [
            "secrets = [\"canary\"]",
            "secret = \"canary\"",
            "url = \"http://user:canary@host\"",
            "path = \"/a/canary0123456789abc\"",
            "provider = \"u@canary\"",
            "upstream = canary",
            "\"secrets\" = [{ env = \"A\" }, \"canary",
            "# canary",
            "headers = { X-A = \"canary\" }",
            "canary",
            ": canary",
        ] {
            let shown = Excerpt::new(text, 0..text.len()).map(|excerpt| excerpt.text);
            assert!(
                !shown.clone().unwrap_or_default().contains("canary"),
                "{text}: {shown:?}"
            );
        }
    }
}
