//! A number of requests in a time.

use super::serialize::duration_text;
use serde::{Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// So many requests in each period. The whole number may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub requests: u32,
    /// Longer than zero.
    pub period: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = duration_text(self.period);
        write!(f, "{}/{}", self.requests, period.strip_prefix('1').unwrap_or(&period))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
