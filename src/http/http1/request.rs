//! Reads the head of a sender's request, as strictly as RFC 9112 allows.
//!
//! Every line ends in CRLF. There is at most one `Content-Length` of plain digits or one `Transfer-Encoding`, never
//! both. No line is folded, and no blank precedes a colon. A request that breaks these rules is refused, because
//! another server may read it differently (request smuggling); no common client sends one.

use super::body_length::{self, BodyLength};
use super::framing::{Chunks, Framing};
use crate::http::message::{Headers, Request, Role};
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::{Method, Uri, Version};
use std::mem::MaybeUninit;

/// The number of header fields that are parsed without an allocation: one more than the default limit.
const FIELDS_ON_STACK: usize = 101;

/// The limits of a request head.
#[derive(Clone, Copy, Debug)]
pub struct RequestHeadLimits {
    /// The most bytes, from the request line to the empty line.
    pub bytes: usize,
    /// The most header fields.
    pub fields: usize,
}

impl RequestHeadLimits {
    /// Whether a request may have this number of header fields, in every version of HTTP.
    #[must_use]
    pub const fn accept_fields(&self, fields: usize) -> bool {
        fields <= self.fields
    }
}

/// The head of a request, and what it says about the body and the connection.
#[derive(Debug)]
pub struct RequestHead {
    /// Method, target, version and header fields; they share one buffer.
    pub request: Request,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the sender wants to keep the connection after this request.
    pub keep_alive: bool,
    /// Whether the sender waits for `100 Continue` before it sends the body (`Expect`, HTTP/1.1 with a body only).
    pub expects_continue: bool,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestHeadError {
    /// Not HTTP/1.0 or HTTP/1.1, or two servers could read it in two ways.
    Syntax,
    /// Larger than the [`RequestHeadLimits`] allow.
    TooLarge,
}

/// Finds the end of a head and parses it. Keeps its position, so that every byte of a head that arrives in small pieces
/// is examined once.
#[derive(Debug, Default)]
pub struct RequestHeadReader {
    /// Offset of the first line that is not complete yet.
    line_start: usize,
    /// Offset up to which the input has been searched for line ends.
    searched: usize,
    /// Bytes of empty lines before the head.
    empty_line_bytes: usize,
}

impl RequestHeadReader {
    /// Reads the head at the beginning of `input` and removes it, with the empty lines before it; `None` when more
    /// bytes are needed.
    ///
    /// # Errors
    /// As soon as no further bytes could make the input a valid head.
    pub fn read(
        &mut self,
        input: &mut BytesMut,
        limits: RequestHeadLimits,
    ) -> Result<Option<RequestHead>, RequestHeadError> {
        let Some(end) = self.end(input, limits.bytes)? else {
            return Ok(None);
        };
        *self = Self::default();
        parse(&input.split_to(end).freeze(), limits).map(Some)
    }

    /// The offset after the empty line that ends the head; `None` when it has not arrived. `max_bytes` limits the head.
    fn end(&mut self, input: &mut BytesMut, max_bytes: usize) -> Result<Option<usize>, RequestHeadError> {
        while input.starts_with(b"\r\n") {
            input.advance(2);
            self.empty_line_bytes += 2;
            (self.line_start, self.searched) = (0, 0);
        }
        if self.empty_line_bytes >= max_bytes {
            return Err(RequestHeadError::TooLarge);
        }
        let new = input.get(self.searched..).unwrap_or_default();
        for found in memchr::memchr_iter(b'\n', new) {
            let line_feed = self.searched + found;
            if line_feed >= max_bytes {
                return Err(RequestHeadError::TooLarge);
            }
            if line_feed == 0 || input.get(line_feed - 1) != Some(&b'\r') {
                return Err(RequestHeadError::Syntax);
            }
            if line_feed - 1 == self.line_start {
                return Ok(Some(line_feed + 1));
            }
            self.line_start = line_feed + 1;
        }
        self.searched = input.len();
        if input.len() >= max_bytes {
            return Err(RequestHeadError::TooLarge);
        }
        Ok(None)
    }
}

/// Parses a complete head.
fn parse(bytes: &Bytes, limits: RequestHeadLimits) -> Result<RequestHead, RequestHeadError> {
    // With room for one field too many, the number is judged below as over HTTP/2.
    let max_fields = limits.fields.saturating_add(1);
    let mut on_stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut on_heap = Vec::new();
    let room = on_stack.get_mut(..max_fields).unwrap_or_else(|| {
        on_heap.resize(max_fields, MaybeUninit::uninit());
        &mut on_heap
    });
    let mut parsed = httparse::Request::new(&mut []);
    let result = httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, bytes, room);
    match result {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(RequestHeadError::Syntax),
        Err(httparse::Error::TooManyHeaders) => return Err(RequestHeadError::TooLarge),
        Err(_) => return Err(RequestHeadError::Syntax),
    }
    if !limits.accept_fields(parsed.headers.len()) {
        return Err(RequestHeadError::TooLarge);
    }
    let method = parsed.method.unwrap_or_default();
    let target = parsed.path.unwrap_or_default();
    // `Uri` would cut a fragment off and add a missing path, so that the target would not be the one that was sent.
    if target.contains('#') || is_absolute_without_path(target) {
        return Err(RequestHeadError::Syntax);
    }
    let version = match parsed.version {
        Some(0) => Version::HTTP_10,
        Some(_) | None => Version::HTTP_11,
    };
    let headers = Headers::parsed(bytes, parsed.headers).ok_or(RequestHeadError::Syntax)?;
    let framing = framing(version, &headers)?;
    let keep_alive = body_length::keeps_alive(version, &headers) && !framing.ends_with_connection();
    let expects_continue = version == Version::HTTP_11 && !framing.is_complete() && headers.has(Role::Expect);
    Ok(RequestHead {
        framing,
        keep_alive,
        expects_continue,
        request: Request {
            method: Method::from_bytes(method.as_bytes()).map_err(|_| RequestHeadError::Syntax)?,
            uri: Uri::from_maybe_shared(bytes.slice_ref(target.as_bytes())).map_err(|_| RequestHeadError::Syntax)?,
            version,
            headers,
        },
    })
}

/// Whether `target` has the absolute form and no path after its authority.
fn is_absolute_without_path(target: &str) -> bool {
    let after_scheme = target.split_once("://").filter(|_| !target.starts_with('/'));
    after_scheme.is_some_and(|(_, rest)| {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        !rest.get(end..).unwrap_or_default().starts_with('/')
    })
}

/// How the body ends (RFC 9112, section 6.3, without the leniency that it permits). A transfer coding that is not
/// supported is accepted here, so that the gateway answers it like any other refusal
/// ([`crate::http::rules::check_request_fields`]); its body ends with the connection.
fn framing(version: Version, headers: &Headers) -> Result<Framing, RequestHeadError> {
    match body_length::declared(version, headers).ok_or(RequestHeadError::Syntax)? {
        BodyLength::Undeclared => Ok(Framing::Length(0)),
        BodyLength::Bytes(length) => Ok(Framing::Length(length)),
        BodyLength::Chunked => Ok(Framing::Chunked(Chunks::default())),
        BodyLength::UnsupportedCoding => Ok(Framing::UntilClose),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const LIMITS: RequestHeadLimits = RequestHeadLimits {
        bytes: 1024,
        fields: 10,
    };

    fn read(wire: &[u8]) -> Result<Option<RequestHead>, RequestHeadError> {
        RequestHeadReader::default().read(&mut BytesMut::from(wire), LIMITS)
    }

    fn with(lines: &str) -> Result<RequestHead, RequestHeadError> {
        read(format!("POST /a?b HTTP/1.1\r\nHost: h\r\n{lines}\r\n").as_bytes()).map(Option::unwrap)
    }

    #[test]
    fn a_head_is_read_however_the_input_is_divided_and_the_bytes_after_it_are_left() {
        let wire = b"\r\n\r\nPOST /a?b HTTP/1.1\r\nHost: h\r\nX-Y:  z \r\nContent-Length: 3\r\n\r\nabcGET";
        for step in 1..=wire.len() {
            let (mut reader, mut input, mut head) = (RequestHeadReader::default(), BytesMut::new(), None);
            let mut pieces = wire.chunks(step);
            while head.is_none() {
                input.extend_from_slice(pieces.next().unwrap());
                head = reader.read(&mut input, LIMITS).unwrap();
            }
            let head = head.unwrap();
            assert_eq!(
                (head.framing, head.keep_alive, head.expects_continue),
                (Framing::Length(3), true, false)
            );
            assert_eq!(head.request.method, Method::POST);
            assert_eq!(head.request.uri, "/a?b");
            assert_eq!(head.request.headers.named("x-y").collect::<Vec<_>>(), [b"z"]);
            let left = [&input[..], &pieces.flatten().copied().collect::<Vec<_>>()].concat();
            assert_eq!(left, b"abcGET");
        }
    }

    /// A01, A02, A03, A04, A12, A13, A17: heads that another server might accept and read differently.
    #[test]
    fn ambiguous_heads_are_refused() {
        for lines in [
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n",
            "Content-Length: +3\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length : 3\r\n",
            "X: a\r\n b\r\n",
            "X: a\nY: b\r\n",
            "X: a\n\r\n",
            "X: a\rY: b\r\n",
            "X: a\0\r\n",
            "X\r\n",
            ": a\r\n",
        ] {
            assert_eq!(with(lines).unwrap_err(), RequestHeadError::Syntax, "{lines:?}");
        }
        for line in [
            "GET / HTTP/1.1\n\n",
            "\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\n X: y\r\n\r\n",
            "GET /a#b HTTP/1.1\r\n\r\n",
            "GET /?a# HTTP/1.1\r\n\r\n",
            "GET http://h HTTP/1.1\r\n\r\n",
            "GET http://h?/a HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(read(line.as_bytes()).unwrap_err(), RequestHeadError::Syntax, "{line:?}");
        }
    }

    #[test]
    fn an_unsupported_coding_ends_with_the_connection() {
        for lines in [
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            let head = with(lines).unwrap();
            assert_eq!(
                (head.framing, head.keep_alive),
                (Framing::UntilClose, false),
                "{lines:?}"
            );
        }
        let old = read(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n");
        let old = old.unwrap().unwrap();
        assert_eq!((old.framing, old.keep_alive), (Framing::UntilClose, false));
        let chunked = with("transfer-encoding: Chunked\r\nExpect: 100-continue\r\n").unwrap();
        assert_eq!(chunked.framing, Framing::Chunked(Chunks::default()));
        assert!(chunked.keep_alive && chunked.expects_continue);
    }

    #[test]
    fn connections_are_kept_as_the_connection_field_and_the_version_say() {
        for (wire, keep_alive) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(
                read(wire.as_bytes()).unwrap().unwrap().keep_alive,
                keep_alive,
                "{wire:?}"
            );
        }
    }

    #[test]
    fn a_head_of_exactly_the_limits_is_accepted_and_one_above_is_refused() {
        let head = |bytes: usize, fields: usize| {
            let fields = "A: b\r\n".repeat(fields);
            let room = bytes - "GET /  HTTP/1.1\r\n\r\n".len() - fields.len() - 1;
            format!("GET /{} HTTP/1.1\r\n{fields}\r\n", "x".repeat(room + 2))
        };
        let largest = head(1024, 10);
        assert_eq!(largest.len(), 1024);
        assert!(read(largest.as_bytes()).unwrap().is_some());
        assert_eq!(read(head(1025, 10).as_bytes()).unwrap_err(), RequestHeadError::TooLarge);
        assert_eq!(read(head(1024, 11).as_bytes()).unwrap_err(), RequestHeadError::TooLarge);
        assert!(read(&[b'x'; 1023]).unwrap().is_none());
        assert_eq!(read(&[b'x'; 1024]).unwrap_err(), RequestHeadError::TooLarge);
        assert!(read(&b"\r\n".repeat(511)).unwrap().is_none());
        assert_eq!(read(&b"\r\n".repeat(512)).unwrap_err(), RequestHeadError::TooLarge);
        let many = RequestHeadLimits {
            bytes: 10_000,
            fields: 200,
        };
        let mut wire = BytesMut::from(&head(2000, 200)[..]);
        assert!(RequestHeadReader::default().read(&mut wire, many).unwrap().is_some());
    }

    proptest! {
        /// Any input gives the same result in pieces as in one piece.
        #[test]
        fn pieces_do_not_change_the_result(wire in "(GET|POST|[ -~]{0,4}) [!-~]{0,6} HTTP/1.[01]\r?\n([A-Za-z-]{1,20}:[ -~]{0,9}\r?\n){0,4}\r?\n.{0,9}", step in 1_usize..40) {
            let whole = read(wire.as_bytes()).map(|head| head.map(|head| format!("{head:?}")));
            let (mut reader, mut input) = (RequestHeadReader::default(), BytesMut::new());
            let mut pieces = wire.as_bytes().chunks(step);
            let in_pieces = loop {
                match (reader.read(&mut input, LIMITS), pieces.next()) {
                    (Ok(None), Some(piece)) => input.extend_from_slice(piece),
                    (end, _) => break end.map(|head| head.map(|head| format!("{head:?}"))),
                }
            };
            prop_assert_eq!(whole, in_pieces);
        }
    }
}
