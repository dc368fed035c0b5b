//! What the header fields of a message say about the length of its body and about keeping the connection.
//!
//! This is the only place that interprets `Content-Length` and `Transfer-Encoding`, for requests and for responses.

use crate::http::message::{Headers, Role};
use hyper::Version;

/// The length of a body as the head declares it (RFC 9112, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Neither `Content-Length` nor `Transfer-Encoding` is present.
    Undeclared,
    /// `Content-Length`, in bytes.
    Bytes(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// A transfer coding that hookgate does not decode.
    UnsupportedCoding,
}

/// The transfer coding of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferCoding {
    /// `Transfer-Encoding` is not present.
    Absent,
    /// A single `chunked`, over HTTP/1.1.
    Chunked,
    /// Any other coding, several of them, or any coding in a version of HTTP that has none.
    Unsupported,
}

/// The transfer coding that `Transfer-Encoding` names, in any version of HTTP.
#[must_use]
pub fn transfer_coding(version: Version, headers: &Headers) -> TransferCoding {
    let mut codings = headers.of(Role::TransferEncoding);
    match (codings.next(), codings.next()) {
        (None, _) => TransferCoding::Absent,
        (Some(coding), None) if version == Version::HTTP_11 && coding.eq_ignore_ascii_case(b"chunked") => {
            TransferCoding::Chunked
        }
        (Some(_), _) => TransferCoding::Unsupported,
    }
}

/// The declared length of the body. `None` when two servers could read it in two ways: `Content-Length` is repeated, is
/// not plain digits, or comes together with `Transfer-Encoding`.
#[must_use]
pub fn declared(version: Version, headers: &Headers) -> Option<BodyLength> {
    let mut lengths = headers.of(Role::ContentLength);
    match (lengths.next(), lengths.next(), transfer_coding(version, headers)) {
        (None, _, TransferCoding::Absent) => Some(BodyLength::Undeclared),
        (None, _, TransferCoding::Chunked) => Some(BodyLength::Chunked),
        (None, _, TransferCoding::Unsupported) => Some(BodyLength::UnsupportedCoding),
        (Some(length), None, TransferCoding::Absent) => decimal(length).map(BodyLength::Bytes),
        (Some(_), Some(_), TransferCoding::Absent)
        | (Some(_), _, TransferCoding::Chunked | TransferCoding::Unsupported) => None,
    }
}

/// A number of plain digits, without a sign; `None` also when it does not fit into 64 bits.
fn decimal(value: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(value).ok()?;
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse().ok()).flatten()
}

/// Whether the peer wants to keep the connection after this message (RFC 9112, section 9.3).
#[must_use]
pub fn keeps_alive(version: Version, headers: &Headers) -> bool {
    let has_option = |name: &[u8]| headers.connection().any(|option| option.eq_ignore_ascii_case(name));
    if version == Version::HTTP_11 {
        !has_option(b"close")
    } else {
        has_option(b"keep-alive") && !has_option(b"close")
    }
}
