//! The usual things that happen to a body between the wire and the code that verifies it, undone one at a time.
//!
//! Each cause is a pure function: it puts right what would be wrong, and says so only when the signature then fits. Where
//! that cannot be put right (a lost byte stays lost), the trace that it leaves is told as likely, not as certain.

use super::case::Case;
use super::finding::Finding;
use super::rewrite::{self, Escapes, Node, Space};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use hyper::header::CONTENT_ENCODING;
use std::io::Read;

const RAW: &str = "verify the bytes as they arrived, before anything parses them (Flask: request.get_data(), Express: express.raw(), Rails: request.raw_post, Next.js: await request.text())";

/// Most top-level keys whose orders are all tried: 720 of them.
const MOST_PERMUTED: usize = 6;

/// Inflated to at most this much.
const LARGEST: u64 = 64 << 20;

/// The body was parsed as JSON and written again.
pub(super) fn json_reserialised(case: &Case) -> Option<Finding> {
    let text = std::str::from_utf8(&case.body).ok()?.trim();
    let node = rewrite::read(text)?;
    let spelled = [
        (Escapes::Kept, ""),
        (Escapes::Ascii, "non-ASCII characters escaped as \\uXXXX"),
        (Escapes::AsciiAndSlash, "non-ASCII characters and slashes escaped"),
        (Escapes::Plain, "non-ASCII characters and slashes not escaped"),
        (Escapes::Html, "<, > and & escaped"),
    ];
    let spaced = [
        (Space::Compact, "compact"),
        (Space::Spaced, "with a space after each comma and colon"),
        (Space::Indented(2), "indented by two spaces"),
        (Space::Indented(4), "indented by four spaces"),
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
            format!("The JSON was parsed and written again: the signature fits the same values {how}{spelling}{end}."),
            RAW,
        ))
    };
    for (end, ending) in ends {
        for (escapes, spelling) in spelled {
            if case.fits_body(format!("{}{end}", rewrite::respell(text, escapes)).as_bytes()) {
                return found("with the same white space", spelling, ending);
            }
            for (space, how) in spaced {
                if case.fits_body(format!("{}{end}", rewrite::write(&node, space, escapes)).as_bytes()) {
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
                if case.fits_body(rewrite::write(&node, space, escapes).as_bytes()) {
                    return found(&format!("{order}, {how}"), spelling, "");
                }
            }
        }
    }
    None
}

/// Every order of the top level's keys, where there are few.
fn orders(node: &Node) -> Vec<(&'static str, Node)> {
    let Node::Table(pairs) = node else { return Vec::new() };
    if pairs.len() > MOST_PERMUTED {
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
    let table = |order: Vec<usize>| Node::Table(order.into_iter().filter_map(|at| pairs.get(at).cloned()).collect());
    all.into_iter()
        .map(|order| ("with keys in another order", table(order)))
        .collect()
}

fn sorted(node: &Node) -> Node {
    match node {
        Node::Scalar(text) => Node::Scalar(text.clone()),
        Node::List(nodes) => Node::List(nodes.iter().map(sorted).collect()),
        Node::Table(pairs) => {
            let mut pairs: Vec<_> = pairs.iter().map(|(key, node)| (key.clone(), sorted(node))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Node::Table(pairs)
        }
    }
}

/// Bytes were added at the end or taken off there.
pub(super) fn trailing_newline(case: &Case) -> Option<Finding> {
    let body = case.body.as_slice();
    let fix = "save the body without an editor (`--data-binary @file` with curl, `printf %s` in a shell), and do not trim it before verifying";
    let found = |what: &str| Some(Finding::certain("trailing_newline", what.to_owned(), fix));
    if case.announced.is_some_and(|announced| {
        body.get(..announced)
            .is_some_and(|start| announced < body.len() && case.fits_body(start))
    }) {
        return found("The body is longer than its Content-Length: what follows was not sent (an editor's newline?).");
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

/// Line ends were converted.
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

/// The body was decoded with one character set and encoded with another.
pub(super) fn charset(case: &Case) -> Option<Finding> {
    let fix = "read the body as bytes, never as text";
    let found = |what: &str| Some(Finding::certain("charset", what.to_owned(), fix));
    let body = case.body.as_slice();
    let marked = [&b"\xef\xbb\xbf"[..], body].concat();
    if body
        .strip_prefix(b"\xef\xbb\xbf")
        .is_some_and(|without| case.fits_body(without))
    {
        return found("A byte order mark was put before the body.");
    }
    if case.fits_body(&marked) {
        return found("The byte order mark before the body was taken off: it was signed.");
    }
    // Latin-1 has one byte for each of the first 256 characters.
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
            "The body holds the replacement character U+FFFD: bytes that were no UTF-8 were lost when it was read as text.".into(),
            fix,
        )
    })
}

/// The body was compressed or decompressed on its way.
pub(super) fn compression(case: &Case) -> Option<Finding> {
    let fix = "verify before anything decompresses (a proxy, a framework's middleware), or after it where the provider signs the plain bytes";
    let body = case.body.as_slice();
    let inflated = |mut reader: Box<dyn Read + '_>| {
        let mut plain = Vec::new();
        reader
            .as_mut()
            .take(LARGEST)
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
            "The request says that its body is compressed, and this one is plain text: it was decompressed, and the signature covers the compressed bytes.".into(),
            fix,
        )
    })
}

/// The head announces another length.
pub(super) fn length(case: &Case) -> Option<Finding> {
    let announced = case.announced.filter(|announced| *announced != case.body.len())?;
    let what = if case.body.is_empty() {
        format!(
            "There is no body here, and the request announced {announced} bytes (curl -v does not show it: give it with --body)."
        )
    } else {
        format!(
            "The body has {} bytes, and the request announced {announced}.",
            case.body.len()
        )
    };
    Some(Finding::likely("length", what, "save the whole body, as binary"))
}
