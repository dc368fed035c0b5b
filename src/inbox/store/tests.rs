//! The rows against a simple reference: whatever is asked in whatever order, no delivery is lost, none is sent twice at
//! the same time, keys keep their order, and the counts are those of the file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::changes::{Changes, Tallies};
use super::rows;
use super::schema;
use super::statements;
use super::types::{AttemptEnd, FirstAttempt, Keep, NewDelivery, Stored, Wanted};
use super::upkeep;
use crate::inbox::crypt::Vault;
use crate::inbox::known::{Id, KnownIds};
use crate::inbox::model::delivery::{Ending, Outcome, State};
use crate::secret::Secret;
use crate::settings::Retry;
use bytes::Bytes;
use proptest::prelude::*;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const ROUTE: &str = "shop";
const OK: Outcome = Outcome::Answered {
    status: 200,
    retry_after: None,
};
const FAILED: Outcome = Outcome::Answered {
    status: 500,
    retry_after: None,
};
const GIVEN_UP: Outcome = Outcome::Answered {
    status: 410,
    retry_after: None,
};

fn retry() -> Arc<Retry> {
    Arc::new(Retry {
        max_age: Duration::from_secs(3_600),
        backoff: Duration::from_secs(2),
        backoff_limit: Duration::from_secs(60),
        give_up_on: vec![410],
    })
}

struct Rig {
    _directory: tempfile::TempDir,
    db: Connection,
    vault: Vault,
    known: KnownIds,
    tallies: Tallies,
    now: i64,
    position: i64,
    window: Duration,
}

impl Rig {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let db = schema::open(&directory.path().join("inbox.db")).unwrap();
        // The tests are about rows and not about syncs.
        db.pragma_update(None, "synchronous", "OFF").unwrap();
        Self {
            _directory: directory,
            db,
            vault: Vault::new(&[Secret::new(b"a key of the inbox that is long enough".to_vec())]).unwrap(),
            known: KnownIds::default(),
            tallies: Tallies::default(),
            now: 1_000_000,
            position: 0,
            window: Duration::from_secs(1_000),
        }
    }

    fn apply<T>(&self, work: impl FnOnce(&Connection, &mut Changes) -> rusqlite::Result<T>) -> T {
        let mut changes = Changes::default();
        let transaction = self.db.unchecked_transaction().unwrap();
        let result = work(&transaction, &mut changes).unwrap();
        transaction.commit().unwrap();
        self.tallies.apply(&changes);
        result
    }

    fn store(&mut self, id: Id, key: Option<u8>, first: FirstAttempt) -> Stored {
        self.position += 1;
        let new = NewDelivery {
            id,
            route: ROUTE.into(),
            order_key: key.map(|key| [key; 16]),
            position: self.position,
            head: Bytes::from_static(b"head"),
            body: vec![Bytes::from_static(b"bo"), Bytes::from_static(b"dy")],
            window: self.window,
            first,
            retry: retry(),
            reason: "queue",
        };
        self.apply(|db, changes| rows::store(db, &self.vault, &self.known, &new, false, self.now, changes))
    }

    fn take(&self, limit: usize) -> Vec<i64> {
        let taken = self.apply(|db, changes| {
            let wanted = Wanted {
                limit,
                rotation: false,
                room: usize::MAX,
                always_one: false,
            };
            rows::take(db, ROUTE, wanted, self.now, changes)
        });
        taken.begun.iter().map(|begun| begun.seq).collect()
    }

    fn settle(&self, seq: i64, outcome: Outcome) -> Option<State> {
        let end = AttemptEnd {
            seq,
            route: ROUTE.into(),
            outcome,
            took: Duration::from_millis(5),
            in_outage: false,
            answer: b"an answer".to_vec(),
        };
        let retry = retry();
        let ending = Ending {
            outcome,
            took: end.took,
            in_outage: false,
            retry: &retry,
            random: 7,
        };
        let keep = Keep {
            delivered: Duration::ZERO,
            dead: Duration::from_secs(500),
        };
        self.apply(|db, changes| rows::settle(db, &end, &ending, keep, self.now, changes))
    }

    fn number(&self, sql: &str) -> i64 {
        self.db.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

#[test]
fn a_repetition_finds_the_state_of_the_first() {
    let mut rig = Rig::new();
    let Stored::New(seq) = rig.store([1; 16], None, FirstAttempt::None) else {
        panic!("the first one is new")
    };
    let repeat = |state, revived| Stored::Repeat { state, revived };
    assert_eq!(
        rig.store([1; 16], None, FirstAttempt::None),
        repeat(State::Waiting, false)
    );
    assert_eq!(rig.take(5), [seq]);
    assert_eq!(
        rig.store([1; 16], None, FirstAttempt::None),
        repeat(State::InFlight, false)
    );
    assert_eq!(rig.settle(seq, GIVEN_UP), Some(State::Dead));
    assert_eq!(rig.store([1; 16], None, FirstAttempt::None), repeat(State::Dead, true));
    let again = rig.take(5);
    assert_eq!(again.len(), 1);
    assert_eq!(rig.settle(again[0], OK), Some(State::Delivered));
    assert_eq!(
        rig.store([1; 16], None, FirstAttempt::None),
        repeat(State::Delivered, false)
    );
    // The id is forgotten with its window, and the row of a delivered one does not stand in the way.
    rig.now += 1_000_001;
    assert!(matches!(rig.store([1; 16], None, FirstAttempt::None), Stored::New(_)));
}

#[test]
fn the_id_outlives_the_row_and_contents_expire() {
    let mut rig = Rig::new();
    rig.store([1; 16], None, FirstAttempt::None);
    let seq = rig.take(1)[0];
    rig.settle(seq, GIVEN_UP);
    rig.now += 500_000;
    let more = rig.apply(|db, changes| upkeep::expire(db, rig.now, 100, changes));
    assert!(!more && rig.number("SELECT count(*) FROM delivery") == 0 && rig.number("SELECT count(*) FROM body") == 0);
    assert_eq!(rig.number("SELECT count(*) FROM attempt"), 0);
    let known = rows::look_up(&rig.db, ROUTE, &[1; 16], rig.now).unwrap();
    assert_eq!(known, Some(State::Delivered));
    rig.now += 600_000;
    rig.apply(|db, changes| upkeep::expire(db, rig.now, 100, changes));
    assert_eq!(rig.number("SELECT count(*) FROM known_id"), 0);
}

#[test]
fn new_deliveries_go_before_the_backlog_which_keeps_a_share() {
    let mut rig = Rig::new();
    for at in 0..100 {
        rig.store([at; 16], None, FirstAttempt::None);
    }
    rig.now += 60_000;
    for at in 100..120 {
        rig.store([at; 16], None, FirstAttempt::None);
    }
    let taken = rig.take(8);
    assert_eq!(taken, [101, 102, 103, 104, 105, 106, 107, 1]);
}

#[test]
fn a_direct_attempt_that_failed_is_on_record() {
    let mut rig = Rig::new();
    let first = FirstAttempt::Ended {
        outcome: FAILED,
        took: Duration::from_millis(3),
        in_outage: false,
    };
    rig.store([1; 16], None, first);
    assert_eq!(rig.number("SELECT attempts FROM delivery"), 1);
    assert_eq!(rig.number("SELECT status FROM attempt WHERE number = 1"), 500);
    assert!(rig.take(1).is_empty(), "it backs off first");
    let not_sent = FirstAttempt::Ended {
        outcome: Outcome::NotSent { crowded: false },
        took: Duration::ZERO,
        in_outage: true,
    };
    rig.store([2; 16], None, not_sent);
    assert_eq!(rig.take(1), [2]);
    assert_eq!(rig.number("SELECT attempts FROM delivery WHERE seq = 2"), 1);
}

/// One step of the property test.
#[derive(Clone, Debug)]
enum Step {
    Store(u8, Option<u8>),
    Take(usize),
    Settle(prop::sample::Index, u8),
    Later(u32),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40_u8, prop::option::of(0..3_u8)).prop_map(|(id, key)| Step::Store(id, key)),
        (1..6_usize).prop_map(Step::Take),
        (any::<prop::sample::Index>(), 0..5_u8).prop_map(|(at, how)| Step::Settle(at, how)),
        (0..200_000_u32).prop_map(Step::Later),
        Just(Step::Restart),
    ]
}

/// No statement that each delivery needs reads the backlog: all of them search an index, and none sorts.
#[test]
fn the_statements_of_a_delivery_do_not_read_the_backlog() {
    let rig = Rig::new();
    for sql in [
        statements::BEHIND,
        statements::KEY_BUSY,
        statements::FIRST_OF_KEY,
        statements::DUE,
        statements::DUE_BY_ITSELF,
        statements::NEXT_DUE,
        statements::OLDEST,
    ] {
        let mut statement = rig.db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
        let steps = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3));
        let plan: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
        assert!(plan.len() == 1 && plan[0].contains("SEARCH"), "{sql}: {plan:?}");
    }
}

/// A delivery as the reference sees it.
#[derive(Clone, Debug)]
struct Known {
    key: Option<u8>,
    position: i64,
    state: State,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The reference keeps a map of open deliveries and the rules in words; the store must agree with it.
    #[test]
    fn the_store_agrees_with_the_reference(steps in prop::collection::vec(step(), 1..80)) {
        let mut rig = Rig::new();
        // No id is forgotten during the test.
        rig.window = Duration::from_secs(1_000_000_000);
        let mut known: BTreeMap<i64, Known> = BTreeMap::new();
        let mut ids: BTreeMap<u8, i64> = BTreeMap::new();
        let mut in_flight: Vec<i64> = Vec::new();
        for step in steps {
            match step {
                Step::Store(id, key) => {
                    let before = ids.get(&id).map(|seq| known[seq].state);
                    let stored = rig.store([id; 16], key, FirstAttempt::None);
                    let expected_new = before.is_none() || before == Some(State::Dead);
                    match stored {
                        Stored::New(_) => prop_assert!(before.is_none()),
                        Stored::Repeat { state, revived } => {
                            prop_assert_eq!(Some(state), before);
                            prop_assert_eq!(revived, expected_new);
                        }
                    }
                    if expected_new {
                        if let Some(old) = ids.get(&id) {
                            known.remove(old);
                        }
                        let seq = rig.number("SELECT max(seq) FROM delivery");
                        ids.insert(id, seq);
                        let is_busy = key.is_some()
                            && known.values().any(|other| other.key == key && other.state.is_open());
                        let state = if is_busy { State::Behind } else { State::Waiting };
                        known.insert(seq, Known { key, position: rig.position, state });
                    }
                }
                Step::Take(limit) => {
                    for seq in rig.take(limit) {
                        // Only a waiting one begins, and never before an earlier one of its key.
                        let taken = known.get_mut(&seq).unwrap();
                        prop_assert_eq!(taken.state, State::Waiting);
                        taken.state = State::InFlight;
                        let taken = taken.clone();
                        in_flight.push(seq);
                        let earlier = known.values().filter(|other| {
                            other.key == taken.key && other.state.is_open() && other.position < taken.position
                        });
                        prop_assert!(taken.key.is_none() || earlier.count() == 0);
                    }
                }
                Step::Settle(at, how) => {
                    if in_flight.is_empty() {
                        continue;
                    }
                    let seq = in_flight.swap_remove(at.index(in_flight.len()));
                    let (outcome, expected) = match how {
                        0 => (OK, State::Delivered),
                        1 => (GIVEN_UP, State::Dead),
                        2 => (FAILED, State::Waiting),
                        3 => (Outcome::Unknown, State::Waiting),
                        _ => (Outcome::NotSent { crowded: false }, State::Waiting),
                    };
                    prop_assert_eq!(rig.settle(seq, outcome), Some(expected));
                    let key = known[&seq].key;
                    known.get_mut(&seq).unwrap().state = expected;
                    if !expected.is_open() && key.is_some() {
                        let mut behind: Vec<_> = known
                            .iter()
                            .filter(|(_, other)| other.key == key && other.state.is_open())
                            .map(|(seq, other)| (other.position, *seq))
                            .collect();
                        behind.sort_unstable();
                        if let Some((_, first)) = behind.first() {
                            known.get_mut(first).unwrap().state = State::Waiting;
                        }
                    }
                }
                Step::Later(milliseconds) => rig.now += i64::from(milliseconds),
                Step::Restart => {
                    // Whatever was in flight has an unknown outcome and waits again.
                    upkeep::load(&rig.db, rig.now).unwrap();
                    for seq in in_flight.drain(..) {
                        known.get_mut(&seq).unwrap().state = State::Waiting;
                    }
                    rig.tallies = Tallies::default();
                    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
                    for other in known.values() {
                        *counts.entry(other.state as i64).or_default() += 1;
                    }
                    for (state, count) in counts {
                        rig.tallies.load(ROUTE, State::from_number(state).unwrap(), count, 0);
                    }
                }
            }
            for state in State::ALL {
                let expected = known.values().filter(|other| other.state == state).count();
                let stored = rig.number(&format!("SELECT count(*) FROM delivery WHERE state = {}", state as i64));
                prop_assert_eq!(stored, i64::try_from(expected).unwrap(), "{:?}", state);
                prop_assert_eq!(rig.tallies.route(ROUTE).count(state), stored, "{:?}", state);
            }
            // Nothing that is open has lost its content.
            let lost = rig.number("SELECT count(*) FROM delivery WHERE state < 4 AND seq NOT IN (SELECT seq FROM body)");
            prop_assert_eq!(lost, 0);
        }
    }
}
