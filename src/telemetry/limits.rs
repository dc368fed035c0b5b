//! The bounds that gauges are measured against, as gauges of their own, so that an alert says "80 % full" without knowing
//! anyone's configuration.

use super::registration::gauge;
use prometheus::{IntGauge, Registry};

/// Bounds of the process.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `limits.connections`, which the sum of `connections_open` over all listeners keeps to.
    pub connections: IntGauge,
    /// `limits.in_flight_bytes`, which `intake_bytes_in_flight` keeps to.
    pub intake_bytes: IntGauge,
    /// Keys that the replay store of this process can hold; a shared store has limits of its own.
    pub replay_keys: IntGauge,
}

impl Limits {
    pub(super) fn register(r: &Registry) -> Self {
        Self {
            connections: gauge(
                r,
                "connections_limit",
                "Connections of senders that may be open at once.",
            ),
            intake_bytes: gauge(
                r,
                "intake_bytes_limit",
                "Body bytes that may be held in memory at once.",
            ),
            replay_keys: gauge(
                r,
                "replay_keys_limit",
                "Keys that the replay store in this process's memory can hold.",
            ),
        }
    }
}
