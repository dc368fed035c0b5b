//! Checkpoints: the write-ahead log is copied into the file by a thread of its own, so that no commit waits for it.
//!
//! The log can be begun anew only in a moment in which nobody writes. Under load the thread only copies, which disturbs
//! nobody. When the log has become large, the writer begins it anew itself between two transactions, right after such a
//! copy, so that little is left to be copied. The thread empties the log once nobody writes any more.

use super::schema::{self, Checkpoint, Log};
use crate::inbox::place;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of the write-ahead log from which the thread copies it under load.
const COPY_BYTES: u64 = 8 << 20;
/// The thread copies until this much is left to be copied, or [`COPIES`] times.
const LITTLE_BYTES: u64 = 1 << 20;
/// How often the thread copies at most, one copy after the other.
const COPIES: usize = 3;
/// Bytes of the write-ahead log from which the writer begins it anew; half of `inbox.max_log` if that is less.
const LARGE_BYTES: u64 = 64 << 20;
/// By how much the log has grown when the writer tries again, after a reader prevented it; or after [`INTERVAL`].
const RETRY_BYTES: u64 = 1 << 20;
/// The longest time between two looks of the thread at the log.
const INTERVAL: Duration = Duration::from_secs(1);

/// The thread that copies the write-ahead log into the file, with a connection of its own, so that no commit waits for
/// it.
pub(super) struct Checkpoints {
    shared: Arc<Shared>,
    log: PathBuf,
    /// Bytes of the log from which the writer begins it anew.
    large_bytes: u64,
    /// When the writer could not begin the log anew, and its bytes then.
    failed: Option<(Instant, u64)>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer and the thread share.
#[derive(Default)]
struct Shared {
    signal: Mutex<Signal>,
    changed: Condvar,
    /// SQLite refuses a checkpoint while another one runs; they take turns by this.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Signal {
    is_dirty: bool,
    /// Whether the thread is to copy now.
    is_wanted: bool,
    /// Whether the thread has copied since the writer looked last.
    is_copied: bool,
    is_ended: bool,
}

impl Shared {
    fn signal(&self) -> MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread. Errors are ignored: the next commit meets them too.
    fn run(&self, connection: &Connection) {
        let mut is_empty = false;
        loop {
            let mut signal = self.signal();
            if !signal.is_wanted && !signal.is_ended {
                let waited = self.changed.wait_timeout(signal, INTERVAL);
                signal = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            if signal.is_ended {
                return;
            }
            let (was_dirty, was_wanted) = (
                std::mem::take(&mut signal.is_dirty),
                std::mem::take(&mut signal.is_wanted),
            );
            drop(signal);
            if was_wanted {
                is_empty = false;
                let _turn = self.turn();
                for _ in 0..COPIES {
                    match schema::checkpoint(connection, Checkpoint::Copy) {
                        Ok(Some(log)) if log.uncopied > LITTLE_BYTES => {}
                        Ok(_) | Err(_) => break,
                    }
                }
                self.signal().is_copied = true;
            } else if was_dirty {
                is_empty = false;
            } else if !is_empty {
                let _turn = self.turn();
                is_empty = matches!(schema::checkpoint(connection, Checkpoint::Truncate), Ok(Some(_)));
            }
        }
    }
}

impl Checkpoints {
    pub(super) fn start(store: &Path, max_log: usize) -> Self {
        let shared: Arc<Shared> = Arc::default();
        let (path, own) = (store.to_owned(), shared.clone());
        let thread = std::thread::Builder::new()
            .name("inbox-checkpoint".into())
            .spawn(move || {
                if let Ok(connection) = schema::connect(&path) {
                    let _ = connection.busy_timeout(Duration::ZERO);
                    own.run(&connection);
                }
            });
        Self {
            shared,
            log: place::beside(store, "-wal"),
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
        self.shared.signal().is_dirty = true;
        let Ok(Some(Log { written, uncopied })) = schema::checkpoint(connection, Checkpoint::Measure) else {
            return;
        };
        let is_large = written >= self.large_bytes;
        if !is_large {
            self.failed = None;
        }
        let is_early = |(at, then): (Instant, u64)| at.elapsed() < INTERVAL && written < then + RETRY_BYTES;
        if self.failed.is_some_and(is_early) {
            return;
        }
        let is_copied = {
            let mut signal = self.shared.signal();
            let is_copied = std::mem::take(&mut signal.is_copied);
            signal.is_wanted |= uncopied >= COPY_BYTES || is_large && !is_copied;
            if signal.is_wanted {
                self.shared.changed.notify_one();
            }
            is_copied
        };
        let is_urgent = written >= self.large_bytes / 2 * 3;
        if !is_large || !is_copied && !is_urgent {
            return;
        }
        let _turn = self.shared.turn();
        // The space of a log that a reader made large goes back to the file system.
        let how = match std::fs::metadata(&self.log) {
            Ok(file) if file.len() > self.large_bytes * 2 => Checkpoint::Truncate,
            Ok(_) | Err(_) => Checkpoint::Restart,
        };
        let _ = connection.busy_timeout(Duration::ZERO);
        // An error is ignored here: the thread tries again, and the next commit meets the same error.
        let is_anew = matches!(schema::checkpoint(connection, how), Ok(Some(_)));
        let _ = connection.busy_timeout(schema::BUSY_TIMEOUT);
        self.failed = (!is_anew).then(|| (Instant::now(), written));
    }

    pub(super) fn end(mut self) {
        self.shared.signal().is_ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
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
        let mut checkpoints = Checkpoints::start(&store, 32 << 20);
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
            largest = largest.max(std::fs::metadata(&log).unwrap().len());
        }
        checkpoints.end();
        assert!(largest < 32 << 20, "{largest} bytes");
    }
}
