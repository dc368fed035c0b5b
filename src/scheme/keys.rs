//! Parses secrets and public keys: from the operator's text to the form that verifies.

use super::asymmetric::{self, PublicKey, PublicKeyAlgorithm};
use super::description::{Algorithm, KeyEncoding};
use super::mac::{HmacHash, Mac};
use super::types::NamedSecret;
use crate::secret::Secret;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use zeroize::Zeroizing;

/// Base64 with optional padding, because some providers print keys without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A parsed key.
pub(super) enum VerificationKey {
    /// HMAC.
    Mac(Mac),
    /// Ed25519, ECDSA or RSA.
    Public(PublicKey),
    /// SHA-256 of a token, so that a comparison takes the same time for tokens of any length; and the token, for
    /// signing.
    Token([u8; 32], Secret),
    /// A plain digest over a payload that contains the secret.
    Digest(PlainHash, Secret),
}

/// A hash without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlainHash {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl PlainHash {
    /// The digest of the bytes: 16, 20, 32 or 64 bytes.
    pub(super) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => md5::Md5::digest(bytes).to_vec(),
            Self::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Parses one key. The longest of `prefixes` that the key begins with is removed before decoding.
///
/// # Errors
/// A sentence with the key's name and what to configure instead.
pub(super) fn expand(
    algorithm: Algorithm,
    prefixes: &[String],
    encoding: Option<KeyEncoding>,
    from: &NamedSecret,
) -> Result<VerificationKey, String> {
    let text = from.secret.expose();
    let fault = |what: &str| Err(format!("The key `{}` is not {what}.", from.name));
    let public_key_algorithm = match algorithm {
        Algorithm::HmacSha1 => return mac(HmacHash::Sha1, prefixes, encoding, from),
        Algorithm::HmacSha256 => return mac(HmacHash::Sha256, prefixes, encoding, from),
        Algorithm::HmacSha512 => return mac(HmacHash::Sha512, prefixes, encoding, from),
        Algorithm::Token => return Ok(VerificationKey::Token(Sha256::digest(text).into(), from.secret.clone())),
        Algorithm::Md5 => return Ok(VerificationKey::Digest(PlainHash::Md5, from.secret.clone())),
        Algorithm::Sha1 => return Ok(VerificationKey::Digest(PlainHash::Sha1, from.secret.clone())),
        Algorithm::Sha256 => return Ok(VerificationKey::Digest(PlainHash::Sha256, from.secret.clone())),
        Algorithm::Sha512 => return Ok(VerificationKey::Digest(PlainHash::Sha512, from.secret.clone())),
        Algorithm::Ed25519 => PublicKeyAlgorithm::Ed25519,
        Algorithm::EcdsaP256 => PublicKeyAlgorithm::EcdsaP256,
        Algorithm::RsaSha1 => PublicKeyAlgorithm::RsaSha1,
        Algorithm::RsaSha256 => PublicKeyAlgorithm::RsaSha256,
        Algorithm::RsaPssSha256 => PublicKeyAlgorithm::RsaPssSha256,
    };
    let bytes = if text.trim_ascii_start().starts_with(b"-----BEGIN") {
        asymmetric::pem(text).map(Zeroizing::new)
    } else {
        decode(encoding.unwrap_or(KeyEncoding::Base64), prefixes, text)
    };
    match bytes.and_then(|bytes| PublicKey::parse(public_key_algorithm, &bytes)) {
        Some(key) => Ok(VerificationKey::Public(key)),
        None => fault(public_key_algorithm.expected_key()),
    }
}

/// Parses an HMAC key.
fn mac(
    hash: HmacHash,
    prefixes: &[String],
    encoding: Option<KeyEncoding>,
    from: &NamedSecret,
) -> Result<VerificationKey, String> {
    let encoding = encoding.unwrap_or(KeyEncoding::Verbatim);
    let bytes = decode(encoding, prefixes, from.secret.expose());
    bytes
        .and_then(|bytes| Mac::new(hash, &bytes))
        .map(VerificationKey::Mac)
        .ok_or_else(|| {
            let what = match encoding {
                KeyEncoding::Verbatim => "a secret with anything after its prefix",
                KeyEncoding::Base64 => "base64",
                KeyEncoding::Hex => "hex",
                KeyEncoding::Pem => "PEM",
            };
            let prefix = prefixes
                .first()
                .map(|prefix| format!(" (it begins with `{prefix}`)"))
                .unwrap_or_default();
            format!(
                "The key `{}` is not {what}: put the provider's whole signing secret{prefix} there.",
                from.name
            )
        })
}

/// The longest of `prefixes` that a key begins with.
pub(super) fn longest_prefix<'p>(prefixes: &'p [String], key: &[u8]) -> Option<&'p str> {
    let fitting = prefixes.iter().filter(|prefix| key.starts_with(prefix.as_bytes()));
    fitting.max_by_key(|prefix| prefix.len()).map(String::as_str)
}

/// Decodes a key's text; `None` when it is not written in this encoding.
fn decode(encoding: KeyEncoding, prefixes: &[String], text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let stripped = |text: &[u8]| {
        let prefix = longest_prefix(prefixes, text).unwrap_or_default();
        text.get(prefix.len()..).unwrap_or_default().to_vec()
    };
    let bytes = match encoding {
        KeyEncoding::Verbatim => stripped(text),
        KeyEncoding::Base64 => BASE64.decode(Zeroizing::new(stripped(text.trim_ascii()))).ok()?,
        KeyEncoding::Hex => hex::decode(Zeroizing::new(stripped(text.trim_ascii()))).ok()?,
        KeyEncoding::Pem => asymmetric::pem(text)?,
    };
    Some(Zeroizing::new(bytes))
}

/// Faults of keys that are independent of the scheme: none configured, empty, a placeholder, repeated.
pub(super) fn faults(keys: &[NamedSecret]) -> Vec<String> {
    let mut faults = Vec::new();
    if keys.is_empty() {
        let example = "`secrets = [{ env = \"NAME\" }]` or `[{ file = \"/path\" }]`";
        faults.push(format!(
            "No key is configured: write {example} (`public_keys` for schemes with public keys)."
        ));
    }
    for (index, key) in keys.iter().enumerate() {
        let bytes = key.secret.expose().trim_ascii();
        let mut earlier = keys.iter().take(index);
        if bytes.is_empty() {
            faults.push(format!(
                "The key `{}` is empty: put the provider's whole signing secret there.",
                key.name
            ));
        } else if bytes.eq_ignore_ascii_case(b"changeme") {
            faults.push(format!(
                "The key `{}` is a placeholder: put the provider's signing secret there.",
                key.name
            ));
        } else if let Some(other) = earlier.clone().find(|other| other.secret == key.secret) {
            faults.push(format!(
                "The keys `{}` and `{}` are the same: remove one of them.",
                other.name, key.name
            ));
        }
        if earlier.any(|other| other.name == key.name) {
            faults.push(format!(
                "Two keys are named `{}`: give each a `name` of its own.",
                key.name
            ));
        }
    }
    faults
}
