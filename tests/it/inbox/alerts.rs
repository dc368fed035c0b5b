//! The alerts of the inbox fire on the real fault that each is for, in a real Prometheus with the shipped rules.

use super::{count, free_address, opened, setup, wait_for, webhook};
use crate::operations::clock;
use crate::support::paddle::now;
use crate::support::prometheus::Prometheus;
use crate::support::upstream::answer;
use crate::support::wait::within;
use crate::support::{Gateway, Upstream};
use std::path::Path;
use std::time::Duration;

/// Stores one webhook that nobody takes, and ends the process.
fn with_one_stored(url: &str, directory: &Path) {
    let mut gateway = opened(setup(url, directory, "queue", "").start());
    assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).status, 200);
    gateway.signal(rustix::process::Signal::TERM);
    gateway.wait_for_exit();
}

#[test]
fn the_alerts_of_the_inbox_fire_on_real_faults() {
    let directories: Vec<_> = (0..5).map(|_| tempfile::tempdir().unwrap()).collect();
    let [down, full, dead, old, blocked] = [0, 1, 2, 3, 4].map(|at: usize| directories[at].path());
    let gone = format!("http://{}", free_address());
    // A store that cannot be opened.
    std::fs::create_dir(down.join("inbox.db")).unwrap();
    let down = setup(&gone, down, "failover", "").start();
    // A disk without the free space that is asked for.
    let least = "min_free_disk = \"16384GiB\"";
    let full = opened(
        setup(&gone, full, "failover", "")
            .replacing("min_free_disk = \"1MiB\"", least)
            .start(),
    );
    // An application that refuses for good; dead letters are erased after two days.
    let refusing = Upstream::new(|_, connection| connection.send(&answer("410 Gone", &[], b"")));
    let retry = "retry = { backoff = \"50ms\", give_up_on = [410] }";
    let dead = setup(&refusing.url(), dead, "queue", retry).more("dead = { keep = \"2d\" }");
    let dead = opened(dead.start());
    assert_eq!(dead.exchange(&webhook("evt_1", 0).bytes()).status, 200);
    wait_for(&dead, "dead", 1.0);
    // A delivery that has waited for two hours.
    with_one_stored(&gone, old);
    let (later, wall) = clock::adjustable(setup(&gone, old, "queue", ""));
    wall.set(now() + 2 * 3_600);
    let old = opened(later.start());
    // A delivery whose key is gone.
    with_one_stored(&gone, blocked);
    let key = "77777f3e6a1b8d7290e4c3b2a1f0e9d8c7b6a5948372615049382716f5e4d3c2";
    let blocked = opened(setup(&gone, blocked, "queue", "").variable("INBOX_KEY", key).start());
    wait_for(&blocked, "blocked", 1.0);
    assert_eq!(count(&old, "waiting"), 1.0);

    let gateways: [&Gateway; 5] = [&down, &full, &dead, &old, &blocked];
    let prometheus = Prometheus::start(&gateways.map(Gateway::admin));
    let mut missing = vec![
        "HookgateInboxDown",
        "HookgateInboxRefuses",
        "HookgateInboxDeadLetters",
        "HookgateInboxDeadLettersExpire",
        "HookgateInboxOldDeliveries",
        "HookgateInboxBlocked",
    ];
    within(Duration::from_secs(90), "every alert of the inbox", || {
        let firing = prometheus.firing();
        missing.retain(|alert| !firing.iter().any(|name| name == alert));
        missing.is_empty().then_some(())
    });
}
