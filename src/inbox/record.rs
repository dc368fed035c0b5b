//! The stored head of a webhook: everything that a later attempt needs and that the configuration does not have.
//!
//! Its form is one line of JSON, then the sender's header fields as they were written, then an empty line. Fields that
//! no attempt may forward are left out; credentials of the configuration are never part of it.

use crate::http::http1::lines;
use crate::http::message::{Headers, Role};
use crate::http::rules::{self, Origin};
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Header fields of a stored head. A request has fewer: the largest configurable number is 10,000, and the head's size
/// bounds it further.
const FIELDS: usize = 10_000;

/// A stored head.
#[derive(Debug)]
pub struct StoredHead {
    /// Everything but the fields.
    pub line: HeadLine,
    /// The sender's fields.
    pub headers: Headers,
}

/// Everything of a stored head but its fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeadLine {
    /// The sender's method.
    pub method: String,
    /// Raw path and query.
    pub target: String,
    /// The authority that the sender asked for.
    pub authority: String,
    /// The address of the peer.
    pub peer: Option<IpAddr>,
    /// Whether the peer was a trusted proxy.
    pub trusted: bool,
    /// Whether the sender used TLS.
    pub tls: bool,
    /// The request id of the exchange.
    pub request_id: String,
    /// Name of the scheme that verified it.
    pub scheme: String,
    /// Name of the secret that matched.
    pub secret: String,
    /// The tenant whose secret matched, on a route with tenants.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Subject of the sender's client certificate, where it is passed on.
    pub client_subject: Option<String>,
    /// Name of the header that held the secret itself, in schemes that compare a token. Its value is not stored; an
    /// attempt takes it from the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_header: Option<String>,
}

/// A stored head cannot be read: it was written by another release, or by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableHead;

impl HeadLine {
    /// The stored form, with the sender's fields.
    #[must_use]
    pub fn encode(&self, headers: &Headers) -> Bytes {
        let mut out = BytesMut::new();
        // Texts and addresses are always serializable.
        out.extend_from_slice(&serde_json::to_vec(self).unwrap_or_default());
        out.extend_from_slice(b"\n");
        let nominated = rules::fields_named_by_connection(headers);
        for field in headers.iter() {
            let is_nominated = nominated.iter().any(|name| name.eq_ignore_ascii_case(field.name));
            let is_token = self
                .token_header
                .as_deref()
                .is_some_and(|token| token.as_bytes().eq_ignore_ascii_case(field.name));
            if !is_nominated && !is_token && is_stored(field.role) {
                lines::field(&mut out, field.name, field.value);
            }
        }
        out.extend_from_slice(b"\r\n");
        out.freeze()
    }

    /// Where the request came from.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        Origin {
            peer: self.peer,
            trusted: self.trusted,
            scheme: if self.tls { "https" } else { "http" },
        }
    }
}

/// Whether a field of this role can be part of a later attempt.
const fn is_stored(role: Role) -> bool {
    match role {
        Role::Host | Role::ContentType | Role::ContentEncoding | Role::Date | Role::Other => true,
        Role::ForwardedFor | Role::ForwardedProto | Role::ForwardedHost | Role::Forwarded | Role::Sender => true,
        Role::ContentLength | Role::TransferEncoding | Role::Connection | Role::HopByHop => false,
        Role::Expect | Role::Override | Role::RequestId | Role::Hookgate | Role::Irregular => false,
    }
}

impl StoredHead {
    /// Reads a stored head. The fields pass the same parser as those of a request.
    ///
    /// # Errors
    /// [`UnreadableHead`].
    pub fn decode(stored: &Bytes) -> Result<Self, UnreadableHead> {
        let end = stored.iter().position(|byte| *byte == b'\n').ok_or(UnreadableHead)?;
        let line = stored.get(..end).ok_or(UnreadableHead)?;
        let fields = stored.slice(end + 1..);
        let mut room = vec![httparse::EMPTY_HEADER; FIELDS.min(fields.len())];
        let headers = match httparse::parse_headers(&fields, &mut room) {
            Ok(httparse::Status::Complete((length, parsed))) if length == fields.len() => {
                Headers::parsed(&fields, parsed)
            }
            Ok(httparse::Status::Complete(_) | httparse::Status::Partial) | Err(_) => None,
        };
        Ok(Self {
            line: serde_json::from_slice(line).map_err(|_| UnreadableHead)?,
            headers: headers.ok_or(UnreadableHead)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn line() -> HeadLine {
        HeadLine {
            method: "POST".into(),
            target: "/hooks?a=%0A".into(),
            authority: "shop.example".into(),
            peer: Some([192, 0, 2, 1].into()),
            trusted: false,
            tls: true,
            request_id: "r-1".into(),
            scheme: "paddle".into(),
            secret: "current".into(),
            tenant: Some("acme".into()),
            client_subject: None,
            token_header: None,
        }
    }

    #[test]
    fn fields_that_no_attempt_may_forward_are_not_stored() {
        let wire = Bytes::from_static(
            b"Host: h\r\nPaddle-Signature: x\r\nX-A: 1\r\nConnection: X-A\r\nHookgate-Verified: x\r\nX-Request-Id: y\r\n\r\n",
        );
        let mut room = [httparse::EMPTY_HEADER; 8];
        let Ok(httparse::Status::Complete((_, parsed))) = httparse::parse_headers(&wire, &mut room) else {
            panic!("the test's fields are valid")
        };
        let headers = Headers::parsed(&wire, parsed).unwrap();
        let stored = StoredHead::decode(&line().encode(&headers)).unwrap();
        let names: Vec<_> = stored.headers.iter().map(|field| field.name.to_vec()).collect();
        assert_eq!(names, [&b"Host"[..], b"Paddle-Signature"], "names keep their case");
        assert_eq!(stored.line.target, "/hooks?a=%0A");
    }

    #[test]
    fn the_value_of_a_token_is_not_stored() {
        let headers: Headers = [("x-gitlab-token", "canary"), ("x-a", "1")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        let line = HeadLine {
            token_header: Some("X-Gitlab-Token".into()),
            ..line()
        };
        let stored = line.encode(&headers);
        assert!(!stored.windows(6).any(|window| window == b"canary"));
        assert_eq!(StoredHead::decode(&stored).unwrap().headers.len(), 1);
    }

    #[test]
    fn a_head_with_a_line_too_many_is_not_read() {
        let good = line().encode(&Headers::default());
        assert!(StoredHead::decode(&good).is_ok());
        for bad in [
            [&good[..], b"X: y\r\n\r\n"].concat(),
            good[..good.len() - 1].to_vec(),
            b"{}\n\r\n".to_vec(),
            b"".to_vec(),
        ] {
            assert_eq!(StoredHead::decode(&bad.into()).err(), Some(UnreadableHead));
        }
    }

    proptest! {
        #[test]
        fn fields_are_stored_as_they_are(pairs in prop::collection::vec(("x-[a-z]{1,3}", "[!-~]{0,5}"), 0..9)) {
            let headers: Headers = pairs
                .iter()
                .map(|(name, value)| (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap()))
                .collect();
            let stored = StoredHead::decode(&line().encode(&headers)).unwrap();
            let all = |headers: &Headers| -> Vec<(Vec<u8>, Vec<u8>)> {
                headers.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
            };
            prop_assert_eq!(all(&stored.headers), all(&headers));
        }
    }
}
