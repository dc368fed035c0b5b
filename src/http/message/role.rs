//! The header names that a rule speaks of, each known here and nowhere else.

/// Longest name below, and then some: a longer one is known by its beginning at most.
const LONGEST: usize = 32;

/// What a field is to us, by its name. Roles of one name have that name's; those of many say what they have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Content-Type` and `Content-Encoding`: what the body is, which nobody may say in a second way.
    Content,
    /// `Transfer-Encoding`, of one hop.
    TransferEncoding,
    /// `Connection`, of one hop, which lists more that are.
    Connection,
    /// Of one hop, removed in both directions (RFC 9110, 7.6.1).
    HopByHop,
    /// `Expect`.
    Expect,
    /// Never forwarded: they change what the application does, and nobody signed them.
    Override,
    /// `X-Forwarded-For`.
    ForwardedFor,
    /// `X-Forwarded-Proto`.
    ForwardedProto,
    /// `X-Forwarded-Host`.
    ForwardedHost,
    /// Who forwarded what, said in another way.
    Forwarded,
    /// `X-Request-Id`.
    RequestId,
    /// `Hookgate-*`: ours alone.
    Ours,
    /// `Date`.
    Date,
    /// With an underscore, and none of those above: to WSGI, Rack and CGI it is the name with a hyphen.
    Underscored,
    /// No rule speaks of it.
    Other,
}

impl Role {
    /// The role of a field of this name, in any case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let mut lower = [0; LONGEST];
        let length = name.len().min(LONGEST);
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
            _ if lower.starts_with(b"hookgate-") => Self::Ours,
            _ if lower.starts_with(b"proxy-") => Self::HopByHop,
            _ if name.contains(&b'_') => Self::Underscored,
            _ if lower.starts_with(b"x-forwarded-") => Self::Forwarded,
            _ => Self::Other,
        }
    }

    /// Whether what the field says matters to us, to framing or to what the body means, so that no other may pass for it.
    #[must_use]
    pub const fn is_protected(self) -> bool {
        match self {
            Self::Host | Self::ContentLength | Self::Content | Self::TransferEncoding | Self::Connection => true,
            Self::ForwardedFor | Self::ForwardedProto | Self::ForwardedHost | Self::Forwarded | Self::Ours => true,
            Self::HopByHop | Self::Expect | Self::Override | Self::RequestId | Self::Date => false,
            Self::Underscored | Self::Other => false,
        }
    }

    /// Whether the field is removed in both directions, whatever it says.
    #[must_use]
    pub const fn is_of_one_hop(self) -> bool {
        matches!(self, Self::TransferEncoding | Self::Connection | Self::HopByHop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_by_their_whole_length() {
        for (name, role) in [
            ("Host", Role::Host),
            ("hOST", Role::Host),
            ("hos", Role::Other),
            ("hosts", Role::Other),
            ("", Role::Other),
            ("Content-Encoding", Role::Content),
            ("X-HTTP-Method-Override", Role::Override),
            ("Hookgate-Verified", Role::Ours),
            ("hookgate-a_b", Role::Ours),
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
