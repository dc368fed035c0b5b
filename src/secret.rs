//! Secret bytes: zeroized when dropped, printed as `[redacted]`.
//!
//! Every secret of the process (signing secrets, static upstream header values, store passwords) has this type from the
//! moment it is read until it becomes the key of a MAC, so that no log line, error or output of `check` can show it.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes that must never be shown. Equality is for finding configuration errors (the same secret twice), never for
/// verification.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Makes a secret of these bytes, unchanged.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, to key a MAC. The name makes every use easy to find in a review.
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
