//! The clock of the inbox: the wall clock at the start of the process, continued by the monotonic clock. A wall clock
//! that jumps while the process runs moves no delivery.

use super::model::delivery::Millis;
use crate::time::clock;
use std::time::Duration;
use tokio::time::Instant;

/// Difference between the two clocks from which nothing expires.
const INCONSISTENT: Duration = Duration::from_secs(60);

/// The clock of the inbox.
#[derive(Debug)]
pub struct InboxClock {
    wall_ms: Millis,
    started: Instant,
}

impl InboxClock {
    /// Starts the clock at the time of the wall clock.
    #[must_use]
    pub fn start() -> Self {
        Self {
            wall_ms: wall_ms(),
            started: Instant::now(),
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    /// The time at `instant`.
    #[must_use]
    pub fn at(&self, instant: Instant) -> Millis {
        let since = instant.saturating_duration_since(self.started);
        self.wall_ms.saturating_add(super::model::delivery::milliseconds(since))
    }

    /// Whether the wall clock agrees with the monotonic clock within a minute. If not, somebody has set it, and contents
    /// do not expire.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let difference = wall_ms().abs_diff(self.now());
        u128::from(difference) < INCONSISTENT.as_millis()
    }
}

fn wall_ms() -> Millis {
    Millis::try_from(clock::unix_now().saturating_mul(1_000)).unwrap_or(Millis::MAX)
}
