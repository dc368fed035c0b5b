//! The hashes that identify signed bytes.

use crate::scheme::IdentityHash;
use proptest::prelude::*;
use std::collections::HashMap;

const HASHES: [IdentityHash; 2] = [IdentityHash::Sha256, IdentityHash::ThisProcess];

/// Around the lengths where a text gets one more tag, every length and every changed byte gives another identity.
#[test]
fn texts_that_differ_in_length_or_in_one_byte_have_different_identities() {
    for hash in HASHES {
        let mut seen = HashMap::new();
        for length in [0, 1, 15, 16, 17, 4095, 4096, 4097, 8191, 8192, 8193, 20_000] {
            let text = vec![0; length];
            assert_eq!(seen.insert(hash.of([text.as_slice()]), length), None);
            for place in [0, length / 2, length.saturating_sub(1)]
                .into_iter()
                .filter(|at| *at < length)
            {
                let mut changed = text.clone();
                changed[place] = u8::try_from(length % 251 + 1).unwrap();
                seen.insert(hash.of([changed.as_slice()]), length);
            }
        }
        // One text of each length, and three changed ones; the texts of no byte and of one byte have fewer.
        assert_eq!(seen.len(), 12 + 1 + 3 * 10, "{hash:?}");
    }
}

#[test]
fn without_a_hash_there_is_no_identity() {
    assert_eq!(IdentityHash::None.of([b"signed".as_slice()]), [0; 32]);
}

proptest! {
    /// Where the network cuts a body makes no difference, and neither does where the signed head ends.
    #[test]
    fn the_pieces_of_a_text_make_no_difference(
        text in proptest::collection::vec(any::<u8>(), 0..20_000),
        mut cuts in proptest::collection::vec(0usize..20_000, 0..8),
    ) {
        cuts.retain(|cut| *cut < text.len());
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([text.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let pieces = starts.zip(ends).map(|(start, end)| &text[start..end]);
        for hash in HASHES {
            prop_assert_eq!(hash.of(pieces.clone()), hash.of([text.as_slice()]));
        }
    }
}
