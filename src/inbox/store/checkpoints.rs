//! Checkpoints: the write-ahead log is copied into the file by a thread of its own, so that no commit waits for it.
//!
//! Emptying the log needs a moment in which nobody writes. Under load the thread only copies, which disturbs nobody, and
//! the writer empties the log itself between two transactions when it has become large; most of it has been copied by then.

use super::schema;
use crate::inbox::place;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::Instant;

/// Size of the write-ahead log from which the thread copies it under load, and by how much it grows until the next copy.
const COPY_BYTES: u64 = 4 << 20;
/// Size of the write-ahead log from which the writer empties it itself; half of `inbox.max_log` if that is less.
const LARGE_BYTES: u64 = 16 << 20;
/// By how much the log has grown when the writer tries again, after a reader prevented it; or after [`INTERVAL`].
const RETRY_BYTES: u64 = 1 << 20;
/// The longest time between two looks of the thread at the log.
const INTERVAL: Duration = Duration::from_secs(1);

/// The thread that copies the write-ahead log into the file, with a connection of its own, so that no commit waits for
/// it.
pub(super) struct Checkpoints {
    signal: Arc<(Mutex<Signal>, Condvar)>,
    /// SQLite refuses a checkpoint while another one runs; they take turns by this.
    turn: Arc<Mutex<()>>,
    log: PathBuf,
    /// Size of the log at which the thread is woken.
    copy_at: u64,
    /// Size of the log from which the writer empties it.
    large_bytes: u64,
    /// When the writer could not empty the log, and its size then.
    failed: Option<(Instant, u64)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Signal {
    is_dirty: bool,
    is_ended: bool,
}

impl Checkpoints {
    pub(super) fn start(store: &Path, max_log: usize) -> Self {
        let signal: Arc<(Mutex<Signal>, Condvar)> = Arc::default();
        let path = store.to_owned();
        let (wait, log) = (signal.clone(), place::beside(&path, "-wal"));
        let own_log = log.clone();
        let turn: Arc<Mutex<()>> = Arc::default();
        let own_turn = turn.clone();
        let thread = std::thread::Builder::new()
            .name("inbox-checkpoint".into())
            .spawn(move || {
                let Ok(connection) = schema::connect(&path) else { return };
                let _ = connection.busy_timeout(Duration::ZERO);
                let mut is_dirty = true;
                loop {
                    let size = size_of(&own_log);
                    let (signal, condition) = &*wait;
                    let mut state = signal.lock().unwrap_or_else(PoisonError::into_inner);
                    if state.is_ended {
                        return;
                    }
                    let was_dirty = std::mem::take(&mut state.is_dirty);
                    let is_idle = is_dirty && !was_dirty && size > 0;
                    is_dirty |= was_dirty;
                    drop(state);
                    let turn = own_turn.lock().unwrap_or_else(PoisonError::into_inner);
                    if is_idle {
                        is_dirty = !schema::checkpoint(&connection).unwrap_or(false);
                    } else if was_dirty && size >= COPY_BYTES {
                        // An error is ignored: the next commit meets it too.
                        let _ = schema::copy_log(&connection);
                    }
                    drop(turn);
                    let state = signal.lock().unwrap_or_else(PoisonError::into_inner);
                    if !state.is_ended {
                        drop(condition.wait_timeout(state, INTERVAL));
                    }
                }
            });
        Self {
            signal,
            turn,
            log,
            copy_at: COPY_BYTES,
            large_bytes: u64::try_from(max_log / 2).unwrap_or(u64::MAX).min(LARGE_BYTES),
            failed: None,
            thread: thread.ok(),
        }
    }

    /// For the writer, after each transaction; `has_written` when it may have changed something. Waits for no reader, and
    /// for the thread only when the log is large.
    pub(super) fn after_transaction(&mut self, connection: &Connection, has_written: bool) {
        if !has_written {
            return;
        }
        let size = size_of(&self.log);
        {
            let (signal, condition) = &*self.signal;
            signal.lock().unwrap_or_else(PoisonError::into_inner).is_dirty = true;
            if size >= self.copy_at {
                condition.notify_all();
            }
        }
        self.copy_at = match size {
            0..COPY_BYTES => COPY_BYTES,
            _ if size >= self.copy_at => size + COPY_BYTES,
            _ => self.copy_at,
        };
        if size < self.large_bytes {
            self.failed = None;
            return;
        }
        let is_early = |(at, then): (Instant, u64)| at.elapsed() < INTERVAL && size < then + RETRY_BYTES;
        if self.failed.is_some_and(is_early) {
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = connection.busy_timeout(Duration::ZERO);
        // An error is ignored here: the thread tries again, and the next commit meets the same error.
        let is_empty = schema::checkpoint(connection).unwrap_or(false);
        let _ = connection.busy_timeout(schema::BUSY_TIMEOUT);
        self.failed = (!is_empty).then(|| (Instant::now(), size));
    }

    pub(super) fn end(mut self) {
        let (signal, condition) = &*self.signal;
        signal.lock().unwrap_or_else(PoisonError::into_inner).is_ended = true;
        condition.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn size_of(log: &Path) -> u64 {
    std::fs::metadata(log).map_or(0, |found| found.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A writer that begins its next transaction as soon as it has ended one: the log stays small all the same.
    #[test]
    fn the_log_stays_small_while_the_writer_never_pauses() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("inbox.db");
        let connection = schema::open(&store).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        let log = place::beside(&store, "-wal");
        let mut checkpoints = Checkpoints::start(&store, 64 << 20);
        let mut largest = 0;
        for _ in 0..500 {
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            // A later transaction is one of many commands, whose work takes a while.
            for _ in 0..4 {
                connection
                    .execute("INSERT INTO t VALUES (zeroblob(65536))", [])
                    .unwrap();
                std::thread::yield_now();
            }
            connection.execute_batch("COMMIT").unwrap();
            checkpoints.after_transaction(&connection, true);
            largest = largest.max(size_of(&log));
        }
        checkpoints.end();
        assert!(largest < 2 * LARGE_BYTES, "{largest} bytes");
    }
}
