//! The open connections and the running accept loops of the process, and the limit on the connections.
//!
//! At the limit a new connection takes the place of another one. The source with the most connections gives way first,
//! with the connection that has waited longest for a request. Among other sources than its own, a newcomer may also end a
//! request that is not verified yet, if that source has more connections. A connection with a verified or forwarded
//! request is never closed. Only when none can be closed, the new one is.

use crate::gateway::connection_state::ConnectionState;
use crate::http::source::Source;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Number of independently locked parts of the list of connections.
const SHARDS: usize = 16;
/// When connections have to give way, this part of the limit does at once, so that the next newcomers need not search.
const ROOM_DIVISOR: usize = 128;

/// The open connections and running accept loops over all listeners and workers, and the limit on connections.
#[derive(Debug)]
pub struct Connections {
    /// Number of open connections that have not been told to give way; as many as `list` has.
    open: AtomicUsize,
    /// Number of running accept loops; one for each [`AcceptLoop`].
    accepting: AtomicUsize,
    /// The most open connections.
    limit: usize,
    /// The states of the open connections, by number.
    list: [Mutex<HashMap<u64, Arc<ConnectionState>>>; SHARDS],
    /// The number of the next connection.
    next_number: AtomicU64,
    /// The start of the times in the states.
    epoch: Instant,
}

/// A connection that may have to give way.
struct Candidate {
    number: u64,
    state: Arc<ConnectionState>,
    source: Option<Source>,
    is_waiting_for_request: bool,
}

impl Connections {
    /// Starts with no connection; at most `limit` may be open at once.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            accepting: AtomicUsize::new(0),
            limit,
            list: Default::default(),
            next_number: AtomicU64::new(0),
            epoch: Instant::now(),
        })
    }

    /// Number of open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Number of running accept loops.
    #[must_use]
    pub fn accepting(&self) -> usize {
        self.accepting.load(Ordering::Relaxed)
    }

    /// Counts one more connection, of `source`. At the limit another connection is closed; `None` if none can be.
    pub(super) fn permit(self: &Arc<Self>, source: Option<Source>) -> Option<Permit> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limit && self.make_room(source) == 0 {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let state = Arc::new(ConnectionState::new(self.epoch));
        if let Some(source) = source {
            state.set_source(source);
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        self.shard(number).insert(number, state.clone());
        Some(Permit {
            connections: self.clone(),
            number,
            state,
        })
    }

    /// Counts one more accept loop.
    pub(super) fn accept_loop(self: &Arc<Self>) -> AcceptLoop {
        self.accepting.fetch_add(1, Ordering::Relaxed);
        AcceptLoop(self.clone())
    }

    /// Closes connections for a new one of `newcomer`, and returns how many.
    fn make_room(&self, newcomer: Option<Source>) -> usize {
        let mut all = Vec::new();
        for shard in &self.list {
            all.extend(lock(shard).iter().map(|(number, state)| Candidate {
                number: *number,
                source: state.source(),
                is_waiting_for_request: state.is_waiting_for_request(),
                state: state.clone(),
            }));
        }
        let mut counts: HashMap<Source, usize> = HashMap::new();
        for source in all.iter().filter_map(|candidate| candidate.source) {
            *counts.entry(source).or_default() += 1;
        }
        let heaviest = counts.iter().max_by_key(|(_, count)| **count);
        let heaviest = heaviest.map(|(source, count)| (*source, *count));
        all.retain(|candidate| !candidate.state.is_protected());
        let own_count = newcomer.map_or(0, |source| counts.get(&source).copied().unwrap_or(0));
        let mut chosen = Vec::new();
        if let Some((source, count)) = heaviest.filter(|(_, count)| *count > 1) {
            let of_heaviest = |waiting: bool| {
                let of_source = all.iter().filter(move |candidate| candidate.source == Some(source));
                of_source.filter(move |candidate| candidate.is_waiting_for_request == waiting)
            };
            chosen.extend(of_heaviest(true));
            if chosen.is_empty() && own_count + 1 < count {
                chosen.extend(of_heaviest(false));
            }
        }
        if chosen.is_empty() {
            chosen.extend(all.iter().filter(|candidate| candidate.is_waiting_for_request));
        }
        chosen.sort_by_key(|candidate| candidate.state.changed_ms());
        chosen.truncate((self.limit / ROOM_DIVISOR).max(1));
        let closed = chosen.into_iter().filter(|candidate| self.close(candidate)).count();
        self.open.fetch_sub(closed, Ordering::Relaxed);
        closed
    }

    /// Tells a connection to close; `false` if it has ended or is closing already.
    fn close(&self, candidate: &Candidate) -> bool {
        let is_listed = self.shard(candidate.number).remove(&candidate.number).is_some();
        if is_listed {
            candidate.state.close();
        }
        is_listed
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, HashMap<u64, Arc<ConnectionState>>> {
        let index = usize::try_from(number % SHARDS as u64).unwrap_or(0);
        let [first, ..] = &self.list;
        lock(self.list.get(index).unwrap_or(first))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Permission for one connection. Dropping it ends the count.
pub(super) struct Permit {
    connections: Arc<Connections>,
    number: u64,
    state: Arc<ConnectionState>,
}

impl Permit {
    /// The state of the connection.
    pub(super) const fn state(&self) -> &Arc<ConnectionState> {
        &self.state
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // A connection that was told to give way is not counted any more.
        if self.connections.shard(self.number).remove(&self.number).is_some() {
            self.connections.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One running accept loop. Dropping it ends the count.
pub(super) struct AcceptLoop(Arc<Connections>);

impl Drop for AcceptLoop {
    fn drop(&mut self) {
        self.0.accepting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    fn source(last: u8) -> Option<Source> {
        Some(Source::of([192, 0, 2, last].into()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_waited_longest_of_the_largest_source_gives_way() {
        let connections = Connections::new(4);
        let other = connections.permit(source(2)).unwrap();
        advance(Duration::from_secs(1)).await;
        let first = connections.permit(source(1)).unwrap();
        advance(Duration::from_secs(1)).await;
        let rest: Vec<_> = (0..2).map(|_| connections.permit(source(1)).unwrap()).collect();
        let newcomer = connections.permit(source(3)).unwrap();
        assert!(first.state().is_closing());
        assert!(
            rest.iter()
                .chain([&other, &newcomer])
                .all(|permit| !permit.state().is_closing())
        );
        assert_eq!(connections.open(), 4);
        drop((first, other, rest, newcomer));
        assert_eq!(connections.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_progress_give_way_to_smaller_sources_only_and_protected_ones_never() {
        let connections = Connections::new(3);
        let permits: Vec<_> = (0..3).map(|_| connections.permit(source(1)).unwrap()).collect();
        for permit in &permits {
            permit.state().start_for_test();
        }
        assert!(connections.permit(source(1)).is_none(), "its own source is the largest");
        let newcomer = connections.permit(source(2)).unwrap();
        assert_eq!(permits.iter().filter(|permit| permit.state().is_closing()).count(), 1);
        for permit in permits.iter().chain([&newcomer]) {
            permit.state().protect_for_test();
        }
        assert!(connections.permit(source(3)).is_none());
        assert_eq!(connections.open(), 3);
    }
}
