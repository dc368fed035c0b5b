//! Faults of the store: they stop nothing that does not need it.

use super::{KEY, free_address, opened, setup, wait_for, webhook};
use crate::support::upstream::answer;
use crate::support::{Setup, Upstream, eventually};

/// The store cannot be opened: `failover` goes on asking the application, and the sender gets what a direct route would
/// give it. A queue refuses, so that the sender keeps the duty.
#[test]
fn a_store_that_is_down_stops_only_what_needs_it() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("inbox.db")).unwrap();
    let gateway = setup(&upstream.url(), directory.path(), "failover", "").start();
    assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).body, b"thanks");
    assert_eq!(gateway.metrics().sum("hookgate_inbox_up", &[]), 0.0);
    let gone = format!("http://{}", free_address());
    let gateway = setup(&gone, directory.path(), "failover", "").start();
    let down = gateway.exchange(&webhook("evt_2", 0).bytes());
    assert_eq!((down.status, down.reason()), (502, "upstream_unreachable".into()));

    let upstream = Upstream::ok();
    let gateway = setup(&upstream.url(), directory.path(), "queue", "")
        .expecting_readiness(503)
        .start();
    let refused = gateway.exchange(&webhook("evt_1", 0).bytes());
    assert_eq!((refused.status, refused.reason()), (503, "inbox_down".into()));
    assert!(refused.header("retry-after").is_some());
    upstream.assert_untouched();
}

/// Two processes on one file, as in a restart that overlaps: both answer, and the second one takes over.
#[test]
fn a_restart_that_overlaps_answers_throughout() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let mut old = opened(setup(&upstream.url(), directory.path(), "failover", "").start());
    let new = setup(&upstream.url(), directory.path(), "failover", "").start();
    assert_eq!(new.metrics().sum("hookgate_inbox_up", &[]), 0.0);
    for (at, gateway) in [&old, &new].into_iter().enumerate() {
        assert_eq!(
            gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).body,
            b"thanks"
        );
    }
    old.signal(rustix::process::Signal::TERM);
    assert!(old.wait_for_exit().success());
    new.wait_for_metric("hookgate_inbox_up", &[], 1.0);
}

/// Nothing that a sender sent is in the files after the delivery: not in the database, its log or its index.
#[test]
fn delivered_contents_are_erased_from_the_files() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    // Without keys, so that the contents would be readable.
    let text = format!(
        "[inbox]\nstore = \"{}\"\nany_filesystem = true\nmin_free_disk = \"1MiB\"\n\
         probe = {{ backoff = \"50ms\", backoff_limit = \"200ms\" }}\n",
        directory.path().join("inbox.db").display()
    );
    let setup = Setup::new(&format!("http://{address}"))
        .route("delivery = \"failover\"")
        .more(&text);
    let mut gateway = opened(setup.start());
    let request = webhook("canary-in-body", 0).header("X-Token", "canary-in-header");
    assert_eq!(
        gateway
            .exchange(&request.path("/webhooks/paddle?canary-in-path").bytes())
            .status,
        200
    );
    let canaries = || {
        let files = ["inbox.db", "inbox.db-wal", "inbox.db-shm"];
        let read = |name: &&str| std::fs::read(directory.path().join(name)).unwrap_or_default();
        let bytes: Vec<u8> = files.iter().flat_map(read).collect();
        bytes.windows(6).filter(|window| *window == b"canary").count()
    };
    assert!(canaries() >= 3);
    let _upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    wait_for(&gateway, "delivered", 1.0);
    eventually("files without a canary", || (canaries() == 0).then_some(()));
    gateway.signal(rustix::process::Signal::TERM);
    assert!(gateway.wait_for_exit().success());
    assert_eq!(canaries(), 0);
}

/// With keys, nothing of a waiting webhook can be read in the files, and a row that was changed is never sent.
#[test]
fn contents_are_encrypted_and_a_changed_row_is_never_sent() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let start = || opened(setup(&format!("http://{address}"), directory.path(), "failover", "").start());
    let mut gateway = start();
    for name in ["canary-1", "canary-2"] {
        assert_eq!(gateway.exchange(&webhook(name, 0).bytes()).status, 200);
    }
    gateway.signal(rustix::process::Signal::TERM);
    gateway.wait_for_exit();
    let file = directory.path().join("inbox.db");
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
    assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()));
    let database = rusqlite::Connection::open(&file).unwrap();
    let sql = "UPDATE body SET content = substr(content, 1, length(content) - 1) || x'00' WHERE seq = 1";
    assert_eq!(database.execute(sql, []).unwrap(), 1);
    drop(database);
    let gateway = start();
    let upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    wait_for(&gateway, "delivered", 1.0);
    wait_for(&gateway, "dead", 1.0);
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(gateway.metrics().sum("hookgate_inbox_unreadable_deliveries", &[]), 1.0);
}

/// A bound is reached: the sender keeps the duty. One route cannot fill the inbox alone.
#[test]
fn at_a_bound_the_sender_keeps_the_duty() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(&format!("http://{address}"), directory.path(), "queue", "").more("max_items = 10");
    let gateway = opened(setup.start());
    let statuses: Vec<u16> = (0..8)
        .map(|at| gateway.exchange(&webhook(&format!("evt_{at}"), 0).bytes()).status)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 503, 503, 503]);
    let refused = gateway.exchange(&webhook("evt_9", 0).bytes());
    assert_eq!(refused.reason(), "inbox_full");
}
