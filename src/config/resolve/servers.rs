//! The servers that share an upstream's requests, and when one of them is left alone.

use super::super::file;
use super::super::value::{Count, List, Wait};
use super::super::{Ejection, HealthCheck, Server};
use super::Resolver;
use super::upstream::URL_FIX;
use super::url::{is_loopback, parse_url};
use hyper::http::uri::PathAndQuery;
use std::time::Duration;

/// Servers of one upstream; each is a label in metrics.
const MOST: usize = 256;

impl Resolver<'_> {
    /// The servers at `key` and the base path that they have in common; `None` when any of them is faulty.
    pub(super) fn servers(&mut self, key: &str, written: List<file::Server>) -> Option<(Vec<Server>, String)> {
        if written.is_empty() {
            self.report.missing(key.to_owned(), "this upstream has no URL", URL_FIX);
            return None;
        }
        let written: Vec<_> = written.into_paths(key).collect();
        if written.len() > MOST {
            let problem = format!("{} servers: at most {MOST} share one upstream", written.len());
            self.report
                .fault(key, problem, "write a name with several addresses, or several routes");
            return None;
        }
        let count = written.len();
        let mut servers: Vec<(String, Server)> = Vec::with_capacity(count);
        let mut base: Option<String> = None;
        for (item, file::Server(table)) in written {
            let weight = self.count(&format!("{item}.weight"), table.weight, 1, 1, 1_000);
            let weight = u32::try_from(weight).unwrap_or(1);
            let url_key = if table.is_text {
                item.clone()
            } else {
                format!("{item}.url")
            };
            let Some(url) = table.url else {
                self.report.missing(url_key, "this upstream has no URL", URL_FIX);
                continue;
            };
            let (target, base_path) = match parse_url(&url) {
                Ok(parsed) => parsed,
                Err(problem) => {
                    self.report.fault(url_key, problem, URL_FIX);
                    continue;
                }
            };
            if let Some((twin, _)) = servers.iter().find(|(_, other)| other.target == target) {
                let fix = "remove one of the two; `weight` gives a server a larger share";
                self.report.fault(&url_key, format!("the same server as {twin}"), fix);
            }
            if base.get_or_insert_with(|| base_path.clone()) != &base_path {
                let fix = "write the same path in each URL, or none";
                self.report.fault(
                    &url_key,
                    "its path is another than that of the upstream's first server",
                    fix,
                );
            }
            if let Some(host) = target.host()
                && !is_loopback(host)
            {
                self.report.note(
                    &url_key,
                    format_args!("`{host}` is not loopback: make sure that only the gateway can reach it, since whoever else can skips verification"),
                );
            }
            servers.push((url_key, Server { target, weight }));
        }
        let servers: Vec<Server> = servers.into_iter().map(|(_, server)| server).collect();
        (servers.len() == count).then(|| (servers, base.unwrap_or_default()))
    }

    /// When an endpoint is left alone.
    pub(super) fn ejection(&mut self, key: &str, written: &file::Ejection) -> Ejection {
        let ejection = Ejection {
            failures: self.small(&format!("{key}.failures"), written.failures, 5, 0, 1_000_000),
            backoff: self.wait(&format!("{key}.backoff"), written.backoff, 10),
            backoff_limit: self.wait(&format!("{key}.backoff_limit"), written.backoff_limit, 300),
            panic_below: self.small(&format!("{key}.panic_below"), written.panic_below, 30, 0, 100),
        };
        if ejection.backoff_limit < ejection.backoff {
            let fix = "write a longer `backoff_limit`, or a shorter `backoff`";
            self.report
                .fault(format!("{key}.backoff_limit"), "shorter than `backoff`", fix);
        }
        ejection
    }

    /// How endpoints are asked whether they are well.
    pub(super) fn health_check(&mut self, key: &str, written: file::HealthCheck) -> Option<HealthCheck> {
        let path_key = format!("{key}.path");
        let path = match written.path {
            Some(path) if path.starts_with('/') && !path.contains('#') && PathAndQuery::try_from(&*path).is_ok() => {
                Some(path)
            }
            Some(_) => {
                self.report.fault(
                    path_key,
                    "not a path",
                    "write the path to ask for, such as \"/healthz\"",
                );
                None
            }
            None => {
                let fix = "write `path = \"/healthz\"`, or remove `health_check`";
                self.report.missing(path_key, "this health check has no path", fix);
                None
            }
        };
        let check = HealthCheck {
            path: path.unwrap_or_default(),
            interval: self.pause(&format!("{key}.interval"), written.interval, 5),
            timeout: self.wait(&format!("{key}.timeout"), written.timeout, 2),
            unhealthy_after: self.small(&format!("{key}.unhealthy_after"), written.unhealthy_after, 3, 1, 1_000),
            healthy_after: self.small(&format!("{key}.healthy_after"), written.healthy_after, 2, 1, 1_000),
        };
        (!check.path.is_empty()).then_some(check)
    }

    /// How often something is asked: not so often that asking is all that is done.
    pub(super) fn pause(&mut self, key: &str, written: Option<Wait>, default: u64) -> Duration {
        let pause = self.wait(key, written, default);
        if pause < Duration::from_millis(100) {
            self.report.fault(
                key,
                "shorter than 100 ms",
                format!("write a duration such as \"{default}s\""),
            );
        }
        pause
    }

    fn small(&mut self, key: &str, written: Option<Count>, default: u32, least: u32, most: u32) -> u32 {
        let count = self.count(key, written, default as usize, least as usize, most as usize);
        u32::try_from(count).unwrap_or(default)
    }
}
