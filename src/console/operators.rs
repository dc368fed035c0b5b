//! What the API knows of the running process, and who asks.

use crate::gateway::Gateway;
use crate::telemetry::audit::Action;
use crate::telemetry::recent::RecentLines;
use crate::time::clock;
use std::fmt;
use std::sync::Arc;

/// What the API shows and changes.
pub struct Operators {
    /// The gateway with its snapshot, metrics and inbox.
    pub gateway: Arc<Gateway>,
    /// The latest audit lines.
    pub recent: RecentLines,
    /// When the process started, in Unix seconds.
    pub started_unix: u64,
}

impl fmt::Debug for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operators").finish_non_exhaustive()
    }
}

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See everything that is shown.
    View,
    /// Change something, and check captured requests.
    Operate,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `uid 1000` on the Unix socket.
    pub name: String,
    /// What this person may do.
    pub role: Role,
}

impl Actor {
    /// Whether this person may change something.
    #[must_use]
    pub fn may_operate(&self) -> bool {
        self.role >= Role::Operate
    }
}

impl Operators {
    /// For a process that started at `started_unix`.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, recent: RecentLines, started_unix: u64) -> Arc<Self> {
        Arc::new(Self {
            gateway,
            recent,
            started_unix,
        })
    }

    /// Writes the audit line of an action.
    pub fn record(&self, actor: &Actor, action: &str, target: &str, detail: &str) {
        self.gateway.recorder.action(&Action {
            unix_ms: clock::unix_now_ms(),
            actor: &actor.name,
            action,
            target,
            detail,
        });
    }
}
