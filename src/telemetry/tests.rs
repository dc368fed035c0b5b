//! What the handles of routes and the samples of upstreams look like in the text for Prometheus.

#![allow(clippy::unwrap_used, clippy::panic)]
use super::metrics::Metrics;
use super::route_metrics::{VERDICTS, verdicts};
use super::{UpstreamCounts, UpstreamSample};
use crate::outcome::{Outcome, Rejection, Verdict};
use hyper::StatusCode;
use std::time::Duration;

pub(super) fn outcome(verdict: Verdict) -> Outcome {
    Outcome {
        verdict,
        received_unix_ms: 1_700_000_000_000,
        request_id: "id".into(),
        peer: None,
        secret: None,
        without_shared_store: false,
        signature_age_seconds: None,
        body_bytes: 0,
        upstream: None,
        status: None,
        upstream_status: None,
        upstream_duration: None,
        verification_duration: None,
        duration: Duration::from_millis(3),
    }
}

fn series(text: &str, prefix: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_verdict_is_counted_exactly_once() {
    let metrics = Metrics::new();
    let route = metrics.route("r", &[]);
    for verdict in verdicts() {
        let line = format!(
            "hookgate_requests_total{{reason=\"{}\",route=\"r\",verdict=\"{}\"}} ",
            verdict.reason(),
            verdict.label()
        );
        let before = metrics.text();
        assert!(
            !before.contains(&format!("{line}1\n")),
            "{verdict:?} was counted before"
        );
        route.record(&outcome(verdict));
        assert!(
            metrics.text().contains(&format!("{line}1\n")),
            "{verdict:?} was not counted"
        );
    }
    let text = metrics.text();
    let durations = series(&text, "hookgate_request_duration_seconds_count");
    let sum: u64 = durations
        .iter()
        .filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(usize::try_from(sum).unwrap(), VERDICTS);
}

#[test]
fn a_verified_exchange_is_counted_in_every_family() {
    let metrics = Metrics::new();
    let route = metrics.route("r", &["new".into(), "old".into()]);
    route.record(&Outcome {
        secret: Some(1),
        signature_age_seconds: Some(-2),
        body_bytes: 2048,
        upstream_status: Some(StatusCode::SERVICE_UNAVAILABLE),
        upstream_duration: Some(Duration::from_secs(4)),
        verification_duration: Some(Duration::from_micros(4)),
        ..outcome(Verdict::Forwarded)
    });
    let text = metrics.text();
    for line in [
        r#"hookgate_secret_matches_total{route="r",secret="new"} 0"#,
        r#"hookgate_secret_matches_total{route="r",secret="old"} 1"#,
        r#"hookgate_signature_age_seconds_bucket{route="r",le="-5"} 0"#,
        r#"hookgate_signature_age_seconds_bucket{route="r",le="-2"} 1"#,
        r#"hookgate_body_bytes_sum{route="r"} 2048"#,
        r#"hookgate_upstream_responses_total{code_class="5xx",route="r"} 1"#,
        r#"hookgate_upstream_duration_seconds_bucket{route="r",le="2.5"} 0"#,
        r#"hookgate_upstream_duration_seconds_bucket{route="r",le="4"} 1"#,
        r#"hookgate_verification_duration_seconds_bucket{route="r",le="0.000005"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_secret_index_out_of_range_is_ignored() {
    let metrics = Metrics::new();
    metrics.route("r", &["only".into()]).record(&Outcome {
        secret: Some(7),
        ..outcome(Verdict::Forwarded)
    });
    assert!(
        metrics
            .text()
            .contains(r#"hookgate_secret_matches_total{route="r",secret="only"} 0"#)
    );
}

#[test]
fn a_reload_keeps_counts_and_removes_series_of_removed_routes_and_secrets() {
    let metrics = Metrics::new();
    metrics
        .route("kept", &["a".into(), "b".into()])
        .record(&outcome(Verdict::Forwarded));
    metrics.route("gone", &["a".into()]).record(&Outcome {
        upstream_status: Some(StatusCode::OK),
        body_bytes: 1,
        signature_age_seconds: Some(0),
        ..outcome(Verdict::Reported(Rejection::TimestampStale))
    });
    metrics
        .route("kept", &["b".into(), "c".into()])
        .record(&outcome(Verdict::Forwarded));
    metrics.retain_routes(&["kept"].into());
    let text = metrics.text();
    assert!(!text.contains(r#"route="gone""#), "{text}");
    assert!(text.contains(r#"hookgate_requests_total{reason="none",route="kept",verdict="forwarded"} 2"#));
    assert!(!text.contains(r#"secret="a""#) && text.contains(r#"secret="b""#) && text.contains(r#"secret="c""#));
}

/// Once every verdict has been seen, nothing that is recorded adds a series.
#[test]
fn recording_never_adds_series_after_every_verdict_was_seen() {
    let metrics = Metrics::new();
    let route = metrics.route("r", &["a".into()]);
    let mut code = 100;
    let mut fill = |bytes: u64| {
        for verdict in verdicts() {
            code = if code == 999 { 100 } else { code + 1 };
            route.record(&Outcome {
                secret: Some(0),
                signature_age_seconds: Some(i64::MIN),
                body_bytes: bytes,
                upstream_status: StatusCode::from_u16(code).ok(),
                ..outcome(verdict)
            });
            metrics.unrouted().record(&outcome(verdict));
        }
    };
    for _ in 0..10 {
        fill(1);
    }
    let ours = |text: &str| series(text, "hookgate_").len();
    let before = ours(&metrics.text());
    for bytes in 0..50 {
        fill(bytes * 1_000_003);
    }
    assert_eq!(ours(&metrics.text()), before);
}

#[test]
fn a_request_without_a_route_has_an_empty_route_label() {
    let metrics = Metrics::new();
    metrics
        .unrouted()
        .record(&outcome(Verdict::Refused(Rejection::NoRoute)));
    let text = metrics.text();
    assert!(text.contains(r#"hookgate_requests_total{reason="no_route",route="",verdict="rejected"} 1"#));
    assert!(!text.contains(r#"hookgate_body_bytes_count{route=""}"#));
}

fn sample(route: &str, upstream: &str, counts: Option<UpstreamCounts>) -> UpstreamSample {
    UpstreamSample {
        route: route.into(),
        upstream: upstream.into(),
        endpoints: [1, 0, 2, 0, 0],
        counts,
    }
}

#[test]
fn sampled_servers_are_counted_and_removed_servers_have_no_series() {
    let metrics = Metrics::new();
    let counts = UpstreamCounts {
        idle: 3,
        active: 1,
        waiting: 6,
        queued: [9, 8, 7],
        ejections: 2,
        passed_on: 5,
        checks: [7, 1],
        lookups: [4, 0],
    };
    let both = [sample("a", "http://x", Some(counts)), sample("b", "http://x", None)];
    metrics.upstreams(&both);
    metrics.upstreams(&[
        sample("b", "http://x", Some(counts)),
        sample("b", "http://y", Some(counts)),
    ]);
    let text = metrics.text();
    for line in [
        r#"hookgate_upstream_up{route="b",upstream="http://x"} 1"#,
        r#"hookgate_upstream_endpoints{route="b",state="ejected",upstream="http://x"} 2"#,
        r#"hookgate_upstream_connections{state="idle",upstream="http://x"} 3"#,
        r#"hookgate_upstream_queue_requests{upstream="http://x"} 6"#,
        r#"hookgate_upstream_queue_total{result="timeout",upstream="http://x"} 16"#,
        r#"hookgate_upstream_ejections_total{upstream="http://x"} 4"#,
        r#"hookgate_upstream_passed_on_total{upstream="http://y"} 5"#,
        r#"hookgate_upstream_health_checks_total{result="ok",upstream="http://x"} 14"#,
        r#"hookgate_upstream_lookups_total{result="failed",upstream="http://x"} 0"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains(r#"route="a""#), "{text}");
    metrics.upstreams(&[sample("b", "http://y", Some(counts))]);
    assert!(!metrics.text().contains("http://x"));
}

/// The same server in two different upstreams: its connections are added.
#[test]
fn connections_of_two_upstreams_with_one_server_are_added() {
    let metrics = Metrics::new();
    let counts = UpstreamCounts {
        idle: 3,
        ..UpstreamCounts::default()
    };
    metrics.upstreams(&[
        sample("a", "http://x", Some(counts)),
        sample("b", "http://x", Some(counts)),
    ]);
    let text = metrics.text();
    assert!(
        text.contains(r#"hookgate_upstream_connections{state="idle",upstream="http://x"} 6"#),
        "{text}"
    );
}
