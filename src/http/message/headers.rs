//! The header fields of one message, in their order and as they were written, in one buffer.
//!
//! A map would cost a hash and a reference count for every field, although most fields are only written out again. A
//! message has few fields, so a linear search is fast, and unchanged fields are forwarded as they were received. The
//! meaning of a name is determined once ([`Role`]); the rules compare roles instead of names.

use super::role::Role;
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Borrow;
use std::fmt;
use std::ops::Range;

/// Header fields. Names are tokens, and values contain no control characters except the tab (RFC 9110, sections 5.1 and
/// 5.5): both come from a parser or from types that ensure it, so that no field can add a line to a head.
#[derive(Clone, Default)]
pub struct Headers {
    /// The buffer that contains all names and values.
    bytes: Bytes,
    /// One position for each field, in their order.
    positions: Vec<FieldPosition>,
}

/// The position of a field in the buffer: offsets and lengths in bytes.
#[derive(Clone, Copy)]
struct FieldPosition {
    name: u32,
    name_length: u32,
    value: u32,
    value_length: u32,
    role: Role,
}

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The meaning of the name.
    pub role: Role,
    /// The name as it was written, in any case.
    pub name: &'a [u8],
    /// The value without whitespace around it.
    pub value: &'a [u8],
}

impl Headers {
    /// Bytes of memory for each field, besides its name and value.
    pub(crate) const BYTES_PER_FIELD: usize = size_of::<FieldPosition>();

    /// The fields that httparse found in `bytes`; `None` when one of them is not a part of `bytes`.
    pub(crate) fn parsed(bytes: &Bytes, parsed: &[httparse::Header<'_>]) -> Option<Self> {
        let position = |field: &httparse::Header<'_>| {
            // The slice of an empty value may point anywhere.
            let value = match field.value {
                [] => 0,
                value => offset(bytes, value)?,
            };
            FieldPosition::new(
                field.name.as_bytes(),
                offset(bytes, field.name.as_bytes())?,
                value,
                field.value.len(),
            )
        };
        let mut positions = Vec::with_capacity(parsed.len());
        for field in parsed {
            positions.push(position(field)?);
        }
        Some(Self {
            bytes: bytes.clone(),
            positions,
        })
    }

    /// The number of fields.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.positions.len()
    }

    /// Bytes of memory that the fields hold. Over HTTP/1.1 this includes the whole head, which they share.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.bytes.len() + self.positions.len() * Self::BYTES_PER_FIELD
    }

    /// Whether there are no fields.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// All fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'_>> + Clone {
        self.positions.iter().map(|position| self.at(*position))
    }

    /// The values of all fields with this role, in their order.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &[u8]> + Clone {
        let positions = self.positions.iter().filter(move |position| position.role == role);
        positions.map(|position| self.at(*position).value)
    }

    /// The value of the first field with this role.
    #[must_use]
    pub fn first(&self, role: Role) -> Option<&[u8]> {
        self.of(role).next()
    }

    /// Whether there is a field with this role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.positions.iter().any(|position| position.role == role)
    }

    /// The values of all fields with this name, which may be in any case.
    pub fn named<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        let named = self
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|field| field.value)
    }

    /// The options of all `Connection` fields (RFC 9110, sections 5.6.1 and 7.6.1), with empty ones.
    pub fn connection(&self) -> impl Iterator<Item = &[u8]> {
        let options = self
            .of(Role::Connection)
            .flat_map(|value| value.split(|byte| *byte == b','));
        options.map(<[u8]>::trim_ascii)
    }

    /// Removes the fields for which `keep` returns false.
    pub fn retain(&mut self, mut keep: impl FnMut(Header<'_>) -> bool) {
        let mut positions = std::mem::take(&mut self.positions);
        positions.retain(|position| keep(self.at(*position)));
        self.positions = positions;
    }

    fn at(&self, position: FieldPosition) -> Header<'_> {
        Header {
            role: position.role,
            name: self
                .bytes
                .get(range(position.name, position.name_length))
                .unwrap_or_default(),
            value: self.bytes.get(position.value()).unwrap_or_default(),
        }
    }
}

impl FieldPosition {
    /// The position of the field `name`, which begins at `name_start`; `None` when an offset exceeds 4 GiB.
    fn new(name: &[u8], name_start: usize, value: usize, value_length: usize) -> Option<Self> {
        Some(Self {
            name: u32::try_from(name_start).ok()?,
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

/// The offset of `part` in `whole`; `None` when it is not a part of it.
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

/// Collects fields that hookgate made or that came over HTTP/2; their names are in lower case.
impl<N: Borrow<HeaderName>, V: Borrow<HeaderValue>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::default();
        let mut bytes = Vec::new();
        for (name, value) in pairs {
            let (name, value) = (name.borrow().as_str().as_bytes(), value.borrow().as_bytes());
            let start = bytes.len();
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(value);
            // A field beyond 4 GiB would be dropped; the limit of a head is far below.
            headers
                .positions
                .extend(FieldPosition::new(name, start, start + name.len(), value.len()));
        }
        headers.bytes = bytes.into();
        headers
    }
}

impl From<&Headers> for HeaderMap {
    fn from(headers: &Headers) -> Self {
        let mut map = Self::with_capacity(headers.len());
        for position in &headers.positions {
            let name = HeaderName::try_from(headers.at(*position).name);
            let value = HeaderValue::from_maybe_shared(headers.bytes.slice(position.value()));
            // These types accept every field that the parser accepts; a test checks this for all bytes.
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
    fn fields_are_found_in_any_case_and_kept_as_they_were_written() {
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

    /// hyper's types accept every field that the parser accepts, so no field is lost over HTTP/2.
    #[test]
    fn every_byte_that_the_parser_accepts_is_kept_in_a_map() {
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
        fn a_map_and_fields_have_the_same_content(pairs in prop::collection::vec(("[a-z]{1,3}", "[!-~]{0,5}"), 0..9)) {
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
