//! How operators see and change the running process: the API's socket.

use super::serialize::{duration, size};
use serde::{Serialize, Serializer};
use std::path::PathBuf;
use std::time::Duration;

/// The API of operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Api {
    /// Path of the Unix socket that serves `/api/v1/`; only the user of the process may connect.
    pub socket: PathBuf,
}

/// Bounds of the captured requests of all routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Captures {
    /// The most requests that are kept.
    pub count: usize,
    /// The most bytes of them.
    #[serde(serialize_with = "size")]
    pub bytes: usize,
    /// How long each is kept.
    #[serde(serialize_with = "duration")]
    pub keep: Duration,
    /// For how long after the start or a reload `capture = "full"` holds.
    #[serde(serialize_with = "duration")]
    pub full_for: Duration,
}

/// What is captured of the requests of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Nothing, until an operator turns it on.
    Off,
    /// The values at these JSON pointers.
    Values(Vec<String>),
    /// Whole requests, for [`Captures::full_for`].
    Full,
}

impl Serialize for Capture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Values(pointers) => pointers.serialize(serializer),
            Self::Full => serializer.serialize_str("full"),
        }
    }
}
