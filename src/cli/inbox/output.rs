//! What `hookgate inbox` prints for people.

use crate::cli::terminal::sanitize;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;

/// Signs of a progress bar.
const BAR: usize = 30;

/// The deliveries of a page.
pub(super) fn deliveries(page: &Value) -> &[Value] {
    field(page, "deliveries").as_array().map_or(&[], Vec::as_slice)
}

/// A field of a document; null if it has none.
pub(super) fn field<'a>(document: &'a Value, key: &str) -> &'a Value {
    document.get(key).unwrap_or(&Value::Null)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    field(value, key).as_str().unwrap_or("-")
}

/// The heading of a list.
pub(super) fn heading() -> String {
    format!(
        "{:<32}  {:<9}  {:<24}  {:>8}  {:>9}  ROUTE\n",
        "ID", "STATE", "RECEIVED", "ATTEMPTS", "BYTES"
    )
}

/// One delivery of a list.
pub(super) fn line(delivery: &Value) -> String {
    sanitize(&format!(
        "{:<32}  {:<9}  {:<24}  {:>8}  {:>9}  {}\n",
        text(delivery, "id"),
        text(delivery, "state"),
        text(delivery, "received_at"),
        field(delivery, "attempts").as_i64().unwrap_or(0),
        field(delivery, "bytes").as_i64().unwrap_or(0),
        text(delivery, "route"),
    ))
}

/// One delivery with its attempts, its history and its content.
pub(super) fn shown(delivery: &Value) -> String {
    let mut out = String::new();
    for key in [
        "id",
        "route",
        "state",
        "why",
        "reason",
        "received_at",
        "next_at",
        "settled_at",
        "expires_at",
    ] {
        if let Some(value) = field(delivery, key).as_str() {
            // Writing to a text cannot fail.
            let _ = writeln!(out, "{:<12} {value}", key.replace('_', " "));
        }
    }
    for attempt in field(delivery, "attempt_list").as_array().into_iter().flatten() {
        let _ = write!(
            out,
            "attempt {:<4} {} {} after {} ms",
            field(attempt, "number"),
            text(attempt, "ended_at"),
            text(attempt, "outcome"),
            field(attempt, "took_ms")
        );
        if let Some(status) = field(attempt, "status").as_u64() {
            let _ = write!(out, ", status {status}");
        }
        if let Some(answer) = field(attempt, "answer").as_str() {
            let _ = write!(out, ": {}", answer.escape_debug());
        }
        out.push('\n');
    }
    for action in field(delivery, "actions").as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "action       {} {} by {}",
            text(action, "at"),
            text(action, "action"),
            text(action, "actor")
        );
    }
    let request = field(delivery, "request");
    if request.is_object() {
        let _ = writeln!(out, "\n{} {}", text(request, "method"), text(request, "target"));
        for pair in field(request, "headers").as_array().into_iter().flatten() {
            let part = |at: usize| pair.get(at).and_then(Value::as_str).unwrap_or_default();
            let _ = writeln!(out, "{}: {}", part(0), part(1));
        }
        let body = STANDARD.decode(text(request, "body_base64")).unwrap_or_default();
        let _ = writeln!(out, "\n{}", String::from_utf8_lossy(&body));
    } else {
        out.push_str("\nits content is erased, or cannot be opened\n");
    }
    sanitize(&out)
}

/// A progress bar on standard error.
#[derive(Debug)]
pub(super) struct Progress {
    total: i64,
    is_shown: bool,
}

impl Progress {
    /// A bar for `total` deliveries, which is drawn only if it `is_shown`.
    pub(super) const fn new(total: i64, is_shown: bool) -> Self {
        Self { total, is_shown }
    }

    /// Draws it.
    pub(super) fn show(&mut self, changed: i64) {
        if self.is_shown {
            let share = changed.clamp(0, self.total) * 30 / self.total.max(1);
            let filled = usize::try_from(share).unwrap_or(BAR).min(BAR);
            // An error is ignored: the bar is only for the eye.
            let _ = write!(
                std::io::stderr(),
                "\r[{}{}] {changed} of {}",
                "#".repeat(filled),
                " ".repeat(BAR - filled),
                self.total
            );
        }
    }

    /// Ends its line.
    pub(super) fn end(&self) {
        if self.is_shown && self.total > 0 {
            let _ = writeln!(std::io::stderr());
        }
    }
}
