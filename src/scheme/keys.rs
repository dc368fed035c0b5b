//! Parses secrets and public keys: from the operator's text to the form that verifies.
//!
//! A key has a kind ([`KeyList`]), and every algorithm takes one kind. A MAC that were keyed with a public key could be
//! made by everybody who knows that key, so each mistake of this sort is a fault when the route is loaded.

use super::asymmetric::{self, PublicKey, PublicKeyAlgorithm};
use super::description::{Algorithm, KeyEncoding};
use super::mac::{HmacHash, Mac};
use super::material::KeyMaterial;
use super::message_parts::MessageKey;
use super::strength::Weakness;
use super::types::{KeyList, NamedSecret, SchemeFault};
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
    /// A public key for message signatures.
    Message(MessageKey),
    /// A key that is fetched: the request names it, and it is an argument of the verification.
    Fetched,
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

/// How the keys of one algorithm are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyRules<'d> {
    /// The algorithm that the key is for.
    pub(super) algorithm: Algorithm,
    /// The longest of these that the key begins with is removed before decoding.
    pub(super) prefixes: &'d [String],
    /// How the rest is written.
    pub(super) encoding: Option<KeyEncoding>,
    /// The prefix of keys of the scheme's other algorithm, if that one takes public keys.
    pub(super) public_prefix: Option<&'d str>,
}

/// The kind of key that an algorithm takes.
pub(super) const fn list_of(algorithm: Algorithm) -> KeyList {
    match public_key_algorithm(algorithm) {
        Some(_) => KeyList::PublicKeys,
        None => KeyList::Secrets,
    }
}

/// Parses one key of the scheme `scheme`. `list` is where it was configured, if that is known.
///
/// # Errors
/// A sentence with the key's name and what to configure instead.
pub(super) fn expand(
    scheme: &str,
    rules: KeyRules<'_>,
    from: &NamedSecret,
    list: Option<KeyList>,
) -> Result<VerificationKey, String> {
    check_kind(scheme, rules, from, list)?;
    let text = from.secret.expose();
    let Some(public_key_algorithm) = public_key_algorithm(rules.algorithm) else {
        return shared_secret(rules, from);
    };
    let bytes = if text.trim_ascii_start().starts_with(b"-----BEGIN") {
        asymmetric::pem(text).map(Zeroizing::new)
    } else {
        decode(rules.encoding.unwrap_or(KeyEncoding::Base64), rules.prefixes, text)
    };
    match bytes.and_then(|bytes| PublicKey::parse(public_key_algorithm, &bytes)) {
        Some(key) => Ok(VerificationKey::Public(key)),
        None => Err(format!(
            "The key `{}` is not {}.",
            from.name,
            public_key_algorithm.expected_key()
        )),
    }
}

/// The algorithm of the public keys of a scheme with this algorithm; `None` for one with shared secrets.
pub(super) const fn public_key_algorithm(algorithm: Algorithm) -> Option<PublicKeyAlgorithm> {
    match algorithm {
        Algorithm::Ed25519 => Some(PublicKeyAlgorithm::Ed25519),
        Algorithm::EcdsaP256 => Some(PublicKeyAlgorithm::EcdsaP256),
        Algorithm::RsaSha1 => Some(PublicKeyAlgorithm::RsaSha1),
        Algorithm::RsaSha256 => Some(PublicKeyAlgorithm::RsaSha256),
        Algorithm::RsaPssSha256 => Some(PublicKeyAlgorithm::RsaPssSha256),
        Algorithm::HmacSha1
        | Algorithm::HmacSha256
        | Algorithm::HmacSha512
        | Algorithm::Token
        | Algorithm::Basic
        | Algorithm::Md5
        | Algorithm::Sha1
        | Algorithm::Sha256
        | Algorithm::Sha512 => None,
    }
}

/// Parses a shared secret; the algorithm is one without public keys.
fn shared_secret(rules: KeyRules<'_>, from: &NamedSecret) -> Result<VerificationKey, String> {
    let secret = || from.secret.clone();
    match rules.algorithm {
        Algorithm::HmacSha1 => mac(HmacHash::Sha1, rules, from),
        Algorithm::HmacSha512 => mac(HmacHash::Sha512, rules, from),
        Algorithm::Token => Ok(VerificationKey::Token(
            Sha256::digest(from.secret.expose()).into(),
            secret(),
        )),
        Algorithm::Basic => basic(from),
        Algorithm::Md5 => Ok(VerificationKey::Digest(PlainHash::Md5, secret())),
        Algorithm::Sha1 => Ok(VerificationKey::Digest(PlainHash::Sha1, secret())),
        Algorithm::Sha256 => Ok(VerificationKey::Digest(PlainHash::Sha256, secret())),
        Algorithm::Sha512 => Ok(VerificationKey::Digest(PlainHash::Sha512, secret())),
        Algorithm::HmacSha256
        | Algorithm::Ed25519
        | Algorithm::EcdsaP256
        | Algorithm::RsaSha1
        | Algorithm::RsaSha256
        | Algorithm::RsaPssSha256 => mac(HmacHash::Sha256, rules, from),
    }
}

/// Parses one key of a scheme with message signatures: a secret in `secrets`, a public key in `public_keys`. A key that is
/// in no list is a public key if its text is one.
///
/// # Errors
/// As [`expand`].
pub(super) fn expand_message(
    scheme: &str,
    rules: KeyRules<'_>,
    from: &NamedSecret,
    list: Option<KeyList>,
) -> Result<VerificationKey, String> {
    let text = from.secret.expose();
    let list = list.unwrap_or(match KeyMaterial::of(text) {
        Some(_) => KeyList::PublicKeys,
        None => KeyList::Secrets,
    });
    if list == KeyList::Secrets {
        return expand(scheme, rules, from, Some(list));
    }
    let public = KeyRules {
        algorithm: Algorithm::Ed25519,
        ..rules
    };
    check_kind(scheme, public, from, Some(list))?;
    let bytes = match text.trim_ascii_start().starts_with(b"-----BEGIN") {
        true => asymmetric::pem(text).map(Zeroizing::new),
        false => decode(KeyEncoding::Base64, rules.prefixes, text),
    };
    let key = bytes.and_then(|bytes| MessageKey::parse(&bytes));
    key.map(VerificationKey::Message).ok_or_else(|| {
        format!(
            "The key `{}` is not a public key of Ed25519, P-256, P-384 or RSA with 2048 to 8192 bits: write it as PEM that begins with `-----BEGIN PUBLIC KEY-----`.",
            from.name
        )
    })
}

/// Parses `user:password` to the text that HTTP Basic authentication sends.
fn basic(from: &NamedSecret) -> Result<VerificationKey, String> {
    let text = from.secret.expose();
    if !text.contains(&b':') {
        return Err(format!(
            "The key `{}` is not a user and a password: put both there with a colon between them, as in `user:password`.",
            from.name
        ));
    }
    let sent = Secret::new(BASE64.encode(text).into_bytes());
    Ok(VerificationKey::Token(Sha256::digest(sent.expose()).into(), sent))
}

/// Checks that a key is of the kind that its algorithm takes: by the list that it is in, and by what its text is.
fn check_kind(scheme: &str, rules: KeyRules<'_>, from: &NamedSecret, list: Option<KeyList>) -> Result<(), String> {
    let name = &from.name;
    let text = from.secret.expose();
    let material = KeyMaterial::of(text);
    if material == Some(KeyMaterial::PrivateKey) {
        return Err(format!(
            "The key `{name}` is a private key: only the provider may have it. {}",
            match list_of(rules.algorithm) {
                KeyList::Secrets => "Put the provider's signing secret into `secrets`.",
                KeyList::PublicKeys => {
                    "Put its public key into `public_keys` (`openssl pkey -in private.pem -pubout` prints it)."
                }
            }
        ));
    }
    match (list_of(rules.algorithm), list, material) {
        (KeyList::Secrets, Some(KeyList::PublicKeys), _) => Err(match rules.public_prefix {
            Some(prefix) => format!(
                "The key `{name}` of `public_keys` does not begin with `{prefix}`, as the public keys of `{scheme}` do: write `{prefix}` before a public key, or move a secret to `secrets`."
            ),
            None => format!(
                "`{scheme}` verifies with a shared secret, and `{name}` is in `public_keys`: put the provider's signing secret into `secrets`. With a public key as the secret, everyone who knows that key could sign."
            ),
        }),
        (KeyList::Secrets, _, Some(material)) => Err(format!(
            "The key `{name}` is {} and `{scheme}` verifies with a shared secret: put the provider's signing secret into `secrets`. With a public key as the secret, everyone who knows that key could sign.",
            material.name()
        )),
        (KeyList::PublicKeys, Some(KeyList::Secrets), _) => Err(format!(
            "The key `{name}` verifies as a public key and is in `secrets`: move it to `public_keys`."
        )),
        (KeyList::PublicKeys, _, Some(KeyMaterial::Certificate)) => Err(format!(
            "The key `{name}` is a certificate and not a public key: write its key, which `openssl x509 -in certificate.pem -noout -pubkey` prints."
        )),
        (KeyList::PublicKeys, _, _) if text.trim_ascii().starts_with(b"whsec_") => Err(format!(
            "The key `{name}` is a shared secret and not a public key: put the provider's public key there."
        )),
        (KeyList::Secrets | KeyList::PublicKeys, _, _) => Ok(()),
    }
}

/// Parses an HMAC key.
fn mac(hash: HmacHash, rules: KeyRules<'_>, from: &NamedSecret) -> Result<VerificationKey, String> {
    let KeyRules { prefixes, encoding, .. } = rules;
    let encoding = encoding.unwrap_or(KeyEncoding::Verbatim);
    let bytes = decode(encoding, prefixes, from.secret.expose());
    if let Some(material) = bytes.as_deref().and_then(|bytes| KeyMaterial::of(bytes)) {
        return Err(format!(
            "The key `{}` is {} in another notation, which everyone may know: put the provider's signing secret there.",
            from.name,
            material.name()
        ));
    }
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

/// What is weak about a secret once it is decoded; `None` when nothing is, or when the text itself is the key or is
/// weak. The configuration judges the text.
pub(super) fn weakness(rules: KeyRules<'_>, from: &NamedSecret) -> Option<Weakness> {
    if list_of(rules.algorithm) == KeyList::PublicKeys {
        return None;
    }
    let text = from.secret.expose();
    let bytes = decode(rules.encoding.unwrap_or(KeyEncoding::Verbatim), rules.prefixes, text)?;
    if *bytes == text || Weakness::of(text).is_some() {
        return None;
    }
    Weakness::of(&bytes)
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
pub(super) fn faults(keys: &[NamedSecret]) -> Vec<SchemeFault> {
    let mut faults: Vec<SchemeFault> = Vec::new();
    if keys.is_empty() {
        let example = "`secrets = [{ env = \"NAME\" }]` or `[{ file = \"/path\" }]`";
        faults.push(
            format!("No key is configured: write {example} (`public_keys` for schemes with public keys).").into(),
        );
    }
    for (index, key) in keys.iter().enumerate() {
        let mut fault = |text: String| {
            faults.push(SchemeFault { key: Some(index), text });
        };
        let bytes = key.secret.expose().trim_ascii();
        let mut earlier = keys.iter().take(index);
        if bytes.is_empty() {
            fault(format!(
                "The key `{}` is empty: put the provider's whole signing secret there.",
                key.name
            ));
        } else if bytes.eq_ignore_ascii_case(b"changeme") {
            fault(format!(
                "The key `{}` is a placeholder: put the provider's signing secret there.",
                key.name
            ));
        } else if let Some(other) = earlier.clone().find(|other| other.secret == key.secret) {
            fault(format!(
                "The keys `{}` and `{}` are the same: remove one of them.",
                other.name, key.name
            ));
        }
        if earlier.any(|other| other.name == key.name) {
            fault(format!(
                "Two keys are named `{}`: give each a `name` of its own.",
                key.name
            ));
        }
    }
    faults
}
