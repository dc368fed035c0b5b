//! The servers of a Redis that replicas share: the URLs and the keys of the connection.

use super::Resolver;
use super::host::is_host;
use crate::config::file::{SecretReference, TextOrSecret};
use crate::config::value::{Flag, OneOrMany};
use crate::secret::Secret;
use crate::settings::{RedisServers, StoreServer, defaults};
use crate::tls;

/// The keys of a connection, with the place of their table.
pub(super) struct RedisKeys {
    /// The path of the table: `replay`.
    pub(super) table: String,
    /// The path of the key with the URLs: `replay.store`.
    pub(super) url_key: String,
    /// How to write the URLs, for faults.
    pub(super) fix: &'static str,
    pub(super) urls: OneOrMany<String>,
    pub(super) sentinel: Option<String>,
    pub(super) cluster: Option<Flag>,
    pub(super) user: Option<TextOrSecret>,
    pub(super) password: Option<SecretReference>,
    pub(super) ca: Option<String>,
    pub(super) prefix: Option<String>,
}

/// One URL.
struct StoreUrl {
    server: StoreServer,
    tls: bool,
    database: u16,
}

impl Resolver<'_> {
    /// The servers. With `ca`, the file is read once, to report faults.
    pub(super) fn redis_servers(&mut self, written: RedisKeys) -> RedisServers {
        let (table, url_key) = (written.table.clone(), written.url_key.clone());
        let (table, url_key) = (table.as_str(), url_key.as_str());
        let at = |key: &str| format!("{table}.{key}");
        let mut parsed: Vec<StoreUrl> = Vec::new();
        for (key, url) in written.urls.paths(url_key) {
            match parse(url, written.sentinel.is_some()) {
                Ok(one) => parsed.push(one),
                Err(problem) => self.report.fault(key, problem, written.fix),
            }
        }
        let user = written.user.and_then(|user| match user {
            TextOrSecret::Literal(text) => Some(Secret::new(text.into_bytes())),
            TextOrSecret::Source(table) => self.secret(&at("user"), table, true).map(|(_, secret)| secret),
        });
        let password = written
            .password
            .and_then(|SecretReference(table)| self.secret(&at("password"), table, true))
            .map(|(_, secret)| secret);
        if password.as_ref().is_some_and(|password| password.expose().is_empty()) {
            self.report.fault(
                at("password"),
                "the password is empty",
                "write the source of the store's password, or remove the key",
            );
        }
        if user.is_some() && password.is_none() {
            let fix = "write `password = { env = \"REDIS_PASSWORD\" }`";
            self.report.fault(at("user"), "`user` is set without `password`", fix);
        }
        let tls = parsed.iter().any(|one| one.tls);
        let database = parsed.first().map_or(defaults::REDIS_DATABASE, |one| one.database);
        if parsed.iter().any(|one| one.tls != tls || one.database != database) {
            let fix = "write the same scheme and database in each URL";
            let problem = "the URLs of one store differ in their scheme or database";
            self.report.fault(url_key, problem, fix);
        }
        let cluster = written.cluster.is_some_and(|Flag(cluster)| cluster);
        if cluster {
            self.check_cluster(table, url_key, &parsed, written.sentinel.is_some());
        }
        let ca = written.ca.map(|ca| self.path(&ca));
        match (&ca, tls) {
            (Some(_), false) => {
                let fix = "write `rediss://` URLs, or remove `ca`";
                self.report
                    .fault(at("ca"), "without TLS no certificate is checked", fix);
            }
            (Some(path), true) => {
                self.files.push(path.clone());
                if let Err(fault) = tls::store_connector(Some(path)) {
                    self.report.fault(at("ca"), fault.problem, fault.fix);
                }
            }
            (None, _) => {}
        }
        let prefix = written.prefix.unwrap_or_else(|| String::from(defaults::REDIS_PREFIX));
        if !(1..=64).contains(&prefix.len()) || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            let fix = "write 1 to 64 visible ASCII characters, such as \"hookgate\"";
            self.report.fault(at("prefix"), "this is not a prefix for keys", fix);
        }
        let servers: Vec<StoreServer> = parsed.into_iter().map(|one| one.server).collect();
        self.check_store(url_key, &servers, tls, password.is_some());
        RedisServers {
            servers,
            tls,
            ca,
            sentinel: written.sentinel,
            cluster,
            database,
            user,
            password,
            prefix,
        }
    }

    /// Reports what a Redis Cluster does not have.
    fn check_cluster(&mut self, table: &str, url_key: &str, urls: &[StoreUrl], has_sentinel: bool) {
        if has_sentinel {
            self.report.fault(
                format!("{table}.cluster"),
                "a Redis Cluster has no Sentinels",
                "remove `sentinel` and write URLs of nodes of the cluster, or remove `cluster`",
            );
        }
        if urls.first().is_some_and(|url| url.database != 0) {
            let fix = "remove the number after the `/` from each URL";
            let problem = "a Redis Cluster has only database 0";
            self.report.fault(url_key.to_owned(), problem, fix);
        }
        if urls.iter().any(|url| matches!(url.server, StoreServer::Unix(_))) {
            let fix = "write `redis://host:6379` for one or more nodes";
            let problem = "the nodes of a Redis Cluster have no Unix socket in common";
            self.report.fault(url_key.to_owned(), problem, fix);
        }
    }
}

/// Parses one URL. An error is the problem, for the fault; it does not quote the URL, which may contain a password.
fn parse(url: &str, is_sentinel: bool) -> Result<StoreUrl, String> {
    let number = |text: &str| {
        let problem = || String::from("the database is not a number");
        if text.is_empty() {
            Ok(defaults::REDIS_DATABASE)
        } else {
            text.parse().map_err(|_| problem())
        }
    };
    if let Some(rest) = url.strip_prefix("redis+unix://") {
        let (path, database) = rest.split_once("?db=").unwrap_or((rest, ""));
        if !path.starts_with('/') || path.len() < 2 {
            return Err(String::from("`redis+unix://` must be followed by an absolute path"));
        }
        return Ok(StoreUrl {
            server: StoreServer::Unix(path.into()),
            tls: false,
            database: number(database)?,
        });
    }
    let (rest, tls) = match (url.strip_prefix("redis://"), url.strip_prefix("rediss://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return Err(String::from("this is not the URL of a Redis")),
    };
    if rest.contains('@') {
        return Err(String::from(
            "a URL must not contain a user and a password: write `user` and `password = { env = … }`",
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
        None if is_sentinel => defaults::SENTINEL_PORT,
        None => defaults::REDIS_PORT,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or("the port is not a number from 1 to 65535")?,
    };
    let is_name = host.parse::<std::net::Ipv6Addr>().is_ok() || is_host(host);
    if !is_name {
        return Err(String::from("the host of the URL is neither a name nor an IP address"));
    }
    Ok(StoreUrl {
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
    fn store_urls_are_parsed() {
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
    fn a_fault_of_a_store_url_does_not_quote_it() {
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
