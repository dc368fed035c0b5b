//! Secret bytes: zeroized when dropped, printed as `[redacted]`.
//!
//! Every secret of the process (signing secrets, static upstream header values, store passwords) has this type from the
//! moment it is read until it becomes the key of a MAC, so that no log line, error or output of `check` can show it.

//!
//! A directory of secrets has one file for each owner, such as a tenant. Requests choose an owner by name in a table in memory
//! ([`OwnerTable`]): no name that a request carries is ever used as a path. [`SecretDirectory`] reads the files, and replaces
//! one owner after the other when they change. What is stored on disk is encrypted by a
//! [`vault`].

mod directory;
mod table;
pub mod vault;

pub use directory::{Changes, MAX_SECRETS, Make, SecretDirectory};
pub use table::OwnerTable;

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

/// Longest name of an owner, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Whether a text is the name of an owner: 1 to 128 letters, digits, `.`, `-` and `_`, and no `.` at its beginning. Such a
/// name is safe as a file, in a header and in a log.
fn is_owner_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
