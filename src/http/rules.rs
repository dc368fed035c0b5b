//! Header rules of both directions: what a request must not carry, what the upstream gets, what goes back. Pure.
//!
//! The signature covers the body, not the headers, so every header is the word of whoever sent it. Servers behind us
//! disagree on how to read odd ones (to WSGI, Rack and CGI `Paddle_Signature` *is* `Paddle-Signature`), so what could be
//! read in two ways is refused or removed here, once, before any of ours is added.

use crate::http::message::{Header, Headers, Role};
use crate::outcome::Rejection;
use hyper::Version;
use hyper::header::HeaderName;
use std::net::IpAddr;

/// Words of a request's `Connection`: each is compared with every field, and nobody has signed anything yet.
const NOMINATED: usize = 32;

/// Where a request came from, as the upstream is to be told.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The socket's peer, or whom the PROXY protocol names in its place; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether the peer's own `X-Forwarded-*` are believed.
    pub trusted: bool,
    /// `https` or `http`, as seen by the listener.
    pub scheme: &'static str,
}

/// Whether `name` is of those that nothing may alias or nominate, to servers to which an underscore is a hyphen.
fn is_protected(name: &[u8], signature: &[HeaderName]) -> bool {
    let mut hyphened = name.to_ascii_lowercase();
    hyphened
        .iter_mut()
        .filter(|byte| **byte == b'_')
        .for_each(|byte| *byte = b'-');
    Role::of(&hyphened).is_protected() || signature.iter().any(|own| own.as_str().as_bytes() == hyphened)
}

/// Refuses what two servers could read in two ways. `signature` are the scheme's headers.
///
/// # Errors
/// `BadRequest` (also for more than 32 words in `Connection`), `HeaderConflict`, `ExpectationFailed`, `TransferCoding`,
/// `SignatureMalformed`.
pub fn vet(headers: &Headers, version: Version, signature: &[HeaderName]) -> Result<(), Rejection> {
    let may_alias = |field: &Header<'_>| matches!(field.role, Role::Underscored | Role::Ours);
    for field in headers.iter().filter(may_alias) {
        if field.name.contains(&b'_') && is_protected(field.name, signature) {
            return Err(Rejection::HeaderConflict);
        }
    }
    for (count, word) in headers.connection().enumerate() {
        if count == NOMINATED || plain(word).is_none() {
            return Err(Rejection::BadRequest);
        }
        // `Connection: transfer-encoding` protects nothing and breaks nothing, but no sender has a reason for it.
        if nominates(word) && is_protected(word, signature) {
            return Err(Rejection::HeaderConflict);
        }
    }
    if let Some(expect) = headers.first(Role::Expect)
        && !expect.eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Rejection::ExpectationFailed);
    }
    let mut codings = headers.of(Role::TransferEncoding);
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") && version == Version::HTTP_11 => {}
        (Some(_), _) => return Err(Rejection::TransferCoding),
    }
    let is_twice = |name: &HeaderName| headers.named(name.as_str()).nth(1).is_some();
    if signature.iter().any(is_twice) {
        return Err(Rejection::SignatureMalformed);
    }
    Ok(())
}

/// A value of printable ASCII and tabs.
fn plain(value: &[u8]) -> Option<&str> {
    let is_plain = value.iter().all(|byte| *byte == b'\t' || (b' '..=b'~').contains(byte));
    str::from_utf8(value).ok().filter(|_| is_plain)
}

/// The one authority that a request names: `Host`, or the target's authority, which must then agree with it.
///
/// # Errors
/// `BadRequest` for a missing, repeated, disagreeing or unreadable one.
pub fn authority<'a>(headers: &'a Headers, target: Option<&'a str>, version: Version) -> Result<&'a str, Rejection> {
    let mut hosts = headers.of(Role::Host);
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => None,
        (Some(host), None) => Some(plain(host).ok_or(Rejection::BadRequest)?),
        (Some(_), Some(_)) => return Err(Rejection::BadRequest),
    };
    let named = match (host, target) {
        (Some(host), Some(target)) if !host.eq_ignore_ascii_case(target) => return Err(Rejection::BadRequest),
        (Some(host), _) => host,
        (None, Some(target)) => target,
        (None, None) if version == Version::HTTP_10 => "",
        (None, None) => return Err(Rejection::BadRequest),
    };
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'~' | b'%');
    if !named.bytes().all(allowed) || (named.is_empty() && version != Version::HTTP_10) {
        return Err(Rejection::BadRequest);
    }
    Ok(named)
}

/// The address that the request came from: the peer, or, behind trusted proxies, the last hop of `X-Forwarded-For`
/// (read right to left) that is not one of them.
#[must_use]
pub fn client(origin: &Origin, headers: &Headers, trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    if !origin.trusted {
        return origin.peer;
    }
    let mut client = origin.peer;
    let lines: Vec<_> = headers.of(Role::ForwardedFor).collect();
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| plain(line).unwrap_or_default().rsplit(','));
    for hop in hops {
        // What cannot be read ends the chain: the last address that a trusted proxy vouched for stands.
        let Some(address) = parse_hop(hop.trim()) else { break };
        client = Some(address);
        if !trusted(address) {
            break;
        }
    }
    client
}

fn parse_hop(hop: &str) -> Option<IpAddr> {
    let address = hop
        .parse()
        .or_else(|_| hop.parse::<std::net::SocketAddr>().map(|socket| socket.ip()))
        .ok()?;
    Some(IpAddr::to_canonical(&address))
}

/// Whether a word of `Connection` is a field's name: what connections are really told, to close or not to, is none.
fn nominates(word: &[u8]) -> bool {
    !word.eq_ignore_ascii_case(b"keep-alive") && !word.eq_ignore_ascii_case(b"close")
}

/// The names that `Connection` lists, as they are written there: those fields go no further either.
pub(crate) fn nominated(headers: &Headers) -> Vec<&[u8]> {
    headers.connection().filter(|word| nominates(word)).collect()
}

/// Turns an upstream's headers into what goes back to the sender.
pub fn returned(headers: &mut Headers) {
    let nominated: Vec<_> = nominated(headers)
        .into_iter()
        .filter(|name| !name.eq_ignore_ascii_case(b"content-length"))
        .map(<[u8]>::to_vec)
        .collect();
    headers.retain(|field| {
        let goes = field.role.is_of_one_hop() || field.role == Role::Ours;
        !goes && !nominated.iter().any(|name| name.eq_ignore_ascii_case(field.name))
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

    fn vetted(fields: &[(&str, &str)]) -> Result<(), Rejection> {
        vet(&map(fields), Version::HTTP_11, &SIGNATURE)
    }

    /// B01: to WSGI, Rack and CGI an underscore is a hyphen.
    #[test]
    fn aliases_of_protected_headers_are_refused() {
        for name in [
            "Paddle_Signature",
            "paddle-signature_",
            "Hookgate_Verified",
            "X_Forwarded_For",
            "Content_Length",
            "Transfer_Encoding",
            "Host_",
            "Content_Type",
        ] {
            let expected = if name.ends_with('_') {
                Ok(())
            } else {
                Err(Rejection::HeaderConflict)
            };
            assert_eq!(vetted(&[("host", "h"), (name, "1")]), expected, "{name}");
        }
    }

    /// B04: nobody may have our headers removed.
    #[test]
    fn nominating_a_protected_header_is_refused() {
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
                vetted(&[("connection", value)]),
                Err(Rejection::HeaderConflict),
                "{value}"
            );
        }
        assert_eq!(vetted(&[("connection", "close, X-Custom")]), Ok(()));
        let most = vec!["x"; NOMINATED].join(",");
        assert_eq!(vetted(&[("connection", &most)]), Ok(()));
        assert_eq!(
            vetted(&[("connection", &most), ("connection", "x")]),
            Err(Rejection::BadRequest)
        );
        assert_eq!(vetted(&[("connection", "\u{e9}")]), Err(Rejection::BadRequest));
    }

    /// B02: a second signature header.
    #[test]
    fn a_repeated_signature_header_is_refused() {
        assert_eq!(
            vetted(&[("Paddle-Signature", "a"), ("paddle-signature", "a")]),
            Err(Rejection::SignatureMalformed)
        );
    }

    /// A06, A07, A22.
    #[test]
    fn only_chunked_and_only_100_continue() {
        for coding in [
            "gzip, chunked",
            "identity",
            "identity, chunked",
            "xchunked",
            "chunked, chunked",
            "",
        ] {
            assert_eq!(
                vetted(&[("transfer-encoding", coding)]),
                Err(Rejection::TransferCoding),
                "{coding}"
            );
        }
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(vetted(&twice), Err(Rejection::TransferCoding));
        assert_eq!(vetted(&twice[..1]), Ok(()));
        assert_eq!(
            vet(&map(&twice[..1]), Version::HTTP_2, &SIGNATURE),
            Err(Rejection::TransferCoding)
        );
        assert_eq!(vetted(&[("expect", "100-Continue")]), Ok(()));
        assert_eq!(vetted(&[("expect", "foo")]), Err(Rejection::ExpectationFailed));
    }

    /// A15.
    #[test]
    fn there_is_exactly_one_authority() {
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
            (&[("host", "a,b")], None),
            (&[], Some("u@a")),
        ] {
            assert_eq!(
                read(fields, target),
                Err(Rejection::BadRequest),
                "{fields:?} {target:?}"
            );
        }
        assert_eq!(authority(&map(&[]), None, Version::HTTP_10), Ok(""));
    }

    /// B06.
    #[test]
    fn the_sender_behind_trusted_proxies_is_the_last_hop_that_is_none_of_them() {
        let headers = map(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "198.51.100.7, 10.1.1.1"),
        ]);
        let private = |address: IpAddr| address.to_string().starts_with("10.");
        let proxy = origin("10.9.9.9", true);
        assert_eq!(client(&proxy, &headers, private), Some("198.51.100.7".parse().unwrap()));
        let stranger = origin("192.0.2.1", false);
        assert_eq!(client(&stranger, &headers, private), Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn an_unreadable_hop_ends_the_chain() {
        let headers = map(&[("x-forwarded-for", "198.51.100.7, junk, 10.1.1.1")]);
        let private = |address: IpAddr| address.to_string().starts_with("10.");
        assert_eq!(
            client(&origin("10.9.9.9", true), &headers, private),
            Some("10.1.1.1".parse().unwrap())
        );
    }

    /// G11.
    #[test]
    fn an_upstream_cannot_speak_for_us() {
        let mut headers = map(&[
            ("hookgate-verified", "x"),
            ("connection", "x-y"),
            ("x-y", "1"),
            ("server", "s"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        ]);
        returned(&mut headers);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers.named("set-cookie").count(), 2);
    }
}
