//! Timestamps as senders write them, read strictly: two libraries that disagree about `05` or `5 ` are how an old
//! request becomes a fresh one.

use crate::outcome::Rejection;

/// Most digits of a count of seconds; enough for the year 33658, few enough that no arithmetic can overflow.
const MAX_DIGITS: usize = 12;

/// ASCII digits without sign, leading zero, space or anything else, at most `max` of them, to a number.
pub(super) fn digits(text: &str, max: usize) -> Option<u64> {
    if text.is_empty() || text.len() > max || text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Unix seconds written as digits.
pub(super) fn seconds(text: &str) -> Option<u64> {
    digits(text, MAX_DIGITS)
}

/// Judges a signed time against the clock, both ways; the bound itself is inside. `None` is "unlimited".
///
/// # Errors
/// `TimestampStale`, `TimestampFuture`.
pub(super) const fn judge(signed: u64, now: u64, tolerance: Option<u64>) -> Result<(), Rejection> {
    match tolerance {
        Some(tolerance) if signed.abs_diff(now) > tolerance => Err(if signed < now {
            Rejection::TimestampStale
        } else {
            Rejection::TimestampFuture
        }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case D05.
    #[test]
    fn seconds_are_plain_digits() {
        assert_eq!(seconds("1"), Some(1));
        assert_eq!(seconds("999999999999"), Some(999_999_999_999));
        for bad in [
            "",
            "0",
            "05",
            "+5",
            "-5",
            " 5",
            "5 ",
            "5.0",
            "1e9",
            "5_0",
            "٥",
            "５",
            "1000000000000",
            "18446744073709551616",
            "0x5",
            "5\0",
        ] {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }

    /// Case D07.
    #[test]
    fn the_bound_is_inside_both_ways() {
        assert_eq!(judge(95, 100, Some(5)), Ok(()));
        assert_eq!(judge(94, 100, Some(5)), Err(Rejection::TimestampStale));
        assert_eq!(judge(105, 100, Some(5)), Ok(()));
        assert_eq!(judge(106, 100, Some(5)), Err(Rejection::TimestampFuture));
        assert_eq!(judge(0, u64::MAX, Some(u64::MAX)), Ok(()));
        assert_eq!(judge(u64::MAX, 0, Some(5)), Err(Rejection::TimestampFuture));
        assert_eq!(judge(1, u64::MAX, None), Ok(()));
    }
}
