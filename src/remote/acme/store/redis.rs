//! A Redis or Valkey that replicas share. Values have no expiry. The lock has one, which its holder extends: it ends soon
//! after the process that has it. Every write is a script that changes nothing while another process has the lock.
//!
//! All keys of one account have a common hash tag, so that they are on one node of a cluster.

use super::values::{Name, StoreError};
use crate::remote::redis::{Client, OpenConnection, connect, describe};
use crate::settings::RedisServers;
use crate::tls;
use redis::{Cmd, RedisError, Value, cmd};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// Time for one answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long the lock exists after its holder has extended it for the last time.
const LEASE: Duration = Duration::from_secs(30);
/// How often its holder extends it.
const EXTEND: Duration = Duration::from_secs(8);
/// Other processes wait while the lock has the token of none of them. A holder whose lock was lost may take it again.
const LOCK: &str = "local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";
const UNLOCK: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";
const WRITE: &str = "local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1";
const REMOVE: &str = "local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
return 1";

pub(super) struct RedisStorage {
    servers: RedisServers,
    /// `None` while there is no connection.
    open: Mutex<Option<OpenConnection>>,
}

/// The name of a lock, and what only its holder knows.
pub(super) struct RedisLock {
    name: Name,
    token: String,
}

impl RedisStorage {
    pub(super) fn new(servers: RedisServers) -> Self {
        Self {
            servers,
            open: Mutex::default(),
        }
    }

    /// The key of a value.
    pub(super) fn key(&self, name: &Name) -> String {
        format!("{}:acme:{{{}}}:{}", self.servers.prefix, name.account, name.file())
    }

    /// The key of the set with the names of all certificates.
    fn index(&self) -> String {
        format!("{}:acme:certificates", self.servers.prefix)
    }

    /// Several values of one account; `None` for one that does not exist.
    pub(super) async fn read<const N: usize>(&self, names: [&Name; N]) -> Result<[Option<Vec<u8>>; N], StoreError> {
        let mut command = cmd("MGET");
        for name in names {
            command.arg(self.key(name));
        }
        let Value::Array(values) = self.run(&command).await? else {
            return Err(not_understood());
        };
        let mut values = values.into_iter();
        Ok(std::array::from_fn(|_| values.next().and_then(bytes)))
    }

    pub(super) async fn write(&self, lock: &RedisLock, name: &Name, content: &[u8]) -> Result<(), StoreError> {
        let mut command = self.script(WRITE, &[&lock.name, name]);
        command.arg(&lock.token).arg(content);
        self.run_locked(&command).await?;
        if name.kind == super::CERTIFICATE {
            let mut command = cmd("SADD");
            command
                .arg(self.index())
                .arg(format!("{}:{}", name.account, name.file()));
            self.run(&command).await?;
        }
        Ok(())
    }

    pub(super) async fn remove(&self, lock: &RedisLock, name: &Name) {
        let mut command = self.script(REMOVE, &[&lock.name, name]);
        command.arg(&lock.token);
        let _ = self.run(&command).await;
    }

    /// The lock; `None` while another process, or another certificate, has it.
    pub(super) async fn lock(&self, name: &Name) -> Result<Option<RedisLock>, StoreError> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| StoreError::Unusable(super::NO_RANDOM.to_owned()))?;
        let lock = RedisLock {
            name: name.clone(),
            token: hex::encode(random),
        };
        Ok(self.extend(&lock).await?.then_some(lock))
    }

    /// Whether the lock is there for another [`LEASE`].
    async fn extend(&self, lock: &RedisLock) -> Result<bool, StoreError> {
        let mut command = self.script(LOCK, &[&lock.name]);
        command
            .arg(&lock.token)
            .arg(u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX));
        Ok(matches!(self.run(&command).await?, Value::Int(1)))
    }

    /// Extends the lock again and again. Returns when another process has taken it.
    pub(super) async fn keep(&self, lock: &RedisLock) -> StoreError {
        loop {
            sleep(EXTEND).await;
            // While Redis does not answer, the lock may end; the writes find out.
            if let Ok(false) = self.extend(lock).await {
                return lost();
            }
        }
    }

    /// Gives the lock back. Where that fails, it ends by itself.
    pub(super) async fn unlock(&self, lock: &RedisLock) {
        let mut command = self.script(UNLOCK, &[&lock.name]);
        command.arg(&lock.token);
        let _ = self.run(&command).await;
    }

    /// The certificates of all accounts, at most `most`: the names of their files, and their contents.
    pub(super) async fn certificates(&self, most: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let Value::Array(members) = self.run(cmd("SMEMBERS").arg(self.index())).await? else {
            return Err(not_understood());
        };
        let mut certificates = Vec::new();
        for member in members.into_iter().filter_map(bytes).take(most) {
            let member = String::from_utf8(member).unwrap_or_default();
            let Some((account, file)) = member.split_once(':') else {
                continue;
            };
            let key = format!("{}:acme:{{{account}}}:{file}", self.servers.prefix);
            if let Some(content) = bytes(self.run(cmd("GET").arg(key)).await?) {
                certificates.push((file.to_owned(), content));
            }
        }
        Ok(certificates)
    }

    fn script(&self, text: &str, names: &[&Name]) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(text).arg(names.len());
        for name in names {
            command.arg(self.key(name));
        }
        command
    }

    async fn run_locked(&self, command: &Cmd) -> Result<(), StoreError> {
        let is_done = matches!(self.run(command).await?, Value::Int(1));
        is_done.then_some(()).ok_or_else(lost)
    }

    /// Runs one command, which may be run twice: an open connection may have ended since it was used last.
    async fn run(&self, command: &Cmd) -> Result<Value, StoreError> {
        let mut open = self.open.lock().await;
        let was_open = open.is_some();
        match self.run_once(&mut open, command).await {
            Err((_, true)) if was_open => self.run_once(&mut open, command).await,
            answer => answer,
        }
        .map_err(|(error, _)| error)
    }

    /// The error, and whether the connection had ended. After an error the connection is closed: the server may have
    /// become a replica.
    async fn run_once(&self, open: &mut Option<OpenConnection>, command: &Cmd) -> Result<Value, (StoreError, bool)> {
        let mut client: Client = match open {
            Some(open) => open.client.clone(),
            None => {
                let new = self
                    .connect()
                    .await
                    .map_err(|problem| (StoreError::Unreachable(problem), false))?;
                open.insert(new).client.clone()
            }
        };
        let answer: Result<Value, (String, bool)> = match timeout(ANSWER, client.run(command)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => Err((describe(&error), is_closed(&error))),
            Err(_) => Err((format!("no answer within {} s", ANSWER.as_secs()), false)),
        };
        let address = open.take().map(|open| open.address).unwrap_or_default();
        answer.map_err(|(problem, closed)| (StoreError::Unreachable(format!("{address}: {problem}")), closed))
    }

    async fn connect(&self) -> Result<OpenConnection, String> {
        let tls = tls::redis_connector(&self.servers).map_err(|fault| fault.to_string())?;
        connect(&self.servers, tls.as_ref(), ANSWER, &[]).await
    }
}

/// Whether the connection has ended, so that the server has said nothing.
fn is_closed(error: &RedisError) -> bool {
    error.code().is_none()
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    if let Value::BulkString(bytes) = value {
        Some(bytes)
    } else {
        None
    }
}

fn lost() -> StoreError {
    StoreError::Unreachable(String::from("another process has taken the lock of the storage"))
}

fn not_understood() -> StoreError {
    StoreError::Unreachable(String::from("the answer of the server is not that of a Redis"))
}
