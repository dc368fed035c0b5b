//! Shared by the fuzz targets: verifiers, and the verification of one request in all four steps.

use bytes::Bytes;
use hookgate::outcome::Rejection;
use hookgate::scheme::{HeadRef, NamedSecret, Verified, Verifier, presets};
use hookgate::secret::Secret;

/// A verifier of a scheme as an operator describes it, with one key; `None` when the description is refused.
#[must_use]
pub fn custom(description: &str, key: &[u8]) -> Option<Verifier> {
    let key = NamedSecret { name: "k".to_owned(), secret: Secret::new(key.to_vec()) };
    Verifier::new("custom", Some(toml::from_str(description).ok()?), vec![key], Some("https://a.example/p".to_owned())).ok()
}

/// A verifier of a preset with one key; `None` when the key is refused.
#[must_use]
pub fn preset(name: &str, key: &[u8]) -> Option<Verifier> {
    let key = NamedSecret { name: "k".to_owned(), secret: Secret::new(key.to_vec()) };
    let url = presets::signs_url(name).then(|| "https://a.example".to_owned());
    Verifier::new(name, None, vec![key], url).ok()
}

/// Verifies one request at the time 1,700,000,000 with a tolerance of 300 seconds.
///
/// # Errors
/// The reason with which the gateway refuses the request.
pub fn verify(verifier: &Verifier, head: &HeadRef<'_>, body: &[u8]) -> Result<Verified, Rejection> {
    let presented = verifier.present(head)?;
    let mut aged = presented.age(1_700_000_000, Some(300))?;
    let pieces = [Bytes::copy_from_slice(body)];
    aged.update(&pieces[0]);
    aged.verify(&pieces, 1_700_000_000)
}
