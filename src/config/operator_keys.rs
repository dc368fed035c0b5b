//! The keys of what operators see and do: `[api]` and `[capture]`.

use super::value::{Count, DurationValue, Size};
use serde::Deserialize;

/// `[api]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Api {
    pub(super) socket: Option<String>,
}

/// `[capture]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Capture {
    pub(super) count: Option<Count>,
    pub(super) bytes: Option<Size>,
    pub(super) keep: Option<DurationValue>,
    pub(super) full_for: Option<DurationValue>,
}
