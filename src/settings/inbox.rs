//! The inbox of the process.

use super::secret_info::SecretInfo;
use super::serialize::{duration, path, size};
use crate::secret::Secret;
use serde::Serialize;
use serde::ser::Serializer;
use std::path::PathBuf;
use std::time::Duration;

/// The inbox of the process.
#[derive(Clone, Debug, Serialize)]
pub struct Inbox {
    /// The file of the store. Its lock is beside it, with `.lock` at the end.
    #[serde(serialize_with = "path")]
    pub store: PathBuf,
    /// Keys that encrypt what is stored: the first encrypts, all decrypt. Empty: nothing is encrypted.
    pub keys: Vec<StorageKey>,
    /// Bytes of heads and bodies that may be stored.
    #[serde(serialize_with = "size")]
    pub max_bytes: usize,
    /// Deliveries that may be stored and not settled.
    pub max_items: usize,
    /// Free space of the file system below which nothing new is stored, in bytes.
    #[serde(serialize_with = "size")]
    pub min_free_disk: usize,
    /// Size of the write-ahead log at which nothing new is stored, in bytes.
    #[serde(serialize_with = "size")]
    pub max_log: usize,
    /// How long head and body are kept after the delivery.
    #[serde(serialize_with = "duration")]
    pub keep: Duration,
    /// Dead letters.
    pub dead: DeadLetters,
    /// Whether a file system that may lose what was written is accepted.
    pub any_filesystem: bool,
    /// The first wait of a probe in an outage, and the longest.
    pub probe: Probe,
}

/// What is done with dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetters {
    /// How long they are kept.
    #[serde(serialize_with = "duration")]
    pub keep: Duration,
}

/// Back-off of the probes in an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The wait before the first probe; it doubles with each one that fails.
    #[serde(serialize_with = "duration")]
    pub backoff: Duration,
    /// The longest wait.
    #[serde(serialize_with = "duration")]
    pub backoff_limit: Duration,
}

/// A key that encrypts what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageKey {
    /// Where it is read from.
    pub info: SecretInfo,
    /// Its bytes.
    pub secret: Secret,
}

impl Serialize for StorageKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.info.serialize(serializer)
    }
}
