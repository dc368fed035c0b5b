//! One worker's connection to the server: a task that pipelines the calls of the worker's exchanges and keeps the
//! connection open.
//!
//! Exchanges and connection run on the same thread, so a claim crosses no thread boundary. A call waits at most until
//! its deadline. While the connection has been down for longer than the timeout, calls fail immediately. A call whose
//! exchange has stopped waiting is not sent. A connection that leaves calls unanswered is closed, and another is
//! opened, with back-off.

use super::super::store_metrics::{StoreOperation, StoreResult};
use super::SharedState;
use super::connect::{self, LoadedScript, OpenConnection};
use super::resp::{self, RespReply};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf as _, BytesMut};
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

/// Most calls that may wait to be sent. Above it the store counts as down.
const QUEUE: usize = 8192;
/// Most calls that are written together.
const BATCH: usize = 256;
/// How often the connection is checked for calls without a reply and for being idle.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// The first and the longest wait between two attempts to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// There is no connection, and nothing was sent.
const DOWN: Failure = Failure {
    answer: StoreResult::Down,
    maybe_done: false,
};

/// One call to the server: an operation on the keys of one claim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) operation: StoreOperation,
    pub(super) token: [u8; 16],
    /// Keys, each with the time to remember it after a commit. A claim and a release do not use the time.
    pub(super) keys: [Option<(super::ReplayKey, Duration)>; 3],
    /// How long a claim is held if it is not settled.
    pub(super) lease: Duration,
}

/// The result that an error reply of the server means.
fn classify(error: &str) -> StoreResult {
    match error.split(' ').next().unwrap_or_default() {
        "OOM" => StoreResult::OutOfMemory,
        "READONLY" | "MASTERDOWN" | "LOADING" | "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" => StoreResult::NotMaster,
        "NOAUTH" | "WRONGPASS" | "NOPERM" => StoreResult::Denied,
        // Before 7.0 the error of a script has a prefix.
        _ if error.contains("OOM command") => StoreResult::OutOfMemory,
        _ if error.contains("READONLY") => StoreResult::NotMaster,
        _ => StoreResult::Error,
    }
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) answer: StoreResult,
    /// Whether the server may have executed the call, or may still do so.
    pub(super) maybe_done: bool,
}

/// A call that waits for its reply.
struct PendingCall {
    call: Call,
    answer: oneshot::Sender<Result<i64, StoreResult>>,
}

/// The worker's side of the connection.
pub(super) struct WorkerConnection {
    calls: mpsc::Sender<PendingCall>,
    /// The receiving side, until [`WorkerConnection::keep`] takes it.
    queue: Mutex<Option<mpsc::Receiver<PendingCall>>>,
    /// When the connection was lost: milliseconds since the store's epoch plus one; 0 while there is a connection.
    down_since: AtomicU64,
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
        let (calls, queue) = mpsc::channel(QUEUE);
        Self {
            calls,
            queue: Mutex::new(Some(queue)),
            down_since: AtomicU64::new(1),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.down_since.load(Ordering::Relaxed) == 0
    }

    /// Makes one call and waits for its reply until `deadline`.
    pub(super) async fn call(&self, shared: &SharedState, call: Call, deadline: Instant) -> Result<i64, Failure> {
        let down = self.down_since.load(Ordering::Relaxed);
        let now = shared.milliseconds(Instant::now());
        if down > 0 && now + 1 > down + u64::try_from(shared.settings.timeout.as_millis()).unwrap_or(u64::MAX) {
            return Err(DOWN);
        }
        let (answer, answered) = oneshot::channel();
        self.calls.try_send(PendingCall { call, answer }).map_err(|_| DOWN)?;
        let unanswered = |answer| Failure {
            answer,
            maybe_done: true,
        };
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer.map_err(|answer| Failure {
                answer,
                maybe_done: false,
            }),
            Err(_) if self.is_up() => Err(unanswered(StoreResult::Timeout)),
            Ok(Err(_)) | Err(_) => Err(unanswered(StoreResult::Down)),
        }
    }

    /// Keeps a connection open as long as the store exists. `logs`: only one worker logs, because all find the same.
    pub(super) async fn keep(&self, shared: &SharedState, logs: bool) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut queue) = queue else { return };
        let mut backoff = BACKOFF.0;
        let mut logged = None;
        loop {
            match connect::connect(&shared.settings, shared.tls.as_ref()).await {
                Ok(ready) => {
                    backoff = BACKOFF.0;
                    if logs {
                        shared.log_connected(&ready);
                        logged = None;
                    }
                    self.down_since.store(0, Ordering::Relaxed);
                    let end = run(ready, &mut queue, shared).await;
                    self.down_since
                        .store(shared.milliseconds(Instant::now()) + 1, Ordering::Relaxed);
                    let Err(problem) = end else { return };
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
}

/// A command that was sent and has no reply yet.
struct SentCall {
    at: Instant,
    /// The call; `None` for `ROLE`, which checks that the server is still a master.
    pending: Option<PendingCall>,
}

/// Sends calls and distributes replies until the connection fails; `Ok` when the store has been dropped.
async fn run(
    ready: OpenConnection,
    queue: &mut mpsc::Receiver<PendingCall>,
    shared: &SharedState,
) -> Result<(), String> {
    let OpenConnection {
        stream,
        mut input,
        scripts,
        sets_and_gets,
        ..
    } = ready;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut output = Vec::new();
    let mut sent_calls: VecDeque<SentCall> = VecDeque::new();
    let mut check = interval(CHECK_INTERVAL);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stalled = shared.settings.timeout * 4;
    let mut idle_checks = 0;
    loop {
        tokio::select! {
            read = reader.read_buf(&mut input) => {
                match read {
                    Ok(0) => return Err(String::from("the server closed the connection")),
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                }
                distribute_replies(&mut input, &mut sent_calls, &mut output, &scripts, shared)?;
            }
            pending = queue.recv() => {
                let Some(pending) = pending else { return Ok(()) };
                let mut next = Some(pending);
                let mut batch = 0;
                let at = Instant::now();
                while let Some(pending) = next.take() {
                    // Not sent if the exchange has stopped waiting: what is not sent need not be undone.
                    if !pending.answer.is_closed() {
                        let hash = loaded(&scripts, pending.call.operation).map_or(&b""[..], |script| &script.hash);
                        let prefix = &shared.settings.prefix;
                        if !(sets_and_gets && encode_single_claim(&mut output, &pending.call, prefix)) {
                            encode(&mut output, &pending.call, (b"EVALSHA", hash), prefix);
                        }
                        sent_calls.push_back(SentCall { at, pending: Some(pending) });
                    }
                    batch += 1;
                    if batch < BATCH {
                        next = queue.try_recv().ok();
                    }
                }
                idle_checks = 0;
            }
            _ = check.tick() => {
                let now = Instant::now();
                if sent_calls.front().is_some_and(|oldest| now - oldest.at > stalled.max(CHECK_INTERVAL)) {
                    return Err(String::from("the server does not answer"));
                }
                idle_checks += 1;
                if idle_checks >= 4 && sent_calls.is_empty() {
                    idle_checks = 0;
                    resp::command(&mut output, &[b"ROLE"]);
                    sent_calls.push_back(SentCall { at: now, pending: None });
                }
            }
        }
        if !output.is_empty() {
            let written = async { writer.write_all(&output).await.and(writer.flush().await) };
            match timeout(stalled.max(CHECK_INTERVAL), written).await {
                Ok(Ok(())) => output.clear(),
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(String::from("the server does not read")),
            }
        }
    }
}

/// Distributes the replies that have arrived. A script that the server has lost (a restart, `SCRIPT FLUSH`) is sent
/// again with its text, which loads it.
fn distribute_replies(
    input: &mut BytesMut,
    sent_calls: &mut VecDeque<SentCall>,
    output: &mut Vec<u8>,
    scripts: &[LoadedScript],
    shared: &SharedState,
) -> Result<(), String> {
    while let Some((reply, length)) =
        resp::reply(input).map_err(|_| String::from("the reply is not in the Redis protocol"))?
    {
        input.advance(length);
        let sent = sent_calls.pop_front().ok_or("a reply without a command")?;
        let Some(pending) = sent.pending else {
            connect::is_master(&reply)?;
            continue;
        };
        let (answer, end) = match reply {
            RespReply::Integer(number) => (Ok(number), None),
            // The reply to `SET … NX GET` is the value that the key had before.
            RespReply::Bulk(held) => match held.as_deref() {
                None => (Ok(0), None),
                Some(b"1") => (Ok(1), None),
                Some(_) => (Ok(2), None),
            },
            RespReply::Error(error) if error.starts_with("NOSCRIPT") => {
                let text = loaded(scripts, pending.call.operation).map_or("", |script| &script.text);
                encode(
                    output,
                    &pending.call,
                    (b"EVAL", text.as_bytes()),
                    &shared.settings.prefix,
                );
                let at = Instant::now();
                sent_calls.push_back(SentCall {
                    at,
                    pending: Some(pending),
                });
                continue;
            }
            RespReply::Error(error) => {
                let answer = classify(&error);
                let end = matches!(answer, StoreResult::NotMaster | StoreResult::Denied).then_some(error);
                (Err(answer), end)
            }
            RespReply::Status(_) | RespReply::Array(_) => (Err(StoreResult::Error), None),
        };
        let _ = pending.answer.send(answer);
        if let Some(error) = end {
            return Err(error);
        }
    }
    Ok(())
}

fn loaded(scripts: &[LoadedScript], operation: StoreOperation) -> Option<&LoadedScript> {
    scripts.get(operation as usize)
}

/// Writes a claim of a single key as one command, which costs the server a third of a script; `false` for any other
/// call.
fn encode_single_claim(output: &mut Vec<u8>, call: &Call, prefix: &str) -> bool {
    let mut keys = call.keys.iter().flatten();
    let (StoreOperation::Claim, Some((key, _)), None) = (call.operation, keys.next(), keys.next()) else {
        return false;
    };
    let lease = call.lease.as_millis().max(1).to_string();
    let key = key_name(prefix, key);
    resp::command(
        output,
        &[
            b"SET",
            key.as_bytes(),
            &call.token,
            b"NX",
            b"GET",
            b"PX",
            lease.as_bytes(),
        ],
    );
    true
}

/// Writes a call as `EVALSHA hash keys… arguments…`, or as `EVAL text …`.
fn encode(output: &mut Vec<u8>, call: &Call, (verb, script): (&[u8], &[u8]), prefix: &str) {
    let keys: Vec<(String, Duration)> = call
        .keys
        .iter()
        .flatten()
        .map(|(key, time)| (key_name(prefix, key), *time))
        .collect();
    let count = keys.len().to_string();
    let milliseconds = |time: Duration| time.as_millis().max(1).to_string();
    let times: Vec<String> = match call.operation {
        StoreOperation::Claim => vec![milliseconds(call.lease)],
        StoreOperation::Commit => keys.iter().map(|(_, time)| milliseconds(*time)).collect(),
        StoreOperation::Release => Vec::new(),
    };
    let mut words: Vec<&[u8]> = vec![verb, script, count.as_bytes()];
    words.extend(keys.iter().map(|(key, _)| key.as_bytes()));
    words.push(&call.token);
    words.extend(times.iter().map(String::as_bytes));
    resp::command(output, &words);
}

/// The key's name in the store, `hookgate:SPACE:IDENTITY`. Both parts are hashes; half of the identity's 256 bits is
/// enough to distinguish all webhooks.
fn key_name(prefix: &str, key: &super::ReplayKey) -> String {
    let mut name = String::with_capacity(prefix.len() + 35);
    name.push_str(prefix);
    name.push(':');
    URL_SAFE_NO_PAD.encode_string(key.space.to_be_bytes(), &mut name);
    name.push(':');
    let (half, _) = key.identity.split_at(16);
    URL_SAFE_NO_PAD.encode_string(half, &mut name);
    name
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_replies_are_classified_by_their_first_word() {
        for (error, answer) in [
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                StoreResult::OutOfMemory,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'. script: a, on @user_script:9.",
                StoreResult::OutOfMemory,
            ),
            (
                "READONLY You can't write against a read only replica.",
                StoreResult::NotMaster,
            ),
            ("LOADING Redis is loading the dataset in memory", StoreResult::NotMaster),
            ("MOVED 3999 127.0.0.1:6381", StoreResult::NotMaster),
            ("NOAUTH Authentication required.", StoreResult::Denied),
            ("ERR unknown command", StoreResult::Error),
        ] {
            assert_eq!(classify(error), answer, "{error}");
        }
    }

    #[test]
    fn a_key_name_shows_its_space_and_no_text_of_the_sender() {
        let key = super::super::ReplayKey {
            space: 1,
            identity: [0xff; 32],
        };
        assert_eq!(
            key_name("hookgate", &key),
            "hookgate:AAAAAAAAAAE:_____________________w"
        );
    }
}
