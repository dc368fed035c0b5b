//! The keys of a tenant, made from its secrets, and the keys of a route whose tenants have the real ones.

use super::description::{Algorithm, KeyEncoding, SchemeDescription, Texts};
use super::given_keys::GivenKeys;
use super::strength::Weakness;
use super::tenant::{SECRET_NAMES, Tenant};
use super::types::NamedSecret;
use super::verifier::Verifier;
use crate::secret::{MAX_SECRETS, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};

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
