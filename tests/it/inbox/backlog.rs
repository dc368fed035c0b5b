//! A backlog of many routes with one application: it is delivered within the bound of the application, and new webhooks do not
//! wait for it.

use super::io::is_soak;
use super::{count, opened, setup, wait_for_the_end, webhook};
use crate::support::upstream::answer;
use crate::support::{Gateway, Upstream, Webhook};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const ROUTES: usize = 20;

fn on_route(route: usize, event: &str) -> Webhook {
    webhook(event, 0).path(&format!("/webhooks/r{route}"))
}

/// The time below which 99 of 100 webhooks were answered, over all routes, one after the other. All are answered 200.
fn slowest(gateway: &Gateway, name: &str, number: usize) -> Duration {
    let mut took: Vec<Duration> = (0..number)
        .map(|at| {
            let request = on_route(at % ROUTES, &format!("{name}_{at}")).bytes();
            let begun = Instant::now();
            assert_eq!(gateway.exchange(&request).status, 200);
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[number - 1 - number / 100]
}

#[test]
fn a_backlog_of_twenty_routes_stays_within_the_bound_of_their_application() {
    let works = Arc::new(AtomicBool::new(true));
    let (current, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let (flag, peak) = (works.clone(), most.clone());
    let upstream = Upstream::new(move |request, connection| {
        if !flag.load(Ordering::SeqCst) {
            return connection.send(&answer("503 Service Unavailable", &[], b""));
        }
        let is_stored = request.header("hookgate-received-at").is_some();
        if is_stored {
            peak.fetch_max(current.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        }
        // A handler that takes some time.
        std::thread::sleep(Duration::from_millis(20));
        if is_stored {
            current.fetch_sub(1, Ordering::SeqCst);
        }
        connection.send(&answer("200 OK", &[], b""))
    });
    let directory = tempfile::tempdir().unwrap();
    let routes: String = (0..ROUTES)
        .map(|route| {
            format!(
                "[[route]]\nname = \"r{route}\"\npath = \"/webhooks/r{route}\"\nprovider = \"paddle\"\ntolerance = \"60s\"\n\
                 secrets = [{{ env = \"PADDLE_WEBHOOK_SECRET\" }}]\nupstream = \"app\"\ndelivery = \"failover\"\n"
            )
        })
        .collect();
    let more = format!("[upstreams.app]\nurl = \"{}\"\n\n{routes}", upstream.url());
    let gateway = opened(
        setup(&upstream.url(), directory.path(), "failover", "")
            .more(&more)
            .start(),
    );
    let usual = slowest(&gateway, "usual", 100);
    works.store(false, Ordering::SeqCst);
    let backlog = if is_soak() { 20_000 } else { 1_500 };
    for at in 0..backlog {
        let request = on_route(at % ROUTES, &format!("backlog_{at}")).bytes();
        assert_eq!(gateway.exchange(&request).status, 200);
    }
    works.store(true, Ordering::SeqCst);
    crate::support::eventually("the end of the outage", || {
        (count(&gateway, "delivered") > 20.0).then_some(())
    });
    let meanwhile = slowest(&gateway, "new", 50);
    assert!(
        count(&gateway, "waiting") > 0.0,
        "the backlog was gone too early to measure beside it"
    );
    assert!(
        meanwhile < usual * 2 + Duration::from_millis(if is_soak() { 0 } else { 100 }),
        "{meanwhile:?}, usually {usual:?}"
    );
    if !is_soak() {
        wait_for_the_end(&gateway);
    }
    assert_eq!(count(&gateway, "dead"), 0.0);
    let most = most.load(Ordering::SeqCst);
    assert!((4..=8).contains(&most), "{most} stored deliveries at the same time");
}
