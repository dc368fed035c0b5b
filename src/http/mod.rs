//! HTTP as data: messages and their fields, HTTP/1.1 framing, the header rules of both directions, bounded bodies.
//!
//! Nothing here knows the gateway, a route or a provider. Each module imports only from those below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`body`] | a request's body, read within limits of bytes and time |
//! | [`transport`] | the sender's byte stream |
//! | [`rules`] | what a request's fields must not say, and what goes back to the sender |
//! | [`http1`] | HTTP/1.1 as bytes: heads and framing |
//! | [`message`] | requests, answers and their fields, in any version of HTTP |
//! | [`percent`] | percent-encoding |
//! | [`decimal`] | decimal digits |

pub mod body;
pub(crate) mod decimal;
pub mod http1;
pub mod message;
pub mod percent;
pub mod rules;
pub mod transport;
