//! `mode = "report"`: everything is forwarded and marked, for a safe roll-out.

use crate::support::paddle::{self, SECRET};
use crate::support::{Setup, Upstream, Webhook};

#[test]
fn everything_is_forwarded_and_marked() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).route("mode = \"report\"").start();
    let genuine = Webhook::new("genuine");
    let tampered = Webhook {
        body: b"tampered".to_vec(),
        ..genuine.clone()
    };
    let stale = Webhook::signed("stale", SECRET, 1_600_000_000);
    let future = Webhook::signed("future", SECRET, paddle::now() + 86_400);
    let cases = [
        (genuine.clone(), None),
        (tampered, Some("signature_mismatch")),
        (Webhook::new("unsigned").signature(None), Some("signature_missing")),
        (
            Webhook::new("malformed").signature(Some("ts=x")),
            Some("signature_malformed"),
        ),
        (stale, Some("timestamp_stale")),
        (future, Some("timestamp_future")),
        (genuine, Some("replayed")),
    ];
    for (at, (webhook, reason)) in cases.iter().enumerate() {
        let forged = webhook.clone().header("Hookgate-Verified", "paddle");
        let response = gateway.exchange(&forged.bytes());
        assert_eq!(
            (response.status, response.body.as_slice()),
            (200, &b"thanks"[..]),
            "{reason:?}: {response:?}"
        );
        let seen = upstream.requests().remove(at);
        assert_eq!(seen.body, webhook.body, "{reason:?}");
        assert_eq!(seen.header("Paddle-Signature"), webhook.signature, "{reason:?}");
        // The two results have different fields, so that nobody takes one for the other.
        let verified = reason.is_none().then(|| String::from("paddle"));
        assert_eq!(seen.header("Hookgate-Verified"), verified);
        assert_eq!(seen.header("Hookgate-Report").as_deref(), *reason);
        if let Some(reason) = reason {
            assert_eq!(seen.header("Hookgate-Key"), None, "{reason}");
            gateway.wait_for_metric(
                "hookgate_requests_total",
                &[("verdict", "reported"), ("reason", reason)],
                1.0,
            );
        }
    }
    gateway.wait_for_metric("hookgate_requests_total", &[("verdict", "forwarded")], 1.0);
}

/// Rules that do not concern the signature hold in report mode as well: framing, size, path, method.
#[test]
fn bounds_and_framing_hold_in_report_mode() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url())
        .route("mode = \"report\"\nbody_limit = \"10B\"")
        .start();
    let webhook = Webhook::new("far longer than ten bytes");
    assert_eq!(gateway.exchange(&webhook.bytes()).status, 413);
    assert_eq!(gateway.exchange(&webhook.chunked(5)).status, 413);
    assert_eq!(
        gateway.exchange(&Webhook::new("x").path("/elsewhere").bytes()).status,
        404
    );
    assert_eq!(gateway.exchange(&Webhook::new("x").method("GET").bytes()).status, 405);
    upstream.assert_untouched();
}

/// At the start a warning names the route that forwards everything.
#[test]
fn the_start_warns_about_report_mode() {
    let upstream = Upstream::ok();
    let gateway = Setup::new(&upstream.url()).route("mode = \"report\"").start();
    gateway.logs.wait_for("a warning about report mode", |line| {
        (line.to_lowercase().contains("warn") && line.contains("report")).then_some(())
    });
}
