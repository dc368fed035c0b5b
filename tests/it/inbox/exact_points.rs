//! Kills at exact points: in place of each write, sync and message of the process, from the first webhook to the settlement of
//! the last. `INBOX_SOAK=1` takes every point, the short form some.

use super::io::{exchange, is_soak, library, unknown, with_library};
use super::{opened, setup, wait_for_the_end, webhook};
use crate::support::upstream::answer;
use crate::support::{AfterAnswer, Gateway, Upstream};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// How often the application took each webhook, by the id that came with it.
type Taken = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// An application that refuses the first attempt of every second webhook, so that it is stored and tried again.
fn application(taken: Taken) -> Upstream {
    let refused = Mutex::new(std::collections::BTreeSet::new());
    Upstream::new(move |request, connection| {
        let body = String::from_utf8(request.body.clone()).unwrap();
        if body.contains("odd") && refused.lock().unwrap().insert(body.clone()) {
            return connection.send(&answer("503 Service Unavailable", &[], b""));
        }
        let id = request.header("hookgate-delivery").unwrap();
        taken.lock().unwrap().entry(body).or_default().push(id);
        connection.send(&answer("200 OK", &[], b""));
        AfterAnswer::Keep
    })
}

/// Whether the file has this many deliveries, all of them settled.
fn settled(directory: &Path, number: i64) -> bool {
    let database = rusqlite::Connection::open(directory.join("inbox.db")).unwrap();
    let sql = "SELECT count(*) FROM delivery WHERE state = 4";
    database.query_row(sql, [], |row| row.get::<_, i64>(0)) == Ok(number)
}

/// One life with a kill in place of its call number `at`, and one without. Returns whether the process was killed.
fn killed_at(library: &Path, delivery: &str, at: usize) -> bool {
    let taken = Taken::default();
    let upstream = application(taken.clone());
    let directory = tempfile::tempdir().unwrap();
    let arm = directory.path().join("arm");
    let route = if delivery == "failover" {
        "dedupe = { durable = true }"
    } else {
        ""
    };
    let make = || setup(&upstream.url(), directory.path(), delivery, route);
    let faulty = with_library(make(), library)
        .variable("IO_KILL", &at.to_string())
        .variable("IO_ARM", arm.to_str().unwrap());
    let mut gateway = opened(faulty.start());
    std::fs::write(&arm, "").unwrap();
    let names = ["even_0", "odd_1", "even_2", "odd_3"];
    let told: Vec<bool> = names
        .iter()
        .map(|name| exchange(gateway.plain(), &webhook(name, 0)) == Some(200))
        .collect();
    let stored = if delivery == "queue" { 4 } else { 2 };
    crate::support::eventually("the end, or the settlement of all", || {
        (!gateway.runs() || settled(directory.path(), stored)).then_some(())
    });
    let was_killed = !gateway.runs();
    drop(gateway);
    let gateway: Gateway = opened(make().start());
    // Senders that were not told anything send again.
    for (name, _) in names.iter().zip(&told).filter(|(_, told)| !**told) {
        crate::support::eventually("an acknowledgement", || {
            (exchange(gateway.plain(), &webhook(name, 1)) == Some(200)).then_some(())
        });
    }
    wait_for_the_end(&gateway);
    let unknown = unknown(directory.path());
    let taken = taken.lock().unwrap();
    for (name, told) in names.iter().zip(&told) {
        let found = taken.iter().find(|(body, _)| body.contains(*name));
        let (_, ids) = found.unwrap_or_else(|| panic!("{delivery}, call {at}: {name} is lost"));
        assert!(ids.iter().all(|id| *id == ids[0]), "{delivery}, call {at}: {ids:?}");
        // A direct attempt that was cut off is not on record: its sender was not told, and sent again.
        let is_excused = unknown.contains(&ids[0]) || !told;
        let times = ids.len();
        assert!(
            times == 1 || times == 2 && is_excused,
            "{delivery}, call {at}: {name} was taken {times} times"
        );
    }
    was_killed
}

/// Between any two of claim, row, commit, answer and settlement: nothing is lost, ids are the same, and a webhook is taken twice
/// only where an attempt was cut off.
fn a_kill_at_any_point_loses_nothing(delivery: &str) {
    let tools = tempfile::tempdir().unwrap();
    let library = library(tools.path());
    let step = if is_soak() { 1 } else { 11 };
    let mut kills = 0;
    for at in (1..).step_by(step) {
        if !killed_at(&library, delivery, at) {
            break;
        }
        kills += 1;
    }
    assert!(kills * step >= 40, "{delivery}: only {kills} kills");
    println!("{delivery}: {kills} kills");
}

#[test]
fn failover_loses_nothing_by_a_kill_between_any_two_steps() {
    a_kill_at_any_point_loses_nothing("failover");
}

#[test]
fn a_queue_loses_nothing_by_a_kill_between_any_two_steps() {
    a_kill_at_any_point_loses_nothing("queue");
}
