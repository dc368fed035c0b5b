//! The text format of Prometheus (version 0.0.4), written piece by piece, so that a scrape of many routes never holds
//! all of its text.

use std::fmt::{self, Write as _};
use std::ops::ControlFlow;

/// A piece is passed on when it has at least this many bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Takes the pieces of a text. It returns `Break` when no more are wanted.
pub(super) type Sink<'a> = &'a mut dyn FnMut(String) -> ControlFlow<()>;

/// Writes families and their series to a [`Sink`].
pub(super) struct Exposition<'a> {
    text: String,
    sink: Sink<'a>,
}

/// Name, type and help of a family. Names are without the prefix `hookgate_`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

impl Family {
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Counter, help)
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Gauge, help)
    }

    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Histogram, help)
    }

    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, help }
    }
}

/// The type of a family.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

/// The labels of a series: names, sorted, with their values.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

impl<'a> Exposition<'a> {
    pub(super) const fn new(sink: Sink<'a>) -> Self {
        Self {
            text: String::new(),
            sink,
        }
    }

    /// Begins a family. Its series follow.
    pub(super) fn family(&mut self, Family { name, kind, help }: Family) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!(
            "# HELP hookgate_{name} {help}\n# TYPE hookgate_{name} {kind}\n"
        ));
    }

    /// Writes one value of the begun family. `suffix` is that of a histogram's series, empty otherwise.
    ///
    /// # Errors
    /// `Break`: nobody reads the text any more.
    pub(super) fn series(
        &mut self,
        family: Family,
        suffix: &str,
        labels: Labels<'_>,
        value: impl fmt::Display,
    ) -> ControlFlow<()> {
        self.line(format_args!("hookgate_{}{suffix}", family.name));
        let mut separator = '{';
        for (name, value) in labels {
            self.line(format_args!("{separator}{name}=\""));
            escape(&mut self.text, value);
            self.text.push('"');
            separator = ',';
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.line(format_args!("{end} {value}\n"));
        self.pass_on(PIECE_BYTES)
    }

    /// Writes text in the format as it is.
    ///
    /// # Errors
    /// `Break`: nobody reads the text any more.
    pub(super) fn text(&mut self, text: &str) -> ControlFlow<()> {
        self.text.push_str(text);
        self.pass_on(PIECE_BYTES)
    }

    /// Passes on what is left.
    pub(super) fn finish(mut self) -> ControlFlow<()> {
        self.pass_on(1)
    }

    fn pass_on(&mut self, at_least: usize) -> ControlFlow<()> {
        if self.text.len() < at_least {
            return ControlFlow::Continue(());
        }
        (self.sink)(std::mem::take(&mut self.text))
    }

    /// Writing into a `String` does not fail.
    fn line(&mut self, text: fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(text);
    }
}

fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}
