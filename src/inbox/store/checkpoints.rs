//! Checkpoints: the write-ahead log is copied into the file by a thread of its own, so that no commit waits for it.

use super::schema;
use crate::inbox::place;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Size of the write-ahead log from which it is emptied even under load.
const CHECKPOINT_BYTES: u64 = 4 << 20;
/// How often the size of the log is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The thread that copies the write-ahead log into the file, with a connection of its own, so that no commit waits for
/// it.
pub(super) struct Checkpoints {
    signal: Arc<(Mutex<Signal>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Signal {
    is_dirty: bool,
    is_ended: bool,
}

impl Checkpoints {
    pub(super) fn start(store: &Path) -> Self {
        let signal: Arc<(Mutex<Signal>, Condvar)> = Arc::default();
        let path = store.to_owned();
        let (wait, log) = (signal.clone(), place::beside(&path, "-wal"));
        let thread = std::thread::Builder::new()
            .name("inbox-checkpoint".into())
            .spawn(move || {
                let Ok(connection) = schema::connect(&path) else { return };
                let _ = connection.busy_timeout(Duration::from_millis(200));
                let mut is_dirty = true;
                loop {
                    let size = std::fs::metadata(&log).map_or(0, |found| found.len());
                    let (signal, condition) = &*wait;
                    let mut state = signal.lock().unwrap_or_else(PoisonError::into_inner);
                    if state.is_ended {
                        return;
                    }
                    let was_dirty = std::mem::take(&mut state.is_dirty);
                    // Under load the log is emptied by size, and otherwise once there was nothing to write for a second.
                    let is_due = size >= CHECKPOINT_BYTES || (is_dirty && !was_dirty && size > 0);
                    is_dirty = was_dirty || (is_dirty && !is_due);
                    if is_due {
                        drop(state);
                        is_dirty |= !schema::checkpoint(&connection).unwrap_or(false);
                        state = signal.lock().unwrap_or_else(PoisonError::into_inner);
                    }
                    if !state.is_ended {
                        drop(condition.wait_timeout(state, INTERVAL));
                    }
                }
            });
        Self {
            signal,
            thread: thread.ok(),
        }
    }

    /// Something may have been written.
    pub(super) fn notice(&self) {
        let mut state = self.signal.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_dirty = true;
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
