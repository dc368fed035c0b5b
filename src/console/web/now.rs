//! Is it flowing? What each route had in the last quarter of an hour, what was refused, and how the process is.

use super::layout::{Frame, ago, duration, time_left};
use crate::console::Console;
use crate::console::answer::Answer;
use crate::console::history::INTERVAL;
use crate::gateway::snapshot::CompiledRoute;
use crate::http::percent;
use crate::scheme;
use crate::telemetry::rfc3339;
use crate::time::clock;
use maud::{Markup, html};
use serde_json::Value;
use std::collections::BTreeMap;

/// Lines that are looked at for the latest refusals and the clock.
const LINES: usize = 500;
/// Height of a bar of the picture, in its units.
const BAR_HEIGHT: u64 = 30;

/// The whole page.
pub(super) fn page(console: &Console, frame: &Frame<'_>) -> Answer {
    let body = html! {
        div.row {
            h1 { "Now" }
            span.live role="status" { i {} span { "reload to refresh" } }
        }
        p.lead { "What this replica does at this moment. Other replicas have a console of their own." }
        div data-live="/live/now" { (content(console)) }
    };
    frame.page("Now", &body)
}

/// The part of the page that is kept fresh.
pub(super) fn content(console: &Console) -> Markup {
    let operators = &console.operators;
    let now_unix = clock::unix_now();
    let snapshot = operators.gateway.snapshot.load();
    let totals = operators.gateway.recorder.metrics.totals();
    let recent = Recent::new(console);
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
                    @for route in snapshot.routes() { (row(console, route, now_unix)) }
                }
            }
        }
        h2 { "Latest refusals" }
        @if recent.reasons.is_empty() {
            div.card.empty { b { "Nothing was refused" } "Refused requests appear here with their reason." }
        } @else {
            div.wide tabindex="0" role="region" aria-label="Latest refusals" {
                table {
                    thead { tr { th { "Reason" } th { "Route" } th.num { "Requests" } th { "Latest" } } }
                    tbody {
                        @for ((route, reason), (count, time)) in &recent.reasons {
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

fn row(console: &Console, route: &CompiledRoute, now_unix: u64) -> Markup {
    let name = &route.settings.name;
    let history = console.history.of(name);
    let sums = history
        .iter()
        .fold([0; 3], |[a, b, c], [x, y, z]| [a + x, b + y, c + z]);
    let [accepted, refused, failed] = sums;
    let last = route.metrics.last_verified_unix();
    let silent_for = now_unix.saturating_sub(last.unwrap_or(console.operators.started_unix));
    let is_silent = route
        .settings
        .expect_every
        .is_some_and(|expected| silent_for > expected.as_secs());
    let servers: Vec<_> = route
        .upstream
        .servers()
        .map(|(name, state, _)| (name.to_owned(), state.up))
        .collect();
    let is_down = !servers.is_empty() && servers.iter().all(|(_, up)| *up == 0);
    html! {
        tr {
            td.nowrap { a href=(format!("/requests?route={}", percent::encode(name))) { b { (name) } } br; span.soft { (route.settings.verifier.name()) " · " span.mono { (route.settings.path) } } }
            td {
                @if is_down { span.pill.bad { "application down" } }
                @else if is_silent { span.pill.warn { "silent" } }
                @else if route.settings.report_only() { span.pill.warn { "report only" } }
                @else if failed > 0 { span.pill.bad { "failing" } }
                @else if last.is_some() { span.pill.good { "flowing" } }
                @else { span.pill { "waiting" } }
            }
            td.nowrap {
                @match last {
                    Some(at) => (ago(&rfc3339(at * 1000), now_unix.saturating_sub(at))),
                    None => span.soft { "none since the start" },
                }
                @if is_silent { br; span.soft { "expected every " (duration(route.settings.expect_every.map_or(0, |time| time.as_secs()))) } }
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
    let missing = 60_usize.saturating_sub(history.len());
    html! {
        svg.spark viewBox="0 0 180 30" preserveAspectRatio="none" role="img" aria-label=(format!("Requests by interval; at most {most}")) {
            rect.b x="0" y="29" width="180" height="1" {}
            @for (index, [accepted, refused, failed]) in history.iter().enumerate() {
                @let x = (missing + index) * 3;
                @let bad = (refused + failed) * BAR_HEIGHT / most;
                @let good = accepted * BAR_HEIGHT / most;
                @if good > 0 { rect.g x=(x) y=(BAR_HEIGHT - good.min(BAR_HEIGHT)) width="2" height=(good) {} }
                @if bad > 0 { rect.r x=(x) y=(BAR_HEIGHT.saturating_sub(good + bad)) width="2" height=(bad) {} }
            }
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
