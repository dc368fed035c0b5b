//! The route table: from host and raw path to a route's index, most specific pattern first. Pure.
//!
//! Paths are compared byte for byte and never decoded or normalized: servers interpret `%2f`, `//` and `..`
//! differently, so a path that is not written in the configuration has no route. Patterns are validated when the
//! configuration is loaded. A prefix pattern matches only below its last slash, and never a path with a dot segment, an
//! encoded slash or anything else that a server could resolve to another path.

use super::text_table::{TextHash, TextTable};

/// The hosts and paths of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    /// Lower-case host without port, `*.example.com`, or `None` for any.
    pub host: Option<String>,
    /// Exact raw path, or a prefix when it ends with `/*`.
    pub path: String,
}

/// The patterns, found by hash: the time of a look-up depends on the lengths of host and path, not on the number of
/// patterns.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Patterns of any host.
    any_host: PathTable,
    /// Patterns of an exact host, by its name, and of a wildcard host, by its name without the `*`. Names are hashed from
    /// their end, so that one pass over a host finds every wildcard that matches it.
    hosts: TextTable<PathTable>,
    /// Length of the longest name in `hosts`. No more of a sender's host is read.
    longest_host: usize,
}

/// The patterns of one host.
#[derive(Debug, Default)]
struct PathTable {
    exact: TextTable<usize>,
    /// Prefixes, with the slash at their end.
    prefixes: TextTable<usize>,
}

impl RouteTable {
    /// Makes the table. The index of a route is its position in `patterns`; of equal patterns the first one counts.
    #[must_use]
    pub fn new(patterns: impl IntoIterator<Item = RoutePattern>) -> Self {
        let mut table = Self::default();
        for (index, RoutePattern { host, path }) in patterns.into_iter().enumerate() {
            let paths = match host.as_deref().map(|host| host.strip_prefix('*').unwrap_or(host)) {
                None => &mut table.any_host,
                Some(name) => {
                    table.longest_host = table.longest_host.max(name.len());
                    let hash = name.bytes().rev().fold(TextHash::default(), TextHash::with_lower_case);
                    table.hosts.get_or_insert(hash, name, PathTable::default)
                }
            };
            paths.add(&path, index);
        }
        table
    }

    /// The index of the most specific pattern that matches `host` (a `Host` value, with optional port, in any case) and
    /// the raw path (without query). An exact host comes before a wildcard, a longer wildcard before a shorter one, and
    /// any host last; with the same host an exact path comes before a prefix, and a longer prefix before a shorter one.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<usize> {
        // From the least specific host to the most specific one, so that the last index found is the answer.
        let mut found = self.any_host.find(path);
        let host = without_port(host);
        let mut hash = TextHash::default();
        for (at, byte) in host.bytes().enumerate().rev().take(self.longest_host) {
            hash = hash.with_lower_case(byte);
            let is_name = match byte {
                // A wildcard matches at least one character.
                b'.' => at > 0,
                _ => at == 0,
            };
            if let Some(name) = host.get(at..).filter(|_| is_name)
                && let Some(paths) = self.hosts.get(hash, |known| known.eq_ignore_ascii_case(name))
            {
                found = paths.find(path).or(found);
            }
        }
        found
    }
}

impl PathTable {
    fn add(&mut self, pattern: &str, index: usize) {
        let (table, text) = match pattern.strip_suffix('*') {
            None => (&mut self.exact, pattern),
            Some(prefix) => (&mut self.prefixes, prefix),
        };
        let hash = text.bytes().fold(TextHash::default(), TextHash::with);
        table.get_or_insert(hash, text, || index);
    }

    /// The index of the exact path, or of the longest prefix.
    fn find(&self, path: &str) -> Option<usize> {
        let mut longest = None;
        let mut hash = TextHash::default();
        for (end, byte) in (1..).zip(path.bytes()) {
            hash = hash.with(byte);
            if byte == b'/'
                && let Some((prefix, rest)) = path.split_at_checked(end)
                && let Some(index) = self.prefixes.get(hash, |known| known == prefix)
            {
                longest = Some((index, rest));
            }
        }
        // If the rest behind the longest prefix is not plain, then that behind a shorter one is not plain either.
        let below = || longest.filter(|(_, rest)| is_plain(rest)).map(|(index, _)| index);
        self.exact.get(hash, |known| known == path).or_else(below).copied()
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
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
    use crate::gateway::text_table::COMPARED;
    use proptest::prelude::*;
    use std::cmp::Reverse;

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

    /// The work of a look-up does not grow with the number of patterns, whether it finds something or not.
    #[test]
    fn a_look_up_compares_a_handful_of_ten_thousand_patterns() {
        let patterns = (0..10_000).map(|number| RoutePattern {
            host: (number % 3 == 0).then(|| format!("shop-{number}.example.com")),
            path: format!("/tenants/{number}/{}", if number % 2 == 0 { "paddle" } else { "*" }),
        });
        let table = RouteTable::new(patterns);
        for number in 0..10_000_usize {
            let before = COMPARED.get();
            let host = format!("shop-{number}.example.com:8443");
            let found = table.find(&host, &format!("/tenants/{number}/paddle"));
            assert_eq!(found, Some(number));
            assert_eq!(table.find(&host, &format!("/tenants/{number}")), None);
            assert_eq!(table.find("other.test", &format!("/unknown/{number}")), None);
            let compared = COMPARED.get() - before;
            assert!(compared <= 20, "{number}: {compared} patterns were compared");
        }
    }

    /// The reference: every pattern is compared, the most specific first.
    fn find_linear(patterns: &[RoutePattern], host: &str, path: &str) -> Option<usize> {
        let mut rows: Vec<_> = patterns.iter().enumerate().collect();
        rows.sort_by_key(|(_, pattern)| Reverse(specificity(pattern)));
        let host = without_port(host);
        let matches =
            |pattern: &RoutePattern| path_matches(&pattern.path, path) && host_matches(pattern.host.as_deref(), host);
        rows.iter()
            .find(|(_, pattern)| matches(pattern))
            .map(|(index, _)| *index)
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

    /// Few labels and segments, so that many patterns match the same request.
    fn host() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "B", "com"]), 1..4)
            .prop_map(|labels| labels.join("."))
    }

    fn path() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec!["a", "b", "b", "", ".", "%2e", ";", "\u{e9}"]);
        prop::collection::vec(segment, 0..4).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    fn pattern() -> impl Strategy<Value = RoutePattern> {
        let host = (host(), 0..3).prop_map(|(host, kind)| match kind {
            0 => None,
            1 => Some(host.to_ascii_lowercase()),
            _ => Some(format!("*.{}", host.to_ascii_lowercase())),
        });
        let path = (path(), any::<bool>()).prop_map(|(path, is_prefix)| match is_prefix {
            true => format!("{}/*", path.trim_end_matches('/')),
            false => path,
        });
        (host, path).prop_map(|(host, path)| RoutePattern { host, path })
    }

    proptest! {
        /// The table finds the same route as a comparison with every pattern.
        #[test]
        fn the_table_agrees_with_a_comparison_of_every_pattern(
            patterns in prop::collection::vec(pattern(), 0..40),
            requests in prop::collection::vec((host(), prop::sample::select(vec!["", ":443", ":x", "."]), path()), 1..40),
        ) {
            let table = RouteTable::new(patterns.iter().cloned());
            for (host, port, path) in requests {
                for host in [format!("{host}{port}"), format!(".{host}"), String::new()] {
                    let expected = find_linear(&patterns, &host, &path);
                    prop_assert_eq!(table.find(&host, &path), expected, "{} {}", host, path);
                }
            }
        }
    }
}
