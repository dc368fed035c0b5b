//! The texts under which a secret may make a code for an unsigned challenge.
//!
//! Such a code must never be a signature. The texts of challenges and the payloads of webhooks are therefore kept apart: a
//! challenge's text has letters, digits, `_`, `-` and `.` only, and a route with such a challenge accepts no webhook whose
//! whole signed payload is a text of this kind. A JSON body or a form is none.

/// Maximum length of such a text in bytes; the longest known challenge has 64.
pub(super) const MAX_PLAIN_BYTES: usize = 128;

/// Whether every byte may be in such a text.
pub(super) fn is_plain_part(bytes: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    bytes.iter().all(plain)
}

/// Whether this is such a text: 1 to [`MAX_PLAIN_BYTES`] letters, digits, `_`, `-` and `.`.
pub(super) fn is_plain(text: &[u8]) -> bool {
    (1..=MAX_PLAIN_BYTES).contains(&text.len()) && is_plain_part(text)
}
