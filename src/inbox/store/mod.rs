//! The store: an SQLite file with one writer thread, which commits whatever is waiting.
//!
//! The writer owns the file. Everybody else sends it commands and waits for the answer, which comes after the commit
//! has been synced. What arrives while the writer works is the next transaction; it need not wait for the sync of the
//! one before.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`writer`] | the writer thread: opens the store, commits, maintains |
//! | [`syncs`] | syncs what is committed, then answers |
//! | [`measure`] | the bounds of the store, and its figures |
//! | [`checkpoints`] | copies the write-ahead log into the file |
//! | [`command`] | what the writer is asked, and its answers |
//! | [`upkeep`] | what is done to the rows at a start and at intervals |
//! | [`operations`] | what operators see of the rows, and do to them |
//! | [`rows`] | what each command does to the rows |
//! | [`statements`] | how deliveries are found among many |
//! | [`schema`] | the tables, and how the file is opened |
//! | [`shared`] | what the writer shares with the rest of the inbox |
//! | [`status`] | whether the store accepts webhooks, and its figures |
//! | [`changes`] | counts by route and state |
//! | [`types`] | what the store is given, and what it returns |

pub mod changes;
mod checkpoints;
pub mod command;
mod measure;
pub mod operations;
mod rows;
mod schema;
pub mod shared;
mod statements;
pub mod status;
mod syncs;
pub mod types;
mod upkeep;
pub mod writer;

pub use rusqlite::Connection;

use std::path::Path;

/// A connection that only reads, beside the writer.
///
/// # Errors
/// When the file cannot be opened.
pub fn reader(store: &Path) -> rusqlite::Result<Connection> {
    schema::reader(store)
}

/// The file of a process that does not run. The caller has its lock.
///
/// # Errors
/// When the file cannot be opened, is not a database, or was written by a later release.
pub fn open_closed(store: &Path) -> rusqlite::Result<Connection> {
    schema::open(store)
}

/// Pauses every route of a copy.
///
/// # Errors
/// When the file cannot be written.
pub fn pause_all(copy: &Path) -> rusqlite::Result<()> {
    let connection = schema::connect(copy)?;
    let sql = "INSERT OR REPLACE INTO route (name, is_paused) SELECT DISTINCT route, 1 FROM delivery";
    connection.execute(sql, []).map(drop)
}

#[cfg(test)]
mod tests;
