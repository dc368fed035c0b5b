//! Keyed message authentication codes: a key is expanded once at load, and its state is cloned for every request.
//!
//! The states zeroize themselves when dropped (the `zeroize` features of the hash crates), and comparison happens in
//! constant time only, here and nowhere else. HMAC is RFC 2104.

use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// A keyed state, before or after absorbing bytes.
#[derive(Clone)]
pub(super) enum Mac {
    /// HMAC-SHA1, 20 bytes.
    Sha1(Hmac<Sha1>),
    /// HMAC-SHA256, 32 bytes.
    Sha256(Hmac<Sha256>),
    /// HMAC-SHA512, 64 bytes; boxed because it is twice the size of the others and rare.
    Sha512(Box<Hmac<Sha512>>),
}

/// Hash function under the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    /// Bytes of the MAC.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl Mac {
    /// The hash under it.
    pub(super) const fn hash(&self) -> Hash {
        match self {
            Self::Sha1(_) => Hash::Sha1,
            Self::Sha256(_) => Hash::Sha256,
            Self::Sha512(_) => Hash::Sha512,
        }
    }

    /// Expands a key. `None` for an empty key, which must never authenticate anything.
    pub(super) fn new(hash: Hash, key: &[u8]) -> Option<Self> {
        if key.is_empty() {
            return None;
        }
        match hash {
            Hash::Sha1 => Hmac::new_from_slice(key).ok().map(Self::Sha1),
            Hash::Sha256 => Hmac::new_from_slice(key).ok().map(Self::Sha256),
            Hash::Sha512 => Hmac::new_from_slice(key).ok().map(|mac| Self::Sha512(Box::new(mac))),
        }
    }

    /// Absorbs bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(bytes),
            Self::Sha256(mac) => mac.update(bytes),
            Self::Sha512(mac) => mac.update(bytes),
        }
    }

    /// The code over everything absorbed.
    pub(super) fn finish(self) -> Tag {
        match self {
            Self::Sha1(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha256(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha512(mac) => Tag::new(&mac.finalize().into_bytes()),
        }
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A computed code, or one that a sender presents: up to 64 bytes, the rest zero.
#[derive(Clone, Copy)]
pub(super) struct Tag {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Tag {
    /// The longest code of any hash here.
    pub(super) const MAX: usize = 64;

    /// Takes the first [`Self::MAX`] bytes.
    pub(super) fn new(from: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        let from = from.get(..Self::MAX).unwrap_or(from);
        if let Some(to) = bytes.get_mut(..from.len()) {
            to.copy_from_slice(from);
        }
        Self {
            len: u8::try_from(from.len()).unwrap_or_default(),
            bytes,
        }
    }

    /// The code.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The first 32 bytes (zeros after a shorter code).
    pub(super) fn identity(&self) -> [u8; 32] {
        self.bytes.first_chunk().copied().unwrap_or_default()
    }

    /// Whether two codes are the same, in a time that depends on their lengths only; eight bytes at a time, because
    /// `subtle` pays for its fence with every single one.
    pub(super) fn same(&self, presented: &Self) -> Choice {
        let words = usize::from(self.len).div_ceil(8);
        let (ours, theirs) = (self.bytes.as_chunks::<8>().0, presented.bytes.as_chunks::<8>().0);
        let pairs = ours.iter().zip(theirs).take(words);
        pairs.fold(self.len.ct_eq(&presented.len), |same, (ours, theirs)| {
            same & u64::from_ne_bytes(*ours).ct_eq(&u64::from_ne_bytes(*theirs))
        })
    }

    /// [`Tag::same`] for bytes of any length.
    pub(super) fn matches(&self, presented: &[u8]) -> Choice {
        self.as_slice().ct_eq(presented)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// RFC 2202 (SHA-1) and RFC 4231 (SHA-2), test case 2.
    #[test]
    fn agrees_with_the_rfcs() {
        for (hash, expected) in [
            (Hash::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                Hash::Sha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                Hash::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let mut mac = Mac::new(hash, b"Jefe").unwrap();
            mac.update(b"what do ya want ");
            mac.update(b"for nothing?");
            let tag = mac.finish();
            assert_eq!(hex::encode(tag.as_slice()), expected);
            assert_eq!(tag.as_slice().len(), hash.len());
            let presented = hex::decode(expected).unwrap();
            assert!(bool::from(tag.same(&Tag::new(&presented))));
            assert!(!bool::from(tag.same(&Tag::new(&presented[1..]))));
            for at in 0..presented.len() {
                for bit in 0..8 {
                    let mut wrong = presented.clone();
                    wrong[at] ^= 1 << bit;
                    assert!(!bool::from(tag.same(&Tag::new(&wrong))));
                }
            }
            assert!(bool::from(tag.matches(&hex::decode(expected).unwrap())));
            assert!(!bool::from(tag.matches(&hex::decode(expected).unwrap()[1..])));
        }
    }

    /// Case D09: an HMAC with an empty key cannot come to be.
    #[test]
    fn no_empty_key() {
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512] {
            assert!(Mac::new(hash, b"").is_none());
        }
    }
}
