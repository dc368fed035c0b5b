//! The work that a released binary is trained with (profile-guided optimization, `deploy/pgo`): webhooks of every preset
//! over both versions of HTTP, refusals, new connections, large bodies, a scrape and a reload.
//!
//! As a test it does one round and proves that every kind is served. `HOOKGATE_TRAINING_ROUNDS` sets the number of rounds,
//! and `HOOKGATE_UNDER_TEST` names the binary.

use super::workload::{self, Kind, body};
use crate::support::http2::{self, Http2};
use crate::support::{Gateway, Setup, Upstream, Webhook};
use rustix::process::Signal;
use std::ops::Range;

#[test]
fn every_kind_of_webhook_is_served_over_both_versions_of_http() {
    let rounds = std::env::var("HOOKGATE_TRAINING_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let upstream = Upstream::ok();
    let kinds = workload::kinds();
    assert!(kinds.len() >= 30, "only {} presets", kinds.len());
    let setup = Setup::new(&upstream.url()).route("body_limit = \"8MiB\"");
    let mut gateway = workload::with_routes(setup, &kinds, &upstream.url()).start();
    for round in 0..rounds {
        let numbers = round * 1_000..;
        let mut numbers = numbers.into_iter();
        let mut next = |bytes: usize| body(numbers.next().unwrap(), bytes);
        over_http1(&gateway, &kinds, &mut next);
        refused(&gateway, &mut next);
        http2::run(over_http2(&gateway, &kinds, &mut next));
        assert!(
            gateway
                .metrics()
                .sum("hookgate_requests_total", &[("verdict", "forwarded")])
                > 60.0
        );
    }
    gateway.signal(Signal::HUP);
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "ok")], 1.0);
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_for_exit().success());
}

/// Most webhooks are small.
const SIZES: [(usize, Range<usize>); 4] = [(2 << 10, 0..60), (16 << 10, 0..6), (64 << 10, 0..3), (1 << 20, 0..1)];

fn over_http1(gateway: &Gateway, kinds: &[Kind], next: &mut impl FnMut(usize) -> String) {
    let mut client = gateway.connect_tls();
    for kind in kinds {
        let webhook = kind.webhook(&next(1500)).unwrap();
        let response = client.exchange(&webhook.bytes());
        assert_eq!(response.status, 200, "{}: {response:?}", kind.provider);
    }
    for (bytes, times) in SIZES {
        for _ in times {
            assert_eq!(client.exchange(&Webhook::new(next(bytes)).bytes()).status, 200);
        }
    }
    for _ in 0..3 {
        let webhook = Webhook::new(next(2048)).bytes();
        assert_eq!(gateway.connect_tls().exchange(&webhook).status, 200);
        let webhook = Webhook::new(next(2048)).chunked(700);
        assert_eq!(gateway.exchange(&webhook).status, 200);
    }
}

/// Requests that are refused before and after their body was read.
fn refused(gateway: &Gateway, next: &mut impl FnMut(usize) -> String) {
    let mut client = gateway.connect_tls();
    for _ in 0..20 {
        let mut tampered = Webhook::new(next(2048));
        tampered.body[10] ^= 1;
        let unsigned = Webhook::new(next(2048)).signature(None);
        for webhook in [tampered, unsigned] {
            match client.try_exchange(&webhook.bytes()) {
                Ok(response) => assert_eq!(response.status, 401),
                Err(_) => client = gateway.connect_tls(),
            }
        }
    }
}

async fn over_http2(gateway: &Gateway, kinds: &[Kind], next: &mut impl FnMut(usize) -> String) {
    let mut client = Http2::connect(gateway).await;
    for kind in kinds {
        let answer = client.exchange(&kind.webhook(&next(1500)).unwrap()).await.unwrap();
        assert_eq!(answer.status, 200, "{}: {answer:?}", kind.provider);
    }
    for (bytes, times) in SIZES {
        for _ in times {
            let answer = client.exchange(&Webhook::new(next(bytes))).await.unwrap();
            assert_eq!(answer.status, 200);
        }
    }
    for _ in 0..10 {
        let unsigned = Webhook::new(next(2048)).signature(None);
        assert_eq!(client.exchange(&unsigned).await.unwrap().status, 401);
    }
}
