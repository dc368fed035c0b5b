//! Bodies in another encoding: Base64, strings and buffers of programming languages, character encodings, compression.

use super::Variants;
use crate::gateway::diagnosis::finding::Change;
use crate::gateway::diagnosis::frameworks::RAW_BODY;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use std::io::Read;

/// Largest size in bytes to which a body is decompressed (64 MiB).
const MAX_DECOMPRESSED_BYTES: u64 = 64 << 20;

/// Adds the decoded bodies.
pub(super) fn add(body: &[u8], variants: &mut Variants) {
    base64_body(body, variants);
    string_body(body, variants);
    escaped_text(body, variants);
    charset(body, variants);
    compression(body, variants);
}

/// The body is the Base64 or hexadecimal text of what was signed.
fn base64_body(body: &[u8], variants: &mut Variants) {
    const CAUSE: &str = "base64_body";
    let text = body.trim_ascii();
    let text = text
        .strip_prefix(b"\"")
        .and_then(|text| text.strip_suffix(b"\""))
        .unwrap_or(text);
    let text = text.strip_prefix(b"base64:").unwrap_or(text);
    variants.tries(CAUSE);
    let fix = "decode it first (AWS Lambda and API Gateway set isBase64Encoded)";
    let lines: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        if let Ok(decoded) = engine.decode(&lines) {
            let what = "The body is Base64: the signature fits what it decodes to.";
            variants.add(|| Change::new(CAUSE, what, fix), decoded);
        }
    }
    if let Ok(decoded) = hex::decode(text) {
        let what = "The body is in hexadecimal digits: the signature fits what they decode to.";
        variants.add(|| Change::new(CAUSE, what, fix), decoded);
    }
}

/// The body was saved as a string or a buffer of a programming language.
fn string_body(body: &[u8], variants: &mut Variants) {
    const CAUSE: &str = "string_body";
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let text = text.trim();
    variants.tries(CAUSE);
    let mut add = |what: &str, body: Vec<u8>| {
        variants.add(|| Change::new(CAUSE, what, RAW_BODY), body);
    };
    let json = "The body was saved as a JSON string: the signature fits the text in it.";
    if let Ok(inner) = serde_json::from_str::<String>(text) {
        if let Ok(twice) = serde_json::from_str::<String>(&inner) {
            add(
                "The body was saved as a JSON string twice: the signature fits the text in it.",
                twice.into_bytes(),
            );
        }
        add(json, inner.into_bytes());
    } else if text.contains("\\\"")
        && let Ok(inner) = serde_json::from_str::<String>(&format!("\"{text}\""))
    {
        add(
            "The body is the text of a JSON string without its quotes: the signature fits the unescaped text.",
            inner.into_bytes(),
        );
    }
    if let Some(bytes) = numbers(text) {
        add(
            "The body was saved as a list of numbers, one for each byte: the signature fits the bytes.",
            bytes,
        );
    }
    if let Some(bytes) = buffer(text) {
        add(
            "The body was saved as a Node buffer (`{\"type\":\"Buffer\"}`): the signature fits its bytes.",
            bytes,
        );
    }
    let python = text.strip_prefix('b').unwrap_or(text);
    for quote in ['\'', '"'] {
        let inner = python.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
        if let Some(inner) = inner {
            let unescaped = unescape(inner);
            if text.starts_with('b') {
                add(
                    "The body was saved as Python prints bytes (`b'…'`): the signature fits the bytes.",
                    unescaped,
                );
            } else {
                add(
                    "The body is in quotes: the signature fits the text in them.",
                    inner.as_bytes().to_vec(),
                );
                add(
                    "The body was saved as a quoted string: the signature fits the text in it.",
                    unescaped,
                );
            }
        }
    }
}

/// The bytes of `123,34,…`, `[123, 34, …]` or `{"0":123,"1":34,…}`, as arrays of bytes are printed.
fn numbers(text: &str) -> Option<Vec<u8>> {
    let inner = text.trim_matches(['[', ']', '{', '}', '(', ')']);
    let number = |item: &str| {
        let value = item.rsplit(':').next().unwrap_or(item).trim();
        // Java prints bytes with a sign.
        let signed: i16 = value.parse().ok()?;
        u8::try_from(if signed < 0 { signed + 256 } else { signed }).ok()
    };
    let bytes: Option<Vec<u8>> = inner.split(',').map(number).collect();
    bytes.filter(|bytes| bytes.len() > 1)
}

/// The bytes of `{"type":"Buffer","data":[…]}`.
fn buffer(text: &str) -> Option<Vec<u8>> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    (value.get("type")?.as_str()? == "Buffer").then_some(())?;
    let numbers = value.get("data")?.as_array()?;
    numbers
        .iter()
        .map(|number| u8::try_from(number.as_u64()?).ok())
        .collect()
}

/// Undoes the escapes that `repr` of Python and `inspect` of Ruby write.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((sign, after)) = rest.split_first() else {
            break;
        };
        rest = after;
        match (sign, after) {
            (b'n', _) => out.push(b'\n'),
            (b'r', _) => out.push(b'\r'),
            (b't', _) => out.push(b'\t'),
            (b'x', [high, low, tail @ ..]) => {
                out.extend(crate::http::percent::hex_pair(*high, *low));
                rest = tail;
            }
            (sign, _) => out.push(*sign),
        }
    }
    out
}

/// The text without the backslash before each sign.
fn unescaped_slashes(text: &str) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out.into_bytes()
}

/// The body was escaped for HTML or for a URL, or lost its backslashes.
fn escaped_text(body: &[u8], variants: &mut Variants) {
    const CAUSE: &str = "escaped_body";
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let mut add = |what: &str, body: Vec<u8>| {
        variants.tries(CAUSE);
        variants.add(|| Change::new(CAUSE, what, RAW_BODY), body);
    };
    if text.contains('&') && text.contains(';') {
        let pairs = [
            ("&quot;", "\""),
            ("&#34;", "\""),
            ("&#39;", "'"),
            ("&#039;", "'"),
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&amp;", "&"),
        ];
        let plain = pairs
            .iter()
            .fold(text.to_owned(), |text, (entity, sign)| text.replace(entity, sign));
        add(
            "The body was escaped for HTML: the signature fits the unescaped text.",
            plain.into_bytes(),
        );
    }
    if text.starts_with("%7B") || text.starts_with("%5B") || text.starts_with("%7b") || text.starts_with("%5b") {
        add(
            "The body is percent-encoded: the signature fits what it decodes to.",
            crate::http::percent::decode(body),
        );
        add(
            "The body is encoded as a form's value: the signature fits what it decodes to.",
            crate::http::percent::decode_form(body),
        );
    }
    if text.contains(['\u{201c}', '\u{201d}', '\u{a0}']) {
        let plain = text.replace(['\u{201c}', '\u{201d}'], "\"").replace('\u{a0}', " ");
        add(
            "A program for text replaced quotes or spaces: the signature fits the plain ones.",
            plain.into_bytes(),
        );
    }
    if text.contains("\\\"") && text.contains("\\'") && !text.starts_with('"') {
        add(
            "Backslashes were added before quotes and backslashes (addslashes of PHP): the signature fits the body without them.",
            unescaped_slashes(text),
        );
    }
    if text.contains("\\\"") && !text.starts_with('"') {
        add(
            "Backslashes were added before the quotes: the signature fits the body without them.",
            text.replace("\\\"", "\"").into_bytes(),
        );
    }
}

/// The body was decoded with one character encoding and encoded with another.
fn charset(body: &[u8], variants: &mut Variants) {
    const CAUSE: &str = "charset";
    const FIX: &str = "read the body as bytes, never as text";
    variants.tries(CAUSE);
    let mut add = |what: &str, body: Vec<u8>| {
        variants.add(|| Change::new(CAUSE, what, FIX), body);
    };
    match body.strip_prefix(b"\xef\xbb\xbf") {
        Some(without) => add("A byte order mark was added before the body.", without.to_vec()),
        None => add(
            "The byte order mark before the body was removed: it was signed.",
            [b"\xef\xbb\xbf", body].concat(),
        ),
    }
    if let [0xff, 0xfe, rest @ ..] = body {
        let units: Vec<u16> = rest
            .chunks_exact(2)
            .filter_map(|pair| pair.try_into().ok().map(u16::from_le_bytes))
            .collect();
        add(
            "The body was converted to UTF-16.",
            String::from_utf16_lossy(&units).into_bytes(),
        );
    }
    let text = std::str::from_utf8(body).ok();
    if !body.is_ascii() && text.is_none() {
        // In Latin-1, each byte is the code point of its character.
        let as_latin: String = body.iter().copied().map(char::from).collect();
        add(
            "The body is in Latin-1: the signature fits it in UTF-8.",
            as_latin.into_bytes(),
        );
        let as_windows: String = body.iter().copied().map(windows_1252).collect();
        add(
            "The body is in Windows-1252: the signature fits it in UTF-8.",
            as_windows.into_bytes(),
        );
    }
    let Some(text) = text else {
        return;
    };
    if !text.is_ascii() {
        let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        let windows: Option<Vec<u8>> = text.chars().map(to_windows_1252).collect();
        for (name, bytes) in [("Latin-1", latin), ("Windows-1252", windows)] {
            if let Some(bytes) = bytes {
                let what =
                    format!("UTF-8 was read as {name} and encoded again: the signature fits the body decoded once.");
                add(&what, bytes);
            }
        }
        let as_latin: String = body.iter().copied().map(char::from).collect();
        add(
            "The body is in UTF-8: the signature fits it encoded twice.",
            as_latin.into_bytes(),
        );
    }
    for (name, encode) in [
        ("UTF-16LE", u16::to_le_bytes as fn(u16) -> [u8; 2]),
        ("UTF-16BE", u16::to_be_bytes),
    ] {
        let wide: Vec<u8> = text.encode_utf16().flat_map(encode).collect();
        add(&format!("The body was converted from {name}."), wide);
    }
}

/// The characters of Windows-1252 from 0x80 to 0x9f; zero where there is none.
const WINDOWS_1252: [u16; 32] = [
    0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0, 0,
    0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
];

fn windows_1252(byte: u8) -> char {
    let mapped = byte
        .checked_sub(0x80)
        .and_then(|at| WINDOWS_1252.get(usize::from(at)))
        .filter(|unit| **unit != 0);
    mapped
        .and_then(|unit| char::from_u32(u32::from(*unit)))
        .unwrap_or(char::from(byte))
}

fn to_windows_1252(c: char) -> Option<u8> {
    let code = u32::from(c);
    let mapped = WINDOWS_1252
        .iter()
        .position(|unit| u32::from(*unit) == code && code != 0);
    match mapped {
        Some(at) => u8::try_from(at + 0x80).ok(),
        None => u8::try_from(code).ok(),
    }
}

/// The body was compressed after it was signed.
fn compression(body: &[u8], variants: &mut Variants) {
    const CAUSE: &str = "compression";
    const FIX: &str = "verify before a proxy or a framework decompresses the body, or afterwards if the provider signs the uncompressed bytes";
    variants.tries(CAUSE);
    let readers: [Box<dyn Read + '_>; 3] = [
        Box::new(GzDecoder::new(body)),
        Box::new(ZlibDecoder::new(body)),
        Box::new(DeflateDecoder::new(body)),
    ];
    for mut reader in readers {
        let mut plain = Vec::new();
        let read = reader.as_mut().take(MAX_DECOMPRESSED_BYTES).read_to_end(&mut plain);
        if read.is_ok() && !plain.is_empty() {
            let what = "The body is compressed: the signature fits what it decompresses to.";
            variants.add(|| Change::new(CAUSE, what, FIX), plain);
        }
    }
}
