//! `host` and `path` of a route. A path is accepted only if every server reads it in the same way.

use super::Resolver;
use super::host::is_host;
use super::path::{check_path, placeholder};

impl Resolver<'_> {
    /// The path of a route: exact, or a prefix that ends with `/*`.
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
            match mistake(&path) {
                Some((problem, fix)) => self.report.fault(key, problem, fix),
                None => self.report.fault(
                    key,
                    problem,
                    "write the path as the sender sends it, such as \"/webhooks/paddle\" or \"/webhooks/*\"",
                ),
            }
            return None;
        }
        Some(path)
    }

    /// The host of a route in lower case: a name without port, which may begin with `*.`.
    pub(super) fn host(&mut self, key: &str, written: Option<&str>) -> Option<String> {
        let host = written?.to_ascii_lowercase();
        let name = host.strip_prefix("*.").unwrap_or(&host);
        if !is_host(name) {
            self.report.fault(
                key,
                "this is not a host name",
                "write a name without port, such as \"hooks.example.com\" or \"*.example.com\"",
            );
        }
        Some(host)
    }
}

/// The problem and the fix of a path in the notation of another program.
fn mistake(path: &str) -> Option<(String, String)> {
    let prefix = |end: usize| {
        path.get(..end)
            .and_then(|text| text.rfind('/').and_then(|at| text.get(..=at)))
    };
    if let Some((_, rest)) = path.split_once("://") {
        let only = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
        let only = only.split(['?', '#']).next().unwrap_or(only);
        let problem = String::from("this is a whole URL, and a route has only its path");
        return Some((
            problem,
            format!("write \"{only}\"; a route's host name is the key `host`"),
        ));
    }
    if path.starts_with(['^', '~']) || path.ends_with('$') || path.contains(['(', '\\']) {
        let problem = String::from("this is a regular expression, and a path is compared literally");
        return Some((
            problem,
            String::from("write the whole path such as \"/webhooks/paddle\", or \"/webhooks/*\" for all paths below"),
        ));
    }
    let placeholder = path.find(['{', '<']).or_else(|| placeholder(path));
    if let Some(prefix) = placeholder.and_then(prefix) {
        let problem = String::from("a path has no placeholders, and this text would be compared literally");
        return Some((problem, format!("write \"{prefix}*\" for all paths below")));
    }
    if !path.starts_with('/')
        && !path.is_empty()
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_/.".contains(&byte))
    {
        return Some((String::from("a path must begin with `/`"), format!("write \"/{path}\"")));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notations_of_other_programs_are_explained() {
        for (path, problem, fix) in [
            ("https://h.example/webhooks/x?a=1", "whole URL", "\"/webhooks/x\""),
            ("^/webhooks/(.*)$", "regular expression", "\"/webhooks/*\""),
            ("/in/{tenant}/x", "no placeholders", "\"/in/*\""),
            ("/in/:tenant", "no placeholders", "\"/in/*\""),
            ("/in/<int:id>", "no placeholders", "\"/in/*\""),
            ("webhooks/paddle", "begin with", "\"/webhooks/paddle\""),
        ] {
            assert!(check_path(path).is_err(), "{path}");
            let found = mistake(path).unwrap();
            assert!(found.0.contains(problem) && found.1.contains(fix), "{path}: {found:?}");
        }
    }
}
