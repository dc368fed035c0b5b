//! From the mirror to the runtime shape: defaults, checks across keys, and the values that need the machine (variables,
//! files, certificates). Every fault is recorded and the work goes on with something harmless in its place, so that one
//! run finds them all; the result is used only when nothing was recorded.

mod dedupe;
mod challenge;
mod key;
mod listen;
mod network;
mod pattern;
mod replay;
mod route;
mod servers;
mod upstream;
mod url;

use super::fault::Report;
use super::file::{self, File};
use super::value::{Count, Size, Wait, Word};
use super::{Address, Audit, Config, Drain, Limits, Log, LogFormat, ReadyWhen};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What comes of the mirror; meaningful only if the report has no fault.
pub(super) struct Resolved {
    pub(super) config: Config,
    pub(super) files: Vec<PathBuf>,
    pub(super) report: Report,
}

/// Resolves the mirror.
pub(super) fn resolve(file: File, environment: &[(OsString, OsString)], base: PathBuf, report: Report) -> Resolved {
    let mut resolver = Resolver {
        environment,
        base,
        report,
        files: Vec::new(),
    };
    let limits = resolver.limits(&file.limits);
    let listeners = resolver.listeners(file.listen);
    let admin = resolver.admin(&file.admin, &listeners);
    let upstreams = resolver.named_upstreams(file.upstreams);
    let own = listeners.iter().map(|listener| listener.address.clone());
    let own: Vec<Address> = own.chain(admin.map(Address::Tcp)).collect();
    let routes = resolver.routes(file.route, upstreams, &limits, &own);
    let config = Config {
        workers: resolver.count("workers", file.workers, default_workers(), 1, 1_024),
        drain: resolver.drain(&file.drain),
        replay: resolver.replay_store(file.replay),
        log: resolver.log(file.log),
        listeners,
        admin,
        readiness: file
            .admin
            .readiness
            .map_or(ReadyWhen::Serving, |Word(readiness)| readiness),
        limits,
        routes,
        warnings: resolver.report.warnings.clone(),
    };
    Resolved {
        config,
        files: resolver.files,
        report: resolver.report,
    }
}

/// What resolution reads and writes.
struct Resolver<'a> {
    environment: &'a [(OsString, OsString)],
    /// Where relative paths start: the directory of the file.
    base: PathBuf,
    report: Report,
    /// Files that were read, to be watched.
    files: Vec<PathBuf>,
}

fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Resolver<'_> {
    fn limits(&mut self, limits: &file::Limits) -> Limits {
        let streams = self.count("limits.http2_streams", limits.http2_streams, 100, 1, 10_000);
        Limits {
            connections: self.count("limits.connections", limits.connections, 10_000, 1, 10_000_000),
            in_flight_bytes: self.size("limits.in_flight_bytes", limits.in_flight_bytes, 64 << 20, 1, 1 << 40),
            head_bytes: self.size("limits.head_bytes", limits.head_bytes, 32 << 10, 8 << 10, 16 << 20),
            headers: self.count("limits.headers", limits.headers, 100, 1, 10_000),
            handshake_timeout: self.wait("limits.handshake_timeout", limits.handshake_timeout, 10),
            head_timeout: self.wait("limits.head_timeout", limits.head_timeout, 10),
            idle_timeout: self.wait("limits.idle_timeout", limits.idle_timeout, 75),
            write_timeout: self.wait("limits.write_timeout", limits.write_timeout, 30),
            http2_streams: u32::try_from(streams).unwrap_or(u32::MAX),
        }
    }

    fn drain(&mut self, drain: &file::Drain) -> Drain {
        Drain {
            // Zero is the default here: no wait before the listeners close.
            delay: drain.delay.map_or(Duration::ZERO, |Wait(delay)| delay),
            grace: self.wait("drain.grace", drain.grace, 25),
        }
    }

    fn log(&mut self, log: file::Log) -> Log {
        let filter = log.filter.unwrap_or_else(|| String::from("info"));
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&filter) {
            self.report.fault(
                "log.filter",
                format!("not a filter: {error}"),
                "write a level or targets, such as \"info,hookgate=debug\"",
            );
        }
        Log {
            format: log.format.map_or(LogFormat::Json, |Word(format)| format),
            filter,
            audit: log.audit.map_or(Audit::All, |Word(audit)| audit),
        }
    }

    /// A count within bounds.
    fn count(&mut self, key: &str, written: Option<Count>, default: usize, least: usize, most: usize) -> usize {
        match written.map(|Count(count)| usize::try_from(count).unwrap_or(usize::MAX)) {
            None => default,
            Some(count) if (least..=most).contains(&count) => count,
            Some(_) => {
                self.report
                    .fault(key, "out of bounds", format!("write a number from {least} to {most}"));
                default
            }
        }
    }

    /// A size within bounds.
    fn size(&mut self, key: &str, written: Option<Size>, default: usize, least: usize, most: usize) -> usize {
        match written.map(|Size(size)| usize::try_from(size).unwrap_or(usize::MAX)) {
            None => default,
            Some(size) if (least..=most).contains(&size) => size,
            Some(_) => {
                let (least, most) = (super::describe::size(least), super::describe::size(most));
                self.report.fault(
                    key,
                    "out of bounds",
                    format!("write a size from \"{least}\" to \"{most}\""),
                );
                default
            }
        }
    }

    /// A timeout: never zero, which would end everything at once. `default` in seconds.
    fn wait(&mut self, key: &str, written: Option<Wait>, default: u64) -> Duration {
        match written {
            None => Duration::from_secs(default),
            Some(Wait(wait)) if wait < Duration::from_millis(1) => {
                self.report.fault(
                    key,
                    "zero would leave no time at all",
                    format!("write a duration such as \"{default}s\""),
                );
                Duration::from_secs(default)
            }
            Some(Wait(wait)) => wait,
        }
    }

    /// A path as written, or below the file's directory when it is relative.
    fn path(&self, text: &str) -> PathBuf {
        self.base.join(Path::new(text))
    }
}
