//! The audit log: one line for each exchange, on standard output, written by a thread of its own.
//!
//! With it an operator can answer "what happened to the webhook of 14:02" without a body, a secret or a signature in
//! the log. A request never waits for the output: each worker appends its lines to a buffer of its own, and every 20 ms
//! the writer takes all buffers and writes them, so that a line costs neither an allocation nor a system call. When the
//! output is blocked (a full pipe, a full disk), the buffers reach their limit, and further lines are dropped and counted.
//! `docs/monitoring.md` lists the fields.

use super::ascii::DateText;
pub use super::asked::Asked;
use super::audit_line;
pub use super::audit_line::{Action, AuditNames, UnreadRequest};
use super::recent::RecentLines;
use super::refusal_lines::RefusalLines;
use crate::outcome::Outcome;
use crate::settings::LogFormat;
use prometheus::IntCounter;
use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;
use tokio::time::Instant;

/// Passes lines to the writer thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditLog(Arc<Sender>);

/// The workers' side. Dropping it ends the writer.
#[derive(Debug)]
struct Sender {
    shared: Arc<Shared>,
    writer: Thread,
    format: LogFormat,
    dropped: IntCounter,
    refusals: RefusalLines,
}

/// What the workers and the writer share.
#[derive(Debug)]
struct Shared {
    /// One buffer for each worker. Only its worker and the writer use it.
    buffers: Vec<Mutex<LineBuffer>>,
    /// Whether there is something to write; the writer then wakes up within [`GATHER`].
    is_pending: AtomicBool,
    /// Whether no line will follow.
    is_closed: AtomicBool,
    /// Flushes that wait for the writer.
    flushes: Mutex<Vec<SyncSender<()>>>,
}

/// The lines of one worker that are not written yet.
#[derive(Debug, Default)]
struct LineBuffer {
    bytes: Vec<u8>,
    lines: u64,
    /// Bytes of lines about requests that were refused before they were verified.
    refusal_bytes: usize,
    date: DateText,
}

impl AuditLog {
    /// Starts the writer thread, which writes to `output` (standard output in `serve`). `dropped` counts dropped lines,
    /// `left_out` those about refusals that exceed their rate.
    ///
    /// # Errors
    /// When the operating system cannot start a thread.
    pub fn start(
        output: impl Write + Send + 'static,
        format: LogFormat,
        workers: usize,
        dropped: IntCounter,
        left_out: IntCounter,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            buffers: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            is_pending: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            flushes: Mutex::default(),
        });
        let (written, dropped_by_writer) = (shared.clone(), dropped.clone());
        let writer = thread::Builder::new()
            .name("audit".into())
            .spawn(move || write_lines(&written, output, &dropped_by_writer))?;
        Ok(Self(Arc::new(Sender {
            shared,
            writer: writer.thread().clone(),
            format,
            dropped,
            refusals: RefusalLines::new(left_out),
        })))
    }

    /// Starts an audit log whose lines are kept in memory only. What it drops is not counted.
    ///
    /// # Errors
    /// When the operating system cannot start a thread.
    pub fn in_memory(recent: RecentLines, workers: usize) -> io::Result<Self> {
        let uncounted = || {
            IntCounter::new("audit_lines_in_memory", "not exported")
                .map_err(|error| io::Error::other(error.to_string()))
        };
        Self::start(recent, LogFormat::Json, workers, uncounted()?, uncounted()?)
    }

    /// Records one line for `outcome` on the worker with this index. It never waits for the output.
    pub fn record(&self, worker: usize, names: AuditNames<'_>, outcome: &Outcome) {
        let is_refusal = outcome.is_unverified_refusal();
        self.append(
            worker,
            is_refusal,
            |format, LineBuffer { bytes, date, .. }| match format {
                LogFormat::Json => audit_line::json(bytes, date, names, outcome),
                LogFormat::Human => audit_line::human(bytes, date, names, outcome),
            },
        );
    }

    /// Records one line for a request whose head could not be read. It never waits for the output.
    pub fn record_unread(&self, worker: usize, unread: &UnreadRequest<'_>) {
        self.append(worker, true, |format, LineBuffer { bytes, date, .. }| match format {
            LogFormat::Json => audit_line::json_unread(bytes, date, unread),
            LogFormat::Human => audit_line::human_unread(bytes, date, unread),
        });
    }

    /// Records what an operator did. The line is never dropped for want of space: operators are few.
    pub fn record_action(&self, action: &Action<'_>) {
        let Sender {
            shared, writer, format, ..
        } = &*self.0;
        let Some(buffer) = shared.buffers.first() else { return };
        let mut buffer = lock(buffer);
        let LineBuffer { bytes, date, lines, .. } = &mut *buffer;
        match format {
            LogFormat::Json => audit_line::json_action(bytes, date, action),
            LogFormat::Human => audit_line::human_action(bytes, date, action),
        }
        *lines += 1;
        drop(buffer);
        shared.is_pending.store(true, Ordering::Release);
        writer.unpark();
    }

    /// Appends a line. `is_refusal`: it is about a request that was refused before it was verified.
    fn append(&self, worker: usize, is_refusal: bool, write: impl FnOnce(LogFormat, &mut LineBuffer)) {
        let Sender {
            shared,
            writer,
            format,
            dropped,
            refusals,
        } = &*self.0;
        if is_refusal && !refusals.admit(Instant::now()) {
            return;
        }
        let buffers = &shared.buffers;
        let Some(buffer) = buffers.get(worker % buffers.len().max(1)) else {
            return dropped.inc();
        };
        let mut buffer = lock(buffer);
        let before = buffer.bytes.len();
        if before >= BUFFER_BYTES || (is_refusal && buffer.refusal_bytes >= REFUSAL_BYTES) {
            return dropped.inc();
        }
        write(*format, &mut buffer);
        if is_refusal {
            buffer.refusal_bytes += buffer.bytes.len() - before;
        }
        buffer.lines += 1;
        drop(buffer);
        if !shared.is_pending.load(Ordering::Relaxed) && !shared.is_pending.swap(true, Ordering::AcqRel) {
            writer.unpark();
        }
    }

    /// Waits until every line recorded before this call is written, at most for `limit`; false if that was not enough.
    /// It blocks the thread: call it at shutdown, or from a thread that may wait.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        let (sender, done) = sync_channel(1);
        lock(&self.0.shared.flushes).push(sender);
        self.0.shared.is_pending.store(true, Ordering::Release);
        self.0.writer.unpark();
        done.recv_timeout(limit).is_ok()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.shared.is_pending.store(true, Ordering::Release);
        self.writer.unpark();
    }
}

/// A panic while the lock was held leaves the buffer with a part of a line at worst.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writer thread. It ends when the last [`AuditLog`] has been dropped and all lines are written.
fn write_lines(shared: &Shared, mut output: impl Write, dropped: &IntCounter) {
    let mut batch = Vec::new();
    let mut is_failing = false;
    loop {
        while !shared.is_pending.load(Ordering::Acquire) {
            thread::park();
        }
        let is_closed = shared.is_closed.load(Ordering::Acquire);
        if !is_closed {
            gather(shared);
        }
        // Cleared before the buffers are taken: a line that follows wakes the writer again.
        shared.is_pending.store(false, Ordering::Release);
        let flushes = mem::take(&mut *lock(&shared.flushes));
        for buffer in &shared.buffers {
            let lines = {
                let mut buffer = lock(buffer);
                mem::swap(&mut buffer.bytes, &mut batch);
                buffer.refusal_bytes = 0;
                mem::take(&mut buffer.lines)
            };
            if lines == 0 {
                continue;
            }
            // A closed or full output loses these lines only. Writing may succeed again later, when the disk has space.
            if let Err(error) = output.write_all(&batch).and_then(|()| output.flush()) {
                dropped.inc_by(lines);
                if !is_failing {
                    tracing::error!(%error, "audit lines cannot be written and are dropped");
                }
                is_failing = true;
            } else {
                is_failing = false;
            }
            batch.clear();
            batch.shrink_to(KEPT_BYTES);
        }
        for done in flushes {
            let _ = done.try_send(());
        }
        if is_closed {
            return;
        }
    }
}

/// Waits for more lines, until [`GATHER`] is over or a flush waits.
fn gather(shared: &Shared) {
    let deadline = Instant::now() + GATHER;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !lock(&shared.flushes).is_empty() || shared.is_closed.load(Ordering::Acquire) {
            return;
        }
        thread::park_timeout(left);
    }
}

/// The most bytes that the buffer of one worker holds, before its last line: several thousand lines.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Of these, the most bytes of lines about requests that were refused before they were verified: the others always find a
/// place, as long as the writer keeps up with them.
const REFUSAL_BYTES: usize = 128 * 1024;
/// The capacity that a buffer keeps after it was written, in bytes.
const KEPT_BYTES: usize = 64 * 1024;
/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
