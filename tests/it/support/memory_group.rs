//! A control group with a memory limit, as a container has. Version 2 where its memory controller is delegated, otherwise
//! version 1.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The controller that a group is made with, and the names of its files.
#[derive(Clone, Copy)]
pub(crate) struct Controller {
    pub(crate) name: &'static str,
    pub(crate) limit_file: &'static str,
    pub(crate) peak_file: &'static str,
}

/// Memory in version 2.
const MEMORY: Controller = Controller {
    name: "memory",
    limit_file: "memory.max",
    peak_file: "memory.peak",
};
/// Memory in version 1.
const MEMORY_1: Controller = Controller {
    name: "memory",
    limit_file: "memory.limit_in_bytes",
    peak_file: "memory.max_usage_in_bytes",
};

/// A group of this test's own; removed on drop, after the process in it has ended.
pub(crate) struct MemoryGroup {
    directory: PathBuf,
    peak_file: &'static str,
}

impl MemoryGroup {
    /// A group whose processes may use `limit_bytes` together. Fails with the command to run when this user may not make
    /// one.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        let made = match own_unified_group() {
            Some(own) if has_controller(&own, MEMORY) => Self::in_delegated(&own, MEMORY, limit_bytes),
            Some(_) | None => Self::in_parent(Path::new("/sys/fs/cgroup/memory"), MEMORY_1, limit_bytes),
        };
        made.unwrap_or_else(|error| {
            panic!(
                "cannot make a control group with a memory limit: {error}. Run this test as root, or inside a group that \
                 is delegated: sudo -E cargo nextest run --test it shipped_limits, or systemd-run --user --scope \
                 -p Delegate=yes cargo nextest run --test it shipped_limits"
            )
        })
    }

    /// A group of version 2 below `own`, a group that this user may change. A group with processes of its own cannot
    /// divide a controller among its children (cgroups(7), "no internal processes"), so those processes move to a child
    /// first.
    pub(crate) fn in_delegated(own: &Path, controller: Controller, limit: u64) -> io::Result<Self> {
        let is_divided = fs::read_to_string(own.join("cgroup.subtree_control"))?
            .split_whitespace()
            .any(|name| name == controller.name);
        if !is_divided {
            // The root of all groups has no such file, and may have processes.
            if own.join("cgroup.type").exists() {
                move_processes(own, &own.join("hookgate-test-others"))?;
            }
            fs::write(own.join("cgroup.subtree_control"), format!("+{}", controller.name))?;
        }
        Self::in_parent(own, controller, limit)
    }

    /// A group below `parent`, whose controller is divided already.
    fn in_parent(parent: &Path, controller: Controller, limit: u64) -> io::Result<Self> {
        let group = Self {
            directory: parent.join(format!("hookgate-test-{}", std::process::id())),
            peak_file: controller.peak_file,
        };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", group.directory.display()));
        fs::create_dir(&group.directory).map_err(named)?;
        fs::write(group.directory.join(controller.limit_file), limit.to_string()).map_err(named)?;
        Ok(group)
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

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Where version 2 is mounted: alone, or beside version 1.
pub(crate) fn unified_mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = fields.find(|fields| fields.get(2) == Some(&"cgroup2"))?;
    Some(PathBuf::from(mount[1]))
}

/// The group of version 2 that this process is in.
fn own_unified_group() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(unified_mount()?.join(path))
}

/// Whether a group of version 2 may divide the controller among its children.
pub(crate) fn has_controller(group: &Path, controller: Controller) -> bool {
    fs::read_to_string(group.join("cgroup.controllers"))
        .is_ok_and(|names| names.split_whitespace().any(|name| name == controller.name))
}

/// Moves all processes of a group to another one, which is made if it does not exist.
fn move_processes(from: &Path, to: &Path) -> io::Result<()> {
    if !to.exists() {
        fs::create_dir(to)?;
    }
    for process in fs::read_to_string(from.join("cgroup.procs"))?.lines() {
        match fs::write(to.join("cgroup.procs"), process) {
            // It has ended.
            Err(error) if error.raw_os_error() == Some(3) => {}
            result => result?,
        }
    }
    Ok(())
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
    }
}
