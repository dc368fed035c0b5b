//! A table from texts to values whose hash is made byte by byte, so that one pass over a text looks up all its beginnings
//! or all its ends. Pure.
//!
//! The texts come from the configuration and never from a sender, so the hash needs no random key: a sender can only ask
//! for texts, and finds at most those few that the configuration has under one hash.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

#[cfg(test)]
thread_local! {
    /// Number of rows that look-ups of this thread have compared.
    pub(super) static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The hash of a text, made byte by byte (FNV-1a, 64 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextHash(u64);

impl Default for TextHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl TextHash {
    /// The hash of this text with one more byte.
    pub(super) const fn with(self, byte: u8) -> Self {
        Self((self.0 ^ byte as u64).wrapping_mul(0x0100_0000_01b3))
    }

    /// As [`TextHash::with`], with the byte in lower case.
    pub(super) const fn with_lower_case(self, byte: u8) -> Self {
        self.with(byte.to_ascii_lowercase())
    }

    /// The table uses the highest bits and the lowest ones; the last byte has reached only the lower ones.
    const fn bits(self) -> u64 {
        self.0 ^ self.0.rotate_left(32)
    }
}

/// Values by text.
#[derive(Debug)]
pub(super) struct TextTable<T> {
    rows: HashTable<Row<T>>,
}

#[derive(Debug)]
struct Row<T> {
    hash: TextHash,
    text: Box<str>,
    value: T,
}

impl<T> Default for TextTable<T> {
    fn default() -> Self {
        Self { rows: HashTable::new() }
    }
}

impl<T> TextTable<T> {
    /// The value of the text with this hash that `is_equal` accepts.
    pub(super) fn get(&self, hash: TextHash, is_equal: impl Fn(&str) -> bool) -> Option<&T> {
        let row = self.rows.find(hash.bits(), |row| {
            #[cfg(test)]
            COMPARED.set(COMPARED.get() + 1);
            row.hash == hash && is_equal(&row.text)
        });
        row.map(|row| &row.value)
    }

    /// The value of `text`, which is `new` if there was none. `hash` must be that of the look-ups.
    pub(super) fn get_or_insert(&mut self, hash: TextHash, text: &str, new: impl FnOnce() -> T) -> &mut T {
        let is_equal = |row: &Row<T>| row.hash == hash && *row.text == *text;
        let row = match self.rows.entry(hash.bits(), is_equal, |row| row.hash.bits()) {
            Entry::Occupied(row) => row,
            Entry::Vacant(place) => place.insert(Row {
                hash,
                text: text.into(),
                value: new(),
            }),
        };
        &mut row.into_mut().value
    }
}
