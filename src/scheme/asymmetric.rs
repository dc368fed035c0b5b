//! Public-key signatures through aws-lc-rs: Ed25519, ECDSA on P-256 and P-384, RSA with SHA-256 and SHA-512, and RSA with SHA-1 for Paddle
//! Classic.
//!
//! aws-lc is compiled in, so SHA-1 also works on systems whose own libraries forbid it. Keys are parsed once.

use super::material;
use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use std::cell::OnceCell;
use std::fmt;

/// Length of the longest signature in bytes: RSA with 8192 bits.
pub(super) const MAX_SIGNATURE_BYTES: usize = 1024;

/// The time of one signature on a curve (Ed25519, P-256) on a slow core.
const CURVE_NS: u64 = 120_000;
/// The time of one signature on P-384 on a slow core.
const P384_NS: u64 = 1_000_000;
/// The time of one signature of RSA with 2048 bits on a slow core.
const RSA_2048_NS: u64 = 40_000;

/// The algorithm of a public-key signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublicKeyAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256; signatures are ASN.1 DER.
    EcdsaP256,
    /// RSASSA-PKCS1-v1_5 with SHA-1, 2048 to 8192 bits.
    RsaSha1,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 to 8192 bits.
    RsaSha256,
    /// RSASSA-PSS with SHA-256, 2048 to 8192 bits.
    RsaPssSha256,
    /// ECDSA on P-256 with SHA-256; signatures are two numbers of 32 bytes (RFC 9421, 3.3.4).
    EcdsaP256Fixed,
    /// ECDSA on P-384 with SHA-384; signatures are two numbers of 48 bytes (RFC 9421, 3.3.5).
    EcdsaP384Fixed,
    /// RSASSA-PSS with SHA-512, 2048 to 8192 bits (RFC 9421, 3.3.1).
    RsaPssSha512,
}

impl PublicKeyAlgorithm {
    /// The implementation in aws-lc-rs.
    fn implementation(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 => &signature::ED25519,
            Self::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::RsaSha1 => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::RsaSha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::EcdsaP256Fixed => &signature::ECDSA_P256_SHA256_FIXED,
            Self::EcdsaP384Fixed => &signature::ECDSA_P384_SHA384_FIXED,
            Self::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        }
    }

    /// The key that an operator must configure, for messages.
    pub(super) const fn expected_key(self) -> &'static str {
        match self {
            Self::Ed25519 => "an Ed25519 public key (32 bytes, or SPKI)",
            Self::EcdsaP256 | Self::EcdsaP256Fixed => "a P-256 public key (SPKI)",
            Self::EcdsaP384Fixed => "a P-384 public key (SPKI)",
            Self::RsaSha1 | Self::RsaSha256 | Self::RsaPssSha256 | Self::RsaPssSha512 => {
                "an RSA public key of 2048 to 8192 bits (PEM that begins with `-----BEGIN PUBLIC KEY-----`)"
            }
        }
    }
}

/// A parsed public key.
#[derive(Clone)]
pub(super) struct PublicKey {
    key: ParsedPublicKey,
    algorithm: PublicKeyAlgorithm,
    /// An estimate of the time that one signature takes, without the hash of the message.
    verification_ns: u64,
}

/// A message with its hashes, each computed when it is first needed.
#[derive(Debug)]
pub(super) struct SignedMessage<'m> {
    bytes: &'m [u8],
    sha1: OnceCell<Digest>,
    sha256: OnceCell<Digest>,
}

impl<'m> SignedMessage<'m> {
    /// A message that is not hashed yet.
    pub(super) const fn new(bytes: &'m [u8]) -> Self {
        Self {
            bytes,
            sha1: OnceCell::new(),
            sha256: OnceCell::new(),
        }
    }

    fn sha1(&self) -> &Digest {
        let hash = || digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.bytes);
        self.sha1.get_or_init(hash)
    }

    fn sha256(&self) -> &Digest {
        self.sha256.get_or_init(|| digest::digest(&digest::SHA256, self.bytes))
    }
}

impl PublicKey {
    /// Parses SPKI DER, or the raw key bytes where the algorithm allows them. `None` also for an Ed25519 point of small
    /// order, under which one signature is valid for many messages, and for an RSA key of a size with which aws-lc
    /// would refuse every signature.
    pub(super) fn parse(algorithm: PublicKeyAlgorithm, bytes: &[u8]) -> Option<Self> {
        let verification_ns = match algorithm {
            PublicKeyAlgorithm::Ed25519 if bytes.last_chunk().is_some_and(is_of_small_order) => return None,
            PublicKeyAlgorithm::Ed25519 | PublicKeyAlgorithm::EcdsaP256 | PublicKeyAlgorithm::EcdsaP256Fixed => {
                CURVE_NS
            }
            PublicKeyAlgorithm::EcdsaP384Fixed => P384_NS,
            PublicKeyAlgorithm::RsaSha1
            | PublicKeyAlgorithm::RsaSha256
            | PublicKeyAlgorithm::RsaPssSha256
            | PublicKeyAlgorithm::RsaPssSha512 => {
                let bits = material::rsa_modulus_bits(bytes).filter(|bits| (2048..=8192).contains(bits))?;
                // The work grows with the square of the length.
                RSA_2048_NS * (bits.div_ceil(1024).pow(2) / 4) as u64
            }
        };
        let key = ParsedPublicKey::new(algorithm.implementation(), bytes).ok()?;
        Some(Self {
            key,
            algorithm,
            verification_ns,
        })
    }

    /// Whether this key made the signature over the message. The message is hashed once for all keys and signatures,
    /// except for Ed25519, whose hash begins with a part of the signature.
    pub(super) fn verifies(&self, message: &SignedMessage<'_>, signature: &[u8]) -> bool {
        match self.algorithm {
            PublicKeyAlgorithm::Ed25519 => self.key.verify_sig(message.bytes, signature).is_ok(),
            PublicKeyAlgorithm::RsaSha1 => self.key.verify_digest_sig(message.sha1(), signature).is_ok(),
            PublicKeyAlgorithm::EcdsaP384Fixed | PublicKeyAlgorithm::RsaPssSha512 => {
                self.key.verify_sig(message.bytes, signature).is_ok()
            }
            PublicKeyAlgorithm::EcdsaP256
            | PublicKeyAlgorithm::EcdsaP256Fixed
            | PublicKeyAlgorithm::RsaSha256
            | PublicKeyAlgorithm::RsaPssSha256 => self.key.verify_digest_sig(message.sha256(), signature).is_ok(),
        }
    }

    /// The algorithm of its signatures.
    pub(super) const fn algorithm(&self) -> PublicKeyAlgorithm {
        self.algorithm
    }

    /// Whether each signature costs a hash of the whole message.
    pub(super) const fn hashes_each_time(&self) -> bool {
        matches!(self.algorithm, PublicKeyAlgorithm::Ed25519)
    }

    /// An estimate of the time that one signature takes on a slow core, without the hash of the message.
    pub(super) const fn verification_ns(&self) -> u64 {
        self.verification_ns
    }
}

/// Whether these bytes encode an Ed25519 point of order 1, 2, 4 or 8. The bit of the sign is ignored.
fn is_of_small_order(point: &[u8; 32]) -> bool {
    /// The points of order 8.
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut point = *point;
    let [first, middle @ .., last] = &mut point;
    *last &= 0x7f;
    // 0 and 1, and p - 1, p and p + 1 for the prime p = 2^255 - 19 (0xed, then 0xff, 0x7f at the end).
    let is_low = *first <= 1 && *last == 0 && middle.iter().all(|byte| *byte == 0);
    let is_high = (0xec..=0xee).contains(first) && *last == 0x7f && middle.iter().all(|byte| *byte == 0xff);
    is_low || is_high || ORDER_8.contains(&point)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey")
    }
}

/// Decodes a PEM public key to DER. Also accepts a key that lost its line ends in an environment variable (`\n` as two
/// characters, spaces, or nothing).
pub(super) fn pem(text: &[u8]) -> Option<Vec<u8>> {
    if let Ok(der) = SubjectPublicKeyInfoDer::from_pem_slice(text) {
        return Some(der.as_ref().to_vec());
    }
    let text = std::str::from_utf8(text).ok()?.replace("\\n", "\n");
    let inner = text
        .trim()
        .strip_prefix("-----BEGIN PUBLIC KEY-----")?
        .strip_suffix("-----END PUBLIC KEY-----")?;
    let inner: String = inner.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(inner).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn ed25519_verifies_the_example_of_rfc_8032() {
        let key = hex::decode("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c").unwrap();
        let signature = hex::decode(concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ))
        .unwrap();
        let key = PublicKey::parse(PublicKeyAlgorithm::Ed25519, &key).unwrap();
        assert!(key.verifies(&SignedMessage::new(&[0x72]), &signature));
        assert!(!key.verifies(&SignedMessage::new(&[0x73]), &signature));
        assert!(!key.verifies(&SignedMessage::new(&[0x72]), &signature[1..]));
        assert!(PublicKey::parse(PublicKeyAlgorithm::Ed25519, b"short").is_none());
        assert!(PublicKey::parse(PublicKeyAlgorithm::EcdsaP256, &[4; 65]).is_none());
    }

    #[test]
    fn ed25519_keys_of_small_order_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut negative = [0xff; 32];
        negative[0] = 0xec;
        for point in [[0; 32], identity, negative] {
            assert!(PublicKey::parse(PublicKeyAlgorithm::Ed25519, &point).is_none());
        }
        let order_8 = hex::decode("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa").unwrap();
        assert!(PublicKey::parse(PublicKeyAlgorithm::Ed25519, &order_8).is_none());
    }

    /// A key of 1024 bits can be factored, so it must not load and then refuse everything.
    #[test]
    fn rsa_keys_that_are_too_short_are_refused_when_they_are_loaded() {
        let short = concat!(
            "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDG/sOOZDrySfxXQQhZIvGnLqm9PSh374lg",
            "4+9CAfT2KFtIThhvrQ3uZOPGtd+EFITcnI5JmWiu5tiUmjoKiuWUF5gKF6xzmvtNlq1CSt3q",
            "BkjzvaXhBQQf3LaIbIuddGhlkGtAn9O/JUi07O2KHyjh17HPhgp5JqapoaCw0QwlqwIDAQAB",
        );
        let short = base64::engine::general_purpose::STANDARD.decode(short).unwrap();
        assert!(PublicKey::parse(PublicKeyAlgorithm::RsaSha1, &short).is_none());
    }

    #[test]
    fn a_pem_key_without_line_ends_is_decoded() {
        let lines = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n-----END PUBLIC KEY-----\n";
        let der = pem(lines.as_bytes()).unwrap();
        assert!(PublicKey::parse(PublicKeyAlgorithm::Ed25519, &der).is_some());
        for mangled in [
            lines.replace('\n', "\\n"),
            lines.replace('\n', " "),
            lines.replace('\n', ""),
        ] {
            assert_eq!(pem(mangled.as_bytes()).as_ref(), Some(&der), "{mangled}");
        }
        for bad in [
            "",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----!-----END PUBLIC KEY-----",
        ] {
            assert_eq!(pem(bad.as_bytes()), None);
        }
    }
}
