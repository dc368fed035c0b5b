//! `hookgate send`: signs a body and delivers it as the provider would, once or many times.
//!
//! Each delivery is signed immediately before it is sent. Two deliveries with the same body and the same second have
//! the same signature, and the gateway refuses the second one as a replay. `{{number}}` in the body is therefore
//! replaced by the number of the delivery.

mod events;
mod samples;
mod summary;

use super::client_tls::Trust;
use super::destination::{self, Destination};
use super::signing::{Prepared, Signer, SigningArguments};
use crate::cli::client::{ClientResponse, Connection};
use crate::cli::terminal::{self, Paint};
use crate::cli::{CommandResult, Failure, block_on, inputs};
use crate::config::Sources;
use crate::scheme::SignRequest;
use crate::time::clock;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal as _};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use summary::Summary;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Arguments of `send`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SendArguments {
    /// Where to deliver, such as https://localhost:8443/webhooks/paddle
    #[arg(value_name = "URL", value_parser = destination::url)]
    url: Uri,
    #[command(flatten)]
    signing: SigningArguments,
    /// File with the exact body, or - for standard input; the default is a sample event of the provider. {{number}} is replaced by the number of the delivery
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Sample event of the provider, such as checkout.session.completed
    #[arg(long, value_name = "NAME", conflicts_with = "body")]
    event: Option<String>,
    /// Additional header, such as 'X-Environment: test' (repeatable)
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Number of deliveries
    #[arg(long, value_name = "N", default_value = "1")]
    count: NonZeroU32,
    /// Number of parallel deliveries, each over its own connection
    #[arg(long, value_name = "N", default_value = "1")]
    concurrency: NonZeroU32,
    /// Longest wait for each answer
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// PEM file with what to trust instead of the platform's authorities: the certificate of a private authority, or the
    /// server's own
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    insecure: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Sends the deliveries and prints a summary. The exit code is 0 when every delivery was answered with 2xx, otherwise
/// 1.
pub(in crate::cli) fn run(arguments: SendArguments, sources: &Sources) -> CommandResult {
    let signer = match arguments.signing.prepare(sources)? {
        Prepared::Ready(signer) => *signer,
        Prepared::FilesWritten(text) => {
            terminal::emit(&text)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let provider = signer.provider().to_owned();
    let event = arguments.event.as_deref();
    let (template, content_type) = match &arguments.body {
        Some(source) => (inputs::read_body(source)?, "application/json"),
        None => {
            let (sample, content_type) = samples::find(&provider, event).map_err(Failure::Usage)?;
            (filled(sample, std::process::id(), clock::unix_now()), content_type)
        }
    };
    let trust = match arguments.ca {
        Some(path) => Trust::File(path),
        None if arguments.insecure => Trust::AnyCertificate,
        None => Trust::Platform,
    };
    let destination = Destination::new(&arguments.url, &trust).map_err(Failure::Usage)?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if arguments.body.is_none()
        && let Some((name, event)) = samples::event_header(&provider, event)
        && let Ok(event) = HeaderValue::try_from(event)
    {
        headers.insert(HeaderName::from_static(name), event);
    }
    for (name, value) in arguments.headers {
        headers.insert(name, value);
    }
    let count = arguments.count.get();
    if count > 1 && split_around(&template, PLACEHOLDER).is_none() {
        return Err(Failure::Usage(
            "the gateway refuses the same body a second time as a replay; put {{number}} into the body where a number is allowed".into(),
        ));
    }
    let job = Arc::new(SendJob {
        destination,
        signer,
        template,
        headers,
        count,
        timeout: arguments.timeout,
        next: AtomicU32::new(0),
        progress_bar: progress_bar(count),
    });
    let summary = block_on(deliver(Arc::clone(&job), arguments.concurrency.get().min(count)))?;
    job.progress_bar.finish_and_clear();
    let paint = Paint::new(io::stdout().is_terminal(), &sources.environment);
    terminal::emit(&if arguments.json {
        summary.json()
    } else {
        summary.human(paint)
    })?;
    Ok(if summary.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What all connections share.
struct SendJob {
    destination: Destination,
    signer: Signer,
    /// The body, in which [`PLACEHOLDER`] is replaced by the number of the delivery.
    template: Vec<u8>,
    /// Headers of every request beside those of the signature.
    headers: HeaderMap,
    /// Number of deliveries.
    count: u32,
    /// Longest wait for each answer.
    timeout: Duration,
    /// Number of the next delivery, counted from 0.
    next: AtomicU32,
    progress_bar: ProgressBar,
}

/// Sends all deliveries over `concurrency` connections.
async fn deliver(job: Arc<SendJob>, concurrency: u32) -> Summary {
    let started_at = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..concurrency {
        workers.spawn(worker(Arc::clone(&job)));
    }
    let mut all = Summary::default();
    while let Some(part) = workers.join_next().await {
        all.merge(part.unwrap_or_default());
    }
    all.latencies.sort_unstable();
    all.elapsed = started_at.elapsed();
    all
}

/// Takes the next number and sends its delivery until none is left. Opens a new connection after an error.
async fn worker(job: Arc<SendJob>) -> Summary {
    let mut summary = Summary::default();
    let mut connection = None;
    loop {
        let number = job.next.fetch_add(1, Ordering::Relaxed);
        if number >= job.count {
            return summary;
        }
        let started_at = Instant::now();
        match job.send_one(number, &mut connection).await {
            Ok(answer) => {
                summary.latencies.push(started_at.elapsed());
                *summary.statuses.entry(answer.status.as_u16()).or_default() += 1;
                if let Some(reason) = summary::reason(&answer) {
                    *summary.reasons.entry((answer.status.as_u16(), reason)).or_default() += 1;
                }
                summary.last_response = Some(answer);
            }
            Err(problem) => {
                connection = None;
                *summary.problems.entry(problem).or_default() += 1;
            }
        }
        job.progress_bar.inc(1);
    }
}

impl SendJob {
    /// Signs and sends the delivery with this number; opens a connection unless `connection` is open.
    async fn send_one(&self, number: u32, connection: &mut Option<Connection>) -> Result<ClientResponse, String> {
        let connection = match connection {
            Some(open) if open.is_open() => open,
            Some(_) | None => connection.insert(self.destination.connect().await?),
        };
        let body = with_number(&self.template, number);
        let target = self.destination.target();
        let request = SignRequest {
            method: &Method::POST,
            target,
            delivery_id: None,
            body: &body,
        };
        let signed = self
            .signer
            .sign(&request, clock::unix_now())
            .map_err(|failure| failure.to_string())?;
        let mut headers = self.headers.clone();
        headers.extend(signed.headers);
        let body = signed.body.map_or(body, Bytes::from);
        connection
            .exchange(self.destination.request(Method::POST, body, headers)?, self.timeout)
            .await
    }
}

/// The progress bar. It is hidden for a single delivery; indicatif also hides it when standard error is not a terminal.
fn progress_bar(count: u32) -> ProgressBar {
    if count == 1 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {per_sec}  {eta} left");
    let progress_bar = ProgressBar::new(count.into());
    style.map_or(progress_bar.clone(), |style| progress_bar.with_style(style))
}

/// The body in which the number replaces every placeholder.
fn with_number(template: &[u8], number: u32) -> Bytes {
    let mut body = Vec::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = split_around(rest, PLACEHOLDER) {
        body.extend_from_slice(before);
        body.extend_from_slice(number.to_string().as_bytes());
        rest = after;
    }
    body.extend_from_slice(rest);
    body.into()
}

/// The bytes before and after the first occurrence of `part`.
fn split_around<'a>(text: &'a [u8], part: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(part.len()).position(|window| window == part)?;
    Some((text.get(..at)?, text.get(at + part.len()..)?))
}

/// The sample with the number of this run and the present time. The process id makes the event different from that of
/// another run in the same second.
fn filled(sample: &str, run: u32, now_unix: u64) -> Vec<u8> {
    let now_ms = format!("{now_unix}000");
    let filled = sample
        .replace("{{run}}", &run.to_string())
        .replace("{{now_ms}}", &now_ms);
    filled.into_bytes()
}

/// Parses `NAME: VALUE`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| "this is not a valid header name")?;
    let value = value.trim().parse().map_err(|_| "this is not a valid header value")?;
    Ok((name, value))
}

/// Replaced by the number of the delivery.
const PLACEHOLDER: &[u8] = b"{{number}}";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_number_replaces_every_placeholder() {
        assert_eq!(with_number(b"a{{number}}b{{number}}\xff", 12), &b"a12b12\xff"[..]);
        assert_eq!(with_number(b"{{number}", 1), &b"{{number}"[..]);
        assert_eq!(with_number(b"", 1), &b""[..]);
        let (sample, _) = samples::find("paddle", None).unwrap();
        let event: Value = serde_json::from_slice(&with_number(&filled(sample, 42, 1), 7)).unwrap();
        assert_eq!(event.get("event_id").unwrap(), "evt_42_7");
    }

    #[test]
    fn headers_are_parsed_and_line_ends_in_them_are_refused() {
        assert_eq!(
            header("X-A: b: c").unwrap(),
            (HeaderName::from_static("x-a"), HeaderValue::from_static("b: c"))
        );
        for text in ["X-A", ": b", "X-A: b\r\nX-B: c", "X A: b"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }
}
