//! Secrets and public keys, from the text that an operator has to the form that verifies.

use super::NamedSecret;
use super::asymmetric::{self, Kind, PublicKey};
use super::custom::{Algorithm, KeyEncoding};
use super::mac::{Hash, Mac};
use crate::secret::Secret;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Padding may be missing: providers print keys both ways.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An expanded key.
pub(super) enum Key {
    /// HMAC.
    Mac(Mac),
    /// Ed25519, ECDSA or RSA.
    Public(PublicKey),
    /// SHA-256 of a token, so that comparing takes the same time whatever its length; the token itself for signing.
    Token([u8; 32], Secret),
    /// A plain digest over a payload that the secret is part of.
    Digest(Plain, Secret),
}

/// A hash without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    Md5,
    Sha1,
    Sha256,
}

impl Plain {
    /// Digest of the bytes.
    pub(super) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => md5::Md5::digest(bytes).to_vec(),
            Self::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Expands one key.
///
/// # Errors
/// A sentence that names the key and says what belongs there.
pub(super) fn expand(
    algorithm: Algorithm,
    prefix: Option<&str>,
    encoding: Option<KeyEncoding>,
    from: &NamedSecret,
) -> Result<Key, String> {
    let text = from.secret.expose();
    let fault = |what: &str| Err(format!("The key `{}` is not {what}.", from.name));
    let kind = match algorithm {
        Algorithm::HmacSha1 => return mac(Hash::Sha1, prefix, encoding, from),
        Algorithm::HmacSha256 => return mac(Hash::Sha256, prefix, encoding, from),
        Algorithm::HmacSha512 => return mac(Hash::Sha512, prefix, encoding, from),
        Algorithm::Token => return Ok(Key::Token(Sha256::digest(text).into(), from.secret.clone())),
        Algorithm::Md5 => return Ok(Key::Digest(Plain::Md5, from.secret.clone())),
        Algorithm::Sha1 => return Ok(Key::Digest(Plain::Sha1, from.secret.clone())),
        Algorithm::Sha256 => return Ok(Key::Digest(Plain::Sha256, from.secret.clone())),
        Algorithm::Ed25519 => Kind::Ed25519,
        Algorithm::EcdsaP256 => Kind::EcdsaP256,
        Algorithm::RsaSha1 => Kind::RsaSha1,
    };
    let bytes = if text.trim_ascii_start().starts_with(b"-----BEGIN") {
        asymmetric::pem(text).map(Zeroizing::new)
    } else {
        decode(encoding.unwrap_or(KeyEncoding::Base64), prefix, text)
    };
    match bytes.and_then(|bytes| PublicKey::parse(kind, &bytes)) {
        Some(key) => Ok(Key::Public(key)),
        None => fault(kind.wanted()),
    }
}

fn mac(hash: Hash, prefix: Option<&str>, encoding: Option<KeyEncoding>, from: &NamedSecret) -> Result<Key, String> {
    let encoding = encoding.unwrap_or(KeyEncoding::Verbatim);
    let bytes = decode(encoding, prefix, from.secret.expose());
    bytes
        .and_then(|bytes| Mac::new(hash, &bytes))
        .map(Key::Mac)
        .ok_or_else(|| {
            let what = match encoding {
                KeyEncoding::Verbatim => "a secret with anything after its prefix",
                KeyEncoding::Base64 => "base64",
                KeyEncoding::Hex => "hex",
                KeyEncoding::Pem => "PEM",
            };
            let prefix = prefix
                .map(|prefix| format!(" (it begins with `{prefix}`)"))
                .unwrap_or_default();
            format!(
                "The key `{}` is not {what}: put the provider's whole signing secret{prefix} there.",
                from.name
            )
        })
}

fn decode(encoding: KeyEncoding, prefix: Option<&str>, text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let stripped = |text: &[u8]| {
        let prefix = prefix.unwrap_or_default().as_bytes();
        text.strip_prefix(prefix).unwrap_or(text).to_vec()
    };
    let bytes = match encoding {
        KeyEncoding::Verbatim => stripped(text),
        KeyEncoding::Base64 => BASE64.decode(Zeroizing::new(stripped(text.trim_ascii()))).ok()?,
        KeyEncoding::Hex => hex::decode(Zeroizing::new(stripped(text.trim_ascii()))).ok()?,
        KeyEncoding::Pem => asymmetric::pem(text)?,
    };
    Some(Zeroizing::new(bytes))
}

/// Faults of keys that no scheme can work with.
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
