//! One worker's connection to the server: a task that pipelines what the worker's exchanges ask and keeps the connection.
//!
//! Exchanges and connection share a thread, so a claim crosses none. A call waits at most until its deadline, whatever the
//! connection does: while it is down for longer than the timeout, calls fail at once; a call that nobody waits for any more
//! is not sent. A connection that leaves questions unanswered for a while is given up; another is opened, with back-off.

use super::super::store_metrics::{StoreResult, StoreOperation};
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

/// Calls waiting to be sent; beyond that the store counts as down.
const QUEUE: usize = 8192;
/// Calls written together.
const BATCH: usize = 256;
/// How often an idle connection is asked and a busy one looked at.
const LOOK: Duration = Duration::from_millis(250);
/// The first and the longest wait between two attempts to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Nothing was sent.
const DOWN: Failure = Failure {
    answer: StoreResult::Down,
    maybe_done: false,
};

/// One script run: what an exchange wants of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) script: StoreOperation,
    pub(super) token: [u8; 16],
    /// Keys with the lease (claim) or the time to remember (commit); the same for a release, where it is not used.
    pub(super) keys: [Option<(super::ReplayKey, Duration)>; 2],
    /// Lease of a claim.
    pub(super) lease: Duration,
}

/// What an error of the server comes to.
fn judge(error: &str) -> StoreResult {
    match error.split(' ').next().unwrap_or_default() {
        "OOM" => StoreResult::OutOfMemory,
        "READONLY" | "MASTERDOWN" | "LOADING" | "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" => StoreResult::NotMaster,
        "NOAUTH" | "WRONGPASS" | "NOPERM" => StoreResult::Denied,
        // Before 7.0 a script's error stands behind the script's own prefix.
        _ if error.contains("OOM command") => StoreResult::OutOfMemory,
        _ if error.contains("READONLY") => StoreResult::NotMaster,
        _ => StoreResult::Error,
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) answer: StoreResult,
    /// The server may have done it all the same, or may do it yet.
    pub(super) maybe_done: bool,
}

/// One call on its way.
struct PendingCall {
    call: Call,
    answer: oneshot::Sender<Result<i64, StoreResult>>,
}

/// A worker's end of the connection.
pub(super) struct WorkerConnection {
    jobs: mpsc::Sender<PendingCall>,
    queue: Mutex<Option<mpsc::Receiver<PendingCall>>>,
    /// Milliseconds from the guard's epoch to the moment when the connection was lost, plus one; 0 while there is one.
    down: AtomicU64,
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
        let (jobs, queue) = mpsc::channel(QUEUE);
        Self {
            jobs,
            queue: Mutex::new(Some(queue)),
            down: AtomicU64::new(1),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.down.load(Ordering::Relaxed) == 0
    }

    /// Asks the server, until `deadline`.
    pub(super) async fn call(&self, shared: &SharedState, call: Call, deadline: Instant) -> Result<i64, Failure> {
        let down = self.down.load(Ordering::Relaxed);
        let now = shared.milliseconds(Instant::now());
        if down > 0 && now + 1 > down + u64::try_from(shared.settings.timeout.as_millis()).unwrap_or(u64::MAX) {
            return Err(DOWN);
        }
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(PendingCall { call, answer }).map_err(|_| DOWN)?;
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

    /// Keeps the connection for as long as the guard lives. `first`: this one says in the log what all of them find.
    pub(super) async fn keep(&self, shared: &SharedState, first: bool) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut queue) = queue else { return };
        let mut backoff = BACKOFF.0;
        let mut told = None;
        loop {
            match connect::connect(&shared.settings, shared.tls.as_ref()).await {
                Ok(ready) => {
                    backoff = BACKOFF.0;
                    if first {
                        shared.found(&ready);
                        told = None;
                    }
                    self.down.store(0, Ordering::Relaxed);
                    let end = converse(ready, &mut queue, shared).await;
                    self.down
                        .store(shared.milliseconds(Instant::now()) + 1, Ordering::Relaxed);
                    let Err(problem) = end else { return };
                    if first {
                        tracing::warn!(%problem, "the replay store's connection is lost");
                    }
                }
                Err(problem) => {
                    if first && told.as_ref() != Some(&problem) {
                        tracing::error!(%problem, "the replay store cannot be reached");
                        told = Some(problem);
                    }
                }
            }
            // Up to a quarter more, differently for each connection, so that replicas do not come back all at once.
            let jitter = shared.milliseconds(Instant::now()) % 8;
            sleep(backoff + backoff * u32::try_from(jitter).unwrap_or_default() / 32).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }
}

/// A question that is on its way.
struct SentCall {
    at: Instant,
    /// `None` for the question whether it still is a master.
    job: Option<PendingCall>,
}

/// Sends calls and hands out answers until the connection is of no use; `Ok` when there is nobody left to ask.
async fn converse(ready: OpenConnection, queue: &mut mpsc::Receiver<PendingCall>, shared: &SharedState) -> Result<(), String> {
    let OpenConnection {
        wire,
        mut input,
        scripts,
        sets_and_gets,
        ..
    } = ready;
    let (mut reader, mut writer) = tokio::io::split(wire);
    let mut output = Vec::new();
    let mut asked: VecDeque<SentCall> = VecDeque::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stalled = shared.settings.timeout * 4;
    let mut quiet = 0;
    loop {
        tokio::select! {
            read = reader.read_buf(&mut input) => {
                match read {
                    Ok(0) => return Err(String::from("the server hung up")),
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                }
                answers(&mut input, &mut asked, &mut output, &scripts, shared)?;
            }
            job = queue.recv() => {
                let Some(job) = job else { return Ok(()) };
                let mut next = Some(job);
                let mut batch = 0;
                let at = Instant::now();
                while let Some(job) = next.take() {
                    // Nobody waits for it any more: what is not sent need not be undone.
                    if !job.answer.is_closed() {
                        let hash = loaded(&scripts, job.call.script).map_or(&b""[..], |script| &script.hash);
                        let prefix = &shared.settings.prefix;
                        if !(sets_and_gets && claim_one(&mut output, &job.call, prefix)) {
                            encode(&mut output, &job.call, (b"EVALSHA", hash), prefix);
                        }
                        asked.push_back(SentCall { at, job: Some(job) });
                    }
                    batch += 1;
                    if batch < BATCH {
                        next = queue.try_recv().ok();
                    }
                }
                quiet = 0;
            }
            _ = look.tick() => {
                let now = Instant::now();
                if asked.front().is_some_and(|oldest| now - oldest.at > stalled.max(LOOK)) {
                    return Err(String::from("no answer"));
                }
                quiet += 1;
                if quiet >= 4 && asked.is_empty() {
                    quiet = 0;
                    resp::command(&mut output, &[b"ROLE"]);
                    asked.push_back(SentCall { at: now, job: None });
                }
            }
        }
        if !output.is_empty() {
            let written = async { writer.write_all(&output).await.and(writer.flush().await) };
            match timeout(stalled.max(LOOK), written).await {
                Ok(Ok(())) => output.clear(),
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(String::from("the server does not read")),
            }
        }
    }
}

/// Hands out what has been answered. A script that the server has forgotten (a restart, `SCRIPT FLUSH`) is asked for again
/// with its text, which it then remembers.
fn answers(
    input: &mut BytesMut,
    asked: &mut VecDeque<SentCall>,
    output: &mut Vec<u8>,
    scripts: &[LoadedScript],
    shared: &SharedState,
) -> Result<(), String> {
    while let Some((reply, length)) = resp::reply(input).map_err(|_| String::from("not the Redis protocol"))? {
        input.advance(length);
        let question = asked.pop_front().ok_or("an answer to no question")?;
        let Some(job) = question.job else {
            connect::is_master(&reply)?;
            continue;
        };
        let (answer, end) = match reply {
            RespReply::Integer(number) => (Ok(number), None),
            // To `SET … NX GET`: what was there before.
            RespReply::Bulk(held) => match held.as_deref() {
                None => (Ok(0), None),
                Some(b"1") => (Ok(1), None),
                Some(_) => (Ok(2), None),
            },
            RespReply::Error(error) if error.starts_with("NOSCRIPT") => {
                let text = loaded(scripts, job.call.script).map_or("", |script| &script.text);
                encode(output, &job.call, (b"EVAL", text.as_bytes()), &shared.settings.prefix);
                let at = Instant::now();
                asked.push_back(SentCall { at, job: Some(job) });
                continue;
            }
            RespReply::Error(error) => {
                let answer = judge(&error);
                let end = matches!(answer, StoreResult::NotMaster | StoreResult::Denied).then_some(error);
                (Err(answer), end)
            }
            RespReply::Status(_) | RespReply::Array(_) => (Err(StoreResult::Error), None),
        };
        let _ = job.answer.send(answer);
        if let Some(error) = end {
            return Err(error);
        }
    }
    Ok(())
}

fn loaded(scripts: &[LoadedScript], operation: StoreOperation) -> Option<&LoadedScript> {
    scripts.get(operation as usize)
}

/// A claim of a single key as one command, which costs the server a third of a script; `false` for anything else.
fn claim_one(output: &mut Vec<u8>, call: &Call, prefix: &str) -> bool {
    let (StoreOperation::Claim, [Some((key, _)), None] | [None, Some((key, _))]) = (call.script, &call.keys) else {
        return false;
    };
    let lease = call.lease.as_millis().max(1).to_string();
    let key = name(prefix, key);
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

/// `EVALSHA hash keys… arguments…`
fn encode(output: &mut Vec<u8>, call: &Call, (verb, script): (&[u8], &[u8]), prefix: &str) {
    let keys: Vec<(String, Duration)> = call
        .keys
        .iter()
        .flatten()
        .map(|(key, time)| (name(prefix, key), *time))
        .collect();
    let count = keys.len().to_string();
    let milliseconds = |time: Duration| time.as_millis().max(1).to_string();
    let times: Vec<String> = match call.script {
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

/// `hookgate:SPACE:IDENTITY`: both are hashes; half of the identity's 256 bits tell more webhooks apart than there will be.
fn name(prefix: &str, key: &super::ReplayKey) -> String {
    let mut name = String::with_capacity(prefix.len() + 35);
    name.push_str(prefix);
    name.push(':');
    URL_SAFE_NO_PAD.encode_string(key.space.to_be_bytes(), &mut name);
    name.push(':');
    let (half, _) = key.identity.split_at(16);
    URL_SAFE_NO_PAD.encode_string(half, &mut name);
    name
}

/// Keeps every worker's connection from the worker's own thread.
pub(super) fn start(shared: &Arc<SharedState>, worker: usize) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if let Some(link) = shared.links.get(worker) {
            link.keep(&shared, worker == 0).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_helps() {
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
            assert_eq!(judge(error), answer, "{error}");
        }
    }

    #[test]
    fn a_key_says_its_space_and_nothing_of_the_sender() {
        let key = super::super::ReplayKey {
            space: 1,
            identity: [0xff; 32],
        };
        assert_eq!(name("hookgate", &key), "hookgate:AAAAAAAAAAE:_____________________w");
    }
}
