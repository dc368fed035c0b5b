//! Refused requests as files of a directory, for `hookgate verify`. A thread writes them.
//!
//! The directory has the bounds of the memory: number, bytes and time. The request's way never waits for the disk: a request
//! that the thread cannot take is left out, and the log says how many were. The files of an earlier process count.

use super::{Captured, file_name, har};
use crate::settings;
use crate::telemetry::rfc3339;
use crate::time::clock;
use std::collections::VecDeque;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

/// The most requests that wait for the thread.
const WAITING: usize = 256;

/// How often files are looked for that are kept no longer.
const EXPIRY: Duration = Duration::from_secs(10);

/// The file that is being written. It gets its name when it is whole.
const UNFINISHED: &str = ".unfinished-capture";

/// Gives requests to the thread that writes them.
#[derive(Debug)]
pub(super) struct DirectoryWriter {
    requests: SyncSender<Arc<Captured>>,
    waiting: Arc<Waiting>,
    thread: JoinHandle<()>,
}

/// What waits for the thread.
#[derive(Debug)]
struct Waiting {
    /// Bytes of the requests.
    bytes: AtomicUsize,
    /// The most of them.
    most_bytes: usize,
    /// Requests that were left out since the log said so.
    left_out: AtomicU64,
}

/// The files of the directory, the oldest first.
#[derive(Debug)]
struct Files {
    directory: PathBuf,
    most: usize,
    most_bytes: u64,
    keep_seconds: u64,
    list: VecDeque<CaptureFile>,
    bytes: u64,
    /// Whether the last file could not be written, so that the log says it once.
    has_failed: bool,
}

#[derive(Debug)]
struct CaptureFile {
    name: String,
    written_unix: u64,
    bytes: u64,
}

impl DirectoryWriter {
    /// Creates the directory if it is missing, reads which files it has, and starts the thread.
    ///
    /// # Errors
    /// The directory cannot be created or read, or the thread cannot be started.
    pub(super) fn start(directory: &Path, bounds: &settings::Captures) -> io::Result<Self> {
        let mut files = Files::open(directory, bounds)?;
        let (requests, receiver) = mpsc::sync_channel(WAITING);
        let waiting = Arc::new(Waiting {
            bytes: AtomicUsize::new(0),
            most_bytes: bounds.bytes,
            left_out: AtomicU64::new(0),
        });
        let of_thread = waiting.clone();
        let thread = std::thread::Builder::new()
            .name(String::from("captures"))
            .spawn(move || files.run(&receiver, &of_thread))?;
        Ok(Self {
            requests,
            waiting,
            thread,
        })
    }

    /// Has a request written, or left out if too much waits. Does not block.
    pub(super) fn write(&self, captured: &Arc<Captured>) {
        let bytes = captured.bytes();
        let before = self.waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.waiting.most_bytes || self.requests.try_send(captured.clone()).is_err() {
            self.waiting.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.waiting.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything is written. Blocks.
    pub(super) fn close(self) {
        drop(self.requests);
        // A panic of the thread is in the log.
        let _ = self.thread.join();
    }
}

impl Files {
    fn open(directory: &Path, bounds: &settings::Captures) -> io::Result<Self> {
        // Captured requests are personal data, so other users may not read them.
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut list = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_capture(&name) {
                continue;
            }
            let about = entry.metadata()?;
            let written = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            list.push(CaptureFile {
                name,
                written_unix: written.as_secs(),
                bytes: about.len(),
            });
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            directory: directory.to_owned(),
            most: bounds.count,
            most_bytes: bounds.bytes as u64,
            keep_seconds: bounds.keep.as_secs(),
            bytes: list.iter().map(|file| file.bytes).sum(),
            list: list.into(),
            has_failed: false,
        })
    }

    /// Writes until the senders are gone and nothing waits.
    fn run(&mut self, requests: &Receiver<Arc<Captured>>, waiting: &Waiting) {
        loop {
            match requests.recv_timeout(EXPIRY) {
                Ok(captured) => {
                    waiting.bytes.fetch_sub(captured.bytes(), Ordering::Relaxed);
                    let written = self.write(&captured, clock::unix_now());
                    if let (Err(error), false) = (&written, self.has_failed) {
                        let directory = self.directory.display();
                        tracing::warn!(%directory, %error, "a refused request cannot be written to capture.directory");
                    }
                    self.has_failed = written.is_err();
                }
                Err(RecvTimeoutError::Timeout) => self.make_room(0, 0, clock::unix_now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let left_out = waiting.left_out.swap(0, Ordering::Relaxed);
            if left_out > 0 {
                tracing::warn!(
                    left_out,
                    "more requests were refused than could be written to capture.directory"
                );
            }
        }
    }

    /// Writes one request. It replaces the oldest files if there is no room.
    ///
    /// # Errors
    /// The disk's. The file is then not there.
    fn write(&mut self, captured: &Captured, now_unix: u64) -> io::Result<()> {
        let document = har(captured).to_string();
        let bytes = document.len() as u64;
        if bytes > self.most_bytes {
            return Ok(());
        }
        self.make_room(1, bytes, now_unix);
        let time = rfc3339(captured.received_unix_ms);
        let name = file_name(&time, &captured.route, captured.verdict.reason(), &captured.request_id);
        let unfinished = self.directory.join(UNFINISHED);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(document.as_bytes())?;
        fs::rename(&unfinished, self.directory.join(&name))?;
        self.bytes += bytes;
        self.list.push_back(CaptureFile {
            name,
            written_unix: now_unix,
            bytes,
        });
        Ok(())
    }

    /// Removes files until as many more with these bytes fit, and those that are kept no longer.
    fn make_room(&mut self, more: usize, bytes: u64, now_unix: u64) {
        let oldest_unix = now_unix.saturating_sub(self.keep_seconds);
        while let Some(oldest) = self.list.front() {
            let is_due = oldest.written_unix < oldest_unix;
            if !is_due && self.list.len() + more <= self.most && self.bytes + bytes <= self.most_bytes {
                return;
            }
            // Somebody may have removed or moved it.
            let _ = fs::remove_file(self.directory.join(&oldest.name));
            self.bytes -= oldest.bytes;
            self.list.pop_front();
        }
    }
}

/// Whether a file has a name that [`file_name`] makes. Files of other people in the directory are left alone.
fn is_capture(name: &str) -> bool {
    let has_time = name.get(..25).is_some_and(|time| {
        let shape = "dddd-dd-ddTdd_dd_dd_dddZ_";
        time.chars()
            .zip(shape.chars())
            .all(|(c, wanted)| if wanted == 'd' { c.is_ascii_digit() } else { c == wanted })
    });
    has_time && name.ends_with(".har")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::outcome::{Rejection, Verdict};

    fn bounds(directory: &Path, count: usize, bytes: usize) -> settings::Captures {
        settings::Captures {
            count,
            bytes,
            keep: Duration::from_secs(60),
            full_for: Duration::ZERO,
            directory: Some(directory.to_owned()),
        }
    }

    fn refused(id: &str, body: usize) -> Captured {
        Captured {
            request_id: id.into(),
            route: "shop/eu".into(),
            received_unix_ms: 1_700_000_000_000,
            verdict: Verdict::Refused(Rejection::SignatureMismatch),
            status: None,
            method: "POST".into(),
            target: "/hook".into(),
            headers: Vec::new(),
            body: Some(vec![b'a'; body].into()),
            values: Vec::new(),
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_directory_has_bounds_of_number_bytes_and_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::write(path.join("note.har"), "of somebody else").unwrap();
        let mut files = Files::open(path, &bounds(path, 2, 1 << 20)).unwrap();
        for id in ["a", "b", "c"] {
            files.write(&refused(id, 10), 1_700_000_000).unwrap();
        }
        let expected = ["b", "c"].map(|id| format!("2023-11-14T22_13_20_000Z_shop_eu_signature_mismatch_{id}.har"));
        assert_eq!(names(path), [&expected[..], &[String::from("note.har")]].concat());

        // The files of an earlier process count.
        let size = files.list.front().unwrap().bytes;
        let most = usize::try_from(2 * size).unwrap();
        let mut files = Files::open(path, &bounds(path, 9, most)).unwrap();
        assert_eq!((files.list.len(), files.bytes), (2, 2 * size));
        files.write(&refused("d", 10), 1_700_000_000).unwrap();
        assert_eq!(files.list.len(), 2);
        assert!(names(path).iter().any(|name| name.contains("mismatch_d")));
        // One that is larger than the bound is left out, and removes nothing.
        files.write(&refused("e", most), 1_700_000_000).unwrap();
        assert_eq!(files.list.len(), 2);

        let last = clock::unix_now() + 3600;
        files.make_room(0, 0, last);
        assert_eq!(names(path), ["note.har"]);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/it");
        let mut files = Files::open(&path, &bounds(&path, 2, 1 << 20)).unwrap();
        fs::remove_dir(&path).unwrap();
        assert!(files.write(&refused("a", 1), 1).is_err());
        assert!(files.list.is_empty() && files.bytes == 0);
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Files::open(&file, &bounds(&file, 1, 1)).is_err());
    }
}
