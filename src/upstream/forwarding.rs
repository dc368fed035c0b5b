//! Writes the head of the request that an upstream receives. It does no I/O.
//!
//! One pass over the sender's fields copies each field unchanged or leaves it out. The gateway's own fields follow. The
//! result always has exactly one `Content-Length` and one `Host`, and no field by which the sender could claim an
//! identity.

use super::head_writer::HeadWriter;
use crate::http::http1::lines;
use crate::http::message::{Header, Headers, Role};
use crate::http::rules::{Origin, fields_named_by_connection};
use crate::settings;
use bytes::BytesMut;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use std::borrow::Cow;

/// Initial size of the buffer for the head; it grows if necessary.
const INITIAL_CAPACITY_BYTES: usize = 1024;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The parts that the head of a forwarded request is made of.
#[derive(Clone, Copy, Debug)]
pub struct ForwardedHead<'a> {
    /// The sender's method.
    pub method: &'a Method,
    /// Path and query of the forwarded request, not decoded.
    pub target: &'a str,
    /// The sender's fields, which passed [`crate::http::rules::check_request_fields`].
    pub headers: &'a Headers,
    /// The peer that the request came from, and whether it is a trusted proxy.
    pub origin: &'a Origin,
    /// The authority of the request, from [`crate::http::destination::authority`]; empty for HTTP/1.0 without `Host`.
    pub authority: &'a str,
    /// `Host` from the configuration (`upstream.host`); it replaces the sender's.
    pub host: Option<&'a HeaderValue>,
    /// The `Host` of a request that has none: the upstream's own.
    pub upstream_host: &'a str,
    /// The body's exact length in bytes.
    pub length: usize,
    /// `X-Request-ID`, which identifies the exchange in the application's log; it replaces the sender's.
    pub request_id: &'a str,
    /// The result of the verification.
    pub verification: VerificationHeaders<'a>,
    /// What identifies the delivery; `None` for what report mode lets through unverified.
    pub delivery: Option<DeliveryHeaders<'a>>,
    /// A signature that hookgate made, in place of the sender's.
    pub signature: Option<SignatureHeaders<'a>>,
    /// Fields from the configuration (`upstream.headers`); they replace the sender's fields of the same names.
    pub fixed: &'a [(HeaderName, HeaderValue)],
}

/// What the verification found. The two fields have different names, so that an application that only looks whether
/// `Hookgate-Verified` is present cannot take a request of report mode for a verified one.
#[derive(Clone, Copy, Debug)]
pub enum VerificationResult<'a> {
    /// `Hookgate-Verified`: the scheme. The request is genuine.
    Verified(&'a [u8]),
    /// `Hookgate-Report`: the reason why the request would have been refused. Only in report mode.
    Reported(&'static str),
}

/// The fields that pass the result of the verification to the upstream.
#[derive(Clone, Copy, Debug)]
pub struct VerificationHeaders<'a> {
    /// What the verification found.
    pub result: VerificationResult<'a>,
    /// `Hookgate-Key`: the name of the secret that matched.
    pub key: Option<&'a HeaderValue>,
    /// `Hookgate-Route`.
    pub route: &'a HeaderValue,
    /// `Hookgate-Tenant`: the tenant whose secret verified the request, on a route with tenants.
    pub tenant: Option<&'a HeaderValue>,
    /// `Hookgate-Client-Subject`: the subject of the sender's TLS certificate, if the configuration forwards it.
    pub client: Option<&'a HeaderValue>,
}

/// The fields of a signature that hookgate made. They replace the sender's fields of the same names.
#[derive(Clone, Copy, Debug)]
pub struct SignatureHeaders<'a> {
    /// Names and values.
    pub fields: &'a [(HeaderName, HeaderValue)],
    /// Those of the replaced fields that go along as `Hookgate-Original-<Name>`.
    pub originals: &'a [HeaderName],
}

/// The fields that identify a delivery.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryHeaders<'a> {
    /// `Hookgate-Delivery`: the same for every attempt and every repetition by the sender.
    pub id: &'a str,
    /// `Hookgate-Attempt`, from 1; only on a route with an inbox.
    pub attempt: Option<u32>,
    /// `Hookgate-Received-At`, as an HTTP date; only for stored deliveries.
    pub received_at: Option<&'a str>,
    /// Whether an operator asked for this attempt: `Hookgate-Redelivery: manual`.
    pub is_manual: bool,
}

/// The target of the forwarded request: the raw path and query below the upstream's base path, or the upstream's own
/// path with the raw query.
#[must_use]
pub fn target<'a>(upstream: &settings::Upstream, received: &'a PathAndQuery) -> Cow<'a, str> {
    match (&upstream.path, upstream.base_path.as_str(), received.query()) {
        (Some(path), _, Some(query)) => Cow::Owned(format!("{path}?{query}")),
        (Some(path), _, None) => Cow::Owned(path.clone()),
        (None, "", _) => Cow::Borrowed(received.as_str()),
        (None, base, _) => Cow::Owned(format!("{base}{received}")),
    }
}

impl ForwardedHead<'_> {
    /// Writes the head, from the request line to the empty line.
    #[must_use]
    pub fn write(&self) -> BytesMut {
        let mut out = HeadWriter(BytesMut::with_capacity(INITIAL_CAPACITY_BYTES));
        out.put(&[
            self.method.as_str().as_bytes(),
            b" ",
            self.target.as_bytes(),
            b" HTTP/1.1\r\n",
        ]);
        let nominated = fields_named_by_connection(self.headers);
        for header in self.headers.iter() {
            let is_nominated = nominated.iter().any(|name| name.eq_ignore_ascii_case(header.name));
            if !is_nominated && !self.is_replaced(header.name) && self.passes_on(header) {
                lines::field(&mut out.0, header.name, header.value);
            }
        }
        let own_host = match self.host {
            Some(host) => Some(host.as_bytes()),
            // A request of HTTP/1.0 may have no authority.
            None if self.authority.is_empty() => Some(self.upstream_host.as_bytes()),
            // An HTTP/2 request may have its authority in `:authority` only.
            None if !self.headers.has(Role::Host) => Some(self.authority.as_bytes()),
            None => None,
        };
        if let Some(host) = own_host {
            out.field("host", host);
        }
        out.put(&[b"content-length: "]);
        out.decimal(self.length);
        out.put(&[b"\r\n"]);
        self.forwarded_for(&mut out);
        // A trusted proxy in front knows the scheme and host that the sender used.
        for (role, name, ours) in [
            (Role::ForwardedProto, "x-forwarded-proto", self.origin.scheme),
            (Role::ForwardedHost, "x-forwarded-host", self.authority),
        ] {
            let is_known = self.origin.trusted && self.headers.has(role);
            if !is_known && !ours.is_empty() {
                out.field(name, ours.as_bytes());
            }
        }
        out.field("x-request-id", self.request_id.as_bytes());
        match self.verification.result {
            VerificationResult::Verified(scheme) => out.field("hookgate-verified", scheme),
            VerificationResult::Reported(reason) => out.field("hookgate-report", reason.as_bytes()),
        }
        if let Some(tenant) = self.verification.tenant {
            out.field("hookgate-tenant", tenant.as_bytes());
        }
        if let Some(key) = self.verification.key {
            out.field("hookgate-key", key.as_bytes());
        }
        out.field("hookgate-route", self.verification.route.as_bytes());
        if let Some(client) = self.verification.client {
            out.field("hookgate-client-subject", client.as_bytes());
        }
        if let Some(delivery) = &self.delivery {
            out.field("hookgate-delivery", delivery.id.as_bytes());
            if let Some(attempt) = delivery.attempt {
                out.put(&[b"hookgate-attempt: "]);
                out.decimal(attempt as usize);
                out.put(&[b"\r\n"]);
            }
            if let Some(received_at) = delivery.received_at {
                out.field("hookgate-received-at", received_at.as_bytes());
            }
            if delivery.is_manual {
                out.field("hookgate-redelivery", b"manual");
            }
        }
        if let Some(signature) = &self.signature {
            for name in signature.originals {
                let is_replaced = signature.fields.iter().any(|(replaced, _)| replaced == name);
                for value in self.headers.named(name.as_str()).filter(|_| is_replaced) {
                    out.put(&[b"hookgate-original-", name.as_str().as_bytes(), b": ", value, b"\r\n"]);
                }
            }
        }
        let signature = self.signature.map_or(&[][..], |signature| signature.fields);
        for (name, value) in signature.iter().chain(self.fixed) {
            out.field(name.as_str(), value.as_bytes());
        }
        out.put(&[b"\r\n"]);
        out.0
    }

    /// Whether a field of the sender is forwarded unchanged. Configured fields always have the role `Other`; the
    /// configuration checks that.
    fn passes_on(&self, header: Header<'_>) -> bool {
        match header.role {
            Role::Host => self.host.is_none() && !self.authority.is_empty(),
            Role::ContentType | Role::ContentEncoding | Role::Date => true,
            Role::Other => !self.is_fixed(header.name),
            Role::ForwardedProto | Role::ForwardedHost | Role::Forwarded | Role::Sender => self.origin.trusted,
            // The gateway writes its own.
            Role::ContentLength | Role::ForwardedFor | Role::RequestId | Role::Hookgate => false,
            Role::TransferEncoding | Role::Connection | Role::HopByHop => false,
            Role::Expect | Role::Override | Role::Irregular => false,
        }
    }

    /// Whether a field of hookgate's signature takes the place of the sender's field with this name.
    fn is_replaced(&self, name: &[u8]) -> bool {
        self.signature.is_some_and(|signature| {
            let mut fields = signature.fields.iter();
            fields.any(|(replaced, _)| name.eq_ignore_ascii_case(replaced.as_str().as_bytes()))
        })
    }

    fn is_fixed(&self, name: &[u8]) -> bool {
        let mut fixed = self.fixed.iter();
        fixed.any(|(fixed, _)| name.eq_ignore_ascii_case(fixed.as_str().as_bytes()))
    }

    /// Writes one `X-Forwarded-For`: the list from trusted proxies, followed by the address of the peer.
    fn forwarded_for(&self, out: &mut HeadWriter) {
        let trusted_values = self.headers.of(Role::ForwardedFor).filter(|_| self.origin.trusted);
        let mut list: Vec<u8> = Vec::new();
        for value in trusted_values {
            list.extend_from_slice(value);
            list.extend_from_slice(b", ");
        }
        match (&self.origin.peer, list.is_empty()) {
            (Some(peer), true) => {
                out.put(&[X_FORWARDED_FOR.as_bytes(), b": "]);
                out.address(*peer);
                out.put(&[b"\r\n"]);
            }
            (Some(peer), false) => {
                list.extend_from_slice(peer.to_string().as_bytes());
                out.field(X_FORWARDED_FOR, &list);
            }
            (None, true) => {}
            (None, false) => out.field(X_FORWARDED_FOR, list.strip_suffix(b", ").unwrap_or(&list)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::IpAddr;

    const ROUTE: HeaderValue = HeaderValue::from_static("shop");

    /// The written fields for a request with the fields `sent`, in order.
    fn forwarded(sent: &[(&str, &str)], peer: &str, trusted: bool) -> Vec<(String, String)> {
        forwarded_for_authority("h:8443", sent, peer, trusted)
    }

    fn forwarded_for_authority(
        authority: &str,
        sent: &[(&str, &str)],
        peer: &str,
        trusted: bool,
    ) -> Vec<(String, String)> {
        let parse = |(name, value): &(&str, &str)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::try_from(*value).unwrap(),
            )
        };
        let headers: Headers = sent.iter().map(parse).collect();
        let origin = Origin {
            peer: peer.parse::<IpAddr>().ok(),
            trusted,
            scheme: "https",
        };
        let forwarding = ForwardedHead {
            method: &Method::POST,
            target: "/hooks?a=%2F",
            headers: &headers,
            origin: &origin,
            authority,
            host: None,
            upstream_host: "app:3000",
            length: 7,
            request_id: "id-1",
            verification: VerificationHeaders {
                result: VerificationResult::Verified(b"paddle"),
                key: Some(&HeaderValue::from_static("current")),
                route: &ROUTE,
                tenant: Some(&HeaderValue::from_static("acme")),
                client: Some(&HeaderValue::from_static("CN=sender-1")),
            },
            delivery: None,
            signature: None,
            fixed: &[(HeaderName::from_static("x-gate"), HeaderValue::from_static("s3cret"))],
        };
        let head = String::from_utf8(forwarding.write().to_vec()).unwrap();
        let lines = head
            .strip_prefix("POST /hooks?a=%2F HTTP/1.1\r\n")
            .unwrap()
            .strip_suffix("\r\n\r\n")
            .unwrap();
        let fields = lines.split("\r\n").map(|line| line.split_once(": ").unwrap());
        fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn values<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
        fields
            .iter()
            .filter(|(held, _)| held == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// B01, B03, B05, B07, B08 and A23.
    #[test]
    fn hop_by_hop_and_override_fields_are_removed_and_the_gateway_adds_its_own() {
        let fields = forwarded(
            &[
                ("host", "h"),
                ("connection", "close, x-hop"),
                ("x-hop", "1"),
                ("keep-alive", "1"),
                ("te", "trailers"),
                ("trailer", "x"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("http2-settings", "x"),
                ("proxy-authorization", "x"),
                ("proxy", "x"),
                ("expect", "100-continue"),
                ("x-http-method-override", "DELETE"),
                ("x-method-override", "PUT"),
                ("x-http-method", "PUT"),
                ("x-original-url", "/admin"),
                ("x-rewrite-url", "/admin"),
                ("x-original-uri", "/admin"),
                ("x-sendfile-type", "X-Accel-Redirect"),
                ("x-accel-mapping", "/=/etc/"),
                ("x-middleware-subrequest", "middleware"),
                ("client-ip", "10.0.0.1"),
                ("x-ssl-client-s-dn", "CN=admin"),
                ("remote-user", "admin"),
                ("some.thing", "1"),
                ("some!thing", "1"),
                ("x~forwarded~for", "1"),
                ("hookgate-verified", "forged"),
                ("hookgate-anything", "1"),
                ("x-request-id", "theirs"),
                ("x-gate", "guessed"),
                ("paddle-signature", "ts=1;h1=2"),
                ("content-type", "application/json"),
                ("content-length", "007"),
                ("user-agent", "Paddle"),
                ("some_thing", "1"),
                ("some-thing", "2"),
                ("x-twice", "1"),
                ("x-twice", "2"),
            ],
            "192.0.2.1",
            false,
        );
        let expected = [
            ("host", "h"),
            ("paddle-signature", "ts=1;h1=2"),
            ("content-type", "application/json"),
            ("user-agent", "Paddle"),
            ("some-thing", "2"),
            ("x-twice", "1"),
            ("x-twice", "2"),
            ("content-length", "7"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "h:8443"),
            ("x-request-id", "id-1"),
            ("hookgate-verified", "paddle"),
            ("hookgate-tenant", "acme"),
            ("hookgate-key", "current"),
            ("hookgate-route", "shop"),
            ("hookgate-client-subject", "CN=sender-1"),
            ("x-gate", "s3cret"),
        ];
        assert_eq!(
            fields,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    /// B06.
    #[test]
    fn forwarding_fields_of_untrusted_peers_are_replaced_and_those_of_trusted_proxies_extended() {
        let sent = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "198.51.100.7, 10.1.1.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-prefix", "/x"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
        ];
        let fields = forwarded(&sent, "192.0.2.1", false);
        assert_eq!(values(&fields, "x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(values(&fields, "x-forwarded-proto"), ["https"]);
        assert_eq!(values(&fields, "x-forwarded-host"), ["h:8443"]);
        assert_eq!(values(&fields, "host"), ["h:8443"]);
        for gone in ["forwarded", "x-real-ip", "x-forwarded-prefix"] {
            assert!(values(&fields, gone).is_empty(), "{gone}");
        }
        let fields = forwarded(&sent, "10.9.9.9", true);
        let chain = "10.0.0.1, 198.51.100.7, 10.1.1.1, 10.9.9.9";
        assert_eq!(values(&fields, "x-forwarded-for"), [chain]);
        assert_eq!(values(&fields, "x-forwarded-proto"), ["http"]);
        assert_eq!(values(&fields, "x-forwarded-host"), ["evil"]);
        assert_eq!(values(&fields, "x-real-ip"), ["1.2.3.4"]);
        // A peer on a Unix socket has no address to add.
        let fields = forwarded(&sent[..1], "none", true);
        assert_eq!(values(&fields, "x-forwarded-for"), ["10.0.0.1"]);
        assert!(values(&forwarded(&[], "none", true), "x-forwarded-for").is_empty());
    }

    /// HTTP/1.0 allows a request without `Host`; HTTP/1.1 does not.
    #[test]
    fn a_request_without_an_authority_gets_the_upstreams_own_as_host() {
        let fields = forwarded_for_authority("", &[], "192.0.2.1", false);
        assert_eq!(values(&fields, "host"), ["app:3000"]);
        assert!(values(&fields, "x-forwarded-host").is_empty());
    }
}
