//! Measures the bounds of the store, and samples what the metrics show of its rows.

use super::shared::Shared;
use super::statements;
use super::status::Bound;
use crate::inbox::model::delivery::State;
use crate::inbox::place;
use rusqlite::Connection;
use std::sync::atomic::Ordering;

/// Sets the bound at which nothing new is stored, and the figures of each route.
pub(super) fn measure(shared: &Shared, connection: &Connection) {
    let (settings, status) = (&shared.settings, &shared.status);
    let log = std::fs::metadata(place::beside(&settings.store, "-wal")).map_or(0, |found| found.len());
    status.log_bytes.store(log, Ordering::Relaxed);
    let free = place::free_bytes(&settings.store).unwrap_or(u64::MAX);
    status.free_bytes.store(free, Ordering::Relaxed);
    let exceeds = |count: i64, limit: usize| count >= i64::try_from(limit).unwrap_or(i64::MAX);
    let at_most = |limit: usize| u64::try_from(limit).unwrap_or(u64::MAX);
    let tallies = &shared.tallies;
    status.set_bound(if free < at_most(settings.min_free_disk) {
        Bound::Disk
    } else if log > at_most(settings.max_log) {
        Bound::Log
    } else if exceeds(tallies.bytes(), settings.max_bytes) || exceeds(tallies.items(), settings.max_items) {
        Bound::Size
    } else {
        Bound::None
    });
    for (route, tally) in tallies.all() {
        let oldest = if tally.open() == 0 {
            None
        } else {
            let found = connection
                .prepare_cached(statements::OLDEST)
                .and_then(|mut statement| statement.query_row([&*route], |row| row.get::<_, i64>(0)));
            found.ok()
        };
        tally.oldest.store(oldest.unwrap_or(0), Ordering::Relaxed);
        let dead_expires = if tally.count(State::Dead) == 0 {
            None
        } else {
            let sql = "SELECT min(expires_at) FROM delivery WHERE route = ?1 AND state = 5";
            let found = connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.query_row([&*route], |row| row.get::<_, Option<i64>>(0)));
            found.ok().flatten()
        };
        tally.dead_expires.store(dead_expires.unwrap_or(0), Ordering::Relaxed);
    }
}
