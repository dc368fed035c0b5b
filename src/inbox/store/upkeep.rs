//! What is done to the rows at a start and at intervals: deliveries of the earlier process come back, and contents expire.

use super::changes::Changes;
use super::rows::{ENTRY, Entry, METADATA_MS, entry, erase, remove, write};
use crate::inbox::model::delivery::{LONGEST_LOADED_WAIT_MS, Millis, Outcome, State};
use rusqlite::{Connection, params};

/// Brings deliveries of the earlier process back: attempts that were under way have an unknown outcome. Returns how many
/// those are.
pub(super) fn load(db: &Connection, now: Millis) -> rusqlite::Result<usize> {
    let sql = format!("SELECT {ENTRY} FROM delivery WHERE state < 4 AND (state IN (1, 3) OR next_at > ?1)");
    let entries: Vec<Entry> = db
        .prepare(&sql)?
        .query_map([now.saturating_add(LONGEST_LOADED_WAIT_MS)], entry)?
        .collect::<rusqlite::Result<_>>()?;
    let mut cut_off = 0;
    for old in entries {
        if old.control.state == State::InFlight {
            cut_off += 1;
            db.prepare_cached(
                "INSERT OR REPLACE INTO attempt (seq, number, ended_at, took_ms, outcome) VALUES (?1, ?2, ?3, 0, ?4)",
            )?
            .execute(params![old.seq, old.control.attempts, now, Outcome::Unknown.label()])?;
        }
        write(db, old.seq, &old.control.load(now))?;
    }
    // A direct attempt that kept a key busy has ended with the earlier process.
    let sql = "UPDATE delivery INDEXED BY delivery_order SET state = 0, next_at = ?1
               WHERE order_key IS NOT NULL AND state < 4 AND state = 2 AND NOT EXISTS (
                   SELECT 1 FROM delivery e INDEXED BY delivery_order WHERE e.route = delivery.route
                   AND e.order_key = delivery.order_key AND e.state < 4 AND e.position < delivery.position)";
    db.execute(sql, [now])?;
    Ok(cut_off)
}

/// Lets the blocked deliveries of a route be tried again: its configuration has changed.
pub(super) fn unblock(db: &Connection, route: &str, now: Millis, changes: &mut Changes) -> rusqlite::Result<()> {
    let sql = format!("SELECT {ENTRY} FROM delivery WHERE route = ?1 AND state = 3");
    let entries: Vec<Entry> = db
        .prepare_cached(&sql)?
        .query_map([route], entry)?
        .collect::<rusqlite::Result<_>>()?;
    for old in entries {
        write(db, old.seq, &old.control.unblock(now))?;
        changes.moved(route, Some(State::Blocked), Some(State::Waiting), 0);
    }
    Ok(())
}

/// Erases what has expired, at most `limit` rows. Returns whether there may be more.
pub(super) fn expire(db: &Connection, now: Millis, limit: u32, changes: &mut Changes) -> rusqlite::Result<bool> {
    let sql = format!(
        "SELECT {ENTRY}, route, head IS NULL, settled_at FROM delivery WHERE expires_at IS NOT NULL AND expires_at <= ?1 LIMIT ?2"
    );
    let mut expired: Vec<(Entry, String, bool, Option<Millis>)> = Vec::new();
    {
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query(params![now, limit])?;
        while let Some(row) = rows.next()? {
            expired.push((entry(row)?, row.get(10)?, row.get(11)?, row.get(12)?));
        }
    }
    for (old, route, is_erased, settled_at) in &expired {
        if old.control.state == State::Delivered && !is_erased {
            erase(db, old.seq)?;
            let expires_at = settled_at.unwrap_or(now).saturating_add(METADATA_MS);
            db.prepare_cached("UPDATE delivery SET expires_at = ?2 WHERE seq = ?1")?
                .execute(params![old.seq, expires_at])?;
            changes.moved(route, Some(State::Delivered), Some(State::Delivered), -old.bytes);
        } else {
            remove(db, route, old, changes)?;
        }
    }
    let sql = "DELETE FROM known_id WHERE (route, id) IN
               (SELECT route, id FROM known_id WHERE expires_at <= ?1 LIMIT ?2)";
    let ids = db.prepare_cached(sql)?.execute(params![now, limit])?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(expired.len() >= limit || ids >= limit)
}
