//! Logs of the process, on standard error: for people or as JSON, with a filter that a reload can change.
//!
//! Below `info`, only events of this crate are logged: the HTTP and TLS libraries print what they parse in their debug
//! and trace events, with header values, and no filter that an operator writes may put a signature into a log.
//! Exchanges are not logged here but in [`audit`](super::audit).

use super::log_line::{JsonLine, Milliseconds};
use crate::settings::{Log, LogFormat};
use std::fmt;
use std::io;
use tracing::{Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::filter::{EnvFilter, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, reload};

/// Changes the filter of the running process.
#[derive(Clone)]
pub struct LogControl(reload::Handle<EnvFilter, Registry>);

/// Why logging could not be set up or changed.
#[derive(Debug)]
pub enum LoggingError {
    /// `log.filter` is not a list of directives such as `info,hookgate=debug`.
    Filter(ParseError),
    /// Logging has already been set up in this process.
    AlreadySetUp(TryInitError),
    /// The subscriber has been dropped.
    Closed,
}

/// Sets up logging for the whole process. `color`: whether the human format may use escape sequences.
///
/// # Errors
/// When the filter does not parse or the process has a subscriber already.
pub fn init(log: &Log, color: bool) -> Result<LogControl, LoggingError> {
    let (subscriber, control) = subscriber(log, color, io::stderr)?;
    // This calls `set_global_default`. There is no bridge from the `log` crate, because no dependency is built with
    // one.
    subscriber.try_init().map_err(LoggingError::AlreadySetUp)?;
    Ok(control)
}

impl LogControl {
    /// Replaces the filter. The format stays as it was at the start.
    ///
    /// # Errors
    /// When the filter does not parse. The old one then stays in force.
    pub fn reload(&self, log: &Log) -> Result<(), LoggingError> {
        let filter = parse(&log.filter)?;
        self.0.reload(filter).map_err(|_| LoggingError::Closed)
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl").finish_non_exhaustive()
    }
}

impl fmt::Display for LoggingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => {
                write!(
                    f,
                    "log.filter: {error}; write a level (\"info\") or directives (\"info,hookgate=debug\")"
                )
            }
            Self::AlreadySetUp(error) => error.fmt(f),
            Self::Closed => f.write_str("the log is closed"),
        }
    }
}

impl std::error::Error for LoggingError {}

fn subscriber<W>(log: &Log, color: bool, writer: W) -> Result<(impl Subscriber + Send + Sync, LogControl), LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(&log.filter)?);
    // A closed standard error must not make a worker panic: failures to write are not reported.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .log_internal_errors(false);
    let lines: Box<dyn Layer<_> + Send + Sync> = match log.format {
        LogFormat::Human => lines
            .with_ansi(color)
            .with_timer(Milliseconds)
            .with_target(false)
            .boxed(),
        LogFormat::Json => lines.with_ansi(false).event_format(JsonLine).boxed(),
    };
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(is_allowed))
        .with(lines);
    Ok((subscriber, LogControl(handle)))
}

/// Parses a filter strictly: a directive that does not parse is an error.
fn parse(filter: &str) -> Result<EnvFilter, LoggingError> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(filter)
        .map_err(LoggingError::Filter)
}

/// Whether an event may be logged: debug and trace events of other crates may hold header values.
fn is_allowed(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    *metadata.level() <= tracing::Level::INFO || target == OUR_CRATE || target.starts_with(OUR_MODULES)
}

/// Targets of this crate's events.
const OUR_CRATE: &str = "hookgate";
const OUR_MODULES: &str = "hookgate::";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::settings::Audit;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(buffer)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    fn log(format: LogFormat, filter: &str) -> Log {
        Log {
            format,
            is_format_default: false,
            filter: filter.into(),
            audit: Audit::All,
        }
    }

    fn with_log(log: &Log, act: impl FnOnce(&Sink, &LogControl)) {
        let sink = Sink::default();
        let writer = sink.clone();
        let (subscriber, control) = subscriber(log, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || act(&sink, &control));
    }

    /// I15: no filter makes a library log below `info`.
    #[test]
    fn libraries_log_nothing_below_info_with_any_filter() {
        for filter in [
            "trace",
            "h2=trace,hyper=trace,rustls=debug",
            "h2::hpack=trace,hookgate=trace",
        ] {
            with_log(&log(LogFormat::Human, filter), |sink, _| {
                tracing::trace!(target: "h2::hpack::decoder", "canary");
                tracing::trace!(target: "hyper::proto::h1::io", "canary");
                tracing::debug!(target: "rustls::server::hs", "canary");
                tracing::debug!(target: "hookgate_lookalike", "canary");
                assert_eq!(sink.take(), "", "{filter}");
                tracing::warn!(target: "h2::codec", "a fault");
                assert!(filter != "trace" || sink.take().contains("a fault"));
            });
        }
        with_log(&log(LogFormat::Human, "trace"), |sink, _| {
            tracing::trace!(target: "hookgate::gateway", "ours");
            assert!(sink.take().contains("ours"));
        });
    }

    #[test]
    fn a_reload_changes_the_filter_and_an_invalid_filter_changes_nothing() {
        with_log(&log(LogFormat::Human, "warn"), |sink, control| {
            tracing::info!(target: "hookgate", "hidden");
            assert_eq!(sink.take(), "");
            assert!(control.reload(&log(LogFormat::Human, "hookgate=noisy")).is_err());
            tracing::info!(target: "hookgate", "hidden");
            assert_eq!(sink.take(), "");
            control.reload(&log(LogFormat::Human, "info")).unwrap();
            tracing::info!(target: "hookgate", "shown");
            assert!(sink.take().contains("shown"));
        });
    }

    #[test]
    fn json_logs_have_one_object_per_line() {
        with_log(&log(LogFormat::Json, "info"), |sink, _| {
            tracing::info!(target: "hookgate", listener = "a\"b\r\nc\x1b[0m", "listening");
            let line = sink.take();
            assert_eq!(line.matches('\n').count(), 1);
            assert!(!line.contains('\x1b'));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value.get("kind").unwrap(), "log");
            assert_eq!(value.get("level").unwrap(), "INFO");
            let time = value.get("time").unwrap().as_str().unwrap();
            assert!(humantime::parse_rfc3339(time).is_ok() && time.len() == "2022-12-20T16:12:57.089Z".len());
            assert_eq!(value.get("message").unwrap(), "listening");
            assert_eq!(value.get("listener").unwrap(), "a\"b\r\nc\x1b[0m");
        });
    }

    #[test]
    fn the_error_of_an_invalid_filter_shows_a_valid_one() {
        let sink = Sink::default();
        let error = subscriber(&log(LogFormat::Human, "hookgate=loud"), false, move || sink.clone())
            .err()
            .unwrap();
        assert!(error.to_string().starts_with("log.filter: "), "{error}");
        assert!(error.to_string().contains("info,hookgate=debug"), "{error}");
    }
}
