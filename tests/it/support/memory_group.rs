//! A control group with a memory limit, as a container has. Version 2 where its memory controller is delegated, otherwise
//! version 1.

use std::fs;
use std::path::{Path, PathBuf};

/// A group of this test's own; removed on drop, after the process in it has ended.
pub(crate) struct MemoryGroup {
    directory: PathBuf,
    peak_file: &'static str,
}

impl MemoryGroup {
    /// A group whose processes may use `limit_bytes` together. Fails with the command to run when this user may not make
    /// one.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        let name = format!("hookgate-test-{}", std::process::id());
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let unified = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let unified = Path::new("/sys/fs/cgroup").join(unified.unwrap_or_default());
        let is_delegated = fs::read_to_string(unified.join("cgroup.subtree_control"))
            .is_ok_and(|controllers| controllers.split_whitespace().any(|controller| controller == "memory"));
        let (parent, limit_file, peak_file) = if is_delegated {
            (unified, "memory.max", "memory.peak")
        } else {
            let first = PathBuf::from("/sys/fs/cgroup/memory");
            (first, "memory.limit_in_bytes", "memory.max_usage_in_bytes")
        };
        let group = Self {
            directory: parent.join(name),
            peak_file,
        };
        let made = fs::create_dir(&group.directory)
            .and_then(|()| fs::write(group.directory.join(limit_file), limit_bytes.to_string()));
        if let Err(error) = made {
            panic!(
                "cannot limit memory in {}: {error}. Run this test as root, or inside a group whose memory controller is \
                 delegated: sudo -E cargo nextest run --test it shipped_limits, or systemd-run --user --scope \
                 -p Delegate=yes cargo nextest run --test it shipped_limits",
                group.directory.display()
            );
        }
        group
    }

    /// A shell script that enters the group and then runs its arguments.
    pub(crate) fn script(&self) -> String {
        format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.directory.display())
    }

    /// The most bytes that the group has used.
    pub(crate) fn peak(&self) -> u64 {
        let text = fs::read_to_string(self.directory.join(self.peak_file)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
    }
}
