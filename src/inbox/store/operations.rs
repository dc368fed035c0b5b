//! What operators see of the rows and do to them. Each function runs inside a transaction: of the writer while the process
//! runs, or of a command on a closed file.

use super::changes::Changes;
use super::rows::{ENTRY, Entry, entry, finish, write};
use super::types::Keep;
use crate::inbox::crypt::{Part, Vault};
use crate::inbox::known::Id;
use crate::inbox::model::delivery::{Control, Millis, State, Why};
use crate::inbox::record::StoredHead;
use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use serde::Serialize;
use std::time::{Duration, UNIX_EPOCH};

/// Which deliveries are meant: those for which all conditions hold. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The name of the route.
    pub route: Option<String>,
    /// The state.
    pub state: Option<State>,
    /// It arrived then or later.
    pub since: Option<Millis>,
    /// It arrived before that.
    pub until: Option<Millis>,
    /// The id of the delivery.
    pub id: Option<Id>,
}

/// One delivery in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Its number in the file; later ones have greater numbers.
    pub number: i64,
    /// `Hookgate-Delivery`.
    pub id: String,
    /// The name of the route under which it is stored.
    pub route: String,
    /// Its state.
    pub state: &'static str,
    /// Why it is dead or blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// Why it was stored.
    pub reason: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Bytes of its content; 0 once that is erased.
    pub bytes: i64,
    /// When it arrived.
    pub received_at: String,
    /// When the next attempt may begin; only for a waiting one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
    /// When it was delivered, given up or dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<String>,
    /// When its content or its row is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, Serialize)]
pub struct Attempted {
    /// Its number, from 1.
    pub number: u32,
    /// When it ended.
    pub ended_at: String,
    /// How long it took.
    pub took_ms: i64,
    /// How it ended.
    pub outcome: String,
    /// The application's status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The beginning of the application's answer. Bytes that are not UTF-8 are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// What an operator did to a delivery.
#[derive(Clone, Debug, Serialize)]
pub struct Acted {
    /// When.
    pub at: String,
    /// What.
    pub action: String,
    /// Who.
    pub actor: String,
}

/// The stored request.
#[derive(Clone, Debug, Serialize)]
pub struct Content {
    /// The method.
    pub method: String,
    /// Raw path and query.
    pub target: String,
    /// The authority that the sender asked for.
    pub authority: String,
    /// The address of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The request id.
    pub request_id: String,
    /// The scheme that verified it.
    pub scheme: String,
    /// The name of the secret that matched.
    pub secret: String,
    /// The sender's fields in their order. Bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body in base64.
    pub body_base64: String,
}

/// One delivery with everything that is stored of it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// As in a list.
    #[serde(flatten)]
    pub delivery: Listed,
    /// Its last attempts.
    pub attempt_list: Vec<Attempted>,
    /// What operators did to it.
    pub actions: Vec<Acted>,
    /// The stored request; absent once it is erased, or if it cannot be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Content>,
}

/// What operators do to deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// They are tried again, with a fresh budget.
    Redeliver,
    /// They are not tried any more, and their content is erased.
    Drop,
}

impl Operation {
    /// The word for commands and audit lines.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Redeliver => "redeliver",
            Self::Drop => "drop",
        }
    }

    /// The condition on rows that it can be done to.
    const fn condition(self) -> &'static str {
        match self {
            // An attempt under way is not disturbed, and what is erased cannot be sent.
            Self::Redeliver => "state <> 1 AND state <> 2 AND head IS NOT NULL",
            Self::Drop => "state IN (0, 2, 3, 5)",
        }
    }
}

impl Selection {
    /// The condition in SQL with its values, for numbers above `after`.
    fn condition(&self, after: i64, more: &str) -> (String, Vec<Value>) {
        let mut sql = String::from("seq > ?");
        let mut values = vec![Value::from(after)];
        let mut add = |text: &str, value: Option<Value>| {
            if let Some(value) = value {
                sql.push_str(" AND ");
                sql.push_str(text);
                values.push(value);
            }
        };
        add("id = ?", self.id.map(|id| Value::from(id.to_vec())));
        add("route = ?", self.route.clone().map(Value::from));
        add("state = ?", self.state.map(|state| Value::from(state as i64)));
        add("received_at >= ?", self.since.map(Value::from));
        add("received_at < ?", self.until.map(Value::from));
        if !more.is_empty() {
            sql.push_str(" AND ");
            sql.push_str(more);
        }
        (sql, values)
    }
}

const LISTED: &str =
    "seq, id, route, state, why, reason, attempts, bytes, received_at, next_at, settled_at, expires_at, is_manual";

fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let state = State::from_number(row.get(3)?).unwrap_or(State::Dead);
    let why: Option<i64> = row.get(4)?;
    let id: Vec<u8> = row.get(1)?;
    let time = |at: Option<Millis>| at.map(time_text);
    Ok(Listed {
        number: row.get(0)?,
        id: hex::encode(id),
        route: row.get(2)?,
        state: state.label(),
        why: why.and_then(Why::from_number).map(Why::label),
        reason: row.get(5)?,
        attempts: row.get(6)?,
        bytes: row.get(7)?,
        received_at: time_text(row.get(8)?),
        next_at: time(row.get(9)?).filter(|_| state == State::Waiting),
        settled_at: time(row.get(10)?),
        expires_at: time(row.get(11)?),
    })
}

/// Up to `limit` deliveries with numbers above `after`, in the order of their arrival.
///
/// # Errors
/// Those of the database.
pub fn list(db: &Connection, selection: &Selection, after: i64, limit: usize) -> rusqlite::Result<Vec<Listed>> {
    let (condition, values) = selection.condition(after, "");
    let sql = format!("SELECT {LISTED} FROM delivery WHERE {condition} ORDER BY seq LIMIT {limit}");
    let mut statement = db.prepare(&sql)?;
    statement.query_map(params_from_iter(values), listed)?.collect()
}

/// How many deliveries are meant, and to how many of them the operation can be done.
///
/// # Errors
/// Those of the database.
pub fn count(db: &Connection, selection: &Selection, operation: Option<Operation>) -> rusqlite::Result<i64> {
    let (condition, values) = selection.condition(0, operation.map_or("", Operation::condition));
    let sql = format!("SELECT count(*) FROM delivery WHERE {condition}");
    db.query_row(&sql, params_from_iter(values), |row| row.get(0))
}

/// Everything that is stored of up to `limit` deliveries with numbers above `after`; the content only if `vault` is given.
///
/// # Errors
/// Those of the database.
pub fn show(
    db: &Connection,
    vault: Option<&Vault>,
    selection: &Selection,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Shown>> {
    let mut shown = Vec::new();
    for delivery in list(db, selection, after, limit)? {
        let seq = delivery.number;
        let mut statement = db.prepare_cached(
            "SELECT number, ended_at, took_ms, outcome, status, answer FROM attempt WHERE seq = ?1 ORDER BY number",
        )?;
        let attempts = statement.query_map([seq], |row| {
            let answer: Option<Vec<u8>> = row.get(5)?;
            Ok(Attempted {
                number: row.get(0)?,
                ended_at: time_text(row.get(1)?),
                took_ms: row.get(2)?,
                outcome: row.get(3)?,
                status: row.get(4)?,
                answer: answer.map(|answer| String::from_utf8_lossy(&answer).into_owned()),
            })
        })?;
        let attempt_list = attempts.collect::<rusqlite::Result<_>>()?;
        let mut statement = db.prepare_cached("SELECT at, action, actor FROM action WHERE seq = ?1 ORDER BY number")?;
        let actions = statement.query_map([seq], |row| {
            Ok(Acted {
                at: time_text(row.get(0)?),
                action: row.get(1)?,
                actor: row.get(2)?,
            })
        })?;
        let actions = actions.collect::<rusqlite::Result<_>>()?;
        let request = match vault {
            Some(vault) => content(db, vault, &delivery)?,
            None => None,
        };
        shown.push(Shown {
            delivery,
            attempt_list,
            actions,
            request,
        });
    }
    Ok(shown)
}

/// The stored request of a delivery.
fn content(db: &Connection, vault: &Vault, delivery: &Listed) -> rusqlite::Result<Option<Content>> {
    let sql = "SELECT d.id, d.head, b.content FROM delivery d JOIN body b ON b.seq = d.seq
               WHERE d.seq = ?1 AND d.head IS NOT NULL";
    let found: Option<(Vec<u8>, Vec<u8>, Vec<u8>)> = db
        .prepare_cached(sql)?
        .query_row([delivery.number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let opened = found.and_then(|(id, head, body)| {
        let head = vault.open(&delivery.route, &id, Part::Head, head).ok()?;
        let body = vault.open(&delivery.route, &id, Part::Body, body).ok()?;
        Some((StoredHead::decode(&Bytes::from(head)).ok()?, body))
    });
    Ok(opened.map(|(StoredHead { line, headers }, body)| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Content {
            method: line.method,
            target: line.target,
            authority: line.authority,
            peer: line.peer.map(|peer| peer.to_string()),
            request_id: line.request_id,
            scheme: line.scheme,
            secret: line.secret,
            headers: headers
                .iter()
                .map(|field| (text(field.name), text(field.value)))
                .collect(),
            body_base64: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body),
        }
    }))
}

/// What one step of an operation has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number of the last delivery that was looked at; `None` when there is no further one.
    pub last: Option<i64>,
    /// How many deliveries were changed.
    pub changed: i64,
}

/// Does an operation to up to `limit` deliveries with numbers above `after` and up to `until`, for `actor`.
///
/// # Errors
/// Those of the database.
#[expect(clippy::too_many_arguments, reason = "a page of a selection, and who changes it")]
pub fn step(
    db: &Connection,
    operation: Operation,
    selection: &Selection,
    (after, until): (i64, i64),
    limit: usize,
    actor: &str,
    now: Millis,
    changes: &mut Changes,
) -> rusqlite::Result<Step> {
    let (condition, values) = selection.condition(after, operation.condition());
    let sql =
        format!("SELECT {ENTRY}, route FROM delivery WHERE {condition} AND seq <= {until} ORDER BY seq LIMIT {limit}");
    let mut statement = db.prepare(&sql)?;
    let found: Vec<(Entry, String)> = statement
        .query_map(params_from_iter(values), |row| Ok((entry(row)?, row.get(10)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut step = Step { last: None, changed: 0 };
    for (old, route) in &found {
        step.last = Some(old.seq);
        step.changed += 1;
        match operation {
            Operation::Redeliver => redeliver(db, route, old, now, changes)?,
            Operation::Drop => {
                let keep = Keep {
                    delivered: Duration::ZERO,
                    dead: Duration::ZERO,
                };
                drop_delivery(db, route, old, keep, now, changes)?;
            }
        }
        note(db, old.seq, operation.label(), actor, now)?;
    }
    Ok(step)
}

/// Lets a delivery be tried again with a fresh budget, for an operator: behind what waits already, and behind what is open of
/// its order key.
fn redeliver(db: &Connection, route: &str, old: &Entry, now: Millis, changes: &mut Changes) -> rusqlite::Result<()> {
    let mut control = old.control.revive(now);
    if let Some(key) = &old.order_key {
        // Those behind wait for this one, or for one of these.
        let sql = "SELECT 1 FROM delivery
                   WHERE route = ?1 AND order_key = ?2 AND state < 4 AND state <> 2 AND seq <> ?3";
        if db.prepare_cached(sql)?.exists(params![route, key, old.seq])? {
            control.state = State::Behind;
        }
    }
    write(db, old.seq, &control)?;
    db.prepare_cached("UPDATE delivery SET is_manual = 1, settled_at = NULL, expires_at = NULL WHERE seq = ?1")?
        .execute([old.seq])?;
    changes.moved(route, Some(old.control.state), Some(control.state), 0);
    Ok(())
}

/// Ends a delivery for an operator.
fn drop_delivery(
    db: &Connection,
    route: &str,
    old: &Entry,
    keep: Keep,
    now: Millis,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let control = Control {
        state: State::Dropped,
        why: None,
        ..old.control
    };
    write(db, old.seq, &control)?;
    finish(db, route, old, State::Dropped, keep, now, changes)
}

/// The greatest number of a delivery, at which an operation that begins now ends.
///
/// # Errors
/// Those of the database.
pub fn last_number(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("SELECT coalesce(max(seq), 0) FROM delivery", [], |row| row.get(0))
}

/// Writes what an operator did into the history of a delivery.
///
/// # Errors
/// Those of the database.
pub fn note(db: &Connection, seq: i64, action: &str, actor: &str, now: Millis) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO action (seq, at, action, actor) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![seq, now, action, actor])?;
    Ok(())
}

/// Pauses a route, or resumes it.
///
/// # Errors
/// Those of the database.
pub fn set_paused(db: &Connection, route: &str, is_paused: bool) -> rusqlite::Result<()> {
    db.execute(
        "INSERT OR REPLACE INTO route (name, is_paused) VALUES (?1, ?2)",
        params![route, is_paused],
    )?;
    Ok(())
}

/// A point in time as RFC 3339, in UTC with milliseconds.
#[must_use]
pub fn time_text(at: Millis) -> String {
    let since = Duration::from_millis(u64::try_from(at).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}
