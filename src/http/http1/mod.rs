//! HTTP/1.1 as bytes (RFC 9112): heads and the ends of bodies, of both directions. Pure: bytes in, values out.
//!
//! The requests of senders are parsed only here, as strictly as the standard allows: a request that two servers could
//! read in two ways is refused. httparse parses the single lines. Read [`body_length`] and [`framing`] before
//! [`request`]. Each module imports only from modules below it:
//!
//! | module | what it is |
//! | --- | --- |
//! | [`request`] | reads the head of a sender's request |
//! | [`response`] | writes the head of a response to the sender |
//! | [`framing`] | finds the end of a body, decodes chunks |
//! | [`body_length`] | what the fields declare about the body and the connection |
//! | [`lines`] | writes field lines and chunk sizes |

pub mod body_length;
pub mod framing;
pub(crate) mod lines;
pub mod request;
pub mod response;
