//! The replay guard: remembers what was delivered, in two steps, so that a retry after a failure is not a replay.
//!
//! A request is *claimed* before it is forwarded and *committed* when the upstream answered 2xx; anything else, a panic
//! included, releases the claim, and the sender's retry is let in. A plain "seen before" set would lose that webhook.
//! Only verified requests are claimed, so a flood of forgeries never touches the store.

mod memory;

pub use memory::Memory;

use crate::outcome::Rejection;
use std::sync::Arc;
use std::time::Duration;

/// What one claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The route, so that the same bytes on two routes are two webhooks. Stable over reloads.
    pub route: u64,
    /// [`crate::scheme::Verified::identity`].
    pub identity: [u8; 32],
}

/// When a claim may be forgotten, and what must not come back once it is.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// From now until a copy of the request would be refused as stale anyway (or the route's replay window).
    pub keep: Duration,
    /// The signed timestamp, Unix seconds. Once a key is forgotten nothing that is signed as old or older is let in
    /// again, even if the wall clock steps back.
    pub timestamp: Option<u64>,
}

/// Why there is no claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Committed before, and not yet forgotten.
    Delivered,
    /// Claimed by an exchange that has not settled.
    InFlight,
    /// Signed no later than something already forgotten: the clock stepped back.
    Forgotten,
    /// At capacity, and nothing has expired.
    Full,
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Delivered => Self::Replayed,
            Refused::InFlight => Self::InFlight,
            Refused::Forgotten => Self::TimestampStale,
            Refused::Full => Self::ReplayStoreFull,
        }
    }
}

/// The right to deliver one webhook. Dropping it without [`Claim::commit`] releases it.
#[derive(Debug)]
pub struct Claim {
    store: Arc<Memory>,
    key: Key,
    settled: bool,
}

impl Claim {
    /// The upstream took it: every copy is a replay from now on.
    pub fn commit(mut self) {
        self.settled = true;
        self.store.commit(&self.key);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            self.store.release(&self.key);
        }
    }
}
