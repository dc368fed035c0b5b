//! The latest audit lines, in memory: a bounded ring that operators read through the API and the console.
//!
//! It is an output of the audit log, so that a request pays for it only what its audit line costs. Readers get copies;
//! a reader that is slower than the gateway loses lines and learns how many.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The most lines that are kept.
const LINES: usize = 10_000;
/// The most bytes of lines that are kept.
const BYTES: usize = 8 * 1024 * 1024;

/// One audit line.
#[derive(Clone, Debug)]
pub struct RecentLine {
    /// Its number in this process, from 1.
    pub number: u64,
    /// The line as JSON, without its end.
    pub json: Arc<[u8]>,
}

/// The latest audit lines. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RecentLines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    /// The number of the latest line, for those who wait for more.
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Arc<[u8]>>,
    bytes: usize,
    /// The number of the latest line.
    latest: u64,
}

impl Default for RecentLines {
    fn default() -> Self {
        Self(Arc::new(Shared {
            ring: Mutex::default(),
            latest: watch::Sender::new(0),
        }))
    }
}

/// Lines that follow a number.
#[derive(Debug, Default)]
pub struct Following {
    /// In their order.
    pub lines: Vec<RecentLine>,
    /// Lines in between that are not kept any more.
    pub lost: u64,
}

impl RecentLines {
    /// Tells the number of the latest line whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.latest.subscribe()
    }

    /// The number of the latest line; 0 before the first.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.ring().latest
    }

    /// At most `limit` lines with numbers above `after`, the oldest first.
    #[must_use]
    pub fn following(&self, after: u64, limit: usize) -> Following {
        let ring = self.ring();
        let kept = ring.lines.len() as u64;
        let first = ring.latest.saturating_sub(kept) + 1;
        let from = first.max(after.saturating_add(1));
        let skipped = usize::try_from(from - first).unwrap_or(usize::MAX);
        let lines = ring.lines.iter().skip(skipped).take(limit);
        Following {
            lines: (from..)
                .zip(lines)
                .map(|(number, json)| RecentLine {
                    number,
                    json: json.clone(),
                })
                .collect(),
            lost: from - after.saturating_add(1).min(from),
        }
    }

    /// The lines with numbers below `before`, the latest first.
    #[must_use]
    pub fn before(&self, before: u64) -> Vec<RecentLine> {
        let ring = self.ring();
        let lines = (1..=ring.latest).rev().zip(ring.lines.iter().rev());
        let lines = lines.skip_while(|(number, _)| *number >= before);
        lines
            .map(|(number, json)| RecentLine {
                number,
                json: json.clone(),
            })
            .collect()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A panic while the lock was held leaves whole lines.
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for RecentLines {
    /// Takes whole lines: the audit log never writes a part of one.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut ring = self.ring();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            ring.latest += 1;
            ring.bytes += line.len();
            ring.lines.push_back(line.into());
            while ring.lines.len() > LINES || ring.bytes > BYTES {
                let Some(oldest) = ring.lines.pop_front() else { break };
                ring.bytes -= oldest.len();
            }
        }
        let latest = ring.latest;
        drop(ring);
        self.0.latest.send_replace(latest);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output whose text goes into the ring as well.
#[derive(Debug)]
pub struct Tee<W> {
    /// The ring.
    pub recent: RecentLines,
    /// The output.
    pub output: W,
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // The ring first: an output that fails or blocks must not hide a line from the people who look for its cause.
        self.write_all(text).map(|()| text.len())
    }

    fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        self.recent.write_all(text)?;
        self.output.write_all(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(lines: &[RecentLine]) -> Vec<(u64, &str)> {
        let lines = lines.iter();
        lines
            .map(|line| (line.number, str::from_utf8(&line.json).unwrap()))
            .collect()
    }

    #[test]
    fn readers_get_what_follows_and_are_told_what_they_lost() {
        let mut recent = RecentLines::default();
        assert!(recent.following(0, 10).lines.is_empty());
        recent.write_all(b"a\nb\n").unwrap();
        recent.write_all(b"c\n").unwrap();
        let all = recent.following(0, 10);
        assert_eq!((text(&all.lines), all.lost), (vec![(1, "a"), (2, "b"), (3, "c")], 0));
        assert_eq!(text(&recent.following(1, 1).lines), [(2, "b")]);
        assert!(recent.following(3, 10).lines.is_empty());
        assert_eq!(recent.following(7, 10).lost, 0);
        assert_eq!(text(&recent.before(u64::MAX)), [(3, "c"), (2, "b"), (1, "a")]);
        assert_eq!(text(&recent.before(3)), [(2, "b"), (1, "a")]);
        for _ in 0..LINES {
            recent.write_all(b"x\n").unwrap();
        }
        let late = recent.following(1, 2);
        assert_eq!((late.lost, late.lines[0].number), (2, 4));
        assert_eq!(recent.latest(), LINES as u64 + 3);
    }

    #[test]
    fn the_ring_is_bounded_in_bytes() {
        let mut recent = RecentLines::default();
        let line = [&b"x".repeat(BYTES / 4)[..], b"\n"].concat();
        for _ in 0..8 {
            recent.write_all(&line).unwrap();
        }
        assert_eq!(recent.before(u64::MAX).len(), 4);
    }

    /// Standard output may be a closed pipe.
    #[test]
    fn an_output_that_fails_hides_nothing_from_the_ring() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let recent = RecentLines::default();
        let mut tee = Tee {
            recent: recent.clone(),
            output: Closed,
        };
        assert!(tee.write_all(b"a\n").is_err());
        assert_eq!(recent.latest(), 1);
    }
}
