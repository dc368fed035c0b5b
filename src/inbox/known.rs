//! Which ids may be stored: a Bloom filter in memory, so that a request whose id was never stored touches no file.
//!
//! A positive answer may be wrong and is checked in the store; a negative answer is always right. Ids are never removed;
//! a start makes a new filter from the ids that the store still remembers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Words of 64 bits: 2 MiB. With a million ids, 0.2 % of the unknown ids are looked up in the store.
const WORDS: usize = 1 << 18;
/// Bits for each id.
const BITS: usize = 4;

/// The id of a delivery: the first 16 bytes of a SHA-256, or random bytes.
pub type Id = [u8; 16];

/// The ids that may be stored.
pub struct KnownIds {
    words: Vec<AtomicU64>,
}

impl std::fmt::Debug for KnownIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownIds").finish_non_exhaustive()
    }
}

impl Default for KnownIds {
    fn default() -> Self {
        Self {
            words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl KnownIds {
    /// Adds an id.
    pub fn add(&self, id: &Id) {
        for bit in positions(id) {
            if let Some(word) = self.words.get(bit / 64) {
                word.fetch_or(1 << (bit % 64), Ordering::Release);
            }
        }
    }

    /// Whether the id may have been added.
    #[must_use]
    pub fn may_contain(&self, id: &Id) -> bool {
        positions(id).all(|bit| {
            let word = self.words.get(bit / 64);
            word.is_some_and(|word| word.load(Ordering::Acquire) & (1 << (bit % 64)) != 0)
        })
    }
}

/// The bits of an id. Ids are evenly distributed, so their bytes need no further hash.
fn positions(id: &Id) -> impl Iterator<Item = usize> {
    let number = u128::from_be_bytes(*id);
    (0..BITS).map(move |at| {
        let part = (number >> (32 * at)) & 0xffff_ffff;
        usize::try_from(part).unwrap_or(0) % (WORDS * 64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    fn id(number: u32) -> Id {
        *Sha256::digest(number.to_be_bytes()).first_chunk().unwrap()
    }

    #[test]
    fn every_added_id_is_known_and_few_others_are() {
        let known = KnownIds::default();
        (0..100_000).for_each(|number| known.add(&id(number)));
        assert!((0..100_000).all(|number| known.may_contain(&id(number))));
        let wrong = (100_000..200_000)
            .filter(|number| known.may_contain(&id(*number)))
            .count();
        assert!(wrong < 50, "{wrong}");
    }
}
