//! The file of the store: how it is opened, and its tables.

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// The version of the tables, in `PRAGMA user_version`. The previous release must be able to read the file.
pub(super) const VERSION: i64 = 2;

/// A page of the file, with its header in the write-ahead log.
const LOGGED_PAGE_BYTES: u64 = 4_096 + 24;

/// How long a statement waits for a checkpoint or for another process that reads the file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the tables of version 1 those of version 2.
const FROM_1: &str = "
ALTER TABLE delivery ADD COLUMN known_until INTEGER NOT NULL DEFAULT 0;
DROP INDEX delivery_due;
CREATE INDEX delivery_due ON delivery (route, next_at) WHERE state = 0;
";

/// The tables of version 2. `state` and `why` are numbers of the model; times are milliseconds since 1970.
///
/// - `delivery`: one row for each stored webhook. `position` is its place in the order of its key. `target` is for
///   several applications behind one route; it has one value now. `expires_at` is when its content is erased, or the
///   whole row if it has none. `known_until` is how long a repetition of its id is recognized by the row.
/// - `body`: bodies apart, so that the rows of `delivery` stay small.
/// - `attempt`: the last attempts of each delivery.
/// - `action`: what operators did to each delivery.
/// - `known_id`: ids of webhooks that have no row: their row was removed, or they were never stored.
/// - `route`: what operators have set for a route.
/// - `probe`: one row, written regularly, to notice a bad disk.
///
/// A statement that a delivery needs names its index (`INDEXED BY`): left to choose, SQLite would take `delivery_count`,
/// which has the whole backlog in one state. An index on some states is usable only where the statement has the same
/// condition.
const TABLES: &str = "
CREATE TABLE delivery (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    route TEXT NOT NULL,
    target TEXT NOT NULL DEFAULT '',
    state INTEGER NOT NULL,
    order_key BLOB,
    position INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    tried_ms INTEGER NOT NULL,
    wait_ms INTEGER NOT NULL,
    why INTEGER,
    is_manual INTEGER NOT NULL DEFAULT 0,
    received_at INTEGER NOT NULL,
    settled_at INTEGER,
    expires_at INTEGER,
    reason TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    known_until INTEGER NOT NULL DEFAULT 0,
    head BLOB
);
CREATE UNIQUE INDEX delivery_id ON delivery (id, route);
CREATE INDEX delivery_due ON delivery (route, next_at) WHERE state = 0;
CREATE INDEX delivery_open ON delivery (route, seq) WHERE state < 4;
CREATE INDEX delivery_order ON delivery (route, order_key, position) WHERE order_key IS NOT NULL AND state < 4;
CREATE INDEX delivery_count ON delivery (route, state, bytes);
CREATE INDEX delivery_dead ON delivery (route, expires_at) WHERE state = 5;
CREATE INDEX delivery_expiry ON delivery (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE body (seq INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE attempt (
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER,
    answer BLOB,
    PRIMARY KEY (seq, number)
) WITHOUT ROWID;
CREATE TABLE action (
    number INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL
);
CREATE INDEX action_seq ON action (seq);
CREATE TABLE known_id (
    route TEXT NOT NULL,
    id BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (route, id)
) WITHOUT ROWID;
CREATE INDEX known_id_expiry ON known_id (expires_at);
CREATE TABLE route (name TEXT PRIMARY KEY, is_paused INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE probe (one INTEGER PRIMARY KEY CHECK (one = 1), written_at INTEGER NOT NULL);
";

/// Opens the store for the process that has its lock, creates its tables where it is new, and brings everything of its
/// write-ahead log into the file: pages that an earlier process could not sync may look clean and be lost.
///
/// # Errors
/// When the file cannot be opened, is not a database, or was written by a later release.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = connect(path)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Checkpoints have a thread of their own.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = match version {
        0 => Some(TABLES),
        1 => Some(FROM_1),
        VERSION => None,
        later => return Err(written_by_a_later_release(later)),
    };
    if let Some(sql) = missing {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    checkpoint(&connection, Checkpoint::Truncate)?;
    Ok(connection)
}

fn written_by_a_later_release(version: i64) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_SCHEMA);
    let text = format!(
        "a later release wrote this file (version {version} of its tables; this release knows version {VERSION}); \
         start that release again, or restore a backup of this release"
    );
    rusqlite::Error::SqliteFailure(code, Some(text))
}

/// A further connection to an open store, for checkpoints.
///
/// # Errors
/// When the file cannot be opened.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A connection that only reads.
///
/// # Errors
/// When the file cannot be opened.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// The write-ahead log, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Log {
    /// What has been written to it since it was emptied or begun anew.
    pub(super) written: u64,
    /// What of that is not copied into the file yet.
    pub(super) uncopied: u64,
}

/// How a checkpoint treats the write-ahead log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Checkpoint {
    /// Only measures it.
    Measure,
    /// Copies what can be copied, without waiting for anybody or keeping anybody waiting.
    Copy,
    /// Copies all of it and begins it anew, in the space that it has; a reader or a writer can prevent that.
    Restart,
    /// Copies all of it and gives its space back; a reader or a writer can prevent that.
    Truncate,
}

/// Copies the write-ahead log into the file. Returns what is left of it, or `None` when it could not be begun anew or
/// emptied as asked.
///
/// # Errors
/// When the file cannot be read, written or synced.
pub(super) fn checkpoint(connection: &Connection, how: Checkpoint) -> rusqlite::Result<Option<Log>> {
    let sql = match how {
        Checkpoint::Measure => "PRAGMA wal_checkpoint(NOOP)",
        Checkpoint::Copy => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Restart => "PRAGMA wal_checkpoint(RESTART)",
        Checkpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let (busy, pages, copied) = connection.prepare_cached(sql)?.query_row([], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    })?;
    let bytes = |pages: i64| u64::try_from(pages).unwrap_or(0) * LOGGED_PAGE_BYTES;
    Ok((busy == 0).then(|| Log {
        written: bytes(pages),
        uncopied: bytes(pages - copied),
    }))
}
