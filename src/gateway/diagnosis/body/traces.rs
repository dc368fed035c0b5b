//! Traces of changes that cannot be undone, because bytes were lost.

use super::json_spelling::COMPACT;
use super::{json, json_text, json_values};
use crate::gateway::diagnosis::case::Case;
use crate::gateway::diagnosis::finding::{Change, Finding};
use crate::gateway::diagnosis::frameworks::RAW_BODY;
use crate::gateway::diagnosis::providers;
use hyper::header::CONTENT_ENCODING;

/// Likely causes that left a trace in the body, the most specific first.
pub(in crate::gateway::diagnosis) fn after_loss(case: &Case) -> Vec<Finding> {
    let mut found: Vec<Change> = Vec::new();
    found.extend(decompressed(case));
    let Ok(text) = std::str::from_utf8(&case.body) else {
        return found.into_iter().map(Change::likely).collect();
    };
    found.extend(hidden(case, text));
    found.extend(lost_characters(case, text));
    found.extend(cut(case, text));
    found.extend(fields(case, text));
    found.extend(reserialised(case, text));
    found.into_iter().map(Change::likely).collect()
}

/// Content-Length differs from the length of the body.
pub(in crate::gateway::diagnosis) fn length(case: &Case) -> Option<Finding> {
    let declared = case.declared_length.filter(|declared| *declared != case.body.len())?;
    let what = if case.body.is_empty() {
        format!(
            "The capture has no body, but Content-Length is {declared} bytes (curl -v does not show the body: give it with --body)."
        )
    } else {
        format!(
            "The body has {} bytes, but Content-Length is {declared}.",
            case.body.len()
        )
    };
    Some(Change::new("length", what, "save the whole body, as binary").likely())
}

fn decompressed(case: &Case) -> Option<Change> {
    let coding = case
        .headers
        .get(CONTENT_ENCODING)?
        .to_str()
        .ok()?
        .trim()
        .to_ascii_lowercase();
    let is_gzip = case.body.starts_with(b"\x1f\x8b");
    let is_plain = std::str::from_utf8(&case.body).is_ok();
    (coding != "identity" && !is_gzip && is_plain).then(|| {
        Change::new(
            "compression",
            "Content-Encoding names a compression, but the body is plain text: it was decompressed, and the signature covers the compressed bytes.",
            "verify before a proxy or a framework decompresses the body, or afterwards if the provider signs the uncompressed bytes",
        )
    })
}

/// The tool showed bytes as dots. A character beyond ASCII has at least two bytes.
fn hidden(case: &Case, text: &str) -> Option<Change> {
    (case.hides_bytes && text.contains("..")).then(|| {
        Change::new(
            "charset",
            "`--trace-ascii` of curl shows each byte beyond ASCII as a dot, and the body has dots in a row: its bytes may have been lost.",
            "save the request with `curl --trace FILE`, which shows each byte",
        )
    })
}

fn lost_characters(case: &Case, text: &str) -> Option<Change> {
    let fix = "read the body as bytes, never as text";
    if text.contains('\u{fffd}') {
        let what = "The body contains the replacement character U+FFFD: bytes that are not UTF-8 were lost when it was read as text.";
        return Some(Change::new("charset", what, fix));
    }
    // A question mark between letters, or several in a row, stands where a character was lost.
    let chars: Vec<char> = text.chars().collect();
    let is_word = |c: Option<&char>| c.is_some_and(|c| c.is_alphabetic() || *c == '?');
    let inside = chars
        .windows(3)
        .filter(|window| matches!(window, [before, '?', after] if is_word(Some(before)) && is_word(Some(after))))
        .count();
    let is_url = text.contains("://");
    let missing = case
        .declared_length
        .and_then(|declared| declared.checked_sub(case.body.len()));
    let marks = chars.iter().filter(|c| **c == '?').count();
    let fits = missing.is_some_and(|missing| missing >= 1 && missing <= 3 * marks);
    (marks > 0 && (fits || (inside > 0 && !is_url))).then(|| {
        let what = "The body has question marks inside of words: characters beyond ASCII were lost when it was converted to another encoding.";
        Change::new("charset", what, fix)
    })
}

/// The body ends before its JSON does.
fn cut(case: &Case, text: &str) -> Option<Change> {
    let trimmed = text.trim();
    let is_open = trimmed.starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(trimmed).is_err_and(|error| error.is_eof());
    is_open.then(|| {
        let declared = case.declared_length.filter(|declared| *declared > case.body.len());
        let how = declared.map_or_else(String::new, |declared| format!(" of {declared}"));
        let what = format!(
            "The body is cut off: its JSON is not complete after {}{how} bytes.",
            case.body.len()
        );
        Change::new(
            "body_cut",
            what,
            "save the whole body: logs and inspectors cut long ones off",
        )
    })
}

/// Fields that frameworks add, and what they may have lost.
fn fields(case: &Case, text: &str) -> Option<Change> {
    if !case.signs_fields || !text.contains('=') {
        return None;
    }
    let has_empty = text.split('&').any(|field| field.ends_with('='));
    let what = if has_empty {
        "All values of the form are signed as they were sent, with white space at their ends: a framework may have trimmed or changed one."
    } else {
        "The form has no empty field: a framework may have dropped empty fields or trimmed values, and all are signed as they were sent."
    };
    Some(Change::new(
        if has_empty {
            "values_trimmed"
        } else {
            "empty_fields_lost"
        },
        what,
        super::form_values::FIX,
    ))
}

/// The JSON is not written as the provider writes it.
fn reserialised(case: &Case, text: &str) -> Option<Change> {
    let trimmed = text.trim();
    let node = json_text::parse(trimmed)?;
    if matches!(node, json_text::JsonNode::Scalar(_)) {
        return None;
    }
    let spelling = providers::spelling(&case.provider);
    let is_compact = json_text::write(&node, COMPACT, None) == trimmed;
    let what = if json_values::are_sorted(&node) && !providers::sorts_keys(&case.provider) {
        "The keys of all objects are sorted: the JSON was parsed and serialised again, and the original order is lost."
    } else if spelling.is_compact == Some(true) && !is_compact {
        "The JSON has white space between its values, which this provider does not write: it was parsed and serialised again."
    } else if spelling.is_compact == Some(false) && is_compact {
        "The JSON has no white space between its values, although this provider writes some: it was parsed and serialised again."
    } else if spelling.is_ascii == Some(true) && !trimmed.is_ascii() {
        "The JSON has characters beyond ASCII, which this provider escapes: it was parsed and serialised again."
    } else if trimmed.contains("\"controller\":") && trimmed.contains("\"action\":") {
        "The JSON has the keys `controller` and `action`, which Rails adds: these are the parsed parameters, not the body."
    } else if case.body_was_parsed {
        "The capture contains the body as a parsed value: its bytes were lost when it was printed."
    } else {
        return None;
    };
    Some(Change::new(json::CAUSE, what, RAW_BODY))
}
