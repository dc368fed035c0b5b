//! The scenes: what is sent, what must come of it, and the verdict on what did.

use super::application::{Application, FAILS_ONCE};
use super::judge::{self, Expected, Request};
use super::stage::{BODY_LIMIT, CURRENT, PATH, PREVIOUS, STRANGER};
use crate::cli::client::{Answer, Endpoint};
use crate::outcome::Rejection;
use crate::scheme::{SignRequest, Verifier};
use crate::time::clock;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use std::time::Duration;

/// One scene.
struct Scene {
    title: &'static str,
    sent: Sent,
    expected: Expected,
}

enum Sent {
    /// A request of its own.
    Webhook(Webhook),
    /// The last request once more, byte for byte.
    Again,
}

/// How a request is made.
struct Webhook {
    path: &'static str,
    body: Bytes,
    /// Keys that sign it; none leaves it unsigned.
    keys: &'static [usize],
    /// Seconds added to the time of signing.
    shift: i64,
    /// What happens between signing and sending.
    mischief: Mischief,
}

#[derive(Clone, Copy)]
enum Mischief {
    None,
    /// One byte of the body is changed.
    Tamper,
    /// The signature is sent again under a name that many applications take for the same.
    Alias,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) sent: String,
    pub(super) expected: String,
    pub(super) came: String,
    pub(super) saw: String,
    /// Empty when the row is as it must be.
    pub(super) problems: Vec<String>,
}

/// Who plays: the sender, the application, and the operator's view.
pub(super) struct Troupe<'a> {
    pub(super) signer: &'a Verifier,
    pub(super) webhooks: Endpoint,
    pub(super) admin: Endpoint,
    pub(super) application: &'a Application,
}

impl Troupe<'_> {
    /// Plays all scenes, one after the other.
    pub(super) async fn play(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut last = None;
        for Scene { title, sent, expected } in scenes() {
            let request = match (sent, last.take()) {
                (Sent::Again, Some(last)) => Ok(last),
                (Sent::Again, None) => Err("there was no request before".to_owned()),
                (Sent::Webhook(webhook), _) => webhook.request(self.signer, clock::unix_now()),
            };
            let answer = match &request {
                Ok(request) => self.send(request).await,
                Err(problem) => Err(problem.clone()),
            };
            let saw = self.application.seen();
            let problems = match (&request, &answer) {
                (Ok(request), Ok(answer)) => judge::judge(expected, request, answer, &saw),
                (Err(problem), _) | (_, Err(problem)) => vec![problem.clone()],
            };
            rows.push(Row {
                sent: title.to_owned(),
                expected: expected.told(),
                came: answer.as_ref().map_or_else(|_| "no answer".to_owned(), judge::came),
                saw: judge::told(&saw),
                problems,
            });
            last = request.ok();
        }
        let metrics = self.metrics(rows.len() as u64).await;
        rows.push(metrics);
        rows
    }

    async fn send(&self, request: &Request) -> Result<Answer, String> {
        let endpoint = self.webhooks.at(request.path);
        let outgoing = endpoint.request(Method::POST, request.body.clone(), request.headers.clone())?;
        endpoint.connect().await?.exchange(outgoing, PATIENCE).await
    }

    /// What the operator sees: every request counted, once.
    async fn metrics(&self, sent: u64) -> Row {
        let mut counted = Err("not asked".to_owned());
        // A request is counted when its answer has been written, which may be a moment after we have read it.
        for _ in 0..METRICS_TRIES {
            counted = self.counted().await;
            if counted == Ok(sent) {
                break;
            }
            tokio::time::sleep(METRICS_PAUSE).await;
        }
        let problems = match &counted {
            Ok(counted) if *counted == sent => Vec::new(),
            Ok(counted) => vec![format!("{sent} requests were sent and {counted} counted")],
            Err(problem) => vec![problem.clone()],
        };
        Row {
            sent: "GET /metrics".into(),
            expected: format!("{sent} requests counted"),
            came: counted.map_or_else(|_| "no answer".into(), |counted| format!("{counted} requests counted")),
            saw: judge::told(&self.application.seen()),
            problems,
        }
    }

    async fn counted(&self) -> Result<u64, String> {
        let request = self.admin.request(Method::GET, Bytes::new(), HeaderMap::new())?;
        let answer = self.admin.connect().await?.exchange(request, PATIENCE).await?;
        let text = String::from_utf8_lossy(&answer.body);
        let counts = text.lines().filter(|line| line.starts_with("hookgate_requests_total{"));
        Ok(counts
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum())
    }
}

fn scenes() -> Vec<Scene> {
    let scene = |title, sent, expected| Scene { title, sent, expected };
    let webhook = |number| Webhook {
        path: PATH,
        body: event(number),
        keys: &[CURRENT],
        shift: 0,
        mischief: Mischief::None,
    };
    let accents = r#"{"event_id":"evt_accents","name":"Zoë Müller","raw":"漢字 😀","escaped":"\u00fc","space" : 1.0}"#;
    let fails = json!({ "event_id": "evt_fails", "event_type": FAILS_ONCE }).to_string();
    let new = |webhook| Sent::Webhook(webhook);
    let refused = Expected::Refused;
    vec![
        scene("signed", new(webhook(1)), Expected::Delivered(CURRENT)),
        scene(
            "the very same again (replayed)",
            Sent::Again,
            refused(Rejection::Replayed),
        ),
        scene(
            "unsigned",
            new(Webhook {
                keys: &[],
                ..webhook(2)
            }),
            refused(Rejection::SignatureMissing),
        ),
        scene(
            "one byte of the body changed",
            new(Webhook {
                mischief: Mischief::Tamper,
                ..webhook(3)
            }),
            refused(Rejection::SignatureMismatch),
        ),
        scene(
            "signed with a wrong secret",
            new(Webhook {
                keys: &[STRANGER],
                ..webhook(4)
            }),
            refused(Rejection::SignatureMismatch),
        ),
        scene(
            "signed a minute ago (stale)",
            new(Webhook {
                shift: -60,
                ..webhook(5)
            }),
            refused(Rejection::TimestampStale),
        ),
        scene(
            "signed a minute ahead (future)",
            new(Webhook {
                shift: 60,
                ..webhook(6)
            }),
            refused(Rejection::TimestampFuture),
        ),
        scene(
            "signed with the previous secret",
            new(Webhook {
                keys: &[PREVIOUS],
                ..webhook(7)
            }),
            Expected::Delivered(PREVIOUS),
        ),
        scene(
            "two signatures, one by an unknown secret",
            new(Webhook {
                keys: &[STRANGER, CURRENT],
                ..webhook(8)
            }),
            Expected::Delivered(CURRENT),
        ),
        scene(
            "names with accents, odd JSON",
            new(Webhook {
                body: Bytes::from_static(accents.as_bytes()),
                ..webhook(9)
            }),
            Expected::Delivered(CURRENT),
        ),
        scene(
            "larger than the route allows",
            new(Webhook {
                body: vec![b' '; BODY_LIMIT + 1].into(),
                ..webhook(10)
            }),
            refused(Rejection::BodyTooLarge),
        ),
        scene(
            "a second, underscored signature",
            new(Webhook {
                mischief: Mischief::Alias,
                ..webhook(11)
            }),
            refused(Rejection::HeaderConflict),
        ),
        scene(
            "signed, to a path without a route",
            new(Webhook {
                path: "/admin",
                ..webhook(12)
            }),
            refused(Rejection::NoRoute),
        ),
        scene(
            "signed, the application fails",
            new(Webhook {
                body: fails.into(),
                ..webhook(13)
            }),
            Expected::ApplicationFailed(CURRENT),
        ),
        scene("the sender's retry of that", Sent::Again, Expected::Delivered(CURRENT)),
    ]
}

/// An event of the provider's shape, unlike every other.
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
    fn request(self, signer: &Verifier, now: u64) -> Result<Request, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !self.keys.is_empty() {
            let request = SignRequest {
                method: &Method::POST,
                target: self.path,
                delivery_id: None,
                body: &self.body,
            };
            let signed = signer.sign_with(self.keys, &request, now.saturating_add_signed(self.shift));
            headers.extend(signed.ok_or("it cannot be signed")?);
        }
        let mut body = self.body;
        match self.mischief {
            Mischief::None => {}
            Mischief::Tamper => {
                let mut bytes = body.to_vec();
                if let Some(byte) = bytes.last_mut() {
                    *byte ^= 1;
                }
                body = bytes.into();
            }
            Mischief::Alias => {
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

const PATIENCE: Duration = Duration::from_secs(5);
const METRICS_TRIES: u32 = 100;
const METRICS_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn scenes_are_distinct_and_never_share_a_body_that_would_make_a_replay() {
        let scenes = scenes();
        let titles: std::collections::HashSet<_> = scenes.iter().map(|scene| scene.title).collect();
        assert_eq!(titles.len(), scenes.len());
        let mut bodies = std::collections::HashSet::new();
        for scene in &scenes {
            if let Sent::Webhook(webhook) = &scene.sent {
                assert!(bodies.insert(webhook.body.clone()), "{}", scene.title);
            }
        }
    }
}
