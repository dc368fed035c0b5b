//! Syntax of host names, in routes and in URLs.

/// Whether `host` is a DNS name, an IPv4 address or an IPv6 address in brackets.
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
    use super::*;

    #[test]
    fn a_host_is_a_name_without_port() {
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
