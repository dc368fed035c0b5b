//! The inbox: its deliveries as a list and one by one, redelivery, drop, pauses, export, import and backup.

use super::{Call, Query};
use crate::console::Role;
use crate::console::answer::{self, Answer, Refusal, not_found, refusal};
use crate::gateway::import::{self, Exported};
use crate::inbox::Inbox;
use crate::inbox::model::delivery::State;
use crate::inbox::operators::{self, Problem};
use crate::inbox::store::operations::{self, Operation, Selection};
use crate::inbox::store::types::Stored;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// The most deliveries of one list, and how many if the query does not say.
const LIST_LIMIT: u64 = 1_000;
const LIST_DEFAULT: u64 = 100;
/// The most deliveries with their contents in one answer.
const CONTENTS_LIMIT: u64 = 20;

/// Answers the paths below `/api/v1/inbox`.
pub(super) async fn respond(call: &Call<'_>, path: &[&str]) -> Result<Answer, Refusal> {
    let Some(inbox) = &call.operators.gateway.inbox else {
        return Err(refusal(StatusCode::NOT_FOUND, "this process has no inbox"));
    };
    match path {
        ["deliveries"] => list(call, inbox).await,
        ["deliveries", id] => show(call, inbox, id).await,
        ["count"] => count(call, inbox).await,
        ["export"] => export(call, inbox).await,
        ["import"] => bring_in(call, inbox).await,
        ["job"] => {
            call.read()?;
            let job = inbox.job().ok_or_else(not_found)?;
            Ok(answer::json(StatusCode::OK, &job.progress()))
        }
        ["redeliver"] => begin(call, inbox, Operation::Redeliver).await,
        ["drop"] => begin(call, inbox, Operation::Drop).await,
        ["backup"] => backup(call, inbox).await,
        ["routes", route, "pause"] => pause(call, inbox, route, true).await,
        ["routes", route, "resume"] => pause(call, inbox, route, false).await,
        _ => Err(not_found()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(problem: Problem) -> Refusal {
    refusal(StatusCode::SERVICE_UNAVAILABLE, problem.to_string())
}

/// Reads `route`, `state`, `since`, `until` (Unix milliseconds) and `id`.
fn selection(query: &Query) -> Result<Selection, Refusal> {
    let bad = |text: String| refusal(StatusCode::BAD_REQUEST, text);
    let time = |name| {
        let number = query.number(name)?;
        Ok(number.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
    };
    let state = query.get("state").map(|word| {
        let state = State::ALL.into_iter().find(|state| state.label() == word);
        state.ok_or_else(|| bad(format!("`{word}` is not a state")))
    });
    let id = query.get("id").map(|text| {
        let id = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        id.ok_or_else(|| bad(format!("`{text}` is not an id: 32 hex digits")))
    });
    Ok(Selection {
        route: query.get("route").map(str::to_owned),
        state: state.transpose()?,
        since: time("since")?,
        until: time("until")?,
        id: id.transpose()?,
    })
}

fn page(query: &Query, default: u64, most: u64) -> Result<(i64, usize), Refusal> {
    let after = query.number("after")?.unwrap_or(0);
    let limit = query.number("limit")?.unwrap_or(default).clamp(1, most);
    Ok((
        i64::try_from(after).unwrap_or(i64::MAX),
        usize::try_from(limit).unwrap_or(usize::MAX),
    ))
}

async fn list(call: &Call<'_>, inbox: &Arc<Inbox>) -> Result<Answer, Refusal> {
    call.read()?;
    let (after, limit) = page(&call.query, LIST_DEFAULT, LIST_LIMIT)?;
    let selection = selection(&call.query)?;
    let found = inbox
        .read(move |db, _| operations::list(db, &selection, after, limit))
        .await
        .map_err(failed)?;
    let next = found.last().map(|last| last.number).filter(|_| found.len() == limit);
    Ok(answer::json(
        StatusCode::OK,
        &json!({ "deliveries": found, "next": next }),
    ))
}

async fn count(call: &Call<'_>, inbox: &Arc<Inbox>) -> Result<Answer, Refusal> {
    call.read()?;
    let operation = match call.query.get("for") {
        Some("redeliver") => Some(Operation::Redeliver),
        Some("drop") => Some(Operation::Drop),
        Some(_) | None => None,
    };
    let selection = selection(&call.query)?;
    let matched = inbox
        .read(move |db, _| operations::count(db, &selection, operation))
        .await
        .map_err(failed)?;
    Ok(answer::json(StatusCode::OK, &json!({ "matched": matched })))
}

/// One delivery with its attempts and its history. Its content is shown to a person who may operate.
async fn show(call: &Call<'_>, inbox: &Arc<Inbox>, id: &str) -> Result<Answer, Refusal> {
    call.read()?;
    let selection = Selection {
        route: call.query.get("route").map(str::to_owned),
        ..selection(&Query::of("id", id))?
    };
    let with_content = call.actor.role >= Role::Operate;
    let found = inbox
        .read(move |db, vault| operations::show(db, Some(vault).filter(|_| with_content), &selection, 0, 1))
        .await
        .map_err(failed)?;
    let found = found.into_iter().next().ok_or_else(not_found)?;
    Ok(answer::json(StatusCode::OK, &found))
}

async fn export(call: &Call<'_>, inbox: &Arc<Inbox>) -> Result<Answer, Refusal> {
    call.act(&Method::POST, "inbox.export", &call.query.text(), "")?;
    let (after, limit) = page(&call.query, CONTENTS_LIMIT, CONTENTS_LIMIT)?;
    let selection = selection(&call.query)?;
    let found = inbox
        .read(move |db, vault| operations::show(db, Some(vault), &selection, after, limit))
        .await
        .map_err(failed)?;
    let next = found
        .last()
        .map(|last| last.delivery.number)
        .filter(|_| found.len() == limit);
    Ok(answer::json(
        StatusCode::OK,
        &json!({ "deliveries": found, "next": next }),
    ))
}

/// Begins an operation on the deliveries that the query selects. The answer comes when it has begun.
async fn begin(call: &Call<'_>, inbox: &Arc<Inbox>, operation: Operation) -> Result<Answer, Refusal> {
    let action = match operation {
        Operation::Redeliver => "inbox.redeliver",
        Operation::Drop => "inbox.drop",
    };
    call.may_operate(&Method::POST)?;
    let selection = selection(&call.query)?;
    let counted = selection.clone();
    let matched = inbox
        .read(move |db, _| operations::count(db, &counted, Some(operation)))
        .await
        .map_err(failed)?;
    call.act(
        &Method::POST,
        action,
        &call.query.text(),
        &format!("{matched} deliveries"),
    )?;
    let job = inbox.begin_job(operation, selection, matched, call.actor.name.clone());
    let job = job.ok_or_else(|| {
        refusal(
            StatusCode::CONFLICT,
            "another redelivery or drop runs; wait for its end",
        )
    })?;
    Ok(answer::json(StatusCode::ACCEPTED, &job.progress()))
}

async fn pause(call: &Call<'_>, inbox: &Arc<Inbox>, route: &str, is_paused: bool) -> Result<Answer, Refusal> {
    let action = if is_paused { "inbox.pause" } else { "inbox.resume" };
    call.may_operate(&Method::POST)?;
    if !inbox.knows_route(route) {
        return Err(refusal(
            StatusCode::NOT_FOUND,
            format!("the inbox has no route `{route}`"),
        ));
    }
    call.act(&Method::POST, action, route, "")?;
    inbox.set_paused(route, is_paused).await.map_err(failed)?;
    Ok(answer::json(
        StatusCode::OK,
        &json!({ "route": route, "paused": is_paused }),
    ))
}

#[derive(Deserialize)]
struct Backup {
    file: PathBuf,
}

async fn backup(call: &Call<'_>, inbox: &Arc<Inbox>) -> Result<Answer, Refusal> {
    call.may_operate(&Method::POST)?;
    let Backup { file } = call.document()?;
    if !file.is_absolute() {
        return Err(refusal(StatusCode::BAD_REQUEST, "`file` is not an absolute path"));
    }
    call.act(&Method::POST, "inbox.backup", &file.display().to_string(), "")?;
    let store = inbox.settings().store.clone();
    let written = tokio::task::spawn_blocking(move || {
        let reader = crate::inbox::store::reader(&store)?;
        operators::back_up(&reader, &file)
    });
    let written = written.await;
    written
        .map_err(|_| refusal(StatusCode::SERVICE_UNAVAILABLE, "the backup has failed"))?
        .map_err(failed)?;
    Ok(answer::json(StatusCode::OK, &json!({ "written": true })))
}

/// Stores one exported delivery, after the checks that a request has to pass.
async fn bring_in(call: &Call<'_>, inbox: &Arc<Inbox>) -> Result<Answer, Refusal> {
    call.may_operate(&Method::POST)?;
    let exported: Exported = call.document()?;
    let gateway = &call.operators.gateway;
    let new = import::checked(&gateway.snapshot.load(), inbox, &exported)
        .map_err(|reason| refusal(StatusCode::UNPROCESSABLE_ENTITY, format!("not stored: {reason}")))?;
    let id = hex::encode(new.id);
    call.act(&Method::POST, "inbox.import", &id, &exported.route)?;
    let stored = inbox.store(new).await.map_err(|refused| failed(refused.into()))?;
    let (is_new, state) = match stored {
        Stored::New(seq) => {
            inbox.note_import(seq, &call.actor.name).await.map_err(failed)?;
            (true, State::Waiting)
        }
        Stored::Repeat { state, revived } => (revived, state),
    };
    Ok(answer::json(
        StatusCode::OK,
        &json!({ "id": id, "stored": is_new, "state": state.label() }),
    ))
}
