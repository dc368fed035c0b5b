//! The replay guard's store.

use super::redis::RedisServers;
use super::serialize::duration_text;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::time::Duration;

/// The replay guard's store.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Replay keys that are kept in memory. A full store refuses requests; it never evicts a key.
    pub capacity: usize,
    /// A store that replicas share; `None` keeps the keys in the memory of this process.
    pub shared: Option<Box<Redis>>,
}

/// A replay store in Redis or Valkey.
#[derive(Clone, Debug)]
pub struct Redis {
    /// Where it is.
    pub servers: RedisServers,
    /// Time for one claim, including the wait for a connection.
    pub timeout: Duration,
    /// Whether the process continues with its own memory when the store fails. Otherwise it refuses requests.
    pub accept_on_failure: bool,
}

impl Serialize for Replay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("capacity", &self.capacity)?;
        let Some(redis) = &self.shared else {
            table.serialize_entry("store", "memory")?;
            return table.end();
        };
        redis.servers.serialize_into(&mut table, "store")?;
        table.serialize_entry("timeout", &duration_text(redis.timeout))?;
        let on_store_failure = if redis.accept_on_failure { "accept" } else { "reject" };
        table.serialize_entry("on_store_failure", on_store_failure)?;
        table.end()
    }
}
