//! The client of a running gateway's API, on its Unix socket.
//!
//! It reads only `api.socket` from the configuration: a command that looks into a running gateway must work while somebody
//! edits the file.

use super::Failure;
use super::client::Connection;
use crate::config::Sources;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Largest answer that is not a stream (64 MiB): a captured request with its body in Base64.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// The variable that sets `api.socket`.
const VARIABLE: &str = "HOOKGATE_API__SOCKET";

/// Where the API is.
#[derive(Debug)]
pub(super) struct ApiClient {
    socket: PathBuf,
}

impl ApiClient {
    /// The API at `socket`, or at `api.socket` of the configuration.
    ///
    /// # Errors
    /// No socket is known.
    pub(super) fn new(socket: Option<&Path>, sources: &Sources) -> Result<Self, Failure> {
        let found = socket.map(Path::to_owned).or_else(|| configured(sources));
        found.map(|socket| Self { socket }).ok_or_else(|| {
            Failure::Usage(String::from(
                "the configuration has no api.socket; add `[api]` with `socket = \"/run/hookgate/api.sock\"` and restart the gateway, or name the socket with --socket PATH",
            ))
        })
    }

    /// Sends a request and returns the answer, whose body may be a stream.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal.
    pub(super) async fn send(&self, method: Method, path: &str, body: String) -> Result<Response<Incoming>, Failure> {
        let shown = self.socket.display();
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| Failure::Failed(format!("{shown}: {}", problem(&error))))?;
        let broken = |error: String| Failure::Failed(format!("{shown}: {error}"));
        let mut connection = Connection::new(stream).await.map_err(broken)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "hookgate")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let response = connection.send(request).await.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = whole(response).await?;
        let document: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let title = document
            .get("title")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("no reason");
        Err(Failure::Failed(format!("{shown} answered {status}: {title}")))
    }

    /// Sends a request and returns the whole body of the answer.
    ///
    /// # Errors
    /// There is no complete answer, or it is a refusal.
    pub(super) async fn ask(&self, method: Method, path: &str, body: String) -> Result<Bytes, Failure> {
        whole(self.send(method, path, body).await?).await
    }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| Failure::Failed(format!("the answer is incomplete: {error}")))
}

/// `api.socket`, in the order of the configuration: command line, environment, file.
fn configured(sources: &Sources) -> Option<PathBuf> {
    let option = sources.overrides.iter().rev().find(|(key, _)| key == "api.socket");
    let option = option.map(|(_, value)| value.clone());
    let variable = || {
        let found = sources.environment.iter().find(|(name, _)| name == VARIABLE);
        found.and_then(|(_, value)| value.to_str()).map(str::to_owned)
    };
    let directory = sources.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let text = option.or_else(variable).or_else(|| {
        let text = std::fs::read_to_string(sources.file.as_deref()?).ok()?;
        let file: toml::Table = text.parse().ok()?;
        Some(file.get("api")?.get("socket")?.as_str()?.to_owned())
    })?;
    Some(directory.join(text))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the standard library's list of kinds is open"
)]
fn problem(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            String::from("there is no such socket; check that hookgate runs with this api.socket")
        }
        io::ErrorKind::ConnectionRefused => {
            String::from("no process listens; check that hookgate runs with this api.socket")
        }
        io::ErrorKind::PermissionDenied => {
            String::from("permission denied; run this command as the user of the gateway, or as root")
        }
        _ => error.to_string(),
    }
}
