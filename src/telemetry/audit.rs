//! The audit log: one line of JSON for each exchange, on standard output, written by a thread of its own.
//!
//! With it an operator can answer "what happened to the webhook of 14:02" without a body, a secret or a signature in
//! the log. A request never waits for it: lines go through a bounded channel, and when the writer is too slow (a
//! blocked pipe, a full disk) lines are dropped and counted. The writer gathers lines for 20 ms before it writes them,
//! so that under load a line costs neither a wake-up nor a system call. `docs/monitoring.md` lists the fields.

pub use super::audit_line::AuditNames;
use super::audit_line::write_line;
use super::refusal_lines::RefusalLines;
use crate::outcome::Outcome;
use prometheus::IntCounter;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

/// Sends lines to the writer thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditLog {
    sender: SyncSender<Message>,
    dropped: IntCounter,
    refusals: Arc<RefusalLines>,
    /// Lines about refusals in the channel.
    queued_refusals: Arc<AtomicUsize>,
}

enum Message {
    /// A line, and whether it is about a request that was refused before it was verified.
    Line(Vec<u8>, bool),
    /// Asks the writer to write everything before this message and to acknowledge it.
    Flush(SyncSender<()>),
}

impl AuditLog {
    /// Starts the writer thread, which writes to `output` (standard output in `serve`). `dropped` counts dropped lines,
    /// `left_out` those about refusals that exceed their rate.
    ///
    /// # Errors
    /// When the operating system cannot start a thread.
    pub fn start(output: impl Write + Send + 'static, dropped: IntCounter, left_out: IntCounter) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(CAPACITY);
        let queued_refusals = Arc::new(AtomicUsize::new(0));
        let queued = queued_refusals.clone();
        let dropped_by_writer = dropped.clone();
        thread::Builder::new()
            .name("audit".into())
            .spawn(move || write_lines(&receiver, output, &dropped_by_writer, &queued))?;
        Ok(Self {
            sender,
            dropped,
            refusals: Arc::new(RefusalLines::new(left_out)),
            queued_refusals,
        })
    }

    /// Records one line for `outcome`. It never blocks.
    pub fn record(&self, names: AuditNames<'_>, outcome: &Outcome) {
        let is_refusal = outcome.is_unverified_refusal();
        if is_refusal {
            if !self.refusals.admit(Instant::now()) {
                return;
            }
            if self.queued_refusals.load(Ordering::Relaxed) >= REFUSAL_CAPACITY {
                self.dropped.inc();
                return;
            }
        }
        let mut line = Vec::with_capacity(LINE_BYTES);
        if write_line(&mut line, names, outcome).is_err() {
            self.dropped.inc();
            return;
        }
        let queued = usize::from(is_refusal);
        self.queued_refusals.fetch_add(queued, Ordering::Relaxed);
        match self.sender.try_send(Message::Line(line, is_refusal)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.queued_refusals.fetch_sub(queued, Ordering::Relaxed);
                self.dropped.inc();
            }
        }
    }

    /// Waits until every line recorded before this call is written, at most for `limit`; false if that was not enough.
    /// It blocks the thread: call it at shutdown, or from a thread that may wait.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let (sender, done) = sync_channel(1);
        let mut message = Message::Flush(sender);
        loop {
            match self.sender.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(unsent)) if Instant::now() < deadline => {
                    message = unsent;
                    thread::sleep(GATHER / 4);
                }
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return false,
            }
        }
        done.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .is_ok()
    }
}

/// The writer thread. It ends when the last [`AuditLog`] has been dropped.
fn write_lines(
    receiver: &Receiver<Message>,
    mut output: impl Write,
    dropped: &IntCounter,
    queued_refusals: &AtomicUsize,
) {
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    let mut is_failing = false;
    while let Ok(first) = receiver.recv() {
        let mut lines = 0;
        let mut flushes = Vec::new();
        let mut next = Some(first);
        let gathered = Instant::now() + GATHER;
        // Gathers lines until the time is over, the batch is full, or a flush waits for it.
        while let Some(message) = next.take() {
            match message {
                Message::Line(line, is_refusal) => {
                    queued_refusals.fetch_sub(usize::from(is_refusal), Ordering::Relaxed);
                    batch.extend_from_slice(&line);
                    lines += 1;
                }
                Message::Flush(done) => flushes.push(done),
            }
            if batch.len() >= BATCH_BYTES || !flushes.is_empty() {
                break;
            }
            next = match receiver.try_recv() {
                Ok(message) => Some(message),
                Err(TryRecvError::Disconnected) => None,
                // Sleeps outside of the channel: senders then find no waiting receiver and make no wake-up.
                Err(TryRecvError::Empty) => {
                    thread::sleep(gathered.saturating_duration_since(Instant::now()));
                    receiver.try_recv().ok()
                }
            };
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
        for done in flushes {
            let _ = done.try_send(());
        }
    }
}

/// Messages that the channel holds; about 4 MiB when it is full.
const CAPACITY: usize = 8192;
/// Of these, the most lines about requests that were refused before they were verified: the others always find a place,
/// as long as the writer keeps up with them.
const REFUSAL_CAPACITY: usize = 1024;
/// Initial size of a line's buffer, in bytes: enough for a usual line, so that it is allocated once.
const LINE_BYTES: usize = 448;
/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(20);
/// A batch of this size is written without waiting longer.
const BATCH_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::outcome::{Rejection, Verdict};
    use hyper::StatusCode;
    use serde_json::Value;
    use std::sync::{Arc, Condvar, Mutex};

    fn outcome() -> Outcome {
        Outcome {
            verdict: Verdict::Forwarded,
            received_unix: 1_671_552_777,
            request_id: "0192-abc".into(),
            peer: Some("2001:db8::1".parse().unwrap()),
            secret: Some(0),
            without_shared_store: false,
            signature_age_seconds: Some(-1),
            body_bytes: 2048,
            upstream: Some(0),
            upstream_status: Some(StatusCode::OK),
            upstream_duration: Some(Duration::from_micros(1_234_567)),
            verification_duration: Some(Duration::from_nanos(4_321)),
            duration: Duration::from_millis(1_240),
        }
    }

    const NAMES: AuditNames<'_> = AuditNames {
        route: "r",
        secret: None,
        upstream: None,
    };

    fn dropped() -> IntCounter {
        IntCounter::new("dropped_total", "test").unwrap()
    }

    fn line(route: &str, secret: Option<&str>, outcome: &Outcome) -> Vec<u8> {
        let mut buffer = Vec::new();
        let names = AuditNames {
            route,
            secret,
            upstream: secret.and(Some("http://127.0.0.1:8000")),
        };
        write_line(&mut buffer, names, outcome).unwrap();
        buffer
    }

    /// An output that a test can read. It can also fail, or block until a gate opens.
    #[derive(Clone, Default)]
    struct Sink {
        bytes: Arc<Mutex<Vec<u8>>>,
        gate: Option<Arc<(Mutex<bool>, Condvar)>>,
        broken: bool,
    }

    impl Write for Sink {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            if let Some(gate) = &self.gate {
                let open = gate.0.lock().unwrap();
                drop(gate.1.wait_while(open, |open| !*open).unwrap());
            }
            if self.broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.bytes.lock().unwrap().write(buffer)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_holds_every_field_in_order() {
        assert_eq!(
            String::from_utf8(line("/webhooks/paddle", Some("2026"), &outcome())).unwrap(),
            concat!(
                r#"{"time":"2022-12-20T16:12:57Z","request_id":"0192-abc","route":"/webhooks/paddle","#,
                r#""peer":"2001:db8::1","verdict":"forwarded","reason":"none","secret":"2026","#,
                r#""signature_age_seconds":-1,"body_bytes":2048,"upstream":"http://127.0.0.1:8000","upstream_status":200,"upstream_seconds":1.234567,"#,
                r#""verification_seconds":4e-6,"seconds":1.24}"#,
                "\n"
            )
        );
    }

    #[test]
    fn absent_fields_are_left_out() {
        let refused = Outcome {
            verdict: Verdict::Refused(Rejection::SignatureMissing),
            peer: None,
            secret: None,
            signature_age_seconds: None,
            upstream_status: None,
            upstream_duration: None,
            verification_duration: None,
            ..outcome()
        };
        let value: Value = serde_json::from_slice(&line("", None, &refused)).unwrap();
        let keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            keys,
            [
                "time",
                "request_id",
                "route",
                "verdict",
                "reason",
                "body_bytes",
                "seconds"
            ]
        );
        assert_eq!(value["verdict"], "rejected");
        assert_eq!(value["reason"], "signature_missing");
    }

    /// B10, for every string that a line can hold: one line of printable ASCII, from which the text can be read
    /// unchanged.
    #[test]
    fn hostile_strings_stay_inside_one_printable_line() {
        let hostile = [
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "\",\"verdict\":\"forwarded\"}\n{\"time\":\"",
            "\x1b[2J\x1b]0;owned\x07",
            "\u{9b}31m\u{85}\u{7f}\u{0}",
            "\u{2028}\u{2029}\u{202e}gnp.exe",
            "\\u0022\\",
            "ünïcödé 漢字 😀",
            "\u{feff}",
        ];
        for text in hostile {
            let bytes = line(
                text,
                Some(text),
                &Outcome {
                    request_id: text.into(),
                    ..outcome()
                },
            );
            let (last, rest) = bytes.split_last().unwrap();
            assert_eq!(*last, b'\n');
            assert!(
                rest.iter().all(|b| matches!(b, b' '..=b'~')),
                "{text:?} gave {:?}",
                String::from_utf8_lossy(rest)
            );
            let value: Value = serde_json::from_slice(rest).unwrap();
            for key in ["route", "secret", "request_id"] {
                assert_eq!(value[key], text);
            }
            assert_eq!(value.as_object().unwrap().len(), 14);
        }
    }

    #[test]
    fn a_time_after_the_year_9999_still_gives_a_line() {
        let value: Value = serde_json::from_slice(&line(
            "r",
            None,
            &Outcome {
                received_unix: u64::MAX,
                ..outcome()
            },
        ))
        .unwrap();
        assert_eq!(value["time"], "9999-12-31T23:59:59Z");
    }

    #[test]
    fn flush_writes_everything_recorded_before_it() {
        let sink = Sink::default();
        let log = AuditLog::start(sink.clone(), dropped(), dropped()).unwrap();
        for _ in 0..1000 {
            log.record(NAMES, &outcome());
        }
        assert!(log.flush(Duration::from_secs(20)));
        let bytes = sink.bytes.lock().unwrap();
        assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 1000);
    }

    #[test]
    fn a_blocked_output_drops_and_counts_lines_and_blocks_no_request() {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let sink = Sink {
            gate: Some(Arc::clone(&gate)),
            ..Sink::default()
        };
        let dropped = dropped();
        let log = AuditLog::start(sink.clone(), dropped.clone(), self::dropped()).unwrap();
        let recorded = 3 * CAPACITY;
        for _ in 0..recorded {
            log.record(NAMES, &outcome());
        }
        assert!(dropped.get() > 0);
        assert!(!log.flush(Duration::from_millis(1)));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        assert!(log.flush(Duration::from_secs(20)));
        let written = sink.bytes.lock().unwrap().iter().filter(|b| **b == b'\n').count();
        assert_eq!(written + usize::try_from(dropped.get()).unwrap(), recorded);
    }

    #[test]
    fn a_closed_output_drops_lines_and_later_lines_are_still_accepted() {
        let dropped = dropped();
        let log = AuditLog::start(
            Sink {
                broken: true,
                ..Sink::default()
            },
            dropped.clone(),
            self::dropped(),
        )
        .unwrap();
        for _ in 0..10 {
            log.record(NAMES, &outcome());
        }
        assert!(log.flush(Duration::from_secs(20)));
        assert_eq!(dropped.get(), 10);
        log.record(NAMES, &outcome());
        assert!(log.flush(Duration::from_secs(20)));
        assert_eq!(dropped.get(), 11);
    }

    /// J04: refusals that nothing reads take no place of later lines about webhooks.
    #[test]
    fn refusals_leave_room_for_other_lines() {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let sink = Sink {
            gate: Some(Arc::clone(&gate)),
            ..Sink::default()
        };
        let (dropped, left_out) = (dropped(), self::dropped());
        let log = AuditLog::start(sink.clone(), dropped.clone(), left_out.clone()).unwrap();
        let refused = Outcome {
            verdict: Verdict::Refused(Rejection::NoRoute),
            secret: None,
            ..outcome()
        };
        for _ in 0..50_000 {
            log.record(NAMES, &refused);
        }
        assert!(left_out.get() > 40_000);
        let before = dropped.get();
        for _ in 0..CAPACITY - REFUSAL_CAPACITY - 1 {
            log.record(NAMES, &outcome());
        }
        assert_eq!(dropped.get(), before);
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        assert!(log.flush(Duration::from_secs(20)));
        let text = String::from_utf8(sink.bytes.lock().unwrap().clone()).unwrap();
        let forwarded = text.lines().filter(|line| line.contains("forwarded")).count();
        assert_eq!(forwarded, CAPACITY - REFUSAL_CAPACITY - 1);
    }
}
