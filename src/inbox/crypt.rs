//! Encrypts and authenticates what is stored: AES-256-GCM, with route, id and kind of the content as associated data, so
//! that a row which was changed or moved by hand is never sent.
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

/// Which part of a delivery a content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The head.
    Head,
    /// The body.
    Body,
}

/// Why a content cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// No key with this id is configured.
    KeyMissing,
    /// It was changed, or stored without encryption although keys are configured.
    Changed,
}

/// The keys of the inbox.
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
    /// A vault with these secrets. `None` when the library refuses a key, which does not happen with keys of 32 bytes.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Option<Self> {
        let keys = secrets.into_iter().map(VaultKey::derive).collect::<Option<_>>()?;
        Some(Self { keys })
    }

    /// Whether contents are encrypted.
    #[must_use]
    pub const fn is_encrypting(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Seals a content. `None` when the system provides no random numbers.
    #[must_use]
    pub fn seal(&self, route: &str, id: &[u8], part: Part, content: &[u8]) -> Option<Vec<u8>> {
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
                .seal_in_place_separate_tag(nonce, Aad::from(associated(route, id, part)), plain)
                .ok()?
        };
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }

    /// Opens a content that [`Vault::seal`] made.
    ///
    /// # Errors
    /// When it was changed, or when its key is not configured.
    pub fn open(&self, route: &str, id: &[u8], part: Part, mut sealed: Vec<u8>) -> Result<Vec<u8>, OpenError> {
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
            let aad = Aad::from(associated(route, id, part));
            let opened = key.key.open_in_place(nonce, aad, &mut content);
            opened.map_err(|_| OpenError::Changed)?.len()
        };
        content.truncate(length);
        Ok(content)
    }
}

impl VaultKey {
    fn derive(secret: &Secret) -> Option<Self> {
        let hash = |label: &[u8]| {
            Sha256::new()
                .chain_update(label)
                .chain_update(secret.expose())
                .finalize()
        };
        let bytes = Zeroizing::new(<[u8; 32]>::from(hash(b"hookgate inbox key\0")));
        let id = hash(b"hookgate inbox key id\0");
        Some(Self {
            id: id.first_chunk().copied()?,
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*bytes).ok()?),
        })
    }
}

fn associated(route: &str, id: &[u8], part: Part) -> Vec<u8> {
    let kind = match part {
        Part::Head => b'h',
        Part::Body => b'b',
    };
    [&[kind][..], id, route.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn vault(secrets: &[&str]) -> Vault {
        let secrets: Vec<_> = secrets
            .iter()
            .map(|text| Secret::new(text.as_bytes().to_vec()))
            .collect();
        Vault::new(&secrets).unwrap()
    }

    #[test]
    fn what_was_sealed_is_opened_with_any_configured_key() {
        let old = vault(&["first key of the inbox, long enough"]);
        let sealed = old.seal("shop", &[1; 16], Part::Body, b"canary").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        let rotated = vault(&["second key", "first key of the inbox, long enough"]);
        assert_eq!(
            rotated.open("shop", &[1; 16], Part::Body, sealed.clone()).unwrap(),
            b"canary"
        );
        let lost = vault(&["second key"]);
        assert_eq!(
            lost.open("shop", &[1; 16], Part::Body, sealed),
            Err(OpenError::KeyMissing)
        );
    }

    #[test]
    fn a_content_that_was_changed_or_moved_is_not_opened() {
        let vault = vault(&["first key of the inbox, long enough"]);
        let sealed = vault.seal("shop", &[1; 16], Part::Body, b"canary").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open("shop", &[1; 16], Part::Body, changed).is_err(), "{at}");
            assert!(vault.open("shop", &[1; 16], Part::Body, sealed[..at].to_vec()).is_err());
        }
        for (route, id, part) in [
            ("shop2", [1; 16], Part::Body),
            ("shop", [2; 16], Part::Body),
            ("shop", [1; 16], Part::Head),
        ] {
            assert_eq!(vault.open(route, &id, part, sealed.clone()), Err(OpenError::Changed));
        }
    }

    #[test]
    fn a_plain_content_is_not_accepted_once_keys_are_configured() {
        let plain = vault(&[]);
        let sealed = plain.seal("shop", &[1; 16], Part::Head, b"x").unwrap();
        assert_eq!(plain.open("shop", &[1; 16], Part::Head, sealed.clone()).unwrap(), b"x");
        let keyed = vault(&["first key of the inbox, long enough"]);
        assert_eq!(
            keyed.open("shop", &[1; 16], Part::Head, sealed),
            Err(OpenError::Changed)
        );
    }
}
