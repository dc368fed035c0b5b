//! The usual changes of a body between the network and the code that verifies it.
//!
//! Each cause is a pure function: it undoes one change, and is certain only if the signature then fits. A change that
//! cannot be undone (bytes were lost) is likely if it left a trace.

use super::case::Case;
use super::finding::Finding;
use super::json_text::{self, Escapes, JsonNode, Whitespace};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use hyper::header::CONTENT_ENCODING;
use std::io::Read;

/// The fix for a body that was parsed.
const FIX_RAW_BODY: &str = "verify the bytes as they arrived, before any code parses them (Flask: request.get_data(), Express: express.raw(), Rails: request.raw_post, Next.js: await request.text())";

/// Largest number of top-level keys for which all orders are tried: 6! = 720 orders.
const MAX_PERMUTED_KEYS: usize = 6;

/// Largest size in bytes to which a body is decompressed (64 MiB).
const MAX_DECOMPRESSED_BYTES: u64 = 64 << 20;

/// The body was parsed as JSON and serialised again.
pub(super) fn json_reserialised(case: &Case) -> Option<Finding> {
    let text = std::str::from_utf8(&case.body).ok()?.trim();
    let node = json_text::parse(text)?;
    let spelled = [
        (Escapes::Kept, ""),
        (Escapes::Ascii, "non-ASCII characters escaped as \\uXXXX"),
        (Escapes::AsciiAndSlash, "non-ASCII characters and slashes escaped"),
        (Escapes::Plain, "non-ASCII characters and slashes not escaped"),
        (Escapes::Html, "<, > and & escaped"),
    ];
    let spaced = [
        (Whitespace::Compact, "compact"),
        (Whitespace::Spaced, "with a space after each comma and colon"),
        (Whitespace::Indented(2), "indented by two spaces"),
        (Whitespace::Indented(4), "indented by four spaces"),
    ];
    let ends = [("", ""), ("\n", " and a newline at the end")];
    let found = |how: &str, spelling: &str, end: &str| {
        let spelling = if spelling.is_empty() {
            String::new()
        } else {
            format!(", {spelling}")
        };
        Some(Finding::certain(
            "json_reserialised",
            format!(
                "The JSON was parsed and serialised again: the signature fits the same values {how}{spelling}{end}."
            ),
            FIX_RAW_BODY,
        ))
    };
    for (end, ending) in ends {
        for (escapes, spelling) in spelled {
            if case.fits_body(format!("{}{end}", json_text::change_escapes(text, escapes)).as_bytes()) {
                return found("with the same white space", spelling, ending);
            }
            for (space, how) in spaced {
                if case.fits_body(format!("{}{end}", json_text::write(&node, space, escapes)).as_bytes()) {
                    return found(how, spelling, ending);
                }
            }
        }
    }
    let mut orders = orders(&node);
    orders.push(("with keys sorted", sorted(&node)));
    for (order, node) in orders {
        for (escapes, spelling) in spelled {
            for (space, how) in spaced.into_iter().take(2) {
                if case.fits_body(json_text::write(&node, space, escapes).as_bytes()) {
                    return found(&format!("{order}, {how}"), spelling, "");
                }
            }
        }
    }
    None
}

/// All orders of the top-level keys, if there are at most [`MAX_PERMUTED_KEYS`].
fn orders(node: &JsonNode) -> Vec<(&'static str, JsonNode)> {
    let JsonNode::Table(pairs) = node else {
        return Vec::new();
    };
    if pairs.len() > MAX_PERMUTED_KEYS {
        return Vec::new();
    }
    let mut all = vec![Vec::new()];
    for _ in 0..pairs.len() {
        all = all
            .into_iter()
            .flat_map(|chosen: Vec<usize>| {
                (0..pairs.len())
                    .filter(|next| !chosen.contains(next))
                    .map(|next| [chosen.as_slice(), &[next]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    let table =
        |order: Vec<usize>| JsonNode::Table(order.into_iter().filter_map(|at| pairs.get(at).cloned()).collect());
    all.into_iter()
        .map(|order| ("with keys in another order", table(order)))
        .collect()
}

/// The same values with the keys of every object sorted by their bytes.
fn sorted(node: &JsonNode) -> JsonNode {
    match node {
        JsonNode::Scalar(text) => JsonNode::Scalar(text.clone()),
        JsonNode::List(nodes) => JsonNode::List(nodes.iter().map(sorted).collect()),
        JsonNode::Table(pairs) => {
            let mut pairs: Vec<_> = pairs.iter().map(|(key, node)| (key.clone(), sorted(node))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            JsonNode::Table(pairs)
        }
    }
}

/// White space was added or removed at the end.
pub(super) fn trailing_newline(case: &Case) -> Option<Finding> {
    let body = case.body.as_slice();
    let fix = "save the body without an editor (`--data-binary @file` with curl, `printf %s` in a shell), and do not trim it before verification";
    let found = |what: &str| Some(Finding::certain("trailing_newline", what.to_owned(), fix));
    if case.declared_length.is_some_and(|declared| {
        body.get(..declared)
            .is_some_and(|start| declared < body.len() && case.fits_body(start))
    }) {
        return found(
            "The body is longer than its Content-Length: the rest was not sent (did an editor add a newline?).",
        );
    }
    for end in [&b"\n"[..], b"\r\n"] {
        if let Some(without) = body.strip_suffix(end)
            && case.fits_body(without)
        {
            return found("The body ends with a newline that was not signed.");
        }
        if case.fits_body(&[body, end].concat()) {
            return found("The newline at the end of the body is missing: it was signed.");
        }
    }
    if body.trim_ascii_end().len() < body.len() && case.fits_body(body.trim_ascii_end()) {
        return found("The body ends with white space that was not signed.");
    }
    None
}

/// Line ends were converted between LF and CRLF.
pub(super) fn line_ends(case: &Case) -> Option<Finding> {
    let body = case.body.as_slice();
    let mut unix = Vec::with_capacity(body.len());
    let mut rest = body.iter().peekable();
    while let Some(byte) = rest.next() {
        if *byte != b'\r' || rest.peek() != Some(&&b'\n') {
            unix.push(*byte);
        }
    }
    let windows = unix.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    let fix = "transfer the body as binary (no git autocrlf, no text mode, no copy and paste)";
    let found = |what: &str| Some(Finding::certain("line_ends", what.to_owned(), fix));
    if unix != body && case.fits_body(&unix) {
        return found("Line ends were converted to CRLF: the signature fits the body with LF.");
    }
    if windows != body && case.fits_body(&windows) {
        return found("Line ends were converted to LF: the signature fits the body with CRLF.");
    }
    None
}

/// The body is the Base64 of what was signed.
pub(super) fn base64_body(case: &Case) -> Option<Finding> {
    let text = case.body.trim_ascii();
    let text = text
        .strip_prefix(b"\"")
        .and_then(|text| text.strip_suffix(b"\""))
        .unwrap_or(text);
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .filter_map(|engine| engine.decode(text).ok())
        .any(|body| case.fits_body(&body))
        .then(|| {
            Finding::certain(
                "base64_body",
                "The body is Base64: the signature fits what it decodes to.".into(),
                "decode it first (AWS Lambda and API Gateway set isBase64Encoded)",
            )
        })
}

/// The body was decoded with one character encoding and encoded with another.
pub(super) fn charset(case: &Case) -> Option<Finding> {
    let fix = "read the body as bytes, never as text";
    let found = |what: &str| Some(Finding::certain("charset", what.to_owned(), fix));
    let body = case.body.as_slice();
    let with_mark = [&b"\xef\xbb\xbf"[..], body].concat();
    if body
        .strip_prefix(b"\xef\xbb\xbf")
        .is_some_and(|without| case.fits_body(without))
    {
        return found("A byte order mark was added before the body.");
    }
    if case.fits_body(&with_mark) {
        return found("The byte order mark before the body was removed: it was signed.");
    }
    // In Latin-1, each byte is the code point of its character.
    let as_latin: String = body.iter().copied().map(char::from).collect();
    if !body.is_ascii() && case.fits_body(as_latin.as_bytes()) {
        return found("The body is in Latin-1: the signature fits it in UTF-8.");
    }
    let text = std::str::from_utf8(body).ok()?;
    let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    if !body.is_ascii() && latin.is_some_and(|latin| case.fits_body(&latin)) {
        return found("UTF-8 was read as Latin-1 and encoded again: the signature fits the body decoded once.");
    }
    for (name, encode) in [
        ("UTF-16LE", u16::to_le_bytes as fn(u16) -> [u8; 2]),
        ("UTF-16BE", u16::to_be_bytes),
    ] {
        let wide: Vec<u8> = text.encode_utf16().flat_map(encode).collect();
        if case.fits_body(&wide) {
            return found(&format!("The body was converted from {name}."));
        }
    }
    text.contains('\u{fffd}').then(|| {
        Finding::likely(
            "charset",
            "The body contains the replacement character U+FFFD: bytes that are not UTF-8 were lost when it was read as text.".into(),
            fix,
        )
    })
}

/// The body was compressed or decompressed after it was signed.
pub(super) fn compression(case: &Case) -> Option<Finding> {
    let fix = "verify before a proxy or a framework decompresses the body, or afterwards if the provider signs the uncompressed bytes";
    let body = case.body.as_slice();
    let inflated = |mut reader: Box<dyn Read + '_>| {
        let mut plain = Vec::new();
        reader
            .as_mut()
            .take(MAX_DECOMPRESSED_BYTES)
            .read_to_end(&mut plain)
            .ok()
            .map(|_| plain)
    };
    let readers: [Box<dyn Read + '_>; 3] = [
        Box::new(GzDecoder::new(body)),
        Box::new(ZlibDecoder::new(body)),
        Box::new(DeflateDecoder::new(body)),
    ];
    if readers
        .into_iter()
        .filter_map(inflated)
        .any(|plain| case.fits_body(&plain))
    {
        return Some(Finding::certain(
            "compression",
            "The body is compressed: the signature fits what it decompresses to.".into(),
            fix,
        ));
    }
    let coding = case
        .headers
        .get(CONTENT_ENCODING)?
        .to_str()
        .ok()?
        .trim()
        .to_ascii_lowercase();
    let is_gzip = body.starts_with(b"\x1f\x8b");
    let is_plain = std::str::from_utf8(body).is_ok();
    (coding != "identity" && !is_gzip && is_plain).then(|| {
        Finding::likely(
            "compression",
            "Content-Encoding names a compression, but the body is plain text: it was decompressed, and the signature covers the compressed bytes.".into(),
            fix,
        )
    })
}

/// Content-Length differs from the length of the body.
pub(super) fn length(case: &Case) -> Option<Finding> {
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
    Some(Finding::likely("length", what, "save the whole body, as binary"))
}
