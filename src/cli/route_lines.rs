//! What `serve` logs about each route at the start: the URLs at which it answers, and where it forwards. Pure.

use crate::settings::{Address, Config, Upstream, UpstreamTarget};
use std::net::SocketAddr;

/// The parts of a configuration that the lines show.
pub(super) struct RouteLines {
    routes: Vec<Pattern>,
    /// The scheme of each listener, in the order of the configuration.
    schemes: Vec<&'static str>,
}

struct Pattern {
    name: String,
    host: Option<String>,
    path: String,
    upstream: String,
}

/// What is logged about one route.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RouteLine {
    /// The name of the route.
    pub(super) name: String,
    /// Its URL on each listener, separated by spaces, each URL once.
    pub(super) urls: String,
    /// The URL of each server that it forwards to, with the path, separated by spaces.
    pub(super) upstream: String,
}

impl RouteLines {
    pub(super) fn new(config: &Config) -> Self {
        let scheme = |is_tls| if is_tls { "https" } else { "http" };
        let routes = config.routes.iter().map(|route| Pattern {
            name: route.name.clone(),
            host: route.host.clone(),
            path: route.path.clone(),
            upstream: forwarded_to(&route.upstream, &route.path),
        });
        Self {
            routes: routes.collect(),
            schemes: config
                .listeners
                .iter()
                .map(|listener| scheme(listener.tls.is_some()))
                .collect(),
        }
    }

    /// One line for each route. `listeners`: names and addresses, with the ports that the system chose, in the order of
    /// the configuration.
    pub(super) fn lines<'a>(&'a self, listeners: &'a [(String, Address)]) -> impl Iterator<Item = RouteLine> + 'a {
        self.routes.iter().map(|route| {
            let mut urls: Vec<String> = Vec::new();
            for ((_, address), scheme) in listeners.iter().zip(&self.schemes) {
                let url = url(scheme, route.host.as_deref(), address, &route.path);
                if !urls.contains(&url) {
                    urls.push(url);
                }
            }
            RouteLine {
                name: route.name.clone(),
                urls: urls.join(" "),
                upstream: route.upstream.clone(),
            }
        })
    }
}

/// A URL of a route. The host is the route's, or else the address of the listener. The port is left out if it is the
/// scheme's own.
fn url(scheme: &str, host: Option<&str>, address: &Address, path: &str) -> String {
    let own_port = if scheme == "https" { 443 } else { 80 };
    match (host, address) {
        (Some(host), Address::Tcp(address)) if address.port() == own_port => format!("{scheme}://{host}{path}"),
        (Some(host), Address::Tcp(address)) => format!("{scheme}://{host}:{}{path}", address.port()),
        // The port of the proxy in front of a Unix socket is unknown here.
        (Some(host), Address::Unix(..)) => format!("{scheme}://{host}{path}"),
        (None, Address::Tcp(address)) if address.port() == own_port => match address {
            SocketAddr::V4(address) => format!("{scheme}://{}{path}", address.ip()),
            SocketAddr::V6(address) => format!("{scheme}://[{}]{path}", address.ip()),
        },
        (None, Address::Tcp(address)) => format!("{scheme}://{address}{path}"),
        (None, Address::Unix(socket, _)) => format!("{scheme}://unix:{}:{path}", socket.display()),
    }
}

/// The URLs of the servers with the path that the application sees.
fn forwarded_to(upstream: &Upstream, path: &str) -> String {
    let path = match &upstream.path {
        Some(path) => path.clone(),
        None => format!("{}{path}", upstream.base_path),
    };
    let url = |target: &UpstreamTarget| match target {
        UpstreamTarget::Tcp { .. } | UpstreamTarget::Tls { .. } => format!("{target}{path}"),
        UpstreamTarget::Unix(_) => format!("{target}:{path}"),
    };
    let urls: Vec<String> = upstream.servers.iter().map(|server| url(&server.target)).collect();
    urls.join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_has_the_scheme_of_the_listener_and_the_host_of_the_route_or_the_listeners_address() {
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        let unix = Address::Unix("/run/hookgate.sock".into(), 0o660);
        for (scheme, host, address, expected) in [
            (
                "https",
                Some("hooks.example.com"),
                tcp("0.0.0.0:443"),
                "https://hooks.example.com/in",
            ),
            (
                "https",
                Some("hooks.example.com"),
                tcp("0.0.0.0:8443"),
                "https://hooks.example.com:8443/in",
            ),
            ("http", Some("*.example.com"), tcp("[::]:80"), "http://*.example.com/in"),
            ("http", None, tcp("127.0.0.1:8080"), "http://127.0.0.1:8080/in"),
            ("http", None, tcp("127.0.0.1:443"), "http://127.0.0.1:443/in"),
            ("https", None, tcp("[2001:db8::1]:443"), "https://[2001:db8::1]/in"),
            (
                "http",
                Some("hooks.example.com"),
                unix.clone(),
                "http://hooks.example.com/in",
            ),
            ("http", None, unix, "http://unix:/run/hookgate.sock:/in"),
        ] {
            assert_eq!(url(scheme, host, &address, "/in"), expected);
        }
    }
}
