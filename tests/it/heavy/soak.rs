//! Genuine and bad traffic, upstream restarts and reloads at the same time: a few seconds as a test, or `SOAK_SECONDS`
//! with `make soak`.

use crate::support::paddle::{self, SECRET};
use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Client, Gateway, Setup, Upstream, Webhook, eventually};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Answered requests by what the sender received.
#[derive(Default)]
struct Counters {
    delivered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

fn serve(path: &Path) -> Upstream {
    let _ = std::fs::remove_file(path);
    Upstream::unix(path, |request, connection| match request.index % 100 {
        // Drops the connection while it handles the request.
        99 => AfterAnswer::Close,
        // Closes in order, so that a pooled connection becomes stale.
        49 => {
            connection.send(&answer("200 OK", &[], b"ok"));
            AfterAnswer::Close
        }
        _ => connection.send(&answer("200 OK", &[], b"ok")),
    })
}

/// One sender: genuine, forged, stale, unsigned, unrouted and oversized webhooks in turn, each on a new or a kept-alive
/// connection.
fn sender(gateway: &Gateway, number: usize, stop: &AtomicBool, counters: &Counters) {
    let mut client: Option<Client> = None;
    let mut count = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let body = format!("{number}-{count}");
        let webhook = match count % 8 {
            0 => Webhook::signed(body, "another secret that is long enough", paddle::now()),
            1 => Webhook::signed(body, SECRET, 1_600_000_000),
            2 => Webhook::new(body).signature(None),
            3 => Webhook::new(body).path("/nowhere"),
            4 => Webhook::new("x".repeat(20_000)),
            _ => Webhook::new(body),
        };
        let wanted = [5, 6, 7].contains(&(count % 8));
        let kept = client.take();
        let mut connection = kept.unwrap_or_else(|| {
            if number.is_multiple_of(2) {
                gateway.connect()
            } else {
                gateway.connect_tls()
            }
        });
        // An earlier refusal may have closed a kept-alive connection: then the request is sent on a new one.
        let request = webhook.bytes();
        let answered = connection
            .try_send(&request)
            .and_then(|()| connection.try_response(false));
        let response = answered.unwrap_or_else(|_| {
            connection = gateway.connect();
            connection.exchange(&request)
        });
        match (wanted, response.status) {
            (true, 200) => &counters.delivered,
            (true, 502) => &counters.failed,
            (false, 401 | 404 | 413) => &counters.refused,
            (_, status) => panic!("{body_kind}: {status}: {response:?}", body_kind = count % 8),
        }
        .fetch_add(1, Ordering::Relaxed);
        if response.status == 200 && response.header("Connection").is_none() {
            client = Some(connection);
        }
    }
}

/// F14, F15: every request is answered, the counters add up, memory and descriptors do not grow, and scrapes are
/// answered during the whole run.
#[test]
fn good_and_bad_traffic() {
    let seconds = std::env::var("SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(4);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let mut upstream = serve(&path);
    let mut gateway = Setup::new(&format!("unix:{}", path.display()))
        .route("body_limit = \"10KiB\"")
        .replay("capacity = 10000000")
        .start();
    let (stop, counters) = (AtomicBool::new(false), Counters::default());
    let (mut delivered, mut settled) = (0, None);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (gateway, stop, counters) = (&gateway, &stop, &counters);
            scope.spawn(move || sender(gateway, number, stop, counters));
        }
        let begun = Instant::now();
        let end = Duration::from_secs(seconds);
        while begun.elapsed() < end {
            let round = Instant::now();
            eventually("the end of a round", || {
                (round.elapsed() > Duration::from_millis(700)).then_some(())
            });
            assert_eq!(gateway.ask("/metrics").status, 200);
            assert_eq!(gateway.readiness(), Some(200));
            gateway.signal(rustix::process::Signal::HUP);
            // Another upstream replaces the application; what it has recorded is released.
            let next = serve(&path);
            delivered += std::mem::replace(&mut upstream, next).requests().len();
            if settled.is_none() && begun.elapsed() * 4 > end {
                settled = Some((gateway.resident(), gateway.open_files()));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let (good, bad, broken) = (
        count(&counters.delivered),
        count(&counters.refused),
        count(&counters.failed),
    );
    println!("{good} delivered, {bad} refused, {broken} failed in {seconds} s");
    assert!(good > 100.0 && bad > 100.0 && broken > 0.0 && delivered > 0);
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
    gateway.wait_for_metric("hookgate_requests_total", &[("verdict", "forwarded")], good);
    let metrics = gateway.metrics();
    let all = metrics.sum("hookgate_requests_total", &[]);
    let by = |verdict: &str| metrics.sum("hookgate_requests_total", &[("verdict", verdict)]);
    assert!(
        (all - by("forwarded") - by("rejected") - by("failed")).abs() < 0.5,
        "{all}: the counters do not add up"
    );
    assert!(by("rejected") >= bad && by("failed") >= broken);
    assert_eq!(metrics.sum("hookgate_panics_total", &[]), 0.0);
    let (resident, files) = settled.unwrap();
    // A delivered webhook keeps its key for the tolerance: about a hundred bytes each.
    let keys = metrics.sum("hookgate_replay_keys", &[]) as u64 * 256;
    let grown = gateway.resident().saturating_sub(resident);
    println!(
        "resident {} KiB, grown by {} KiB since the first quarter",
        gateway.resident() >> 10,
        grown >> 10
    );
    assert!(grown < (16 << 20) + keys, "memory grew by {} KiB", grown >> 10);
    assert!(
        gateway.open_files() <= files + 32,
        "{} descriptors after {files}",
        gateway.open_files()
    );
    assert!(gateway.runs());
}
