//! A captured request with everything that it may be judged by. The causes try their guesses on it.

use crate::outcome::Rejection;
use crate::scheme::{Head, NamedSecret, Verified, Verifier};
use crate::secret::Secret;
use bytes::Bytes;
use hyper::{HeaderMap, Method};

/// What is being looked into.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) provider: String,
    pub(super) verifier: Verifier,
    /// The keys that `verifier` was made of; empty for a `custom` scheme, which cannot be made again with others.
    pub(super) keys: Vec<NamedSecret>,
    pub(super) public_url: Option<String>,
    /// Secrets that the request should not be signed with, each under what a person calls it.
    pub(super) others: Vec<Other>,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The length that the captured head announces.
    pub(super) announced: Option<usize>,
    /// When the request was received, Unix seconds; `None` when nobody said.
    pub(super) received: Option<u64>,
    /// Allowed clock difference in seconds, as the route or the provider has it.
    pub(super) tolerance: Option<u64>,
}

/// A secret of another route or environment.
#[derive(Debug)]
pub(super) struct Other {
    /// "the secret `X` of the route `Y`".
    pub(super) called: String,
    pub(super) verifier: Verifier,
}

impl Case {
    /// Whether the signature is genuine, whatever its age.
    pub(super) fn judged(&self) -> Result<Verified, Rejection> {
        judge(&self.verifier, &self.method, &self.target, &self.headers, &self.body)
    }

    /// Whether it would be with this body.
    pub(super) fn fits_body(&self, body: &[u8]) -> bool {
        judge(&self.verifier, &self.method, &self.target, &self.headers, body).is_ok()
    }

    /// Whether it would be with these headers.
    pub(super) fn fits_headers(&self, headers: &HeaderMap) -> bool {
        judge(&self.verifier, &self.method, &self.target, headers, &self.body).is_ok()
    }

    /// Whether it would be under this scheme and its keys.
    pub(super) fn fits(&self, verifier: &Verifier) -> bool {
        judge(verifier, &self.method, &self.target, &self.headers, &self.body).is_ok()
    }

    /// Whether it would be with this secret in place of all others.
    pub(super) fn fits_secret(&self, bytes: Vec<u8>) -> bool {
        self.rebuilt(&self.provider, vec![bytes], self.public_url.clone())
            .is_some_and(|verifier| self.fits(&verifier))
    }

    /// Whether it would be if the provider called this URL.
    pub(super) fn fits_url(&self, public_url: String) -> bool {
        let keys = self.keys.iter().map(|key| key.secret.expose().to_vec()).collect();
        self.rebuilt(&self.provider, keys, Some(public_url))
            .is_some_and(|verifier| self.fits(&verifier))
    }

    /// Another provider's scheme with the same keys.
    pub(super) fn under(&self, provider: &str) -> Option<Verifier> {
        let keys = self.keys.iter().map(|key| key.secret.expose().to_vec()).collect();
        self.rebuilt(provider, keys, self.public_url.clone())
    }

    fn rebuilt(&self, provider: &str, keys: Vec<Vec<u8>>, public_url: Option<String>) -> Option<Verifier> {
        if self.keys.is_empty() {
            return None;
        }
        let named = (0..).zip(keys).map(|(number, bytes): (u32, _)| NamedSecret {
            name: number.to_string(),
            secret: Secret::new(bytes),
        });
        Verifier::new(provider, None, named.collect(), public_url).ok()
    }
}

/// The verdict whatever the age.
fn judge(
    verifier: &Verifier,
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Verified, Rejection> {
    let head = Head {
        method,
        target,
        headers: &headers.iter().collect(),
    };
    let presented = verifier.present(&head)?;
    presented.age(0, None)?;
    let mut check = presented.check();
    check.update(body);
    check.finish(&[Bytes::copy_from_slice(body)], 0)
}
