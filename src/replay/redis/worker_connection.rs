//! One worker's connection to the store: a task that keeps it open, and the calls of the worker's exchanges.
//!
//! Exchanges and connection run on the same thread, so a claim crosses no thread boundary. A call waits at most until
//! its deadline. While the connection has been down for longer than the timeout, calls fail immediately. A call whose
//! exchange has stopped waiting is not sent. A connection that leaves calls unanswered is closed, and another is
//! opened, with back-off.

use super::super::store_metrics::StoreResult;
use super::SharedState;
use super::call::{self, Call, Failure};
use super::opening::{self, Server};
use super::script::{OPERATIONS, Script};
use crate::remote::redis::{Client, OpenConnection, connect, describe};
use redis::{RedisError, RedisResult, Value};
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

/// How often the connection is checked while no call reports a problem.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest time after which a check without an answer closes the connection.
const MIN_CHECK_TIMEOUT: Duration = Duration::from_millis(250);
/// The first and the longest wait between two attempts to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// There is no connection, and nothing was sent.
const DOWN: Failure = Failure {
    result: StoreResult::Down,
    maybe_done: false,
};

/// What a call reports to the task that keeps the connection.
#[derive(Debug)]
enum Trouble {
    /// An answer is late: the server is to be checked now.
    Late,
    /// The server's error means that another connection is needed.
    Refused(String),
}

/// What calls need of the open connection.
struct Ready {
    client: Client,
    /// In the order of [`OPERATIONS`].
    scripts: [Script; OPERATIONS.len()],
    sets_and_gets: bool,
}

/// The worker's side of the connection.
pub(super) struct WorkerConnection {
    /// `None` while there is no connection.
    ready: watch::Sender<Option<Arc<Ready>>>,
    /// When the connection was lost: milliseconds since the store's epoch plus one; 0 while there is a connection.
    down_since: AtomicU64,
    trouble: mpsc::Sender<Trouble>,
    /// The receiving side, until [`WorkerConnection::keep`] takes it.
    troubles: Mutex<Option<mpsc::Receiver<Trouble>>>,
}

impl fmt::Debug for WorkerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerConnection")
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

impl WorkerConnection {
    pub(super) fn new() -> Self {
        let (trouble, troubles) = mpsc::channel(1);
        Self {
            ready: watch::Sender::new(None),
            down_since: AtomicU64::new(1),
            trouble,
            troubles: Mutex::new(Some(troubles)),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.down_since.load(Ordering::Relaxed) == 0
    }

    /// Makes one call and waits for its reply until `deadline`.
    pub(super) async fn call(&self, shared: &SharedState, call: &Call, deadline: Instant) -> Result<i64, Failure> {
        let ready = self.ready.borrow().clone();
        let ready = match ready {
            Some(ready) => ready,
            None => self.wait_until_ready(shared, deadline).await.ok_or(DOWN)?,
        };
        match timeout_at(deadline, ready.run(call, &shared.settings.servers.prefix)).await {
            Ok(Ok(reply)) => call.answer(&reply).ok_or(Failure {
                result: StoreResult::Error,
                maybe_done: true,
            }),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => {
                let _ = self.trouble.try_send(Trouble::Late);
                let result = if self.is_up() {
                    StoreResult::Timeout
                } else {
                    StoreResult::Down
                };
                Err(Failure {
                    result,
                    maybe_done: true,
                })
            }
        }
    }

    /// Waits for a connection, unless there has been none for longer than the timeout.
    async fn wait_until_ready(&self, shared: &SharedState, deadline: Instant) -> Option<Arc<Ready>> {
        let timeout_ms = u64::try_from(shared.settings.timeout.as_millis()).unwrap_or(u64::MAX);
        let down = self.down_since.load(Ordering::Relaxed);
        if down > 0 && shared.milliseconds(Instant::now()) + 1 > down.saturating_add(timeout_ms) {
            return None;
        }
        let mut connections = self.ready.subscribe();
        let ready = timeout_at(deadline, connections.wait_for(Option::is_some)).await;
        ready.ok()?.ok()?.clone()
    }

    fn failed(&self, error: &RedisError) -> Failure {
        let result = call::classify(error);
        if let StoreResult::NotMaster | StoreResult::Denied = result {
            let _ = self.trouble.try_send(Trouble::Refused(describe(error)));
        }
        Failure {
            result,
            // An error of the server means that it has done nothing.
            maybe_done: error.code().is_none(),
        }
    }

    /// Keeps a connection open as long as the store exists. `logs`: only one worker logs, because all find the same.
    async fn keep(&self, shared: &SharedState, logs: bool) {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut troubles) = troubles else { return };
        let first = opening::commands();
        let mut backoff = BACKOFF.0;
        let mut logged = None;
        loop {
            let settings = &shared.settings;
            let opened = connect(&settings.servers, shared.tls.as_ref(), settings.timeout, &first).await;
            let opened = opened.and_then(|open| {
                let server = opening::server(&open).map_err(|problem| format!("{}: {problem}", open.address))?;
                Ok((open, server))
            });
            match opened {
                Ok((open, server)) => {
                    backoff = BACKOFF.0;
                    if logs {
                        shared.log_connected(&open.address, server.evicts.as_deref());
                        logged = None;
                    }
                    let problem = self.serve(open, server, &mut troubles, shared).await;
                    if logs {
                        tracing::warn!(%problem, "the replay store's connection is lost");
                    }
                }
                Err(problem) => {
                    if logs && logged.as_ref() != Some(&problem) {
                        tracing::error!(%problem, "the replay store cannot be reached");
                        logged = Some(problem);
                    }
                }
            }
            // Waits up to a quarter longer, different for each connection, so that replicas do not reconnect together.
            let jitter = shared.milliseconds(Instant::now()) % 8;
            sleep(backoff + backoff * u32::try_from(jitter).unwrap_or_default() / 32).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// Lends the connection to calls until it fails. Returns why it failed.
    async fn serve(
        &self,
        open: OpenConnection,
        server: Server,
        troubles: &mut mpsc::Receiver<Trouble>,
        shared: &SharedState,
    ) -> String {
        let OpenConnection {
            client, mut carrier, ..
        } = open;
        let Server {
            scripts, sets_and_gets, ..
        } = server;
        let mut checked = client.clone();
        // What earlier calls reported was about another connection.
        while troubles.try_recv().is_ok() {}
        self.down_since.store(0, Ordering::Relaxed);
        self.ready.send_replace(Some(Arc::new(Ready {
            client,
            scripts,
            sets_and_gets,
        })));
        let check_timeout = (shared.settings.timeout * 4).max(MIN_CHECK_TIMEOUT);
        let mut check = interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        check.tick().await;
        let problem = loop {
            let closed = async {
                match &mut carrier {
                    Some(carrier) => carrier.ended().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = closed => break String::from("the server closed the connection"),
                trouble = troubles.recv() => if let Some(Trouble::Refused(problem)) = trouble { break problem },
                _ = check.tick() => {}
            }
            match timeout(check_timeout, checked.check()).await {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => break problem,
                Err(_) => break String::from("the server does not answer"),
            }
        };
        self.down_since
            .store(shared.milliseconds(Instant::now()) + 1, Ordering::Relaxed);
        self.ready.send_replace(None);
        problem
    }
}

impl Ready {
    /// Runs the command of a call. A script that the server has lost (a restart, `SCRIPT FLUSH`) is sent again with its
    /// text, which loads it.
    async fn run(&self, call: &Call, prefix: &str) -> RedisResult<Value> {
        let mut client = self.client.clone();
        if let Some(command) = call.plain_command(prefix, self.sets_and_gets) {
            return client.run(&command).await;
        }
        let script = OPERATIONS
            .iter()
            .zip(&self.scripts)
            .find(|(operation, _)| **operation == call.operation);
        let Some((_, script)) = script else {
            return Ok(Value::Nil);
        };
        match client.run(&call.script_command(prefix, script, false)).await {
            Err(error) if call::is_unknown_script(&error) => {
                client.run(&call.script_command(prefix, script, true)).await
            }
            answer => answer,
        }
    }
}

/// Starts the task that keeps the connection of this worker, on the worker's own thread.
pub(super) fn start(shared: &Arc<SharedState>, worker: usize) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if let Some(connection) = shared.connections.get(worker) {
            connection.keep(&shared, worker == 0).await;
        }
    });
}
