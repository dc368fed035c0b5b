//! `hookgate tail`: follows the requests of a running gateway, and saves refused ones for `hookgate verify`.

use super::api_client::ApiClient;
use super::terminal::{Paint, sanitize};
use super::{CommandResult, Failure, block_on};
use crate::config::Sources;
use crate::gateway::captures::file_name;
use crate::http::percent;
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::{Bytes, Incoming};
use serde_json::Value;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Largest event that is read (1 MiB). A line of the audit log is much shorter.
const EVENT_BYTES: usize = 1 << 20;

/// Arguments of `tail`.
#[derive(Debug, clap::Args)]
pub(super) struct TailArguments {
    /// Only requests of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only requests with this verdict, such as forwarded, rejected or failed
    #[arg(long, value_name = "VERDICT")]
    verdict: Option<String>,
    /// Only requests with this reason, such as signature_mismatch
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only requests that were refused or failed
    #[arg(long)]
    refused: bool,
    /// Begin with this many of the latest requests
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 10)]
    last: u64,
    /// End after the latest requests, without waiting for more
    #[arg(long)]
    no_follow: bool,
    /// Save the requests that the gateway captured as files that `hookgate verify` reads
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Print the audit lines as they are
    #[arg(long)]
    json: bool,
    /// The gateway's socket; the default is api.socket of the configuration
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Prints requests until the gateway ends or the output is closed.
pub(super) fn run(arguments: &TailArguments, sources: &Sources) -> CommandResult {
    let client = ApiClient::new(arguments.socket.as_deref(), sources)?;
    if let Some(directory) = &arguments.save {
        fs::create_dir_all(directory)
            .map_err(|error| Failure::Usage(format!("{} cannot be created: {error}", directory.display())))?;
    }
    let tail = Tail {
        client,
        arguments,
        paint: Paint::new(io::stdout().is_terminal(), &sources.environment),
    };
    block_on(tail.run())?
}

struct Tail<'a> {
    client: ApiClient,
    arguments: &'a TailArguments,
    paint: Paint,
}

impl Tail<'_> {
    async fn run(&self) -> CommandResult {
        if self.arguments.no_follow {
            let path = format!("/api/v1/requests?limit={}{}", self.arguments.last, self.filter());
            let answer = self.client.ask(Method::GET, &path, String::new()).await?;
            let document: Value = serde_json::from_slice(&answer).unwrap_or_default();
            let requests = document.get("requests").and_then(Value::as_array);
            for entry in requests.into_iter().flatten().rev() {
                let Some(request) = entry.get("request") else { continue };
                if !self.show(request, &request.to_string()).await? {
                    break;
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        let path = format!("/api/v1/requests/stream?last={}{}", self.arguments.last, self.filter());
        let response = self.client.send(Method::GET, &path, String::new()).await?;
        self.follow(response.into_body()).await
    }

    /// The conditions as parameters of a query.
    fn filter(&self) -> String {
        let TailArguments {
            route,
            verdict,
            reason,
            refused,
            ..
        } = self.arguments;
        let named = [("route", route), ("verdict", verdict), ("reason", reason)];
        let mut query: String = named
            .into_iter()
            .filter_map(|(name, value)| {
                value
                    .as_ref()
                    .map(|value| format!("&{name}={}", percent::encode(value)))
            })
            .collect();
        if *refused {
            query.push_str("&refused=1");
        }
        query
    }

    async fn follow(&self, mut body: Incoming) -> CommandResult {
        let mut pending = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece: Bytes = match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(piece)) => piece,
                Ok(Err(_)) => continue,
                Err(_) => break,
            };
            pending.extend_from_slice(&piece);
            while let Some(end) = memchr::memmem::find(&pending, b"\n\n") {
                let event: Vec<u8> = pending.drain(..end + 2).collect();
                if !self.event(&String::from_utf8_lossy(&event)).await? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            if pending.len() > EVENT_BYTES {
                return Err(Failure::Failed(String::from(
                    "the gateway sent an event that is too long",
                )));
            }
        }
        Err(Failure::Failed(String::from("the gateway has ended the connection")))
    }

    /// Shows one event; false when the output is closed.
    async fn event(&self, text: &str) -> Result<bool, Failure> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let Some(data) = field("data: ") else { return Ok(true) };
        let document: Value = serde_json::from_str(data).unwrap_or_default();
        if field("event: ") == Some("lost") {
            let lost = document.get("lost").and_then(Value::as_u64).unwrap_or_default();
            let _ = writeln!(io::stderr(), "hookgate: {lost} requests were too fast to be shown");
            return Ok(true);
        }
        self.show(&document, data).await
    }

    async fn show(&self, line: &Value, text: &str) -> Result<bool, Failure> {
        let shown = match self.arguments.json {
            true => format!("{text}\n"),
            false => human(line, self.paint),
        };
        let mut output = io::stdout().lock();
        let written = output.write_all(shown.as_bytes()).and_then(|()| output.flush());
        drop(output);
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => return Err(Failure::Failed(format!("cannot write to standard output: {error}"))),
            Ok(()) => {}
        }
        if let (Some(directory), Some(id)) = (&self.arguments.save, line.get("request_id").and_then(Value::as_str)) {
            self.save(directory, id, line).await?;
        }
        Ok(true)
    }

    /// Saves a request that was captured. The file is readable for its owner only: it may hold personal data.
    async fn save(&self, directory: &Path, id: &str, line: &Value) -> Result<(), Failure> {
        let path = format!("/api/v1/captures/{}", percent::encode(id));
        let Ok(document) = self.client.ask(Method::GET, &path, String::new()).await else {
            let route = line.get("route").and_then(Value::as_str).unwrap_or_default();
            let _ = match route {
                "" => writeln!(io::stderr(), "hookgate: not saved: no route matched the request"),
                route => writeln!(
                    io::stderr(),
                    "hookgate: not saved: the gateway did not capture it; turn it on with `hookgate capture {} --for 30m`",
                    sanitize(route)
                ),
            };
            return Ok(());
        };
        let part = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
        let name = file_name(part("time"), part("route"), part("reason"), part("request_id"));
        let file = directory.join(name);
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&file);
        opened
            .and_then(|mut opened| opened.write_all(&document))
            .map_err(|error| Failure::Failed(format!("{} cannot be written: {error}", file.display())))?;
        let _ = writeln!(io::stderr(), "  saved: hookgate verify {}", file.display());
        Ok(())
    }
}

/// One audit line for people: time, status, verdict and reason, what was asked for, and what explains it.
fn human(line: &Value, paint: Paint) -> String {
    let text = |name: &str| match line.get(name) {
        Some(Value::String(text)) => sanitize(text).replace(['\n', '\t'], " "),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) | None => String::new(),
    };
    let time = text("time");
    let clock = time.get(11..23).unwrap_or(&time);
    if text("kind") == "action" {
        let detail = [text("target"), text("detail")].join(" ");
        let (action, actor) = (text("action"), text("actor"));
        return format!(
            "{} {} {} by {actor}\n",
            paint.dim(clock),
            paint.cyan(&action),
            detail.trim()
        );
    }
    let verdict = text("verdict");
    let label = match text("reason").as_str() {
        "" | "none" => format!("{verdict:<30}"),
        reason => format!("{:<30}", format!("{verdict} {reason}")),
    };
    let label = match verdict.as_str() {
        "forwarded" | "acknowledged" | "challenge" => paint.green(&label),
        "stored" | "reported" => paint.cyan(&label),
        _ => paint.red(&label),
    };
    let status = match text("status") {
        none if none.is_empty() => String::from("---"),
        status => status,
    };
    let mut shown = format!(
        "{} {} {label} {} {}{}",
        paint.dim(clock),
        paint.bold(&status),
        text("method"),
        text("host"),
        text("path")
    );
    let mut notes = Vec::new();
    for (name, label, unit) in [
        ("route", "route ", ""),
        ("peer", "from ", ""),
        ("signature_age_seconds", "signed ", " s ago"),
        ("upstream_status", "application ", ""),
        ("request_id", "id ", ""),
    ] {
        let value = text(name);
        if !value.is_empty() {
            notes.push(format!("{label}{value}{unit}"));
        }
    }
    if let Some(seconds) = line.get("seconds").and_then(Value::as_f64) {
        notes.push(format!("{:.1} ms", seconds * 1000.0));
    }
    shown.push_str(&paint.dim(&format!("  {}", notes.join(", "))));
    shown.push('\n');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_shows_what_was_asked_and_why_it_was_refused() {
        let line = serde_json::json!({
            "time": "2026-01-02T03:04:05.678Z", "kind": "request", "route": "shop", "method": "POST", "host": "h",
            "path": "/p\u{1b}[2J", "status": 401, "verdict": "rejected", "reason": "signature_mismatch", "seconds": 0.0012,
            "peer": "192.0.2.1", "request_id": "ab",
        });
        let paint = Paint::new(false, &Vec::new());
        assert_eq!(
            human(&line, paint),
            "03:04:05.678 401 rejected signature_mismatch    POST h/p\u{fffd}[2J  route shop, from 192.0.2.1, id ab, 1.2 ms\n"
        );
        let action = serde_json::json!({ "time": "2026-01-02T03:04:05.678Z", "kind": "action", "actor": "uid 0", "action": "capture", "target": "shop", "detail": "for 30m" });
        assert_eq!(human(&action, paint), "03:04:05.678 capture shop for 30m by uid 0\n");
    }
}
