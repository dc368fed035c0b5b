//! Replay protection and deduplication, in memory and in a shared Redis.

mod days;
mod dedupe;
mod guard;
mod identity;
pub(crate) mod store;
mod store_cluster;
mod store_faults;
mod store_replicas;
