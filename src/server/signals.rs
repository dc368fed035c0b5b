//! The signals that end the process, in the order in which they are triggered.

use crate::time::shutdown::ShutdownSignal;
use std::sync::Arc;

/// Shared by the control plane, the workers and the admin listener.
#[derive(Clone, Default)]
pub(super) struct ShutdownSignals {
    /// Accept loops end.
    pub(super) stop_accepting: Arc<ShutdownSignal>,
    /// Connections finish their exchange in progress and close.
    pub(super) finish_connections: Arc<ShutdownSignal>,
    /// Workers and the admin listener end.
    pub(super) end: Arc<ShutdownSignal>,
}
