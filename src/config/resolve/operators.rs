//! `[api]`, `[capture]`, and `capture` of a route: how operators see and change the running process.

use super::Resolver;
use crate::config::operator_keys;
use crate::config::value::{DurationValue, OneOrMany};
use crate::settings::{Address, Api, Capture, Captures, Listener, defaults};
use std::path::Path;
use std::time::Duration;

/// The longest path of a Unix socket, in bytes (`sun_path`, without the zero at its end).
const SOCKET_PATH_BYTES: usize = 107;
/// The most values of one request that are shown.
const POINTERS: usize = 16;

impl Resolver<'_> {
    /// The API of operators; `None` without a socket.
    pub(super) fn api(&mut self, written: operator_keys::Api, listeners: &[Listener]) -> Option<Api> {
        let socket = written.socket?;
        let path = self.path(&socket);
        let is_taken = |listener: &Listener| matches!(&listener.address, Address::Unix(taken, _) if *taken == path);
        if let Some((problem, fix)) = socket_fault(&socket, &path) {
            self.report.fault("api.socket", problem, fix);
        } else if listeners.iter().any(is_taken) {
            self.report.fault(
                "api.socket",
                "a listener has the same path",
                "write another path: senders must not reach the API",
            );
        }
        Some(Api { socket: path })
    }

    /// The bounds of captured requests.
    pub(super) fn captures(&mut self, written: &operator_keys::Capture) -> Captures {
        let keep = self.timeout(format_args!("capture.keep"), written.keep, defaults::CAPTURE_KEEP);
        let directory = written.directory.as_deref().map(|text| self.path(text));
        if let Some(path) = directory.as_deref().filter(|path| path.exists() && !path.is_dir()) {
            self.report.fault(
                "capture.directory",
                format!("{} is not a directory", path.display()),
                "write the path of a directory for these files alone; hookgate creates it if it is missing",
            );
        }
        Captures {
            count: self.count(
                format_args!("capture.count"),
                written.count,
                defaults::CAPTURE_COUNT,
                1,
                100_000,
            ),
            bytes: self.size(
                format_args!("capture.bytes"),
                written.bytes,
                defaults::CAPTURE_BYTES,
                64 << 10,
                4 << 30,
            ),
            keep,
            full_for: written
                .full_for
                .map_or(defaults::CAPTURE_FULL_FOR, |DurationValue(time)| time),
            directory,
        }
    }

    /// What is captured of the requests of a route.
    pub(super) fn capture(&mut self, key: &str, written: &OneOrMany<String>, can_be_read: bool) -> Capture {
        let key = format!("{key}.capture");
        let capture = match written.0.as_slice() {
            [] => return Capture::Off,
            [(None, word)] if word == "off" => return Capture::Off,
            [(None, word)] if word == "full" => {
                self.report.warn(
                    &key,
                    "\"full\" keeps whole requests in memory for a while; operators can read their bodies",
                );
                Capture::Full
            }
            pointers => {
                for (key, pointer) in written.paths(&key) {
                    if !pointer.starts_with('/') {
                        self.report.fault(
                            key,
                            format!("`{pointer}` is not a JSON pointer"),
                            "write \"off\", \"full\", or pointers such as [\"/event_type\"]",
                        );
                    }
                }
                if pointers.len() > POINTERS {
                    let problem = format!("{} pointers are given", pointers.len());
                    self.report.fault(&key, problem, format!("write at most {POINTERS}"));
                }
                Capture::Values(pointers.iter().map(|(_, pointer)| pointer.clone()).collect())
            }
        };
        if !can_be_read {
            let text = "nobody can read what is captured; add `[api]` with a `socket`, or `directory` to `[capture]`";
            self.report.warn(&key, text);
        }
        capture
    }
}

/// `expect_every` of a route; zero expects nothing.
pub(super) fn expected(written: Option<DurationValue>) -> Option<Duration> {
    written.map(|DurationValue(time)| time).filter(|time| !time.is_zero())
}

/// What is wrong with the path of a socket, and what to write instead.
fn socket_fault(written: &str, path: &Path) -> Option<(String, &'static str)> {
    const EXAMPLE: &str = "write a path such as \"/run/hookgate/api.sock\"";
    if written.is_empty() || written.ends_with('/') || path.is_dir() {
        return Some((format!("`{written}` is not the path of a file"), EXAMPLE));
    }
    if written.contains("://") {
        return Some((format!("`{written}` is a URL, and a path is expected"), EXAMPLE));
    }
    let bytes = path.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES {
        let problem = format!("the path has {bytes} bytes, and that of a socket has at most {SOCKET_PATH_BYTES}");
        return Some((problem, EXAMPLE));
    }
    None
}
