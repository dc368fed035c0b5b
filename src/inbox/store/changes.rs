//! What a transaction has changed, and the counts that follow from it once it is committed.

use super::types::OrderKey;
use crate::inbox::model::delivery::State;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Number of states.
const STATES: usize = State::ALL.len();

/// The changes of one transaction, applied to the counts after its commit.
#[derive(Debug, Default)]
pub struct Changes(Vec<Change>);

#[derive(Debug)]
struct Change {
    route: Arc<str>,
    from: Option<State>,
    to: Option<State>,
    bytes: i64,
}

impl Changes {
    /// Whether nothing has changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A delivery of `route` has gone from one state to another, and its content has grown by `bytes`.
    pub fn moved(&mut self, route: &str, from: Option<State>, to: Option<State>, bytes: i64) {
        self.0.push(Change {
            route: route.into(),
            from,
            to,
            bytes,
        });
    }
}

/// The deliveries of one route, by state. The writer changes the counts; everybody reads them.
#[derive(Debug, Default)]
pub struct RouteTally {
    counts: [AtomicI64; STATES],
    bytes: AtomicI64,
    /// When the oldest open delivery arrived, in milliseconds since 1970; 0 without one. Sampled by the writer.
    pub oldest: AtomicI64,
    /// When the oldest dead letter is erased, in milliseconds since 1970; 0 without one. Sampled by the writer.
    pub dead_expires: AtomicI64,
    /// Whether an operator has paused the route.
    pub is_paused: AtomicBool,
    /// Attempts of its stored deliveries that are under way.
    running: Arc<AtomicUsize>,
    /// Order keys of direct attempts that are under way, and how many.
    held: Mutex<HashMap<OrderKey, usize>>,
}

impl RouteTally {
    /// Number of deliveries in this state.
    #[must_use]
    pub fn count(&self, state: State) -> i64 {
        self.counts
            .get(state as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Number of deliveries that hookgate still has to deliver.
    #[must_use]
    pub fn open(&self) -> i64 {
        let open = State::ALL.into_iter().filter(|state| state.is_open());
        open.map(|state| self.count(state)).sum()
    }

    /// Age of the oldest open delivery in seconds, at `now` (milliseconds since 1970); 0 without one.
    #[must_use]
    pub fn oldest_seconds(&self, now: i64) -> i64 {
        let oldest = self.oldest.load(Ordering::Relaxed);
        if oldest == 0 || self.open() == 0 {
            0
        } else {
            now.saturating_sub(oldest) / 1_000
        }
    }

    /// Bytes of the stored contents.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Attempts of its stored deliveries that are under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// The counter of [`RouteTally::running`].
    #[must_use]
    pub const fn running_counter(&self) -> &Arc<AtomicUsize> {
        &self.running
    }

    /// A direct attempt with this order key begins. Returns whether it is the only one; if not, nothing is noted.
    #[must_use]
    pub fn hold(&self, key: OrderKey) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.entry(key) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(1);
                true
            }
        }
    }

    /// Whether a direct attempt with this order key is under way.
    #[must_use]
    pub fn is_held(&self, key: &OrderKey) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.contains_key(key)
    }

    /// The direct attempt with this order key has ended. Called before the store is told.
    pub fn let_go(&self, key: &OrderKey) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(key);
    }

    fn add(&self, state: Option<State>, difference: i64) {
        if let Some(count) = state.and_then(|state| self.counts.get(state as usize)) {
            count.fetch_add(difference, Ordering::Relaxed);
        }
    }
}

/// The tallies of all routes that the store knows or the configuration has.
#[derive(Debug, Default)]
pub struct Tallies {
    routes: RwLock<HashMap<Arc<str>, Arc<RouteTally>>>,
    /// Bytes of the contents of all routes.
    bytes: AtomicI64,
    /// Deliveries of all routes whose content is stored: open and dead ones.
    items: AtomicI64,
}

impl Tallies {
    /// The tally of a route; a new one if it has none.
    #[must_use]
    pub fn route(&self, name: &str) -> Arc<RouteTally> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = routes.get(name) {
            return known.clone();
        }
        drop(routes);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.entry(name.into()).or_default().clone()
    }

    /// Name and tally of every route.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<str>, Arc<RouteTally>)> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let all = routes.iter().map(|(name, tally)| (name.clone(), tally.clone()));
        all.collect()
    }

    /// Bytes of the contents of all routes.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Open and dead deliveries of all routes.
    #[must_use]
    pub fn items(&self) -> i64 {
        self.items.load(Ordering::Relaxed)
    }

    /// Applies the changes of a committed transaction.
    pub fn apply(&self, changes: &Changes) {
        for change in &changes.0 {
            let tally = self.route(&change.route);
            tally.add(change.from, -1);
            tally.add(change.to, 1);
            tally.bytes.fetch_add(change.bytes, Ordering::Relaxed);
            self.bytes.fetch_add(change.bytes, Ordering::Relaxed);
            let items = |state: Option<State>| i64::from(state.is_some_and(holds_content));
            self.items
                .fetch_add(items(change.to) - items(change.from), Ordering::Relaxed);
        }
    }

    /// Adds `count` deliveries of a route in this state, whose contents have `bytes`; called when the store is opened.
    pub fn load(&self, route: &str, state: State, count: i64, bytes: i64) {
        let tally = self.route(route);
        tally.add(Some(state), count);
        tally.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if holds_content(state) {
            self.items.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Whether a delivery in this state counts towards `max_items`.
const fn holds_content(state: State) -> bool {
    match state {
        State::Waiting | State::InFlight | State::Behind | State::Blocked | State::Dead => true,
        State::Delivered | State::Dropped => false,
    }
}
