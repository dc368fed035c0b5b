//! A captured request with everything that it is verified against. The causes verify variants of it.

use crate::outcome::Rejection;
use crate::scheme::{HeadRef, NamedSecret, Verified, Verifier};
use crate::secret::Secret;
use bytes::Bytes;
use hyper::{HeaderMap, Method};

/// A captured request, and the scheme, secrets and time to verify it with.
#[derive(Debug)]
pub(super) struct Case {
    /// Name of the scheme.
    pub(super) provider: String,
    /// The scheme with its secrets.
    pub(super) verifier: Verifier,
    /// The secrets that `verifier` was made of; empty for a `custom` scheme, which cannot be rebuilt with other
    /// secrets.
    pub(super) secrets: Vec<NamedSecret>,
    /// URL that the provider was given, for schemes that sign it.
    pub(super) public_url: Option<String>,
    /// Secrets that the request should not be signed with.
    pub(super) other_secrets: Vec<OtherSecret>,
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Content-Length of the captured request, in bytes.
    pub(super) declared_length: Option<usize>,
    /// When the request was received, in Unix seconds; `None` if neither the capture nor the arguments contain it.
    pub(super) received_at_unix: Option<u64>,
    /// Largest accepted difference between the signed time and the time of receipt, in seconds; `None` if it is not
    /// limited.
    pub(super) tolerance_seconds: Option<u64>,
}

/// A secret of another route or environment.
#[derive(Debug)]
pub(super) struct OtherSecret {
    /// How the report names it: "a secret of the route `Y`".
    pub(super) description: String,
    /// The scheme with this secret.
    pub(super) verifier: Verifier,
}

impl Case {
    /// Verifies the signature of the request, but not its age.
    ///
    /// # Errors
    /// The gateway's reason to refuse it.
    pub(super) fn verify(&self) -> Result<Verified, Rejection> {
        verify(&self.verifier, &self.method, &self.target, &self.headers, &self.body)
    }

    /// Whether the signature fits the request with this body.
    pub(super) fn fits_body(&self, body: &[u8]) -> bool {
        verify(&self.verifier, &self.method, &self.target, &self.headers, body).is_ok()
    }

    /// Whether the signature fits the request with these headers.
    pub(super) fn fits_headers(&self, headers: &HeaderMap) -> bool {
        verify(&self.verifier, &self.method, &self.target, headers, &self.body).is_ok()
    }

    /// Whether the signature fits the request under this scheme with its secrets.
    pub(super) fn fits_verifier(&self, verifier: &Verifier) -> bool {
        verify(verifier, &self.method, &self.target, &self.headers, &self.body).is_ok()
    }

    /// Whether the signature fits the request with this secret instead of the given ones.
    pub(super) fn fits_secret(&self, secret: Vec<u8>) -> bool {
        self.rebuild_verifier(&self.provider, vec![secret], self.public_url.clone())
            .is_some_and(|verifier| self.fits_verifier(&verifier))
    }

    /// Whether the signature fits the request if the provider called this URL.
    pub(super) fn fits_url(&self, public_url: String) -> bool {
        self.rebuild_verifier(&self.provider, self.secret_bytes(), Some(public_url))
            .is_some_and(|verifier| self.fits_verifier(&verifier))
    }

    /// The scheme of another provider with the same secrets. `None` if it does not accept them.
    pub(super) fn verifier_of(&self, provider: &str) -> Option<Verifier> {
        self.rebuild_verifier(provider, self.secret_bytes(), self.public_url.clone())
    }

    fn secret_bytes(&self) -> Vec<Vec<u8>> {
        let bytes = self.secrets.iter().map(|named| named.secret.expose().to_vec());
        bytes.collect()
    }

    fn rebuild_verifier(&self, provider: &str, secrets: Vec<Vec<u8>>, public_url: Option<String>) -> Option<Verifier> {
        if self.secrets.is_empty() {
            return None;
        }
        let named = (0..).zip(secrets).map(|(number, bytes): (u32, _)| NamedSecret {
            name: number.to_string(),
            secret: Secret::new(bytes),
        });
        Verifier::new(provider, None, named.collect(), public_url).ok()
    }
}

/// Verifies a signature but not its age.
fn verify(
    verifier: &Verifier,
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Verified, Rejection> {
    let head = HeadRef {
        method,
        target,
        headers: &headers.iter().collect(),
    };
    // Without a tolerance every age is accepted.
    let mut request = verifier.present(&head)?.age(0, None)?;
    request.update(body);
    request.verify(&[Bytes::copy_from_slice(body)], 0)
}
