//! The shares of the routes in the store in this process, so that a busy route with a long window cannot refuse the webhooks
//! of the others.
//!
//! One eighth of the capacity is divided equally among the routes and kept for them; the rest is for whoever comes first. So a
//! single busy route can still fill the store so far that the alert of a nearly full store fires.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

/// One part in this many of the capacity is kept for the routes.
const RESERVED: usize = 8;

/// The routes that share a store, with the number of keys that each holds.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// For each key space, the index of its route in `routes`; sorted by space.
    spaces: Vec<(u64, usize)>,
    routes: Vec<Share>,
    /// Number of keys that are kept for each configured route.
    reserve: usize,
    /// The part of all reserves that no key of its route uses. Workers change it while a reload replaces the shares, so that
    /// a few keys may be missing; [`Shares::recount`] counts them again.
    unused: AtomicIsize,
}

/// The keys of one route.
#[derive(Clone, Debug)]
struct Share {
    keys: Arc<AtomicUsize>,
    /// Whether the route is configured; one that a reload has removed keeps its keys until they expire, and gets no
    /// reserve.
    is_configured: bool,
}

impl Shares {
    /// The shares of these routes in a store of `capacity` keys; each route is given by its key spaces. Routes that are
    /// known already keep their counts.
    pub(super) fn new(capacity: usize, routes: &[[u64; 3]], previous: &Self) -> Self {
        let mut shares = Self {
            reserve: capacity / RESERVED / routes.len().max(1),
            ..Self::default()
        };
        for spaces in routes {
            let known = spaces.iter().find_map(|space| previous.share(*space));
            shares.add(
                spaces.iter().copied(),
                Share {
                    keys: known.map_or_else(Arc::default, |share| share.keys.clone()),
                    is_configured: true,
                },
            );
        }
        let configured: HashSet<u64> = routes.iter().flatten().copied().collect();
        let mut removed: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for (space, route) in previous.spaces.iter().filter(|(space, _)| !configured.contains(space)) {
            removed.entry(*route).or_default().push(*space);
        }
        for (route, spaces) in removed {
            let keys = previous.routes.get(route).map(|share| &share.keys);
            if let Some(keys) = keys.filter(|keys| keys.load(Ordering::Relaxed) > 0) {
                shares.add(
                    spaces.into_iter(),
                    Share {
                        keys: keys.clone(),
                        is_configured: false,
                    },
                );
            }
        }
        shares.spaces.sort_unstable();
        shares.recount();
        shares
    }

    /// Counts again what is unused of the reserves.
    pub(super) fn recount(&self) {
        let unused: usize = self.routes.iter().map(|share| self.unused_by(share)).sum();
        self.unused.store(unused.cast_signed(), Ordering::Relaxed);
    }

    /// The part of its reserve that this route does not use.
    fn unused_by(&self, share: &Share) -> usize {
        if share.is_configured {
            self.reserve.saturating_sub(share.keys.load(Ordering::Relaxed))
        } else {
            0
        }
    }

    fn add(&mut self, spaces: impl Iterator<Item = u64>, share: Share) {
        let index = self.routes.len();
        self.spaces.extend(spaces.map(|space| (space, index)));
        self.routes.push(share);
    }

    /// Whether the route of this key space may hold one more key in a store of `capacity` keys that holds `keys`.
    pub(super) fn admits(&self, space: u64, keys: usize, capacity: usize) -> bool {
        if keys < capacity - capacity / RESERVED {
            // Not even all reserves together are touched.
            return true;
        }
        let own = self.share(space).map_or(0, |share| self.unused_by(share));
        let others = self.unused.load(Ordering::Relaxed).saturating_sub_unsigned(own);
        keys.saturating_add_signed(others.max(0)) < capacity
    }

    /// Counts a key that the route of this key space holds from now on.
    pub(super) fn claimed(&self, space: u64) {
        if let Some(share) = self.share(space) {
            let held = share.keys.fetch_add(1, Ordering::Relaxed);
            if share.is_configured && held < self.reserve {
                self.unused.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts a key that the route of this key space no longer holds.
    pub(super) fn gone(&self, space: u64) {
        if let Some(share) = self.share(space) {
            // A key that was claimed before its route was known is not counted.
            let less = |keys: usize| keys.checked_sub(1);
            let held = share.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            if share.is_configured && held.is_ok_and(|held| held <= self.reserve) {
                self.unused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn index(&self, space: u64) -> Option<usize> {
        let at = self.spaces.binary_search_by_key(&space, |(known, _)| *known).ok()?;
        self.spaces.get(at).map(|(_, index)| *index)
    }

    fn share(&self, space: u64) -> Option<&Share> {
        self.routes.get(self.index(space)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(shares: &Shares, space: u64, keys: &mut usize, capacity: usize) -> usize {
        let mut claimed = 0;
        while shares.admits(space, *keys, capacity) && claimed <= capacity {
            shares.claimed(space);
            *keys += 1;
            claimed += 1;
        }
        claimed
    }

    #[test]
    fn a_route_gets_the_common_part_and_its_own_share() {
        let (capacity, mut keys) = (160, 0);
        let shares = Shares::new(capacity, &[[1, 2, 3], [4, 5, 6]], &Shares::default());
        assert_eq!(fill(&shares, 1, &mut keys, capacity), 150);
        assert_eq!(fill(&shares, 2, &mut keys, capacity), 0, "the same route");
        assert_eq!(fill(&shares, 4, &mut keys, capacity), 10);
        assert_eq!(keys, capacity);
    }

    /// The count of what is unused stays exact while keys come and go, so that admitting a key need not look at every route.
    #[test]
    fn the_unused_reserves_are_counted_as_keys_come_and_go() {
        let routes: Vec<[u64; 3]> = (0..40).map(|route| [route * 3, route * 3 + 1, route * 3 + 2]).collect();
        let shares = Shares::new(8_000, &routes, &Shares::default());
        let mut random = 7_u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let space = (random >> 33) % 30;
            if random >> 63 == 0 {
                shares.claimed(space);
            } else {
                shares.gone(space);
            }
        }
        let counted = shares.unused.load(Ordering::Relaxed);
        shares.recount();
        assert_eq!(counted, shares.unused.load(Ordering::Relaxed));
        assert!(counted < 40 * 25, "{counted}");
    }

    #[test]
    fn one_route_gets_everything() {
        let (capacity, mut keys) = (101, 0);
        let shares = Shares::new(capacity, &[[1, 2, 3]], &Shares::default());
        assert_eq!(fill(&shares, 1, &mut keys, capacity), capacity);
    }

    #[test]
    fn a_reload_keeps_the_counts_and_gives_a_new_route_its_share() {
        let (capacity, mut keys) = (160, 0);
        let first = Shares::new(capacity, &[[1, 2, 3]], &Shares::default());
        assert_eq!(fill(&first, 1, &mut keys, capacity), 160);
        let second = Shares::new(capacity, &[[1, 2, 3], [4, 5, 6]], &first);
        assert!(!second.admits(4, keys, capacity), "nothing is evicted");
        for _ in 0..30 {
            second.gone(1);
            keys -= 1;
        }
        assert_eq!(fill(&second, 1, &mut keys, capacity), 20);
        assert_eq!(fill(&second, 4, &mut keys, capacity), 10);
        // A removed route has no reserve, and its keys still count until they expire.
        let third = Shares::new(capacity, &[[1, 2, 3]], &second);
        (0..10).for_each(|_| third.gone(4));
        assert_eq!(fill(&third, 1, &mut (keys - 10), capacity), 10);
    }
}
