//! Syntax of paths, in routes and of forwarded requests: a path is accepted only if every server reads it in the same
//! way.

/// Escapes of `/`, `\`, `.` and NUL, which some servers decode before they choose a handler and others do not.
const AMBIGUOUS: [&str; 4] = ["%2f", "%5c", "%2e", "%00"];

/// Where a segment such as `:tenant` is, the placeholder of many frameworks.
pub(super) fn placeholder(path: &str) -> Option<usize> {
    let is_letter = |at: usize| path.as_bytes().get(at).is_some_and(u8::is_ascii_alphabetic);
    path.match_indices("/:")
        .map(|(at, _)| at + 1)
        .find(|at| is_letter(at + 1))
}

/// Checks the path of a route or of forwarded requests. An error is the problem, for the fault.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(String::from("a path must begin with `/`"));
    }
    let exact = path.strip_suffix("/*").unwrap_or(path);
    if exact.contains('*') {
        return Err(String::from("`*` is allowed only at the end, as `/*`"));
    }
    if path.contains("//") {
        return Err(String::from("servers interpret `//` differently"));
    }
    if exact.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(String::from("servers interpret the segments `.` and `..` differently"));
    }
    if placeholder(path).is_some() {
        return Err(String::from(
            "a path has no placeholders, and this text would be compared literally",
        ));
    }
    let lower = path.to_ascii_lowercase();
    if let Some(escape) = AMBIGUOUS.into_iter().find(|escape| lower.contains(escape)) {
        return Err(format!("servers interpret `{escape}` differently"));
    }
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'?' | b'#' => return Err(String::from("a path cannot contain a query or a fragment")),
            b';' | b'\\' => {
                return Err(format!("servers interpret `{}` differently", char::from(*byte)));
            }
            b'%' if !matches!(after, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()) => {
                return Err(String::from("`%` is not followed by two hex digits"));
            }
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                return Err(format!(
                    "`{}` does not occur in a path as it is sent, where it is `%{byte:02X}`",
                    char::from(*byte)
                ));
            }
            0x21..=0x7e => {}
            _ => {
                return Err(String::from(
                    "a path can contain visible ASCII only; write other characters as escapes, such as `%C3%A9`",
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CASES C01: a path that servers could interpret in two ways is refused.
    #[test]
    fn ambiguous_paths_are_refused() {
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
            "/:tenant",
            "/a/:id/b",
        ] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
    }
}
