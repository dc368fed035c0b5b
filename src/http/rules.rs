//! Header rules of both directions: which fields of a request are refused, and which fields of a response are removed.
//! Pure.
//!
//! The signature covers the body, not the headers, so an attacker can choose any header. Applications disagree on
//! unusual names (for WSGI, Rack and CGI `Paddle_Signature` *is* `Paddle-Signature`). Therefore every field that two
//! servers could read in two ways is refused or removed here, before hookgate adds fields of its own.

use crate::http::destination::printable;
use crate::http::http1::body_length::{TransferCoding, transfer_coding};
use crate::http::message::{Header, Headers, Role, is_regular};
use crate::outcome::Rejection;
use hyper::Version;
use hyper::header::HeaderName;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The most options in a request's `Connection`. Each one is compared with every field, before the signature is
/// verified.
const MAX_CONNECTION_OPTIONS: usize = 32;

/// Where a request came from, for the `X-Forwarded-*` fields to the upstream.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Address of the socket's peer, or the address in the PROXY protocol header; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether the peer is a trusted proxy, whose own `X-Forwarded-*` fields are used.
    pub trusted: bool,
    /// `https` on a listener with TLS, otherwise `http`.
    pub scheme: &'static str,
}

/// Whether `name`, read with hyphens in place of all signs other than letters and digits, is a name that no other field
/// may imitate and that `Connection` may not list.
fn is_protected(name: &[u8], signature: &[HeaderName]) -> bool {
    let mut hyphened = name.to_ascii_lowercase();
    hyphened
        .iter_mut()
        .filter(|byte| !byte.is_ascii_alphanumeric())
        .for_each(|byte| *byte = b'-');
    Role::of(&hyphened).is_protected() || signature.iter().any(|own| own.as_str().as_bytes() == hyphened)
}

/// Refuses a request whose fields two servers could read in two ways. `signature` names the scheme's signature headers.
///
/// This serves both HTTP versions. The length fields of HTTP/1.1 have been checked with the head already
/// ([`crate::http::http1::body_length`]); a transfer coding that is not supported there is refused here, after the
/// route is known, as over HTTP/2.
///
/// # Errors
/// - `HeaderConflict`: a field imitates a protected one with other signs than hyphens, `Content-Type`,
///   `Content-Encoding` or `Expect` is repeated, or `Connection` lists a protected field.
/// - `BadRequest`: `Connection` has more than 32 options, or bytes that are not printable ASCII.
/// - `ExpectationFailed`: `Expect` has a value other than `100-continue`.
/// - `TransferCoding`: a transfer coding other than a single `chunked` over HTTP/1.1.
/// - `SignatureMalformed`: a signature header is repeated.
pub fn check_request_fields(headers: &Headers, version: Version, signature: &[HeaderName]) -> Result<(), Rejection> {
    let may_imitate = |field: &Header<'_>| matches!(field.role, Role::Irregular | Role::Hookgate);
    for field in headers.iter().filter(may_imitate) {
        if !is_regular(field.name) && is_protected(field.name, signature) {
            return Err(Rejection::HeaderConflict);
        }
    }
    let mut single = headers.iter().filter(|field| field.role.is_single());
    while let Some(field) = single.next() {
        if single.clone().any(|other| other.role == field.role) {
            return Err(Rejection::HeaderConflict);
        }
    }
    for (index, option) in headers.connection().enumerate() {
        if index == MAX_CONNECTION_OPTIONS || printable(option).is_none() {
            return Err(Rejection::BadRequest);
        }
        // `Connection: transfer-encoding` is harmless, since that field is never forwarded, but no sender has a reason
        // for it.
        if names_field(option) && is_protected(option, signature) {
            return Err(Rejection::HeaderConflict);
        }
    }
    if let Some(expect) = headers.first(Role::Expect)
        && !expect.eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Rejection::ExpectationFailed);
    }
    if transfer_coding(version, headers) == TransferCoding::Unsupported {
        return Err(Rejection::TransferCoding);
    }
    let is_repeated = |name: &HeaderName| headers.named(name.as_str()).nth(1).is_some();
    if signature.iter().any(is_repeated) {
        return Err(Rejection::SignatureMalformed);
    }
    Ok(())
}

/// Checks the scheme of an HTTP/2 request (`:scheme`; RFC 9113, section 8.3.1): over TLS it is `https`, and without TLS
/// `http`, or `https` behind a proxy that terminates TLS. The HTTP/2 library keeps the scheme only beside `:authority`,
/// which proxies leave out when their own client wrote `Host` only; nothing reads it then.
///
/// # Errors
/// `BadRequest` for any other scheme.
pub fn check_scheme(scheme: Option<&str>, version: Version, origin: &Origin) -> Result<(), Rejection> {
    match scheme {
        Some("https") => Ok(()),
        Some("http") if origin.scheme == "http" => Ok(()),
        Some(_) if version == Version::HTTP_2 => Err(Rejection::BadRequest),
        Some(_) | None => Ok(()),
    }
}

/// The address of the sender: the peer, or, when the peer is a trusted proxy, the first address of `X-Forwarded-For`,
/// read from right to left, for which `trusted` is false. `None` when the peer is a Unix socket and no proxy names an
/// address.
#[must_use]
pub fn client_address(origin: &Origin, headers: &Headers, trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    if !origin.trusted {
        return origin.peer;
    }
    let mut client = origin.peer;
    let lines: Vec<_> = headers.of(Role::ForwardedFor).collect();
    let entries = lines
        .iter()
        .rev()
        .flat_map(|line| printable(line).unwrap_or_default().rsplit(','));
    // An empty element of a list means nothing (RFC 9110, section 5.6.1).
    for entry in entries.map(str::trim).filter(|entry| !entry.is_empty()) {
        // An unreadable entry ends the search: the result is the last address that a trusted proxy wrote.
        let Some(address) = parse_address(entry) else {
            break;
        };
        client = Some(address);
        if !trusted(address) {
            break;
        }
    }
    client
}

/// An entry of `X-Forwarded-For`: an address, with or without a port. An IPv6 address may be in brackets.
fn parse_address(entry: &str) -> Option<IpAddr> {
    let bracketed = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().map(IpAddr::V6).ok()?,
        None => entry
            .parse()
            .or_else(|_| entry.parse::<SocketAddr>().map(|socket| socket.ip()))
            .ok()?,
    };
    Some(address.to_canonical())
}

/// Whether an option of `Connection` is the name of a field; `keep-alive` and `close` are not.
fn names_field(option: &[u8]) -> bool {
    !option.eq_ignore_ascii_case(b"keep-alive") && !option.eq_ignore_ascii_case(b"close")
}

/// The field names that `Connection` lists, as they are written there. These fields are hop-by-hop and are not
/// forwarded (RFC 9110, section 7.6.1).
pub(crate) fn fields_named_by_connection(headers: &Headers) -> Vec<&[u8]> {
    headers.connection().filter(|option| names_field(option)).collect()
}

/// Removes from an upstream's response the hop-by-hop fields, those that its `Connection` lists, and `Hookgate-*`.
pub fn clean_response_headers(headers: &mut Headers) {
    let listed: Vec<_> = fields_named_by_connection(headers)
        .into_iter()
        .filter(|name| !name.eq_ignore_ascii_case(b"content-length"))
        .map(<[u8]>::to_vec)
        .collect();
    headers.retain(|field| {
        let is_removed = field.role.is_hop_by_hop() || field.role == Role::Hookgate;
        !is_removed && !listed.iter().any(|name| name.eq_ignore_ascii_case(field.name))
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hyper::header::HeaderValue;

    const SIGNATURE: [HeaderName; 1] = [HeaderName::from_static("paddle-signature")];

    fn map(fields: &[(&str, &str)]) -> Headers {
        let parse = |(name, value): &(&str, &str)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        };
        fields.iter().map(parse).collect()
    }

    fn origin(peer: &str, trusted: bool) -> Origin {
        Origin {
            peer: Some(peer.parse().unwrap()),
            trusted,
            scheme: "https",
        }
    }

    fn check(fields: &[(&str, &str)]) -> Result<(), Rejection> {
        check_request_fields(&map(fields), Version::HTTP_11, &SIGNATURE)
    }

    /// B01: WSGI, Rack and CGI read an underscore as a hyphen, some servers every other sign too.
    #[test]
    fn names_that_imitate_protected_headers_with_other_signs_are_refused() {
        for name in [
            "Paddle_Signature",
            "Paddle.Signature",
            "Hookgate!Verified",
            "Hookgate.Verified",
            "X~Forwarded~For",
            "content|length",
            "Host^",
            "paddle-signature_",
            "Hookgate_Verified",
            "X_Forwarded_For",
            "Content_Length",
            "Transfer_Encoding",
            "Host_",
            "Content_Type",
        ] {
            let expected = if name.ends_with(['_', '^']) {
                Ok(())
            } else {
                Err(Rejection::HeaderConflict)
            };
            assert_eq!(check(&[("host", "h"), (name, "1")]), expected, "{name}");
        }
    }

    /// B04: a sender cannot have protected headers removed by listing them in `Connection`.
    #[test]
    fn listing_a_protected_header_in_connection_is_refused() {
        for value in [
            "Paddle-Signature",
            "close, paddle-signature",
            "Hookgate-Verified",
            "Host",
            "keep-alive,content-length",
            "paddle_signature",
            "x-forwarded-for",
        ] {
            assert_eq!(
                check(&[("connection", value)]),
                Err(Rejection::HeaderConflict),
                "{value}"
            );
        }
        assert_eq!(check(&[("connection", "close, X-Custom")]), Ok(()));
        let most = vec!["x"; MAX_CONNECTION_OPTIONS].join(",");
        assert_eq!(check(&[("connection", &most)]), Ok(()));
        assert_eq!(
            check(&[("connection", &most), ("connection", "x")]),
            Err(Rejection::BadRequest)
        );
        assert_eq!(check(&[("connection", "\u{e9}")]), Err(Rejection::BadRequest));
    }

    /// B02: a second signature header.
    #[test]
    fn a_repeated_signature_header_is_refused() {
        assert_eq!(
            check(&[("Paddle-Signature", "a"), ("paddle-signature", "a")]),
            Err(Rejection::SignatureMalformed)
        );
    }

    /// A06, A07, A22: other transfer codings and expectations.
    #[test]
    fn only_chunked_and_only_100_continue_are_accepted() {
        for coding in [
            "gzip, chunked",
            "identity",
            "identity, chunked",
            "xchunked",
            "chunked, chunked",
            "",
        ] {
            assert_eq!(
                check(&[("transfer-encoding", coding)]),
                Err(Rejection::TransferCoding),
                "{coding}"
            );
        }
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(check(&twice), Err(Rejection::TransferCoding));
        assert_eq!(check(&twice[..1]), Ok(()));
        assert_eq!(
            check_request_fields(&map(&twice[..1]), Version::HTTP_2, &SIGNATURE),
            Err(Rejection::TransferCoding)
        );
        assert_eq!(check(&[("expect", "100-Continue")]), Ok(()));
        assert_eq!(check(&[("expect", "foo")]), Err(Rejection::ExpectationFailed));
    }

    /// Servers differ in which one of several they read.
    #[test]
    fn fields_that_a_request_has_once_are_not_repeated() {
        for name in ["Content-Type", "Content-Encoding", "Expect"] {
            let value = if name == "Expect" { "100-continue" } else { "x" };
            assert_eq!(check(&[(name, value)]), Ok(()), "{name}");
            let twice = [(name, value), ("x", "y"), (name, value)];
            assert_eq!(check(&twice), Err(Rejection::HeaderConflict), "{name}");
        }
        assert_eq!(check(&[("content-type", "a"), ("content-encoding", "b")]), Ok(()));
    }

    #[test]
    fn the_scheme_of_an_http2_request_is_that_of_the_listener() {
        let listener = |scheme| Origin {
            scheme,
            ..origin("192.0.2.1", false)
        };
        for (scheme, on, accepted) in [
            (Some("https"), "https", true),
            (Some("http"), "https", false),
            (Some("http"), "http", true),
            (Some("https"), "http", true),
            (Some("javascript"), "http", false),
            (None, "http", true),
        ] {
            let checked = check_scheme(scheme, Version::HTTP_2, &listener(on));
            assert_eq!(checked.is_ok(), accepted, "{scheme:?} on {on}");
        }
        assert_eq!(check_scheme(None, Version::HTTP_11, &listener("https")), Ok(()));
    }

    /// B06: the address of the sender behind proxies.
    #[test]
    fn the_sender_is_the_last_address_that_is_not_a_trusted_proxy() {
        let headers = map(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "198.51.100.7, 10.1.1.1"),
        ]);
        let private = |address: IpAddr| address.to_string().starts_with("10.");
        let proxy = origin("10.9.9.9", true);
        assert_eq!(
            client_address(&proxy, &headers, private),
            Some("198.51.100.7".parse().unwrap())
        );
        let stranger = origin("192.0.2.1", false);
        assert_eq!(
            client_address(&stranger, &headers, private),
            Some("192.0.2.1".parse().unwrap())
        );
    }

    #[test]
    fn addresses_in_brackets_with_ports_and_empty_elements_are_read() {
        let private = |address: IpAddr| address.to_string().starts_with("10.");
        for (list, expected) in [
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443, 10.1.1.1", "2001:db8::1"),
            ("198.51.100.7, , ,", "198.51.100.7"),
            (", 198.51.100.7:80,10.1.1.1 ,", "198.51.100.7"),
            ("[::ffff:198.51.100.7]", "198.51.100.7"),
            ("198.51.100.7, [10.1.1.1], 10.2.2.2", "10.2.2.2"),
        ] {
            let headers = map(&[("x-forwarded-for", list), ("x-forwarded-for", "")]);
            let found = client_address(&origin("10.9.9.9", true), &headers, private);
            assert_eq!(found, Some(expected.parse().unwrap()), "{list}");
        }
    }

    #[test]
    fn an_unreadable_address_ends_the_search_for_the_sender() {
        let headers = map(&[("x-forwarded-for", "198.51.100.7, junk, 10.1.1.1")]);
        let private = |address: IpAddr| address.to_string().starts_with("10.");
        assert_eq!(
            client_address(&origin("10.9.9.9", true), &headers, private),
            Some("10.1.1.1".parse().unwrap())
        );
    }

    /// G11: an upstream sends fields that are reserved for hookgate or for one connection.
    #[test]
    fn an_upstream_cannot_send_fields_of_hookgate_to_the_sender() {
        let mut headers = map(&[
            ("hookgate-verified", "x"),
            ("connection", "x-y"),
            ("x-y", "1"),
            ("server", "s"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        ]);
        clean_response_headers(&mut headers);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers.named("set-cookie").count(), 2);
    }
}
