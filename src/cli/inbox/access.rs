//! The inbox as the commands reach it: the running process over the socket of its API, or the file if no process uses it.

use super::output::field;
use super::selection::{self, Chosen};
use crate::cli::client::Connection;
use crate::inbox::operators::{self, ClosedStore};
use crate::inbox::store::operations::{self, Operation, Selection};
use crate::settings;
use crate::time::clock;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::sleep;

/// How long one answer of the process may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// How often the process is asked how far a job is.
const POLL: Duration = Duration::from_millis(100);

/// The inbox as the commands reach it.
pub(super) enum Access {
    /// A process uses it.
    Running(Box<Connection>),
    /// No process uses it.
    Closed(Box<ClosedStore>),
}

impl Access {
    /// Opens the file, or connects to the process that uses it.
    ///
    /// # Errors
    /// A sentence.
    pub(super) async fn open(settings: &settings::Inbox, socket: Option<PathBuf>) -> Result<Self, String> {
        if let Some(store) = ClosedStore::open(settings).map_err(|problem| problem.to_string())? {
            return Ok(Self::Closed(Box::new(store)));
        }
        let Some(socket) = socket else {
            return Err(String::from(
                "a process uses the inbox, and has no socket for commands; write `socket = \"/run/hookgate/api.sock\"` in `[api]` and restart it",
            ));
        };
        let stream = UnixStream::connect(&socket).await;
        let stream = stream.map_err(|error| {
            format!(
                "a process uses the inbox, and its socket {} cannot be reached: {error}",
                socket.display()
            )
        })?;
        Ok(Self::Running(Box::new(Connection::new(stream).await?)))
    }

    pub(super) async fn list(&mut self, chosen: &Chosen, after: i64, limit: usize) -> Result<Value, String> {
        match self {
            Self::Running(connection) => {
                let path = format!("deliveries?{}&after={after}&limit={limit}", chosen.query());
                ask(connection, Method::GET, &path, String::new()).await
            }
            Self::Closed(store) => {
                let found = operations::list(&store.connection, &chosen.selection, after, limit).map_err(faulty)?;
                let next = found.last().map(|last| last.number).filter(|_| found.len() == limit);
                Ok(json!({ "deliveries": found, "next": next }))
            }
        }
    }

    pub(super) async fn show(&mut self, id: &str) -> Result<Value, String> {
        let bytes = selection::id(id).map_err(|failure| failure.to_string())?;
        match self {
            Self::Running(connection) => ask(connection, Method::GET, &format!("deliveries/{id}"), String::new()).await,
            Self::Closed(store) => {
                let selection = Selection {
                    id: Some(bytes),
                    ..Selection::default()
                };
                let found =
                    operations::show(&store.connection, Some(&store.vault), &selection, 0, 1).map_err(faulty)?;
                let found = found.into_iter().next().ok_or("there is no delivery with this id")?;
                Ok(json!(found))
            }
        }
    }

    pub(super) async fn export(&mut self, chosen: &Chosen, after: i64, limit: usize) -> Result<Value, String> {
        match self {
            Self::Running(connection) => {
                let path = format!("export?{}&after={after}&limit={limit}", chosen.query());
                ask(connection, Method::POST, &path, String::new()).await
            }
            Self::Closed(store) => {
                let vault = Some(&store.vault);
                let found = operations::show(&store.connection, vault, &chosen.selection, after, limit);
                let found = found.map_err(faulty)?;
                let next = found
                    .last()
                    .map(|last| last.delivery.number)
                    .filter(|_| found.len() == limit);
                Ok(json!({ "deliveries": found, "next": next }))
            }
        }
    }

    pub(super) async fn count(&mut self, chosen: &Chosen, operation: Operation) -> Result<i64, String> {
        match self {
            Self::Running(connection) => {
                let path = format!("count?{}&for={}", chosen.query(), operation.label());
                let answer = ask(connection, Method::GET, &path, String::new()).await?;
                Ok(field(&answer, "matched").as_i64().unwrap_or(0))
            }
            Self::Closed(store) => {
                operations::count(&store.connection, &chosen.selection, Some(operation)).map_err(faulty)
            }
        }
    }

    /// Does an operation to all deliveries that are meant, and waits for its end. `progress` is told how many were changed.
    pub(super) async fn change(
        &mut self,
        operation: Operation,
        chosen: &Chosen,
        mut progress: impl FnMut(i64),
    ) -> Result<i64, String> {
        match self {
            Self::Running(connection) => {
                let path = format!("{}?{}", operation.label(), chosen.query());
                let mut job = ask(connection, Method::POST, &path, String::new()).await?;
                loop {
                    let changed = field(&job, "changed").as_i64().unwrap_or(0);
                    progress(changed);
                    if let Some(problem) = field(&job, "problem").as_str() {
                        return Err(format!("{problem}; {changed} were changed"));
                    }
                    if field(&job, "ended") == &Value::Bool(true) {
                        return Ok(changed);
                    }
                    sleep(POLL).await;
                    job = ask(connection, Method::GET, "job", String::new()).await?;
                }
            }
            Self::Closed(store) => {
                let now = i64::try_from(clock::unix_now_ms()).unwrap_or(i64::MAX);
                store
                    .run(operation, &chosen.selection, &actor(), now, progress)
                    .map_err(|problem| problem.to_string())
            }
        }
    }

    /// Stores an exported delivery.
    pub(super) async fn import(&mut self, line: String) -> Result<Value, String> {
        match self {
            Self::Running(connection) => ask(connection, Method::POST, "import", line).await,
            Self::Closed(_) => Err(String::from(
                "the process checks what is imported, and it does not run; start it",
            )),
        }
    }

    pub(super) async fn back_up(&mut self, file: &Path) -> Result<(), String> {
        match self {
            Self::Running(connection) => {
                let body = json!({ "file": file }).to_string();
                ask(connection, Method::POST, "backup", body).await.map(drop)
            }
            Self::Closed(store) => operators::back_up(&store.connection, file).map_err(|problem| problem.to_string()),
        }
    }

    pub(super) async fn set_paused(&mut self, route: &str, is_paused: bool) -> Result<(), String> {
        match self {
            Self::Running(connection) => {
                let action = if is_paused { "pause" } else { "resume" };
                let path = format!("routes/{route}/{action}");
                ask(connection, Method::POST, &path, String::new()).await.map(drop)
            }
            Self::Closed(store) => operations::set_paused(&store.connection, route, is_paused).map_err(faulty),
        }
    }
}

/// Who changes a closed file.
fn actor() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn faulty(error: rusqlite::Error) -> String {
    format!("the file of the inbox cannot be used: {error}")
}

/// Asks the process, and reads its document.
async fn ask(connection: &mut Connection, method: Method, path: &str, body: String) -> Result<Value, String> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/inbox/{path}"))
        .header("host", "hookgate")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| format!("the request cannot be made: {error}"))?;
    let answer = connection.exchange(request, ANSWER_TIMEOUT).await?;
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status.is_success() {
        return Ok(document);
    }
    Err(field(&document, "title")
        .as_str()
        .map_or_else(|| format!("the process answered {}", answer.status), str::to_owned))
}
