//! The head of an answer, as its sender gets to read it.
//!
//! An upstream's status, reason and fields go back as they came; what is written anew is where the body ends and whether
//! the connection goes on. Names and values are those of parsed fields, or ours: none can hold a line end.

use super::fields::write_decimal;
use bytes::{BufMut as _, BytesMut};
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderMap};
use hyper::http::response::Parts;
use hyper::{Method, StatusCode, Version};

/// What decides about an answer besides itself.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The request was `HEAD`, so there is no body whatever the fields say.
    pub is_head: bool,
    /// HTTP/1.0 knows no chunks and closes unless told otherwise.
    pub version: Version,
    /// Whether the connection may go on as far as the request is concerned.
    pub keep: bool,
}

/// How the body is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimited {
    /// There is none.
    Bodiless,
    /// As it is: its length is in the head, or it ends with the connection.
    Plain,
    /// In chunks.
    Chunked,
}

impl Asked {
    /// What a request asks for that is `method` in `version`.
    #[must_use]
    pub fn new(method: &Method, version: Version, keep: bool) -> Self {
        Self {
            is_head: method == Method::HEAD,
            version,
            keep,
        }
    }

    /// Writes the head of an answer whose body has `length` bytes, where that is known. `date` is the value of `Date`
    /// for an answer without one. Says how its body is to be written, and turns `keep` off when the connection ends with it.
    pub fn write(&mut self, out: &mut BytesMut, parts: &Parts, length: Option<u64>, date: &[u8]) -> Delimited {
        let Parts { status, headers, .. } = parts;
        if closes(headers) {
            self.keep = false;
        }
        let bodiless = self.is_head || matches!(*status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let delimited = match length {
            _ if bodiless => Delimited::Bodiless,
            Some(_) => Delimited::Plain,
            None if self.version == Version::HTTP_11 => Delimited::Chunked,
            None => {
                self.keep = false;
                Delimited::Plain
            }
        };
        out.put_slice(b"HTTP/1.1 ");
        out.put_slice(status.as_str().as_bytes());
        out.put_slice(b" ");
        out.put_slice(match parts.extensions.get::<ReasonPhrase>() {
            Some(reason) => reason.as_bytes(),
            None => status.canonical_reason().unwrap_or_default().as_bytes(),
        });
        out.put_slice(b"\r\n");
        let mut has_date = false;
        for (name, value) in headers {
            // Said again below, where there is a body.
            let is_length = *name == header::CONTENT_LENGTH && (!bodiless || *status == StatusCode::NO_CONTENT);
            if is_length || *name == header::CONNECTION {
                continue;
            }
            has_date |= *name == header::DATE;
            field(out, name.as_str(), value.as_bytes());
        }
        match (delimited, length) {
            (Delimited::Plain, Some(length)) => field(out, "content-length", write_decimal(length, &mut [0; 20])),
            (Delimited::Chunked, _) => field(out, "transfer-encoding", b"chunked"),
            (Delimited::Plain, None) | (Delimited::Bodiless, _) => {}
        }
        if !has_date {
            field(out, "date", date);
        }
        match (self.keep, self.version == Version::HTTP_11) {
            (false, _) => field(out, "connection", b"close"),
            (true, false) => field(out, "connection", b"keep-alive"),
            (true, true) => {}
        }
        out.put_slice(b"\r\n");
        delimited
    }
}

/// The line before a chunk of `length` bytes.
pub fn chunk_size(out: &mut BytesMut, length: usize) {
    let digits = length.to_be_bytes();
    let mut hexadecimal = [0; 2 * size_of::<usize>()];
    // As many digits as there is room for: it cannot fail.
    let _ = hex::encode_to_slice(digits, &mut hexadecimal);
    let zeros = hexadecimal.iter().take_while(|digit| **digit == b'0').count();
    out.put_slice(hexadecimal.get(zeros..).unwrap_or_default());
    out.put_slice(b"\r\n");
}

fn closes(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONNECTION)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

fn field(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hyper::Response;

    fn written(mut asked: Asked, response: Response<()>, length: Option<u64>) -> (String, Delimited, bool) {
        let mut out = BytesMut::new();
        let delimited = asked.write(&mut out, &response.into_parts().0, length, b"today");
        (String::from_utf8(out.to_vec()).unwrap(), delimited, asked.keep)
    }

    fn response(status: u16, fields: &[(&str, &str)]) -> Response<()> {
        let builder = Response::builder().status(status);
        let builder = fields
            .iter()
            .fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).unwrap()
    }

    const ASKED: Asked = Asked {
        is_head: false,
        version: Version::HTTP_11,
        keep: true,
    };
    const OLD: Asked = Asked {
        version: Version::HTTP_10,
        ..ASKED
    };
    const HEAD: Asked = Asked { is_head: true, ..ASKED };

    #[test]
    fn every_answer_says_once_where_it_ends() {
        let fields = [
            ("content-length", "2"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
            ("date", "x"),
        ];
        let kept = "HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\ndate: x\r\n";
        assert_eq!(
            written(ASKED, response(200, &fields), Some(2)),
            (format!("{kept}content-length: 2\r\n\r\n"), Delimited::Plain, true)
        );
        assert_eq!(
            written(OLD, response(200, &fields), Some(2)).0,
            format!("{kept}content-length: 2\r\nconnection: keep-alive\r\n\r\n")
        );
        let bare = response(200, &[]);
        assert_eq!(
            written(ASKED, bare.clone(), None),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: today\r\n\r\n".into(),
                Delimited::Chunked,
                true
            )
        );
        assert_eq!(
            written(OLD, bare, None),
            (
                "HTTP/1.1 200 OK\r\ndate: today\r\nconnection: close\r\n\r\n".into(),
                Delimited::Plain,
                false
            )
        );
        let closing = response(503, &[("connection", "close")]);
        assert_eq!(
            written(ASKED, closing, Some(0)),
            (
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\ndate: today\r\nconnection: close\r\n\r\n"
                    .into(),
                Delimited::Plain,
                false
            )
        );
    }

    #[test]
    fn what_has_no_body_keeps_what_it_says_about_one() {
        let length = [("content-length", "1234"), ("date", "x")];
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\ndate: x\r\n\r\n";
        assert_eq!(
            written(HEAD, response(200, &length), Some(0)),
            (head.into(), Delimited::Bodiless, true)
        );
        let unchanged = "HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\ndate: x\r\n\r\n";
        assert_eq!(written(ASKED, response(304, &length), Some(0)).0, unchanged);
        let empty = "HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n";
        assert_eq!(written(ASKED, response(204, &length), Some(0)).0, empty);
    }

    #[test]
    fn numbers_are_written_as_http_wants_them() {
        for number in [0, 9, 10, 305, u64::MAX] {
            assert_eq!(write_decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
        for length in [1, 15, 16, 0xabcd0, usize::MAX] {
            let mut out = BytesMut::new();
            chunk_size(&mut out, length);
            assert_eq!(out, format!("{length:x}\r\n"));
        }
    }

    #[test]
    fn an_unusual_reason_goes_back_as_it_came() {
        let mut odd = response(200, &[("date", "x")]);
        odd.extensions_mut().insert(ReasonPhrase::from_static(b"Quite Right"));
        assert!(
            written(ASKED, odd, Some(0))
                .0
                .starts_with("HTTP/1.1 200 Quite Right\r\n")
        );
    }
}
