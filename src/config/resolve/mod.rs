//! Makes the settings from the keys of the file: fills in defaults, checks keys against each other, and reads secrets and
//! certificates.
//!
//! Every fault is recorded, and a harmless value replaces the faulty one, so that one run finds all faults. The
//! result is used only if no fault was recorded.
//!
//! [`Resolver`] has one method for each table of the file; the modules are in the order of the imports.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`route`] | `[[route]]` |
//! | [`route_scheme`] | the scheme of a route with its keys |
//! | [`mode`] | `mode` of a route |
//! | [`provider`] | `provider` of a route |
//! | [`public_url`] | `public_url` and `public_url_credentials` of a route |
//! | [`replay_policy`] | `replay` of a route |
//! | [`route_http`] | `methods` and `reject_status` of a route |
//! | [`signature`] | `signature` and `gateway_keys` of a route |
//! | [`inbox`] | `[inbox]`, and `delivery` of a route |
//! | [`dedupe`] | `dedupe` of a route |
//! | [`tenants`] | `secrets` of a route as a directory |
//! | [`challenge`] | `challenge` and `verify_token` of a route |
//! | [`exposure`] | warnings of what is more exposed than it need be |
//! | [`upstream`] | `[upstreams.NAME]` and `upstream` of a route |
//! | [`upstream_servers`] | `url`, `ejection` and `health_check` of an upstream |
//! | [`exposure`] | warnings of what is more exposed than it need be |
//! | [`upstream_url`] | from text to a target |
//! | [`route_pattern`] | `host` and `path` of a route |
//! | [`listener`] | `[[listen]]` and `[admin]` |
//! | [`acme`] | `acme` of a listener's `tls` |
//! | [`console`] | `[console]` |
//! | [`health_path`] | `health` of a listener |
//! | [`operators`] | `[api]`, `[capture]`, and `capture` of a route |
//! | [`replay_store`] | `[replay]` |
//! | [`redis`] | the connection to a Redis |
//! | [`fetched_keys`] | `[keys]`, and `keys` and `expect` of a route |
//! | [`network`] | lists of networks, single addresses and presets |
//! | [`secret`] | secrets and public keys |
//! | [`path`] | syntax of paths |
//! | [`host`] | syntax of host names |

mod acme;
mod challenge;
mod console;
mod dedupe;
mod exposure;
mod fetched_keys;
mod health_path;
mod host;
mod inbox;
mod listener;
mod mode;
mod network;
mod operators;
mod path;
mod provider;
mod public_url;
mod redis;
mod replay_policy;
mod replay_store;
mod route;
mod route_http;
mod route_pattern;
mod route_scheme;
mod secret;
mod signature;
mod tenants;
mod upstream;
mod upstream_servers;
mod upstream_url;

use super::fault::Report;
use super::file::{self, File};
use super::value::{Count, DurationValue, Keyword, RequestRate, Size};
use crate::settings::{Address, Config, Drain, Log, ProcessLimits, defaults, duration_text, size_text};
use crate::tls::{self, CertificateNames};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The settings with the files that were read and the faults that were found.
pub(super) struct Resolved {
    /// The settings; valid only if `report` has no fault.
    pub(super) config: Config,
    /// Files that were read: secrets, certificates, keys and root certificates.
    pub(super) files: Vec<PathBuf>,
    /// Faults, warnings and notes, including those of the earlier steps.
    pub(super) report: Report,
}

/// Makes the settings. `base` is the directory of the configuration file, where relative paths start; `now_unix` is the
/// current time in Unix seconds, for the validity of certificates.
pub(super) fn resolve(
    file: File,
    environment: &[(OsString, OsString)],
    base: PathBuf,
    now_unix: u64,
    report: Report,
) -> Resolved {
    let mut resolver = Resolver {
        environment,
        base,
        now_unix,
        report,
        files: Vec::new(),
        certificates: Vec::new(),
        known_secrets: HashMap::new(),
        mirrors: file.keys.addresses.clone(),
        connectors: tls::Connectors::default(),
    };
    let limits = resolver.limits(&file.limits);
    let listeners = resolver.listeners(file.listen);
    let admin = resolver.admin(&file.admin, &listeners);
    let api = resolver.api(file.api, &listeners);
    let capture = resolver.captures(&file.capture);
    let console = resolver.console(file.console, &listeners);
    let upstreams = resolver.named_upstreams(file.upstreams);
    let own = listeners.iter().map(|listener| listener.address.clone());
    let own: Vec<Address> = own.chain(admin.address.map(Address::Tcp)).collect();
    let inbox = resolver.inbox(file.inbox);
    let drain = resolver.drain(&file.drain);
    let process = route::ProcessSettings {
        limits: &limits,
        drain: &drain,
        has_inbox: inbox.is_some(),
        has_inbox_keys: inbox.as_ref().is_some_and(|inbox| !inbox.keys.is_empty()),
        shares_replay_keys: !file.replay.store.is_empty(),
        captures_are_read: api.is_some() || console.is_some() || capture.directory.is_some(),
    };
    let routes = resolver.routes(file.route, upstreams, &process, &own);
    resolver.check_tokens_in_plaintext(&routes, &listeners);
    resolver.check_http_challenges(&listeners);
    resolver.check_health_paths(&listeners, &routes);
    resolver.check_hosts_in_certificates(&routes);
    let config = Config {
        workers: resolver.count(format_args!("workers"), file.workers, available_cpus(), 1, 1_024),
        drain,
        inbox,
        replay: resolver.replay_store(file.replay),
        keys: resolver.keys(file.keys),
        log: resolver.log(file.log),
        listeners,
        admin,
        api,
        capture,
        console,
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

/// Resolves the tables of the file one after the other.
struct Resolver<'a> {
    /// Variables of the process, for secrets.
    environment: &'a [(OsString, OsString)],
    /// Directory of the configuration file, where relative paths start.
    base: PathBuf,
    /// The current time in Unix seconds.
    now_unix: u64,
    report: Report,
    /// The names of the certificates of each listener, by its key in the file (`listen`, `listen[1]`).
    certificates: Vec<(String, Vec<CertificateNames>)>,
    /// Files that were read, to be watched by `serve`.
    files: Vec<PathBuf>,
    /// The SHA-256 of every secret of the routes that were read, and its place.
    known_secrets: HashMap<[u8; 32], String>,
    /// Other URLs of the lists of addresses, by name.
    mirrors: BTreeMap<String, String>,
    /// Reads the certificates of upstreams, to report faults.
    connectors: tls::Connectors,
}

/// The number of CPUs that the process may use; 1 if it cannot be determined.
fn available_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Resolver<'_> {
    fn limits(&mut self, limits: &file::Limits) -> ProcessLimits {
        let streams = self.count(
            format_args!("limits.http2_streams"),
            limits.http2_streams,
            defaults::HTTP2_STREAMS,
            1,
            10_000,
        );
        ProcessLimits {
            connections: self.count(
                format_args!("limits.connections"),
                limits.connections,
                defaults::CONNECTIONS,
                1,
                10_000_000,
            ),
            in_flight_bytes: self.size(
                format_args!("limits.in_flight_bytes"),
                limits.in_flight_bytes,
                defaults::IN_FLIGHT_BYTES,
                1,
                1 << 40,
            ),
            head_bytes: self.size(
                format_args!("limits.head_bytes"),
                limits.head_bytes,
                defaults::HEAD_BYTES,
                8 << 10,
                16 << 20,
            ),
            headers: self.count(
                format_args!("limits.headers"),
                limits.headers,
                defaults::HEADERS,
                1,
                10_000,
            ),
            handshake_timeout: self.timeout(
                format_args!("limits.handshake_timeout"),
                limits.handshake_timeout,
                defaults::HANDSHAKE_TIMEOUT,
            ),
            head_timeout: self.timeout(
                format_args!("limits.head_timeout"),
                limits.head_timeout,
                defaults::HEAD_TIMEOUT,
            ),
            idle_timeout: self.timeout(
                format_args!("limits.idle_timeout"),
                limits.idle_timeout,
                defaults::IDLE_TIMEOUT,
            ),
            write_timeout: self.timeout(
                format_args!("limits.write_timeout"),
                limits.write_timeout,
                defaults::WRITE_TIMEOUT,
            ),
            http2_streams: u32::try_from(streams).unwrap_or(u32::MAX),
            min_body_rate: self.size(
                format_args!("limits.min_body_rate"),
                limits.min_body_rate,
                defaults::MIN_BODY_RATE,
                0,
                1 << 30,
            ),
            per_source: limits.per_source.map(|RequestRate(rate)| rate),
        }
    }

    fn drain(&mut self, drain: &file::Drain) -> Drain {
        Drain {
            // Unlike a timeout, the delay may be zero.
            delay: drain.delay.map_or(defaults::DRAIN_DELAY, |DurationValue(delay)| delay),
            grace: self.timeout(format_args!("drain.grace"), drain.grace, defaults::DRAIN_GRACE),
        }
    }

    fn log(&mut self, log: file::Log) -> Log {
        let filter = log.filter.unwrap_or_else(|| String::from(defaults::LOG_FILTER));
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        let unknown = filter.split(',').map(str::trim).find(|directive| {
            let level = directive.rsplit_once('=').map_or(*directive, |(_, level)| level);
            !LEVELS.contains(&level.to_ascii_lowercase().as_str())
        });
        if let Some(directive) = unknown {
            let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
            self.report.fault(
                "log.filter",
                format!("`{level}` is not a level"),
                "write error, warn, info, debug, trace or off, or levels by target, such as \"info,hookgate=debug\"",
            );
        } else if tracing_subscriber::EnvFilter::builder().parse(&filter).is_err() {
            self.report.fault(
                "log.filter",
                "this is not a filter",
                "write a level, or levels by target, such as \"info,hookgate=debug\"",
            );
        }
        Log {
            is_format_default: log.format.is_none(),
            format: log.format.map_or(defaults::LOG_FORMAT, |Keyword(format)| format),
            filter,
            audit: log.audit.map_or(defaults::AUDIT, |Keyword(audit)| audit),
        }
    }

    /// A number from `least` to `most`, or `default` if the key is missing or faulty.
    fn count(
        &mut self,
        key: fmt::Arguments<'_>,
        written: Option<Count>,
        default: usize,
        least: usize,
        most: usize,
    ) -> usize {
        match written.map(|Count(count)| usize::try_from(count).unwrap_or(usize::MAX)) {
            None => default,
            Some(count) if (least..=most).contains(&count) => count,
            Some(_) => {
                self.report.fault(
                    key,
                    "this number is out of bounds",
                    format!("write a number from {least} to {most}"),
                );
                default
            }
        }
    }

    /// A size in bytes from `least` to `most`, or `default` if the key is missing or faulty.
    fn size(
        &mut self,
        key: fmt::Arguments<'_>,
        written: Option<Size>,
        default: usize,
        least: usize,
        most: usize,
    ) -> usize {
        match written.map(|Size(size)| usize::try_from(size).unwrap_or(usize::MAX)) {
            None => default,
            Some(size) if (least..=most).contains(&size) => size,
            Some(_) => {
                let (least, most) = (size_text(least), size_text(most));
                self.report.fault(
                    key,
                    "this size is out of bounds",
                    format!("write a size from \"{least}\" to \"{most}\""),
                );
                default
            }
        }
    }

    /// A timeout of at least 1 ms, or `default` if the key is missing or faulty.
    fn timeout(&mut self, key: fmt::Arguments<'_>, written: Option<DurationValue>, default: Duration) -> Duration {
        match written {
            None => default,
            Some(DurationValue(timeout)) if timeout < Duration::from_millis(1) => {
                self.report.fault(
                    key,
                    "a timeout of zero would expire immediately",
                    format!("write a duration such as \"{}\"", duration_text(default)),
                );
                default
            }
            Some(DurationValue(timeout)) => timeout,
        }
    }

    /// A path, which starts at the directory of the configuration file if it is relative.
    fn path(&self, text: &str) -> PathBuf {
        self.base.join(Path::new(text))
    }
}
