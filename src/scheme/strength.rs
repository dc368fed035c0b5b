//! Whether a secret can be guessed: texts of examples and templates, short secrets, secrets of few different bytes.
//!
//! The bytes that are judged are those that key a MAC. The configuration judges the text of a secret, and
//! [`keys`](super::keys) judges the decoded bytes, because `whsec_` and 24 times `A` is a text of many signs and a key
//! of zeros.

/// Length in bytes below which a secret may be guessed.
pub const MIN_SECRET_BYTES: usize = 24;

/// Number of different bytes below which a secret may be guessed. Of 24 random hex digits, 12 or more differ.
const MIN_DIFFERENT_BYTES: usize = 8;

/// Texts of examples and templates that the operator should have replaced by a secret.
const PLACEHOLDERS: [&str; 12] = [
    "changeme",
    "change-me",
    "change_me",
    "secret",
    "password",
    "placeholder",
    "example",
    "test",
    "todo",
    "replace-me",
    "replaceme",
    "none",
];

/// Beginnings of such texts.
const PLACEHOLDER_STARTS: [&str; 7] = [
    "your-secret",
    "your_secret",
    "your secret",
    "yoursecret",
    "your-webhook-secret",
    "your_webhook_secret",
    "<",
];

/// The prefix that several providers put before a secret. What follows it is judged like a secret.
const SECRET_PREFIX: &[u8] = b"whsec_";

/// Why a secret may be guessed. No variant contains a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// A text of an example or a template, or one repeated byte. It must not be used at all.
    Placeholder,
    /// Shorter than [`MIN_SECRET_BYTES`].
    Short,
    /// Long enough, but of this number of different bytes only.
    FewDifferentBytes(usize),
}

impl Weakness {
    /// Judges the bytes of a secret; `None` when nothing is wrong with them. An empty secret is the caller's matter.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if is_placeholder(bytes) || bytes.strip_prefix(SECRET_PREFIX).is_some_and(is_placeholder) {
            return Some(Self::Placeholder);
        }
        if bytes.len() < MIN_SECRET_BYTES {
            return Some(Self::Short);
        }
        let mut seen = [false; 256];
        for byte in bytes {
            if let Some(seen) = seen.get_mut(usize::from(*byte)) {
                *seen = true;
            }
        }
        let different = seen.iter().filter(|seen| **seen).count();
        (different < MIN_DIFFERENT_BYTES).then_some(Self::FewDifferentBytes(different))
    }

    /// What is wrong, as a predicate that follows "the secret".
    #[must_use]
    pub fn problem(self) -> String {
        match self {
            Self::Placeholder => String::from("is a placeholder and not a secret"),
            Self::Short => format!("is shorter than {MIN_SECRET_BYTES} bytes and may be guessed"),
            Self::FewDifferentBytes(1) => String::from("is one repeated byte and may be guessed"),
            Self::FewDifferentBytes(count) => format!("has only {count} different bytes and may be guessed"),
        }
    }
}

/// Whether the bytes are a text of an example, or one repeated byte.
fn is_placeholder(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).trim().to_ascii_lowercase();
    let is_one_byte = bytes.iter().all(|byte| Some(byte) == bytes.first());
    PLACEHOLDERS.contains(&text.as_str())
        || PLACEHOLDER_STARTS.iter().any(|start| text.starts_with(start))
        || text.ends_with("...")
        || text.ends_with('\u{2026}')
        || is_one_byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_can_be_guessed_are_recognised() {
        for (secret, expected) in [
            (&b"changeme"[..], Some(Weakness::Placeholder)),
            (b" Your-Webhook-Secret-Here ", Some(Weakness::Placeholder)),
            (b"whsec_...", Some(Weakness::Placeholder)),
            (b"whsec_changeme", Some(Weakness::Placeholder)),
            (b"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Some(Weakness::Placeholder)),
            (&[0; 32], Some(Weakness::Placeholder)),
            (b"23 bytes are not enough", Some(Weakness::Short)),
            (b"abcabcabcabcabcabcabcabcabc", Some(Weakness::FewDifferentBytes(3))),
            (b"f00dfeed0123456789abcdef01234567", None),
        ] {
            assert_eq!(Weakness::of(secret), expected, "{}", String::from_utf8_lossy(secret));
        }
    }
}
