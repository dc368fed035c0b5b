//! HTTP/1.1 messages of an upstream connection: a request as bytes, and the parser for the head of an answer. No I/O.
//!
//! httparse parses the lines. This module decides where the body of the answer ends (RFC 9112, section 6.3) and refuses
//! an answer whose length is ambiguous.

use crate::http::http1::body_length::{self, BodyLength};
use crate::http::http1::framing::{Chunks, Framing};
use crate::http::message::{Headers, Response};
use crate::http::payload::Payload;
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::{StatusCode, Version};
use std::mem::MaybeUninit;

/// Largest head of an answer, in bytes; a larger one is refused.
pub(super) const HEAD_BYTES: usize = 64 * 1024;
/// Largest number of header fields in an answer.
const HEADERS: usize = 256;

/// A request as it is written to an upstream.
#[derive(Debug)]
pub struct OutgoingRequest {
    /// The head, from the request line to the empty line; see [`super::forwarding`].
    pub head: BytesMut,
    /// The body; its length is the Content-Length of the head.
    pub body: Payload,
    /// Whether the method is `HEAD`, so that the answer has no body whatever its head says.
    pub is_head: bool,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct AnswerHead {
    /// Status, reason and fields.
    pub(super) response: Response<()>,
    /// Where its body ends.
    pub(super) framing: Framing,
    /// Whether the connection may be used again after the body.
    pub(super) is_reusable: bool,
}

/// The bytes are not an HTTP answer, or its length is ambiguous.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedAnswer;

/// Parses the head of the final answer while it arrives. It does not parse from the beginning for every piece that
/// arrives, because the cost of an upstream that sends single bytes would be quadratic.
#[derive(Debug)]
pub(super) struct AnswerHeadReader {
    /// Whether the method of the request is `HEAD`.
    is_head: bool,
    /// Number of bytes at the front of the input that do not complete a head.
    examined_bytes: usize,
    /// Length of the empty lines before the head; they count towards [`HEAD_BYTES`].
    skipped_bytes: usize,
    /// Number of bytes given to the parser, repetitions included.
    #[cfg(test)]
    parsed_bytes: usize,
}

impl AnswerHeadReader {
    /// A reader for the answer to a request; `is_head` when its method is `HEAD`.
    pub(super) const fn new(is_head: bool) -> Self {
        Self {
            is_head,
            examined_bytes: 0,
            skipped_bytes: 0,
            #[cfg(test)]
            parsed_bytes: 0,
        }
    }

    /// Like [`read_head`], for an `input` that grows. Parses the first piece, and then each time another line is
    /// complete; the number of lines is limited by the number of fields.
    pub(super) fn read(&mut self, input: &mut Bytes) -> Result<Option<AnswerHead>, MalformedAnswer> {
        while input.starts_with(b"\r\n") {
            input.advance(2);
            self.skipped_bytes += 2;
            self.examined_bytes = 0;
        }
        let is_full = self.skipped_bytes + input.len() >= HEAD_BYTES;
        let new_bytes = input.get(self.examined_bytes..).unwrap_or_default();
        if self.examined_bytes > 0 && !is_full && !new_bytes.contains(&b'\n') {
            self.examined_bytes = input.len();
            return Ok(None);
        }
        #[cfg(test)]
        {
            self.parsed_bytes += input.len();
        }
        let head = read_head(input, self.is_head)?;
        self.examined_bytes = input.len();
        if head.is_none() && self.skipped_bytes + input.len() >= HEAD_BYTES {
            return Err(MalformedAnswer);
        }
        Ok(head)
    }
}

/// Parses the head of the final answer to a request (`is_head` when its method is `HEAD`) at the beginning of `input`
/// and removes it from there. Informational answers (1xx) before it are skipped. Returns `None` when more bytes are
/// needed.
///
/// # Errors
/// When the bytes are not an answer, a line of the head does not end in CRLF, the head is too large, or its length is
/// ambiguous.
fn read_head(input: &mut Bytes, is_head: bool) -> Result<Option<AnswerHead>, MalformedAnswer> {
    loop {
        let mut fields = [const { MaybeUninit::uninit() }; HEADERS];
        let mut head = httparse::Response::new(&mut []);
        let parsed =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut head, input, &mut fields);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES => length,
            Ok(httparse::Status::Partial) if input.len() < HEAD_BYTES => return Ok(None),
            Ok(_) | Err(_) => return Err(MalformedAnswer),
        };
        if has_bare_line_feed(input.get(..length).unwrap_or_default()) {
            return Err(MalformedAnswer);
        }
        let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or(MalformedAnswer)?;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            drop(input.split_to(length));
            continue;
        }
        let reason = head.reason.filter(|reason| status.canonical_reason() != Some(reason));
        let response = Response {
            status,
            reason: reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes())),
            headers: Headers::parsed(input, head.headers).ok_or(MalformedAnswer)?,
            body: (),
        };
        let version = match head.version {
            Some(0) => Version::HTTP_10,
            Some(_) | None => Version::HTTP_11,
        };
        let framing = framing(is_head, status, version, &response.headers)?;
        let is_reusable = body_length::keeps_alive(version, &response.headers)
            && !framing.ends_with_connection()
            && status != StatusCode::SWITCHING_PROTOCOLS;
        drop(input.split_to(length));
        return Ok(Some(AnswerHead {
            response,
            framing,
            is_reusable,
        }));
    }
}

/// Whether a line of `head` ends without CR. Another parser could find the end of the head at another place.
fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head.get(at - 1) != Some(&b'\r'))
}

/// How the end of the body is found.
fn framing(is_head: bool, status: StatusCode, version: Version, headers: &Headers) -> Result<Framing, MalformedAnswer> {
    let framing = match body_length::declared(version, headers).ok_or(MalformedAnswer)? {
        BodyLength::Undeclared => Framing::UntilClose,
        BodyLength::Bytes(length) => Framing::Length(length),
        BodyLength::Chunked => Framing::Chunked(Chunks::default()),
        // It would have to be undone.
        BodyLength::UnsupportedCoding => return Err(MalformedAnswer),
    };
    let bodiless = is_head
        || matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS
        );
    Ok(if bodiless { Framing::Length(0) } else { framing })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn read(wire: &str) -> Result<Option<(AnswerHead, Bytes)>, MalformedAnswer> {
        let mut input = Bytes::copy_from_slice(wire.as_bytes());
        Ok(read_head(&mut input, false)?.map(|head| (head, input)))
    }

    fn framed(wire: &str) -> (Framing, bool) {
        let (head, _) = read(&format!("{wire}\r\n\r\n")).unwrap().unwrap();
        (head.framing, head.is_reusable)
    }

    /// G04: only the final answer is relayed.
    #[test]
    fn informational_answers_are_skipped_and_the_body_stays_in_the_input() {
        let wire = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                    HTTP/1.1 200 Very well\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 2\r\n\r\nokHTTP";
        let (head, rest) = read(wire).unwrap().unwrap();
        assert_eq!(head.response.status, 200);
        assert_eq!(head.response.reason.as_deref(), Some(&b"Very well"[..]));
        assert_eq!(head.response.headers.named("set-cookie").count(), 2);
        assert_eq!((head.framing, head.is_reusable), (Framing::Length(2), true));
        assert_eq!(rest, "okHTTP");
        for end in 0..wire.len() - 6 {
            assert!(read(&wire[..end]).unwrap().is_none(), "{end}");
        }
    }

    /// Gives a reader the bytes one by one. Returns the head, the rest of the input, and the number of parsed bytes.
    fn read_bytewise(wire: &[u8]) -> Result<(Option<AnswerHead>, Bytes, usize), MalformedAnswer> {
        let mut reader = AnswerHeadReader::new(false);
        let mut input = BytesMut::new();
        for byte in wire {
            input.extend_from_slice(&[*byte]);
            let mut bytes = input.freeze();
            let head = reader.read(&mut bytes)?;
            if head.is_some() {
                return Ok((head, bytes, reader.parsed_bytes));
            }
            input = bytes.try_into_mut().unwrap_or_else(|bytes| BytesMut::from(&bytes[..]));
        }
        Ok((None, input.freeze(), reader.parsed_bytes))
    }

    /// G03: an upstream that sends single bytes causes one parse per line, not one per byte.
    #[test]
    fn a_head_that_arrives_byte_by_byte_is_parsed_once_per_line() {
        let long = "x".repeat(HEAD_BYTES / 2);
        let many = "a: b\r\n".repeat(HEADERS - 2);
        let wire =
            format!("\r\n\r\nHTTP/1.1 103 \r\n\r\nHTTP/1.1 200 OK\r\nLong: {long}\r\nContent-Length: 3\r\n{many}\r\n");
        let (head, rest, parsed) = read_bytewise(wire.as_bytes()).unwrap();
        let head = head.unwrap();
        assert_eq!(head.framing, Framing::Length(3));
        assert_eq!(head.response.headers.len(), HEADERS);
        assert!(rest.is_empty());
        // One parse per byte would give a much larger number.
        assert!(parsed < (HEADERS + 5) * wire.len(), "{parsed}");

        let endless = format!("HTTP/1.1 200 OK\r\nLong: {long}");
        let (head, rest, parsed) = read_bytewise(endless.as_bytes()).unwrap();
        assert!(head.is_none() && rest.len() == endless.len());
        assert!(parsed < 100, "{parsed}");
        assert!(read_bytewise(format!("{endless}{long}").as_bytes()).is_err());
        // Empty lines before a head count towards its size limit and are not parsed.
        let empty = "\r\n".repeat(HEAD_BYTES / 2 - 1);
        let (head, _, parsed) = read_bytewise(empty.as_bytes()).unwrap();
        assert!(head.is_none() && parsed < 2 * HEAD_BYTES, "{parsed}");
        assert!(read_bytewise(format!("{empty}HTTP/1.1 200 OK\r\nX: y\r\n").as_bytes()).is_err());
        assert_eq!(
            read_bytewise(b"HTTP/1.1 200 OK\r\nSpaced : a\r\n").err(),
            Some(MalformedAnswer)
        );
    }

    #[test]
    fn framing_and_reuse_of_the_connection_follow_from_the_head() {
        for (wire, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0", (Framing::Length(0), true)),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x, Close",
                (Framing::Length(5), false),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked",
                (Framing::Chunked(Chunks::default()), true),
            ),
            ("HTTP/1.1 200 OK", (Framing::UntilClose, false)),
            ("HTTP/1.1 204 No Content", (Framing::Length(0), true)),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 9",
                (Framing::Length(0), true),
            ),
            ("HTTP/1.1 101 Switching Protocols", (Framing::Length(0), false)),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5", (Framing::Length(5), false)),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive",
                (Framing::Length(5), true),
            ),
            ("HTTP/1.0 200 OK", (Framing::UntilClose, false)),
        ] {
            assert_eq!(framed(wire), expected, "{wire}");
        }
        let mut input = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let head = read_head(&mut input, true).unwrap().unwrap();
        assert_eq!((head.framing, head.is_reusable), (Framing::Length(0), true));
    }

    /// G05.
    #[test]
    fn answers_with_an_ambiguous_length_are_refused() {
        for fields in [
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Content-Length: ",
            "Content-Length: 18446744073709551616",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Folded: a\r\n b",
            "Spaced : a",
            "NUL: a\0b",
            "Bare: a\nContent-Length: 5",
            "CR: a\rContent-Length: 5",
        ] {
            let wire = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            assert_eq!(read(&wire).err(), Some(MalformedAnswer), "{fields}");
        }
        for wire in [
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\n",
            "HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ] {
            assert_eq!(read(wire).err(), Some(MalformedAnswer), "{wire}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_BYTES));
        assert_eq!(read(&endless).err(), Some(MalformedAnswer));
        let room = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
        let largest = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES - room));
        assert!(read(&largest).unwrap().is_some());
        let larger = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES - room + 1));
        assert_eq!(read(&larger).err(), Some(MalformedAnswer));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        assert_eq!(read(&many).err(), Some(MalformedAnswer));
    }

    proptest! {
        /// D13: any bytes from an upstream are an answer, an incomplete answer or an error, and a parsed head is
        /// removed from the input.
        #[test]
        fn any_bytes_are_parsed_or_refused(
            lines in prop::collection::vec(
                prop_oneof![
                    Just("HTTP/1.1 200 OK\r\n".to_owned()),
                    Just("HTTP/1.0 103 \r\n".to_owned()),
                    Just("Content-Length: 7\r\n".to_owned()),
                    Just("Transfer-Encoding: chunked\r\n".to_owned()),
                    Just("Empty:\r\n".to_owned()),
                    Just("\r\n".to_owned()),
                    ".{0,20}\r\n",
                    "[!-~]{1,9}: ?[ -~\t]{0,30}\r?\n",
                ],
                0..12,
            ),
            junk in prop::collection::vec(any::<u8>(), 0..40),
            at in any::<prop::sample::Index>(),
        ) {
            let mut wire = lines.concat().into_bytes();
            let at = at.index(wire.len() + 1);
            wire.splice(at..at, junk);
            let mut input = Bytes::from(wire.clone());
            if let Ok(Some(head)) = read_head(&mut input, false) {
                prop_assert!(!head.response.status.is_informational() || head.response.status == 101);
                prop_assert!(wire.ends_with(&input) && input.len() < wire.len());
            }
        }
    }
}
