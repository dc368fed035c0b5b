//! `url`, `ejection` and `health_check` of an upstream.

use super::Resolver;
use super::host::is_host;
use super::path::check_path;
use super::upstream_url::{URL_FIX, is_loopback, parse_url};
use crate::config::file;
use crate::config::value::{Count, DurationValue, OneOrMany};
use crate::settings::{Ejection, HealthCheck, ServerSettings, defaults, duration_text};
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use std::fmt;
use std::time::Duration;

/// Largest number of servers of one upstream. Each is a label in metrics.
const MAX_SERVERS: usize = 256;

impl Resolver<'_> {
    /// The servers at `key` and their common base path; `None` if one of them is faulty.
    pub(super) fn servers(
        &mut self,
        key: &str,
        written: OneOrMany<file::ServerEntry>,
    ) -> Option<(Vec<ServerSettings>, String)> {
        if written.is_empty() {
            self.report.missing(key.to_owned(), "this upstream has no URL", URL_FIX);
            return None;
        }
        let written: Vec<_> = written.into_paths(key).collect();
        if written.len() > MAX_SERVERS {
            let problem = format!(
                "this upstream has {} servers, and at most {MAX_SERVERS} are allowed",
                written.len()
            );
            self.report.fault(
                key,
                problem,
                "write a name that resolves to several addresses, or several routes",
            );
            return None;
        }
        let count = written.len();
        let mut servers: Vec<(String, ServerSettings)> = Vec::with_capacity(count);
        let mut base: Option<String> = None;
        for (item, file::ServerEntry(table)) in written {
            let weight = self.count(
                format_args!("{item}.weight"),
                table.weight,
                defaults::WEIGHT as usize,
                1,
                1_000,
            );
            let weight = u32::try_from(weight).unwrap_or(defaults::WEIGHT);
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
                let fix = "remove one of them; `weight` gives a server a larger share";
                self.report
                    .fault(&url_key, format!("this is the same server as {twin}"), fix);
            }
            if base.get_or_insert_with(|| base_path.clone()) != &base_path {
                let fix = "write the same path in each URL";
                self.report
                    .fault(&url_key, "the path differs from that of the first URL", fix);
            }
            if let Some(host) = target.host()
                && !is_loopback(host)
            {
                self.report.note(
                    &url_key,
                    format_args!("`{host}` is not a loopback address: make sure that only the gateway can reach it, because other clients bypass verification"),
                );
            }
            servers.push((url_key, ServerSettings { target, weight }));
        }
        let servers: Vec<ServerSettings> = servers.into_iter().map(|(_, server)| server).collect();
        (servers.len() == count).then(|| (servers, base.unwrap_or_default()))
    }

    /// The `Host` of forwarded requests: a name or an address, with an optional port.
    pub(super) fn upstream_host(&mut self, key: fmt::Arguments<'_>, written: Option<&str>) -> Option<HeaderValue> {
        let host = written?;
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        let is_valid = is_host(host)
            || host
                .rsplit_once(':')
                .is_some_and(|(name, port)| is_host(name) && is_port(port));
        match HeaderValue::from_str(host) {
            Ok(value) if is_valid => Some(value),
            Ok(_) | Err(_) => {
                let fix = "write the name that the application expects, such as \"app.internal.example\", with a port if it needs one";
                self.report.fault(key, "this is not a host name", fix);
                None
            }
        }
    }

    /// The path of forwarded requests.
    pub(super) fn upstream_path(&mut self, key: fmt::Arguments<'_>, written: Option<String>) -> Option<String> {
        let path = written?;
        let problem = match check_path(&path) {
            Ok(()) if path.ends_with("/*") => {
                String::from("all requests are forwarded with one path, so that it cannot end with `/*`")
            }
            Ok(()) => return Some(path),
            Err(problem) => problem,
        };
        let fix = "write the path at which the application listens, such as \"/api/webhooks/paddle\"; the query stays the sender's";
        self.report.fault(key, problem, fix);
        None
    }

    /// When failed requests eject an endpoint.
    pub(super) fn ejection(&mut self, key: &str, written: &file::Ejection) -> Ejection {
        let ejection = Ejection {
            failures: self.count_u32(
                format_args!("{key}.failures"),
                written.failures,
                defaults::EJECTION_FAILURES,
                0,
                1_000_000,
            ),
            backoff: self.timeout(
                format_args!("{key}.backoff"),
                written.backoff,
                defaults::EJECTION_BACKOFF,
            ),
            backoff_limit: self.timeout(
                format_args!("{key}.backoff_limit"),
                written.backoff_limit,
                defaults::EJECTION_BACKOFF_LIMIT,
            ),
            panic_below: self.count_u32(
                format_args!("{key}.panic_below"),
                written.panic_below,
                defaults::PANIC_BELOW,
                0,
                100,
            ),
        };
        if ejection.backoff_limit < ejection.backoff {
            let fix = "write a longer `backoff_limit`, or a shorter `backoff`";
            self.report
                .fault(format!("{key}.backoff_limit"), "this is shorter than `backoff`", fix);
        }
        ejection
    }

    /// The health checks; `None` after a fault.
    pub(super) fn health_check(&mut self, key: &str, written: file::HealthCheck) -> Option<HealthCheck> {
        let path_key = format!("{key}.path");
        let path = match written.path {
            Some(path) if path.starts_with('/') && !path.contains('#') && PathAndQuery::try_from(&*path).is_ok() => {
                Some(path)
            }
            Some(_) => {
                self.report.fault(
                    path_key,
                    "this is not a path",
                    "write the path of a GET request, such as \"/healthz\"",
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
            interval: self.interval(
                format_args!("{key}.interval"),
                written.interval,
                defaults::HEALTH_CHECK_INTERVAL,
            ),
            timeout: self.timeout(
                format_args!("{key}.timeout"),
                written.timeout,
                defaults::HEALTH_CHECK_TIMEOUT,
            ),
            unhealthy_after: self.count_u32(
                format_args!("{key}.unhealthy_after"),
                written.unhealthy_after,
                defaults::UNHEALTHY_AFTER,
                1,
                1_000,
            ),
            healthy_after: self.count_u32(
                format_args!("{key}.healthy_after"),
                written.healthy_after,
                defaults::HEALTHY_AFTER,
                1,
                1_000,
            ),
        };
        (!check.path.is_empty()).then_some(check)
    }

    /// An interval of at least 100 ms, so that repeated lookups and health checks do not overload a server.
    pub(super) fn interval(
        &mut self,
        key: fmt::Arguments<'_>,
        written: Option<DurationValue>,
        default: Duration,
    ) -> Duration {
        let interval = self.timeout(format_args!("{key}"), written, default);
        if interval < Duration::from_millis(100) {
            self.report.fault(
                key,
                "this interval is shorter than 100 ms",
                format!("write a duration such as \"{}\"", duration_text(default)),
            );
        }
        interval
    }

    /// As `count`, for settings of 32 bits.
    fn count_u32(
        &mut self,
        key: fmt::Arguments<'_>,
        written: Option<Count>,
        default: u32,
        least: u32,
        most: u32,
    ) -> u32 {
        let count = self.count(
            format_args!("{key}"),
            written,
            default as usize,
            least as usize,
            most as usize,
        );
        u32::try_from(count).unwrap_or(default)
    }
}
