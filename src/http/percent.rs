//! Percent-encoding (RFC 3986, 2.1), undone: in a URL, and in a form, where a plus sign is a space. Pure.
//!
//! A `%` that starts no escape stands for itself, as every server reads it.

/// What the text stands for; a plus sign is one.
#[must_use]
pub fn decode(text: &[u8]) -> Vec<u8> {
    decode_with(text, b'+')
}

/// What a name or a value of a form stands for.
#[must_use]
pub fn decode_form(text: &[u8]) -> Vec<u8> {
    decode_with(text, b' ')
}

/// Two hex digits of either case.
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
    fn escapes_are_undone_and_what_is_none_stands_for_itself() {
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
