//! Compares the parser of Paddle's header with a second, independent implementation of its grammar, on generated
//! headers.

use super::paddle::{NOW, OTHER, SECRET, h1, verdict};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

/// The grammar of docs/schemes.md, implemented a second time. Returns the digits of `ts` and every `h1`.
fn reference_parser(raw: &[u8]) -> Option<(String, Vec<String>)> {
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
    let is_valid = ts.len() == 1 && digits(&ts[0]) && (1..=8).contains(&h1.len()) && h1.iter().all(hex);
    is_valid.then(|| (ts[0].clone(), h1))
}

/// Pieces of generated headers. Valid pieces are frequent, so that many headers are accepted.
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

    /// A request is `Verified` exactly when the independent implementation accepts it.
    #[test]
    fn a_request_is_verified_exactly_when_the_reference_parser_accepts_it(
        pieces in proptest::collection::vec(piece(), 0..8),
        joined in any::<bool>(),
        body in prop_oneof![3 => Just(b"{}".to_vec()), 1 => proptest::collection::vec(any::<u8>(), 0..64)],
    ) {
        let raw = pieces.join(&b";"[..usize::from(joined)]);
        let expected = reference_parser(&raw).is_some_and(|(ts, candidates)| {
            ts == "1700000000" && [SECRET, OTHER].iter().any(|s| candidates.contains(&h1(s, &ts, &body)))
        });
        let got = verdict(&[SECRET, OTHER], &raw, &body, NOW, Some(5));
        prop_assert_eq!(got.is_ok(), expected, "{:?} {:?}", String::from_utf8_lossy(&raw), got);
        if let Ok(verified) = got {
            let signed = [&b"1700000000:"[..], &body].concat();
            let expected: [u8; 32] = Sha256::digest(signed).into();
            prop_assert_eq!(verified.identity, expected);
        }
    }
}
