//! The head of an answer, as its sender gets to read it.
//!
//! An upstream's status, reason and fields go back as they came; what is written anew is where the body ends and whether
//! the connection goes on. Names and values are those of parsed fields, or ours: none can hold a line end.

use super::lines::field;
use crate::http::decimal;
use crate::http::message::{Response, Role};
use bytes::{BufMut as _, BytesMut};
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
    pub fn write<B>(
        &mut self,
        out: &mut BytesMut,
        response: &Response<B>,
        length: Option<u64>,
        date: &[u8],
    ) -> Delimited {
        let status = response.status;
        if response
            .headers
            .first(Role::Connection)
            .is_some_and(|said| said.eq_ignore_ascii_case(b"close"))
        {
            self.keep = false;
        }
        let bodiless = self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
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
        out.put_slice(match &response.reason {
            Some(reason) => reason,
            None => status.canonical_reason().unwrap_or_default().as_bytes(),
        });
        out.put_slice(b"\r\n");
        let mut has_date = false;
        for header in response.headers.iter() {
            // Said again below, where there is a body.
            let is_length = header.role == Role::ContentLength && (!bodiless || status == StatusCode::NO_CONTENT);
            if is_length || header.role == Role::Connection {
                continue;
            }
            has_date |= header.role == Role::Date;
            field(out, header.name, header.value);
        }
        match (delimited, length) {
            (Delimited::Plain, Some(length)) => field(out, b"content-length", decimal::write(length, &mut [0; 20])),
            (Delimited::Chunked, _) => field(out, b"transfer-encoding", b"chunked"),
            (Delimited::Plain, None) | (Delimited::Bodiless, _) => {}
        }
        if !has_date {
            field(out, b"date", date);
        }
        match (self.keep, self.version == Version::HTTP_11) {
            (false, _) => field(out, b"connection", b"close"),
            (true, false) => field(out, b"connection", b"keep-alive"),
            (true, true) => {}
        }
        out.put_slice(b"\r\n");
        delimited
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    fn written(mut asked: Asked, response: &Response<()>, length: Option<u64>) -> (String, Delimited, bool) {
        let mut out = BytesMut::new();
        let delimited = asked.write(&mut out, response, length, b"today");
        (String::from_utf8(out.to_vec()).unwrap(), delimited, asked.keep)
    }

    fn response(status: u16, fields: &[(&'static str, &'static str)]) -> Response<()> {
        let mut response = Response::new(StatusCode::from_u16(status).unwrap(), ());
        response.headers = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        response
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
            written(ASKED, &response(200, &fields), Some(2)),
            (format!("{kept}content-length: 2\r\n\r\n"), Delimited::Plain, true)
        );
        assert_eq!(
            written(OLD, &response(200, &fields), Some(2)).0,
            format!("{kept}content-length: 2\r\nconnection: keep-alive\r\n\r\n")
        );
        let bare = response(200, &[]);
        assert_eq!(
            written(ASKED, &bare, None),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: today\r\n\r\n".into(),
                Delimited::Chunked,
                true
            )
        );
        assert_eq!(
            written(OLD, &bare, None),
            (
                "HTTP/1.1 200 OK\r\ndate: today\r\nconnection: close\r\n\r\n".into(),
                Delimited::Plain,
                false
            )
        );
        let closing = response(503, &[("connection", "close")]);
        assert_eq!(
            written(ASKED, &closing, Some(0)),
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
            written(HEAD, &response(200, &length), Some(0)),
            (head.into(), Delimited::Bodiless, true)
        );
        let unchanged = "HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\ndate: x\r\n\r\n";
        assert_eq!(written(ASKED, &response(304, &length), Some(0)).0, unchanged);
        let empty = "HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n";
        assert_eq!(written(ASKED, &response(204, &length), Some(0)).0, empty);
    }

    #[test]
    fn an_unusual_reason_goes_back_as_it_came() {
        let mut odd = response(200, &[("date", "x")]);
        odd.reason = Some("Quite Right".into());
        assert!(
            written(ASKED, &odd, Some(0))
                .0
                .starts_with("HTTP/1.1 200 Quite Right\r\n")
        );
    }
}
