//! What may be read from a challenge, and what may be repeated in its answer.

use crate::http::percent;
use crate::scheme::plain;

/// Maximum length in bytes of a text that an answer repeats. Microsoft's sentences have about 120.
const MAX_PRINTABLE_BYTES: usize = 512;

/// Maximum length of a challenge's body or query in bytes.
pub(super) const MAX_CHALLENGE_BYTES: usize = 4096;

/// Which texts an answer may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// Letters, digits, `_`, `-` and `.`: see [`plain`].
    Plain,
    /// Printable ASCII without the characters of markup.
    Printable,
}

impl Charset {
    /// The text as a string; `None` unless it may be repeated.
    pub(super) fn accept(self, text: &[u8]) -> Option<String> {
        let fits = match self {
            Self::Plain => plain::is_plain(text),
            Self::Printable => {
                let printable = |byte: &u8| {
                    (0x20..0x7f).contains(byte) && !matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'' | b'\\')
                };
                (1..=MAX_PRINTABLE_BYTES).contains(&text.len()) && text.iter().all(printable)
            }
        };
        fits.then(|| String::from_utf8_lossy(text).into_owned())
    }
}

/// The decoded value of a parameter of the query. `None` unless the query has it exactly once. Other parameters are passed
/// over: the operator may have registered the URL with some.
pub(super) fn parameter(query: &str, wanted: &str) -> Option<Vec<u8>> {
    if query.len() > MAX_CHALLENGE_BYTES {
        return None;
    }
    let mut found = None;
    for field in query.split('&') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        if percent::decode_form(name.as_bytes()) == wanted.as_bytes()
            && found.replace(percent::decode_form(value.as_bytes())).is_some()
        {
            return None;
        }
    }
    found
}
