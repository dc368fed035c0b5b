//! An open inbox for tests, and how it ends.

#![allow(clippy::unwrap_used)]

use super::Inbox;
use super::store::command::Command;
use super::store::types::{FirstAttempt, NewDelivery};
use crate::http::budget::Budget;
use crate::settings::{DeadLetters, Inbox as Settings, Probe, Retry};
use crate::telemetry::metrics::Metrics;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An inbox that is open.
pub(super) async fn started(directory: &Path) -> Arc<Inbox> {
    let settings = Settings {
        store: directory.join("inbox.db"),
        keys: Vec::new(),
        max_bytes: 1 << 20,
        max_items: 100,
        min_free_disk: 0,
        max_log: 64 << 20,
        keep: Duration::ZERO,
        dead: DeadLetters {
            keep: Duration::from_secs(3600),
        },
        any_filesystem: true,
        probe: Probe {
            backoff: Duration::from_secs(1),
            backoff_limit: Duration::from_secs(1),
        },
    };
    let inbox = Inbox::start(settings, Metrics::new().inbox(), Budget::new(1 << 20), 0).unwrap();
    while !inbox.is_open() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    inbox
}

pub(super) fn retry() -> Arc<Retry> {
    Arc::new(Retry {
        max_age: Duration::from_secs(3600),
        backoff: Duration::from_secs(60),
        backoff_limit: Duration::from_secs(60),
        give_up_on: Vec::new(),
    })
}

/// A delivery of the route `r` whose first attempt is under way.
pub(super) fn delivery(id: u8) -> NewDelivery {
    NewDelivery {
        id: [id; 16],
        route: "r".into(),
        order_key: None,
        position: 1,
        head: bytes::Bytes::from_static(b"head"),
        body: vec![bytes::Bytes::from_static(b"body")],
        window: Duration::from_secs(3600),
        first: FirstAttempt::UnderWay,
        retry: retry(),
        reason: "deadline",
    }
}

/// The end comes while the writer is asked for more: what was asked is committed, and the process does not wait for good.
#[tokio::test]
async fn an_inbox_ends_right_behind_the_last_of_many_commands() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..8_u8 {
        let inbox = started(directory.path()).await;
        let (answers, commands): (Vec<_>, Vec<_>) = (0..5)
            .map(|at| {
                let (reply, answer) = tokio::sync::oneshot::channel();
                let new = Box::new(delivery(round * 5 + at));
                (
                    answer,
                    Command::Store {
                        new,
                        only_behind: false,
                        reply,
                    },
                )
            })
            .unzip();
        for command in commands {
            inbox.send(command);
        }
        // What `close` does, in one moment with the commands.
        inbox.commands.send(None).unwrap();
        inbox.stop();
        inbox.closing.trigger();
        let threads = std::mem::take(&mut *inbox.threads());
        let end = tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| thread.join().unwrap()));
        for answer in answers {
            assert!(answer.await.unwrap().is_ok());
        }
        tokio::time::timeout(Duration::from_secs(20), end)
            .await
            .unwrap()
            .unwrap();
    }
}
