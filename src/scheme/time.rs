//! Parses the timestamps of senders. Parsing is strict: where two libraries read `05` or `5 ` differently, an attacker
//! could make an old request look fresh.

use super::description::TimeUnit;
use crate::outcome::Rejection;

/// Maximum number of digits of Unix seconds: enough until the year 33658, and too few for any overflow.
const MAX_DIGITS: usize = 12;

/// Parses at most `max` ASCII digits without a sign, a leading zero or a space.
fn digits(text: &str, max: usize) -> Option<u64> {
    if text.is_empty() || text.len() > max || text.starts_with('0') || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Parses a time of RFC 3339 to Unix seconds. Fractions of a second are dropped.
#[must_use]
pub fn rfc3339(text: &str) -> Option<u64> {
    parse(text, TimeUnit::Rfc3339)
}

/// Parses a sender's time to Unix seconds. Fractions of a second are dropped.
pub(super) fn parse(text: &str, unit: TimeUnit) -> Option<u64> {
    match unit {
        TimeUnit::Seconds => digits(text, MAX_DIGITS),
        TimeUnit::Milliseconds => digits(text, MAX_DIGITS + 3).map(|milliseconds| milliseconds / 1000),
        TimeUnit::Rfc3339 => {
            let (clock, offset) = split_offset(text)?;
            civil(clock, 'T')?.checked_add_signed(-offset)
        }
        TimeUnit::DateTime => civil(text, ' '),
        TimeUnit::HttpDate => http_date(text),
    }
}

/// Parses the one form of the date that HTTP lets senders write.
fn http_date(text: &str) -> Option<u64> {
    let at = httpdate::parse_http_date(text).ok()?;
    // The library also reads two obsolete forms. A time has one spelling only.
    (httpdate::fmt_http_date(at) == text).then_some(())?;
    at.duration_since(std::time::UNIX_EPOCH)
        .ok()
        .map(|since| since.as_secs())
}

/// Writes a time (Unix seconds) in this format; `None` when [`parse`] would not read it back.
pub(super) fn write(now_unix: u64, unit: TimeUnit) -> Option<String> {
    let at = || std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(now_unix));
    let text = match unit {
        TimeUnit::Seconds => now_unix.to_string(),
        TimeUnit::Milliseconds => format!("{now_unix}000"),
        TimeUnit::Rfc3339 => humantime::format_rfc3339_seconds(at()?).to_string(),
        TimeUnit::DateTime => humantime::format_rfc3339_seconds(at()?)
            .to_string()
            .replace('T', " ")
            .replace('Z', ""),
        // The library panics beyond the year 9999.
        TimeUnit::HttpDate if now_unix < 253_402_300_800 => httpdate::fmt_http_date(at()?),
        TimeUnit::HttpDate => return None,
    };
    parse(&text, unit).map(|_| text)
}

/// Splits `…Z`, `…+hh:mm` or `…+hhmm` into the local time and the offset in seconds. RFC 3339 has the colon;
/// senders that follow ISO 8601 may leave it out.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let clock_at = text.find('T')?;
    let (clock, offset) = text.split_at_checked(text.rfind(['+', '-']).filter(|at| *at > clock_at)?)?;
    let (sign, offset) = match offset.split_at_checked(1)? {
        ("+", offset) => (1, offset),
        ("-", offset) => (-1, offset),
        _ => return None,
    };
    let (hours, minutes) = match offset.split_once(':') {
        Some(parts) => parts,
        None => offset.split_at_checked(2)?,
    };
    Some((
        clock,
        sign * (number(hours, 2, 0, 23)? * 3600 + number(minutes, 2, 0, 59)? * 60),
    ))
}

/// Parses `2020-04-21T00:00:00.5` to Unix seconds, from 1970 on. `between` is the character between date and time.
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
    // RFC 3339 allows a leap second; it is read as the first second of the next minute.
    let second = number(clock.next()?, 2, 0, 60)?;
    if date.next().is_some() || clock.next().is_some() {
        return None;
    }
    // Days since 1970-01-01 in the proleptic Gregorian calendar. Years begin in March here, so that a leap day is the
    // last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    u64::try_from(days * 86400 + hour * 3600 + minute * 60 + second).ok()
}

/// Parses exactly `width` digits to a number in `from..=to`.
fn number(text: &str, width: usize, from: i64, to: i64) -> Option<i64> {
    if text.len() != width || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| (from..=to).contains(number))
}

/// Parses a time that was found in a body and compares it with `now_unix`, in Unix seconds.
///
/// # Errors
/// `SignatureMalformed` when it is absent or unreadable, and the errors of [`check_age`].
pub(super) fn judge(
    text: Option<&str>,
    unit: TimeUnit,
    now_unix: u64,
    tolerance: Option<u64>,
) -> Result<u64, Rejection> {
    let seconds = text
        .and_then(|text| parse(text, unit))
        .ok_or(Rejection::SignatureMalformed)?;
    check_age(seconds, now_unix, tolerance).map(|()| seconds)
}

/// Checks that a signed time differs from the clock by at most the tolerance, in both directions. All are in seconds;
/// the tolerance itself is still accepted. `None` accepts every age.
///
/// # Errors
/// `TimestampStale`, `TimestampFuture`.
pub(super) const fn check_age(signed_unix: u64, now_unix: u64, tolerance: Option<u64>) -> Result<(), Rejection> {
    match tolerance {
        Some(tolerance) if signed_unix.abs_diff(now_unix) > tolerance => Err(if signed_unix < now_unix {
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
        parse(text, TimeUnit::Seconds)
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
    fn the_tolerance_is_inclusive_in_both_directions() {
        assert_eq!(check_age(95, 100, Some(5)), Ok(()));
        assert_eq!(check_age(94, 100, Some(5)), Err(Rejection::TimestampStale));
        assert_eq!(check_age(105, 100, Some(5)), Ok(()));
        assert_eq!(check_age(106, 100, Some(5)), Err(Rejection::TimestampFuture));
        assert_eq!(check_age(0, u64::MAX, Some(u64::MAX)), Ok(()));
        assert_eq!(check_age(u64::MAX, 0, Some(5)), Err(Rejection::TimestampFuture));
        assert_eq!(check_age(1, u64::MAX, None), Ok(()));
    }

    #[test]
    fn times_in_other_units_are_parsed() {
        assert_eq!(parse("1693657560999", TimeUnit::Milliseconds), Some(1_693_657_560));
        assert_eq!(parse("2020-04-21 00:00:01", TimeUnit::DateTime), Some(1_587_427_201));
        for (text, expected) in [
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2024-02-29T23:59:59.123456789z", 1_709_251_199),
            ("2024-03-01T01:59:59+02:00", 1_709_251_199),
            ("2024-02-29T18:29:59-05:30", 1_709_251_199),
            ("2024-03-01T01:59:59.5+0200", 1_709_251_199),
            ("2024-02-29T18:29:59-0530", 1_709_251_199),
            ("1970-01-01T00:00:00Z", 0),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
        ] {
            assert_eq!(parse(text, TimeUnit::Rfc3339), Some(expected), "{text}");
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
            "2024-01-01T00:00:00+02:0",
            "2024-01-01T00:00:00+020",
            "2024-01-01T00:00:00+02",
            "2024-01-01T00:00:00+2",
            "2024-01-01T00:00:00+02000",
            "2024-01-01T00:00:00+2400",
            "2024-01-01+0200",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2024-01-01T00:00:00Z ",
            "２024-01-01T00:00:00Z",
            "2024-01-01T00:00:00é1:00",
        ] {
            assert_eq!(parse(bad, TimeUnit::Rfc3339), None, "{bad:?}");
        }
    }

    /// Obsolete forms of the date are refused, so that a time has one spelling.
    #[test]
    fn http_dates_have_one_spelling() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(parse(date, TimeUnit::HttpDate), Some(784_111_777));
        assert_eq!(write(784_111_777, TimeUnit::HttpDate).as_deref(), Some(date));
        assert_eq!(write(253_402_300_800, TimeUnit::HttpDate), None);
        for bad in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "sun, 06 nov 1994 08:49:37 gmt",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Wed, 31 Dec 1969 23:59:59 GMT",
        ] {
            assert_eq!(parse(bad, TimeUnit::HttpDate), None, "{bad:?}");
        }
    }

    proptest! {
        /// The crate humantime writes and reads the same times.
        #[test]
        fn times_agree_with_humantime(seconds in 0u64..253_402_300_800) {
            let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
            prop_assert_eq!(parse(&text, TimeUnit::Rfc3339), Some(seconds));
            prop_assert_eq!(write(seconds, TimeUnit::Rfc3339), Some(text));
            let plain = write(seconds, TimeUnit::DateTime);
            prop_assert_eq!(plain.and_then(|text| parse(&text, TimeUnit::DateTime)), Some(seconds));
        }

        #[test]
        fn any_text_is_parsed_without_a_panic(text in "\\PC{0,32}", near in "[0-9TZ:+. -]{0,32}") {
            for unit in [TimeUnit::Seconds, TimeUnit::Milliseconds, TimeUnit::Rfc3339, TimeUnit::DateTime, TimeUnit::HttpDate] {
                let _ = parse(&text, unit);
                let _ = parse(&near, unit);
            }
        }
    }
}
