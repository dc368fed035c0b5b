//! What a request asks for: its authority and its target, with everything refused that servers read in different ways.
//! Pure.

use crate::http::message::{Headers, Role};
use crate::outcome::Rejection;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Uri, Version};
use std::net::Ipv6Addr;

/// The value as text if it has only printable ASCII characters and tabs.
pub(super) fn printable(value: &[u8]) -> Option<&str> {
    let is_printable = value.iter().all(|byte| *byte == b'\t' || (b' '..=b'~').contains(byte));
    str::from_utf8(value).ok().filter(|_| is_printable)
}

/// The authority of a request: the value of `Host`, or the authority in the request target. When both are present they
/// must be equal, apart from case. The result is empty only for HTTP/1.0 without `Host`.
///
/// # Errors
/// `BadRequest` when the authority is missing or has characters that no authority has, when `Host` is repeated, or when
/// `Host` and the target disagree.
pub fn authority<'a>(headers: &'a Headers, target: Option<&'a str>, version: Version) -> Result<&'a str, Rejection> {
    let mut hosts = headers.of(Role::Host);
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(host), None) => Some(printable(host).ok_or(Rejection::BadRequest)?),
        (Some(_), Some(_)) => return Err(Rejection::BadRequest),
    };
    let named = match (host, target) {
        (Some(host), Some(target)) if !host.eq_ignore_ascii_case(target) => return Err(Rejection::BadRequest),
        (Some(host), _) => host,
        (None, Some(target)) => target,
        (None, None) if version == Version::HTTP_10 => "",
        (None, None) => return Err(Rejection::BadRequest),
    };
    if is_authority(named) || (named.is_empty() && version == Version::HTTP_10) {
        Ok(named)
    } else {
        Err(Rejection::BadRequest)
    }
}

/// Whether `text` is a host with an optional port: a name, an IPv4 address, or an IPv6 address in brackets. A name may
/// have the characters that RFC 3986 does not reserve, and none of its labels is empty, except for a dot at its end.
/// Percent-encoding and sub-delimiters, which RFC 3986 allows, occur in no name of the DNS.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        Some(_) | None => (text, ""),
    };
    let is_port = port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte);
        !label.is_empty() && label.bytes().all(is_plain)
    };
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.strip_suffix('.').unwrap_or(host).split('.').all(is_label),
    };
    is_port && is_host
}

/// Path and query of a request target as they were received; they are never normalised. `has_authority` tells whether
/// the target names a host too (the absolute form, or `:authority` of HTTP/2).
///
/// # Errors
/// `BadRequest` for targets that servers read in different ways or refuse: the absolute form without a path or with a
/// scheme other than `http` and `https`, the authority form, `*` with a method other than `OPTIONS`, and bytes that are
/// not visible ASCII characters.
pub fn target<'a>(method: &Method, uri: &'a Uri) -> Result<&'a PathAndQuery, Rejection> {
    let is_web = uri
        .scheme()
        .is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    let target = uri.path_and_query().filter(|_| is_web).ok_or(Rejection::BadRequest)?;
    let text = target.as_str();
    let has_form = text.starts_with('/') || (text == "*" && *method == Method::OPTIONS);
    if has_form && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(target)
    } else {
        Err(Rejection::BadRequest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    fn map(fields: &[(&str, &str)]) -> Headers {
        let parse = |(name, value): &(&str, &str)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        };
        fields.iter().map(parse).collect()
    }

    /// A15: missing, repeated and disagreeing authorities.
    #[test]
    fn a_request_has_exactly_one_authority() {
        let read =
            |fields: &[(&str, &str)], target| authority(&map(fields), target, Version::HTTP_11).map(str::to_owned);
        assert_eq!(read(&[("host", "a:1")], None).unwrap(), "a:1");
        assert_eq!(read(&[], Some("a")).unwrap(), "a");
        assert_eq!(read(&[("host", "A")], Some("a")).unwrap(), "A");
        for (fields, target) in [
            (&[][..], None),
            (&[("host", "a"), ("host", "a")], None),
            (&[("host", "a")], Some("b")),
            (&[("host", "a/b@c")], None),
            (&[("host", "")], None),
            (&[("host", "a b")], None),
            (&[("host", "[")], None),
            (&[("host", "[::1")], None),
            (&[("host", "[h]")], None),
            (&[("host", "::1")], None),
            (&[("host", "a%00b")], None),
            (&[("host", "a%41")], None),
            (&[("host", "a..b")], None),
            (&[("host", ".")], None),
            (&[("host", ":80")], None),
            (&[("host", "a:99999999")], None),
            (&[("host", "a:65536")], None),
            (&[("host", "a:8x")], None),
            (&[("host", "a:+8")], None),
            (&[("host", "a:1:2")], None),
            (&[("host", "a,b")], None),
            (&[], Some("u@a")),
        ] {
            assert_eq!(
                read(fields, target),
                Err(Rejection::BadRequest),
                "{fields:?} {target:?}"
            );
        }
        for host in [
            "a:",
            "a.",
            "a.b:65535",
            "[::1]",
            "[2001:db8::1]:8443",
            "192.0.2.1:80",
            "x_y~z",
        ] {
            assert_eq!(read(&[("host", host)], None).as_deref(), Ok(host), "{host}");
        }
        assert_eq!(authority(&map(&[]), None, Version::HTTP_10), Ok(""));
    }

    #[test]
    fn only_targets_that_all_servers_read_alike_are_accepted() {
        let read = |method: Method, text: &str| {
            let uri: Uri = text.parse().unwrap();
            target(&method, &uri).map(|target| target.as_str().to_owned())
        };
        for (text, expected) in [
            ("/a/../b//c?d=%2f", "/a/../b//c?d=%2f"),
            ("//a", "//a"),
            ("http://h/a?b", "/a?b"),
            ("HTTPS://h:1/", "/"),
        ] {
            assert_eq!(read(Method::POST, text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "http://h?x=1",
            "ftp://h/a",
            "h:80",
            "*",
            "/\u{e9}",
            "/a?\u{e9}",
            "http://h/\u{e9}",
        ] {
            assert_eq!(read(Method::POST, text), Err(Rejection::BadRequest), "{text}");
        }
        assert_eq!(read(Method::OPTIONS, "*").as_deref(), Ok("*"));
    }
}
