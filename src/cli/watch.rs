//! Notices that a file of the configuration has changed, whoever changed it and however: by its content, so that a
//! renamed link (Kubernetes, certbot), a rewritten file and a touched one are told apart from what they mean.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// A file that is being written is left alone until it has been the same for this long.
const SETTLE: Duration = Duration::from_millis(200);
/// Looks at a file that keeps changing before it is taken as it is.
const PATIENCE: usize = 10;

/// The files that are watched and what was in them.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<PathBuf>,
    seen: u64,
}

impl Watch {
    /// Watches `files` from now on.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let seen = fingerprint(&files);
        Self { files, seen }
    }

    /// Ready when the content of any file differs from what it was.
    pub(super) async fn changed(&mut self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut now = fingerprint(&self.files);
            if now == self.seen {
                continue;
            }
            for _ in 0..PATIENCE {
                sleep(SETTLE).await;
                let later = fingerprint(&self.files);
                if later == now {
                    break;
                }
                now = later;
            }
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

/// One number for the contents of all files; an unreadable file counts as one with a content of its own.
fn fingerprint(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        fs::read(file).map_err(|error| error.kind()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;
    use tokio::time::timeout;

    async fn changes(watch: &mut Watch) -> bool {
        timeout(INTERVAL * 3, watch.changed()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_swapped_link_is_a_change_and_a_touch_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("1")).unwrap();
        fs::create_dir(path("2")).unwrap();
        fs::write(path("1/tls.crt"), "one").unwrap();
        fs::write(path("2/tls.crt"), "two").unwrap();
        // As the kubelet does it: the file is a link into ..data, and ..data is swapped by a rename.
        symlink(path("1"), path("..data")).unwrap();
        symlink("..data/tls.crt", path("tls.crt")).unwrap();
        let mut watch = Watch::new(vec![path("tls.crt")]);
        assert!(!changes(&mut watch).await);
        fs::write(path("1/tls.crt"), "one").unwrap();
        assert!(!changes(&mut watch).await);
        symlink(path("2"), path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        assert!(changes(&mut watch).await);
        assert!(!changes(&mut watch).await);
        fs::remove_file(path("tls.crt")).unwrap();
        assert!(changes(&mut watch).await);
    }
}
