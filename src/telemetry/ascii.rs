//! Writes text and numbers of audit lines and logs as plain ASCII, into a buffer that grows.
//!
//! JSON allows DEL, the C1 controls (escape sequences of terminals in one code point) and the Unicode line separators
//! without an escape; a log that people read in a terminal must escape them. Therefore every character outside of
//! printable ASCII is escaped.

use std::time::{Duration, SystemTime};

/// 9999-12-31T23:59:59Z, where RFC 3339 ends.
const LAST_SECOND: u64 = 253_402_300_799;

/// The Unix second that was formatted last, and its text up to the second.
#[derive(Debug, Default)]
pub(super) struct DateText {
    second: u64,
    text: String,
}

impl DateText {
    /// Appends the time in RFC 3339 with milliseconds.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, unix_ms: u64) {
        let second = (unix_ms / 1000).min(LAST_SECOND);
        if self.text.is_empty() || self.second != second {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            self.text = humantime::format_rfc3339_seconds(time).to_string();
            self.text.truncate("2022-12-20T16:12:57".len());
            self.second = second;
        }
        out.extend_from_slice(self.text.as_bytes());
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(1000 + unix_ms % 1000).as_bytes();
        out.push(b'.');
        out.extend_from_slice(digits.get(1..).unwrap_or_default());
        out.push(b'Z');
    }
}

/// A time in RFC 3339 with milliseconds, from Unix milliseconds.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let mut out = Vec::new();
    DateText::default().write(&mut out, unix_ms);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends `text` as a JSON string with its quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escaped(out, text);
    out.push(b'"');
}

/// Appends `text` as the content of a JSON string: printable ASCII without a bare quote.
pub(super) fn escaped(out: &mut Vec<u8>, text: &str) {
    // Most text needs no escape and is copied at once.
    if text.bytes().all(is_plain) {
        return out.extend_from_slice(text.as_bytes());
    }
    for c in text.chars() {
        escaped_char(out, c);
    }
}

/// Appends one character as it stands in a JSON string.
pub(super) fn escaped_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        ' '..='~' => out.extend(u8::try_from(c)),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    let digit = u32::from(*unit >> shift) & 0xf;
                    out.extend(char::from_digit(digit, 16).map(|digit| digit as u8));
                }
            }
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Appends a whole number.
pub(super) fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a whole number with its sign.
pub(super) fn signed(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a duration in seconds as a decimal fraction, down to microseconds and never with an exponent: `0.000008`.
pub(super) fn seconds(out: &mut Vec<u8>, duration: Duration) {
    // Rounds to the nearest microsecond.
    let micros = duration.saturating_add(Duration::from_nanos(500)).as_micros();
    let micros = u64::try_from(micros).unwrap_or(u64::MAX);
    number(out, micros / 1_000_000);
    let fraction = micros % 1_000_000;
    if fraction > 0 {
        out.push(b'.');
        // The leading 1 keeps the zeros after the point; it is left out.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(1_000_000 + fraction).as_bytes();
        let digits = digits.get(1..).unwrap_or_default();
        let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        out.extend_from_slice(digits.get(..digits.len() - zeros).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn seconds_are_decimal_fractions_without_an_exponent() {
        for (nanos, text) in [
            (0, "0"),
            (499, "0"),
            (500, "0.000001"),
            (8_000, "0.000008"),
            (27_000, "0.000027"),
            (1_240_000_000, "1.24"),
            (1_234_567_000, "1.234567"),
            (999_999_600, "1"),
            (60_000_000_000, "60"),
            (1_000_001_000, "1.000001"),
        ] {
            assert_eq!(written(|out| seconds(out, Duration::from_nanos(nanos))), text);
        }
        assert!(written(|out| seconds(out, Duration::MAX)).parse::<f64>().unwrap() > 1e12);
    }

    #[test]
    fn strings_are_json_in_printable_ascii() {
        for text in [
            "",
            "a",
            "a\"b\\c",
            "\r\n\t\0\x7f",
            "\u{9b}\u{85}\u{2028}\u{202e}",
            "ü漢😀\u{feff}",
        ] {
            let json = written(|out| string(out, text));
            assert!(json.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn numbers_have_their_sign() {
        for number in [0, 7, -1, i64::MIN, i64::MAX] {
            assert_eq!(written(|out| signed(out, number)), number.to_string());
        }
    }
}
