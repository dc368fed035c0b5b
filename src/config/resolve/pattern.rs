//! Hosts and paths of routes: only what can match a raw request target in exactly one way is let in.

use super::Resolver;

/// Escapes that one server decodes and the next does not: `/ \ .` and NUL.
const AMBIGUOUS: [&str; 4] = ["%2f", "%5c", "%2e", "%00"];

impl Resolver<'_> {
    /// A route's path: exact, or a prefix with one trailing `/*`.
    pub(super) fn route_path(&mut self, key: &str, written: Option<String>) -> Option<String> {
        let Some(path) = written else {
            self.report.missing(
                key.to_owned(),
                "this route has no path",
                "write `path = \"/webhooks/paddle\"`",
            );
            return None;
        };
        if let Err(problem) = check_path(&path) {
            self.report.fault(
                key,
                problem,
                "write the path as the sender sends it, such as \"/webhooks/paddle\" or \"/webhooks/*\"",
            );
            return None;
        }
        Some(path)
    }

    /// A route's host: lower case, without port, `*.` allowed in front.
    pub(super) fn host(&mut self, key: &str, written: Option<&str>) -> Option<String> {
        let host = written?.to_ascii_lowercase();
        let name = host.strip_prefix("*.").unwrap_or(&host);
        if !is_host(name) {
            self.report.fault(
                key,
                "not a host name",
                "write a name without port, such as \"hooks.example.com\" or \"*.example.com\"",
            );
        }
        Some(host)
    }
}

/// What is wrong with a route's path.
fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(String::from("a path starts with `/`"));
    }
    let exact = path.strip_suffix("/*").unwrap_or(path);
    if exact.contains('*') {
        return Err(String::from("`*` stands only at the end, as `/*`"));
    }
    if path.contains("//") {
        return Err(String::from("`//` is read differently by different servers"));
    }
    if exact.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(String::from("dot segments are read differently by different servers"));
    }
    let lower = path.to_ascii_lowercase();
    if let Some(escape) = AMBIGUOUS.into_iter().find(|escape| lower.contains(escape)) {
        return Err(format!("`{escape}` is read differently by different servers"));
    }
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'?' | b'#' => return Err(String::from("a path has no query and no fragment")),
            b';' | b'\\' => {
                return Err(format!(
                    "`{}` is read differently by different servers",
                    char::from(*byte)
                ));
            }
            b'%' if !matches!(after, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()) => {
                return Err(String::from("`%` is not followed by two hex digits"));
            }
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                return Err(format!(
                    "`{}` does not occur in a path; write its escape",
                    char::from(*byte)
                ));
            }
            0x21..=0x7e => {}
            _ => {
                return Err(String::from(
                    "a path is visible ASCII; write other characters as escapes, `%C3%A9`",
                ));
            }
        }
    }
    Ok(())
}

/// A DNS name, an IPv4 address or a bracketed IPv6 address.
pub(super) fn is_host(host: &str) -> bool {
    if let Some(six) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return six.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.len() <= 253 && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// CASES C01: what could be read in two ways never becomes a pattern.
    #[test]
    fn only_unambiguous_paths_become_patterns() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b%20c",
            "/*",
            "/a/*",
            "/.well-known/hook",
            "/a..b",
            "/a:b@c!$&'()+,=",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in [
            "",
            "a",
            "*",
            "/a*",
            "/*/a",
            "/a/*/*",
            "//",
            "/a//b",
            "/a//*",
            "/.",
            "/./a",
            "/a/..",
            "/a/../b",
            "/a/./*",
            "/a%2Fb",
            "/a%2f",
            "/%5c",
            "/%2E%2e/a",
            "/a%00",
            "/a;b",
            "/a\\b",
            "/a?b",
            "/a#b",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a b",
            "/\u{e9}",
            "/a\nb",
            "/a{b}",
            "/a|",
        ] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn hosts_are_names_without_port() {
        for host in [
            "example.com",
            "a",
            "127.0.0.1",
            "[::1]",
            "a_b.example",
            "xn--bcher-kva.example",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            ".",
            "a..b",
            "a.",
            "a:80",
            "*.a",
            "-a",
            "a-",
            "a/b",
            "[::1",
            "::1",
            "b\u{fc}cher.example",
            "a b",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }
}
