//! HTTP/1.1 as bytes (RFC 9112): heads and the ends of bodies, of both directions. Pure: bytes in, meaning out.
//!
//! What a webhook's sender may write is read here and nowhere else, as narrowly as the standard allows: wherever two
//! servers could read the same bytes in two ways, there is no request. httparse reads the single lines.

pub mod answer;
pub mod declared;
pub mod framing;
pub(crate) mod lines;
pub mod request;
