//! The head of a sender's request, read as narrowly as RFC 9112 allows.
//!
//! Lines end in CRLF and in nothing else; there is one `Content-Length` of plain digits, or one `Transfer-Encoding` of
//! `chunked`, never both; nothing is folded, nothing stands before a colon. Whoever writes otherwise hopes that somebody
//! behind us reads otherwise, or has never talked to a server before.

use super::declared::{self, Declared};
use super::framing::{Chunks, Framing};
use crate::http::message::{Headers, Request, Role};
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::{Method, Uri, Version};
use std::mem::MaybeUninit;

/// Header fields for which there is room on the stack: the default bound.
const USUAL: usize = 100;

/// What a head may take up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes, from the request line to the empty line.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

/// A request without its body.
#[derive(Debug)]
pub struct Head {
    /// Method, target, version and fields, which share one buffer.
    pub request: Request,
    /// Where its body ends.
    pub framing: Framing,
    /// Whether its sender means to send another one on the same connection.
    pub keep: bool,
    /// Whether its sender waits to be told that the body is wanted (`Expect: 100-continue`).
    pub expects: bool,
}

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not HTTP/1.1, or not in one way only.
    Syntax,
    /// Over one of the [`Limits`].
    TooLarge,
}

/// How much of a head has been looked at, so that one that arrives in drips is looked at once.
#[derive(Debug, Default)]
pub struct Reader {
    /// Where the line begins that is not complete yet.
    line: usize,
    /// Up to where no line ends.
    seen: usize,
    /// Bytes of empty lines before it.
    empty: usize,
}

impl Reader {
    /// Reads the head at the beginning of `input` and takes it away; `None` when more bytes are needed. Empty lines before
    /// it are taken away too.
    ///
    /// # Errors
    /// When no more bytes will make a request of these.
    pub fn read(&mut self, input: &mut BytesMut, limits: Limits) -> Result<Option<Head>, Malformed> {
        let Some(end) = self.end(input, limits.bytes)? else {
            return Ok(None);
        };
        *self = Self::default();
        head(&input.split_to(end).freeze(), limits.fields).map(Some)
    }

    /// Behind the empty line that ends the head.
    fn end(&mut self, input: &mut BytesMut, most: usize) -> Result<Option<usize>, Malformed> {
        while input.starts_with(b"\r\n") {
            input.advance(2);
            self.empty += 2;
            (self.line, self.seen) = (0, 0);
        }
        if self.empty >= most {
            return Err(Malformed::TooLarge);
        }
        let unseen = input.get(self.seen..).unwrap_or_default();
        for found in memchr::memchr_iter(b'\n', unseen) {
            let feed = self.seen + found;
            if feed >= most {
                return Err(Malformed::TooLarge);
            }
            if feed == 0 || input.get(feed - 1) != Some(&b'\r') {
                return Err(Malformed::Syntax);
            }
            if feed - 1 == self.line {
                return Ok(Some(feed + 1));
            }
            self.line = feed + 1;
        }
        self.seen = input.len();
        if input.len() >= most {
            return Err(Malformed::TooLarge);
        }
        Ok(None)
    }
}

/// Reads a complete head of at most `most` fields.
fn head(bytes: &Bytes, most: usize) -> Result<Head, Malformed> {
    let mut usual = [const { MaybeUninit::uninit() }; USUAL];
    let mut unusual = Vec::new();
    let room = usual.get_mut(..most).unwrap_or_else(|| {
        unusual.resize(most, MaybeUninit::uninit());
        &mut unusual
    });
    let mut parsed = httparse::Request::new(&mut []);
    let read = httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, bytes, room);
    match read {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Malformed::Syntax),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooLarge),
        Err(_) => return Err(Malformed::Syntax),
    }
    let method = parsed.method.unwrap_or_default();
    let target = parsed.path.unwrap_or_default();
    let version = match parsed.version {
        Some(0) => Version::HTTP_10,
        Some(_) | None => Version::HTTP_11,
    };
    let headers = Headers::parsed(bytes, parsed.headers).ok_or(Malformed::Syntax)?;
    let framing = framing(version, &headers)?;
    let keep = declared::keeps(version, &headers) && !framing.ends_with_connection();
    let expects = version == Version::HTTP_11 && !framing.is_complete() && headers.has(Role::Expect);
    Ok(Head {
        framing,
        keep,
        expects,
        request: Request {
            method: Method::from_bytes(method.as_bytes()).map_err(|_| Malformed::Syntax)?,
            uri: Uri::from_maybe_shared(bytes.slice_ref(target.as_bytes())).map_err(|_| Malformed::Syntax)?,
            version,
            headers,
        },
    })
}

/// Where the body ends (RFC 9112, 6.3, without what that section merely tolerates). A transfer coding that is not for us to
/// read is left for the gateway to refuse, and the connection ends with it.
fn framing(version: Version, headers: &Headers) -> Result<Framing, Malformed> {
    match declared::declared(version, headers).ok_or(Malformed::Syntax)? {
        Declared::Nothing => Ok(Framing::Length(0)),
        Declared::Length(length) => Ok(Framing::Length(length)),
        Declared::Chunked => Ok(Framing::Chunked(Chunks::default())),
        Declared::Coded => Ok(Framing::UntilClose),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        bytes: 1024,
        fields: 10,
    };

    fn read(wire: &[u8]) -> Result<Option<Head>, Malformed> {
        Reader::default().read(&mut BytesMut::from(wire), LIMITS)
    }

    fn with(lines: &str) -> Result<Head, Malformed> {
        read(format!("POST /a?b HTTP/1.1\r\nHost: h\r\n{lines}\r\n").as_bytes()).map(Option::unwrap)
    }

    #[test]
    fn a_head_is_read_however_it_is_cut_and_what_follows_is_left() {
        let wire = b"\r\n\r\nPOST /a?b HTTP/1.1\r\nHost: h\r\nX-Y:  z \r\nContent-Length: 3\r\n\r\nabcGET";
        for step in 1..=wire.len() {
            let (mut reader, mut input, mut head) = (Reader::default(), BytesMut::new(), None);
            let mut pieces = wire.chunks(step);
            while head.is_none() {
                input.extend_from_slice(pieces.next().unwrap());
                head = reader.read(&mut input, LIMITS).unwrap();
            }
            let head = head.unwrap();
            assert_eq!(
                (head.framing, head.keep, head.expects),
                (Framing::Length(3), true, false)
            );
            assert_eq!(head.request.method, Method::POST);
            assert_eq!(head.request.uri, "/a?b");
            assert_eq!(head.request.headers.named("x-y").collect::<Vec<_>>(), [b"z"]);
            let left = [&input[..], &pieces.flatten().copied().collect::<Vec<_>>()].concat();
            assert_eq!(left, b"abcGET");
        }
    }

    /// A01, A02, A03, A04, A12, A13, A17: what some other server might read.
    #[test]
    fn what_could_be_read_in_two_ways_is_no_request() {
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
            assert_eq!(with(lines).unwrap_err(), Malformed::Syntax, "{lines:?}");
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
        ] {
            assert_eq!(read(line.as_bytes()).unwrap_err(), Malformed::Syntax, "{line:?}");
        }
    }

    #[test]
    fn a_coding_that_nobody_here_reads_ends_with_the_connection() {
        for lines in [
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            let head = with(lines).unwrap();
            assert_eq!((head.framing, head.keep), (Framing::UntilClose, false), "{lines:?}");
        }
        let old = read(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n");
        let old = old.unwrap().unwrap();
        assert_eq!((old.framing, old.keep), (Framing::UntilClose, false));
        let chunked = with("transfer-encoding: Chunked\r\nExpect: 100-continue\r\n").unwrap();
        assert_eq!(chunked.framing, Framing::Chunked(Chunks::default()));
        assert!(chunked.keep && chunked.expects);
    }

    #[test]
    fn connections_are_kept_as_their_senders_say() {
        for (wire, keep) in [
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(read(wire.as_bytes()).unwrap().unwrap().keep, keep, "{wire:?}");
        }
    }

    #[test]
    fn limits_are_exact() {
        let head = |bytes: usize, fields: usize| {
            let fields = "A: b\r\n".repeat(fields);
            let room = bytes - "GET /  HTTP/1.1\r\n\r\n".len() - fields.len() - 1;
            format!("GET /{} HTTP/1.1\r\n{fields}\r\n", "x".repeat(room + 2))
        };
        let largest = head(1024, 10);
        assert_eq!(largest.len(), 1024);
        assert!(read(largest.as_bytes()).unwrap().is_some());
        assert_eq!(read(head(1025, 10).as_bytes()).unwrap_err(), Malformed::TooLarge);
        assert_eq!(read(head(1024, 11).as_bytes()).unwrap_err(), Malformed::TooLarge);
        assert!(read(&[b'x'; 1023]).unwrap().is_none());
        assert_eq!(read(&[b'x'; 1024]).unwrap_err(), Malformed::TooLarge);
        assert!(read(&b"\r\n".repeat(511)).unwrap().is_none());
        assert_eq!(read(&b"\r\n".repeat(512)).unwrap_err(), Malformed::TooLarge);
        let many = Limits {
            bytes: 10_000,
            fields: 200,
        };
        let mut wire = BytesMut::from(&head(2000, 200)[..]);
        assert!(Reader::default().read(&mut wire, many).unwrap().is_some());
    }

    proptest! {
        /// Whatever comes in whatever pieces is judged as if it had come at once.
        #[test]
        fn pieces_do_not_matter(wire in "(GET|POST|[ -~]{0,4}) [!-~]{0,6} HTTP/1.[01]\r?\n([A-Za-z-]{1,20}:[ -~]{0,9}\r?\n){0,4}\r?\n.{0,9}", step in 1_usize..40) {
            let whole = read(wire.as_bytes()).map(|head| head.map(|head| format!("{head:?}")));
            let (mut reader, mut input) = (Reader::default(), BytesMut::new());
            let mut pieces = wire.as_bytes().chunks(step);
            let piecemeal = loop {
                match (reader.read(&mut input, LIMITS), pieces.next()) {
                    (Ok(None), Some(piece)) => input.extend_from_slice(piece),
                    (end, _) => break end.map(|head| head.map(|head| format!("{head:?}"))),
                }
            };
            prop_assert_eq!(whole, piecemeal);
        }
    }
}
