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
