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
    /// `Content-Type` and `Content-Encoding`, which describe the body.
    Content,
    /// `Transfer-Encoding`, a hop-by-hop field.
    TransferEncoding,
    /// `Connection`, a hop-by-hop field that lists further ones.
    Connection,
    /// Another hop-by-hop field, removed in both directions (RFC 9110, section 7.6.1).
    HopByHop,
    /// `Expect`.
    Expect,
    /// A field that changes the method, the target or the behaviour of the application without being signed; never
    /// forwarded.
    Override,
    /// `X-Forwarded-For`.
    ForwardedFor,
    /// `X-Forwarded-Proto`.
    ForwardedProto,
    /// `X-Forwarded-Host`.
    ForwardedHost,
    /// Another field that describes the path through proxies: `Forwarded`, `X-Real-IP`, `X-Forwarded-*`.
    Forwarded,
    /// `X-Request-Id`.
    RequestId,
    /// `Hookgate-*`: only hookgate may send it to the upstream.
    Hookgate,
    /// `Date`.
    Date,
    /// A name with an underscore that has none of the roles above. WSGI, Rack and CGI read it like the name with a
    /// hyphen.
    Underscored,
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
            b"content-type" | b"content-encoding" => Self::Content,
            b"transfer-encoding" => Self::TransferEncoding,
            b"connection" => Self::Connection,
            b"keep-alive" | b"te" | b"trailer" | b"upgrade" => Self::HopByHop,
            b"expect" => Self::Expect,
            b"x-http-method-override" | b"x-http-method" | b"x-method-override" => Self::Override,
            b"x-original-url" | b"x-rewrite-url" | b"x-original-uri" => Self::Override,
            b"proxy" | b"http2-settings" => Self::Override,
            b"x-forwarded-for" => Self::ForwardedFor,
            b"x-forwarded-proto" => Self::ForwardedProto,
            b"x-forwarded-host" => Self::ForwardedHost,
            b"forwarded" | b"x-real-ip" => Self::Forwarded,
            b"x-request-id" => Self::RequestId,
            b"date" => Self::Date,
            _ if lower.starts_with(b"hookgate-") => Self::Hookgate,
            _ if lower.starts_with(b"proxy-") => Self::HopByHop,
            _ if name.contains(&b'_') => Self::Underscored,
            _ if lower.starts_with(b"x-forwarded-") => Self::Forwarded,
            _ => Self::Other,
        }
    }

    /// Whether the field matters to hookgate, to framing or to the meaning of the body, so that no other name may
    /// imitate it and `Connection` may not list it.
    #[must_use]
    pub const fn is_protected(self) -> bool {
        match self {
            Self::Host | Self::ContentLength | Self::Content | Self::TransferEncoding | Self::Connection => true,
            Self::ForwardedFor | Self::ForwardedProto | Self::ForwardedHost | Self::Forwarded | Self::Hookgate => true,
            Self::HopByHop | Self::Expect | Self::Override | Self::RequestId | Self::Date => false,
            Self::Underscored | Self::Other => false,
        }
    }

    /// Whether the field is hop-by-hop, so that it is removed in both directions.
    #[must_use]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(self, Self::TransferEncoding | Self::Connection | Self::HopByHop)
    }
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
            ("Content-Encoding", Role::Content),
            ("X-HTTP-Method-Override", Role::Override),
            ("Hookgate-Verified", Role::Hookgate),
            ("hookgate-a_b", Role::Hookgate),
            ("hookgate", Role::Other),
            ("Proxy-Authorization", Role::HopByHop),
            ("proxy-a_b", Role::HopByHop),
            ("Proxy", Role::Override),
            ("x-forwarded-prefix", Role::Forwarded),
            ("x-forwarded-for_", Role::Underscored),
            ("X_Forwarded_For", Role::Underscored),
            ("a-name-that-is-longer-than-any-other_", Role::Underscored),
            ("x-forwarded-for-a-name-longer-than-others", Role::Forwarded),
            ("host\0", Role::Other),
        ] {
            assert_eq!(Role::of(name.as_bytes()), role, "{name}");
        }
    }
}
