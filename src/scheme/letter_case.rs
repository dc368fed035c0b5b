//! Compares names as a reader does that ignores their case.

/// Whether two texts are equal for a reader that ignores case, whichever rule of Unicode it uses.
pub(super) fn is_equal(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().flat_map(folded).eq(b.chars().flat_map(folded))
}

/// One character without its case. It goes through upper case and then to lower case, because some characters are equal
/// in one of them only: `\u{17f}` (long s) and `s`, `\u{131}` (dotless i) and `i` in upper case, `\u{212a}` (Kelvin)
/// and `k` in lower case. `\u{130}` (dotted capital I) is read as `i`, as Java does.
fn folded(c: char) -> impl Iterator<Item = char> {
    let c = if c == '\u{130}' { 'i' } else { c };
    c.to_uppercase().flat_map(char::to_lowercase)
}

/// Writes a text of ASCII and of characters that are ASCII without their case, such as the Kelvin sign, in lower case to
/// `room`. `None` for any other text, which equals no text of ASCII, and for one that needs more room. A sender can send
/// very many names, so this takes no longer than reading them.
pub(super) fn to_ascii<'r>(text: &str, room: &'r mut [u8]) -> Option<&'r [u8]> {
    let mut length = 0;
    for c in text.chars() {
        let ascii = [c.to_ascii_lowercase() as u8];
        let folded: &[u8] = match c {
            '\0'..='\x7f' => &ascii,
            '\u{130}' | '\u{131}' => b"i",
            '\u{17f}' => b"s",
            '\u{212a}' => b"k",
            '\u{df}' => b"ss",
            '\u{fb00}' => b"ff",
            '\u{fb01}' => b"fi",
            '\u{fb02}' => b"fl",
            '\u{fb03}' => b"ffi",
            '\u{fb04}' => b"ffl",
            '\u{fb05}' | '\u{fb06}' => b"st",
            _ => return None,
        };
        room.get_mut(length..length + folded.len())?.copy_from_slice(folded);
        length += folded.len();
    }
    room.get(..length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Every character of Unicode is written as the comparison folds it.
    #[test]
    fn names_that_are_ascii_without_their_case_are_known() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let expected: String = folded(c).collect();
            let mut room = [0; 8];
            let written = to_ascii(c.encode_utf8(&mut [0; 4]), &mut room).map(<[u8]>::to_vec);
            assert_eq!(
                written,
                expected.is_ascii().then(|| expected.clone().into_bytes()),
                "{c:?}"
            );
        }
        assert_eq!(to_ascii("Kin\u{df}", &mut [0; 8]), Some(&b"kinss"[..]));
        assert_eq!(to_ascii("abc", &mut [0; 2]), None);
    }
}
