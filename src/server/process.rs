//! Requests of the process to the system before it serves: enough file descriptors for its limits, and no core dumps or
//! debuggers, which could expose secrets.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Number of descriptors for other purposes than connections: listeners, runtimes, files, the admin listener.
const SPARE: u64 = 256;

/// Raises the soft limit of file descriptors to what `connections` need (two descriptors each: sender and upstream), at
/// most to the hard limit. Returns a warning when the hard limit is too low.
#[must_use]
pub fn allow_descriptors(connections: usize) -> Option<String> {
    let wanted = (connections as u64).saturating_mul(2).saturating_add(SPARE);
    let limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    if soft >= wanted {
        return None;
    }
    let raised = wanted.min(hard);
    let allowed = match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        },
    ) {
        Ok(()) => raised,
        Err(_) => soft,
    };
    (allowed < wanted).then(|| {
        format!("{connections} connections may need {wanted} descriptors and the system allows {allowed}: raise LimitNOFILE or lower limits.connections")
    })
}

/// Disables core dumps and prevents debuggers of the same user from attaching. Returns a warning when the system
/// refuses.
#[must_use]
pub fn hide_memory() -> Option<String> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let core = setrlimit(Resource::Core, none);
    let dump = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    core.and(dump)
        .err()
        .map(|error| format!("core dumps cannot be disabled: {error}"))
}
