//! `hookgate send`: signs a body and delivers it, as the provider would, once or many times.
//!
//! Every delivery is signed at the moment it is sent. The same body twice within a second would be the same webhook
//! twice, which a replay guard refuses; so when many are sent, `{{number}}` in the body stands for the delivery's number.

use super::client::{Answer, Endpoint, Session, Trust};
use super::signing::{self, Signer, Signing};
use super::terminal::{self, Paint};
use super::{Ended, Environment, Failure, block_on};
use crate::scheme::SignRequest;
use crate::time::clock;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Arguments of `send`.
#[derive(Debug, clap::Args)]
pub(super) struct SendArguments {
    /// Where to deliver, such as https://localhost:8443/webhooks/paddle
    #[arg(value_name = "URL")]
    url: Uri,
    #[command(flatten)]
    signing: Signing,
    /// File with the exact body, - for standard input; by default a small sample event. {{number}} becomes the delivery's number
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Another header, such as 'X-Environment: test' (repeatable)
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// How many deliveries
    #[arg(long, value_name = "N", default_value = "1")]
    count: NonZeroU32,
    /// How many at once, each over a connection of its own
    #[arg(long, value_name = "N", default_value = "1")]
    concurrency: NonZeroU32,
    /// How long to wait for each answer
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// PEM file with the certificate to trust, in place of the platform's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    insecure: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit code 0 when every delivery was answered 2xx, 1 otherwise.
pub(super) fn run(arguments: SendArguments, environment: &Environment) -> Ended {
    let signer = arguments.signing.signer(environment)?;
    let template = match &arguments.body {
        Some(source) => signing::body(source)?,
        None => sample(std::process::id()),
    };
    let trust = match arguments.ca {
        Some(path) => Trust::File(path),
        None if arguments.insecure => Trust::Anyone,
        None => Trust::Platform,
    };
    let endpoint = Endpoint::new(&arguments.url, &trust).map_err(Failure::Usage)?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in arguments.headers {
        headers.insert(name, value);
    }
    let count = arguments.count.get();
    if count > 1 && find(&template, PLACEHOLDER).is_none() {
        return Err(Failure::Usage(
            "the same body many times is a replay, which is refused; put {{number}} into it where one can stand".into(),
        ));
    }
    let job = Arc::new(Job {
        endpoint,
        signer,
        template,
        headers,
        count,
        timeout: arguments.timeout,
        next: AtomicU32::new(0),
        bar: bar(count),
    });
    let sent = block_on(deliver(Arc::clone(&job), arguments.concurrency.get().min(count)))?;
    job.bar.finish_and_clear();
    let paint = Paint::new(io::stdout().is_terminal(), environment);
    terminal::emit(&if arguments.json { sent.json() } else { sent.human(paint) })?;
    Ok(if sent.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What all connections work on.
struct Job {
    endpoint: Endpoint,
    signer: Signer,
    template: Vec<u8>,
    headers: HeaderMap,
    count: u32,
    timeout: Duration,
    next: AtomicU32,
    bar: ProgressBar,
}

/// What became of all deliveries.
#[derive(Debug, Default)]
struct Sent {
    statuses: BTreeMap<u16, u32>,
    /// Why there was no answer, and how often.
    problems: BTreeMap<String, u32>,
    latencies: Vec<Duration>,
    took: Duration,
    last: Option<Answer>,
}

async fn deliver(job: Arc<Job>, concurrency: u32) -> Sent {
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..concurrency {
        workers.spawn(worker(Arc::clone(&job)));
    }
    let mut all = Sent::default();
    while let Some(part) = workers.join_next().await {
        all.absorb(part.unwrap_or_default());
    }
    all.latencies.sort_unstable();
    all.took = began.elapsed();
    all
}

async fn worker(job: Arc<Job>) -> Sent {
    let mut sent = Sent::default();
    let mut session = None;
    loop {
        let number = job.next.fetch_add(1, Ordering::Relaxed);
        if number >= job.count {
            return sent;
        }
        let began = Instant::now();
        match job.one(number, &mut session).await {
            Ok(answer) => {
                sent.latencies.push(began.elapsed());
                *sent.statuses.entry(answer.status.as_u16()).or_default() += 1;
                sent.last = Some(answer);
            }
            Err(problem) => {
                session = None;
                *sent.problems.entry(problem).or_default() += 1;
            }
        }
        job.bar.inc(1);
    }
}

impl Job {
    async fn one(&self, number: u32, session: &mut Option<Session>) -> Result<Answer, String> {
        let session = match session {
            Some(open) if open.is_open() => open,
            Some(_) | None => session.insert(self.endpoint.connect().await?),
        };
        let body = numbered(&self.template, number);
        let target = self.endpoint.target();
        let request = SignRequest {
            method: &Method::POST,
            target,
            delivery_id: None,
            body: &body,
        };
        let signed = self
            .signer
            .headers(&request, clock::unix_now())
            .map_err(|failure| failure.to_string())?;
        let mut headers = self.headers.clone();
        headers.extend(signed);
        session
            .exchange(self.endpoint.request(Method::POST, body, headers)?, self.timeout)
            .await
    }
}

impl Sent {
    fn absorb(&mut self, part: Self) {
        for (status, count) in part.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (problem, count) in part.problems {
            *self.problems.entry(problem).or_default() += count;
        }
        self.latencies.extend(part.latencies);
        self.last = part.last.or(self.last.take());
    }

    fn is_success(&self) -> bool {
        self.problems.is_empty() && self.statuses.keys().all(|status| (200..300).contains(status))
    }

    fn total(&self) -> u32 {
        self.statuses.values().sum::<u32>() + self.problems.values().sum::<u32>()
    }

    /// The latency that `share` (0 to 1) of the answers did not exceed; the list is sorted.
    fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list of at most 2^32 entries"
        )]
        let index = (self.latencies.len() as f64 * share).ceil() as usize;
        self.latencies.get(index.saturating_sub(1)).copied().unwrap_or_default()
    }

    fn human(&self, paint: Paint) -> String {
        let mut text = String::new();
        for (status, count) in &self.statuses {
            let painted = if (200..300).contains(status) {
                Paint::green
            } else {
                Paint::red
            };
            let _ = writeln!(text, "{}{}", painted(paint, &status.to_string()), times(*count));
        }
        for (problem, count) in &self.problems {
            let _ = writeln!(text, "{}{}", paint.red(&terminal::harmless(problem)), times(*count));
        }
        if self.total() == 1 {
            if let Some(answer) = &self.last {
                let body = terminal::harmless(&String::from_utf8_lossy(&answer.body));
                let _ = writeln!(text, "{}", body.trim_end());
            }
            return text;
        }
        let [median, late, worst] = [0.5, 0.99, 1.0].map(|share| milliseconds(self.quantile(share)));
        let _ = writeln!(text, "latency  median {median}  99 % {late}  worst {worst}");
        let rate = f64::from(self.total()) / self.took.as_secs_f64().max(f64::EPSILON);
        let _ = writeln!(
            text,
            "{} in {:.2} s, {rate:.0}/s",
            self.total(),
            self.took.as_secs_f64()
        );
        text
    }

    fn json(&self) -> String {
        let map = |(key, count): (String, &u32)| (key, Value::from(*count));
        let statuses: Map<_, _> = self
            .statuses
            .iter()
            .map(|(status, count)| map((status.to_string(), count)))
            .collect();
        let problems: Map<_, _> = self
            .problems
            .iter()
            .map(|(problem, count)| map((problem.clone(), count)))
            .collect();
        let mut value = json!({
            "sent": self.total(),
            "statuses": statuses,
            "problems": problems,
            "latency_seconds": {
                "median": self.quantile(0.5).as_secs_f64(),
                "p99": self.quantile(0.99).as_secs_f64(),
                "max": self.quantile(1.0).as_secs_f64(),
            },
            "seconds": self.took.as_secs_f64(),
        });
        if let (1, Some(answer), Some(object)) = (self.total(), &self.last, value.as_object_mut()) {
            object.insert("body".into(), String::from_utf8_lossy(&answer.body).into());
        }
        format!("{value:#}\n")
    }
}

fn times(count: u32) -> String {
    if count == 1 {
        String::new()
    } else {
        format!(" × {count}")
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// Hidden for a single delivery; indicatif hides it by itself where standard error is no terminal.
fn bar(count: u32) -> ProgressBar {
    if count == 1 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {per_sec}  {eta} left");
    let bar = ProgressBar::new(count.into());
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// The body with the delivery's number in place of every placeholder.
fn numbered(template: &[u8], number: u32) -> Bytes {
    let mut body = Vec::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = find(rest, PLACEHOLDER) {
        body.extend_from_slice(before);
        body.extend_from_slice(number.to_string().as_bytes());
        rest = after;
    }
    body.extend_from_slice(rest);
    body.into()
}

/// What stands before and after the first occurrence.
fn find<'a>(text: &'a [u8], part: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(part.len()).position(|window| window == part)?;
    Some((text.get(..at)?, text.get(at + part.len()..)?))
}

/// A small event of the provider's shape; `run` sets it apart from those of another run in the same second.
fn sample(run: u32) -> Vec<u8> {
    let event = json!({
        "event_id": format!("evt_{run}_{{{{number}}}}"),
        "event_type": "transaction.completed",
        "occurred_at": "2026-01-01T00:00:00Z",
        "data": { "id": format!("txn_{run}_{{{{number}}}}"), "status": "completed" },
    });
    event.to_string().into_bytes()
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| "that is no header name")?;
    let value = value.trim().parse().map_err(|_| "that is no header value")?;
    Ok((name, value))
}

const PLACEHOLDER: &[u8] = b"{{number}}";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use hyper::StatusCode;

    #[test]
    fn every_delivery_has_a_body_of_its_own() {
        assert_eq!(numbered(b"a{{number}}b{{number}}\xff", 12), &b"a12b12\xff"[..]);
        assert_eq!(numbered(b"{{number}", 1), &b"{{number}"[..]);
        assert_eq!(numbered(b"", 1), &b""[..]);
        let sample: Value = serde_json::from_slice(&numbered(&sample(42), 7)).unwrap();
        assert_eq!(sample.get("event_id").unwrap(), "evt_42_7");
    }

    #[test]
    fn headers_are_parsed_and_cannot_break_out() {
        assert_eq!(
            header("X-A: b: c").unwrap(),
            (HeaderName::from_static("x-a"), HeaderValue::from_static("b: c"))
        );
        for text in ["X-A", ": b", "X-A: b\r\nX-B: c", "X A: b"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }

    fn sent(statuses: &[(u16, u32)], problems: &[(&str, u32)]) -> Sent {
        Sent {
            statuses: statuses.iter().copied().collect(),
            problems: problems
                .iter()
                .map(|(problem, count)| ((*problem).to_owned(), *count))
                .collect(),
            latencies: (1..=100).map(Duration::from_millis).collect(),
            took: Duration::from_secs(2),
            last: Some(Answer {
                status: StatusCode::OK,
                body: Bytes::from_static(b"fine\x1b[2J"),
            }),
        }
    }

    #[test]
    fn only_2xx_everywhere_is_success() {
        assert!(sent(&[(200, 3), (204, 1)], &[]).is_success());
        assert!(!sent(&[(200, 3), (302, 1)], &[]).is_success());
        assert!(!sent(&[(200, 3), (409, 1)], &[]).is_success());
        assert!(!sent(&[(200, 3)], &[("no answer", 1)]).is_success());
    }

    #[test]
    fn the_summary_counts_and_ranks() {
        let many = sent(&[(200, 98), (503, 2)], &[]);
        let text = many.human(Paint::new(false, &Vec::new()));
        assert_eq!(
            text,
            "200 × 98\n503 × 2\nlatency  median 50.0 ms  99 % 99.0 ms  worst 100.0 ms\n100 in 2.00 s, 50/s\n"
        );
        let value: Value = serde_json::from_str(&many.json()).unwrap();
        assert_eq!(value.pointer("/statuses/503").unwrap(), 2);
        assert_eq!(value.pointer("/latency_seconds/p99").unwrap(), 0.099);
        assert!(value.get("body").is_none());
    }

    #[test]
    fn a_single_answer_is_shown_harmlessly() {
        let one = sent(&[(200, 1)], &[]);
        assert_eq!(one.human(Paint::new(false, &Vec::new())), "200\nfine\u{fffd}[2J\n");
        assert_eq!(
            serde_json::from_str::<Value>(&one.json()).unwrap().get("body").unwrap(),
            "fine\x1b[2J"
        );
        assert_eq!(Sent::default().quantile(0.5), Duration::ZERO);
    }
}
