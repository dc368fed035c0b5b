//! Active health checks: every endpoint is asked, on a connection of its own, whether it is well.
//!
//! They are the only way to notice an application that accepts requests and cannot serve them before a webhook has failed
//! there, and to notice that one is back without risking a webhook. Endpoints count as well until checks say otherwise,
//! so that a gateway that has just started works at once.

use super::Upstream;
use super::connection::Connection;
use super::message::Message;
use super::pool::Endpoint;
use crate::http::body::Payload;
use crate::outcome::Rejection;
use crate::settings::{HealthCheck, Target};
use bytes::BytesMut;
use hyper::StatusCode;
use std::sync::Arc;
use tokio::time::{Instant, sleep, timeout_at};

/// Starts the checks of one endpoint, where there are any; they end when the endpoint or the upstream retires.
pub(super) fn start(upstream: &Arc<Upstream>, endpoint: &Arc<Endpoint>) {
    if let Some(check) = upstream.settings().health_check.clone() {
        let (upstream, endpoint) = (upstream.clone(), endpoint.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = watch(&endpoint, &check) => {}
                () = endpoint.retired.begun() => {}
                () = upstream.retired.begun() => {}
            }
        });
    }
}

async fn watch(endpoint: &Endpoint, check: &HealthCheck) {
    let mut verdict = Verdict::default();
    loop {
        let result = ask(endpoint, check).await;
        let tally = &endpoint.server.tally;
        match &result {
            Ok(()) => {
                tally.checks_passed.add(1);
                endpoint.standing.reached(endpoint.shared.milliseconds(Instant::now()));
            }
            Err(_) => tally.checks_failed.add(1),
        }
        if let Some(is_ill) = verdict.next(result.is_ok(), check) {
            let (upstream, addresses) = (&endpoint.server.name, &endpoint.addresses);
            match &result {
                Ok(()) => tracing::info!(%upstream, ?addresses, "health check: well again"),
                Err(why) => tracing::warn!(%upstream, ?addresses, %why, "health check: not used until it is well"),
            }
            endpoint.standing.examined(is_ill);
        }
        sleep(check.interval).await;
    }
}

/// The verdict so far; pure.
#[derive(Debug, Default)]
struct Verdict {
    is_ill: bool,
    /// Results in a row that contradict it.
    contrary: u32,
}

impl Verdict {
    /// Takes a result in; whether the endpoint is ill now, when that has changed.
    fn next(&mut self, passed: bool, check: &HealthCheck) -> Option<bool> {
        if passed != self.is_ill {
            self.contrary = 0;
            return None;
        }
        self.contrary = self.contrary.saturating_add(1);
        let enough = if self.is_ill {
            check.healthy_after
        } else {
            check.unhealthy_after
        };
        if self.contrary < enough {
            return None;
        }
        (self.is_ill, self.contrary) = (!self.is_ill, 0);
        Some(self.is_ill)
    }
}

/// One check, on a connection of its own.
async fn ask(endpoint: &Endpoint, check: &HealthCheck) -> Result<(), String> {
    let deadline = Instant::now() + check.timeout;
    let answered = async {
        let stream = endpoint.open_stream().await.map_err(|error| error.to_string())?;
        let mut connection = Connection::new(stream);
        let request = request(endpoint, check);
        match connection.send(request, deadline).await {
            Ok(response) => Ok(response.status),
            Err(failure) => Err(match failure {
                super::connection::Failure::NotSent(_) => Rejection::UpstreamReset.to_string(),
                super::connection::Failure::Lost(rejection) => rejection.to_string(),
            }),
        }
    };
    let status: StatusCode = timeout_at(deadline, answered)
        .await
        .map_err(|_| format!("no answer within {:?}", check.timeout))??;
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!("status {status}"))
    }
}

fn request(endpoint: &Endpoint, check: &HealthCheck) -> Message {
    let host = match endpoint.target() {
        Target::Unix(_) => "localhost",
        Target::Tcp { .. } | Target::Tls { .. } => endpoint.server.name.split("://").nth(1).unwrap_or_default(),
    };
    let mut head = BytesMut::new();
    // The configuration has checked that the path is one.
    for part in [
        "GET ",
        &check.path,
        " HTTP/1.1\r\nhost: ",
        host,
        "\r\nuser-agent: hookgate\r\nconnection: close\r\n",
    ] {
        head.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &endpoint.shared.settings.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    Message {
        head,
        body: Payload::empty(),
        is_head: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn verdicts(results: &[bool]) -> Vec<Option<bool>> {
        let check = HealthCheck {
            path: "/".into(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy_after: 3,
            healthy_after: 2,
        };
        let mut verdict = Verdict::default();
        results.iter().map(|passed| verdict.next(*passed, &check)).collect()
    }

    #[test]
    fn results_in_a_row_turn_the_verdict_and_single_ones_do_not() {
        assert_eq!(verdicts(&[true, false, false, true, false, false]), [None; 6]);
        assert_eq!(verdicts(&[false, false, false, false]), [None, None, Some(true), None]);
        assert_eq!(
            verdicts(&[false, false, false, true, false, true, true, true, false]),
            [None, None, Some(true), None, None, None, Some(false), None, None]
        );
    }
}
