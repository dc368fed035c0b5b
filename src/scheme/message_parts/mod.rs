//! The parts of message signatures (RFC 9421): what one covers, the hashes of a body, the URL, and keys.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`digest`] | the hashes of a body that its head states |
//! | [`component`] | what a signature covers |
//! | [`target`] | the parts of the URL |
//! | [`key`] | the algorithms, and public keys |

mod component;
mod digest;
mod key;
mod target;

pub(super) use component::{Component, Required, dictionary, written};
pub(super) use digest::{ContentDigest, written as written_digest};
pub(super) use key::{MessageAlgorithm, MessageKey};
pub(super) use target::Target;

/// The field that says what is signed.
pub(super) const SIGNATURE_INPUT: &str = "signature-input";
/// The field with the hashes of the body (RFC 9530).
pub(super) const CONTENT_DIGEST: &str = "content-digest";
