//! The store in this process: exact, bounded, in shards. It never evicts a key that is still needed: a full store
//! refuses, because a guard that forgets under load gives no protection.

use super::shard::{KeyHasher, Shard, SlotIndex};
use super::shares::Shares;
use super::{ClaimError, KeyLifetime, ReplayKey};
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Number of shards, so that threads seldom wait for the same lock.
const SHARDS: usize = 64;

/// The store in this process. Keys expire by the monotonic clock.
#[derive(Debug)]
pub struct MemoryStore {
    shards: Vec<Mutex<Shard>>,
    keys: AtomicUsize,
    capacity: usize,
    /// How many keys each route may hold; replaced by a reload.
    shares: ArcSwap<Shares>,
    epoch: Instant,
}

impl MemoryStore {
    /// Makes an empty store for at most `capacity` keys. `now` is the origin of its times.
    #[must_use]
    pub fn new(capacity: usize, now: Instant) -> Arc<Self> {
        let hash = KeyHasher::random();
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(hash))).collect(),
            keys: AtomicUsize::new(0),
            capacity,
            shares: ArcSwap::default(),
            epoch: now,
        })
    }

    /// Divides the capacity among these routes, each given by its key spaces.
    pub fn share(&self, routes: &[[u64; 3]]) {
        let shares = Shares::new(self.capacity, routes, &self.shares.load());
        self.shares.store(Arc::new(shares));
    }

    /// Number of keys held, for the gauge.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Whether the store holds no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Claims `key`.
    ///
    /// # Errors
    /// See [`ClaimError`].
    pub fn claim(
        self: &Arc<Self>,
        key: ReplayKey,
        lifetime: KeyLifetime,
        now: Instant,
    ) -> Result<MemoryClaim, ClaimError> {
        let second = self.second(now);
        let mut shard = self.shard(&key);
        self.forget(&mut shard, second);
        if shard.has_forgotten(key.space, lifetime.timestamp) {
            return Err(ClaimError::Forgotten);
        }
        let shares = self.shares.load();
        if !shares.admits(key.space, self.len(), self.capacity) && !shard.contains(&key) {
            drop(shard);
            self.sweep(now);
            if !shares.admits(key.space, self.len(), self.capacity) {
                return Err(ClaimError::Full);
            }
            shard = self.shard(&key);
        }
        let slot = shard.claim(key, lifetime, second)?;
        self.keys.fetch_add(1, Ordering::Relaxed);
        shares.claimed(key.space);
        Ok(MemoryClaim {
            store: self.clone(),
            key,
            slot,
            settled: false,
        })
    }

    /// Forgets expired keys in every shard. Called at intervals, so that the memory of an idle process shrinks too.
    pub fn sweep(&self, now: Instant) {
        let second = self.second(now);
        for shard in &self.shards {
            self.forget(&mut lock(shard), second);
        }
        self.shares.load().recount();
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs()
    }

    fn shard(&self, key: &ReplayKey) -> MutexGuard<'_, Shard> {
        // The identity is a MAC or a hash, so its bytes are evenly distributed.
        let [first, ..] = key.identity;
        let index = usize::from(first) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS shards")]
        lock(&self.shards[index])
    }

    fn forget(&self, shard: &mut Shard, second: u64) {
        shard.forget(second, |space| self.gone(space));
    }

    /// Counts a key that is no longer held.
    fn gone(&self, space: u64) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.shares.load().gone(space);
    }
}

/// A claimed key. Dropping it without [`MemoryClaim::commit`] releases it.
#[derive(Debug)]
pub struct MemoryClaim {
    store: Arc<MemoryStore>,
    key: ReplayKey,
    slot: SlotIndex,
    settled: bool,
}

impl MemoryClaim {
    /// Records the delivery: every claim of this key is refused for its lifetime.
    pub fn commit(mut self) {
        self.settled = true;
        self.store.shard(&self.key).commit(&self.key, self.slot);
    }
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        if !self.settled && self.store.shard(&self.key).release(&self.key, self.slot) {
            self.store.gone(self.key.space);
        }
    }
}

/// Locks a shard. A shard stays usable after a panic while it was locked: no panic can happen between two changes that
/// belong together.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn key(n: u16) -> ReplayKey {
        let mut identity = [0; 32];
        identity[..2].copy_from_slice(&n.to_le_bytes());
        ReplayKey { space: 1, identity }
    }

    fn lifetime(keep: u64, timestamp: u64) -> KeyLifetime {
        KeyLifetime {
            keep: Duration::from_secs(keep),
            timestamp: Some(timestamp),
        }
    }

    #[test]
    fn a_claim_is_exclusive_until_it_is_released_and_final_once_committed() {
        let now = Instant::now();
        let store = MemoryStore::new(10, now);
        let claim = store.claim(key(1), lifetime(5, 100), now).unwrap();
        assert_eq!(
            store.claim(key(1), lifetime(5, 100), now).unwrap_err(),
            ClaimError::InFlight
        );
        drop(claim);
        assert!(store.is_empty());
        store.claim(key(1), lifetime(5, 100), now).unwrap().commit();
        assert_eq!(
            store.claim(key(1), lifetime(5, 100), now).unwrap_err(),
            ClaimError::Delivered
        );
        let other_space = ReplayKey { space: 2, ..key(1) };
        assert!(store.claim(other_space, lifetime(5, 100), now).is_ok());
    }

    #[test]
    fn a_panic_releases_the_claim() {
        let now = Instant::now();
        let store = MemoryStore::new(10, now);
        let claim = store.claim(key(1), lifetime(5, 100), now).unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = claim;
            panic!("in the exchange");
        }));
        assert!(panicked.is_err());
        assert!(store.claim(key(1), lifetime(5, 100), now).is_ok());
    }

    #[test]
    fn keys_are_kept_for_their_whole_lifetime_and_forgotten_after_it() {
        let now = Instant::now();
        let store = MemoryStore::new(10, now);
        store.claim(key(1), lifetime(5, 100), now).unwrap().commit();
        let almost = now + Duration::from_millis(5999);
        assert_eq!(
            store.claim(key(1), lifetime(5, 100), almost).unwrap_err(),
            ClaimError::Delivered
        );
        store.sweep(now + Duration::from_secs(9));
        assert!(store.is_empty());
    }

    /// E09: the wall clock steps back after a key was forgotten; requests with its timestamp stay refused.
    #[test]
    fn forgotten_keys_stay_refused_when_the_clock_steps_back() {
        let now = Instant::now();
        let store = MemoryStore::new(10, now);
        store.claim(key(1), lifetime(5, 100), now).unwrap().commit();
        let later = now + Duration::from_secs(60);
        assert_eq!(
            store.claim(key(1), lifetime(5, 100), later).unwrap_err(),
            ClaimError::Forgotten
        );
        assert!(
            store.claim(key(1), lifetime(5, 101), later).is_ok(),
            "a later timestamp is decided by its own key"
        );
    }

    /// E08: a fresh key is never evicted.
    #[test]
    fn a_full_store_refuses_new_keys_and_keeps_its_own() {
        let now = Instant::now();
        let store = MemoryStore::new(1000, now);
        for n in 0..1000 {
            store.claim(key(n), lifetime(5, 100), now).unwrap().commit();
        }
        for n in 1000..1100 {
            assert_eq!(
                store.claim(key(n), lifetime(5, 100), now).unwrap_err(),
                ClaimError::Full
            );
        }
        for n in 0..1000 {
            assert_eq!(
                store.claim(key(n), lifetime(5, 100), now).unwrap_err(),
                ClaimError::Delivered
            );
        }
        let later = now + Duration::from_secs(9);
        assert!(
            store.claim(key(1001), lifetime(5, 109), later).is_ok(),
            "expired keys make space"
        );
        store.sweep(later);
        assert!(store.is_empty());
    }

    /// E03: of many identical requests at the same time exactly one gets the claim.
    #[test]
    fn exactly_one_of_many_threads_gets_the_claim() {
        let now = Instant::now();
        let store = MemoryStore::new(1000, now);
        let wins = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let won = |n| {
                            store
                                .claim(key(n), lifetime(5, 100), now)
                                .map(MemoryClaim::commit)
                                .is_ok()
                        };
                        (0..200).filter(|n| won(*n)).count()
                    })
                })
                .collect();
            tries.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(wins, 200);
    }

    /// After a burst the memory is freed, and claims that were held meanwhile can still be settled.
    #[test]
    fn a_shard_that_shrinks_keeps_its_claims_and_its_keys() {
        let now = Instant::now();
        let store = MemoryStore::new(1 << 20, now);
        // All keys are in one shard, because their first byte is the same.
        let crowd = |n: u32| {
            let mut identity = [7; 32];
            identity[8..12].copy_from_slice(&n.to_le_bytes());
            ReplayKey { space: 1, identity }
        };
        let slots = || lock(&store.shards[7]).slots();
        let long = |n| store.claim(crowd(n), lifetime(3600, 200), now).unwrap();
        let mut held: Vec<_> = (0..32).map(long).collect();
        for n in 32..20_000 {
            store.claim(crowd(n), lifetime(5, 100), now).unwrap().commit();
        }
        long(20_000).commit();
        assert_eq!(slots(), 20_001);
        let later = now + Duration::from_secs(9);
        store.sweep(later);
        assert_eq!((slots(), store.len()), (33, 33));
        drop(held.split_off(16));
        held.into_iter().for_each(MemoryClaim::commit);
        assert_eq!(store.len(), 17);
        let claim = |n| store.claim(crowd(n), lifetime(5, 200), later).map(drop);
        for n in (0..16).chain([20_000]) {
            assert_eq!(claim(n), Err(ClaimError::Delivered), "{n}");
        }
        for n in 16..32 {
            assert_eq!(claim(n), Ok(()), "{n}");
        }
        store.sweep(now + Duration::from_secs(3700));
        assert!(store.is_empty());
    }

    /// A simple store to compare with: a map without shards.
    #[derive(Default)]
    struct Reference {
        keys: std::collections::HashMap<ReplayKey, (bool, u64, u64)>,
        horizon: u64,
    }

    impl Reference {
        fn forget(&mut self, second: u64) {
            self.keys.retain(|_, (delivered, forget_after, timestamp)| {
                let expired = *delivered && *forget_after < second;
                if expired {
                    self.horizon = self.horizon.max(*timestamp + 1);
                }
                !expired
            });
        }
    }

    proptest! {
        /// E01, E08: any order of claims, commits, releases and expiry gives the same results as the reference.
        #[test]
        fn the_store_agrees_with_a_simple_reference(
            steps in prop::collection::vec((0_u16..12, 0_u64..9, 0_u64..4, 0_u8..6), 1..200),
        ) {
            let (begun, mut second, capacity) = (Instant::now(), 0, 6);
            let store = MemoryStore::new(capacity, begun);
            let mut reference = Reference::default();
            let mut held: Vec<MemoryClaim> = Vec::new();
            for (n, keep, later, what) in steps {
                second += later / 2;
                let now = begun + Duration::from_secs(second);
                // All keys are in one shard, so that both stores forget at the same moment.
                let mut key = key(n << 8);
                key.identity[31] = u8::try_from(n).unwrap();
                match what {
                    0 => if let Some(claim) = (!held.is_empty()).then(|| held.remove(usize::from(n) % held.len())) {
                        reference.keys.remove(&claim.key);
                        drop(claim);
                    },
                    1 | 2 => if let Some(claim) = (!held.is_empty()).then(|| held.remove(usize::from(n) % held.len())) {
                        reference.keys.get_mut(&claim.key).unwrap().0 = true;
                        claim.commit();
                    },
                    _ => {
                        let timestamp = 100 + second / 2;
                        reference.forget(second);
                        let expected = match reference.keys.get(&key) {
                            _ if timestamp < reference.horizon => Err(ClaimError::Forgotten),
                            Some((true, ..)) => Err(ClaimError::Delivered),
                            Some(_) => Err(ClaimError::InFlight),
                            None if reference.keys.len() == capacity => Err(ClaimError::Full),
                            None => Ok(()),
                        };
                        let claim = store.claim(key, lifetime(keep, timestamp), now);
                        prop_assert_eq!(claim.as_ref().map(drop), expected.as_ref().map(drop));
                        if let Ok(claim) = claim {
                            reference.keys.insert(key, (false, second + keep + 2, timestamp));
                            held.push(claim);
                        }
                    }
                }
                prop_assert_eq!(store.len(), reference.keys.len());
            }
        }
    }
}
