//! Notices that a file of the configuration has changed, whoever changed it and however: by its content, so that a
//! renamed link (Kubernetes, certbot), a rewritten file and a touched one are told apart from what they mean.

use crate::tls;
use std::collections::BTreeMap;
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
    /// What was in each file, as a hash.
    seen: BTreeMap<PathBuf, u64>,
}

impl Watch {
    /// Watches `files` from now on.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self { seen: look(files) }
    }

    /// Takes what is in the files now as known: called before they are read, so that a change during the reading is
    /// noticed by the next look.
    pub(super) fn catch_up(&mut self) {
        self.seen = look(self.seen.keys().cloned());
    }

    /// Watches `files` from now on; those that were watched before are compared with what was known of them.
    pub(super) fn follow(&mut self, files: Vec<PathBuf>) {
        let (old, new) = files
            .into_iter()
            .partition::<Vec<_>, _>(|file| self.seen.contains_key(file));
        self.seen.retain(|file, _| old.contains(file));
        self.seen.extend(look(new));
    }

    /// Ready when the content of any file differs from what it was.
    pub(super) async fn changed(&mut self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut now = look(self.seen.keys().cloned());
            if now == self.seen {
                continue;
            }
            for _ in 0..PATIENCE {
                sleep(SETTLE).await;
                let later = look(self.seen.keys().cloned());
                let is_settled = later == now;
                now = later;
                if is_settled {
                    break;
                }
            }
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

fn look(files: impl IntoIterator<Item = PathBuf>) -> BTreeMap<PathBuf, u64> {
    files
        .into_iter()
        .map(|file| {
            let content = tls::content([&file]);
            (file, content)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
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

    /// What changes between the look and the end of the reading is not taken for read.
    #[tokio::test(start_paused = true)]
    async fn a_change_during_a_reload_is_noticed_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("secret"), "one").unwrap();
        let mut watch = Watch::new(vec![path("secret")]);
        watch.catch_up();
        fs::write(path("secret"), "two").unwrap();
        watch.follow(vec![path("secret"), path("not-there-yet")]);
        assert!(changes(&mut watch).await);
        assert!(!changes(&mut watch).await);
        fs::write(path("not-there-yet"), "three").unwrap();
        assert!(changes(&mut watch).await);
        watch.follow(vec![path("not-there-yet")]);
        fs::write(path("secret"), "four").unwrap();
        assert!(!changes(&mut watch).await);
    }
}
