//! What is in force: routes with their settings, secrets by name, certificates. Nothing here can hold a secret: the
//! settings serialize without them.

use super::layout::Frame;
use crate::console::Console;
use crate::console::answer::Answer;
use maud::html;

/// The page.
pub(super) fn page(console: &Console, frame: &Frame<'_>) -> Answer {
    let snapshot = console.operators.gateway.snapshot.load();
    let body = html! {
        h1 { "Configuration" }
        p.lead { "What is in force on this replica. Secrets are shown by name only." }
        h2 { "Secrets" }
        div.wide tabindex="0" role="region" aria-label="Secrets" {
            table {
                thead { tr { th { "Route" } th { "Secret" } th { "State" } th.num { "Matches since the start" } } }
                tbody {
                    @for route in snapshot.routes() {
                        @let retired: Vec<&str> = route.settings.retired_secrets().collect();
                        @for (name, matches) in route.metrics.secret_matches() {
                            tr {
                                td { (route.settings.name) }
                                td.mono { (name) }
                                td { @if retired.contains(&name) { span.pill.warn { "retired" } } @else if matches > 0 { span.pill.good { "in use" } } @else { span.pill { "not used yet" } } }
                                td.num { (matches) }
                            }
                        }
                    }
                }
            }
        }
        h2 { "Routes" }
        @for route in snapshot.routes() {
            details.card {
                summary { b { (route.settings.name) } " " span.soft { (route.settings.verifier.name()) " · " (route.settings.path) } }
                pre { (toml::to_string_pretty(&route.settings).unwrap_or_default()) }
            }
            br;
        }
        @if !console.process.is_empty() {
            h2 { "Process" }
            details.card { summary { "listen, admin, limits, drain, replay, log" } pre { (console.process) } }
        }
    };
    frame.page("Configuration", &body)
}
