//! Durations, sizes, addresses and paths in the form that the file uses.

use serde::Serializer;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Text that replaces a secret.
pub(super) const REDACTED: &str = "[redacted]";

/// Units of a duration, in milliseconds.
const DURATION_UNITS: [(&str, u128); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Units of a size, in bytes.
const SIZE_UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A duration as the file writes it, in the largest unit that divides it: `90s`, `5m`.
pub(crate) fn duration_text(duration: Duration) -> String {
    if duration.is_zero() {
        return String::from("0s");
    }
    let milliseconds = duration.as_millis();
    let has_whole_milliseconds = duration.subsec_nanos().is_multiple_of(1_000_000);
    let mut units = DURATION_UNITS.into_iter();
    match units.find(|(_, factor)| milliseconds.is_multiple_of(*factor)) {
        Some((unit, factor)) if has_whole_milliseconds => format!("{}{unit}", milliseconds / factor),
        Some(_) | None => humantime::format_duration(duration).to_string(),
    }
}

/// A size as the file writes it, in the largest unit that divides it: `64KiB`.
pub(crate) fn size_text(bytes: usize) -> String {
    let mut units = SIZE_UNITS.into_iter();
    match units.find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// The items as text, in their order.
pub(super) fn display_all<T: fmt::Display>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// For `serialize_with`: a duration.
pub(super) fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration_text(*duration))
}

/// For `serialize_with`: a size in bytes.
pub(super) fn size<S: Serializer>(bytes: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&size_text(*bytes))
}

/// For `serialize_with`: a path. Bytes that are not UTF-8 are replaced.
pub(super) fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// For `serialize_with`: an address, or `off`.
pub(super) fn address_or_off<S: Serializer>(address: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str("off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_the_largest_unit_that_divides_it() {
        for (duration, text) in [
            (Duration::ZERO, "0s"),
            (Duration::from_millis(1500), "1500ms"),
            (Duration::from_secs(75), "75s"),
            (Duration::from_secs(120), "2m"),
            (Duration::from_secs(36 * 3600), "36h"),
            (Duration::from_secs(3 * 86_400), "3d"),
            (Duration::from_micros(1), "1us"),
            (Duration::from_micros(1_500), "1ms 500us"),
        ] {
            assert_eq!(duration_text(duration), text);
        }
    }

    #[test]
    fn a_size_has_the_largest_unit_that_divides_it() {
        for (bytes, text) in [
            (1, "1B"),
            (1500, "1500B"),
            (1 << 10, "1KiB"),
            (3 << 20, "3MiB"),
            (1 << 40, "1024GiB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }
}
