//! HTTP/1.1 messages on an upstream connection: a request, ready to be written; the head of an answer, read. Pure.
//!
//! httparse reads the lines; what is decided here is where the answer's body ends (RFC 9112, section 6.3), and that an
//! answer whose end could be read in two ways is no answer.

use crate::http::body::Payload;
use crate::http::http1::declared::{self, Declared};
use crate::http::http1::framing::{Chunks, Framing};
use crate::http::message::{Headers, Response};
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::{StatusCode, Version};
use std::mem::MaybeUninit;

/// Bytes of an answer's head that are read before it counts as garbage.
pub(super) const HEAD_BYTES: usize = 64 * 1024;
/// Header fields of an answer.
const HEADERS: usize = 256;

/// A request as it is written to an upstream.
#[derive(Debug)]
pub struct Message {
    /// From the request line to the empty line; see [`super::forwarding`].
    pub head: BytesMut,
    /// Of the length that the head states.
    pub body: Payload,
    /// Whether the answer has no body whatever it says (`HEAD`).
    pub is_head: bool,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    /// Status, reason and fields.
    pub(super) response: Response<()>,
    /// Where its body ends.
    pub(super) framing: Framing,
    /// Whether the connection may be used again after the body.
    pub(super) keep: bool,
}

/// Not an answer, or one that could be read in two ways.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads the head of the final answer to a request as it arrives, and not again from its beginning with every piece: an
/// upstream that sends single bytes must not cost the square of them.
#[derive(Debug)]
pub(super) struct HeadReader {
    is_head: bool,
    /// Bytes of the input that have told nothing, or not enough.
    looked_at: usize,
    /// Empty lines before the head, which count as a part of it.
    skipped: usize,
    /// Bytes that were parsed, some of them several times.
    #[cfg(test)]
    parsed: usize,
}

impl HeadReader {
    /// For the answer to a request (`HEAD` or another one).
    pub(super) const fn new(is_head: bool) -> Self {
        Self {
            is_head,
            looked_at: 0,
            skipped: 0,
            #[cfg(test)]
            parsed: 0,
        }
    }

    /// Like [`read_head`], with what has arrived so far. Parses the first piece and then whenever another line has ended, of
    /// which there are not more than a head may have fields.
    pub(super) fn read(&mut self, input: &mut Bytes) -> Result<Option<Head>, Malformed> {
        while input.first() == Some(&b'\n') || input.starts_with(b"\r\n") {
            let length = if input.first() == Some(&b'\n') { 1 } else { 2 };
            input.advance(length);
            self.skipped += length;
            self.looked_at = 0;
        }
        let is_full = self.skipped + input.len() >= HEAD_BYTES;
        let news = input.get(self.looked_at..).unwrap_or_default();
        if self.looked_at > 0 && !is_full && !news.contains(&b'\n') {
            self.looked_at = input.len();
            return Ok(None);
        }
        #[cfg(test)]
        {
            self.parsed += input.len();
        }
        let head = read_head(input, self.is_head)?;
        self.looked_at = input.len();
        if head.is_none() && self.skipped + input.len() >= HEAD_BYTES {
            return Err(Malformed);
        }
        Ok(head)
    }
}

/// Reads the head of the final answer to a request (`HEAD` or another one) from the beginning of `input`, which it shortens by what it
/// has read; informational ones before it are skipped. `None` when more bytes are needed.
///
/// # Errors
/// For what is not an answer, is too large, or can be read in two ways.
fn read_head(input: &mut Bytes, is_head: bool) -> Result<Option<Head>, Malformed> {
    loop {
        let mut fields = [const { MaybeUninit::uninit() }; HEADERS];
        let mut head = httparse::Response::new(&mut []);
        let parsed =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut head, input, &mut fields);
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if input.len() < HEAD_BYTES => return Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => return Err(Malformed),
        };
        let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or(Malformed)?;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            drop(input.split_to(length));
            continue;
        }
        let reason = head.reason.filter(|reason| status.canonical_reason() != Some(reason));
        let response = Response {
            status,
            reason: reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes())),
            headers: Headers::parsed(input, head.headers).ok_or(Malformed)?,
            body: (),
        };
        let version = match head.version {
            Some(0) => Version::HTTP_10,
            Some(_) | None => Version::HTTP_11,
        };
        let framing = framing(is_head, status, version, &response.headers)?;
        let keep = declared::keeps(version, &response.headers)
            && !framing.ends_with_connection()
            && status != StatusCode::SWITCHING_PROTOCOLS;
        drop(input.split_to(length));
        return Ok(Some(Head {
            response,
            framing,
            keep,
        }));
    }
}

/// Where the body ends.
fn framing(is_head: bool, status: StatusCode, version: Version, headers: &Headers) -> Result<Framing, Malformed> {
    let framing = match declared::declared(version, headers).ok_or(Malformed)? {
        Declared::Nothing => Framing::UntilClose,
        Declared::Length(length) => Framing::Length(length),
        Declared::Chunked => Framing::Chunked(Chunks::default()),
        // It would have to be undone.
        Declared::Coded => return Err(Malformed),
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

    fn read(wire: &str) -> Result<Option<(Head, Bytes)>, Malformed> {
        let mut input = Bytes::copy_from_slice(wire.as_bytes());
        Ok(read_head(&mut input, false)?.map(|head| (head, input)))
    }

    fn framed(wire: &str) -> (Framing, bool) {
        let (head, _) = read(&format!("{wire}\r\n\r\n")).unwrap().unwrap();
        (head.framing, head.keep)
    }

    /// G04: nothing but the final answer counts.
    #[test]
    fn informational_answers_are_skipped_and_the_rest_is_left() {
        let wire = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                    HTTP/1.1 200 Very well\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 2\r\n\r\nokHTTP";
        let (head, rest) = read(wire).unwrap().unwrap();
        assert_eq!(head.response.status, 200);
        assert_eq!(head.response.reason.as_deref(), Some(&b"Very well"[..]));
        assert_eq!(head.response.headers.named("set-cookie").count(), 2);
        assert_eq!((head.framing, head.keep), (Framing::Length(2), true));
        assert_eq!(rest, "okHTTP");
        for end in 0..wire.len() - 6 {
            assert!(read(&wire[..end]).unwrap().is_none(), "{end}");
        }
    }

    /// Gives a reader the bytes one by one; the head, what is left of the input, and how many bytes were parsed.
    fn dripped(wire: &[u8]) -> Result<(Option<Head>, Bytes, usize), Malformed> {
        let mut reader = HeadReader::new(false);
        let mut input = BytesMut::new();
        for byte in wire {
            input.extend_from_slice(&[*byte]);
            let mut bytes = input.freeze();
            let head = reader.read(&mut bytes)?;
            if head.is_some() {
                return Ok((head, bytes, reader.parsed));
            }
            input = bytes.try_into_mut().unwrap_or_else(|bytes| BytesMut::from(&bytes[..]));
        }
        Ok((None, input.freeze(), reader.parsed))
    }

    /// G03: an upstream that drips costs a parse a line, not one a byte.
    #[test]
    fn a_head_that_arrives_byte_by_byte_is_read_once_a_line() {
        let long = "x".repeat(HEAD_BYTES / 2);
        let many = "a: b\r\n".repeat(HEADERS - 2);
        let wire =
            format!("\r\n\nHTTP/1.1 103 \r\n\r\nHTTP/1.1 200 OK\r\nLong: {long}\r\nContent-Length: 3\r\n{many}\r\n");
        let (head, rest, parsed) = dripped(wire.as_bytes()).unwrap();
        let head = head.unwrap();
        assert_eq!(head.framing, Framing::Length(3));
        assert_eq!(head.response.headers.len(), HEADERS);
        assert!(rest.is_empty());
        // A parse for every byte would be many times that.
        assert!(parsed < (HEADERS + 5) * wire.len(), "{parsed}");

        let endless = format!("HTTP/1.1 200 OK\r\nLong: {long}");
        let (head, rest, parsed) = dripped(endless.as_bytes()).unwrap();
        assert!(head.is_none() && rest.len() == endless.len());
        assert!(parsed < 100, "{parsed}");
        assert!(dripped(format!("{endless}{long}").as_bytes()).is_err());
        // Empty lines before a head are a part of its bound, and no work.
        let empty = "\r\n".repeat(HEAD_BYTES / 2 - 1);
        let (head, _, parsed) = dripped(empty.as_bytes()).unwrap();
        assert!(head.is_none() && parsed < 2 * HEAD_BYTES, "{parsed}");
        assert!(dripped(format!("{empty}HTTP/1.1 200 OK\r\nX: y\r\n").as_bytes()).is_err());
        assert_eq!(dripped(b"HTTP/1.1 200 OK\r\nSpaced : a\r\n").err(), Some(Malformed));
    }

    #[test]
    fn where_a_body_ends_and_what_becomes_of_the_connection() {
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
        assert_eq!((head.framing, head.keep), (Framing::Length(0), true));
    }

    /// G05.
    #[test]
    fn answers_that_can_be_read_in_two_ways_are_none() {
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
        ] {
            let wire = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            assert_eq!(read(&wire).err(), Some(Malformed), "{fields}");
        }
        for wire in [
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
        ] {
            assert_eq!(read(wire).err(), Some(Malformed), "{wire}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_BYTES));
        assert_eq!(read(&endless).err(), Some(Malformed));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        assert_eq!(read(&many).err(), Some(Malformed));
    }

    proptest! {
        /// D13: whatever an upstream says is an answer, not yet one, or none; and what is read is gone from the input.
        #[test]
        fn any_bytes_are_read_or_refused(
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
