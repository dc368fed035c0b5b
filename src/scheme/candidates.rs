//! Candidate signatures of a request, decoded for every key that may have made them.

use super::compiled::CompiledScheme;
use super::header::{self, MAX_CANDIDATES, MAX_HASHING_CANDIDATES};
use super::keys::VerificationKey;
use crate::outcome::Rejection;

/// A decoded signature.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The keys that may have made it: those with the same [`SchemeKey::family`](super::compiled::SchemeKey::family).
    pub(super) family: usize,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
}

impl CompiledScheme {
    /// Decodes one signature for every family that it may belong to, and appends the results.
    ///
    /// # Errors
    /// `SignatureMalformed` beyond [`MAX_CANDIDATES`] or [`MAX_HASHING_CANDIDATES`], and for a badly written one where the
    /// scheme is strict.
    pub(super) fn candidates(&self, text: &str, into: &mut Vec<Candidate>) -> Result<(), Rejection> {
        let has_token = self
            .keys
            .iter()
            .any(|key| matches!(key.key, VerificationKey::Token(..)));
        for (family, prefix) in self.prefixes.iter().enumerate() {
            let Some(text) = text.strip_prefix(prefix.as_str()) else {
                continue;
            };
            let bytes = if has_token {
                Some(text.as_bytes().to_vec())
            } else {
                header::decode(text, self.encoding)
            };
            let is_too_many = |into: &[Candidate]| {
                let of_family = into.iter().filter(|candidate| candidate.family == family).count();
                into.len() == MAX_CANDIDATES || (of_family == MAX_HASHING_CANDIDATES && self.hashes_each_time(family))
            };
            match bytes {
                Some(_) if is_too_many(into) => return Err(Rejection::SignatureMalformed),
                Some(bytes) => into.push(Candidate { family, bytes }),
                None if self.strict => return Err(Rejection::SignatureMalformed),
                None => {}
            }
        }
        Ok(())
    }

    /// Whether each signature of this family costs a hash of the whole body.
    fn hashes_each_time(&self, family: usize) -> bool {
        let of_family = self.keys.iter().filter(|key| key.family == family);
        of_family
            .into_iter()
            .any(|key| matches!(&key.key, VerificationKey::Public(key) if key.hashes_each_time()))
    }
}
