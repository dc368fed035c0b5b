//! What each reason of a refusal and each cause means: a page that needs no network. Its data are the tables of
//! `docs/operating.md` and `docs/verify.md`.

use super::layout::Frame;
use crate::console::answer::Answer;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::LazyLock;

/// The tables.
static TABLES: LazyLock<Tables> = LazyLock::new(|| serde_json::from_str(include_str!("help.json")).unwrap_or_default());

#[derive(Debug, Default, Deserialize)]
struct Tables {
    reasons: Vec<Row>,
    causes: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    /// The reasons or the cause that the row is about.
    names: Vec<String>,
    /// The other cells: Markdown with code and nothing else.
    cells: Vec<String>,
}

impl Row {
    fn has(rows: &[Self], name: &str) -> bool {
        rows.iter().any(|row| row.names.iter().any(|known| known == name))
    }
}

/// A link to what a reason means; nothing for a reason that the page does not have.
pub(super) fn of_reason(reason: &str) -> Markup {
    html! {
        @if Row::has(&TABLES.reasons, reason) { a href=(format!("/help#{reason}")) { "What " span.mono { (reason) } " means, and what to do" } }
    }
}

/// A link to what a cause means; nothing for a cause that the page does not have.
pub(super) fn of_cause(cause: &str) -> Markup {
    html! {
        @if Row::has(&TABLES.causes, cause) { a href=(format!("/help#cause-{cause}")) { "About " span.mono { (cause) } } }
    }
}

/// The page.
pub(super) fn page(frame: &Frame<'_>) -> Answer {
    let content = html! {
        h1 { "Reasons and causes" }
        p.lead { "Why a request was refused, and what changed it on its way. The answer to the sender, the metric and the audit line have the same reason." }
        h2 { "Reasons" }
        div.wide tabindex="0" role="region" aria-label="Reasons" { table {
            thead { tr { th scope="col" { "reason" } th scope="col" { "status" } th scope="col" { "what it means" } th scope="col" { "what to do" } } }
            tbody { @for row in &TABLES.reasons { (table_row(row, "")) } }
        } }
        h2 { "Causes of a signature that does not fit" }
        p.soft { "A captured request shows its cause on its page. On a command line: " code { "hookgate verify request.txt --config gateway.toml" } }
        div.wide tabindex="0" role="region" aria-label="Causes" { table {
            thead { tr { th scope="col" { "cause" } th scope="col" { "what it means" } } }
            tbody { @for row in &TABLES.causes { (table_row(row, "cause-")) } }
        } }
    };
    frame.page("Reasons and causes", &content)
}

/// A row in which each name is an anchor.
fn table_row(row: &Row, prefix: &str) -> Markup {
    html! {
        tr {
            th scope="row" { @for name in &row.names { div.mono id=(format!("{prefix}{name}")) { (name) } } }
            @for cell in &row.cells { td { (with_code(cell)) } }
        }
    }
}

/// Text in which what stands between backquotes is code.
fn with_code(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 0 { (part) } @else { code { (part) } }
        }
    }
}
