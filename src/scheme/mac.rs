//! HMAC (RFC 2104). A key is expanded once when the configuration is loaded, and its state is cloned for every request.
//!
//! The states zeroize themselves when dropped (the `zeroize` features of the hash crates). Codes are compared only
//! here, in constant time.

use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// A keyed state, before or after absorbing bytes.
#[derive(Clone)]
pub(super) enum Mac {
    /// HMAC-SHA1, 20 bytes.
    Sha1(Hmac<Sha1>),
    /// HMAC-SHA256, 32 bytes.
    Sha256(Hmac<Sha256>),
    /// HMAC-SHA512, 64 bytes; boxed because it is twice the size of the others and rare.
    Sha512(Box<Hmac<Sha512>>),
}

/// Hash function of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HmacHash {
    Sha1,
    Sha256,
    Sha512,
}

impl HmacHash {
    /// Length of the code in bytes.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl Mac {
    /// The hash function of this HMAC.
    pub(super) const fn hash(&self) -> HmacHash {
        match self {
            Self::Sha1(_) => HmacHash::Sha1,
            Self::Sha256(_) => HmacHash::Sha256,
            Self::Sha512(_) => HmacHash::Sha512,
        }
    }

    /// Expands a key. `None` for an empty key, which must never verify anything.
    pub(super) fn new(hash: HmacHash, key: &[u8]) -> Option<Self> {
        if key.is_empty() {
            return None;
        }
        match hash {
            HmacHash::Sha1 => Hmac::new_from_slice(key).ok().map(Self::Sha1),
            HmacHash::Sha256 => Hmac::new_from_slice(key).ok().map(Self::Sha256),
            HmacHash::Sha512 => Hmac::new_from_slice(key).ok().map(|mac| Self::Sha512(Box::new(mac))),
        }
    }

    /// Absorbs bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(bytes),
            Self::Sha256(mac) => mac.update(bytes),
            Self::Sha512(mac) => mac.update(bytes),
        }
    }

    /// Returns the code over everything absorbed.
    pub(super) fn finish(self) -> Tag {
        match self {
            Self::Sha1(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha256(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha512(mac) => Tag::new(&mac.finalize().into_bytes()),
        }
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A computed code, or one that a sender presents: up to 64 bytes.
#[derive(Clone, Copy)]
pub(super) struct Tag {
    /// Length of the code in bytes; the rest of `bytes` is zero.
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Tag {
    /// Length of the longest code, in bytes.
    pub(super) const MAX: usize = 64;

    /// Takes the first [`Self::MAX`] bytes.
    pub(super) fn new(from: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        let from = from.get(..Self::MAX).unwrap_or(from);
        if let Some(to) = bytes.get_mut(..from.len()) {
            to.copy_from_slice(from);
        }
        Self {
            len: u8::try_from(from.len()).unwrap_or_default(),
            bytes,
        }
    }

    /// The bytes of the code.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether two codes are equal. The time depends on their lengths only. Eight bytes are compared together, because
    /// `subtle` has a cost (an optimization barrier) for each comparison.
    pub(super) fn same(&self, presented: &Self) -> Choice {
        let words = usize::from(self.len).div_ceil(8);
        let (ours, theirs) = (self.bytes.as_chunks::<8>().0, presented.bytes.as_chunks::<8>().0);
        let pairs = ours.iter().zip(theirs).take(words);
        pairs.fold(self.len.ct_eq(&presented.len), |same, (ours, theirs)| {
            same & u64::from_ne_bytes(*ours).ct_eq(&u64::from_ne_bytes(*theirs))
        })
    }

    /// Like [`Tag::same`], for bytes of any length.
    pub(super) fn matches(&self, presented: &[u8]) -> Choice {
        self.as_slice().ct_eq(presented)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    #![allow(clippy::disallowed_methods, reason = "a test of time reads the clock")]
    use super::*;

    /// RFC 2202 (SHA-1) and RFC 4231 (SHA-2), test case 2.
    #[test]
    fn agrees_with_the_rfcs() {
        for (hash, expected) in [
            (HmacHash::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                HmacHash::Sha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                HmacHash::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let mut mac = Mac::new(hash, b"Jefe").unwrap();
            mac.update(b"what do ya want ");
            mac.update(b"for nothing?");
            let tag = mac.finish();
            assert_eq!(hex::encode(tag.as_slice()), expected);
            assert_eq!(tag.as_slice().len(), hash.len());
            let presented = hex::decode(expected).unwrap();
            assert!(bool::from(tag.same(&Tag::new(&presented))));
            assert!(!bool::from(tag.same(&Tag::new(&presented[1..]))));
            for at in 0..presented.len() {
                for bit in 0..8 {
                    let mut wrong = presented.clone();
                    wrong[at] ^= 1 << bit;
                    assert!(!bool::from(tag.same(&Tag::new(&wrong))));
                }
            }
            assert!(bool::from(tag.matches(&hex::decode(expected).unwrap())));
            assert!(!bool::from(tag.matches(&hex::decode(expected).unwrap()[1..])));
        }
    }

    /// What was measured between two classes of input: the difference of the mean times (in nanoseconds) and Welch's t,
    /// as in dudect (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?").
    struct Difference {
        mean: f64,
        t: f64,
    }

    /// Times `compare` on one of two inputs, chosen at random. Both are copied to the same place first, so that the
    /// caches and the alignment are the same for both; the slowest tenth of all samples is dropped as noise of the
    /// machine.
    fn difference(samples: usize, inputs: [&[u8; 32]; 2], mut compare: impl FnMut(&[u8; 32]) -> bool) -> Difference {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut input = [0; 32];
        let mut times: Vec<(bool, f64)> = Vec::with_capacity(samples);
        for _ in 0..samples {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let class = random & 1 == 1;
            input.copy_from_slice(inputs[usize::from(class)]);
            let begun = std::time::Instant::now();
            for _ in 0..4 {
                assert!(!std::hint::black_box(compare(std::hint::black_box(&input))));
            }
            times.push((class, begun.elapsed().as_nanos() as f64));
        }
        let mut sorted: Vec<f64> = times.iter().map(|(_, time)| *time).collect();
        sorted.sort_by(f64::total_cmp);
        let crop = sorted.get(samples / 10 * 9).copied().unwrap();
        let moments = |wanted: bool| {
            let kept = || {
                times
                    .iter()
                    .filter(|(class, time)| *class == wanted && *time <= crop)
                    .map(|(_, time)| *time)
            };
            let count = kept().count() as f64;
            let mean = kept().sum::<f64>() / count;
            let variance = kept().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
            (mean, variance / count)
        };
        let ((a, va), (b, vb)) = (moments(false), moments(true));
        Difference {
            mean: (a - b).abs(),
            t: ((a - b) / (va + vb).sqrt()).abs(),
        }
    }

    /// D10: a difference in the first byte takes as long as one in the last byte. The same measurement detects a
    /// comparison that stops at the first difference, which shows that it works; what that comparison shows is the scale.
    #[test]
    fn comparison_takes_the_same_time_wherever_the_difference_is() {
        let tag = Tag::new(&[0x5a; 32]);
        let (mut first, mut last) = ([0x5a; 32], [0x5a; 32]);
        first[0] ^= 1;
        last[31] ^= 1;
        let inputs = [&first, &last];
        let stops_early = |presented: &[u8; 32]| tag.as_slice().iter().zip(presented).all(|(a, b)| a == b);
        let leak = difference(100_000, inputs, stops_early);
        assert!(leak.t > 4.5, "the measurement does not detect a leak: t = {}", leak.t);
        let constant = |name, compare: &dyn Fn(&[u8; 32]) -> bool| {
            assert_constant_time(name, leak.mean, || difference(300_000, inputs, compare));
        };
        constant("matches", &|presented| bool::from(tag.matches(presented)));
        constant("same", &|presented| bool::from(tag.same(&Tag::new(presented))));
    }

    /// Repeats the measurement up to five times: a busy machine may disturb one of them, but a leak shows in all. A
    /// statistically certain difference below a fiftieth of what stopping at the first difference shows (less than one
    /// byte of 32) is the machine's.
    fn assert_constant_time(name: &str, leak: f64, measure: impl Fn() -> Difference) {
        let mut measured = Vec::new();
        for _ in 0..5 {
            let found = measure();
            if found.t < 4.5 || found.mean < leak / 50.0 {
                return;
            }
            measured.push((found.mean, found.t));
        }
        panic!("{name}: difference and t in five measurements: {measured:?}; a comparison that stops early: {leak}");
    }

    /// Case D09.
    #[test]
    fn an_empty_key_is_refused() {
        for hash in [HmacHash::Sha1, HmacHash::Sha256, HmacHash::Sha512] {
            assert!(Mac::new(hash, b"").is_none());
        }
    }
}
