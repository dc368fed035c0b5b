//! The store: an SQLite file with one writer thread, which commits whatever is waiting.
//!
//! The writer owns the file. Everybody else sends it commands and waits for the answer, which comes after the commit
//! has been synced. The sync in progress is the only timer: what arrives meanwhile is the next transaction.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`writer`] | the writer thread: opens the store, commits, maintains |
//! | [`checkpoints`] | copies the write-ahead log into the file |
//! | [`command`] | what the writer is asked, and its answers |
//! | [`upkeep`] | what is done to the rows at a start and at intervals |
//! | [`rows`] | what each command does to the rows |
//! | [`schema`] | the tables, and how the file is opened |
//! | [`shared`] | what the writer shares with the rest of the inbox |
//! | [`status`] | whether the store accepts webhooks, and its figures |
//! | [`changes`] | counts by route and state |
//! | [`types`] | what the store is given, and what it returns |

pub mod changes;
mod checkpoints;
pub mod command;
mod rows;
mod schema;
pub mod shared;
pub mod status;
pub mod types;
mod upkeep;
pub mod writer;

#[cfg(test)]
mod tests;
