//! What the fields of a head, of either direction, say about the body and the connection.

use crate::http::message::{Headers, Role};
use hyper::Version;

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

/// What is said about the body's end; `None` when it could be read in two ways: by two lengths, by a length and a coding,
/// by a length that is not plain digits.
#[must_use]
pub fn declared(version: Version, headers: &Headers) -> Option<Declared> {
    let mut lengths = headers.of(Role::ContentLength);
    let mut codings = headers.of(Role::TransferEncoding);
    match (lengths.next(), lengths.next(), codings.next(), codings.next()) {
        (None, _, None, _) => Some(Declared::Nothing),
        (Some(length), None, None, _) => decimal(length).map(Declared::Length),
        (None, _, Some(coding), None) if version == Version::HTTP_11 && coding.eq_ignore_ascii_case(b"chunked") => {
            Some(Declared::Chunked)
        }
        (None, _, Some(_), _) => Some(Declared::Coded),
        (Some(_), _, Some(_), _) | (Some(_), Some(_), None, _) => None,
    }
}

/// A number of plain digits, without a sign.
fn decimal(value: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(value).ok()?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Whether the other side means to keep the connection.
#[must_use]
pub fn keeps(version: Version, headers: &Headers) -> bool {
    let says = |word: &[u8]| headers.connection().any(|said| said.eq_ignore_ascii_case(word));
    if version == Version::HTTP_11 {
        !says(b"close")
    } else {
        says(b"keep-alive") && !says(b"close")
    }
}
