//! One shard of the in-process store: keys in slots, found by a table, forgotten by the second. Pure.
//!
//! Under load the store is as big as no cache and as scattered as hashes are, so what it costs is memory accesses. The slot
//! that was freed last is taken first, the table that finds it has five bytes a slot, and who has claimed a key knows its
//! slot, so that settling the claim looks nothing up.

use super::{ReplayKey, KeyLifetime, ClaimError};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

/// A shard with no more slots keeps them.
const SMALL: usize = 1024;

/// Times are seconds since an origin of the caller's.
#[derive(Debug)]
pub(super) struct Shard {
    hash: KeyHasher,
    /// Finds the slot of a key.
    table: HashTable<SlotIndex>,
    slots: Vec<Slot>,
    /// Slots without a key, to be taken from the end.
    free: Vec<SlotIndex>,
    /// Slots of committed keys by the second after which they are forgotten.
    expiry: BTreeMap<u32, Vec<SlotIndex>>,
    /// Per space, the first signed timestamp of which nothing was forgotten.
    horizon: BTreeMap<u64, u64>,
}

/// Where a slot stands. A claim keeps it as a hint: a shard that shrinks moves its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotIndex(u32);

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: ReplayKey,
    /// The horizon that forgetting it makes: one more than its signed timestamp, zero without one.
    horizon: u64,
    forget_after: u32,
    delivered: bool,
}

/// The hash of a key. The identity is a MAC or a hash itself, so two of its words only have to be mixed with something that
/// no sender knows: whoever may choose an id must not find many that meet.
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

    /// Whether something was forgotten that was signed at this timestamp or later.
    pub(super) fn has_forgotten(&self, space: u64, timestamp: Option<u64>) -> bool {
        let first = self.horizon.get(&space);
        timestamp.is_some_and(|signed| first.is_some_and(|first| signed < *first))
    }

    /// Whether the key is held.
    pub(super) fn contains(&self, key: &ReplayKey) -> bool {
        self.find(key).is_some()
    }

    /// Gives a key a slot at `second`.
    ///
    /// # Errors
    /// `Delivered`, `InFlight`; `Full` at four thousand million keys.
    pub(super) fn claim(&mut self, key: ReplayKey, lifetime: KeyLifetime, second: u64) -> Result<SlotIndex, ClaimError> {
        let Self { hash, table, slots, .. } = self;
        let held = |place: &SlotIndex| slots.get(place.index());
        let is_it = |place: &SlotIndex| held(place).is_some_and(|slot| slot.key == key);
        let rehash = |place: &SlotIndex| held(place).map_or(0, |slot| hash.of(&slot.key));
        let vacant = match table.entry(hash.of(&key), is_it, rehash) {
            Entry::Occupied(found) if held(found.get()).is_some_and(|slot| slot.delivered) => {
                return Err(ClaimError::Delivered);
            }
            Entry::Occupied(_) => return Err(ClaimError::InFlight),
            Entry::Vacant(vacant) => vacant,
        };
        let place = match self.free.pop() {
            Some(place) => place,
            None => SlotIndex(u32::try_from(slots.len()).map_err(|_| ClaimError::Full)?),
        };
        vacant.insert(place);
        // Both the age of the origin's second and a part of a second of the lifetime round up.
        let forget_after = second.saturating_add(lifetime.keep.as_secs()).saturating_add(2);
        let slot = Slot {
            key,
            horizon: lifetime.timestamp.map_or(0, |signed| signed.saturating_add(1)),
            forget_after: u32::try_from(forget_after).unwrap_or(u32::MAX),
            delivered: false,
        };
        match slots.get_mut(place.index()) {
            Some(free) => *free = slot,
            None => slots.push(slot),
        }
        Ok(place)
    }

    /// The key of a claim is delivered, and forgotten when its time has come.
    pub(super) fn commit(&mut self, key: &ReplayKey, claimed: SlotIndex) {
        let place = self.place(key, claimed);
        if let Some((place, slot)) = place.and_then(|place| Some((place, self.slots.get_mut(place.index())?))) {
            slot.delivered = true;
            self.expiry.entry(slot.forget_after).or_default().push(place);
        }
    }

    /// The key of a claim is free again; whether it was held.
    pub(super) fn release(&mut self, key: &ReplayKey, claimed: SlotIndex) -> bool {
        let place = self.place(key, claimed);
        place.is_some_and(|place| self.remove(key, place))
    }

    /// Forgets what has expired before `second`; how many keys.
    pub(super) fn forget(&mut self, second: u64) -> usize {
        let mut forgotten = 0;
        while let Some(bucket) = self.expiry.first_entry() {
            if u64::from(*bucket.key()) >= second {
                break;
            }
            for place in bucket.remove() {
                let Some(Slot { key, horizon, .. }) = self.slots.get(place.index()).copied() else {
                    continue;
                };
                forgotten += usize::from(self.remove(&key, place));
                if horizon > 0 {
                    let first = self.horizon.entry(key.space).or_default();
                    *first = horizon.max(*first);
                }
            }
        }
        if self.slots.len() > SMALL && self.table.len() < self.slots.len() / 8 {
            self.shrink();
        }
        forgotten
    }

    fn find(&self, key: &ReplayKey) -> Option<SlotIndex> {
        let is_it = |place: &SlotIndex| self.slots.get(place.index()).is_some_and(|slot| slot.key == *key);
        self.table.find(self.hash.of(key), is_it).copied()
    }

    /// Where the slot of a claim stands: where it was, unless the shard has shrunk since. No other slot can have its key, so
    /// one that has it is the one.
    fn place(&self, key: &ReplayKey, claimed: SlotIndex) -> Option<SlotIndex> {
        match self.slots.get(claimed.index()) {
            Some(slot) if slot.key == *key => Some(claimed),
            Some(_) | None => self.find(key),
        }
    }

    fn remove(&mut self, key: &ReplayKey, place: SlotIndex) -> bool {
        let found = self.table.find_entry(self.hash.of(key), |other| *other == place);
        let found = found.map(|found| found.remove()).is_ok();
        if found {
            self.free.push(place);
        }
        found
    }

    /// Moves the slots together and gives the rest of the memory back.
    fn shrink(&mut self) {
        let mut slots = Vec::with_capacity(self.table.len());
        let mut moved = vec![SlotIndex(u32::MAX); self.slots.len()];
        for place in self.table.iter_mut() {
            let from = place.index();
            if let (Some(slot), Some(to), Ok(end)) =
                (self.slots.get(from), moved.get_mut(from), u32::try_from(slots.len()))
            {
                slots.push(*slot);
                *to = SlotIndex(end);
                *place = SlotIndex(end);
            }
        }
        for bucket in self.expiry.values_mut() {
            for place in bucket {
                *place = moved.get(place.index()).copied().unwrap_or(*place);
            }
        }
        let rehash = |place: &SlotIndex| {
            slots
                .get(place.index())
                .map_or(0, |slot: &Slot| self.hash.of(&slot.key))
        };
        self.table.shrink_to_fit(rehash);
        self.slots = slots;
        self.free = Vec::new();
    }

    /// Slots, with a key and without.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }
}

impl SlotIndex {
    const fn index(self) -> usize {
        self.0 as usize
    }
}

impl KeyHasher {
    /// One that nobody can foresee.
    pub(super) fn random() -> Self {
        let random = RandomState::new();
        Self(random.hash_one(0), random.hash_one(1))
    }

    fn of(self, key: &ReplayKey) -> u64 {
        let (words, _) = key.identity.as_chunks::<8>();
        let word = |at: usize| words.get(at).copied().map_or(0, u64::from_ne_bytes);
        let (a, b) = (word(1) ^ key.space ^ self.0, word(2) ^ self.1);
        // The table begins at the lower end, and it is the product's upper half that depends on every bit.
        a.wrapping_mul(b | 1).rotate_left(32)
    }
}
