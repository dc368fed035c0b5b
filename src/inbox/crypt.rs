//! Encryption of what the inbox stores: route, id and kind of a content are its place, so that a row which was changed or
//! moved by hand is never sent.

pub use crate::secret::vault::OpenError;

use crate::secret::{Secret, vault};

/// Which part of a delivery a content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The head.
    Head,
    /// The body.
    Body,
}

/// The keys of the inbox.
#[derive(Debug)]
pub struct Vault(vault::Vault);

impl Vault {
    /// A vault with these secrets. `None` when the library refuses a key, which does not happen with keys of 32 bytes.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Option<Self> {
        vault::Vault::new("inbox", secrets).map(Self)
    }

    /// Seals a content. `None` when the system provides no random numbers.
    #[must_use]
    pub fn seal(&self, route: &str, id: &[u8], part: Part, content: &[u8]) -> Option<Vec<u8>> {
        self.0.seal(&place(route, id, part), content)
    }

    /// Opens a content that [`Vault::seal`] made.
    ///
    /// # Errors
    /// When it was changed, or when its key is not configured.
    pub fn open(&self, route: &str, id: &[u8], part: Part, sealed: Vec<u8>) -> Result<Vec<u8>, OpenError> {
        self.0.open(&place(route, id, part), sealed)
    }
}

fn place(route: &str, id: &[u8], part: Part) -> Vec<u8> {
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
