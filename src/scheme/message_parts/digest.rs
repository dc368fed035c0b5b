//! The hashes of a body that its head states (`Content-Digest`, RFC 9530), compared with the body as it arrives.

use super::super::types::HeadRef;
use super::CONTENT_DIGEST;
use super::component::{Digests, dictionary};
use crate::outcome::Rejection;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;

const SHA_256: &str = "sha-256";
const SHA_512: &str = "sha-512";

/// The hashes that a head states, each with that of what has arrived.
#[derive(Debug, Default)]
pub(in crate::scheme) struct ContentDigest {
    sha256: Option<(Vec<u8>, Sha256)>,
    sha512: Option<(Vec<u8>, Box<Sha512>)>,
    /// The bytes that have arrived.
    bytes: u64,
}

impl ContentDigest {
    /// Reads the field; without one there is no hash. Algorithms other than SHA-256 and SHA-512 are passed over.
    ///
    /// # Errors
    /// `SignatureMalformed`.
    pub(in crate::scheme) fn read(head: &HeadRef<'_>) -> Result<Self, Rejection> {
        let mut values = head.headers.named(CONTENT_DIGEST);
        let Some(value) = values.next() else {
            return Ok(Self::default());
        };
        // Two fields could be read as one by the application's library, or the first of them alone.
        if values.next().is_some() {
            return Err(Rejection::SignatureMalformed);
        }
        let field = dictionary(value)?;
        let hash = |name: &str| match field.get(name) {
            None => Ok(None),
            Some(sfv::ListEntry::Item(item)) => match item.bare_item.as_byte_sequence() {
                Some(hash) => Ok(Some(hash.to_vec())),
                None => Err(Rejection::SignatureMalformed),
            },
            Some(sfv::ListEntry::InnerList(_)) => Err(Rejection::SignatureMalformed),
        };
        Ok(Self {
            sha256: hash(SHA_256)?.map(|hash| (hash, Sha256::new())),
            sha512: hash(SHA_512)?.map(|hash| (hash, Box::new(Sha512::new()))),
            bytes: 0,
        })
    }

    /// Whether a signature that covers these hashes covers the body.
    pub(in crate::scheme) fn is_bound_by(&self, covered: Digests<'_>) -> bool {
        match covered {
            Digests::All => self.sha256.is_some() || self.sha512.is_some(),
            Digests::One(SHA_256) => self.sha256.is_some(),
            Digests::One(SHA_512) => self.sha512.is_some(),
            Digests::One(_) => false,
        }
    }

    /// Absorbs the next piece of the body.
    pub(in crate::scheme) fn update(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        if let Some((_, hash)) = &mut self.sha256 {
            hash.update(piece);
        }
        if let Some((_, hash)) = &mut self.sha512 {
            hash.update(piece);
        }
    }

    /// Whether every hash is that of the body, and whether the body is empty.
    pub(in crate::scheme) fn finish(self) -> (bool, bool) {
        let is_256 = |(stated, hash): (Vec<u8>, Sha256)| bool::from(hash.finalize().as_slice().ct_eq(&stated));
        let is_512 = |(stated, hash): (Vec<u8>, Box<Sha512>)| bool::from(hash.finalize().as_slice().ct_eq(&stated));
        let is_right = self.sha256.is_none_or(is_256) & self.sha512.is_none_or(is_512);
        (is_right, self.bytes == 0)
    }
}

/// The field for a body, for the commands that sign.
pub(in crate::scheme) fn written(body: &[u8]) -> String {
    use base64::Engine as _;
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(body));
    format!("{SHA_256}=:{hash}:")
}
