//! What applications and tools do to a body between the network and the code that verifies it, undone.
//!
//! Each function takes the captured body and returns the bodies that it may have been before one change. Whether one of
//! them is right is decided by the signature alone ([`super::search`]).
//!
//! | module | what it undoes |
//! | --- | --- |
//! | [`traces`] | what changes leave behind that cannot be undone |
//! | [`json`] | JSON that was parsed and serialised again |
//! | [`json_values`] | values that a JSON library or a framework changed |
//! | [`form`] | forms that were parsed and written again |
//! | [`form_values`] | fields that a framework changed, lost or added |
//! | [`encoding`] | Base64, strings, buffers, character encodings, compression |
//! | [`json_edits`] | replacements of single JSON values |
//! | [`line_ends`] | line ends and white space at the ends |
//! | [`json_text`] | JSON as text: parsed and written without changing a token |
//! | [`json_spelling`] | the ways in which libraries and providers write JSON |

mod encoding;
mod form;
mod form_values;
mod json;
mod json_edits;
mod json_spelling;
mod json_text;
mod json_values;
mod line_ends;
mod traces;

pub(super) use traces::{after_loss, length};

use super::case::Case;
use super::finding::Change;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Largest number of bytes of all variants of one body, so that a large body does not fill the memory (96 MiB).
const MAX_BYTES: usize = 96 << 20;

/// Bodies that a captured body may have been before one change, each once.
pub(super) struct Variants {
    list: Vec<(Change, Vec<u8>)>,
    seen: HashSet<u64>,
    bytes: usize,
    /// Names of the causes that were tried, in order.
    tried: Vec<&'static str>,
}

impl Variants {
    fn new(body: &[u8]) -> Self {
        let mut variants = Self {
            list: Vec::new(),
            seen: HashSet::new(),
            bytes: 0,
            tried: Vec::new(),
        };
        variants.seen.insert(digest(body));
        variants
    }

    /// Adds a variant, unless it was added before or the variants are too large. Returns whether more are accepted.
    fn add(&mut self, change: impl FnOnce() -> Change, body: Vec<u8>) -> bool {
        if self.bytes + body.len() > MAX_BYTES {
            return false;
        }
        if self.seen.insert(digest(&body)) {
            self.bytes += body.len() + 128;
            self.list.push((change(), body));
        }
        true
    }

    /// Notes that a cause was tried.
    fn tries(&mut self, cause: &'static str) {
        if !self.tried.contains(&cause) {
            self.tried.push(cause);
        }
    }

    /// The variants and the names of the causes that were tried.
    pub(super) fn into_parts(self) -> (Vec<(Change, Vec<u8>)>, Vec<&'static str>) {
        (self.list, self.tried)
    }
}

/// A hash that tells bodies apart within one run.
fn digest(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

/// The bodies before a change of their bytes as a whole: encodings, line ends, white space.
pub(super) fn simple(case: &Case, body: &[u8]) -> Variants {
    let mut variants = Variants::new(body);
    line_ends::add(case, body, &mut variants);
    encoding::add(body, &mut variants);
    variants
}

/// The bodies before they were parsed and written again.
pub(super) fn structured(case: &Case, body: &[u8]) -> Variants {
    let mut variants = Variants::new(body);
    form::add(case, body, &mut variants);
    json::add(case, body, &mut variants);
    variants
}
