//! A request inside other text: behind a label or the prefix of a log line, in quotes, in JSON within JSON, or in XML.

use super::value::Value;
use super::{Capture, escapes, is_signature_header, notation, printed_body, raw, structured};

/// Largest number of places in the text where a value is parsed.
const MAX_PLACES: usize = 200;

/// Finds a request with a signature header; `None` if there is none.
pub(super) fn find(text: &str) -> Option<Capture> {
    quoted(text)
        .or_else(|| labelled(text))
        .or_else(|| printed(text))
        .or_else(|| xml(text))
}

/// Whether a header that carries a signature is there.
pub(super) fn has_signature(capture: &Capture) -> bool {
    capture.headers.keys().any(|name| is_signature_header(name.as_str()))
}

/// A raw request as a quoted string, as strace and structured logs show it.
fn quoted(text: &str) -> Option<Capture> {
    for method in ["\"POST ", "'POST ", "\"PUT ", "\"GET ", "'PUT ", "'GET "] {
        let Some((at, _)) = text.match_indices(method).next() else {
            continue;
        };
        let before_quote = text.get(..at).unwrap_or_default();
        let at = if before_quote.ends_with('b') { at - 1 } else { at };
        let (value, _) = notation::literal(text.get(at..)?)?;
        let bytes = match value {
            Value::Text(text) => text.into_bytes(),
            Value::Bytes(bytes) => bytes,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => continue,
        };
        if let Ok(capture) = raw::parse(&bytes)
            && has_signature(&capture)
        {
            return Some(capture);
        }
    }
    None
}

/// Header fields as quoted text behind the label `headers`, as in `headers="…" body="…"`.
fn labelled(text: &str) -> Option<Capture> {
    for (at, name) in text.match_indices("eaders").take(MAX_PLACES) {
        let rest = text.get(at + name.len()..)?.trim_start();
        let Some(value) = rest.strip_prefix(['=', ':']).map(str::trim_start) else {
            continue;
        };
        if value.starts_with(['"', '\''])
            && let Some((value, rest)) = notation::literal(value)
            && let Some(headers) = structured::headers(&value)
        {
            let mut capture = Capture::new("headers in a log", headers);
            if has_signature(&capture) {
                capture.body = printed_body::read(rest, true);
                return Some(capture);
            }
        }
    }
    None
}

/// A printed value somewhere in the text.
fn printed(text: &str) -> Option<Capture> {
    let mut at = 0;
    for _ in 0..MAX_PLACES {
        let rest = text.get(at..)?;
        let next = rest.find(['{', '[', '(', '<'])?;
        // The bracket may belong to a word that says how it is closed.
        let words = [
            "map",
            "Array\n",
            "Array\r\n",
            "Array ",
            "array",
            "array ",
            "<CIMultiDictProxy",
            "<CIMultiDict",
        ];
        let before = rest.get(..next).unwrap_or_default().trim_end_matches([' ', '\n', '\r']);
        let word = words
            .iter()
            .map(|word| word.trim_end())
            .find(|word| before.ends_with(word));
        let begin = word.map_or(next, |word| before.len() - word.len());
        let value = rest.get(begin..)?;
        match notation::parse(value) {
            Some((parsed, after)) => {
                if let Some(Ok(capture)) = structured::find(&parsed, after, None)
                    && has_signature(&capture)
                {
                    return Some(capture);
                }
                at = text.len() - after.len();
            }
            None => at += next + 1,
        }
    }
    None
}

/// A raw request in the XML of a proxy's "Save item".
fn xml(text: &str) -> Option<Capture> {
    let (_, rest) = text.split_once("<request base64=\"")?;
    let (is_base64, rest) = rest.split_once("\">")?;
    let inner = rest.split("</request>").next()?.trim();
    let inner = inner
        .strip_prefix("<![CDATA[")
        .and_then(|inner| inner.strip_suffix("]]>"))
        .unwrap_or(inner);
    let bytes = if is_base64 == "true" {
        escapes::base64(inner)?
    } else {
        inner.as_bytes().to_vec()
    };
    raw::parse(&bytes).ok().filter(has_signature)
}
