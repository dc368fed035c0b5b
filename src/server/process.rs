//! What the process asks of the system before it serves: enough descriptors for its bounds, and no core dump or debugger
//! that could show its keys.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Descriptors beside those of connections: listeners, runtimes, files, the admin listener.
const SPARE: u64 = 256;

/// Raises the soft limit of descriptors as far as the bound of `connections` (two descriptors each: sender and upstream)
/// needs and the hard limit allows. Returns a warning when that is not far enough.
#[must_use]
pub fn allow_descriptors(connections: usize) -> Option<String> {
    let wanted = (connections as u64).saturating_mul(2).saturating_add(SPARE);
    let limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    if soft >= wanted {
        return None;
    }
    let raised = wanted.min(hard);
    let now = match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(raised),
            maximum: limit.maximum,
        },
    ) {
        Ok(()) => raised,
        Err(_) => soft,
    };
    (now < wanted).then(|| {
        format!("{connections} connections may need {wanted} descriptors and the system allows {now}: raise LimitNOFILE or lower limits.connections")
    })
}

/// Turns core dumps off, and attaching with a debugger by the same user. Returns a warning when the system refuses.
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
        .map(|error| format!("core dumps cannot be turned off: {error}"))
}
