//! RSASSA-PKCS1-v1_5 with SHA-1 (RFC 8017, 8.2.1), for the samples of Paddle Classic: aws-lc makes no such signatures.
//!
//! The time that it takes depends on the key. It signs samples with keys of tests, and nothing else.

use super::super::material::element;
use num_bigint::BigUint;
use sha1::{Digest as _, Sha1};

/// The beginning of DigestInfo for SHA-1 (RFC 8017, 9.2, note 1).
const SHA1_INFO: [u8; 15] = [
    0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14,
];

/// Signs with an RSA key in DER (PKCS #8 or PKCS #1); `None` for another key.
pub(super) fn sign(key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let (modulus, private_exponent) = numbers(key)?;
    let length = usize::try_from(modulus.bits().div_ceil(8)).ok()?;
    let info = [&SHA1_INFO[..], &Sha1::digest(message)].concat();
    let padding = length.checked_sub(info.len() + 3).filter(|length| *length >= 8)?;
    let mut block = vec![0, 1];
    block.resize(padding + 2, 0xff);
    block.push(0);
    block.extend(info);
    let signature = BigUint::from_bytes_be(&block)
        .modpow(&private_exponent, &modulus)
        .to_bytes_be();
    let mut out = vec![0; length.checked_sub(signature.len())?];
    out.extend(signature);
    Some(out)
}

/// The modulus and the private exponent.
fn numbers(key: &[u8]) -> Option<(BigUint, BigUint)> {
    let (_, inner, _) = element(key)?;
    let (_, _version, rest) = element(inner)?;
    let (tag, first, rest) = element(rest)?;
    if tag != INTEGER {
        // PKCS #8: the algorithm, then PKCS #1 in an octet string.
        let (_, pkcs1, _) = element(rest)?;
        return numbers(pkcs1);
    }
    let (_, _public_exponent, rest) = element(rest)?;
    let (_, private_exponent, _) = element(rest)?;
    Some((BigUint::from_bytes_be(first), BigUint::from_bytes_be(private_exponent)))
}

/// The tag of an integer in DER.
const INTEGER: u8 = 0x02;
