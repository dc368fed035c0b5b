//! `health` of a listener.

use super::Resolver;
use crate::settings::{Listener, Route};

impl Resolver<'_> {
    /// The path of the health checks of one listener.
    pub(super) fn health_path(&mut self, key: &str, written: Option<String>) -> Option<String> {
        let path = written?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
        if path.starts_with('/') && path.bytes().all(is_plain) {
            return Some(path);
        }
        self.report.fault(
            format!("{key}.health"),
            format!("`{path}` is no path of letters, digits and `/-_.~`"),
            "write a path such as `health = \"/healthz\"`",
        );
        None
    }

    /// A route whose path is that of the health checks would not get its requests.
    pub(super) fn check_health_paths(&mut self, listeners: &[Listener], routes: &[Route]) {
        for (listener, path) in listeners.iter().filter_map(|one| Some((one, one.health.as_ref()?))) {
            for route in routes.iter().filter(|route| route.path == *path) {
                self.report.fault(
                    "listen.health",
                    format!(
                        "the listener `{}` answers health checks on `{path}`, which is the path of the route `{}`",
                        listener.name, route.name
                    ),
                    "write another path, such as `health = \"/healthz\"`",
                );
            }
        }
    }
}
