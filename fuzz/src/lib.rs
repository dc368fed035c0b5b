//! What the targets share: verifiers, and a request through all four steps.

use bytes::Bytes;
use hookgate::outcome::Rejection;
use hookgate::scheme::{Head, NamedSecret, Verified, Verifier};
use hookgate::secret::Secret;

/// A description as an operator writes it, with one key; `None` when it is refused at start.
#[must_use]
pub fn custom(description: &str, key: &[u8]) -> Option<Verifier> {
    let key = NamedSecret { name: "k".to_owned(), secret: Secret::new(key.to_vec()) };
    Verifier::new("custom", Some(toml::from_str(description).ok()?), vec![key], Some("https://a.example/p".to_owned())).ok()
}

/// A preset with one key.
#[must_use]
pub fn preset(name: &str, key: &[u8]) -> Option<Verifier> {
    let key = NamedSecret { name: "k".to_owned(), secret: Secret::new(key.to_vec()) };
    let url = ["twilio", "square", "hubspot-v3"].contains(&name).then(|| "https://a.example".to_owned());
    Verifier::new(name, None, vec![key], url).ok()
}

/// Present, age, check, finish.
///
/// # Errors
/// As the gateway would refuse.
pub fn judge(verifier: &Verifier, head: &Head<'_>, body: &[u8]) -> Result<Verified, Rejection> {
    let presented = verifier.present(head)?;
    presented.age(1_700_000_000, Some(300))?;
    let mut check = presented.check();
    let pieces = [Bytes::copy_from_slice(body)];
    check.update(&pieces[0]);
    check.finish(&pieces, 1_700_000_000)
}
