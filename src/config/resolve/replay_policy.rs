//! `replay` of a route: how long a delivered request is remembered, and the answer to a repetition.
//!
//! The defaults depend on the provider. A sender that signs a time signs its retries again, so the same bytes are no retry and
//! are refused. Without a signed time the same bytes may be the retry after a lost answer, so they are acknowledged, unless
//! the provider uses the application's answer. Where different notifications can be the same bytes, the guard is off.

use super::Resolver;
use crate::config::file::{self, OnReplay};
use crate::config::value::{DurationValue, Flag, Keyword};
use crate::scheme::facts::{EqualBytes, Retry};
use crate::scheme::{Coverage, Verifier};
use crate::settings::{ReplayPolicy, defaults, duration_text};
use std::time::Duration;

impl Resolver<'_> {
    /// The replay policy of a route. `verifier` is `None` if the scheme has a fault.
    pub(super) fn replay(
        &mut self,
        key: &str,
        written: &file::Replay,
        verifier: Option<&Verifier>,
        tolerance: Option<Duration>,
    ) -> ReplayPolicy {
        let facts = verifier.and_then(Verifier::facts);
        let equal_bytes = facts.map_or(EqualBytes::No, |facts| facts.equal_bytes);
        let acknowledge = self.acknowledges(key, written, verifier);
        let is_configured = written.window.is_some() || written.on_replay.is_some();
        let is_enabled = match written.enabled {
            Some(Flag(enabled)) => enabled,
            None => is_configured || equal_bytes != EqualBytes::Yes,
        };
        if !is_enabled {
            self.warn_of_no_guard(key, written, verifier, tolerance);
            return ReplayPolicy {
                window: Some(Duration::ZERO),
                acknowledge,
            };
        }
        // A window in the file was chosen on purpose.
        if written.window.is_none() {
            self.warn_of_equal_bytes(key, verifier, equal_bytes, acknowledge);
        }
        ReplayPolicy {
            window: self.window(key, written, verifier, tolerance, acknowledge),
            acknowledge,
        }
    }

    /// Whether a repetition is answered 200.
    fn acknowledges(&mut self, key: &str, written: &file::Replay, verifier: Option<&Verifier>) -> bool {
        let facts = verifier.and_then(Verifier::facts);
        let answer_used = facts.is_some_and(|facts| facts.answer_used);
        match written.on_replay {
            Some(Keyword(OnReplay::Acknowledge)) => {
                if answer_used {
                    self.report.fault(
                        format!("{key}.on_replay"),
                        "the provider uses the application's answer, so no other answer can replace it",
                        "write \"reject\", or remove `on_replay`",
                    );
                }
                true
            }
            Some(Keyword(OnReplay::Reject)) => false,
            // Where the time is the event's, a retry has the same one.
            None => {
                let repeats = facts.is_some_and(|facts| facts.retry == Some(Retry::SameBytes));
                !answer_used && (repeats || verifier.is_some_and(|verifier| !verifier.has_timestamp()))
            }
        }
    }

    /// Says what is accepted without the guard, and why it is off.
    fn warn_of_no_guard(
        &mut self,
        key: &str,
        written: &file::Replay,
        verifier: Option<&Verifier>,
        tolerance: Option<Duration>,
    ) {
        if written.window.is_some() || written.on_replay.is_some() {
            self.report.fault(
                key,
                "the replay guard is off, so `window` and `on_replay` have no effect",
                "remove them, or `enabled = false`",
            );
        }
        let until = match (verifier, tolerance) {
            (Some(_), None) => "at any time",
            (Some(_) | None, _) => "until its timestamp is too old",
        };
        match (written.enabled, verifier) {
            (None, Some(verifier)) => self.report.warn(
                key,
                format_args!(
                    "different notifications of `{}` can be the same bytes, so the replay guard is off: a captured request, and a retry after a lost answer, is forwarded again {until}; with `replay = {{ enabled = true }}` a second notification within {} is not forwarded",
                    verifier.name(),
                    duration_text(defaults::REPLAY_WINDOW)
                ),
            ),
            (Some(_), _) | (None, None) => self.report.warn(
                key,
                format_args!("the replay guard is off: a captured request is accepted again {until}"),
            ),
        }
    }

    /// Says what the guard does where different notifications can be the same bytes.
    fn warn_of_equal_bytes(
        &mut self,
        key: &str,
        verifier: Option<&Verifier>,
        equal_bytes: EqualBytes,
        acknowledge: bool,
    ) {
        let Some(verifier) = verifier else { return };
        let name = verifier.name();
        match equal_bytes {
            EqualBytes::No => {}
            // Where nothing is signed, another warning says that anyone can send any other request.
            EqualBytes::UnlessId if verifier.coverage() == Coverage::Part => {}
            EqualBytes::UnlessId => {
                let id = verifier.delivery_id_location().map(|id| id.describe().1.join(", "));
                self.report.warn(
                    key,
                    format_args!(
                        "different notifications of `{name}` can be the same bytes, and only `{}`, which is not signed, tells them apart: a captured request is accepted again with another value there",
                        id.unwrap_or_default()
                    ),
                );
            }
            EqualBytes::Yes => {
                let answer = if acknowledge { "acknowledged" } else { "refused" };
                self.report.warn(
                    key,
                    format_args!(
                        "different notifications of `{name}` can be the same bytes, so within the window the second one is {answer} and not forwarded"
                    ),
                );
            }
        }
    }

    /// How long a delivered request is remembered; `None` until its timestamp is outside the tolerance.
    fn window(
        &mut self,
        key: &str,
        written: &file::Replay,
        verifier: Option<&Verifier>,
        tolerance: Option<Duration>,
        acknowledge: bool,
    ) -> Option<Duration> {
        let window_key = format!("{key}.window");
        match (written.window, tolerance) {
            (Some(DurationValue(window)), _) if window < Duration::from_secs(1) => {
                self.report.fault(
                    window_key,
                    "this window is shorter than one second",
                    "write a duration such as \"5m\", or `enabled = false`",
                );
                None
            }
            // A timestamp may be up to `tolerance` in the future, so a request stays valid for up to twice the tolerance.
            (Some(DurationValue(window)), Some(tolerance)) if window < tolerance.saturating_mul(2) => {
                let fix = "remove `window`: by default a request is remembered until its timestamp is too old";
                self.report.fault(
                    window_key,
                    "this window is shorter than twice the tolerance, so a replay could be accepted",
                    fix,
                );
                None
            }
            (Some(DurationValue(window)), _) => Some(window),
            (None, Some(_)) => None,
            (None, None) => {
                let why = verifier.map(|verifier| match verifier.has_timestamp() {
                    true => "the tolerance is unlimited",
                    false => "the provider signs no timestamp",
                });
                // Without a verifier, the scheme has its own fault.
                if let Some(why) = why {
                    let answer = if acknowledge {
                        ", and answered 200 without forwarding"
                    } else {
                        ""
                    };
                    self.report.warn(
                        &window_key,
                        format_args!(
                            "{why}, so a replay is detected for {} only{answer}; set another time with `replay = {{ window = … }}`",
                            duration_text(defaults::REPLAY_WINDOW)
                        ),
                    );
                }
                Some(defaults::REPLAY_WINDOW)
            }
        }
    }
}
