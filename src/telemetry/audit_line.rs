//! One audit line: its fields in their order, as JSON in plain ASCII.

use crate::outcome::Outcome;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// 9999-12-31T23:59:59Z, where RFC 3339 ends.
const LAST_SECOND: u64 = 253_402_300_799;

/// The configured names of what an outcome holds as an index.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditNames<'a> {
    /// The route; empty if none matched.
    pub route: &'a str,
    /// The active secret that matched.
    pub secret: Option<&'a str>,
    /// The upstream's server, as its URL.
    pub upstream: Option<&'a str>,
}

/// Appends the line with its newline.
pub(super) fn write_line(buffer: &mut Vec<u8>, names: AuditNames<'_>, outcome: &Outcome) -> serde_json::Result<()> {
    let received = SystemTime::UNIX_EPOCH + Duration::from_secs(outcome.received_unix.min(LAST_SECOND));
    let line = Line {
        time: humantime::format_rfc3339_seconds(received),
        request_id: &outcome.request_id,
        route: names.route,
        peer: outcome.peer,
        verdict: outcome.verdict.label(),
        reason: outcome.verdict.reason(),
        secret: names.secret,
        replay_store: outcome.without_shared_store.then_some("failed"),
        signature_age_seconds: outcome.signature_age_seconds,
        body_bytes: outcome.body_bytes,
        upstream: names.upstream,
        upstream_status: outcome.upstream_status.map(|status| status.as_u16()),
        upstream_seconds: outcome.upstream_duration.map(seconds),
        verification_seconds: outcome.verification_duration.map(seconds),
        seconds: seconds(outcome.duration),
    };
    line.serialize(&mut Serializer::with_formatter(&mut *buffer, Ascii))?;
    buffer.push(b'\n');
    Ok(())
}

/// The fields of a line, in their order. Absent fields are left out.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "display")]
    time: humantime::Rfc3339Timestamp,
    request_id: &'a str,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    verdict: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_store: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_age_seconds: Option<i64>,
    body_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_seconds: Option<f64>,
    seconds: f64,
}

fn display<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Seconds, rounded to microseconds: more digits are not useful in a log.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

/// Writes JSON in plain ASCII. JSON allows DEL, the C1 controls (escape sequences of terminals in one code point) and
/// the Unicode line separators without an escape; a log that people read in a terminal must escape them.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| !c.is_ascii() || *c == '\x7f') {
            writer.write_all(fragment.get(plain..at).unwrap_or_default().as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + c.len_utf8();
        }
        writer.write_all(fragment.get(plain..).unwrap_or_default().as_bytes())
    }
}
