//! Where a request names its tenant. Pure.

use super::delivery::DeliveryId;
use super::description::LocationDescription;
use super::types::HeadRef;
use super::work::Work;
use crate::http::percent;
use bytes::Bytes;
use hyper::header::HeaderName;
use std::borrow::Cow;

/// Where a request names its tenant.
#[derive(Clone, Debug)]
pub enum TenantPlace {
    /// The first segment of the path behind the route's prefix, which has this length in bytes.
    Path(usize),
    /// What the `*` of the route's host stands for; this is the rest of the host, which begins with a dot.
    Host(String),
    /// A header.
    Header(HeaderName, DeliveryId),
    /// A parameter of the query.
    Query(String),
    /// A JSON pointer into the body.
    Pointer(String, DeliveryId),
}

impl TenantPlace {
    /// A header.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn header(name: &str) -> Result<Self, String> {
        let place = DeliveryId::new(
            "by",
            LocationDescription {
                header: Some(name.to_owned()),
                ..LocationDescription::default()
            },
        )?;
        let header = HeaderName::try_from(name).map_err(|_| format!("`{name}` is not the name of a header"))?;
        Ok(Self::Header(header, place))
    }

    /// A JSON pointer.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn pointer(pointer: &str) -> Result<Self, String> {
        let place = DeliveryId::new(
            "by",
            LocationDescription {
                pointer: Some(pointer.to_owned()),
                ..LocationDescription::default()
            },
        )?;
        Ok(Self::Pointer(pointer.to_owned(), place))
    }

    /// Whether the tenant is known only when the body is complete.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        matches!(self, Self::Pointer(..))
    }

    /// The header that names the tenant, which two readers must not understand differently.
    #[must_use]
    pub const fn header_name(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name, _) => Some(name),
            Self::Path(_) | Self::Host(_) | Self::Query(_) | Self::Pointer(..) => None,
        }
    }

    /// An estimate of the work to find the name in a body.
    #[must_use]
    pub fn work(&self) -> Work {
        match self {
            Self::Pointer(_, place) => place.work(),
            Self::Path(_) | Self::Host(_) | Self::Header(..) | Self::Query(_) => Work::default(),
        }
    }

    /// The name in a request; empty where there is none, or none that all readers understand alike. `authority` is the host
    /// with its port; `body` in pieces.
    #[must_use]
    pub fn find<'r>(&self, head: &HeadRef<'r>, authority: &'r str, body: &[Bytes]) -> Cow<'r, str> {
        let found = match self {
            Self::Path(prefix) => {
                let path = head.target.split('?').next().unwrap_or_default();
                let behind = path.get(*prefix..).unwrap_or_default();
                Some(Cow::Borrowed(behind.split('/').next().unwrap_or_default()))
            }
            Self::Host(rest) => {
                let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
                let host = host.to_ascii_lowercase();
                host.strip_suffix(rest.as_str())
                    .map(|label| Cow::Owned(label.to_owned()))
            }
            Self::Query(name) => only_parameter(head.target, name).map(Cow::Owned),
            Self::Header(_, place) | Self::Pointer(_, place) => {
                let value = place.find(head, body);
                value.and_then(|value| String::from_utf8(value.into_owned()).ok().map(Cow::Owned))
            }
        };
        found.unwrap_or_default()
    }
}

/// The decoded value of a parameter that occurs once.
fn only_parameter(target: &str, wanted: &str) -> Option<String> {
    let query = target.split_once('?')?.1;
    let mut values = query.split('&').filter_map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        (percent::decode_form(name.as_bytes()) == wanted.as_bytes()).then_some(value)
    });
    let value = values.next()?;
    match values.next() {
        None => String::from_utf8(percent::decode_form(value.as_bytes())).ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::http::message::Headers;
    use hyper::Method;
    use hyper::header::HeaderValue;

    fn find(place: &TenantPlace, target: &str, authority: &str, headers: &[(&str, &str)], body: &str) -> String {
        let fields = headers.iter().map(|(name, value)| {
            let name = HeaderName::try_from(*name).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        let headers: Headers = fields.collect();
        let head = HeadRef {
            method: &Method::POST,
            target,
            headers: &headers,
        };
        place
            .find(&head, authority, &[Bytes::copy_from_slice(body.as_bytes())])
            .into_owned()
    }

    #[test]
    fn each_place_has_one_reading() {
        let path = TenantPlace::Path("/hooks/".len());
        for (target, expected) in [
            ("/hooks/acme", "acme"),
            ("/hooks/acme/events?x=/y", "acme"),
            ("/hooks/?a=b", ""),
            ("/hooks/..%2fb", "..%2fb"),
            ("/h", ""),
        ] {
            assert_eq!(find(&path, target, "h", &[], ""), expected, "{target}");
        }
        let host = TenantPlace::Host(".hooks.example.com".into());
        for (authority, expected) in [
            ("Acme.hooks.example.com:8443", "acme"),
            ("a.b.hooks.example.com", "a.b"),
            ("hooks.example.com", ""),
            ("other.example.com", ""),
        ] {
            assert_eq!(find(&host, "/", authority, &[], ""), expected, "{authority}");
        }
        let query = TenantPlace::Query("tenant".into());
        for (target, expected) in [
            ("/?tenant=ac%6De&x=1", "acme"),
            ("/?tenant=a&tenant=b", ""),
            ("/?tenant", ""),
            ("/?other=a", ""),
            ("/", ""),
        ] {
            assert_eq!(find(&query, target, "h", &[], ""), expected, "{target}");
        }
        let header = TenantPlace::header("X-Tenant").unwrap();
        assert_eq!(find(&header, "/", "h", &[("x-tenant", "acme")], ""), "acme");
        assert_eq!(find(&header, "/", "h", &[("x-tenant", "a"), ("x-tenant", "b")], ""), "");
        assert_eq!(find(&header, "/", "h", &[], ""), "");
        let pointer = TenantPlace::pointer("/account/id").unwrap();
        assert_eq!(find(&pointer, "/", "h", &[], r#"{"account":{"id":"acme"}}"#), "acme");
        assert_eq!(find(&pointer, "/", "h", &[], r#"{"account":{"id":7}}"#), "7");
        for bad in ["{", r#"{"account":{"id":["a"]}}"#, r#"{"account":{"id":"a","id":"b"}}"#] {
            assert_eq!(find(&pointer, "/", "h", &[], bad), "", "{bad}");
        }
    }
}
