//! Pages and rows as server-sent events. A reader that is too slow loses events and is told how many.

use super::layout::first_row;
use super::{now, requests};
use crate::console::Console;
use crate::console::answer::{self, Answer, Refusal};
use crate::console::api::Query;
use crate::console::api::filter::Filter;
use crate::time::clock;
use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Time between two versions of a page.
const PAGE_EVERY: Duration = Duration::from_secs(3);
/// Time between two pieces of rows.
const ROWS_EVERY: Duration = Duration::from_millis(500);
/// The most rows of one piece: more than a person reads.
const ROWS: usize = 25;
/// Time after which a comment is sent, so that a connection that is gone is noticed.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// The content of the page Now, again and again.
///
/// # Errors
/// The answer to a query that cannot be used.
pub(super) fn now(console: &Console, query: &Query) -> Result<Answer, Refusal> {
    let from = first_row(query)?;
    let (pieces, receiver) = mpsc::channel(1);
    let console = console.clone();
    tokio::spawn(async move {
        loop {
            let page = Value::from(now::content(&console, from).into_string());
            if pieces
                .send(Bytes::from(format!("event: page\ndata: {page}\n\n")))
                .await
                .is_err()
            {
                return;
            }
            tokio::select! {
                () = sleep(PAGE_EVERY) => {}
                () = pieces.closed() => return,
            }
        }
    });
    Ok(answer::events(receiver))
}

/// Rows of new requests.
pub(super) fn rows(console: &Console, query: &Query) -> Answer {
    let (pieces, receiver) = mpsc::channel(1);
    let recent = console.operators.recent.clone();
    let filter = Filter::new(query);
    tokio::spawn(async move {
        let mut changes = recent.watch();
        let mut after = recent.latest();
        if pieces.send(Bytes::from_static(b": hookgate\n\n")).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                changed = timeout(COMMENT_EVERY, changes.changed()) => match changed {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return,
                    Err(_) => {
                        if pieces.send(Bytes::from_static(b": still here\n\n")).await.is_err() {
                            return;
                        }
                        continue;
                    }
                },
                () = pieces.closed() => return,
            }
            let following = recent.following(after, usize::MAX);
            after = following.lines.last().map_or(after, |line| line.number);
            let new = following.lines.iter().rev();
            let meant: Vec<_> = new.filter(|line| filter.admits(&line.json)).collect();
            let lost = following.lost.saturating_add(meant.len().saturating_sub(ROWS) as u64);
            let mut piece = String::new();
            if lost > 0 {
                piece.push_str(&format!("event: lost\ndata: {{\"lost\":{lost}}}\n\n"));
            }
            let now_unix = clock::unix_now();
            let rows: String = meant
                .iter()
                .take(ROWS)
                .map(|line| requests::row(line, now_unix, true).into_string())
                .collect();
            if !rows.is_empty() {
                piece.push_str(&format!("event: rows\ndata: {}\n\n", Value::from(rows)));
            }
            if !piece.is_empty() && pieces.send(Bytes::from(piece)).await.is_err() {
                return;
            }
            sleep(ROWS_EVERY).await;
        }
    });
    answer::events(receiver)
}
