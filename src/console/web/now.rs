//! Is it flowing? What each route had in the last quarter of an hour, what was refused, and how the process is.

use super::layout::{Frame, ago, duration, first_row, other_rows, time_left};
use crate::console::Console;
use crate::console::answer::{Answer, Refusal};
use crate::console::api::Query;
use crate::console::history::INTERVAL;
use crate::gateway::snapshot::CompiledRoute;
use crate::http::percent;
use crate::scheme;
use crate::telemetry::rfc3339;
use crate::time::clock;
use maud::{Markup, html};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Lines that are looked at for the latest refusals and the clock.
const LINES: usize = 500;
/// Routes of one page.
const ROUTES: usize = 15;
/// The most rows of the latest refusals.
const REASONS: usize = 20;
/// Height of a bar of the picture, in its units.
const BAR_HEIGHT: u64 = 30;
/// Bars of the picture.
const BARS: usize = 60;

/// The whole page.
pub(super) fn page(console: &Console, frame: &Frame<'_>, query: &Query) -> Result<Answer, Refusal> {
    let from = first_row(query)?;
    let live = if from > 0 {
        format!("/live/now?from={from}")
    } else {
        String::from("/live/now")
    };
    let body = html! {
        div.row {
            h1 { "Now" }
            span.live role="status" { i {} span { "reload to refresh" } }
        }
        p.lead { "What this replica does at this moment. Other replicas have a console of their own." }
        div data-live=(live) { (content(console, from)) }
    };
    Ok(frame.page("Now", &body))
}

/// The part of the page that is kept fresh.
pub(super) fn content(console: &Console, from: usize) -> Markup {
    let operators = &console.operators;
    let now_unix = clock::unix_now();
    let snapshot = operators.gateway.snapshot.load();
    let totals = operators.gateway.recorder.metrics.totals();
    let recent = Recent::new(console);
    let routes = by_urgency(console, snapshot.routes(), now_unix);
    html! {
        div.tiles {
            (tile("Requests", &totals.requests.to_string(), &format!("{} forwarded", totals.forwarded)))
            (tile("Refused", &totals.refused.to_string(), "by the sender's fault"))
            (tile("Failed", &totals.failed.to_string(), "not delivered"))
            (tile("Running for", &duration(now_unix.saturating_sub(operators.started_unix)), &format!("version {}", env!("CARGO_PKG_VERSION"))))
            @if let Some((value, note)) = recent.clock() { (tile("Clock", &value, note)) }
            @if let Some(inbox) = &operators.gateway.inbox {
                (tile("Inbox", inbox_phase(inbox), "durable deliveries"))
                @let oldest = inbox.oldest_seconds().map(|seconds| duration(seconds.unsigned_abs()));
                (tile("Oldest delivery", oldest.as_deref().unwrap_or("none"), "stored and not delivered yet"))
            }
            @if let Some((name, expires)) = operators.gateway.recorder.metrics.certificate_expiries().first() {
                @let left = expires.saturating_sub(now_unix.cast_signed());
                (tile("Certificate", &time_left(left), &format!("until the first one expires: {}", file_name(name))))
            }
        }
        h2 { "Routes" }
        div.wide tabindex="0" role="region" aria-label="Routes" {
            table {
                thead { tr { th { "Route" } th { "State" } th { "Last genuine webhook" } th.num { "Last 15 minutes" } th.hide { "By " (INTERVAL.as_secs()) " seconds" } th { "Application" } } }
                tbody {
                    @for (state, route) in routes.iter().skip(from).take(ROUTES) { (row(console, route, *state, now_unix)) }
                }
            }
        }
        (other_rows("/", from, ROUTES, routes.len()))
        h2 { "Latest refusals" }
        @if recent.reasons.is_empty() {
            div.card.empty { b { "Nothing was refused" } "Refused requests appear here with their reason." }
        } @else {
            div.wide tabindex="0" role="region" aria-label="Latest refusals" {
                table {
                    thead { tr { th { "Reason" } th { "Route" } th.num { "Requests" } th { "Latest" } } }
                    tbody {
                        @for ((route, reason), (count, time)) in recent.reasons.iter().take(REASONS) {
                            tr {
                                td { a href=(format!("/requests?refused=1&reason={reason}")) { (reason) } }
                                td { @if route.is_empty() { span.soft { "none matched" } } @else { (route) } }
                                td.num { (count) }
                                td { (time_of(time, now_unix)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The state of a route, the most urgent first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// No server of its application is up.
    Down,
    /// Fewer genuine webhooks than its `expect_every` says.
    Silent,
    /// Webhooks of the last minutes were not delivered.
    Failing,
    /// It lets through what it cannot verify.
    ReportOnly,
    /// Nothing is wrong.
    Flowing,
    /// No genuine webhook since the start.
    Waiting,
}

impl State {
    fn new(console: &Console, route: &CompiledRoute, now_unix: u64) -> Self {
        let last = route.metrics.last_verified_unix();
        let silent_for = now_unix.saturating_sub(last.unwrap_or(console.operators.started_unix));
        let expected = route.settings.expect_every;
        let mut servers = route.upstream.servers().map(|(_, state, _)| state.up).peekable();
        if servers.peek().is_some() && servers.all(|up| up == 0) {
            Self::Down
        } else if expected.is_some_and(|expected| silent_for > expected.as_secs()) {
            Self::Silent
        } else if route.settings.report_only() {
            Self::ReportOnly
        } else if console.history.failures(&route.settings.name) > 0 {
            Self::Failing
        } else if last.is_some() {
            Self::Flowing
        } else {
            Self::Waiting
        }
    }

    /// The colour and the word of the page.
    const fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Down => ("pill bad", "application down"),
            Self::Silent => ("pill warn", "silent"),
            Self::ReportOnly => ("pill warn", "report only"),
            Self::Failing => ("pill bad", "failing"),
            Self::Flowing => ("pill good", "flowing"),
            Self::Waiting => ("pill", "waiting"),
        }
    }
}

/// Routes with their states: in their order if they fit on a page, otherwise those first that need somebody.
fn by_urgency<'a>(
    console: &Console,
    routes: &'a [Arc<CompiledRoute>],
    now_unix: u64,
) -> Vec<(State, &'a CompiledRoute)> {
    let state = |route: &'a Arc<CompiledRoute>| (State::new(console, route, now_unix), &**route);
    let mut found: Vec<_> = routes.iter().map(state).collect();
    if found.len() > ROUTES {
        found.sort_by_key(|(state, _)| *state);
    }
    found
}

fn row(console: &Console, route: &CompiledRoute, state: State, now_unix: u64) -> Markup {
    let name = &route.settings.name;
    let history = console.history.of(name);
    let sums = history
        .iter()
        .fold([0; 3], |[a, b, c], [x, y, z]| [a + x, b + y, c + z]);
    let [accepted, refused, failed] = sums;
    let last = route.metrics.last_verified_unix();
    let servers: Vec<_> = route
        .upstream
        .servers()
        .map(|(name, state, _)| (name.to_owned(), state.up))
        .collect();
    let (colour, word) = state.shown();
    html! {
        tr {
            td.nowrap { a href=(format!("/requests?route={}", percent::encode(name))) { b { (name) } } br; span.soft { (route.settings.verifier.name()) " · " span.mono { (route.settings.path) } } }
            td
            td { span class=(colour) { (word) } }
            td.nowrap {
                @match last {
                    Some(at) => (ago(&rfc3339(at * 1000), now_unix.saturating_sub(at))),
                    None => span.soft { "none since the start" },
                }
                @if state == State::Silent { br; span.soft { "expected every " (duration(route.settings.expect_every.map_or(0, |time| time.as_secs()))) } }
            }
            td.num { (accepted) " accepted" br; span.soft { (refused) " refused, " (failed) " failed" } }
            td.hide { (spark(&history)) }
            td.nowrap { @for (name, up) in &servers { span class=(if *up > 0 { "pill good" } else { "pill bad" }) { (if *up > 0 { "up" } else { "down" }) } br; span.mono { (name.trim_start_matches("http://")) } br; } }
        }
    }
}

/// The requests of each interval as bars: accepted above refused and failed.
fn spark(history: &[[u64; 3]]) -> Markup {
    let most = history
        .iter()
        .map(|sums| sums.iter().sum::<u64>())
        .max()
        .unwrap_or(0)
        .max(1);
    let missing = BARS.saturating_sub(history.len());
    // One line for each bar; the two colours are a path each, which keeps the page small.
    let (mut accepted_bars, mut bad_bars) = (String::new(), String::new());
    for (index, [accepted, refused, failed]) in history.iter().enumerate() {
        let x = (missing + index) * 3 + 1;
        let bad = (refused + failed) * BAR_HEIGHT / most;
        let good = accepted * BAR_HEIGHT / most;
        if good > 0 {
            let _ = write!(accepted_bars, "M{x} {BAR_HEIGHT}v-{good}");
        }
        if bad > 0 {
            let _ = write!(bad_bars, "M{x} {}v-{bad}", BAR_HEIGHT - good);
        }
    }
    html! {
        svg.spark viewBox="0 0 180 30" preserveAspectRatio="none" role="img" aria-label=(format!("Requests by interval; at most {most}")) {
            path.b d="M0 29.5h180" {}
            path.g d=(accepted_bars) {}
            path.r d=(bad_bars) {}
        }
    }
}

fn tile(name: &str, value: &str, note: &str) -> Markup {
    html! { div.card.tile { div.k { (name) } div.v { (value) } div.n { (note) } } }
}

fn inbox_phase(inbox: &crate::inbox::Inbox) -> &'static str {
    use crate::inbox::store::status::Phase;
    if inbox.status().phase() == Phase::Open {
        "open"
    } else {
        "not open"
    }
}

/// The last part of a path.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A time of an audit line as how long ago it was.
pub(super) fn time_of(time: &str, now_unix: u64) -> Markup {
    ago(time, now_unix.saturating_sub(scheme::rfc3339(time).unwrap_or(now_unix)))
}

/// What the latest lines say of refusals and of the clock.
struct Recent {
    /// Route and reason, with the number of requests and the time of the latest.
    reasons: BTreeMap<(String, String), (u64, String)>,
    /// Ages of signatures in seconds.
    ages: Vec<i64>,
}

impl Recent {
    fn new(console: &Console) -> Self {
        let mut recent = Self {
            reasons: BTreeMap::new(),
            ages: Vec::new(),
        };
        for line in console.operators.recent.before(u64::MAX).into_iter().take(LINES) {
            let Ok(line) = serde_json::from_slice::<Value>(&line.json) else {
                continue;
            };
            let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            if matches!(text("verdict").as_str(), "rejected" | "failed" | "reported") {
                let entry = recent.reasons.entry((text("route"), text("reason")));
                entry.or_insert((0, text("time"))).0 += 1;
            }
            recent
                .ages
                .extend(line.get("signature_age_seconds").and_then(Value::as_i64));
        }
        recent
    }

    /// Whether the clock fits those of the senders, by the median age of signatures.
    fn clock(&self) -> Option<(String, &'static str)> {
        let mut ages = self.ages.clone();
        ages.sort_unstable();
        let median = *ages.get(ages.len() / 2)?;
        let note = match median {
            ..=-2 => "this clock seems to be behind",
            -1..=30 => "usual age of signatures",
            31.. => "this clock may be ahead, or webhooks are late",
        };
        Some((format!("{median} s"), note))
    }
}
