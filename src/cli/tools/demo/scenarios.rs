//! The scenarios: which request is sent, which result is expected, and the runner that sends them and checks the
//! results.

use super::application::{Application, FAILS_ONCE};
use super::expectation::{self, Expected, Request};
use super::fixture::{BODY_LIMIT_BYTES, CURRENT, PATH, PREVIOUS, UNKNOWN};
use crate::cli::client::ClientResponse;
use crate::cli::tools::destination::Destination;
use crate::outcome::Rejection;
use crate::scheme::{SignRequest, Verifier};
use crate::time::clock;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use std::time::Duration;

/// One scenario.
struct Scenario {
    /// What is sent, in a few words for the table.
    title: &'static str,
    sent: Transmission,
    expected: Expected,
}

/// What a scenario sends.
enum Transmission {
    /// A new request.
    New(Webhook),
    /// The previous request again, byte for byte.
    Repeat,
}

/// How a new request is made.
struct Webhook {
    path: &'static str,
    body: Bytes,
    /// Indices of the keys that sign it. An empty list leaves the request unsigned.
    keys: &'static [usize],
    /// Seconds that are added to the current time to get the time of signing.
    shift_seconds: i64,
    /// What is done to the request between signing and sending.
    fault: Fault,
}

/// A change between signing and sending.
#[derive(Clone, Copy)]
enum Fault {
    /// No change.
    None,
    /// The last byte of the body is changed.
    TamperBody,
    /// A second signature is added under `paddle_signature`, a name that many applications do not distinguish from
    /// `Paddle-Signature` (CGI and WSGI write both as `HTTP_PADDLE_SIGNATURE`).
    AddAlias,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// What was sent, in a few words.
    pub(super) title: String,
    pub(super) expected: String,
    /// Status and reason that the sender received, or "no answer".
    pub(super) response: String,
    /// What the application received.
    pub(super) received: String,
    /// Differences from what was expected; empty when the row is as expected.
    pub(super) problems: Vec<String>,
}

/// Sends the requests of the scenarios and checks the results.
pub(super) struct Runner<'a> {
    /// Signs as the provider would.
    pub(super) signer: &'a Verifier,
    /// The gateway's TLS listener.
    pub(super) webhooks: Destination,
    /// `/metrics` on the gateway's admin listener.
    pub(super) admin: Destination,
    /// The sample application, which records what it receives.
    pub(super) application: &'a Application,
}

impl Runner<'_> {
    /// Runs all scenarios one after the other, and compares the gateway's metrics at the end.
    pub(super) async fn run_all(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut last = None;
        for Scenario { title, sent, expected } in scenarios() {
            let request = match (sent, last.take()) {
                (Transmission::Repeat, Some(last)) => Ok(last),
                (Transmission::Repeat, None) => Err("there is no previous request to repeat".to_owned()),
                (Transmission::New(webhook), _) => webhook.request(self.signer, clock::unix_now()),
            };
            let response = match &request {
                Ok(request) => self.send(request).await,
                Err(problem) => Err(problem.clone()),
            };
            let received = self.application.take_received();
            let problems = match (&request, &response) {
                (Ok(request), Ok(response)) => expectation::problems(expected, request, response, &received),
                (Err(problem), _) | (_, Err(problem)) => vec![problem.clone()],
            };
            rows.push(Row {
                title: title.to_owned(),
                expected: expected.describe(),
                response: response
                    .as_ref()
                    .map_or_else(|_| "no answer".to_owned(), expectation::describe_response),
                received: expectation::describe_received(&received),
                problems,
            });
            last = request.ok();
        }
        let metrics = self.metrics(rows.len() as u64).await;
        rows.push(metrics);
        rows
    }

    async fn send(&self, request: &Request) -> Result<ClientResponse, String> {
        let destination = self.webhooks.at(request.path);
        let outgoing = destination.request(Method::POST, request.body.clone(), request.headers.clone())?;
        destination.connect().await?.exchange(outgoing, TIMEOUT).await
    }

    /// Checks that the gateway counted each of the `sent` requests exactly once in its metrics.
    async fn metrics(&self, sent: u64) -> Row {
        let mut count = Err("the metrics were not requested".to_owned());
        // The gateway counts a request after it has written the response, which may be later than the client reads it.
        for _ in 0..METRICS_ATTEMPTS {
            count = self.count_requests().await;
            if count == Ok(sent) {
                break;
            }
            tokio::time::sleep(METRICS_INTERVAL).await;
        }
        let problems = match &count {
            Ok(count) if *count == sent => Vec::new(),
            Ok(count) => vec![format!("{sent} requests were sent and {count} were counted")],
            Err(problem) => vec![problem.clone()],
        };
        Row {
            title: "GET /metrics".into(),
            expected: format!("{sent} requests counted"),
            response: count.map_or_else(|_| "no answer".into(), |count| format!("{count} requests counted")),
            received: expectation::describe_received(&self.application.take_received()),
            problems,
        }
    }

    /// The sum of `hookgate_requests_total` over all labels.
    async fn count_requests(&self) -> Result<u64, String> {
        let request = self.admin.request(Method::GET, Bytes::new(), HeaderMap::new())?;
        let response = self.admin.connect().await?.exchange(request, TIMEOUT).await?;
        let text = String::from_utf8_lossy(&response.body);
        let counts = text.lines().filter(|line| line.starts_with("hookgate_requests_total{"));
        Ok(counts
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum())
    }
}

fn scenarios() -> Vec<Scenario> {
    let scenario = |title, sent, expected| Scenario { title, sent, expected };
    let webhook = |number| Webhook {
        path: PATH,
        body: event(number),
        keys: &[CURRENT],
        shift_seconds: 0,
        fault: Fault::None,
    };
    let accents = r#"{"event_id":"evt_accents","name":"Zoë Müller","raw":"漢字 😀","escaped":"\u00fc","space" : 1.0}"#;
    let fails = json!({ "event_id": "evt_fails", "event_type": FAILS_ONCE }).to_string();
    let new = |webhook| Transmission::New(webhook);
    let refused = Expected::Refused;
    vec![
        scenario("signed", new(webhook(1)), Expected::Delivered(CURRENT)),
        scenario(
            "the same request again (replayed)",
            Transmission::Repeat,
            refused(Rejection::Replayed),
        ),
        scenario(
            "unsigned",
            new(Webhook {
                keys: &[],
                ..webhook(2)
            }),
            refused(Rejection::SignatureMissing),
        ),
        scenario(
            "one byte of the body changed",
            new(Webhook {
                fault: Fault::TamperBody,
                ..webhook(3)
            }),
            refused(Rejection::SignatureMismatch),
        ),
        scenario(
            "signed with an unknown secret",
            new(Webhook {
                keys: &[UNKNOWN],
                ..webhook(4)
            }),
            refused(Rejection::SignatureMismatch),
        ),
        scenario(
            "signed a minute ago (stale)",
            new(Webhook {
                shift_seconds: -60,
                ..webhook(5)
            }),
            refused(Rejection::TimestampStale),
        ),
        scenario(
            "signed a minute in the future",
            new(Webhook {
                shift_seconds: 60,
                ..webhook(6)
            }),
            refused(Rejection::TimestampFuture),
        ),
        scenario(
            "signed with the previous secret",
            new(Webhook {
                keys: &[PREVIOUS],
                ..webhook(7)
            }),
            Expected::Delivered(PREVIOUS),
        ),
        scenario(
            "two signatures, one with an unknown secret",
            new(Webhook {
                keys: &[UNKNOWN, CURRENT],
                ..webhook(8)
            }),
            Expected::Delivered(CURRENT),
        ),
        scenario(
            "non-ASCII text, unusual JSON spacing",
            new(Webhook {
                body: Bytes::from_static(accents.as_bytes()),
                ..webhook(9)
            }),
            Expected::Delivered(CURRENT),
        ),
        scenario(
            "body above the route's limit",
            new(Webhook {
                body: vec![b' '; BODY_LIMIT_BYTES + 1].into(),
                ..webhook(10)
            }),
            refused(Rejection::BodyTooLarge),
        ),
        scenario(
            "second signature header with an underscore",
            new(Webhook {
                fault: Fault::AddAlias,
                ..webhook(11)
            }),
            refused(Rejection::HeaderConflict),
        ),
        scenario(
            "signed, to a path without a route",
            new(Webhook {
                path: "/admin",
                ..webhook(12)
            }),
            refused(Rejection::NoRoute),
        ),
        scenario(
            "signed, and the application answers 500",
            new(Webhook {
                body: fails.into(),
                ..webhook(13)
            }),
            Expected::ApplicationFailed(CURRENT),
        ),
        scenario(
            "the sender's retry of that request",
            Transmission::Repeat,
            Expected::Delivered(CURRENT),
        ),
    ]
}

/// An event in the provider's format; different for each number.
fn event(number: u32) -> Bytes {
    let event = json!({
        "event_id": format!("evt_demo_{number}"),
        "event_type": "transaction.completed",
        "occurred_at": "2026-01-01T00:00:00.000000Z",
        "notification_id": format!("ntf_demo_{number}"),
        "data": { "id": format!("txn_demo_{number}"), "status": "completed", "currency_code": "EUR" },
    });
    event.to_string().into()
}

impl Webhook {
    /// Signs the request at `now_unix` (Unix seconds) plus its shift, then applies its fault.
    fn request(self, signer: &Verifier, now_unix: u64) -> Result<Request, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !self.keys.is_empty() {
            let request = SignRequest {
                method: &Method::POST,
                target: self.path,
                delivery_id: None,
                body: &self.body,
            };
            let signed = signer.sign_with(self.keys, &request, now_unix.saturating_add_signed(self.shift_seconds));
            headers.extend(signed.ok_or("the request cannot be signed")?);
        }
        let mut body = self.body;
        match self.fault {
            Fault::None => {}
            Fault::TamperBody => {
                let mut bytes = body.to_vec();
                if let Some(byte) = bytes.last_mut() {
                    *byte ^= 1;
                }
                body = bytes.into();
            }
            Fault::AddAlias => {
                headers.insert(
                    HeaderName::from_static("paddle_signature"),
                    HeaderValue::from_static("ts=1;h1=00"),
                );
            }
        }
        Ok(Request {
            path: self.path,
            headers,
            body,
        })
    }
}

/// Longest wait for each answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often the metrics are requested before the count is reported as wrong.
const METRICS_ATTEMPTS: u32 = 100;
/// Wait between two requests for the metrics.
const METRICS_INTERVAL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn scenarios_have_distinct_titles_and_no_accidental_replay() {
        let scenarios = scenarios();
        let titles: std::collections::HashSet<_> = scenarios.iter().map(|scenario| scenario.title).collect();
        assert_eq!(titles.len(), scenarios.len());
        let mut bodies = std::collections::HashSet::new();
        for scenario in &scenarios {
            if let Transmission::New(webhook) = &scenario.sent {
                assert!(bodies.insert(webhook.body.clone()), "{}", scenario.title);
            }
        }
    }
}
