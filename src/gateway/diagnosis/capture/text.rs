//! Lines, character encodings and times of captures.

use crate::scheme;
use std::borrow::Cow;

/// The bytes in UTF-8 without a byte order mark. UTF-16 with a byte order mark, as PowerShell writes files, is converted.
pub(super) fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    let wide = |read: fn([u8; 2]) -> u16, rest: &[u8]| {
        let units = rest.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(read));
        let text: String = char::decode_utf16(units)
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        Cow::Owned(text.into_bytes())
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(rest),
        [0xff, 0xfe, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => wide(u16::from_be_bytes, rest),
        _ => Cow::Borrowed(bytes),
    }
}

/// The bytes as text without white space around it; `None` if they are not UTF-8.
pub(super) fn as_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().map(str::trim)
}

/// The lines without their line ends (CRLF or LF).
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The bytes before and after the first empty line; the second part is `None` if there is no empty line.
pub(super) fn split_at_empty_line(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = at + line.len();
        if line.trim_ascii().is_empty() && line.ends_with(b"\n") {
            return (bytes.get(..at).unwrap_or_default(), bytes.get(end..));
        }
        at = end;
    }
    (bytes, None)
}

/// Unix seconds of a time: RFC 3339 with any offset, `2026-01-02 03:04:05` in UTC, or Unix seconds or milliseconds.
#[must_use]
pub fn parse_time(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<u64>() {
        // Seconds have ten digits until the year 2286.
        return Some(if number > 99_999_999_999 { number / 1000 } else { number });
    }
    // Some tools write a space in place of the T, or leave the offset out.
    let text = text.replacen(' ', "T", 1);
    scheme::rfc3339(&text).or_else(|| scheme::rfc3339(&format!("{text}Z")))
}

/// Decodes a body in chunked transfer coding; `None` if the body is not in this coding.
pub(super) fn decode_chunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = rest.get(end + 1..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?;
        rest = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"))?;
    }
}
