//! How long the check of a complete body may take, so that a caller can move long work away from the thread that serves
//! other requests.
//!
//! The estimates are for a slow core without instructions for SHA, and for bodies that are slow to read: they are bounds
//! and not means.

use std::time::Duration;

/// Nanoseconds for each byte that is copied.
pub(super) const COPY: u64 = 1;
/// Nanoseconds for each byte that is hashed, by any of the hash functions.
pub(super) const HASH: u64 = 3;
/// Nanoseconds for each byte that is read as JSON.
pub(super) const JSON: u64 = 8;
/// Nanoseconds for each byte that is read as a form and written as the text that is signed.
pub(super) const FORM: u64 = 12;

/// An estimate of some work on a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// For each byte of the body.
    ns_per_byte: u64,
    /// For each candidate signature, whatever the length of the body.
    ns_per_candidate: u64,
    /// For each candidate signature and each byte.
    ns_per_candidate_byte: u64,
}

impl Work {
    /// The work of hashing the body once.
    pub const ONE_HASH: Self = Self::per_byte(HASH);

    /// Work on each byte.
    pub(super) const fn per_byte(ns_per_byte: u64) -> Self {
        Self {
            ns_per_byte,
            ns_per_candidate: 0,
            ns_per_candidate_byte: 0,
        }
    }

    /// Both works, one after the other.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            ns_per_byte: self.ns_per_byte + other.ns_per_byte,
            ns_per_candidate: self.ns_per_candidate + other.ns_per_candidate,
            ns_per_candidate_byte: self.ns_per_candidate_byte + other.ns_per_candidate_byte,
        }
    }

    /// This work for each of `count` things.
    #[must_use]
    pub const fn times(self, count: usize) -> Self {
        let count = count as u64;
        Self {
            ns_per_byte: self.ns_per_byte * count,
            ns_per_candidate: self.ns_per_candidate * count,
            ns_per_candidate_byte: self.ns_per_candidate_byte * count,
        }
    }

    /// This work, and some work for each candidate signature: on the signature itself, and on each byte.
    pub(super) const fn for_each_candidate(self, ns: u64, ns_per_byte: u64) -> Self {
        Self {
            ns_per_candidate: self.ns_per_candidate + ns,
            ns_per_candidate_byte: self.ns_per_candidate_byte + ns_per_byte,
            ..self
        }
    }

    /// The time for a body of this length with this number of candidate signatures.
    #[must_use]
    pub const fn time(self, body_bytes: usize, candidates: usize) -> Duration {
        let (bytes, candidates) = (body_bytes as u64, candidates as u64);
        let of_bytes = bytes.saturating_mul(
            self.ns_per_candidate_byte
                .saturating_mul(candidates)
                .saturating_add(self.ns_per_byte),
        );
        Duration::from_nanos(of_bytes.saturating_add(self.ns_per_candidate.saturating_mul(candidates)))
    }

    /// The length of a body that is worked on for this time, with one candidate signature.
    #[must_use]
    pub fn bytes_in(self, time: Duration) -> usize {
        let bytes = time
            .as_nanos()
            .checked_div(u128::from(self.ns_per_byte + self.ns_per_candidate_byte));
        bytes.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_grows_with_the_body_and_with_the_candidates() {
        let work = Work {
            ns_per_byte: 2,
            ns_per_candidate: 1000,
            ns_per_candidate_byte: 3,
        };
        assert_eq!(work.time(10, 0), Duration::from_nanos(20));
        assert_eq!(work.time(10, 2), Duration::from_nanos(20 + 2000 + 60));
        assert_eq!(work.and(work), work.times(2));
        assert_eq!(work.times(2).time(10, 2), 2 * work.time(10, 2));
        assert_eq!(work.bytes_in(Duration::from_nanos(50)), 10);
        assert_eq!(Work::default().bytes_in(Duration::from_secs(1)), usize::MAX);
        assert_eq!(work.time(usize::MAX, usize::MAX), Duration::from_nanos(u64::MAX));
    }
}
