//! What is done to the rows of the store, one function for each operation. Each runs inside a transaction of the writer;
//! the decisions are the model's.

use super::changes::Changes;
use super::statements;
use super::types::{AttemptEnd, Begun, FirstAttempt, Keep, NewDelivery, OrderKey, Stored, Taken, Wanted};
use crate::inbox::crypt::{Part, Vault};
use crate::inbox::known::{Id, KnownIds};
use crate::inbox::model::delivery::{Control, Ending, Millis, Outcome, State, Why, milliseconds};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::time::Duration;

/// How long the row of a delivered or dropped webhook stays, without its content.
pub(super) const METADATA_MS: Millis = 7 * 86_400_000;
/// Attempts that are kept for each delivery.
const ATTEMPTS_KEPT: u32 = 10;
/// Deliveries that came in during the last seconds go before the backlog.
const FRESH_MS: Millis = 15_000;
/// The backlog has one of this many places at least.
const BACKLOG_SHARE: usize = 8;

/// What a row says about its state.
pub(super) struct Entry {
    pub(super) seq: i64,
    pub(super) control: Control,
    pub(super) bytes: i64,
    pub(super) order_key: Option<Vec<u8>>,
    /// Until when a repetition of its id is recognized.
    pub(super) known_until: Millis,
}

/// The columns of an [`Entry`].
pub(super) const ENTRY: &str = "seq, state, attempts, tried_ms, wait_ms, next_at, why, bytes, order_key, known_until";

/// Reads the columns of [`ENTRY`].
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let state = State::from_number(row.get(1)?);
    Ok(Entry {
        seq: row.get(0)?,
        control: Control {
            // An unknown number is not tried and not acknowledged as delivered.
            state: state.unwrap_or(State::Dead),
            attempts: row.get(2)?,
            tried_ms: row.get(3)?,
            wait_ms: row.get(4)?,
            next_at: row.get(5)?,
            why: row.get::<_, Option<i64>>(6)?.and_then(Why::from_number),
        },
        bytes: row.get(7)?,
        order_key: row.get(8)?,
        known_until: row.get(9)?,
    })
}

fn find(db: &Connection, route: &str, id: &Id) -> rusqlite::Result<Option<Entry>> {
    let sql = format!("SELECT {ENTRY} FROM delivery WHERE route = ?1 AND id = ?2");
    db.prepare_cached(&sql)?.query_row(params![route, id], entry).optional()
}

fn by_number(db: &Connection, seq: i64) -> rusqlite::Result<Option<Entry>> {
    let sql = format!("SELECT {ENTRY} FROM delivery WHERE seq = ?1");
    db.prepare_cached(&sql)?.query_row([seq], entry).optional()
}

/// Writes the state of a row.
pub(super) fn write(db: &Connection, seq: i64, control: &Control) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE delivery SET state = ?2, attempts = ?3, tried_ms = ?4, wait_ms = ?5, next_at = ?6, why = ?7
         WHERE seq = ?1",
    )?
    .execute(params![
        seq,
        control.state as i64,
        control.attempts,
        control.tried_ms,
        control.wait_ms,
        control.next_at,
        control.why.map(|why| why as i64),
    ])?;
    Ok(())
}

/// The state of the webhook with this id, if it is stored or was.
pub(super) fn look_up(db: &Connection, route: &str, id: &Id, now: Millis) -> rusqlite::Result<Option<State>> {
    known_state(db, route, id, find(db, route, id)?.as_ref(), now)
}

/// The state of the webhook with this id, given its row. The id is remembered when its row is gone, too.
fn known_state(
    db: &Connection,
    route: &str,
    id: &Id,
    row: Option<&Entry>,
    now: Millis,
) -> rusqlite::Result<Option<State>> {
    if let Some(Entry { control, .. }) = row
        && (control.state.is_open() || control.state == State::Dead)
    {
        return Ok(Some(control.state));
    }
    let is_known = row.is_some_and(|row| row.known_until > now) || {
        let sql = "SELECT 1 FROM known_id WHERE route = ?1 AND id = ?2 AND expires_at > ?3";
        db.prepare_cached(sql)?.exists(params![route, id, now])?
    };
    Ok(is_known.then(|| row.map_or(State::Delivered, |row| row.control.state)))
}

/// Stores a webhook, or finds that it is a repetition; an id that is not in `known` is not looked up. `is_held` when a direct
/// attempt of its order key is under way.
pub(super) fn store(
    db: &Connection,
    vault: &Vault,
    known: &KnownIds,
    new: &NewDelivery,
    is_held: bool,
    now: Millis,
    changes: &mut Changes,
) -> rusqlite::Result<Stored> {
    let (mut old, mut state) = (None, None);
    if known.may_contain(&new.id) {
        old = find(db, &new.route, &new.id)?;
        state = known_state(db, &new.route, &new.id, old.as_ref(), now)?;
    }
    match state {
        Some(state @ (State::Waiting | State::InFlight | State::Behind | State::Blocked | State::Delivered)) => {
            return Ok(Stored::Repeat { state, revived: false });
        }
        Some(State::Dead | State::Dropped) | None => {}
    }
    let seq = insert(db, vault, new, old, is_held, now, changes)?;
    // Before the commit: a request that sees a wrong positive looks the id up after this transaction.
    known.add(&new.id);
    Ok(state.map_or(Stored::New(seq), |state| Stored::Repeat { state, revived: true }))
}

/// Writes the row of a webhook that is to be delivered; an `old` settled row with the same id is replaced.
fn insert(
    db: &Connection,
    vault: &Vault,
    new: &NewDelivery,
    old: Option<Entry>,
    is_held: bool,
    now: Millis,
    changes: &mut Changes,
) -> rusqlite::Result<i64> {
    let mut attempts = 0;
    if let Some(old) = old {
        attempts = old.control.attempts;
        remove(db, &new.route, &old, changes)?;
    }
    let state = if new.first != FirstAttempt::None {
        State::InFlight
    } else if is_held || is_behind(db, new)? {
        State::Behind
    } else {
        State::Waiting
    };
    let mut control = Control::new(state, now);
    control.attempts = control.attempts.saturating_add(attempts);
    if let FirstAttempt::Ended {
        outcome,
        took,
        in_outage,
    } = new.first
    {
        let ending = Ending {
            outcome,
            took,
            in_outage,
            retry: &new.retry,
            random: u32::from_be_bytes(*new.id.first_chunk().unwrap_or(&[0; 4])),
        };
        control = control.end(&ending, now);
    }
    let body = new.body.concat();
    let sealed = |part, content: &[u8]| {
        let sealed = vault.seal(&new.route, &new.id, part, content);
        sealed.ok_or(rusqlite::Error::InvalidQuery)
    };
    let (head, body) = (sealed(Part::Head, &new.head)?, sealed(Part::Body, &body)?);
    let bytes = i64::try_from(head.len() + body.len()).unwrap_or(i64::MAX);
    db.prepare_cached(
        "INSERT INTO delivery (id, route, state, order_key, position, next_at, attempts, tried_ms, wait_ms,
             received_at, reason, bytes, known_until, head)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, 0, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        new.id,
        &*new.route,
        control.state as i64,
        new.order_key,
        new.position,
        control.next_at,
        control.attempts,
        now,
        new.reason,
        bytes,
        now.saturating_add(milliseconds(new.window)),
        head,
    ])?;
    let seq = db.last_insert_rowid();
    db.prepare_cached("INSERT INTO body (seq, content) VALUES (?1, ?2)")?
        .execute(params![seq, body])?;
    if let FirstAttempt::Ended { outcome, took, .. } = new.first
        && control.attempts > attempts
    {
        let end = AttemptEnd {
            seq,
            route: new.route.clone(),
            outcome,
            took,
            in_outage: false,
            answer: Vec::new(),
        };
        record_attempt(db, &end, control.attempts, now)?;
    }
    changes.moved(&new.route, None, Some(control.state), bytes);
    Ok(seq)
}

/// Remembers the id of a webhook that was never stored for `window`.
pub(super) fn remember(db: &Connection, route: &str, id: &Id, now: Millis, window: Duration) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO known_id (route, id, expires_at) VALUES (?1, ?2, ?3)")?
        .execute(params![route, id, now.saturating_add(milliseconds(window))])?;
    Ok(())
}

/// Whether an open delivery with the same order key came in before.
fn is_behind(db: &Connection, new: &NewDelivery) -> rusqlite::Result<bool> {
    let Some(key) = new.order_key else {
        return Ok(false);
    };
    db.prepare_cached(statements::BEHIND)?
        .exists(params![&*new.route, key, new.position])
}

/// Removes a row with everything that belongs to it, except its id.
pub(super) fn remove(db: &Connection, route: &str, old: &Entry, changes: &mut Changes) -> rusqlite::Result<()> {
    for sql in [
        "INSERT OR REPLACE INTO known_id (route, id, expires_at)
         SELECT route, id, known_until FROM delivery WHERE seq = ?1 AND known_until > 0",
        "DELETE FROM body WHERE seq = ?1",
        "DELETE FROM attempt WHERE seq = ?1",
        "DELETE FROM action WHERE seq = ?1",
        "DELETE FROM delivery WHERE seq = ?1",
    ] {
        db.prepare_cached(sql)?.execute([old.seq])?;
    }
    changes.moved(route, Some(old.control.state), None, -old.bytes);
    Ok(())
}

/// Whether the open deliveries of this order key keep a new one from being sent directly.
pub(super) fn is_key_busy(db: &Connection, route: &str, key: &OrderKey) -> rusqlite::Result<bool> {
    db.prepare_cached(statements::KEY_BUSY)?.exists(params![route, key])
}

/// Begins attempts of up to `limit` deliveries of a route that are due. In `rotation`, those that have waited longest
/// since their last attempt come first; otherwise new ones come before the backlog.
pub(super) fn take(
    db: &Connection,
    route: &str,
    wanted: Wanted,
    now: Millis,
    changes: &mut Changes,
) -> rusqlite::Result<Taken> {
    let Wanted {
        limit,
        rotation,
        mut room,
        always_one,
    } = wanted;
    let mut numbers: Vec<i64> = Vec::new();
    let fresh = limit - limit.div_ceil(BACKLOG_SHARE).min(limit);
    if !rotation && fresh > 0 {
        // What operators redeliver is not new: it goes behind what waits already.
        numbers = due(db, statements::DUE_BY_ITSELF, route, now - FRESH_MS, now, fresh)?;
    }
    for number in due(db, statements::DUE, route, Millis::MIN, now, limit)? {
        if numbers.len() < limit && !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    let mut taken = Taken::default();
    for seq in numbers {
        let Some(old) = by_number(db, seq)? else { continue };
        match room.checked_sub(usize::try_from(old.bytes).unwrap_or(0)) {
            Some(left) => room = left,
            None if always_one && taken.begun.is_empty() => room = 0,
            None => {
                taken.is_cut_short = true;
                break;
            }
        }
        let control = old.control.begin();
        write(db, seq, &control)?;
        changes.moved(route, Some(old.control.state), Some(control.state), 0);
        let mut statement = db.prepare_cached(
            "SELECT d.id, d.is_manual, d.received_at, d.head, b.content
             FROM delivery d LEFT JOIN body b ON b.seq = d.seq WHERE d.seq = ?1",
        )?;
        taken.begun.push(statement.query_row([seq], |row| {
            Ok(Begun {
                seq,
                // A row that somebody has changed may have values of any type. It is not readable, and therefore not sent.
                id: row.get(0).unwrap_or_default(),
                attempt: control.attempts,
                is_manual: row.get(1).unwrap_or_default(),
                received_at: row.get(2).unwrap_or_default(),
                head: row.get(3).unwrap_or_default(),
                body: row.get(4).unwrap_or_default(),
            })
        })?);
    }
    taken.next_at = db
        .prepare_cached(statements::NEXT_DUE)?
        .query_row([route], |row| row.get(0))?;
    Ok(taken)
}

fn due(db: &Connection, sql: &str, route: &str, from: Millis, to: Millis, limit: usize) -> rusqlite::Result<Vec<i64>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    db.prepare_cached(sql)?
        .query_map(params![route, from, to, limit], |row| row.get(0))?
        .collect()
}

/// Records the end of an attempt. Returns the state of the delivery; `None` when it is gone.
pub(super) fn settle(
    db: &Connection,
    end: &AttemptEnd,
    ending: &Ending<'_>,
    keep: Keep,
    now: Millis,
    changes: &mut Changes,
) -> rusqlite::Result<Option<State>> {
    let Some(old) = by_number(db, end.seq)? else {
        return Ok(None);
    };
    if old.control.state != State::InFlight {
        return Ok(Some(old.control.state));
    }
    let control = old.control.end(ending, now);
    write(db, end.seq, &control)?;
    if control.attempts == old.control.attempts {
        record_attempt(db, end, control.attempts, now)?;
    }
    finish(db, &end.route, &old, control.state, keep, now, changes)?;
    Ok(Some(control.state))
}

fn record_attempt(db: &Connection, end: &AttemptEnd, number: u32, now: Millis) -> rusqlite::Result<()> {
    let status = match end.outcome {
        Outcome::Answered { status, .. } => Some(status),
        Outcome::Unknown | Outcome::Unsendable(_) | Outcome::NotSent { .. } => None,
    };
    db.prepare_cached(
        "INSERT OR REPLACE INTO attempt (seq, number, ended_at, took_ms, outcome, status, answer)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        end.seq,
        number,
        now,
        milliseconds(end.took),
        end.outcome.label(),
        status,
        (!end.answer.is_empty()).then_some(&end.answer),
    ])?;
    db.prepare_cached("DELETE FROM attempt WHERE seq = ?1 AND number <= ?2")?
        .execute(params![end.seq, i64::from(number) - i64::from(ATTEMPTS_KEPT)])?;
    Ok(())
}

/// What follows from a new state: erasure, expiry, and the next delivery of the order key.
pub(super) fn finish(
    db: &Connection,
    route: &str,
    old: &Entry,
    state: State,
    keep: Keep,
    now: Millis,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let mut bytes = 0;
    let expires_at = match state {
        State::Waiting | State::InFlight | State::Behind | State::Blocked => {
            changes.moved(route, Some(old.control.state), Some(state), 0);
            return Ok(());
        }
        State::Dead => now.saturating_add(milliseconds(keep.dead)),
        State::Delivered if !keep.delivered.is_zero() => now.saturating_add(milliseconds(keep.delivered)),
        State::Delivered | State::Dropped => {
            erase(db, old.seq)?;
            bytes = -old.bytes;
            now.saturating_add(METADATA_MS)
        }
    };
    db.prepare_cached("UPDATE delivery SET settled_at = ?2, expires_at = ?3 WHERE seq = ?1")?
        .execute(params![old.seq, now, expires_at])?;
    changes.moved(route, Some(old.control.state), Some(state), bytes);
    if let Some(key) = &old.order_key {
        release_key(db, route, key, now, changes)?;
    }
    Ok(())
}

/// Erases head, body and answers of a delivery.
pub(super) fn erase(db: &Connection, seq: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM body WHERE seq = ?1",
        "UPDATE attempt SET answer = NULL WHERE seq = ?1",
        "UPDATE delivery SET head = NULL, bytes = 0 WHERE seq = ?1",
    ] {
        db.prepare_cached(sql)?.execute([seq])?;
    }
    Ok(())
}

/// Lets the first delivery behind this order key go, if no other one of the key is open before it.
pub(super) fn release_key(
    db: &Connection,
    route: &str,
    key: &[u8],
    now: Millis,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let first: Option<(i64, i64)> = db
        .prepare_cached(statements::FIRST_OF_KEY)?
        .query_row(params![route, key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((seq, state)) = first
        && state == State::Behind as i64
    {
        db.prepare_cached("UPDATE delivery SET state = 0, next_at = ?2 WHERE seq = ?1")?
            .execute(params![seq, now])?;
        changes.moved(route, Some(State::Behind), Some(State::Waiting), 0);
    }
    Ok(())
}
