//! Who runs where: one core for the contender, the other for everything that loads it.

use crate::Result;
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where the contender runs.
pub const CONTENDER_CORE: usize = 0;
/// Where the generator and the upstream run.
pub const GENERATOR_CORE: usize = 1;

/// Higher than what else runs on a shared machine; the same for both cores.
const PRIORITY: i32 = -15;

/// Where the kernel weighs sessions against each other, a process's own priority counts only within its session.
const SESSION: &str = "/proc/self/autogroup";

/// Raised priority of this session, contenders included, until dropped.
pub struct Precedence;

impl Precedence {
    /// Raises it where that is allowed; without it the figures are only noisier.
    pub fn take() -> Self {
        let _ = fs::write(SESSION, PRIORITY.to_string());
        Self
    }
}

impl Drop for Precedence {
    fn drop(&mut self) {
        let _ = fs::write(SESSION, "0");
    }
}

/// Pins the calling process, raises its priority where that is allowed, and its file descriptors to the hard limit.
pub fn settle(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).map_err(|e| format!("pinning to core {core}: {e}"))?;
    // Without the privilege the figures are only noisier.
    let _ = rustix::process::setpriority_process(None, PRIORITY);
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(())
}

/// Becomes the given command, pinned; ends with its parent, however that ends. Returns only the reason why not.
pub fn become_pinned(core: usize, command: &[OsString]) -> Result<()> {
    let (program, arguments) = command.split_first().ok_or("pin needs a command")?;
    settle(core)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    Err(Command::new(program).args(arguments).exec().into())
}

/// A command that will run on `core`.
pub fn pinned(core: usize) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["pin", &core.to_string()]);
    Ok(command)
}
