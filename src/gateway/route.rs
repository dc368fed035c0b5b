//! The route table: host and raw path to a route's index, most specific first. Pure.
//!
//! Paths are compared byte for byte, never decoded or normalised: servers behind us disagree on what `%2f`, `//` and `..`
//! mean, so a path that is not written in the configuration has no route. Patterns are validated when the configuration
//! is loaded; a prefix pattern matches below its last slash only, and never a path with a dot segment, an encoded
//! slash or anything else that a server could fold into a sibling.

use std::cmp::Reverse;

/// What a route answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Lower-case host without port, `*.example.com`, or `None` for any.
    pub host: Option<String>,
    /// Exact raw path, or a prefix when it ends with `/*`.
    pub path: String,
}

/// Patterns in order of specificity.
#[derive(Debug)]
pub struct Table {
    rows: Vec<(Pattern, usize)>,
}

/// The order in which patterns are tried: exact host, wildcard host, any host; within those an exact path before the
/// longest prefix.
fn specificity(pattern: &Pattern) -> impl Ord + use<> {
    let host = match pattern.host.as_deref() {
        None => (0, 0),
        Some(host) if host.starts_with("*.") => (1, host.len()),
        Some(host) => (2, host.len()),
    };
    let path = (!pattern.path.ends_with("/*"), pattern.path.len());
    (host, path)
}

impl Table {
    /// Sorts once; indices are those of `patterns`.
    #[must_use]
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let mut rows: Vec<_> = patterns
            .into_iter()
            .enumerate()
            .map(|(index, pattern)| (pattern, index))
            .collect();
        rows.sort_by_key(|(pattern, _)| Reverse(specificity(pattern)));
        Self { rows }
    }

    /// The index of the most specific pattern that takes `host` (as in `Host`, port and case allowed) and the raw path
    /// (without query).
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<usize> {
        let host = without_port(host);
        let matches =
            |pattern: &Pattern| path_matches(&pattern.path, path) && host_matches(pattern.host.as_deref(), host);
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

/// Whether every server reads these path bytes alike: no empty or dot segment, no encoded dot, slash, backslash or NUL,
/// no backslash, no path parameter.
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

    fn table(rows: &[(Option<&str>, &str)]) -> Table {
        Table::new(rows.iter().map(|(host, path)| Pattern {
            host: host.map(str::to_owned),
            path: (*path).to_owned(),
        }))
    }

    #[test]
    fn the_most_specific_pattern_wins_whatever_the_order() {
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

    /// C01: nothing but the configured bytes is the configured path.
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
    fn ports_and_address_literals() {
        let table = table(&[(Some("[::1]"), "/a"), (Some("127.0.0.1"), "/a")]);
        assert_eq!(table.find("[::1]:443", "/a"), Some(0));
        assert_eq!(table.find("[::1]", "/a"), Some(0));
        assert_eq!(table.find("127.0.0.1:80", "/a"), Some(1));
        assert_eq!(table.find("127.0.0.1:http", "/a"), None);
    }
}
