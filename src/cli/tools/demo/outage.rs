//! The outage: an application is stopped, webhooks come, the application returns, and all of them arrive, in order, each once.

use super::application::Application;
use super::fixture::{CURRENT, STOPPED_PATH};
use super::scenarios::{Row, Runner};
use crate::scheme::SignRequest;
use crate::time::clock;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Webhooks that come while the application is stopped.
const WEBHOOKS: usize = 10;
/// Longest wait for each answer, and for the deliveries.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether all have arrived.
const INTERVAL: Duration = Duration::from_millis(20);

/// Shows the outage. `application` is the address on which the stopped application will listen.
pub(super) async fn rows(runner: &Runner<'_>, application: SocketAddr) -> [Row; 2] {
    let mut problems = Vec::new();
    let mut sent = Vec::new();
    let mut acknowledged = 0;
    for number in 0..WEBHOOKS {
        let event = json!({ "event_id": format!("evt_outage_{number}"), "event_type": "transaction.completed" });
        let body = Bytes::from(event.to_string());
        match send(runner, &body).await {
            Ok(200) => acknowledged += 1,
            Ok(status) => problems.push(format!("webhook {number} was answered {status}")),
            Err(problem) => problems.push(problem),
        }
        sent.push(body);
    }
    let stopped = Row {
        title: format!("{WEBHOOKS} webhooks while the application is stopped"),
        expected: format!("200 for {WEBHOOKS}, stored"),
        response: format!("200 for {acknowledged}"),
        received: String::from("nothing"),
        problems,
    };
    let mut problems = Vec::new();
    let mut received = Vec::new();
    match Application::start_at(application).await {
        Ok(application) => {
            let deadline = Instant::now() + TIMEOUT;
            while received.len() < WEBHOOKS && Instant::now() < deadline {
                received.extend(application.take_received().into_iter().map(|request| request.body));
                sleep(INTERVAL).await;
            }
            received.extend(application.take_received().into_iter().map(|request| request.body));
        }
        Err(error) => problems.push(format!("the application cannot listen again: {error}")),
    }
    if received != sent {
        problems.push(String::from("they did not arrive in order, each once"));
    }
    let returned = Row {
        title: String::from("the application returns"),
        expected: format!("{WEBHOOKS} delivered, in order, each once"),
        response: String::from("-"),
        received: format!("{} webhooks", received.len()),
        problems,
    };
    [stopped, returned]
}

async fn send(runner: &Runner<'_>, body: &Bytes) -> Result<u16, String> {
    let request = SignRequest {
        method: &Method::POST,
        target: STOPPED_PATH,
        delivery_id: None,
        body,
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let signed = runner.signer.sign_with(&[CURRENT], &request, clock::unix_now());
    headers.extend(signed.ok_or("the request cannot be signed")?);
    let destination = runner.webhooks.at(STOPPED_PATH);
    let outgoing = destination.request(Method::POST, body.clone(), headers)?;
    let answer = destination.connect().await?.exchange(outgoing, TIMEOUT).await?;
    Ok(answer.status.as_u16())
}
