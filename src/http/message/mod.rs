//! Requests and responses in any version of HTTP, with their header fields as they were received.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`headers`] | the header fields of one message |
//! | [`role`] | what a header name means to the rules |

mod headers;
mod role;

pub use headers::{Header, Headers};
pub use role::Role;
pub(crate) use role::is_regular;

use bytes::Bytes;
use hyper::header::{COOKIE, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode, Uri, Version};

/// A request without its body.
#[derive(Debug)]
pub struct Request {
    /// The method, as it was received.
    pub method: Method,
    /// The request target, as it was received: usually a path with or without a query; over HTTP/2 also the authority.
    pub uri: Uri,
    /// The version of HTTP in which the request was received.
    pub version: Version,
    /// The header fields in their order.
    pub headers: Headers,
}

impl Request {
    /// Splits a request of hyper into its head and its body.
    pub fn from_hyper<B>(request: hyper::Request<B>) -> (Self, B) {
        let (mut parts, body) = request.into_parts();
        join_cookies(&mut parts.headers);
        let head = Self {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers.iter().collect(),
        };
        (head, body)
    }
}

/// The size of the header fields that arrived over HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct FieldsSize {
    /// Their number; all `Cookie` fields count as one, because they are joined.
    pub fields: usize,
    /// Bytes of memory that their [`Headers`] will hold.
    pub bytes: usize,
}

impl FieldsSize {
    /// The size of `fields`.
    #[must_use]
    pub fn of(fields: &HeaderMap) -> Self {
        let cookies = fields.get_all(COOKIE).iter().count();
        let bytes = fields
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + Headers::BYTES_PER_FIELD);
        Self {
            fields: fields.len() - cookies.saturating_sub(1),
            bytes: bytes.sum(),
        }
    }
}

/// Joins the `Cookie` fields, of which HTTP/2 allows several, as HTTP/1.1 requires (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// A response.
#[derive(Debug)]
pub struct Response<B> {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase, where it differs from the usual one of the status; sent over HTTP/1.1 only.
    pub reason: Option<Bytes>,
    /// The header fields in their order.
    pub headers: Headers,
    /// The body.
    pub body: B,
}

impl<B> Response<B> {
    /// A response without header fields.
    pub fn new(status: StatusCode, body: B) -> Self {
        Self {
            status,
            reason: None,
            headers: Headers::default(),
            body,
        }
    }

    /// Splits the response into its head and its body.
    pub fn split(self) -> (Response<()>, B) {
        let head = Response {
            status: self.status,
            reason: self.reason,
            headers: self.headers,
            body: (),
        };
        (head, self.body)
    }

    /// The response with another body.
    pub fn map<C>(self, map: impl FnOnce(B) -> C) -> Response<C> {
        let (head, body) = self.split();
        Response {
            status: head.status,
            reason: head.reason,
            headers: head.headers,
            body: map(body),
        }
    }

    /// The response as a type of hyper, without the reason phrase.
    pub fn into_hyper(self) -> hyper::Response<B> {
        let mut response = hyper::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = HeaderMap::from(&self.headers);
        response
    }
}
