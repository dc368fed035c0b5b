//! The latest requests: as a list, one of them, and as they are recorded.

use super::filter::Filter;
use super::{Call, Query};
use crate::console::answer::{self, Answer, Refusal, not_found, refusal};
use crate::telemetry::recent::{RecentLine, RecentLines};
use bytes::{BufMut, Bytes, BytesMut};
use hyper::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// The most requests of one list, and how many if the query does not say.
const LIST_LIMIT: u64 = 1_000;
const LIST_DEFAULT: u64 = 100;
/// Shortest time between two pieces of a stream.
const PAUSE: Duration = Duration::from_millis(100);
/// The most lines of one piece.
const PIECE_LINES: usize = 200;
/// Time after which a stream without events gets a comment, so that a connection that is gone is noticed.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Requests in their order, and where older ones begin.
#[derive(Serialize)]
struct List {
    requests: Vec<Numbered>,
    /// `before` of the next page; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

#[derive(Serialize)]
struct Numbered {
    number: u64,
    request: Box<RawValue>,
}

/// Answers the paths below `/api/v1/requests`.
pub(super) fn respond(call: &Call<'_>, path: &[&str]) -> Result<Answer, Refusal> {
    call.read()?;
    match path {
        [] => list(call),
        ["stream"] => stream(call),
        [id] => one(call, id),
        _ => Err(not_found()),
    }
}

fn list(call: &Call<'_>) -> Result<Answer, Refusal> {
    let before = call.query.number("before")?.unwrap_or(u64::MAX);
    let limit = call.query.number("limit")?.unwrap_or(LIST_DEFAULT).min(LIST_LIMIT);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let filter = Filter::new(&call.query);
    let mut lines = matching(&call.operators.recent, &filter, before);
    let found: Vec<RecentLine> = lines.by_ref().take(limit).collect();
    let next = lines.next().and(found.last().map(|line| line.number));
    let requests = found.iter().filter_map(numbered).collect();
    Ok(answer::json(StatusCode::OK, &List { requests, next }))
}

fn one(call: &Call<'_>, id: &str) -> Result<Answer, Refusal> {
    let query = Query::of("request_id", id);
    let filter = Filter::new(&query);
    let found = matching(&call.operators.recent, &filter, u64::MAX).next();
    let found = found.as_ref().and_then(numbered);
    found
        .map(|found| answer::json(StatusCode::OK, &found))
        .ok_or_else(|| refusal(StatusCode::NOT_FOUND, "this request is not among the latest ones"))
}

/// The lines that a filter admits with numbers below `before`, the latest first.
pub(in crate::console) fn matching(
    recent: &RecentLines,
    filter: &Filter,
    before: u64,
) -> impl Iterator<Item = RecentLine> {
    let lines = recent.before(before).into_iter();
    lines.filter(|line| filter.admits(&line.json))
}

fn numbered(line: &RecentLine) -> Option<Numbered> {
    let text = String::from_utf8(line.json.to_vec()).ok()?;
    Some(Numbered {
        number: line.number,
        request: RawValue::from_string(text).ok()?,
    })
}

/// Requests as they are recorded. `last` asks for that many earlier ones first; `after`, or the header `Last-Event-ID`,
/// for those after a number. A reader that is too slow loses requests, and an event `lost` says how many.
fn stream(call: &Call<'_>) -> Result<Answer, Refusal> {
    let recent = &call.operators.recent;
    let last = call.query.number("last")?.unwrap_or(0);
    let after = call.query.number("after")?.or(call.last_event_id);
    let latest = recent.latest();
    let after = after.unwrap_or_else(|| latest.saturating_sub(last));
    // A number that was not given yet is of an earlier process: its reader has seen nothing of this one.
    let after = if after > latest { 0 } else { after };
    let (pieces, receiver) = mpsc::channel(2);
    tokio::spawn(follow(recent.clone(), Filter::new(&call.query), after, pieces));
    Ok(answer::events(receiver))
}

/// Sends what is recorded after `after` until the reader is gone.
async fn follow(recent: RecentLines, filter: Filter, mut after: u64, pieces: mpsc::Sender<Bytes>) {
    let mut changes = recent.watch();
    // The head of the answer reaches the reader at once.
    let mut piece = BytesMut::from(&b": hookgate\n\n"[..]);
    loop {
        let following = recent.following(after, PIECE_LINES);
        if following.lost > 0 {
            piece.extend_from_slice(format!("event: lost\ndata: {{\"lost\":{}}}\n\n", following.lost).as_bytes());
        }
        after += following.lost;
        let is_full = following.lines.len() == PIECE_LINES;
        for line in following.lines {
            after = line.number;
            if filter.admits(&line.json) {
                piece.extend_from_slice(format!("id: {after}\ndata: ").as_bytes());
                piece.put_slice(&line.json);
                piece.extend_from_slice(b"\n\n");
            }
        }
        if !piece.is_empty() && pieces.send(piece.split().freeze()).await.is_err() {
            return;
        }
        if !is_full {
            sleep(PAUSE).await;
            changes.mark_unchanged();
            if recent.latest() > after {
                continue;
            }
            tokio::select! {
                changed = timeout(COMMENT_EVERY, changes.changed()) => match changed {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return,
                    Err(_) => piece.extend_from_slice(b": still here\n\n"),
                },
                () = pieces.closed() => return,
            }
        }
    }
}
