//! The identity of a verified request: a hash of the bytes that were signed. No secret of a route is part of it.
//!
//! A webhook is hashed twice: once with the secret, for its signature, and once without, for its identity. The second
//! hash is needed only to tell webhooks apart. Where nobody but this process compares identities,
//! [`IdentityHash::ThisProcess`] replaces the pass of SHA-256 by one of GMAC (NIST SP 800-38D), which is about ten times
//! as fast. Why that is safe: the key of GMAC is random and made by this process, and no identity leaves the process. For
//! two different texts, the probability of one tag is below 2⁻¹²⁰, whoever chose the texts.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

/// Bytes under one tag.
const LEAF: usize = 4096;

/// The key of [`IdentityHash::ThisProcess`]. It is made once, so that a reload of the configuration forgets nothing.
/// `None` if the system has no random numbers.
static KEY: LazyLock<Option<LessSafeKey>> = LazyLock::new(|| {
    let mut key = [0; 16];
    aws_lc_rs::rand::fill(&mut key).ok()?;
    UnboundKey::new(&AES_128_GCM, &key).ok().map(LessSafeKey::new)
});

/// How identities are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentityHash {
    /// There is none: nothing detects repetitions.
    None,
    /// SHA-256 of the signed bytes: equal on all replicas and after a restart. For identities that are stored outside of
    /// this process.
    #[default]
    Sha256,
    /// SHA-256 of the GMAC tags of the signed bytes, under a random key of this process: for the replay guard in memory,
    /// where nothing else needs the identity, because webhooks have an id of the provider.
    ThisProcess,
}

impl IdentityHash {
    /// The identity of the bytes that the parts are together; 32 zero bytes if there is none. It does not depend on where
    /// one part ends and the next begins.
    #[must_use]
    pub fn of<'b>(self, parts: impl IntoIterator<Item = &'b [u8]>) -> [u8; 32] {
        let key = match self {
            Self::None => return [0; 32],
            Self::Sha256 => None,
            Self::ThisProcess => KEY.as_ref(),
        };
        match key {
            None => parts
                .into_iter()
                .fold(Sha256::new(), Sha256::chain_update)
                .finalize()
                .into(),
            Some(key) => {
                let mut leaves = Leaves {
                    key,
                    tags: Sha256::new(),
                    partial: [0; LEAF],
                    filled: 0,
                };
                parts.into_iter().for_each(|part| leaves.update(part));
                leaves.finish()
            }
        }
    }
}

/// A text in leaves of [`LEAF`] bytes, of which only the last is shorter. Each tag depends on the length of its leaf, so
/// that different texts have different lists of tags.
struct Leaves<'k> {
    key: &'k LessSafeKey,
    /// The hash of the tags so far.
    tags: Sha256,
    /// The leaf that is not full yet.
    partial: [u8; LEAF],
    filled: usize,
}

impl Leaves<'_> {
    fn update(&mut self, mut part: &[u8]) {
        while !part.is_empty() {
            if self.filled == 0
                && let Some((leaf, rest)) = part.split_first_chunk::<LEAF>()
            {
                Self::add(self.key, &mut self.tags, leaf);
                part = rest;
                continue;
            }
            let (now, later) = part.split_at(part.len().min(LEAF - self.filled));
            let end = self.filled + now.len();
            if let Some(room) = self.partial.get_mut(self.filled..end) {
                room.copy_from_slice(now);
            }
            self.filled = end;
            part = later;
            if self.filled == LEAF {
                Self::add(self.key, &mut self.tags, &self.partial);
                self.filled = 0;
            }
        }
    }

    fn finish(mut self) -> [u8; 32] {
        let last = self.partial.get(..self.filled).unwrap_or_default();
        if !last.is_empty() {
            Self::add(self.key, &mut self.tags, last);
        }
        self.tags.finalize().into()
    }

    /// Adds the tag of one leaf. The nonce may repeat, because nobody sees a tag: with one nonce GMAC is the polynomial
    /// hash GHASH under a secret key, and a constant.
    fn add(key: &LessSafeKey, tags: &mut Sha256, leaf: &[u8]) {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        match key.seal_in_place_separate_tag(nonce, Aad::from(leaf), &mut []) {
            Ok(tag) => tags.update(tag),
            // Not for a leaf of this length. The leaf itself identifies as well.
            Err(_) => tags.update(leaf),
        }
    }
}
