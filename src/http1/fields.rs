//! The fields of a head, of either direction, and what they say about the body and the connection.

use bytes::Bytes;
use hyper::Version;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

/// What a head says about where its body ends (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    /// Not a word.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// In a coding that is not read here.
    Coded,
}

/// The fields as a map whose values share `bytes`, from which they were parsed; `None` when one is malformed.
pub(crate) fn map(bytes: &Bytes, parsed: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).ok()?;
        headers.append(name, value);
    }
    Some(headers)
}

/// What is said about the body's end; `None` when it could be read in two ways: by two lengths, by a length and a coding,
/// by a length that is not plain digits.
#[must_use]
pub fn declared(version: Version, headers: &HeaderMap) -> Option<Declared> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lengths.next(), lengths.next(), codings.next(), codings.next()) {
        (None, _, None, _) => Some(Declared::Nothing),
        (Some(length), None, None, _) => decimal(length).map(Declared::Length),
        (None, _, Some(coding), None)
            if version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") =>
        {
            Some(Declared::Chunked)
        }
        (None, _, Some(_), _) => Some(Declared::Coded),
        (Some(_), _, Some(_), _) | (Some(_), Some(_), None, _) => None,
    }
}

fn decimal(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Whether the other side means to keep the connection.
#[must_use]
pub fn keeps(version: Version, headers: &HeaderMap) -> bool {
    let says = |word: &[u8]| {
        let values = headers.get_all(header::CONNECTION).iter();
        let mut words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        words.any(|said| said.trim_ascii().eq_ignore_ascii_case(word))
    };
    if version == Version::HTTP_11 {
        !says(b"close")
    } else {
        says(b"keep-alive") && !says(b"close")
    }
}

/// A number as it stands in a field. The standard library's formatting costs more than all the rest of a head.
pub(crate) fn write_decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        first = at;
        if number == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or_default()
}
