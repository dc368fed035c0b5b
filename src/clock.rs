//! The wall clock, read in one place: once per exchange, in whole Unix seconds, and passed on as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds now; 0 on a machine whose clock stands before 1970.
#[must_use]
pub fn unix_now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
