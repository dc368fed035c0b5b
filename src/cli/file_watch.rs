//! Detects that the content of a configuration file has changed. It compares hashes of the contents: a symbolic link
//! that now points to another file (Kubernetes, certbot) and a rewritten file are changes, a new modification time is
//! not.

use crate::tls;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often the files are read.
const INTERVAL: Duration = Duration::from_secs(2);
/// A changed file is taken when its content has been the same for this long, so that it is not read while it is
/// written.
const SETTLE: Duration = Duration::from_millis(200);
/// Number of [`SETTLE`] waits after which a file that keeps changing is taken as it is.
const MAX_SETTLE_WAITS: usize = 10;

/// The watched files and the hashes of their contents.
#[derive(Debug)]
pub(super) struct FileWatch {
    /// Hash of the content of each file.
    hashes: BTreeMap<PathBuf, u64>,
}

impl FileWatch {
    /// Watches `files` from now on.
    pub(super) async fn new(files: Vec<PathBuf>) -> Self {
        Self {
            hashes: hash_all(files).await,
        }
    }

    /// Records the present contents. The caller does this before it reads the files, so that a change during the
    /// reading is detected afterwards.
    pub(super) async fn refresh(&mut self) {
        self.hashes = self.current().await;
    }

    /// Watches `files` from now on. Files that were watched before keep their recorded hash.
    pub(super) async fn set_files(&mut self, files: Vec<PathBuf>) {
        let (old, new) = files
            .into_iter()
            .partition::<BTreeSet<_>, _>(|file| self.hashes.contains_key(file));
        self.hashes.retain(|file, _| old.contains(file));
        self.hashes.extend(hash_all(new.into_iter().collect()).await);
    }

    async fn current(&self) -> BTreeMap<PathBuf, u64> {
        hash_all(self.hashes.keys().cloned().collect()).await
    }

    /// Waits until the content of any file differs from the recorded one, then records the new contents.
    pub(super) async fn changed(&mut self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut current = self.current().await;
            if current == self.hashes {
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
            if current != self.hashes {
                self.hashes = current;
                return;
            }
        }
    }
}

/// Hashes the content of each file; a missing file has a hash of its own. Many files, or a slow file system, must not
/// delay what else the calling thread does.
async fn hash_all(files: Vec<PathBuf>) -> BTreeMap<PathBuf, u64> {
    let hash_all = || {
        let hashed = files.into_iter().map(|file| {
            let content = tls::content_hash([&file]);
            (file, content)
        });
        hashed.collect()
    };
    // It fails only when the process ends.
    tokio::task::spawn_blocking(hash_all).await.unwrap_or_default()
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
