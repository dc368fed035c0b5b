//! The replay store: the memory of this process, or a store that replicas share.

use super::Resolver;
use super::redis::RedisKeys;
use crate::config::file::{self, OnStoreFailure};
use crate::config::value::{DurationValue, Keyword};
use crate::settings::{Redis, Replay, defaults};
use std::time::Duration;

/// How to write `replay.store`.
const FIX: &str =
    "write \"memory\", \"redis://host:6379/0\", \"rediss://host:6379/0\" or \"redis+unix:///run/redis.sock\"";

impl Resolver<'_> {
    /// The replay store.
    pub(super) fn replay_store(&mut self, mut written: file::ReplayStore) -> Replay {
        let capacity = self.count(
            format_args!("replay.capacity"),
            written.capacity,
            defaults::REPLAY_CAPACITY,
            1,
            100_000_000,
        );
        let had_store = !written.store.is_empty();
        let urls = &mut written.store.0;
        let all = urls.len();
        urls.retain(|(_, url)| url != "memory");
        let is_memory = !had_store || urls.len() < all;
        let has_store_keys = written.sentinel.is_some()
            || written.cluster.is_some()
            || written.user.is_some()
            || written.password.is_some()
            || written.ca.is_some()
            || written.prefix.is_some()
            || written.timeout.is_some()
            || written.on_store_failure.is_some();
        if is_memory {
            if has_store_keys || !urls.is_empty() {
                let problem = "the store is the memory of this process, which has no other setting than `capacity`";
                self.report.fault("replay", problem, FIX);
            }
            return Replay { capacity, shared: None };
        }
        let servers = self.redis_servers(RedisKeys {
            table: String::from("replay"),
            url_key: String::from("replay.store"),
            fix: FIX,
            urls: written.store,
            sentinel: written.sentinel,
            cluster: written.cluster,
            user: written.user,
            password: written.password,
            ca: written.ca,
            prefix: written.prefix,
        });
        let timeout = match written.timeout {
            None => defaults::REPLAY_TIMEOUT,
            Some(DurationValue(timeout)) if (Duration::from_millis(1)..=Duration::from_secs(5)).contains(&timeout) => {
                timeout
            }
            Some(DurationValue(_)) => {
                self.report.fault(
                    "replay.timeout",
                    "this timeout is out of bounds",
                    "write a duration from \"1ms\" to \"5s\"",
                );
                defaults::REPLAY_TIMEOUT
            }
        };
        let accept_on_failure = written
            .on_store_failure
            .map_or(defaults::ACCEPT_ON_STORE_FAILURE, |Keyword(action)| {
                action == OnStoreFailure::Accept
            });
        if accept_on_failure {
            self.report.warn(
                "replay.on_store_failure",
                "accept: while the store does not answer, each replica detects only the replays that it received itself",
            );
        }
        Replay {
            capacity,
            shared: Some(Box::new(Redis {
                servers,
                timeout,
                accept_on_failure,
            })),
        }
    }
}
