//! CPU cores and priorities: one core for the contender, the other for the load generator and the upstream.

use crate::Result;
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Core of the contender.
pub const CONTENDER_CORE: usize = 0;
/// Core of the generator and the upstream.
pub const GENERATOR_CORE: usize = 1;

/// Nice value, higher in priority than other programs on a shared machine; the same for both cores.
const PRIORITY: i32 = -15;

/// File for the priority of this session. With autogroup scheduling the priority of a process counts only within its session.
const SESSION: &str = "/proc/self/autogroup";

/// Guard that raises the priority of this session, contenders included, until it is dropped.
pub struct SessionPriority;

impl SessionPriority {
    /// Raises the priority if that is allowed. Without it the figures are only noisier.
    pub fn take() -> Self {
        let _ = fs::write(SESSION, PRIORITY.to_string());
        Self
    }
}

impl Drop for SessionPriority {
    fn drop(&mut self) {
        let _ = fs::write(SESSION, "0");
    }
}

/// Pins the calling process to `core`, raises its priority if allowed, and raises its limit of file descriptors to the hard limit.
pub fn pin_and_raise_limits(core: usize) -> Result<()> {
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

/// Replaces this process by the given command, pinned to `core`. The command gets SIGTERM when its parent ends. Returns only on an
/// error.
pub fn exec_pinned(core: usize, command: &[OsString]) -> Result<()> {
    let (program, arguments) = command.split_first().ok_or("pin needs a command")?;
    pin_and_raise_limits(core)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    Err(Command::new(program).args(arguments).exec().into())
}

/// A command that will run pinned to `core`: add the program and its arguments.
pub fn pinned_command(core: usize) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["pin", &core.to_string()]);
    Ok(command)
}
