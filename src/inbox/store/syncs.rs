//! Syncs of the write-ahead log, by threads beside the writer: while one sync is under way, the writer goes on with the
//! next transaction, and that one is synced too. An answer is given when a sync has ended that began after the commit.
//!
//! SQLite itself syncs only for checkpoints then (`synchronous = NORMAL`): the log before its pages are copied, the file
//! before the log is emptied. So whatever a sync of the log does not find there any more is in the file, durably.

use super::command::{Command, Effect, Refusal};
use super::shared::Shared;
use super::status::Phase;
use crate::inbox::place;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::Instant;

/// How many syncs may be under way at once. While one is, the next begins a quarter of the last sync's duration after it at
/// the earliest, so that webhooks that arrive together share a sync.
const SYNCS: u32 = 4;

/// A transaction that is committed and not synced yet: its commands with what they did.
pub(super) struct Committed {
    pub(super) done: Vec<(Command, Effect)>,
    /// When it began.
    pub(super) since: Instant,
    /// Whether it has changed anything.
    pub(super) has_written: bool,
}

/// The threads that sync, and what waits for them.
pub(super) struct Syncs {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue {
    shared: Arc<Shared>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Committed>,
    /// Transactions that have only read, each with the number of the sync after which everything that they may have read is
    /// durable.
    readers: Vec<(u64, Committed)>,
    /// The number of the last sync that began. It makes everything durable that is not in `waiting`.
    begun: u64,
    /// The greatest number of a sync that has ended.
    ended: u64,
    /// When the last sync began.
    begun_at: Option<Instant>,
    /// How long the last sync took.
    took: Duration,
    is_ended: bool,
}

impl Syncs {
    /// Starts the threads. The store must be open, because the log exists only then.
    ///
    /// # Errors
    /// When the log cannot be opened, or the system cannot create a thread.
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let queue = Arc::new(Queue {
            shared: shared.clone(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let log = place::beside(&shared.settings.store, "-wal");
        let mut syncs = Self {
            queue: queue.clone(),
            threads: Vec::new(),
        };
        for _ in 0..SYNCS {
            // The kernel tells each open file once of a failed write: two threads must not share one.
            let (queue, file) = (queue.clone(), File::open(&log)?);
            let thread = std::thread::Builder::new().name("inbox-sync".into());
            syncs.threads.push(thread.spawn(move || queue.run(&file))?);
        }
        Ok(syncs)
    }

    /// Answers the commands of a transaction once it is durable.
    pub(super) fn answer(&self, committed: Committed) {
        let mut state = self.queue.lock();
        if committed.has_written || !state.waiting.is_empty() {
            state.waiting.push(committed);
            drop(state);
            self.queue.changed.notify_one();
        } else if state.ended < state.begun {
            let last = state.begun;
            state.readers.push((last, committed));
        } else {
            drop(state);
            self.queue.finish(vec![committed], true);
        }
    }
}

impl Drop for Syncs {
    /// Waits until everything is synced and answered.
    fn drop(&mut self) {
        self.queue.lock().is_ended = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, log: &File) {
        while let Some((number, mut taken)) = self.next() {
            let started = Instant::now();
            // After a failure nothing is durable any more, whatever a later sync says.
            let synced = match self.shared.status.phase() {
                Phase::Failed => false,
                Phase::Opening | Phase::Open | Phase::Closed => {
                    log.sync_data().map_err(|error| self.fail(&error)).is_ok()
                }
            };
            {
                let mut state = self.lock();
                state.took = started.elapsed();
                state.ended = state.ended.max(number);
                taken.extend(
                    state
                        .readers
                        .extract_if(.., |(after, _)| *after == number)
                        .map(|(_, reader)| reader),
                );
            }
            self.finish(taken, synced && self.shared.status.phase() != Phase::Failed);
        }
    }

    /// Waits for transactions that are to be synced. `None` when the store is closed.
    fn next(&self) -> Option<(u64, Vec<Committed>)> {
        let mut state = self.lock();
        loop {
            if state.waiting.is_empty() {
                if state.is_ended {
                    return None;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let pause = match state.begun_at {
                Some(begun) if state.ended < state.begun => (state.took / SYNCS).saturating_sub(begun.elapsed()),
                Some(_) | None => Duration::ZERO,
            };
            if pause.is_zero() {
                state.begun_at = Some(Instant::now());
                state.begun += 1;
                return Some((state.begun, std::mem::take(&mut state.waiting)));
            }
            let waited = self.changed.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn fail(&self, error: &io::Error) {
        let status = &self.shared.status;
        if status.phase() != Phase::Failed {
            tracing::error!(%error, "the inbox cannot be synced and is closed until a restart; direct deliveries go on");
        }
        status.set_phase(Phase::Failed);
    }

    fn finish(&self, taken: Vec<Committed>, is_durable: bool) {
        let shared = &self.shared;
        if is_durable {
            shared.status.last_commit.store(shared.clock.now(), Ordering::Relaxed);
        }
        for Committed { done, since, .. } in taken {
            if is_durable && !done.is_empty() {
                shared.metrics.commit_seconds.observe(since.elapsed().as_secs_f64());
                #[expect(clippy::cast_precision_loss, reason = "a batch has at most 2,048 commands")]
                shared.metrics.commit_size.observe(done.len() as f64);
            }
            for (command, effect) in done {
                command.answer(if is_durable { Ok(effect) } else { Err(Refusal::Down) });
            }
        }
        shared.work.notify_one();
    }
}
