//! Line ends and white space at the ends of a body.

use super::Variants;
use crate::gateway::diagnosis::case::Case;
use crate::gateway::diagnosis::finding::Change;

/// Adds the bodies with other line ends, and with more or less white space at the ends.
pub(super) fn add(case: &Case, body: &[u8], variants: &mut Variants) {
    trailing(case, body, variants);
    converted(body, variants);
}

fn trailing(case: &Case, body: &[u8], variants: &mut Variants) {
    const CAUSE: &str = "trailing_newline";
    const FIX: &str = "save the body without an editor (`--data-binary @file` with curl, `printf %s` in a shell), and do not trim it before verification";
    variants.tries(CAUSE);
    let mut add = |what: &str, body: Vec<u8>| {
        variants.add(|| Change::new(CAUSE, what, FIX), body);
    };
    if let Some(start) = case.declared_length.and_then(|declared| body.get(..declared)) {
        add(
            "The body is longer than its Content-Length: the rest was not sent (did an editor add a newline?).",
            start.to_vec(),
        );
    }
    for end in [&b"\n"[..], b"\r\n"] {
        if let Some(without) = body.strip_suffix(end) {
            add("The body ends with a newline that was not signed.", without.to_vec());
        }
        add(
            "The newline at the end of the body is missing: it was signed.",
            [body, end].concat(),
        );
    }
    if body.trim_ascii_end().len() < body.len() {
        add(
            "The body ends with white space that was not signed.",
            body.trim_ascii_end().to_vec(),
        );
    }
    if body.trim_ascii().len() < body.len() {
        add(
            "The body begins or ends with white space that was not signed.",
            body.trim_ascii().to_vec(),
        );
    }
    add(
        "A space at the end of the body is missing: it was signed.",
        [body, b" "].concat(),
    );
}

fn converted(body: &[u8], variants: &mut Variants) {
    const CAUSE: &str = "line_ends";
    const FIX: &str = "transfer the body as binary (no git autocrlf, no text mode, no copy and paste)";
    if !body.contains(&b'\n') && !body.contains(&b'\r') {
        return;
    }
    variants.tries(CAUSE);
    let mut unix = Vec::with_capacity(body.len());
    let mut rest = body.iter().peekable();
    while let Some(byte) = rest.next() {
        if *byte != b'\r' || rest.peek() != Some(&&b'\n') {
            unix.push(*byte);
        }
    }
    let windows = unix.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    let without: Vec<u8> = body
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'\n' | b'\r'))
        .collect();
    for (what, made) in [
        (
            "Line ends were converted to CRLF: the signature fits the body with LF.",
            unix,
        ),
        (
            "Line ends were converted to LF: the signature fits the body with CRLF.",
            windows,
        ),
        (
            "Lines were broken: the signature fits the body without line ends.",
            without,
        ),
    ] {
        variants.add(|| Change::new(CAUSE, what, FIX), made);
    }
}
