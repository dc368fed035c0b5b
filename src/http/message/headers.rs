//! The header fields of one message: in their order, as they were written, all in one piece of memory.
//!
//! A map would have to be made, with a hash and a reference count for every field, only to be written out again and
//! dropped. There are few fields, so they are looked through, and what nobody changes goes on as it came. What a name is
//! to us is found out once ([`Role`]); every rule asks for that and compares no names.

use super::Role;
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Borrow;
use std::fmt;
use std::ops::Range;

/// Header fields. Names are tokens and values hold no control characters but the tab (RFC 9110, 5.1 and 5.5): both come
/// from a parser or from types that see to it, so that none can make a line of its own.
#[derive(Clone, Default)]
pub struct Headers {
    /// What names and values are parts of.
    bytes: Bytes,
    places: Vec<Place>,
}

/// Where a field stands in the bytes.
#[derive(Clone, Copy)]
struct Place {
    name: u32,
    name_length: u32,
    value: u32,
    value_length: u32,
    role: Role,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// What it is to us.
    pub role: Role,
    /// As it was written; the case of its letters means nothing.
    pub name: &'a [u8],
    /// Without spaces around it.
    pub value: &'a [u8],
}

impl Headers {
    /// Those that were parsed from `bytes`; `None` when one stands somewhere else.
    pub(crate) fn parsed(bytes: &Bytes, parsed: &[httparse::Header<'_>]) -> Option<Self> {
        let place = |field: &httparse::Header<'_>| {
            // An empty value may stand nowhere.
            let value = match field.value {
                [] => 0,
                value => offset(bytes, value)?,
            };
            Place::new(
                field.name.as_bytes(),
                offset(bytes, field.name.as_bytes())?,
                value,
                field.value.len(),
            )
        };
        let mut places = Vec::with_capacity(parsed.len());
        for field in parsed {
            places.push(place(field)?);
        }
        Some(Self {
            bytes: bytes.clone(),
            places,
        })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'_>> + Clone {
        self.places.iter().map(|place| self.at(*place))
    }

    /// The values of all fields of this role.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &[u8]> + Clone {
        let places = self.places.iter().filter(move |place| place.role == role);
        places.map(|place| self.at(*place).value)
    }

    /// The value of the first field of this role.
    #[must_use]
    pub fn first(&self, role: Role) -> Option<&[u8]> {
        self.of(role).next()
    }

    /// Whether there is a field of this role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.places.iter().any(|place| place.role == role)
    }

    /// The values of all fields of this name.
    pub fn named<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        let named = self
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|field| field.value)
    }

    /// The words of `Connection` (RFC 9110, 5.6.1 and 7.6.1), empty ones too.
    pub fn connection(&self) -> impl Iterator<Item = &[u8]> {
        let words = self
            .of(Role::Connection)
            .flat_map(|value| value.split(|byte| *byte == b','));
        words.map(<[u8]>::trim_ascii)
    }

    /// Drops all that are not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(Header<'_>) -> bool) {
        let mut places = std::mem::take(&mut self.places);
        places.retain(|place| keep(self.at(*place)));
        self.places = places;
    }

    fn at(&self, place: Place) -> Header<'_> {
        Header {
            role: place.role,
            name: self.bytes.get(range(place.name, place.name_length)).unwrap_or_default(),
            value: self.bytes.get(place.value()).unwrap_or_default(),
        }
    }
}

impl Place {
    /// `None` for what is behind the fourth gigabyte.
    fn new(name: &[u8], starts: usize, value: usize, value_length: usize) -> Option<Self> {
        Some(Self {
            name: u32::try_from(starts).ok()?,
            name_length: u32::try_from(name.len()).ok()?,
            value: u32::try_from(value).ok()?,
            value_length: u32::try_from(value_length).ok()?,
            role: Role::of(name),
        })
    }

    const fn value(&self) -> Range<usize> {
        range(self.value, self.value_length)
    }
}

const fn range(start: u32, length: u32) -> Range<usize> {
    start as usize..start as usize + length as usize
}

/// Where a part begins; `None` when it is none.
fn offset(whole: &[u8], part: &[u8]) -> Option<usize> {
    let offset = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    (offset + part.len() <= whole.len()).then_some(offset)
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|field| {
            (
                field.name.escape_ascii().to_string(),
                field.value.escape_ascii().to_string(),
            )
        });
        f.debug_map().entries(shown).finish()
    }
}

/// Those that were made here, or that HTTP/2 brought: names are in lower case.
impl<N: Borrow<HeaderName>, V: Borrow<HeaderValue>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        let mut bytes = Vec::new();
        for (name, value) in pairs {
            let (name, value) = (name.borrow().as_str().as_bytes(), value.borrow().as_bytes());
            let start = bytes.len();
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(value);
            // More than four gigabytes do not fit into a head.
            headers
                .places
                .extend(Place::new(name, start, start + name.len(), value.len()));
        }
        headers.bytes = bytes.into();
        headers
    }
}

impl From<&Headers> for HeaderMap {
    fn from(headers: &Headers) -> Self {
        let mut map = Self::with_capacity(headers.len());
        for place in &headers.places {
            let name = HeaderName::try_from(headers.at(*place).name);
            let value = HeaderValue::from_maybe_shared(headers.bytes.slice(place.value()));
            // Whatever was parsed as a field is one to these types too; a test goes through all bytes.
            if let (Ok(name), Ok(value)) = (name, value) {
                map.append(name, value);
            }
        }
        map
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn parse(wire: &[u8]) -> Option<Headers> {
        let bytes = Bytes::copy_from_slice(wire);
        let mut room = [httparse::EMPTY_HEADER; 16];
        match httparse::parse_headers(&bytes, &mut room) {
            Ok(httparse::Status::Complete((_, parsed))) => Headers::parsed(&bytes, parsed),
            Ok(httparse::Status::Partial) | Err(_) => None,
        }
    }

    #[test]
    fn fields_are_found_by_any_case_and_kept_as_they_were_written() {
        let mut fields =
            parse(b"Host: h\r\nX-Twice:1\r\nEmpty:\r\nx-tWICE:  2 \r\nCONNECTION: a ,, B\r\n\r\n").unwrap();
        let written: Vec<_> = fields
            .iter()
            .map(|field| (field.role, field.name, field.value))
            .collect();
        assert_eq!(
            written,
            [
                (Role::Host, &b"Host"[..], &b"h"[..]),
                (Role::Other, b"X-Twice", b"1"),
                (Role::Other, b"Empty", b""),
                (Role::Other, b"x-tWICE", b"2"),
                (Role::Connection, b"CONNECTION", b"a ,, B"),
            ]
        );
        assert_eq!(fields.named("x-twice").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(fields.named("empty").collect::<Vec<_>>(), [b""]);
        assert_eq!(fields.connection().collect::<Vec<_>>(), [&b"a"[..], b"", b"B"]);
        assert_eq!(
            (fields.first(Role::Host), fields.first(Role::Date)),
            (Some(&b"h"[..]), None)
        );
        assert!(fields.has(Role::Host) && !fields.has(Role::Expect));
        fields.retain(|field| !field.name.eq_ignore_ascii_case(b"x-twice"));
        assert_eq!(fields.len(), 3);
        assert!(fields.named("x-twice").next().is_none() && fields.has(Role::Host));
        let elsewhere = httparse::Header { name: "a", value: b"b" };
        assert!(Headers::parsed(&Bytes::from_static(b"a: b"), &[elsewhere]).is_none());
    }

    /// What the parser lets pass, hyper's types do; nothing is lost on the way to HTTP/2.
    #[test]
    fn every_byte_that_passes_the_parser_is_a_field_s() {
        let mut passed = 0;
        for byte in 0..=255_u8 {
            for wire in [
                [b"x", &[byte][..], b": y\r\n\r\n"].concat(),
                [b"x: y", &[byte][..], b"z\r\n\r\n"].concat(),
            ] {
                if let Some(fields) = parse(&wire) {
                    assert_eq!(HeaderMap::from(&fields).len(), fields.len(), "{byte:#x}");
                    passed += fields.len();
                }
            }
        }
        assert!(passed > 256, "{passed}");
    }

    proptest! {
        #[test]
        fn a_map_and_fields_say_the_same(pairs in prop::collection::vec(("[a-z]{1,3}", "[!-~]{0,5}"), 0..9)) {
            let map: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap()))
                .collect();
            let fields: Headers = map.iter().collect();
            prop_assert_eq!(&HeaderMap::from(&fields), &map);
            for name in map.keys() {
                let listed: Vec<_> = map.get_all(name).iter().map(HeaderValue::as_bytes).collect();
                prop_assert_eq!(fields.named(name.as_str()).collect::<Vec<_>>(), listed);
            }
        }
    }
}
