//! `[replay]`: this process's memory, or a store that replicas share.

use super::super::file::{self, HeaderText, OnStoreFailure};
use super::super::value::{Wait, Word};
use super::super::{Redis, Replay, StoreServer};
use super::Resolver;
use super::pattern::is_host;
use crate::secret::Secret;
use crate::tls;
use std::time::Duration;

const FIX: &str =
    "write \"memory\", \"redis://host:6379/0\", \"rediss://host:6379/0\" or \"redis+unix:///run/redis.sock\"";

/// What one URL says.
struct Parsed {
    server: StoreServer,
    tls: bool,
    database: u16,
}

impl Resolver<'_> {
    pub(super) fn replay_store(&mut self, written: file::ReplayStore) -> Replay {
        let capacity = self.count("replay.capacity", written.capacity, 1_000_000, 1, 100_000_000);
        let mut parsed: Vec<Parsed> = Vec::new();
        let mut is_memory = written.store.is_empty();
        for (key, url) in written.store.paths("replay.store") {
            if url == "memory" {
                is_memory = true;
                continue;
            }
            match parse(url, written.sentinel.is_some()) {
                Ok(one) => parsed.push(one),
                Err(problem) => self.report.fault(key, problem, FIX),
            }
        }
        let has_more = written.sentinel.is_some()
            || written.user.is_some()
            || written.password.is_some()
            || written.ca.is_some()
            || written.prefix.is_some()
            || written.timeout.is_some()
            || written.on_store_failure.is_some();
        if is_memory {
            if has_more || !parsed.is_empty() {
                let problem = "the store is this process's memory, which has a `capacity` and nothing else";
                self.report.fault("replay", problem, FIX);
            }
            return Replay { capacity, shared: None };
        }
        let user = written.user.and_then(|user| match user {
            HeaderText::Literal(text) => Some(Secret::new(text.into_bytes())),
            HeaderText::Key(table) => self.key("replay.user", table, true).map(|(_, secret)| secret),
        });
        let password = written
            .password
            .and_then(|file::Key(table)| self.key("replay.password", table, true))
            .map(|(_, secret)| secret);
        if password.as_ref().is_some_and(|password| password.expose().is_empty()) {
            self.report.fault(
                "replay.password",
                "empty",
                "put the store's password there, or remove the key",
            );
        }
        if user.is_some() && password.is_none() {
            let fix = "write `password = { env = \"REDIS_PASSWORD\" }`";
            self.report.fault("replay.user", "a user without a password", fix);
        }
        let tls = parsed.iter().any(|one| one.tls);
        let database = parsed.first().map_or(0, |one| one.database);
        if parsed.iter().any(|one| one.tls != tls || one.database != database) {
            let fix = "write the same scheme and database for all of them";
            self.report.fault(
                "replay.store",
                "addresses of one store that differ in more than the address",
                fix,
            );
        }
        let ca = written.ca.map(|ca| self.path(&ca));
        match (&ca, tls) {
            (Some(_), false) => {
                self.report.fault(
                    "replay.ca",
                    "without TLS nothing is checked",
                    "write `rediss://`, or remove it",
                );
            }
            (Some(path), true) => {
                self.files.push(path.clone());
                if let Err(problem) = tls::store_connector(Some(path)) {
                    self.report.fault(
                        "replay.ca",
                        problem,
                        "write the path of a PEM file with root certificates",
                    );
                }
            }
            (None, _) => {}
        }
        let prefix = written.prefix.unwrap_or_else(|| String::from("hookgate"));
        if !(1..=64).contains(&prefix.len()) || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            let fix = "write 1 to 64 visible ASCII characters, such as \"hookgate\"";
            self.report.fault("replay.prefix", "not a prefix for keys", fix);
        }
        let timeout = match written.timeout {
            None => Duration::from_millis(50),
            Some(Wait(timeout)) if (Duration::from_millis(1)..=Duration::from_secs(5)).contains(&timeout) => timeout,
            Some(Wait(_)) => {
                self.report.fault(
                    "replay.timeout",
                    "out of bounds",
                    "write a duration from \"1ms\" to \"5s\"",
                );
                Duration::from_millis(50)
            }
        };
        let accept_on_failure = matches!(written.on_store_failure, Some(Word(OnStoreFailure::Accept)));
        if accept_on_failure {
            self.report.warn(
                "replay.on_store_failure",
                "accept: while the store does not answer, each replica guards for itself alone",
            );
        }
        let redis = Redis {
            servers: parsed.into_iter().map(|one| one.server).collect(),
            tls,
            ca,
            sentinel: written.sentinel,
            database,
            user,
            password,
            prefix,
            timeout,
            accept_on_failure,
        };
        Replay {
            capacity,
            shared: Some(Box::new(redis)),
        }
    }
}

/// One URL. It is not quoted in the problem: it may hold a password.
fn parse(url: &str, is_sentinel: bool) -> Result<Parsed, String> {
    let number = |text: &str| {
        let problem = || String::from("the database is not a number");
        if text.is_empty() {
            Ok(0)
        } else {
            text.parse().map_err(|_| problem())
        }
    };
    if let Some(rest) = url.strip_prefix("redis+unix://") {
        let (path, database) = rest.split_once("?db=").unwrap_or((rest, ""));
        if !path.starts_with('/') || path.len() < 2 {
            return Err(String::from("`redis+unix://` is followed by an absolute path"));
        }
        return Ok(Parsed {
            server: StoreServer::Unix(path.into()),
            tls: false,
            database: number(database)?,
        });
    }
    let (rest, tls) = match (url.strip_prefix("redis://"), url.strip_prefix("rediss://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return Err(String::from("neither \"memory\" nor a Redis URL")),
    };
    if rest.contains('@') {
        return Err(String::from(
            "user and password do not belong in a URL: write `user` and `password = { env = … }`",
        ));
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => authority
            .split_once(':')
            .map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None if is_sentinel => 26379,
        None => 6379,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or("the port is not a number from 1 to 65535")?,
    };
    let is_name = host.parse::<std::net::Ipv6Addr>().is_ok() || is_host(host);
    if !is_name {
        return Err(String::from("the URL's host is not a name or an address"));
    }
    Ok(Parsed {
        server: StoreServer::Tcp {
            host: host.to_owned(),
            port,
        },
        tls,
        database: number(database)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_become_servers() {
        for (url, server, tls, database) in [
            ("redis://127.0.0.1", "127.0.0.1:6379", false, 0),
            ("redis://cache.internal:7000/3", "cache.internal:7000", false, 3),
            ("rediss://cache.internal/", "cache.internal:6379", true, 0),
            ("redis://[::1]:7", "[::1]:7", false, 0),
            ("redis+unix:///run/redis.sock?db=2", "unix:/run/redis.sock", false, 2),
        ] {
            let parsed = parse(url, false).unwrap_or_else(|problem| panic!("{url}: {problem}"));
            assert_eq!(
                (parsed.server.to_string().as_str(), parsed.tls, parsed.database),
                (server, tls, database)
            );
        }
        assert_eq!(parse("redis://s", true).unwrap().server.to_string(), "s:26379");
    }

    #[test]
    fn what_is_no_store_is_refused_without_quoting_it() {
        for url in [
            "",
            "http://127.0.0.1",
            "redis://",
            "redis://user:hunter2@host",
            "redis://host:0",
            "redis://host:hunter2",
            "redis://host/hunter2",
            "redis://host/70000",
            "redis+unix://run/hunter2",
            "redis://a b",
        ] {
            let problem = parse(url, false).err().unwrap();
            assert!(!problem.contains("hunter2"), "{url}: {problem}");
        }
    }
}
