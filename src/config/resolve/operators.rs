//! `[api]`: how operators see and change the running process.

use super::Resolver;
use crate::config::file;
use crate::settings::{Address, Api, Listener};
use std::path::Path;

/// The longest path of a Unix socket, in bytes (`sun_path`, without the zero at its end).
const SOCKET_PATH_BYTES: usize = 107;

impl Resolver<'_> {
    /// The API of operators; `None` without a socket.
    pub(super) fn api(&mut self, written: file::Api, listeners: &[Listener]) -> Option<Api> {
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
