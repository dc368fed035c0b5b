//! Times as people read them: local, in UTC, and how long ago.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time such as `2026-01-02 04:04:05 +01:00 (03:04:05 UTC), 2 minutes ago`. Both times in Unix seconds.
pub(super) fn shown(at_unix: u64, now_unix: u64) -> String {
    shown_in(at_unix, now_unix, &TimeZone::system())
}

fn shown_in(at_unix: u64, now_unix: u64, zone: &TimeZone) -> String {
    let Ok(at) = i64::try_from(at_unix)
        .map_err(drop)
        .and_then(|at| Timestamp::from_second(at).map_err(drop))
    else {
        return format!("{at_unix} (Unix seconds)");
    };
    let utc = at.to_zoned_datetime(TimeZone::UTC);
    let local = at.to_zoned_datetime(zone.clone());
    let shown = if local.offset() == utc.offset() {
        utc.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    } else {
        let same_day = local.date() == utc.date();
        let in_utc = utc.strftime(if same_day {
            "%H:%M:%S UTC"
        } else {
            "%Y-%m-%d %H:%M:%S UTC"
        });
        format!("{} ({in_utc})", local.strftime("%Y-%m-%d %H:%M:%S %:z"))
    };
    format!("{shown}, {}", distance(at_unix, now_unix))
}

/// How far a time is from now: `2 minutes ago`, `in 3 hours`.
fn distance(at_unix: u64, now_unix: u64) -> String {
    let seconds = at_unix.abs_diff(now_unix);
    let units = [
        ("year", 31_557_600),
        ("month", 2_629_800),
        ("day", 86_400),
        ("hour", 3600),
        ("minute", 60),
    ];
    let (unit, length) = units
        .into_iter()
        .find(|(_, length)| seconds >= *length)
        .unwrap_or(("second", 1));
    let count = seconds / length;
    let plural = if count == 1 { "" } else { "s" };
    match (seconds, at_unix > now_unix) {
        (0, _) => "just now".to_owned(),
        (_, false) => format!("{count} {unit}{plural} ago"),
        (_, true) => format!("in {count} {unit}{plural}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_shown_in_local_time_in_utc_and_relative_to_now() {
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        let at = 1_700_000_000;
        assert_eq!(
            shown_in(at, at + 120, &berlin),
            "2023-11-14 23:13:20 +01:00 (22:13:20 UTC), 2 minutes ago"
        );
        assert_eq!(
            shown_in(at, at + 1, &TimeZone::UTC),
            "2023-11-14 22:13:20 UTC, 1 second ago"
        );
        let kiritimati = TimeZone::fixed(jiff::tz::offset(14));
        assert_eq!(
            shown_in(at, at - 7200, &kiritimati),
            "2023-11-15 12:13:20 +14:00 (2023-11-14 22:13:20 UTC), in 2 hours"
        );
        assert_eq!(shown_in(u64::MAX, 0, &berlin), "18446744073709551615 (Unix seconds)");
    }
}
