//! The route table: from host and raw path to a route's index, most specific pattern first. Pure.
//!
//! Paths are compared byte for byte and never decoded or normalized: servers interpret `%2f`, `//` and `..`
//! differently, so a path that is not written in the configuration has no route. Patterns are validated when the
//! configuration is loaded. A prefix pattern matches only below its last slash, and never a path with a dot segment, an
//! encoded slash or anything else that a server could resolve to another path.

use std::cmp::Reverse;

/// The hosts and paths of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    /// Lower-case host without port, `*.example.com`, or `None` for any.
    pub host: Option<String>,
    /// Exact raw path, or a prefix when it ends with `/*`.
    pub path: String,
}

/// Patterns, the most specific first.
#[derive(Debug)]
pub struct RouteTable {
    rows: Vec<(RoutePattern, usize)>,
}

/// The rank of a pattern: exact host, then wildcard host, then any host; within each an exact path, then the longest
/// prefix.
fn specificity(pattern: &RoutePattern) -> impl Ord + use<> {
    let host = match pattern.host.as_deref() {
        None => (0, 0),
        Some(host) if host.starts_with("*.") => (1, host.len()),
        Some(host) => (2, host.len()),
    };
    let path = (!pattern.path.ends_with("/*"), pattern.path.len());
    (host, path)
}

impl RouteTable {
    /// Sorts the patterns. The index of a route is its position in `patterns`.
    #[must_use]
    pub fn new(patterns: impl IntoIterator<Item = RoutePattern>) -> Self {
        let mut rows: Vec<_> = patterns
            .into_iter()
            .enumerate()
            .map(|(index, pattern)| (pattern, index))
            .collect();
        rows.sort_by_key(|(pattern, _)| Reverse(specificity(pattern)));
        Self { rows }
    }

    /// The index of the most specific pattern that matches `host` (a `Host` value, with optional port, in any case) and
    /// the raw path (without query).
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<usize> {
        let host = without_port(host);
        let matches =
            |pattern: &RoutePattern| path_matches(&pattern.path, path) && host_matches(pattern.host.as_deref(), host);
        self.rows
            .iter()
            .find(|(pattern, _)| matches(pattern))
            .map(|(_, index)| *index)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

fn host_matches(pattern: Option<&str>, host: &str) -> bool {
    match pattern {
        None => true,
        Some(pattern) => match pattern.strip_prefix('*') {
            None => pattern.eq_ignore_ascii_case(host),
            Some(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .filter(|at| *at > 0)
                .and_then(|at| host.get(at..))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(suffix)),
        },
    }
}

fn path_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        None => pattern == path,
        Some(prefix) => path
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && is_plain(rest)),
    }
}

/// Whether every server interprets these path bytes in the same way: no empty or dot segment, no encoded dot, slash,
/// backslash, NUL or percent sign, no backslash, no path parameter.
fn is_plain(rest: &str) -> bool {
    let folds = |window: &[u8]| {
        matches!(window, [b'%', high, low] if matches!(
            [*high, low.to_ascii_lowercase()],
            [b'2', b'e' | b'f'] | [b'5', b'c'] | [b'0', b'0'] | [b'2', b'5']
        ))
    };
    !rest.split('/').any(|segment| matches!(segment, "" | "." | ".."))
        && !rest.bytes().any(|b| matches!(b, b'\\' | b';') || !b.is_ascii_graphic())
        && !rest.as_bytes().windows(3).any(folds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(Option<&str>, &str)]) -> RouteTable {
        RouteTable::new(rows.iter().map(|(host, path)| RoutePattern {
            host: host.map(str::to_owned),
            path: (*path).to_owned(),
        }))
    }

    #[test]
    fn the_most_specific_pattern_wins_in_any_order() {
        let table = table(&[
            (None, "/*"),
            (None, "/hooks/*"),
            (None, "/hooks/paddle"),
            (Some("*.example.com"), "/hooks/paddle"),
            (Some("pay.example.com"), "/hooks/*"),
        ]);
        assert_eq!(table.find("other.test", "/hooks/paddle"), Some(2));
        assert_eq!(table.find("other.test", "/hooks/stripe"), Some(1));
        assert_eq!(table.find("other.test", "/x"), Some(0));
        assert_eq!(table.find("eu.example.com", "/hooks/paddle"), Some(3));
        assert_eq!(table.find("pay.example.com:8443", "/hooks/paddle"), Some(4));
        assert_eq!(table.find("PAY.EXAMPLE.COM", "/hooks/paddle"), Some(4));
        assert_eq!(table.find(".example.com", "/hooks/paddle"), Some(2));
    }

    /// C01: only the configured bytes match the configured path.
    #[test]
    fn look_alike_paths_have_no_route() {
        let table = table(&[(None, "/hook"), (None, "/in/*")]);
        for path in [
            "//hook",
            "/./hook",
            "/a/../hook",
            "/%2e%2e/hook",
            "/hook%2f..",
            "/hook;x",
            "/hook/",
            "/HOOK",
            "/hook%00",
            "/hook\\",
            "/ho%6fk",
            "",
            "hook",
            "/in",
            "/in/",
            "/in/../hook",
            "/in/./a",
            "/in//a",
            "/in/a/",
            "/in/%2E%2e/hook",
            "/in/a%2Fb",
            "/in/a%5cb",
            "/in/a%00",
            "/in/a;b",
            "/in/a\\b",
            "/in/%252e%252e/hook",
            "/in/\u{e9}",
        ] {
            assert_eq!(table.find("h", path), None, "{path}");
        }
        assert_eq!(table.find("h", "/hook"), Some(0));
        assert_eq!(table.find("h", "/in/a.b/c-d_e~%20"), Some(1));
    }

    #[test]
    fn a_port_is_ignored_and_address_literals_match() {
        let table = table(&[(Some("[::1]"), "/a"), (Some("127.0.0.1"), "/a")]);
        assert_eq!(table.find("[::1]:443", "/a"), Some(0));
        assert_eq!(table.find("[::1]", "/a"), Some(0));
        assert_eq!(table.find("127.0.0.1:80", "/a"), Some(1));
        assert_eq!(table.find("127.0.0.1:http", "/a"), None);
    }
}
