//! Messages as the gateway sees them, whatever version of HTTP they came in, and their header fields as they were written.

mod headers;
mod role;

pub use headers::{Header, Headers};
pub use role::Role;

use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode, Uri, Version};

/// A request without its body.
#[derive(Debug)]
pub struct Request {
    /// As it was sent.
    pub method: Method,
    /// As it was sent: a path with or without a query, mostly; over HTTP/2 with the authority.
    pub uri: Uri,
    /// In which it came.
    pub version: Version,
    /// In their order.
    pub headers: Headers,
}

impl Request {
    /// The head of hyper's request, and what is behind it.
    pub fn of<B>(request: hyper::Request<B>) -> (Self, B) {
        let (parts, body) = request.into_parts();
        let head = Self {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers.iter().collect(),
        };
        (head, body)
    }
}

/// An answer.
#[derive(Debug)]
pub struct Response<B> {
    /// How it went.
    pub status: StatusCode,
    /// What was said in place of the status's own words; goes back over HTTP/1.1 only.
    pub reason: Option<Bytes>,
    /// In their order.
    pub headers: Headers,
    /// What is behind the head.
    pub body: B,
}

impl<B> Response<B> {
    /// An answer that says no more than this.
    pub fn new(status: StatusCode, body: B) -> Self {
        Self {
            status,
            reason: None,
            headers: Headers::default(),
            body,
        }
    }

    /// The head, and what is behind it.
    pub fn split(self) -> (Response<()>, B) {
        let head = Response {
            status: self.status,
            reason: self.reason,
            headers: self.headers,
            body: (),
        };
        (head, self.body)
    }

    /// The same with another body.
    pub fn map<C>(self, map: impl FnOnce(B) -> C) -> Response<C> {
        let (head, body) = self.split();
        Response {
            status: head.status,
            reason: head.reason,
            headers: head.headers,
            body: map(body),
        }
    }

    /// The same in hyper's words.
    pub fn into_hyper(self) -> hyper::Response<B> {
        let mut response = hyper::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = HeaderMap::from(&self.headers);
        response
    }
}
