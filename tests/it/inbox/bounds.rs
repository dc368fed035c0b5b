//! Bounds of time and size: clocks that jump, readers that hold a transaction, many rows.

use super::{arrivals, count, free_address, opened, setup, wait_for, webhook};
use crate::operations::clock;
use crate::support::paddle::now;
use crate::support::upstream::answer;
use crate::support::{Gate, Upstream, eventually};

/// The wall clock jumps by a year and back by a day, while the process runs: nothing is dead, nothing is erased early, and all
/// arrives.
#[test]
fn a_wall_clock_that_jumps_ends_no_delivery() {
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(&format!("http://{address}"), directory.path(), "failover", "");
    let (setup, wall) = clock::adjustable(setup);
    let gateway = opened(setup.start());
    let year = 365 * 86_400;
    for (at, shift) in [0_i64, year, -86_400].into_iter().enumerate() {
        let time = now().saturating_add_signed(shift);
        wall.set(time);
        let body = format!("{{\"event_id\":\"evt_{at}\"}}");
        let sent = crate::support::Webhook::signed(body, crate::support::paddle::SECRET, time);
        assert_eq!(gateway.exchange(&sent.bytes()).status, 200);
    }
    wait_for(&gateway, "waiting", 3.0);
    let upstream = Upstream::at(&address.to_string(), |_, connection| {
        connection.send(&answer("200 OK", &[], b""))
    });
    wait_for(&gateway, "delivered", 3.0);
    assert_eq!(count(&gateway, "dead"), 0.0);
    assert!(arrivals(&upstream).values().all(|times| *times == 1));
}

/// Across a restart: with a clock that is a year ahead all arrives, and with one that is a day back no delivery waits longer than
/// an hour.
#[test]
fn a_restart_with_another_clock_ends_no_delivery() {
    for shift in [365 * 86_400_i64, -86_400] {
        let address = free_address();
        let directory = tempfile::tempdir().unwrap();
        let make = || setup(&format!("http://{address}"), directory.path(), "failover", "");
        let mut gateway = opened(make().start());
        assert_eq!(gateway.exchange(&webhook("evt_1", 0).bytes()).status, 200);
        gateway.signal(rustix::process::Signal::KILL);
        gateway.wait_for_exit();
        let upstream = Upstream::at(&address.to_string(), |_, connection| {
            connection.send(&answer("200 OK", &[], b""))
        });
        let (later, wall) = clock::adjustable(make());
        let time = now().saturating_add_signed(shift);
        wall.set(time);
        let gateway = opened(later.start());
        if shift > 0 {
            wait_for(&gateway, "delivered", 1.0);
            assert_eq!(upstream.requests().len(), 1);
            continue;
        }
        let file = rusqlite::Connection::open(directory.path().join("inbox.db")).unwrap();
        let sql = "SELECT next_at FROM delivery WHERE state IN (0, 1, 4)";
        let next_at: i64 = file.query_row(sql, [], |row| row.get(0)).unwrap();
        assert!(next_at <= (time as i64 + 3_600) * 1_000 + 999, "{next_at}");
        assert_eq!(count(&gateway, "dead"), 0.0);
    }
}

/// A program that keeps a transaction open on the file keeps its log from being emptied: the log is bounded, new webhooks are
/// refused at the bound, and accepted again afterwards.
#[test]
fn a_reader_that_never_ends_cannot_fill_the_disk() {
    let gone = format!("http://{}", free_address());
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(&gone, directory.path(), "queue", "").more("max_log = \"8MiB\"");
    let gateway = opened(setup.start());
    let reader = rusqlite::Connection::open(directory.path().join("inbox.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM delivery;").unwrap();
    let mut number = 0;
    let mut send = || {
        number += 1;
        let body = format!("{{\"event_id\":\"evt_{number}\",\"pad\":\"{}\"}}", "x".repeat(200_000));
        gateway.exchange(&crate::support::Webhook::new(body).bytes()).status
    };
    eventually("a refusal", || (send() == 503).then_some(()));
    let log = std::fs::metadata(directory.path().join("inbox.db-wal")).unwrap().len();
    assert!(log < 64 << 20, "{log}");
    reader.execute_batch("COMMIT").unwrap();
    eventually("room", || (send() == 200).then_some(()));
}

/// Many stored deliveries: the start does not read their contents, memory does not grow with them, and an id is found at once.
/// `INBOX_SOAK=1` has a million.
#[test]
fn many_stored_deliveries_cost_little() {
    let number: u64 = match std::env::var_os("INBOX_SOAK") {
        Some(_) => 1_000_000,
        None => 30_000,
    };
    let gone = format!("http://{}", free_address());
    let directory = tempfile::tempdir().unwrap();
    let make = || setup(&gone, directory.path(), "queue", "").more("max_items = 10000000");
    let mut gateway = opened(make().start());
    let first = gateway
        .exchange(&webhook("evt_1", 0).bytes())
        .header("hookgate-delivery")
        .unwrap();
    let alone = gateway.resident();
    gateway.signal(rustix::process::Signal::TERM);
    gateway.wait_for_exit();
    let database = rusqlite::Connection::open(directory.path().join("inbox.db")).unwrap();
    let columns =
        "route, target, state, position, next_at, attempts, tried_ms, wait_ms, received_at, reason, bytes, head";
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {number})
         INSERT INTO delivery (id, {columns}) SELECT randomblob(16), {} FROM n, delivery d WHERE d.seq = 1;
         INSERT INTO body SELECT d.seq, b.content FROM delivery d, body b WHERE b.seq = 1 AND d.seq > 1;",
        columns
            .replace("position", "d.position + i")
            .replace("next_at", "next_at + 3000000")
    );
    database.execute_batch(&fill).unwrap();
    drop(database);
    let before = std::time::Instant::now();
    let gateway = opened(make().start());
    let took = before.elapsed();
    assert_eq!(count(&gateway, "waiting"), number as f64);
    if number >= 1_000_000 {
        assert!(took.as_secs() < 2, "{took:?}");
    }
    let grown = gateway.resident().saturating_sub(alone);
    assert!(grown < 48 << 20, "{grown} bytes for {number} deliveries");
    let reader = rusqlite::Connection::open(directory.path().join("inbox.db")).unwrap();
    let plan: String = reader
        .query_row(
            "EXPLAIN QUERY PLAN SELECT seq FROM delivery WHERE id = ?1",
            [hex::decode(&first).unwrap()],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("delivery_id"), "{plan}");
    let begun = std::time::Instant::now();
    let found: i64 = reader
        .query_row(
            "SELECT seq FROM delivery WHERE id = ?1",
            [hex::decode(&first).unwrap()],
            |row| row.get(0),
        )
        .unwrap();
    let search = begun.elapsed();
    println!("{number} deliveries: start {took:?}, {grown} more bytes of memory, an id found in {search:?}");
    assert_eq!(found, 1);
    if number >= 1_000_000 {
        assert!(search.as_millis() < 10, "{search:?}");
    }
    assert_eq!(gateway.exchange(&webhook("evt_2", 0).bytes()).status, 200);
}

/// Stored deliveries that are being sent are charged to `limits.in_flight_bytes`: only as many are read as fit. When
/// senders use all of it, one at a time still goes.
#[test]
fn attempts_of_stored_deliveries_are_charged_to_the_budget() {
    const MIB: usize = 1 << 20;
    let address = free_address();
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(
        &format!("http://{address}"),
        directory.path(),
        "queue",
        "concurrency = 32",
    );
    let gateway = opened(setup.limits("in_flight_bytes = \"4MiB\"").start());
    for at in 0..12 {
        let mut body = format!("{{\"event_id\":\"evt_{at}\",\"x\":\"").into_bytes();
        body.resize(MIB - 2, b'x');
        body.extend(b"\"}");
        let sent = crate::support::Webhook::new(body);
        assert_eq!(gateway.exchange(&sent.bytes()).status, 200);
    }
    wait_for(&gateway, "waiting", 12.0);
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::at(&address.to_string(), move |_, connection| {
        held.pass();
        connection.send(&answer("200 OK", &[], b""))
    });
    // The first is a probe. Its answer shows that the application works, and the others follow.
    upstream.wait_for(1);
    let mut most: f64 = 0.0;
    let mut look = || {
        let used = gateway.metrics().sum("hookgate_intake_bytes_in_flight", &[]);
        most = most.max(used);
        used
    };
    assert!(look() >= (MIB - 100) as f64, "an attempt is not charged");
    gate.open();
    eventually("all to be delivered", || {
        look();
        (count(&gateway, "delivered") == 12.0).then_some(())
    });
    assert!(most <= (4 * MIB) as f64, "{most} bytes in flight");
    gateway.wait_for_metric("hookgate_intake_bytes_in_flight", &[], 0.0);
    assert!(arrivals(&upstream).values().all(|times| *times == 1));
}

/// Storing is not slower while many rows expire: they are erased some at a time, between commits. `INBOX_SOAK=1` has a million.
#[test]
fn storing_goes_on_while_many_rows_expire() {
    let number: u64 = match std::env::var_os("INBOX_SOAK") {
        Some(_) => 1_000_000,
        None => 20_000,
    };
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().unwrap();
    let make = || setup(&upstream.url(), directory.path(), "queue", "").more("max_items = 10000000");
    let mut gateway = opened(make().start());
    let slowest = |gateway: &crate::support::Gateway, name: &str| {
        let mut took: Vec<_> = (0..200)
            .map(|at| {
                let request = webhook(&format!("{name}_{at}"), 0).bytes();
                let begun = std::time::Instant::now();
                assert_eq!(gateway.exchange(&request).status, 200);
                begun.elapsed()
            })
            .collect();
        took.sort();
        took[took.len() * 9 / 10]
    };
    let usual = slowest(&gateway, "usual");
    wait_for(&gateway, "delivered", 200.0);
    gateway.signal(rustix::process::Signal::TERM);
    gateway.wait_for_exit();
    let database = rusqlite::Connection::open(directory.path().join("inbox.db")).unwrap();
    let columns: Vec<String> = database
        .prepare("SELECT name FROM pragma_table_info('delivery') WHERE name NOT IN ('seq', 'id')")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let names = columns.join(", ");
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number})
         INSERT INTO delivery (id, {names}) SELECT randomblob(16), {names} FROM n, (SELECT * FROM delivery LIMIT 1);
         UPDATE delivery SET expires_at = 1;"
    );
    database.execute_batch(&fill).unwrap();
    drop(database);
    let gateway = opened(make().start());
    let meanwhile = slowest(&gateway, "meanwhile");
    println!("storing while {number} rows expire: {meanwhile:?}, usually {usual:?}");
    assert!(
        meanwhile < usual * 3 + std::time::Duration::from_millis(50),
        "{meanwhile:?}, usually {usual:?}"
    );
    if number < 1_000_000 {
        wait_for(&gateway, "delivered", 200.0);
    }
}
