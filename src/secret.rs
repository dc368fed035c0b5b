//! Secret bytes: zeroized when dropped, `[redacted]` when printed.
//!
//! Every secret of the process (signing secrets, static upstream header values, store passwords) lives in this type
//! from the moment it is read until it is keyed into a MAC, so that no log line, error or `check` output can show it.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes that must never be shown. Equality is for configuration faults (the same secret twice), never for verification.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes ownership of the bytes, verbatim.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for keying a MAC. The name makes every use easy to find in review.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
