//! HTTP as data: messages and their header fields, HTTP/1.1 framing, the header rules of both directions, limited
//! bodies.
//!
//! Nothing here knows the gateway, a route or a provider. [`message`] is the best module to read first, then [`http1`]
//! and [`rules`]. Each module imports only from modules below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`body`] | receives a request's body within limits of bytes and time |
//! | [`payload`] | the body of the request that is forwarded to the upstream |
//! | [`budget`] | the process-wide limit on the bytes that requests hold |
//! | [`source`] | the source of a request, to which shares of the limits belong |
//! | [`transport`] | the sender's byte stream |
//! | [`rules`] | header rules: which request fields are refused, which response fields are removed |
//! | [`destination`] | what a request asks for: authority and target |
//! | [`unread_head`] | why a request's head could not be read |
//! | [`http1`] | HTTP/1.1 as bytes: heads and framing |
//! | [`message`] | requests, responses and their header fields, in any version of HTTP |
//! | [`percent`] | percent-encoding |

pub mod body;
pub mod budget;
pub mod destination;
pub mod http1;
pub mod message;
pub mod payload;
pub mod percent;
pub mod rules;
pub mod source;
pub mod transport;
pub mod unread_head;
