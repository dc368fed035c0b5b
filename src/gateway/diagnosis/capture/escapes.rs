//! Escapes in quoted texts, and Base64.

use base64::Engine as _;

/// The character of an escape whose sign (after the backslash) is the first of `rest`, and the number of characters
/// taken. The character is `None` if the escape means itself with its backslash, as in single quotes.
pub(super) fn escape(rest: &str, quote: char) -> Option<(Option<char>, usize)> {
    let hexadecimal = |from: usize, length: usize| {
        let digits = rest.get(from..from + length)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let sign = rest.chars().next()?;
    Some(match sign {
        'n' => (Some('\n'), 1),
        'r' => (Some('\r'), 1),
        't' => (Some('\t'), 1),
        'b' => (Some('\u{8}'), 1),
        'f' => (Some('\u{c}'), 1),
        'e' => (Some('\u{1b}'), 1),
        'x' => (char::from_u32(hexadecimal(1, 2)?), 3),
        'u' if rest.get(1..2) == Some("{") => {
            let digits = rest.get(2..)?.split('}').next()?;
            (char::from_u32(u32::from_str_radix(digits, 16).ok()?), digits.len() + 3)
        }
        'u' => match hexadecimal(1, 4)? {
            high @ 0xd800..=0xdbff => {
                let low = hexadecimal(7, 4).filter(|low| (0xdc00..=0xdfff).contains(low));
                match low {
                    Some(low) => (char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 11),
                    None => (Some(char::REPLACEMENT_CHARACTER), 5),
                }
            }
            unit => (Some(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)), 5),
        },
        '\\' | '"' | '\'' | '/' | '`' | '#' | '$' => (Some(sign), 1),
        _ if quote == '\'' => (None, 1),
        other => (Some(other), 1),
    })
}

/// Decodes Base64 with or without padding, in the usual or the URL alphabet, with line ends.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace() && *c != '=').collect();
    let plain = plain.replace('-', "+").replace('_', "/");
    base64::engine::general_purpose::STANDARD_NO_PAD.decode(plain).ok()
}
