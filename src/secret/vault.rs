//! Encrypts and authenticates what is stored: AES-256-GCM. The place of a content is its associated data, so that a
//! content which was changed or moved by hand is never used.
//!
//! The form of a sealed content: one byte (1: encrypted, 0: plain), and for an encrypted one the key's id (4 bytes), the
//! nonce (12 bytes), the ciphertext and its tag. Without keys, contents are stored plain and nothing detects a change.

use crate::secret::Secret;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::Zeroizing;

const PLAIN: u8 = 0;
const ENCRYPTED: u8 = 1;
const KEY_ID_BYTES: usize = 4;

/// Why a content cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// No key with this id is configured.
    KeyMissing,
    /// It was changed, or stored without encryption although keys are configured.
    Changed,
}

/// The keys of one store.
pub struct Vault {
    /// The first one encrypts.
    keys: Vec<VaultKey>,
}

struct VaultKey {
    id: [u8; KEY_ID_BYTES],
    key: LessSafeKey,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// A vault with these secrets for the store of this kind, such as `inbox`: one secret gives each kind of store another
    /// key. `None` when the library refuses a key, which does not happen with keys of 32 bytes.
    #[must_use]
    pub fn new<'a>(kind: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> Option<Self> {
        let keys = secrets.into_iter().map(|secret| VaultKey::derive(kind, secret));
        let keys = keys.collect::<Option<_>>()?;
        Some(Self { keys })
    }

    /// Seals a content for its place. `None` when the system provides no random numbers.
    #[must_use]
    pub fn seal(&self, place: &[u8], content: &[u8]) -> Option<Vec<u8>> {
        let Some(key) = self.keys.first() else {
            let mut sealed = Vec::with_capacity(1 + content.len());
            sealed.push(PLAIN);
            sealed.extend_from_slice(content);
            return Some(sealed);
        };
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let start = 1 + KEY_ID_BYTES + NONCE_LEN;
        let mut sealed = Vec::with_capacity(start + content.len() + AES_256_GCM.tag_len());
        sealed.push(ENCRYPTED);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(content);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = {
            let plain = sealed.get_mut(start..)?;
            key.key
                .seal_in_place_separate_tag(nonce, Aad::from(place), plain)
                .ok()?
        };
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }

    /// Whether [`Vault::seal`] would seal a content with the key of this one: it need not be sealed again.
    #[must_use]
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        self.keys
            .first()
            .is_none_or(|first| sealed.get(1..=KEY_ID_BYTES) == Some(&first.id[..]))
    }

    /// Opens a content that [`Vault::seal`] made for this place.
    ///
    /// # Errors
    /// When it was changed, or when its key is not configured.
    pub fn open(&self, place: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, OpenError> {
        match sealed.first() {
            Some(&PLAIN) if self.keys.is_empty() => {
                sealed.remove(0);
                return Ok(sealed);
            }
            Some(&ENCRYPTED) => {}
            Some(_) | None => return Err(OpenError::Changed),
        }
        let start = 1 + KEY_ID_BYTES;
        let key_id = sealed.get(1..start).ok_or(OpenError::Changed)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.id == key_id)
            .ok_or(OpenError::KeyMissing)?;
        let nonce = sealed.get(start..start + NONCE_LEN).ok_or(OpenError::Changed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Changed)?;
        let mut content = sealed.split_off(start + NONCE_LEN);
        let length = {
            let opened = key.key.open_in_place(nonce, Aad::from(place), &mut content);
            opened.map_err(|_| OpenError::Changed)?.len()
        };
        content.truncate(length);
        Ok(content)
    }
}

impl VaultKey {
    fn derive(kind: &str, secret: &Secret) -> Option<Self> {
        let hash = |use_of_it: &str| {
            Sha256::new()
                .chain_update(format!("hookgate {kind} {use_of_it}\0"))
                .chain_update(secret.expose())
                .finalize()
        };
        let bytes = Zeroizing::new(<[u8; 32]>::from(hash("key")));
        let id = hash("key id");
        Some(Self {
            id: id.first_chunk().copied()?,
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*bytes).ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn stores_of_two_kinds_have_two_keys_of_one_secret() {
        let secret = Secret::new(b"one secret for everything, which is long".to_vec());
        let vault = |kind| Vault::new(kind, [&secret]).unwrap();
        let sealed = vault("inbox").seal(b"place", b"canary").unwrap();
        assert_eq!(vault("inbox").open(b"place", sealed.clone()).unwrap(), b"canary");
        assert_eq!(vault("acme").open(b"place", sealed), Err(OpenError::KeyMissing));
    }
}
