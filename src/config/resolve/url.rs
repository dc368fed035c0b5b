//! Upstream URLs: from text to a target, and whether a target is one of our own addresses. Pure.

use super::super::{Address, Target};
use super::pattern::is_host;
use hyper::Uri;
use std::net::IpAddr;

/// Whether connecting to `target` ends at `address`, as far as can be known without asking DNS.
pub(super) fn reaches(target: &Target, address: &Address) -> bool {
    match (target, address) {
        (Target::Unix(path), Address::Unix(own, _)) => path == own,
        (Target::Tcp { host, port } | Target::Tls { host, port, .. }, Address::Tcp(own)) => {
            let ip = host.parse::<IpAddr>().map(|ip| ip.to_canonical()).ok();
            let is_same = ip == Some(own.ip().to_canonical());
            let is_any = own.ip().is_unspecified() || ip.is_some_and(|ip| ip.is_unspecified());
            let is_local = own.ip().is_unspecified() || own.ip().to_canonical().is_loopback();
            let by_name = host == "localhost" && is_local;
            *port == own.port()
                && (is_same || by_name || (is_any && (is_loopback(host) || ip.is_some_and(|ip| ip.is_unspecified()))))
        }
        (Target::Unix(_), Address::Tcp(_)) | (Target::Tcp { .. } | Target::Tls { .. }, Address::Unix(..)) => false,
    }
}

/// Whether the host can only be this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Target and base path of a URL. The URL is not quoted in the problem: it may hold a password.
pub(super) fn parse_url(url: &str) -> Result<(Target, String), String> {
    if let Some(path) = url.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return if path.len() > 1 && path.starts_with('/') {
            Ok((Target::Unix(path.into()), String::new()))
        } else {
            Err(String::from("`unix:` is followed by an absolute path"))
        };
    }
    if url.contains('#') {
        return Err(String::from("an upstream has no fragment"));
    }
    let uri: Uri = url.parse().map_err(|_| String::from("not a URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(String::from("the URL has no `http://`, `https://` or `unix:` in front"));
    };
    if authority.as_str().contains('@') {
        return Err(String::from(
            "user and password in a URL are not supported; use `headers` with `{ env = … }`",
        ));
    }
    if uri.query().is_some() {
        return Err(String::from("an upstream has no query"));
    }
    if !is_host(authority.host()) {
        return Err(String::from("the URL's host is not a name or an address"));
    }
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let port = match (authority.port_u16(), authority.as_str().len() > authority.host().len()) {
        (Some(0), _) | (None, true) => return Err(String::from("the URL's port is not a number from 1 to 65535")),
        (port, _) => port,
    };
    let base_path = uri.path().trim_end_matches('/').to_owned();
    if base_path.contains("//") || base_path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(String::from("the URL's path has empty or dot segments"));
    }
    match scheme {
        "http" => Ok((
            Target::Tcp {
                host,
                port: port.unwrap_or(80),
            },
            base_path,
        )),
        "https" => Ok((
            Target::Tls {
                host,
                port: port.unwrap_or(443),
                ca: None,
                client: None,
                content: 0,
            },
            base_path,
        )),
        _ => Err(String::from("the URL's scheme is not `http`, `https` or `unix`")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tcp(host: &str, port: u16) -> Target {
        Target::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn urls_become_targets() {
        assert_eq!(
            parse_url("http://127.0.0.1:8000").unwrap(),
            (tcp("127.0.0.1", 8000), String::new())
        );
        assert_eq!(
            parse_url("http://App.internal/base/").unwrap(),
            (tcp("app.internal", 80), String::from("/base"))
        );
        assert_eq!(parse_url("http://[::1]:80").unwrap(), (tcp("::1", 80), String::new()));
        let https = Target::Tls {
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
                (Target::Unix("/run/app.sock".into()), String::new())
            );
        }
    }

    #[test]
    fn what_is_not_an_upstream_is_refused_without_quoting_it() {
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
    fn own_addresses_are_recognised_whatever_their_spelling() {
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
        assert!(reaches(&Target::Unix("/a".into()), &Address::Unix("/a".into(), 0)));
        assert!(!reaches(&Target::Unix("/b".into()), &Address::Unix("/a".into(), 0)));
    }
}
