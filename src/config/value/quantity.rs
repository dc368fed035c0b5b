//! Numbers, booleans, durations, sizes, rates and file modes.

use super::SingleValue;
use crate::settings::Rate;
use std::time::Duration;

/// A whole number, `10000`.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Count(pub(in crate::config) u64);

impl SingleValue for Count {
    const PROBLEM: &'static str = "this is not a whole number";

    fn fix() -> String {
        String::from("write digits without quotes, such as 100")
    }

    fn from_text(text: &str) -> Option<Self> {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse().ok().map(Self))
            .flatten()
    }

    fn from_integer(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

/// `true` or `false`.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Flag(pub(in crate::config) bool);

impl SingleValue for Flag {
    const PROBLEM: &'static str = "this is neither true nor false";

    fn fix() -> String {
        String::from("write true or false")
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    fn from_flag(flag: bool) -> Option<Self> {
        Some(Self(flag))
    }
}

/// A duration with its unit, `"500ms"`, `"5s"`, `"2m"`, `"24h"`.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct DurationValue(pub(in crate::config) Duration);

/// Longest duration: one year. A longer one is a mistake, and its sum with the clock could overflow.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

impl SingleValue for DurationValue {
    const PROBLEM: &'static str = "this is not a duration";

    fn fix() -> String {
        String::from("write a number with its unit, such as \"500ms\", \"5s\", \"2m\" or \"24h\" (at most one year)")
    }

    fn fix_for(text: &str) -> Option<String> {
        let (number, unit) = split_number(text)?;
        let meant = match unit.to_ascii_lowercase().as_str() {
            "" => {
                return Some(format!(
                    "write the unit too, such as \"{number}s\" for seconds or \"{number}ms\" for milliseconds"
                ));
            }
            "m" if unit == "M" => return Some(format!("write \"{number}m\" for minutes; months are not a unit")),
            "sec" | "secs" | "second" | "seconds" | "s" => "s",
            "min" | "mins" | "minute" | "minutes" => "m",
            "h" | "hr" | "hrs" | "hour" | "hours" => "h",
            "d" | "day" | "days" => "d",
            "ms" | "msec" | "millis" | "milliseconds" => "ms",
            _ => return None,
        };
        number
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| format!("write \"{number}{meant}\""))
    }

    /// Parses `"500ms"`, `"1m30s"`: whole numbers, each with one of the units `ms`, `s`, `m`, `h` and `d`.
    fn from_text(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut sum = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, after) = rest.split_at_checked(digits)?;
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at_checked(end)?;
            let milliseconds: u64 = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            let part = number.parse::<u64>().ok()?.checked_mul(milliseconds)?;
            sum = sum.checked_add(Duration::from_millis(part))?;
            rest = after;
        }
        (!text.is_empty() && sum <= MAX_DURATION).then_some(Self(sum))
    }
}

/// A number, which may have a fraction, and the letters after it.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let is_short = number.len() <= 12 && number.starts_with(|c: char| c.is_ascii_digit());
    is_short.then(|| (number, unit.trim()))
}

/// A tolerance: a duration in whole seconds, or `"unlimited"`.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Tolerance {
    /// Every age is accepted.
    Unlimited,
    /// The largest accepted difference, in both directions.
    Within(Duration),
}

impl SingleValue for Tolerance {
    const PROBLEM: &'static str = "this is not a tolerance";

    fn fix_for(text: &str) -> Option<String> {
        DurationValue::from_text(text)
            .is_none()
            .then(|| DurationValue::fix_for(text))
            .flatten()
    }

    fn fix() -> String {
        String::from("write whole seconds such as \"5s\", or \"unlimited\" to accept any age")
    }

    fn from_text(text: &str) -> Option<Self> {
        if text == "unlimited" {
            return Some(Self::Unlimited);
        }
        let DurationValue(wait) = DurationValue::from_text(text)?;
        // Clocks are compared in whole seconds. Zero would refuse nearly every request; it does not mean "unlimited".
        (wait.subsec_nanos() == 0 && !wait.is_zero()).then_some(Self::Within(wait))
    }
}

/// A number of bytes: `"64KiB"`, `"1MiB"`, `"1MB"` or an integer.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

impl SingleValue for Size {
    const PROBLEM: &'static str = "this is not a size in bytes";

    fn fix() -> String {
        String::from("write a whole number with its unit, such as \"64KiB\" or \"1MiB\"")
    }

    fn fix_for(text: &str) -> Option<String> {
        let (number, unit) = split_number(text)?;
        let (meant, smaller) = match unit.to_ascii_lowercase().as_str() {
            "k" | "kb" | "kib" => ("KiB", "B"),
            "m" | "mb" | "mib" => ("MiB", "KiB"),
            "g" | "gb" | "gib" => ("GiB", "MiB"),
            _ => return None,
        };
        if number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(format!("write \"{number}{meant}\""));
        }
        // A fraction in the next smaller unit, if it is a whole number there.
        let (whole, fraction) = number.split_once('.')?;
        let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let scaled = whole
            .parse::<u64>()
            .ok()?
            .checked_mul(scale)?
            .checked_add(fraction.parse().ok()?)?;
        let units = scaled.checked_mul(1024)?;
        units
            .is_multiple_of(scale)
            .then(|| format!("write \"{}{smaller}\"", units / scale))
    }

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(unit_at)?;
        let factor: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }

    fn from_integer(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

/// A number of requests in a time, `"100/s"`, `"10/m"`, `"1000/h"`.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct RequestRate(pub(in crate::config) Rate);

impl SingleValue for RequestRate {
    const PROBLEM: &'static str = "this is not a number of requests in a time";

    fn fix() -> String {
        String::from(
            "write \"100/s\", \"100/m\" or \"100/h\" for at most 100 requests in a second, a minute or an hour",
        )
    }

    fn from_text(text: &str) -> Option<Self> {
        let (requests, unit) = text.split_once('/')?;
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return None,
        };
        let Count(requests) = Count::from_text(requests.trim())?;
        // More than a request in a microsecond cannot be told apart.
        let requests = u32::try_from(requests).ok()?;
        (1..=1_000_000).contains(&requests).then_some(Self(Rate {
            requests,
            period: Duration::from_secs(seconds),
        }))
    }
}

/// Mode bits of a Unix socket, `"0660"`.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct FileMode(pub(in crate::config) u32);

impl SingleValue for FileMode {
    const PROBLEM: &'static str = "this is not a file mode";

    fn fix() -> String {
        String::from("write octal digits in quotes, such as \"0660\"")
    }

    fn from_text(text: &str) -> Option<Self> {
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_octal
            .then(|| u32::from_str_radix(text, 8).ok())
            .flatten()
            .filter(|mode| *mode <= 0o777)
            .map(Self)
    }
}
