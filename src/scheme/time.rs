//! Timestamps as senders write them, read strictly: two libraries that disagree about `05` or `5 ` are how an old
//! request becomes a fresh one.

use super::custom::Unit;
use crate::outcome::Rejection;

/// Most digits of a count of seconds; enough for the year 33658, few enough that no arithmetic can overflow.
const MAX_DIGITS: usize = 12;

/// ASCII digits without sign, leading zero, space or anything else, at most `max` of them, to a number.
fn digits(text: &str, max: usize) -> Option<u64> {
    if text.is_empty() || text.len() > max || text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Unix seconds of a time as a sender wrote it; fractions are dropped.
pub(super) fn parse(text: &str, unit: Unit) -> Option<u64> {
    match unit {
        Unit::Seconds => digits(text, MAX_DIGITS),
        Unit::Milliseconds => digits(text, MAX_DIGITS + 3).map(|milliseconds| milliseconds / 1000),
        Unit::Rfc3339 => {
            let (clock, offset) = split_offset(text)?;
            civil(clock, 'T')?.checked_add_signed(-offset)
        }
        Unit::DateTime => civil(text, ' '),
    }
}

/// A time of the clock, written as the unit wants it.
pub(super) fn write(now: u64, unit: Unit) -> Option<String> {
    let at = || std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(now));
    let text = match unit {
        Unit::Seconds => now.to_string(),
        Unit::Milliseconds => format!("{now}000"),
        Unit::Rfc3339 => humantime::format_rfc3339_seconds(at()?).to_string(),
        Unit::DateTime => humantime::format_rfc3339_seconds(at()?)
            .to_string()
            .replace('T', " ")
            .replace('Z', ""),
    };
    parse(&text, unit).map(|_| text)
}

/// `…Z`, or `…+hh:mm` with the offset in seconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let (clock, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, offset) = match offset.split_at_checked(1)? {
        ("+", offset) => (1, offset),
        ("-", offset) => (-1, offset),
        _ => return None,
    };
    let (hours, minutes) = offset.split_once(':')?;
    Some((
        clock,
        sign * (number(hours, 2, 0, 23)? * 3600 + number(minutes, 2, 0, 59)? * 60),
    ))
}

/// `2020-04-21T00:00:00.5` to Unix seconds; from 1970 on.
fn civil(text: &str, between: char) -> Option<u64> {
    let (date, clock) = text.split_once(between)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut date = date.split('-');
    let year = number(date.next()?, 4, 1970, 9999)?;
    let month = number(date.next()?, 2, 1, 12)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let day = number(date.next()?, 2, 1, days)?;
    let mut clock = clock.split(':');
    let hour = number(clock.next()?, 2, 0, 23)?;
    let minute = number(clock.next()?, 2, 0, 59)?;
    // RFC 3339 allows a leap second; it is the next minute's first.
    let second = number(clock.next()?, 2, 0, 60)?;
    if date.next().is_some() || clock.next().is_some() {
        return None;
    }
    // Days since 1970-01-01 in the proleptic Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    u64::try_from(days * 86400 + hour * 3600 + minute * 60 + second).ok()
}

fn number(text: &str, width: usize, from: i64, to: i64) -> Option<i64> {
    if text.len() != width || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| (from..=to).contains(number))
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
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn seconds(text: &str) -> Option<u64> {
        parse(text, Unit::Seconds)
    }

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

    #[test]
    fn other_units() {
        assert_eq!(parse("1693657560999", Unit::Milliseconds), Some(1_693_657_560));
        assert_eq!(parse("2020-04-21 00:00:01", Unit::DateTime), Some(1_587_427_201));
        for (text, expected) in [
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2024-02-29T23:59:59.123456789z", 1_709_251_199),
            ("2024-03-01T01:59:59+02:00", 1_709_251_199),
            ("2024-02-29T18:29:59-05:30", 1_709_251_199),
            ("1970-01-01T00:00:00Z", 0),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
        ] {
            assert_eq!(parse(text, Unit::Rfc3339), Some(expected), "{text}");
        }
        for bad in [
            "",
            "Z",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01 00:00:00Z",
            "2024-1-01T00:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00Z",
            "+024-01-01T00:00:00Z",
            "2024-01-01T00:00:00+0200",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2024-01-01T00:00:00Z ",
            "２024-01-01T00:00:00Z",
            "2024-01-01T00:00:00é1:00",
        ] {
            assert_eq!(parse(bad, Unit::Rfc3339), None, "{bad:?}");
        }
    }

    proptest! {
        /// humantime prints and reads the same instants.
        #[test]
        fn agrees_with_humantime(seconds in 0u64..253_402_300_800) {
            let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
            prop_assert_eq!(parse(&text, Unit::Rfc3339), Some(seconds));
            prop_assert_eq!(write(seconds, Unit::Rfc3339), Some(text));
            let plain = write(seconds, Unit::DateTime);
            prop_assert_eq!(plain.and_then(|text| parse(&text, Unit::DateTime)), Some(seconds));
        }

        #[test]
        fn never_panics(text in "\\PC{0,32}", near in "[0-9TZ:+. -]{0,32}") {
            for unit in [Unit::Seconds, Unit::Milliseconds, Unit::Rfc3339, Unit::DateTime] {
                let _ = parse(&text, unit);
                let _ = parse(&near, unit);
            }
        }
    }
}
