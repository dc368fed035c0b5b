//! Three applications behind one gateway, killed and started again in turn under load.

use crate::support::apps::App;
use crate::support::{Client, Gateway, Setup, Webhook, eventually};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const SENDERS: usize = 8;
const KILLS: usize = 6;

/// What a sender received for one webhook: how often it sent it until a 200, and the statuses before.
#[derive(Debug)]
struct SenderResult {
    attempts: usize,
    before: Vec<u16>,
}

/// Sends webhooks as a provider does: each again until it is answered with 2xx.
fn sender(
    gateway: &Gateway,
    number: usize,
    stop: &AtomicBool,
    done: &AtomicUsize,
    results: &Mutex<BTreeMap<String, SenderResult>>,
) {
    let mut client: Option<Client> = None;
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        count += 1;
        let body = format!("{number}-{count}");
        let mut before = Vec::new();
        loop {
            let mut connection = client.take().unwrap_or_else(|| gateway.connect());
            let response = connection.exchange(&Webhook::new(body.as_str()).bytes());
            if response.header("Connection").is_none() {
                client = Some(connection);
            }
            if response.status == 200 {
                assert_eq!(response.body, body.as_bytes(), "another webhook's answer");
                break;
            }
            // The only possible answer when an application dies while it handles a request.
            assert_eq!(
                (response.status, response.reason().as_str()),
                (502, "upstream_reset"),
                "{body} after {before:?}"
            );
            before.push(response.status);
            assert!(before.len() < 20, "{body} is never accepted");
        }
        done.fetch_add(1, Ordering::SeqCst);
        let attempts = before.len() + 1;
        results.lock().unwrap().insert(body, SenderResult { attempts, before });
    }
}

/// Reads the logs of all applications: how often each body follows `word`.
fn logged(logs: &[&Path], word: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for log in logs {
        let text = std::fs::read_to_string(log).unwrap();
        for body in text.lines().filter_map(|line| line.strip_prefix(word)) {
            *found.entry(body.to_owned()).or_default() += 1;
        }
    }
    found
}

/// Each webhook is among the accepted ones exactly once, none is lost, and none reaches an application more often than
/// its sender sent it: a request that may have arrived is never sent again by the gateway.
#[test]
fn three_applications_killed_in_turn_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3)
        .map(|number| directory.path().join(format!("{number}.log")))
        .collect();
    let mut apps: Vec<Option<App>> = paths.iter().map(|log| Some(App::deliveries(log, 0))).collect();
    let urls: Vec<String> = apps.iter().flatten().map(App::url).collect();
    let gateway = Setup::new("")
        .upstreams(&urls)
        // Applications restart within a second.
        .upstream("ejection = { failures = 3, backoff = \"200ms\", backoff_limit = \"1s\" }")
        .start();
    let (stop, done, results) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::default());
    std::thread::scope(|scope| {
        for number in 0..SENDERS {
            let (gateway, stop, done, results) = (&gateway, &stop, &done, &results);
            scope.spawn(move || sender(gateway, number, stop, done, results));
        }
        for kill in 0..KILLS {
            let so_far = done.load(Ordering::SeqCst);
            let load = |more: usize| {
                eventually("load", || (done.load(Ordering::SeqCst) > so_far + more).then_some(()));
            };
            load(100);
            let app = &mut apps[kill % 3];
            let port = app.as_ref().unwrap().address.port();
            app.take().unwrap().kill();
            // Two statuses are enough.
            load(200);
            *app = Some(App::deliveries(&paths[kill % 3], port));
        }
        stop.store(true, Ordering::SeqCst);
    });
    let logs: Vec<&Path> = paths.iter().map(std::path::PathBuf::as_path).collect();
    // The last line may not be in the log yet.
    let results: BTreeMap<String, SenderResult> = results.into_inner().unwrap();
    let got = logged(&logs, "got ");
    let answered = logged(&logs, "sent ");
    assert!(results.len() > KILLS * 200, "{}", results.len());
    for (body, results) in &results {
        let got = got.get(body).copied().unwrap_or_default();
        assert!(got >= 1, "{body} was answered 200 and reached no application");
        assert!(
            got <= results.attempts,
            "{body} was sent {} times and arrived {got} times",
            results.attempts
        );
        // A complete answer of an application was relayed: no sender got 502 for it. A kill may come between the answer
        // and its log line, so that there may be one line less.
        let answered = answered.get(body).copied().unwrap_or_default();
        assert!(answered <= 1, "{body} succeeded {answered} times: {results:?}");
    }
    assert!(
        got.keys().all(|body| results.contains_key(body)),
        "an application received a webhook that was not sent"
    );
    let failed: usize = results.values().map(|results| results.before.len()).sum();
    assert!(
        failed <= KILLS * SENDERS,
        "{failed} answers of 502: more than the requests in flight at the kills"
    );
    let metrics = gateway.metrics();
    let verdict = |verdict: &str| metrics.sum("hookgate_requests_total", &[("verdict", verdict)]);
    assert_eq!(
        (verdict("forwarded"), verdict("failed")),
        (results.len() as f64, failed as f64)
    );
    assert!(
        metrics.sum("hookgate_upstream_passed_on_total", &[]) > 0.0,
        "no request met a dead application"
    );
    gateway.wait_for_metric("hookgate_in_flight_requests", &[], 0.0);
}
