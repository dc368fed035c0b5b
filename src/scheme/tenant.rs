//! One secret for each tenant: the keys of one tenant, chosen before verification by what the request says.
//!
//! The request's choice proves nothing: it only says with which keys the signature is compared. A request that names no
//! tenant, or an unknown one, is compared with keys that nobody knows, so that it costs the same work and gets the same
//! answer as a forged request of a known tenant.

use super::compiled::{CompiledScheme, SchemeKey};
use super::description::{Algorithm, KeyEncoding, SchemeDescription, Texts};
use super::given_keys::GivenKeys;
use super::strength::Weakness;
use super::types::NamedSecret;
use super::verifier::Verifier;
use crate::secret::{MAX_SECRETS, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;

/// The names of a tenant's secrets, by their line in its file.
pub const SECRET_NAMES: [&str; MAX_SECRETS] = ["current", "previous"];

/// The keys of one tenant.
pub struct Tenant {
    /// The tenant's name, for the audit line and `Hookgate-Tenant`.
    pub name: HeaderValue,
    /// SHA-256 of the name, which is never zero.
    pub(super) digest: [u8; 32],
    /// One to [`MAX_SECRETS`].
    pub(super) keys: Vec<SchemeKey>,
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The tenant with whose keys a request is verified.
#[derive(Clone, Debug)]
pub struct ChosenTenant {
    /// `None` where the request names no known tenant.
    pub tenant: Option<Arc<Tenant>>,
    /// With how many keys every request of the route is compared: the most that any tenant has.
    pub width: usize,
}

impl ChosenTenant {
    /// The keys of the tenant, followed by keys that nobody knows up to the width. Those are the keys of the scheme.
    pub(super) fn keys<'k>(&'k self, scheme: &'k CompiledScheme) -> impl Iterator<Item = &'k SchemeKey> {
        let own = self.tenant.as_ref().map_or(&[][..], |tenant| &tenant.keys);
        own.iter().chain(scheme.keys.iter().skip(own.len())).take(self.width)
    }

    /// SHA-256 of the tenant's name; zero without one.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.tenant.as_ref().map_or([0; 32], |tenant| tenant.digest)
    }
}

impl Verifier {
    /// The keys of a tenant: its secrets, the present one first.
    ///
    /// # Errors
    /// What is wrong with a secret, without its bytes.
    pub fn tenant(&self, name: &str, secrets: Vec<Secret>) -> Result<Tenant, String> {
        let value = HeaderValue::from_str(name).map_err(|_| String::from("its name cannot be a header's value"))?;
        let is_placeholder = |secret: &Secret| Weakness::of(secret.expose()) == Some(Weakness::Placeholder);
        if secrets.iter().any(is_placeholder) {
            return Err(String::from("this is a placeholder and not a secret"));
        }
        let named = SECRET_NAMES.iter().zip(secrets).map(|(name, secret)| NamedSecret {
            name: (*name).to_owned(),
            secret,
        });
        let given = GivenKeys {
            keys: named.collect(),
            secrets: Some(MAX_SECRETS),
        };
        let keys = given
            .expand(self.name(), self.description())
            .map_err(|faults| faults.into_iter().next().map_or_else(String::new, |fault| fault.text))?;
        if keys.is_empty() {
            return Err(String::from("it has no secret"));
        }
        Ok(Tenant {
            name: value,
            digest: Sha256::digest(name.as_bytes()).into(),
            keys,
        })
    }
}

/// Secrets that nobody knows, in the format of a scheme's keys: the keys of a route whose tenants have the real ones.
/// `random` is 32 bytes for each.
#[must_use]
pub fn unknown_secrets(description: &SchemeDescription, random: [[u8; 32]; MAX_SECRETS]) -> Vec<NamedSecret> {
    let format = description.key.clone().unwrap_or_default();
    let prefix = format.prefix.as_ref().map(Texts::as_slice).and_then(<[String]>::first);
    let prefix = prefix.map_or("", String::as_str);
    let secret = |bytes: [u8; 32]| match (description.algorithm, format.encoding) {
        (Some(Algorithm::Basic), _) => format!("user:{}", hex::encode(bytes)),
        (_, Some(KeyEncoding::Base64)) => format!("{prefix}{}", STANDARD.encode(bytes)),
        (_, Some(KeyEncoding::Hex | KeyEncoding::Verbatim | KeyEncoding::Pem) | None) => {
            format!("{prefix}{}", hex::encode(bytes))
        }
    };
    let named = SECRET_NAMES.iter().zip(random).map(|(name, bytes)| NamedSecret {
        name: (*name).to_owned(),
        secret: Secret::new(secret(bytes).into_bytes()),
    });
    named.collect()
}
