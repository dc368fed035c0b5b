//! One line of the log, as a JSON object with the schema of audit lines: `time`, `kind`, then what happened.

use super::ascii::{DateText, string};
use crate::time::clock;
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::registry::LookupSpan;

/// Writes events as JSON objects, one for each line.
pub(super) struct JsonLine;

/// The time of a line for people: RFC 3339 with milliseconds.
pub(super) struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let mut time = Vec::new();
        DateText::default().write(&mut time, clock::unix_now_ms());
        writer.write_str(str::from_utf8(&time).unwrap_or_default())
    }
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Vec::with_capacity(256);
        line.extend_from_slice(b"{\"time\":\"");
        DateText::default().write(&mut line, clock::unix_now_ms());
        line.extend_from_slice(b"\",\"kind\":\"log\",\"level\":");
        string(&mut line, event.metadata().level().as_str());
        event.record(&mut Fields(&mut line));
        line.extend_from_slice(b",\"target\":");
        string(&mut line, event.metadata().target());
        line.extend_from_slice(b"}\n");
        writer.write_str(str::from_utf8(&line).unwrap_or_default())
    }
}

/// Appends the fields of an event, the message among them.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn key(&mut self, field: &Field) {
        self.0.push(b',');
        string(self.0, field.name());
        self.0.push(b':');
    }

    /// A value that JSON writes as it is: a number or a truth value.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.key(field);
        self.0.extend_from_slice(value.to_string().as_bytes());
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        string(self.0, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a growing text fails only when the value refuses to be shown.
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}
