//! The meaning of header names. Every header name that a rule depends on is listed here, and only here.

/// Number of bytes of a name that are compared: more than the longest name below has. A longer name can only match by
/// its prefix.
const COMPARED_BYTES: usize = 32;

/// The meaning of a header field, derived from its name. A role with one name is called like it; a role with several
/// names is called after what they have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Content-Type`, which says how the body is read.
    ContentType,
    /// `Content-Encoding`, which says how the body is decoded.
    ContentEncoding,
    /// `Transfer-Encoding`, a hop-by-hop field.
    TransferEncoding,
    /// `Connection`, a hop-by-hop field that lists further ones.
    Connection,
    /// Another hop-by-hop field, removed in both directions (RFC 9110, section 7.6.1).
    HopByHop,
    /// `Expect`.
    Expect,
    /// A field that changes the method, the target or the behaviour of the application or of a server in front of it
    /// without being signed; never forwarded.
    Override,
    /// `X-Forwarded-For`.
    ForwardedFor,
    /// `X-Forwarded-Proto`.
    ForwardedProto,
    /// `X-Forwarded-Host`.
    ForwardedHost,
    /// Another field that describes the path through proxies: `Forwarded`, `X-Real-IP`, `X-Forwarded-*`.
    Forwarded,
    /// A field of less common proxies that tells the application who the sender is or how it connected: `Client-IP`,
    /// `Client-Cert`, `Remote-User` and others. Only a trusted proxy may send it.
    Sender,
    /// `X-Request-Id`.
    RequestId,
    /// `Hookgate-*`: only hookgate may send it to the upstream.
    Hookgate,
    /// `Date`.
    Date,
    /// A name with a sign other than letters, digits and `-` that has none of the roles above. WSGI, Rack and CGI read an
    /// underscore like a hyphen; some servers read every other sign so.
    Irregular,
    /// No rule depends on this field.
    Other,
}

impl Role {
    /// The role of a field with this name; upper and lower case are equal.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let mut lower = [0; COMPARED_BYTES];
        let length = name.len().min(COMPARED_BYTES);
        for (into, from) in lower.iter_mut().zip(name) {
            *into = from.to_ascii_lowercase();
        }
        match lower.get(..length).unwrap_or_default() {
            b"host" => Self::Host,
            b"content-length" => Self::ContentLength,
            b"content-type" => Self::ContentType,
            b"content-encoding" => Self::ContentEncoding,
            b"transfer-encoding" => Self::TransferEncoding,
            b"connection" => Self::Connection,
            b"keep-alive" | b"te" | b"trailer" | b"upgrade" => Self::HopByHop,
            b"expect" => Self::Expect,
            b"x-http-method-override" | b"x-http-method" | b"x-method-override" => Self::Override,
            b"x-original-url" | b"x-rewrite-url" | b"x-original-uri" | b"x-original-path" => Self::Override,
            b"x-original-method" | b"x-original-host" | b"x-host" | b"x-http-host-override" => Self::Override,
            b"x-sendfile-type" | b"x-sendfile" | b"x-reproxy-url" | b"x-lighttpd-send-file" => Self::Override,
            b"proxy" | b"http2-settings" | b"x-http-path-override" | b"x-http-url-override" => Self::Override,
            b"x-forwarded-for" => Self::ForwardedFor,
            b"x-forwarded-proto" => Self::ForwardedProto,
            b"x-forwarded-host" => Self::ForwardedHost,
            b"forwarded" | b"x-real-ip" => Self::Forwarded,
            b"client-ip" | b"x-client-ip" | b"true-client-ip" | b"x-cluster-client-ip" => Self::Sender,
            b"fastly-client-ip" | b"cf-connecting-ip" | b"cf-connecting-ipv6" | b"x-remote-ip" => Self::Sender,
            b"x-remote-addr" | b"x-originating-ip" | b"x-proxyuser-ip" | b"x-azure-clientip" => Self::Sender,
            b"x-azure-socketip" | b"x-original-forwarded-for" | b"remote-addr" | b"remote-host" => Self::Sender,
            b"remote-user" | b"x-remote-user" | b"x-webauth-user" | b"x-scheme" | b"x-url-scheme" => Self::Sender,
            b"front-end-https" | b"x-client-cert" | b"client-cert" | b"client-cert-chain" => Self::Sender,
            b"x-arr-clientcert" => Self::Sender,
            b"x-request-id" => Self::RequestId,
            b"date" => Self::Date,
            _ if lower.starts_with(b"hookgate-") => Self::Hookgate,
            _ if lower.starts_with(b"proxy-") => Self::HopByHop,
            _ if !is_regular(name) => Self::Irregular,
            _ if BEHAVIOUR_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) => Self::Override,
            _ if lower.starts_with(b"x-forwarded-") => Self::Forwarded,
            _ if SENDER_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) => Self::Sender,
            _ => Self::Other,
        }
    }

    /// Whether the field matters to hookgate, to framing or to the meaning of the body, so that no other name may
    /// imitate it and `Connection` may not list it.
    #[must_use]
    pub const fn is_protected(self) -> bool {
        match self {
            Self::Host | Self::ContentLength | Self::TransferEncoding | Self::Connection => true,
            Self::ContentType | Self::ContentEncoding => true,
            Self::ForwardedFor | Self::ForwardedProto | Self::ForwardedHost | Self::Forwarded | Self::Hookgate => true,
            Self::HopByHop | Self::Expect | Self::Override | Self::RequestId | Self::Date | Self::Sender => false,
            Self::Irregular | Self::Other => false,
        }
    }

    /// Whether a request may have only one field of this role, because servers differ in which of several they read.
    /// Other rules count `Host`, `Content-Length`, `Transfer-Encoding` and the signature.
    #[must_use]
    pub const fn is_single(self) -> bool {
        matches!(self, Self::ContentType | Self::ContentEncoding | Self::Expect)
    }

    /// Whether the field is hop-by-hop, so that it is removed in both directions.
    #[must_use]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(self, Self::TransferEncoding | Self::Connection | Self::HopByHop)
    }
}

/// Prefixes of names by which an application or a server in front of it is told to behave differently: nginx and
/// `Rack::Sendfile` (`X-Accel-Mapping`), Next.js (`X-Middleware-Subrequest`), Envoy (`X-Envoy-Original-Path`).
const BEHAVIOUR_PREFIXES: [&[u8]; 3] = [b"x-accel-", b"x-middleware-", b"x-envoy-"];

/// Prefixes of names by which a proxy tells an application who the sender is.
const SENDER_PREFIXES: [&[u8]; 5] = [
    b"x-auth-request-",
    b"x-ssl-client",
    b"ssl-client-",
    b"x-amzn-oidc-",
    b"x-ms-client-principal",
];

/// Whether a name has only letters, digits and `-`.
pub(crate) fn is_regular(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_in_any_case_and_only_as_a_whole() {
        for (name, role) in [
            ("Host", Role::Host),
            ("hOST", Role::Host),
            ("hos", Role::Other),
            ("hosts", Role::Other),
            ("", Role::Other),
            ("Content-Encoding", Role::ContentEncoding),
            ("content-type", Role::ContentType),
            ("X-HTTP-Method-Override", Role::Override),
            ("Hookgate-Verified", Role::Hookgate),
            ("hookgate-a_b", Role::Hookgate),
            ("hookgate", Role::Other),
            ("Proxy-Authorization", Role::HopByHop),
            ("proxy-a_b", Role::HopByHop),
            ("Proxy", Role::Override),
            ("x-forwarded-prefix", Role::Forwarded),
            ("x-forwarded-for_", Role::Irregular),
            ("X_Forwarded_For", Role::Irregular),
            ("X.Forwarded.For", Role::Irregular),
            ("Hookgate!Verified", Role::Irregular),
            ("x-accel-a~b", Role::Irregular),
            ("a-name-that-is-longer-than-any-other_", Role::Irregular),
            ("x-forwarded-for-a-name-longer-than-others", Role::Forwarded),
            ("host\0", Role::Irregular),
            ("Client-IP", Role::Sender),
            ("X-SSL-Client-S-DN", Role::Sender),
            ("X-Sendfile-Type", Role::Override),
            ("X-Accel-Mapping", Role::Override),
            ("x-middleware-subrequest", Role::Override),
            ("x-client", Role::Other),
        ] {
            assert_eq!(Role::of(name.as_bytes()), role, "{name}");
        }
    }
}
