//! Writes the head of a response to the sender.
//!
//! The status, the reason phrase and the fields of the upstream's response are written as they were received. The
//! fields that say how the body ends and whether the connection is kept are written by hookgate. Names and values come
//! from parsed fields or from hookgate itself, so none of them can contain a line end.

use super::lines::field;
use crate::http::message::{Response, Role};
use bytes::{BufMut as _, BytesMut};
use hyper::{Method, StatusCode, Version};

/// The properties of a request that decide how its response is written.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext {
    /// Whether the method was `HEAD`; the response then has no body, whatever its fields say.
    pub is_head: bool,
    /// The version of the request. HTTP/1.0 has no chunks and closes the connection by default.
    pub version: Version,
    /// Whether the connection is kept after the response. The connection sets it;
    /// [`write_head`](Self::write_head) clears it when the response ends the connection.
    pub keep_alive: bool,
}

/// How the body of a response is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// There is no body.
    None,
    /// Unchanged: its length is in the head, or it ends with the connection.
    Plain,
    /// In chunks (`Transfer-Encoding: chunked`).
    Chunked,
}

impl ResponseContext {
    /// The context of a request with this method and version.
    #[must_use]
    pub fn new(method: &Method, version: Version, keep_alive: bool) -> Self {
        Self {
            is_head: method == Method::HEAD,
            version,
            keep_alive,
        }
    }

    /// Writes the head of a response to `out` and returns how its body is written. Clears `keep_alive` when the
    /// response ends the connection.
    ///
    /// `length` is the length of the body in bytes, `None` when it is not known. `date` becomes the value of `Date`
    /// when the response has none.
    pub fn write_head<B>(
        &mut self,
        out: &mut BytesMut,
        response: &Response<B>,
        length: Option<u64>,
        date: &[u8],
    ) -> BodyFormat {
        let status = response.status;
        if response
            .headers
            .first(Role::Connection)
            .is_some_and(|value| value.eq_ignore_ascii_case(b"close"))
        {
            self.keep_alive = false;
        }
        let has_no_body = self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let format = match length {
            _ if has_no_body => BodyFormat::None,
            Some(_) => BodyFormat::Plain,
            None if self.version == Version::HTTP_11 => BodyFormat::Chunked,
            None => {
                self.keep_alive = false;
                BodyFormat::Plain
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
            // The length of a body is written below.
            let is_length = header.role == Role::ContentLength && (!has_no_body || status == StatusCode::NO_CONTENT);
            if is_length || header.role == Role::Connection {
                continue;
            }
            has_date |= header.role == Role::Date;
            field(out, header.name, header.value);
        }
        match (format, length) {
            (BodyFormat::Plain, Some(length)) => {
                field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes());
            }
            (BodyFormat::Chunked, _) => field(out, b"transfer-encoding", b"chunked"),
            (BodyFormat::Plain, None) | (BodyFormat::None, _) => {}
        }
        if !has_date {
            field(out, b"date", date);
        }
        match (self.keep_alive, self.version == Version::HTTP_11) {
            (false, _) => field(out, b"connection", b"close"),
            (true, false) => field(out, b"connection", b"keep-alive"),
            (true, true) => {}
        }
        out.put_slice(b"\r\n");
        format
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    fn written(
        mut context: ResponseContext,
        response: &Response<()>,
        length: Option<u64>,
    ) -> (String, BodyFormat, bool) {
        let mut out = BytesMut::new();
        let format = context.write_head(&mut out, response, length, b"today");
        (String::from_utf8(out.to_vec()).unwrap(), format, context.keep_alive)
    }

    fn response(status: u16, fields: &[(&'static str, &'static str)]) -> Response<()> {
        let mut response = Response::new(StatusCode::from_u16(status).unwrap(), ());
        response.headers = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        response
    }

    const HTTP_11: ResponseContext = ResponseContext {
        is_head: false,
        version: Version::HTTP_11,
        keep_alive: true,
    };
    const HTTP_10: ResponseContext = ResponseContext {
        version: Version::HTTP_10,
        ..HTTP_11
    };
    const HEAD: ResponseContext = ResponseContext {
        is_head: true,
        ..HTTP_11
    };

    #[test]
    fn every_response_says_once_how_its_body_ends() {
        let fields = [
            ("content-length", "2"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
            ("date", "x"),
        ];
        let kept = "HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\ndate: x\r\n";
        assert_eq!(
            written(HTTP_11, &response(200, &fields), Some(2)),
            (format!("{kept}content-length: 2\r\n\r\n"), BodyFormat::Plain, true)
        );
        assert_eq!(
            written(HTTP_10, &response(200, &fields), Some(2)).0,
            format!("{kept}content-length: 2\r\nconnection: keep-alive\r\n\r\n")
        );
        let bare = response(200, &[]);
        assert_eq!(
            written(HTTP_11, &bare, None),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: today\r\n\r\n".into(),
                BodyFormat::Chunked,
                true
            )
        );
        assert_eq!(
            written(HTTP_10, &bare, None),
            (
                "HTTP/1.1 200 OK\r\ndate: today\r\nconnection: close\r\n\r\n".into(),
                BodyFormat::Plain,
                false
            )
        );
        let closing = response(503, &[("connection", "close")]);
        assert_eq!(
            written(HTTP_11, &closing, Some(0)),
            (
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\ndate: today\r\nconnection: close\r\n\r\n"
                    .into(),
                BodyFormat::Plain,
                false
            )
        );
    }

    #[test]
    fn a_response_without_body_keeps_its_length_field() {
        let length = [("content-length", "1234"), ("date", "x")];
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\ndate: x\r\n\r\n";
        assert_eq!(
            written(HEAD, &response(200, &length), Some(0)),
            (head.into(), BodyFormat::None, true)
        );
        let unchanged = "HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\ndate: x\r\n\r\n";
        assert_eq!(written(HTTP_11, &response(304, &length), Some(0)).0, unchanged);
        let empty = "HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n";
        assert_eq!(written(HTTP_11, &response(204, &length), Some(0)).0, empty);
    }

    #[test]
    fn an_unusual_reason_phrase_is_kept() {
        let mut odd = response(200, &[("date", "x")]);
        odd.reason = Some("Quite Right".into());
        assert!(
            written(HTTP_11, &odd, Some(0))
                .0
                .starts_with("HTTP/1.1 200 Quite Right\r\n")
        );
    }
}
