//! One shard of the store in this process: keys in slots, a table that finds them, and expiry by the second. Pure.
//!
//! Under load the store is larger than any CPU cache, and hashes are scattered, so its cost is memory accesses.
//! Therefore the slot that was freed last is used first, the table needs five bytes for each slot, and a claim keeps
//! the index of its slot, so that settling it needs no look-up.

use super::{ClaimError, KeyLifetime, ReplayKey};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

/// A shard with at most this many slots does not shrink.
const MIN_SLOTS_TO_SHRINK: usize = 1024;

/// Times are seconds since an origin that the caller chooses.
#[derive(Debug)]
pub(super) struct Shard {
    hash: KeyHasher,
    /// Finds the slot of a key.
    table: HashTable<SlotIndex>,
    slots: Vec<Slot>,
    /// Slots without a key; the last one is used first.
    free: Vec<SlotIndex>,
    /// Slots of committed keys by the second after which they are forgotten.
    expiry: BTreeMap<u32, Vec<SlotIndex>>,
    /// For each key space, the lowest signed timestamp that is above all forgotten ones.
    horizon: BTreeMap<u64, u64>,
}

/// The index of a slot. A claim keeps it as a hint: a shard that shrinks moves its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotIndex(u32);

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: ReplayKey,
    /// The horizon after this key is forgotten: its signed timestamp plus one, or zero without a timestamp.
    horizon: u64,
    /// The second after which the key is forgotten once delivered.
    forget_after: u32,
    /// Whether the claim was committed.
    delivered: bool,
}

/// Hashes keys, with two random words. The identity is a MAC or a hash itself, so it is enough to mix two of its words
/// with random ones: a sender who can choose delivery ids must not find many that collide.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHasher(u64, u64);

impl Shard {
    pub(super) fn new(hash: KeyHasher) -> Self {
        Self {
            hash,
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            expiry: BTreeMap::new(),
            horizon: BTreeMap::new(),
        }
    }

    /// Whether a key with this timestamp or a later one was forgotten.
    pub(super) fn has_forgotten(&self, space: u64, timestamp: Option<u64>) -> bool {
        let first = self.horizon.get(&space);
        timestamp.is_some_and(|signed| first.is_some_and(|first| signed < *first))
    }

    /// Whether the shard holds the key.
    pub(super) fn contains(&self, key: &ReplayKey) -> bool {
        self.find(key).is_some()
    }

    /// Claims a key at `second`.
    ///
    /// # Errors
    /// `Delivered`, `InFlight`; `Full` at 2^32 slots.
    pub(super) fn claim(
        &mut self,
        key: ReplayKey,
        lifetime: KeyLifetime,
        second: u64,
    ) -> Result<SlotIndex, ClaimError> {
        let Self { hash, table, slots, .. } = self;
        let held = |index: &SlotIndex| slots.get(index.get());
        let is_key = |index: &SlotIndex| held(index).is_some_and(|slot| slot.key == key);
        let rehash = |index: &SlotIndex| held(index).map_or(0, |slot| hash.of(&slot.key));
        let vacant = match table.entry(hash.of(&key), is_key, rehash) {
            Entry::Occupied(found) if held(found.get()).is_some_and(|slot| slot.delivered) => {
                return Err(ClaimError::Delivered);
            }
            Entry::Occupied(_) => return Err(ClaimError::InFlight),
            Entry::Vacant(vacant) => vacant,
        };
        let index = match self.free.pop() {
            Some(index) => index,
            None => SlotIndex(u32::try_from(slots.len()).map_err(|_| ClaimError::Full)?),
        };
        vacant.insert(index);
        // Rounds up twice: the current second and the lifetime both have a fraction that is cut off.
        let forget_after = second.saturating_add(lifetime.keep.as_secs()).saturating_add(2);
        let slot = Slot {
            key,
            horizon: lifetime.timestamp.map_or(0, |signed| signed.saturating_add(1)),
            forget_after: u32::try_from(forget_after).unwrap_or(u32::MAX),
            delivered: false,
        };
        match slots.get_mut(index.get()) {
            Some(free) => *free = slot,
            None => slots.push(slot),
        }
        Ok(index)
    }

    /// Marks the key of a claim as delivered; it is forgotten when its lifetime is over.
    pub(super) fn commit(&mut self, key: &ReplayKey, claimed: SlotIndex) {
        let index = self.current_slot(key, claimed);
        if let Some((index, slot)) = index.and_then(|index| Some((index, self.slots.get_mut(index.get())?))) {
            slot.delivered = true;
            self.expiry.entry(slot.forget_after).or_default().push(index);
        }
    }

    /// Removes the key of a claim. Returns whether the shard held it.
    pub(super) fn release(&mut self, key: &ReplayKey, claimed: SlotIndex) -> bool {
        let index = self.current_slot(key, claimed);
        index.is_some_and(|index| self.remove(key, index))
    }

    /// Forgets the keys that expired before `second`; `forgotten` is called with the key space of each.
    pub(super) fn forget(&mut self, second: u64, mut forgotten: impl FnMut(u64)) {
        while let Some(bucket) = self.expiry.first_entry() {
            if u64::from(*bucket.key()) >= second {
                break;
            }
            for index in bucket.remove() {
                let Some(Slot { key, horizon, .. }) = self.slots.get(index.get()).copied() else {
                    continue;
                };
                if self.remove(&key, index) {
                    forgotten(key.space);
                }
                if horizon > 0 {
                    let first = self.horizon.entry(key.space).or_default();
                    *first = horizon.max(*first);
                }
            }
        }
        if self.slots.len() > MIN_SLOTS_TO_SHRINK && self.table.len() < self.slots.len() / 8 {
            self.shrink();
        }
    }

    fn find(&self, key: &ReplayKey) -> Option<SlotIndex> {
        let is_key = |index: &SlotIndex| self.slots.get(index.get()).is_some_and(|slot| slot.key == *key);
        self.table.find(self.hash.of(key), is_key).copied()
    }

    /// The current slot of a claim's key. It is `claimed`, unless the shard has shrunk since. No two slots have the
    /// same key, so a slot with the key is the right one.
    fn current_slot(&self, key: &ReplayKey, claimed: SlotIndex) -> Option<SlotIndex> {
        match self.slots.get(claimed.get()) {
            Some(slot) if slot.key == *key => Some(claimed),
            Some(_) | None => self.find(key),
        }
    }

    fn remove(&mut self, key: &ReplayKey, index: SlotIndex) -> bool {
        let found = self.table.find_entry(self.hash.of(key), |other| *other == index);
        let found = found.map(|found| found.remove()).is_ok();
        if found {
            self.free.push(index);
        }
        found
    }

    /// Moves the slots together and frees the rest of the memory.
    fn shrink(&mut self) {
        let mut slots = Vec::with_capacity(self.table.len());
        let mut moved = vec![SlotIndex(u32::MAX); self.slots.len()];
        for index in self.table.iter_mut() {
            let from = index.get();
            if let (Some(slot), Some(to), Ok(end)) =
                (self.slots.get(from), moved.get_mut(from), u32::try_from(slots.len()))
            {
                slots.push(*slot);
                *to = SlotIndex(end);
                *index = SlotIndex(end);
            }
        }
        for bucket in self.expiry.values_mut() {
            for index in bucket {
                *index = moved.get(index.get()).copied().unwrap_or(*index);
            }
        }
        let rehash = |index: &SlotIndex| slots.get(index.get()).map_or(0, |slot: &Slot| self.hash.of(&slot.key));
        self.table.shrink_to_fit(rehash);
        self.slots = slots;
        self.free = Vec::new();
    }

    /// Number of slots, with and without a key.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }
}

impl SlotIndex {
    const fn get(self) -> usize {
        self.0 as usize
    }
}

impl KeyHasher {
    /// Makes a hasher with random words, which no sender can know.
    pub(super) fn random() -> Self {
        let random = RandomState::new();
        Self(random.hash_one(0), random.hash_one(1))
    }

    fn of(self, key: &ReplayKey) -> u64 {
        let (words, _) = key.identity.as_chunks::<8>();
        let word = |at: usize| words.get(at).copied().map_or(0, u64::from_ne_bytes);
        let (a, b) = (word(1) ^ key.space ^ self.0, word(2) ^ self.1);
        // The table uses the lower bits first, but only the upper half of the product depends on every bit.
        a.wrapping_mul(b | 1).rotate_left(32)
    }
}
