//! Parses the URLs of upstreams, and compares targets with the addresses of the process itself. No I/O.

use super::host::is_host;
use crate::settings::{Address, UpstreamTarget, defaults};
use hyper::Uri;
use std::net::IpAddr;

/// Whether a connection to `target` reaches `address`, as far as this is known without DNS.
pub(super) fn reaches(target: &UpstreamTarget, address: &Address) -> bool {
    match (target, address) {
        (UpstreamTarget::Unix(path), Address::Unix(own, _)) => path == own,
        (UpstreamTarget::Tcp { host, port } | UpstreamTarget::Tls { host, port, .. }, Address::Tcp(own)) => {
            let ip = host.parse::<IpAddr>().map(|ip| ip.to_canonical()).ok();
            let is_same = ip == Some(own.ip().to_canonical());
            let is_any = own.ip().is_unspecified() || ip.is_some_and(|ip| ip.is_unspecified());
            let is_local = own.ip().is_unspecified() || own.ip().to_canonical().is_loopback();
            let by_name = host == "localhost" && is_local;
            *port == own.port()
                && (is_same || by_name || (is_any && (is_loopback(host) || ip.is_some_and(|ip| ip.is_unspecified()))))
        }
        (UpstreamTarget::Unix(_), Address::Tcp(_))
        | (UpstreamTarget::Tcp { .. } | UpstreamTarget::Tls { .. }, Address::Unix(..)) => false,
    }
}

/// Whether the host is always this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// How to write the URL of an upstream.
pub(super) const URL_FIX: &str = "write \"http://127.0.0.1:8000\", \"https://app.internal\" or \"unix:/run/app.sock\"";

/// Parses a URL into its target and base path. An error is the problem, for the fault; it does not quote the URL, which
/// may contain a password.
pub(super) fn parse_url(url: &str) -> Result<(UpstreamTarget, String), String> {
    if let Some(path) = url.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return if path.len() > 1 && path.starts_with('/') {
            Ok((UpstreamTarget::Unix(path.into()), String::new()))
        } else {
            Err(String::from("`unix:` must be followed by an absolute path"))
        };
    }
    if url.contains('#') {
        return Err(String::from("the URL of an upstream cannot have a fragment"));
    }
    let uri: Uri = url.parse().map_err(|_| String::from("this is not a URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(String::from(
            "the URL does not begin with `http://`, `https://` or `unix:`",
        ));
    };
    if authority.as_str().contains('@') {
        return Err(String::from(
            "a URL must not contain a user and a password: write `headers` with `{ env = … }`",
        ));
    }
    if uri.query().is_some() {
        return Err(String::from("the URL of an upstream cannot have a query"));
    }
    if !is_host(authority.host()) {
        return Err(String::from("the host of the URL is neither a name nor an IP address"));
    }
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let port = match (authority.port_u16(), authority.as_str().len() > authority.host().len()) {
        (Some(0), _) | (None, true) => return Err(String::from("the port of the URL is not a number from 1 to 65535")),
        (port, _) => port,
    };
    let base_path = uri.path().trim_end_matches('/').to_owned();
    if base_path.contains("//") || base_path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(String::from(
            "the path of the URL contains an empty segment, `.` or `..`",
        ));
    }
    match scheme {
        "http" => Ok((
            UpstreamTarget::Tcp {
                host,
                port: port.unwrap_or(defaults::HTTP_PORT),
            },
            base_path,
        )),
        "https" => Ok((
            UpstreamTarget::Tls {
                host,
                port: port.unwrap_or(defaults::HTTPS_PORT),
                ca: None,
                client: None,
                content: 0,
            },
            base_path,
        )),
        _ => Err(String::from("the scheme of the URL is not `http`, `https` or `unix`")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tcp(host: &str, port: u16) -> UpstreamTarget {
        UpstreamTarget::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn upstream_urls_are_parsed() {
        assert_eq!(
            parse_url("http://127.0.0.1:8000").unwrap(),
            (tcp("127.0.0.1", 8000), String::new())
        );
        assert_eq!(
            parse_url("http://App.internal/base/").unwrap(),
            (tcp("app.internal", 80), String::from("/base"))
        );
        assert_eq!(parse_url("http://[::1]:80").unwrap(), (tcp("::1", 80), String::new()));
        let https = UpstreamTarget::Tls {
            host: String::from("app"),
            port: 443,
            ca: None,
            client: None,
            content: 0,
        };
        assert_eq!(parse_url("https://app").unwrap(), (https, String::new()));
        for unix in ["unix:/run/app.sock", "unix:///run/app.sock"] {
            assert_eq!(
                parse_url(unix).unwrap(),
                (UpstreamTarget::Unix("/run/app.sock".into()), String::new())
            );
        }
    }

    #[test]
    fn a_fault_of_an_upstream_url_does_not_quote_it() {
        for url in [
            "",
            "127.0.0.1:8000",
            "app",
            "/app",
            "ftp://app",
            "http://",
            "http://user:hunter2@app",
            "http://app:0",
            "http://app:99999",
            "http://app:",
            "http://app?q=hunter2",
            "http://app#hunter2",
            "http://a b",
            "unix:",
            "unix:/",
            "unix:run/app",
            "http://app/a/../b",
            "http://app//b",
            "http://-",
            "http://[::1",
        ] {
            let problem = parse_url(url).unwrap_err();
            assert!(!problem.contains("hunter2"), "{url}: {problem}");
        }
    }

    /// CASES G13.
    #[test]
    fn own_addresses_are_recognised_in_every_notation() {
        let own = |text: &str| Address::Tcp(text.parse().unwrap());
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1", "0.0.0.0:80"),
            ("localhost", "0.0.0.0:80"),
            ("localhost", "127.0.0.1:80"),
            ("::1", "[::]:80"),
            ("127.0.0.1", "[::]:80"),
            ("::ffff:127.0.0.1", "127.0.0.1:80"),
            ("0.0.0.0", "127.0.0.1:80"),
            ("10.0.0.1", "10.0.0.1:80"),
        ] {
            assert!(reaches(&tcp(host, 80), &own(address)), "{host} {address}");
            assert!(!reaches(&tcp(host, 81), &own(address)), "{host} {address}");
        }
        for (host, address) in [
            ("10.0.0.1", "0.0.0.0:80"),
            ("10.0.0.1", "127.0.0.1:80"),
            ("app", "127.0.0.1:80"),
            ("localhost", "10.0.0.1:80"),
        ] {
            assert!(!reaches(&tcp(host, 80), &own(address)), "{host} {address}");
        }
        assert!(reaches(
            &UpstreamTarget::Unix("/a".into()),
            &Address::Unix("/a".into(), 0)
        ));
        assert!(!reaches(
            &UpstreamTarget::Unix("/b".into()),
            &Address::Unix("/a".into(), 0)
        ));
    }
}
