//! Invariants that must hold after every hostile case, whatever the answer was. They are checked against what the
//! recording upstream received and against the metrics, with an independent MAC.

use super::paddle::{SECRET, Webhook, mac};
use super::upstream::Recorded;
use super::{Gateway, Upstream};
use std::collections::BTreeSet;

/// Asserts that this request may have been forwarded: it is signed over exactly its body, framed by one exact length,
/// marked once by hookgate, and has no name that another server could read as one of hookgate's.
fn genuine(request: &Recorded) {
    let signature = request
        .header("Paddle-Signature")
        .expect("an unsigned request was forwarded");
    let ts = signature
        .split(';')
        .find_map(|part| part.trim().strip_prefix("ts="))
        .unwrap();
    let expected = format!("h1={}", mac(SECRET, ts, &request.body));
    assert!(
        signature.contains(&expected),
        "the forwarded body is not the signed body: {request:?}"
    );
    assert_eq!(
        request.header("Content-Length"),
        Some(request.body.len().to_string()),
        "{request:?}"
    );
    assert_eq!(request.header("Transfer-Encoding"), None, "{request:?}");
    assert_eq!(
        request.header("Hookgate-Verified").as_deref(),
        Some("paddle"),
        "{request:?}"
    );
    assert_eq!(request.all("Host").len(), 1, "{request:?}");
    for (name, _) in &request.headers {
        let is_regular = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        assert!(is_regular, "{name} in {request:?}");
    }
}

/// I1, I2, I3 and I6: each forwarded request is genuine, none was forwarded twice or partly, and the counters and
/// gauges agree. For routes without report mode whose secret is [`SECRET`].
pub(crate) fn assert_invariants(gateway: &mut Gateway, upstream: &Upstream) {
    let requests = upstream.requests();
    let mut seen = BTreeSet::new();
    for request in &requests {
        genuine(request);
        let signature = request.header("Paddle-Signature");
        assert!(
            seen.insert((signature, request.body.clone())),
            "delivered twice: {request:?}"
        );
    }
    assert!(
        upstream.broken().is_empty(),
        "partly forwarded: {:?}",
        upstream.broken()
    );
    gateway.wait_for_metric(
        "hookgate_requests_total",
        &[("verdict", "forwarded")],
        requests.len() as f64,
    );
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
    assert_eq!(gateway.metrics().sum("hookgate_panics_total", &[]), 0.0);
    assert!(gateway.runs());
}

/// Asserts that the upstream received nothing, and that the gateway still serves: a genuine webhook is the first that
/// arrives.
pub(crate) fn assert_nothing_forwarded(gateway: &mut Gateway, upstream: &Upstream) {
    upstream.assert_untouched();
    assert_forwards(gateway, "nothing passed before");
    assert_eq!(upstream.only().body, b"nothing passed before");
    assert_invariants(gateway, upstream);
}

/// Asserts that a genuine webhook is forwarded.
pub(crate) fn assert_forwards(gateway: &Gateway, body: &str) {
    let response = gateway.exchange(&Webhook::new(body).bytes());
    assert_eq!(response.status, 200, "{response:?}");
}
