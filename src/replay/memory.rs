//! The in-process store: exact, bounded, sharded. It never evicts a key that is still worth something: a full store
//! refuses, because a guard that forgets under load is no guard.

use super::{Key, Lifetime, Refused};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Shards, so that cores seldom meet; a power of two.
const SHARDS: usize = 64;

/// The in-process store. Expiry runs on the monotonic clock.
#[derive(Debug)]
pub struct Memory {
    shards: Vec<Mutex<Shard>>,
    keys: AtomicUsize,
    capacity: usize,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Shard {
    claims: HashMap<Key, State>,
    /// Committed keys by the whole second (since the epoch) after which they may be forgotten.
    expiry: BTreeMap<u64, Vec<Key>>,
    /// Per space, the newest signed timestamp that was forgotten.
    horizon: HashMap<u64, u64>,
}

#[derive(Debug)]
struct State {
    delivered: bool,
    /// Seconds since the epoch, rounded up.
    forget_after: u64,
    timestamp: Option<u64>,
}

impl Memory {
    /// An empty store for at most `capacity` keys, counting from `now`.
    #[must_use]
    pub fn new(capacity: usize, now: Instant) -> Arc<Self> {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Arc::new(Self {
            shards,
            keys: AtomicUsize::new(0),
            capacity,
            epoch: now,
        })
    }

    /// Keys held, for the gauge.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Whether no key is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reserves `key`.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn claim(self: &Arc<Self>, key: Key, lifetime: Lifetime, now: Instant) -> Result<Held, Refused> {
        let second = now.saturating_duration_since(self.epoch).as_secs();
        let mut shard = self.shard(&key);
        self.forget(&mut shard, second);
        if lifetime
            .timestamp
            .is_some_and(|signed| shard.horizon.get(&key.space).is_some_and(|newest| signed <= *newest))
        {
            return Err(Refused::Forgotten);
        }
        if self.keys.load(Ordering::Relaxed) >= self.capacity && !shard.claims.contains_key(&key) {
            drop(shard);
            self.sweep(now);
            if self.keys.load(Ordering::Relaxed) >= self.capacity {
                return Err(Refused::Full);
            }
            shard = self.shard(&key);
        }
        match shard.claims.entry(key) {
            Entry::Occupied(held) if held.get().delivered => Err(Refused::Delivered),
            Entry::Occupied(_) => Err(Refused::InFlight),
            Entry::Vacant(free) => {
                // Both the age of the epoch's second and a part of a second of the lifetime round up.
                let forget_after = second.saturating_add(lifetime.keep.as_secs()).saturating_add(2);
                free.insert(State {
                    delivered: false,
                    forget_after,
                    timestamp: lifetime.timestamp,
                });
                self.keys.fetch_add(1, Ordering::Relaxed);
                Ok(Held {
                    store: self.clone(),
                    key,
                    settled: false,
                })
            }
        }
    }

    /// Forgets what has expired in every shard. Called now and then, so that an idle gateway's memory shrinks too.
    pub fn sweep(&self, now: Instant) {
        let second = now.saturating_duration_since(self.epoch).as_secs();
        for shard in &self.shards {
            self.forget(&mut lock(shard), second);
        }
    }

    fn commit(&self, key: &Key) {
        let mut shard = self.shard(key);
        let Some(state) = shard.claims.get_mut(key) else { return };
        state.delivered = true;
        let forget_after = state.forget_after;
        shard.expiry.entry(forget_after).or_default().push(*key);
    }

    fn release(&self, key: &Key) {
        if self.shard(key).claims.remove(key).is_some() {
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        // The identity is a MAC: its bytes are as good as a hash, and no sender chooses them.
        let [first, ..] = key.identity;
        let index = usize::from(first) % SHARDS;
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS shards")]
        lock(&self.shards[index])
    }

    fn forget(&self, shard: &mut Shard, second: u64) {
        while let Some(bucket) = shard.expiry.first_entry() {
            if *bucket.key() >= second {
                break;
            }
            for key in bucket.remove() {
                let Some(state) = shard.claims.remove(&key) else {
                    continue;
                };
                self.keys.fetch_sub(1, Ordering::Relaxed);
                if let Some(signed) = state.timestamp {
                    let newest = shard.horizon.entry(key.space).or_default();
                    *newest = signed.max(*newest);
                }
            }
            if shard.claims.capacity() > 1024 && shard.claims.len() < shard.claims.capacity() / 8 {
                shard.claims.shrink_to_fit();
            }
        }
    }
}

/// A key that is reserved. Dropping it without [`Held::commit`] releases it.
#[derive(Debug)]
pub struct Held {
    store: Arc<Memory>,
    key: Key,
    settled: bool,
}

impl Held {
    /// Delivered: every claim of this key is refused for its lifetime.
    pub fn commit(mut self) {
        self.settled = true;
        self.store.commit(&self.key);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled {
            self.store.release(&self.key);
        }
    }
}

/// A panic while a shard was locked leaves it usable: every change to it is a single insert or remove.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    fn key(n: u16) -> Key {
        let mut identity = [0; 32];
        identity[..2].copy_from_slice(&n.to_le_bytes());
        Key { space: 1, identity }
    }

    fn lifetime(keep: u64, timestamp: u64) -> Lifetime {
        Lifetime {
            keep: Duration::from_secs(keep),
            timestamp: Some(timestamp),
        }
    }

    #[test]
    fn a_claim_is_exclusive_until_it_is_released_and_final_once_committed() {
        let now = Instant::now();
        let store = Memory::new(10, now);
        let claim = store.claim(key(1), lifetime(5, 100), now).unwrap();
        assert_eq!(
            store.claim(key(1), lifetime(5, 100), now).unwrap_err(),
            Refused::InFlight
        );
        drop(claim);
        assert!(store.is_empty());
        store.claim(key(1), lifetime(5, 100), now).unwrap().commit();
        assert_eq!(
            store.claim(key(1), lifetime(5, 100), now).unwrap_err(),
            Refused::Delivered
        );
        let other_space = Key { space: 2, ..key(1) };
        assert!(store.claim(other_space, lifetime(5, 100), now).is_ok());
    }

    #[test]
    fn a_panic_releases_the_claim() {
        let now = Instant::now();
        let store = Memory::new(10, now);
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
        let store = Memory::new(10, now);
        store.claim(key(1), lifetime(5, 100), now).unwrap().commit();
        let almost = now + Duration::from_millis(5999);
        assert_eq!(
            store.claim(key(1), lifetime(5, 100), almost).unwrap_err(),
            Refused::Delivered
        );
        store.sweep(now + Duration::from_secs(9));
        assert!(store.is_empty());
    }

    /// E09: the wall clock steps back after a key was forgotten; what is signed as old stays refused.
    #[test]
    fn a_clock_that_steps_back_reopens_nothing() {
        let now = Instant::now();
        let store = Memory::new(10, now);
        store.claim(key(1), lifetime(5, 100), now).unwrap().commit();
        let later = now + Duration::from_secs(60);
        assert_eq!(
            store.claim(key(1), lifetime(5, 100), later).unwrap_err(),
            Refused::Forgotten
        );
        assert!(
            store.claim(key(1), lifetime(5, 101), later).is_ok(),
            "what is signed later is judged by its own key"
        );
    }

    /// E08: a fresh key is never evicted.
    #[test]
    fn a_full_store_refuses_and_keeps_what_it_has() {
        let now = Instant::now();
        let store = Memory::new(1000, now);
        for n in 0..1000 {
            store.claim(key(n), lifetime(5, 100), now).unwrap().commit();
        }
        for n in 1000..1100 {
            assert_eq!(store.claim(key(n), lifetime(5, 100), now).unwrap_err(), Refused::Full);
        }
        for n in 0..1000 {
            assert_eq!(
                store.claim(key(n), lifetime(5, 100), now).unwrap_err(),
                Refused::Delivered
            );
        }
        let later = now + Duration::from_secs(9);
        assert!(
            store.claim(key(1001), lifetime(5, 109), later).is_ok(),
            "what has expired makes room"
        );
        store.sweep(later);
        assert!(store.is_empty());
    }

    /// E03: of many identical requests at once exactly one holds the claim.
    #[test]
    fn one_of_many_threads_wins() {
        let now = Instant::now();
        let store = Memory::new(1000, now);
        let wins = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let won = |n| store.claim(key(n), lifetime(5, 100), now).map(Held::commit).is_ok();
                        (0..200).filter(|n| won(*n)).count()
                    })
                })
                .collect();
            tries.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(wins, 200);
    }
}
