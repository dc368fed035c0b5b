//! Detects that the content of a configuration file has changed. It compares hashes of the contents: a symbolic link
//! that now points to another file (Kubernetes, certbot) and a rewritten file are changes, a new modification time is
//! not. A file is read only when its metadata have changed.

use crate::time::clock::unix_now;
use crate::tls;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often the files are looked at, unless they are many.
const INTERVAL: Duration = Duration::from_secs(2);
/// Of many files so many are looked at in a second, so that ten thousand secrets do not keep an idle process busy.
const FILES_PER_SECOND: u32 = 500;
/// A changed file is taken when its content has been the same for this long, so that it is not read while it is
/// written.
const SETTLE: Duration = Duration::from_millis(200);
/// Number of [`SETTLE`] waits after which a file that keeps changing is taken as it is.
const MAX_SETTLE_WAITS: usize = 10;

/// A file that changed so recently may change again without new metadata, because the kernel's clock for files is coarse, and
/// that of a file server may be behind.
const RECENT_SECONDS: u64 = 3;

/// The files with what was found in them.
type Contents = BTreeMap<Arc<Path>, Content>;

/// What was found in a file.
#[derive(Clone, Copy, Debug)]
struct Content {
    hash: u64,
    /// The metadata that it had; `None` when it must be read again in any case.
    metadata: Option<Metadata>,
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

/// What changes with every change of the content: the file (device and inode), its length, and the time of its last change, in
/// nanoseconds, which nobody can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Metadata {
    file: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl Metadata {
    /// Of the file to which `path` leads; `None` without a file, or when it changed recently. `now` is a Unix time in seconds.
    fn of(path: &Path, now: u64) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let age = now.checked_sub(u64::try_from(changed.0).ok()?);
        let is_settled = age.is_some_and(|age| age > RECENT_SECONDS);
        is_settled.then_some(Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            changed,
        })
    }
}

/// The watched files and what they contain.
#[derive(Debug)]
pub(super) struct FileWatch {
    contents: Arc<Contents>,
}

impl FileWatch {
    /// Watches `files` from now on.
    pub(super) async fn new(files: Vec<PathBuf>) -> Self {
        let files = files.into_iter().map(|file| (Arc::from(file), None));
        Self {
            contents: Arc::new(read(files.collect()).await),
        }
    }

    /// Records the present contents. The caller does this before it reads the files, so that a change during the
    /// reading is detected afterwards.
    pub(super) async fn refresh(&mut self) {
        self.contents = Arc::new(self.current().await);
    }

    /// Watches `files` from now on. Files that were watched before keep what was recorded of them.
    pub(super) async fn set_files(&mut self, files: Vec<PathBuf>) {
        let mut contents = Contents::new();
        let mut new: Vec<(Arc<Path>, Option<Content>)> = Vec::new();
        for file in files.into_iter().map(Arc::from) {
            match self.contents.get(&file) {
                Some(content) => {
                    contents.insert(file, *content);
                }
                None => new.push((file, None)),
            }
        }
        contents.extend(read(new).await);
        self.contents = Arc::new(contents);
    }

    async fn current(&self) -> Contents {
        let known = self.contents.iter();
        read(known.map(|(file, content)| (file.clone(), Some(*content))).collect()).await
    }

    /// How often the files are looked at.
    fn interval(&self) -> Duration {
        let files = u32::try_from(self.contents.len()).unwrap_or(u32::MAX);
        INTERVAL.max(Duration::from_secs(1) * files / FILES_PER_SECOND)
    }

    /// Waits until the content of any file differs from the recorded one, then records the new contents.
    pub(super) async fn changed(&mut self) {
        let mut ticks = interval(self.interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut current = self.current().await;
            if current == *self.contents {
                self.contents = Arc::new(current);
                continue;
            }
            for _ in 0..MAX_SETTLE_WAITS {
                sleep(SETTLE).await;
                let later = self.current().await;
                let is_settled = later == current;
                current = later;
                if is_settled {
                    break;
                }
            }
            let is_changed = current != *self.contents;
            self.contents = Arc::new(current);
            if is_changed {
                return;
            }
        }
    }
}

/// What each file contains; a missing file has a hash of its own. A file with the metadata that it had before is not read.
/// Many files, or a slow file system, must not delay what else the calling thread does.
async fn read(files: Vec<(Arc<Path>, Option<Content>)>) -> Contents {
    let read = move || read_all(files, unix_now());
    // It fails only when the process ends.
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

fn read_all(files: Vec<(Arc<Path>, Option<Content>)>, now: u64) -> Contents {
    let contents = files.into_iter().map(|(file, known)| {
        // Before the content: a change in between is found the next time.
        let metadata = Metadata::of(&file, now);
        let content = match known {
            Some(content) if metadata.is_some() && content.metadata == metadata => content,
            Some(_) | None => Content {
                hash: tls::content_hash([&*file]),
                metadata,
            },
        };
        (file, content)
    });
    contents.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tokio::time::timeout;

    async fn changes(file_watch: &mut FileWatch) -> bool {
        timeout(INTERVAL * 3, file_watch.changed()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_replaced_link_is_a_change_and_an_equal_content_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("1")).unwrap();
        fs::create_dir(path("2")).unwrap();
        fs::write(path("1/tls.crt"), "one").unwrap();
        fs::write(path("2/tls.crt"), "two").unwrap();
        // The kubelet does it like this: the file is a symbolic link into ..data, and a rename replaces the link
        // ..data.
        symlink(path("1"), path("..data")).unwrap();
        symlink("..data/tls.crt", path("tls.crt")).unwrap();
        let mut file_watch = FileWatch::new(vec![path("tls.crt")]).await;
        assert!(!changes(&mut file_watch).await);
        fs::write(path("1/tls.crt"), "one").unwrap();
        assert!(!changes(&mut file_watch).await);
        symlink(path("2"), path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        assert!(changes(&mut file_watch).await);
        assert!(!changes(&mut file_watch).await);
        fs::remove_file(path("tls.crt")).unwrap();
        assert!(changes(&mut file_watch).await);
    }

    /// A file whose metadata are the same is not read; one that changed just now is, because the clock of files is coarse.
    #[tokio::test]
    async fn a_file_is_read_again_only_when_its_metadata_have_changed() {
        let directory = tempfile::tempdir().unwrap();
        let file: Arc<Path> = directory.path().join("secret").into();
        fs::write(&file, "one").unwrap();
        let now = unix_now();
        assert_eq!(
            Metadata::of(&file, now),
            None,
            "it may change again within the same tick"
        );
        let settled = Metadata::of(&file, now + 10);
        assert!(settled.is_some());
        // What was recorded with these metadata is believed without a look at the content.
        let recorded = Content {
            hash: 7,
            metadata: settled,
        };
        let read_at = |now| read_all(vec![(file.clone(), Some(recorded))], now);
        assert_eq!(read_at(now + 10)[&file].hash, 7);
        assert_ne!(read_at(now)[&file].hash, 7);
        fs::write(&file, "longer").unwrap();
        assert_ne!(read_at(now + 10)[&file].hash, 7);
    }

    #[tokio::test]
    async fn many_files_are_looked_at_less_often() {
        let files = |count: u32| {
            (0..count)
                .map(|number| PathBuf::from(format!("/nowhere/{number}")))
                .collect()
        };
        let mut file_watch = FileWatch::new(files(1_000)).await;
        assert_eq!(file_watch.interval(), INTERVAL);
        file_watch.set_files(files(10_000)).await;
        assert_eq!(file_watch.interval(), Duration::from_secs(20));
    }

    /// A change between `refresh` and the end of the reading must be detected.
    #[tokio::test(start_paused = true)]
    async fn a_change_during_a_reload_is_detected_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("secret"), "one").unwrap();
        let mut file_watch = FileWatch::new(vec![path("secret")]).await;
        file_watch.refresh().await;
        fs::write(path("secret"), "two").unwrap();
        file_watch.set_files(vec![path("secret"), path("not-there-yet")]).await;
        assert!(changes(&mut file_watch).await);
        assert!(!changes(&mut file_watch).await);
        fs::write(path("not-there-yet"), "three").unwrap();
        assert!(changes(&mut file_watch).await);
        file_watch.set_files(vec![path("not-there-yet")]).await;
        fs::write(path("secret"), "four").unwrap();
        assert!(!changes(&mut file_watch).await);
    }
}
