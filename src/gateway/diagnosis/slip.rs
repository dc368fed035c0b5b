//! Slips of one character in a text that was copied by hand.

/// The texts of which `bytes` may be a slip at the position `at`: two characters there are exchanged, or the one there is
/// too many. Each with what it is called; none at the end.
pub(super) fn at_position(bytes: &[u8], at: usize) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let (before, after) = bytes.split_at(at.min(bytes.len()));
    let exchanged = match after {
        [first, second, rest @ ..] => Some([before, &[*second, *first], rest].concat()),
        _ => None,
    };
    let shorter = match after {
        [_, rest @ ..] => Some([before, rest].concat()),
        [] => None,
    };
    [
        exchanged.map(|text| ("has two characters exchanged", text)),
        shorter.map(|text| ("has one character too many", text)),
    ]
    .into_iter()
    .flatten()
}
