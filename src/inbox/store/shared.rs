//! What the writer shares with the rest of the inbox.

use super::changes::Tallies;
use super::status::Status;
use crate::inbox::clock::InboxClock;
use crate::inbox::crypt::Vault;
use crate::inbox::known::KnownIds;
use crate::settings;
use crate::telemetry::metrics::InboxMetrics;
use std::sync::atomic::AtomicI64;
use tokio::sync::Notify;

/// What the writer shares with the rest of the inbox.
#[derive(Debug)]
pub struct Shared {
    /// The settings of the inbox.
    pub settings: settings::Inbox,
    /// The keys.
    pub vault: Vault,
    /// Counts by route and state.
    pub tallies: Tallies,
    /// Ids that may be stored.
    pub known: KnownIds,
    /// The state of the store.
    pub status: Status,
    /// The clock of the inbox.
    pub clock: InboxClock,
    /// The next place in the order of a key.
    pub position: AtomicI64,
    /// Wakes the delivery of stored webhooks.
    pub work: Notify,
    /// Commits and their sizes.
    pub metrics: InboxMetrics,
}
