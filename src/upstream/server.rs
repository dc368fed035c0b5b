//! A configured server of an upstream, and what all endpoints of one upstream share.

use super::counters::ServerCounters;
use crate::settings::{self, Ejection};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// State that all endpoints of one upstream share.
pub(super) struct Shared {
    pub(super) settings: Arc<settings::Upstream>,
    pub(super) tls: Option<TlsConnector>,
    /// Number of workers.
    pub(super) workers: usize,
    /// When the upstream was created; times in atomics count from here.
    pub(super) created_at: Instant,
    /// `None` when there is a single endpoint, which is never ejected.
    pub(super) ejection: Option<Ejection>,
}

impl Shared {
    /// Milliseconds between the creation of the upstream and `now`; the time unit of an endpoint's health.
    pub(super) fn milliseconds_since_start(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.created_at);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// One configured server of an upstream.
#[derive(Debug)]
pub(super) struct UpstreamServer {
    /// Index into the upstream's servers.
    pub(super) index: usize,
    pub(super) settings: settings::ServerSettings,
    /// Its URL without a path; the `upstream` label of metrics.
    pub(super) name: String,
    pub(super) counters: ServerCounters,
}
