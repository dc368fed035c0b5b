//! Active health checks: a request to every endpoint at an interval, each on a new connection.
//!
//! They find an application that accepts requests but cannot serve them before a webhook fails, and they find that it
//! has recovered without risking a webhook. An endpoint counts as healthy until checks fail, so a gateway that has just
//! started forwards immediately.

use super::Upstream;
use super::connection::UpstreamConnection;
use super::message::OutgoingRequest;
use super::pool::Endpoint;
use crate::http::payload::Payload;
use crate::outcome::Rejection;
use crate::settings::{HealthCheck, UpstreamTarget};
use bytes::BytesMut;
use hyper::StatusCode;
use std::sync::Arc;
use tokio::time::{Instant, sleep, timeout_at};

/// Starts the checks of one endpoint if the upstream has any. They end when the endpoint or the upstream retires.
pub(super) fn start(upstream: &Arc<Upstream>, endpoint: &Arc<Endpoint>) {
    if let Some(check) = upstream.settings().health_check.clone() {
        let (upstream, endpoint) = (upstream.clone(), endpoint.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = run_checks(&endpoint, &check) => {}
                () = endpoint.retired.wait() => {}
                () = upstream.retired.wait() => {}
            }
        });
    }
}

async fn run_checks(endpoint: &Endpoint, check: &HealthCheck) {
    let mut history = CheckHistory::default();
    loop {
        let result = check_once(endpoint, check).await;
        let counters = &endpoint.server.counters;
        match &result {
            Ok(()) => {
                counters.checks_passed.add(1);
                endpoint
                    .health
                    .check_succeeded(endpoint.shared.milliseconds_since_start(Instant::now()));
            }
            Err(_) => counters.checks_failed.add(1),
        }
        if let Some(is_unhealthy) = history.record(result.is_ok(), check) {
            let (upstream, addresses) = (&endpoint.server.name, &endpoint.addresses);
            match &result {
                Ok(()) => {
                    tracing::info!(%upstream, ?addresses, "health checks succeed: the endpoint is used again");
                }
                Err(why) => {
                    tracing::warn!(%upstream, ?addresses, %why, "health checks fail: the endpoint is not used");
                }
            }
            endpoint.health.set_unhealthy(is_unhealthy);
        }
        sleep(check.interval).await;
    }
}

/// Decides from the results of checks whether the endpoint is healthy.
#[derive(Debug, Default)]
struct CheckHistory {
    is_unhealthy: bool,
    /// Number of consecutive results that contradict `is_unhealthy`.
    opposite_results: u32,
}

impl CheckHistory {
    /// Records a result. Returns the new `is_unhealthy` if it has changed.
    fn record(&mut self, passed: bool, check: &HealthCheck) -> Option<bool> {
        if passed != self.is_unhealthy {
            self.opposite_results = 0;
            return None;
        }
        self.opposite_results = self.opposite_results.saturating_add(1);
        let threshold = if self.is_unhealthy {
            check.healthy_after
        } else {
            check.unhealthy_after
        };
        if self.opposite_results < threshold {
            return None;
        }
        (self.is_unhealthy, self.opposite_results) = (!self.is_unhealthy, 0);
        Some(self.is_unhealthy)
    }
}

/// Sends one check on a new connection. Returns why it failed, for the log.
async fn check_once(endpoint: &Endpoint, check: &HealthCheck) -> Result<(), String> {
    let deadline = Instant::now() + check.timeout;
    let answered = async {
        let stream = endpoint.open_stream().await.map_err(|error| error.to_string())?;
        let mut connection = UpstreamConnection::new(stream);
        let mut request = request(endpoint, check);
        match connection.send(&mut request, deadline).await {
            Ok(response) => Ok(response.status),
            Err(failure) => Err(match failure {
                super::connection::SendError::NotSent => Rejection::UpstreamReset.to_string(),
                super::connection::SendError::MaybeSent(rejection) => rejection.to_string(),
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

fn request(endpoint: &Endpoint, check: &HealthCheck) -> OutgoingRequest {
    let configured = endpoint.shared.settings.host.as_ref();
    let host = match (configured.and_then(|host| host.to_str().ok()), endpoint.target()) {
        (Some(host), _) => host,
        (None, UpstreamTarget::Unix(_)) => "localhost",
        (None, UpstreamTarget::Tcp { .. } | UpstreamTarget::Tls { .. }) => {
            endpoint.server.name.split("://").nth(1).unwrap_or_default()
        }
    };
    let mut head = BytesMut::new();
    // The configuration has validated the path.
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
    OutgoingRequest {
        head,
        body: Payload::empty(),
        is_head: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn changes(results: &[bool]) -> Vec<Option<bool>> {
        let check = HealthCheck {
            path: "/".into(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy_after: 3,
            healthy_after: 2,
        };
        let mut history = CheckHistory::default();
        results.iter().map(|passed| history.record(*passed, &check)).collect()
    }

    #[test]
    fn only_consecutive_results_change_the_health_of_an_endpoint() {
        assert_eq!(changes(&[true, false, false, true, false, false]), [None; 6]);
        assert_eq!(changes(&[false, false, false, false]), [None, None, Some(true), None]);
        assert_eq!(
            changes(&[false, false, false, true, false, true, true, true, false]),
            [None, None, Some(true), None, None, None, Some(false), None, None]
        );
    }
}
