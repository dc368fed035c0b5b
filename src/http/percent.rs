//! Percent-encoding (RFC 3986, section 2.1) of URLs and of forms; in a form a plus sign means a space. Pure.
//!
//! When it decodes, a `%` without two hexadecimal digits after it is kept as it is, as common servers do.

use std::fmt::Write as _;

/// Encodes every byte but the unreserved ones.
#[must_use]
pub fn encode(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    let mut out = String::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Decodes a part of a URL; a plus sign stays a plus sign.
#[must_use]
pub fn decode(text: &[u8]) -> Vec<u8> {
    decode_with(text, b'+')
}

/// Decodes a name or a value of a form; a plus sign becomes a space.
#[must_use]
pub fn decode_form(text: &[u8]) -> Vec<u8> {
    decode_with(text, b' ')
}

/// The byte that two hexadecimal digits, of either case, encode; `None` when one is not a digit.
#[must_use]
pub fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn decode_with(text: &[u8], plus: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        out.push(match (byte, after) {
            (b'+', _) => plus,
            (b'%', [high, low, tail @ ..]) => match hex_pair(*high, *low) {
                Some(decoded) => {
                    rest = tail;
                    decoded
                }
                None => b'%',
            },
            _ => byte,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_incomplete_ones_are_kept() {
        for (text, url, form) in [
            ("a%2Fb%2fc", "a/b/c", "a/b/c"),
            ("a+b%2B", "a+b+", "a b+"),
            ("100%", "100%", "100%"),
            ("%", "%", "%"),
            ("%4", "%4", "%4"),
            ("%zz%41", "%zzA", "%zzA"),
            ("%%41", "%A", "%A"),
            ("%+1", "%+1", "% 1"),
        ] {
            assert_eq!(decode(text.as_bytes()), url.as_bytes(), "{text}");
            assert_eq!(decode_form(text.as_bytes()), form.as_bytes(), "{text}");
        }
    }
}
