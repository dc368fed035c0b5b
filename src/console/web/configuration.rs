//! What is in force: routes with their settings, secrets by name, certificates. Nothing here can hold a secret: the
//! settings serialize without them.

use super::layout::{Frame, ago, first_row, other_rows, time_left};
use crate::console::Console;
use crate::console::answer::{Answer, Refusal};
use crate::console::api::Query;
use crate::telemetry::rfc3339;
use crate::time::clock;
use maud::html;

/// From this many seconds before its end a certificate is marked.
const SOON: i64 = 14 * 86_400;
/// Routes of one page.
const ROUTES: usize = 15;

/// The page.
pub(super) fn page(console: &Console, frame: &Frame<'_>, query: &Query) -> Result<Answer, Refusal> {
    let from = first_row(query)?;
    let snapshot = console.operators.gateway.snapshot.load();
    let now_unix = clock::unix_now();
    let certificates = console.operators.gateway.recorder.metrics.certificate_expiries();
    let routes = || snapshot.routes().iter().skip(from).take(ROUTES);
    let body = html! {
        h1 { "Configuration" }
        p.lead { "What is in force on this replica. Secrets are shown by name only." }
        h2 { "Secrets" }
        div.wide tabindex="0" role="region" aria-label="Secrets" {
            table {
                thead { tr { th { "Route" } th { "Secret" } th { "State" } th.num { "Matches since the start" } th { "Last match" } } }
                tbody {
                    @for route in routes() {
                        @let retired: Vec<&str> = route.settings.retired_secrets().collect();
                        @for ((name, matches), last) in route.metrics.secret_matches().zip(route.metrics.last_matches_unix()) {
                            tr {
                                td { (route.settings.name) }
                                td.mono { (name) }
                                td { @if retired.contains(&name) { span.pill.warn { "retired" } } @else if matches > 0 { span.pill.good { "in use" } } @else { span.pill { "not used yet" } } }
                                td.num { (matches) }
                                td.nowrap { @match last { Some(at) => (ago(&rfc3339(at * 1000), now_unix.saturating_sub(at))), None => span.soft { "none since the start" } } }
                            }
                        }
                    }
                }
            }
        }
        h2 { "Certificates" }
        @if certificates.is_empty() {
            p.soft { "No listener has a certificate." }
        } @else {
            div.wide tabindex="0" role="region" aria-label="Certificates" {
                table {
                    thead { tr { th { "File" } th { "Valid for" } th { "Expires" } } }
                    tbody {
                        @for (name, expires) in &certificates {
                            @let left = expires.saturating_sub(now_unix.cast_signed());
                            tr {
                                td.mono { (name) }
                                td { span class=(if left < 0 { "pill bad" } else if left < SOON { "pill warn" } else { "pill good" }) { (time_left(left)) } }
                                td.nowrap { (rfc3339(expires.unsigned_abs() * 1000)) }
                            }
                        }
                    }
                }
            }
        }
        h2 { "Routes" }
        @for route in routes() {
            details.card {
                summary { b { (route.settings.name) } " " span.soft { (route.settings.verifier.name()) " · " (route.settings.path) } }
                pre { (toml::to_string_pretty(&route.settings).unwrap_or_default()) }
            }
            br;
        }
        (other_rows("/configuration", from, ROUTES, snapshot.routes().len()))
        @if !console.process.is_empty() {
            h2 { "Process" }
            details.card { summary { "listen, admin, limits, drain, replay, log" } pre { (console.process) } }
        }
    };
    Ok(frame.page("Configuration", &body))
}
