//! Paddle's header against the same grammar written down a second time: whatever the bytes, the two agree.

use super::paddle::{NOW, OTHER, SECRET, h1, verdict};
use proptest::prelude::*;

/// The grammar of SCHEMES, written down a second time without the code under test: `Some` is the digits and every h1.
fn oracle(raw: &[u8]) -> Option<(String, Vec<String>)> {
    let text = std::str::from_utf8(raw)
        .ok()
        .filter(|t| t.bytes().all(|b| (0x20..0x7f).contains(&b)) && t.len() <= 1024)?;
    let text = text.trim_matches(' ');
    let mut parts: Vec<&str> = text.split(';').map(|p| p.trim_matches(' ')).collect();
    if parts.len() > 1 && parts[parts.len() - 1].is_empty() {
        parts.pop();
    }
    let pairs: Option<Vec<(&str, &str)>> = parts
        .iter()
        .map(|p| p.find('=').map(|at| (&p[..at], &p[at + 1..])))
        .collect();
    let pairs = pairs?;
    if pairs.iter().any(|(key, _)| key.is_empty()) {
        return None;
    }
    let of = |key| {
        pairs
            .iter()
            .filter(|p| p.0 == key)
            .map(|p| p.1.to_owned())
            .collect::<Vec<_>>()
    };
    let (ts, h1) = (of("ts"), of("h1"));
    let digits =
        |t: &str| (1..=12).contains(&t.len()) && !t.starts_with('0') && t.chars().all(|c| "0123456789".contains(c));
    let hex = |t: &String| t.len() == 64 && t.chars().all(|c| "0123456789abcdef".contains(c));
    let fine = ts.len() == 1 && digits(&ts[0]) && (1..=8).contains(&h1.len()) && h1.iter().all(hex);
    fine.then(|| (ts[0].clone(), h1))
}

/// Pieces that headers are made of, the right ones among them, so that acceptance is reached often.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let good = |secret| Just(format!("h1={}", h1(secret, "1700000000", b"{}")).into_bytes());
    prop_oneof![
        4 => good(SECRET),
        4 => good(OTHER),
        2 => good("not configured"),
        6 => Just(b"ts=1700000000".to_vec()),
        10 => Just(b";".to_vec()),
        1 => Just(b" ".to_vec()),
        1 => Just(b"=".to_vec()),
        1 => Just(b"h2=x".to_vec()),
        1 => "(ts|h1)=[0-9a-fA-F]{0,70}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(prop_oneof![0x20u8..0x7f, 0x80u8..=0xff, Just(b'\t')], 0..8),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever bytes the header has: `Verified` exactly when a check written apart from the code agrees.
    #[test]
    fn verified_only_if_an_independent_check_agrees(
        pieces in proptest::collection::vec(piece(), 0..8),
        joined in any::<bool>(),
        body in prop_oneof![3 => Just(b"{}".to_vec()), 1 => proptest::collection::vec(any::<u8>(), 0..64)],
    ) {
        let raw = pieces.join(&b";"[..usize::from(joined)]);
        let expected = oracle(&raw).is_some_and(|(ts, candidates)| {
            ts == "1700000000" && [SECRET, OTHER].iter().any(|s| candidates.contains(&h1(s, &ts, &body)))
        });
        let got = verdict(&[SECRET, OTHER], &raw, &body, NOW, Some(5));
        prop_assert_eq!(got.is_ok(), expected, "{:?} {:?}", String::from_utf8_lossy(&raw), got);
        if let Ok(verified) = got {
            prop_assert_eq!(hex::encode(verified.identity), h1(SECRET, "1700000000", &body));
        }
    }
}
