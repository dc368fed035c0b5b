//! The calls to the server: what is sent for each operation of a claim, and what its replies mean. Pure.

use super::super::store_metrics::StoreResult;
use super::super::{ClaimRequest, ReplayKey};
use super::script::{Operation, Script};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use std::time::Duration;

/// The length of [`ClaimRequest::KINDS`].
const KEYS: usize = ClaimRequest::KINDS.len();

/// One call to the server: an operation on keys of one claim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) token: [u8; 16],
    /// Keys, each with the time to remember it after a commit. Only a commit uses the time.
    pub(super) keys: [Option<(ReplayKey, Duration)>; KEYS],
    /// How long a claim is held if it is not settled.
    pub(super) lease: Duration,
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) result: StoreResult,
    /// Whether the server may have executed the call, or may still do so.
    pub(super) maybe_done: bool,
}

impl Call {
    /// The same call for the key at `index` only.
    pub(super) fn only(&self, index: usize) -> Self {
        let mut keys = [None; KEYS];
        for (at, (one, key)) in keys.iter_mut().zip(self.keys).enumerate() {
            if at == index {
                *one = key;
            }
        }
        Self { keys, ..*self }
    }

    /// The command of a call that needs no script: looking at a key, and on servers from 7.0 (`sets_and_gets`) the claim
    /// of a single key, which costs the server a third of a script.
    pub(super) fn plain_command(&self, prefix: &str, sets_and_gets: bool) -> Option<Cmd> {
        let mut keys = self.keys.iter().flatten();
        let (Some((key, _)), None) = (keys.next(), keys.next()) else {
            return None;
        };
        let name = key_name(prefix, key);
        match self.operation {
            Operation::Look => {
                let mut command = redis::cmd("GET");
                command.arg(name);
                Some(command)
            }
            Operation::Claim if sets_and_gets => {
                let mut command = redis::cmd("SET");
                let lease = milliseconds(self.lease);
                command
                    .arg(name)
                    .arg(&self.token)
                    .arg("NX")
                    .arg("GET")
                    .arg("PX")
                    .arg(lease);
                Some(command)
            }
            Operation::Claim | Operation::Commit | Operation::Release => None,
        }
    }

    /// The call as `EVALSHA`, or as `EVAL` with the text for a server that does not know the script.
    pub(super) fn script_command(&self, prefix: &str, script: &Script, with_text: bool) -> Cmd {
        let mut command = redis::cmd(if with_text { "EVAL" } else { "EVALSHA" });
        command.arg(if with_text { &script.text } else { &script.hash });
        command.arg(self.keys.iter().flatten().count());
        for (key, _) in self.keys.iter().flatten() {
            command.arg(key_name(prefix, key));
        }
        command.arg(&self.token);
        match self.operation {
            Operation::Claim => {
                command.arg(milliseconds(self.lease));
            }
            Operation::Commit => {
                for (_, keep) in self.keys.iter().flatten() {
                    command.arg(milliseconds(*keep));
                }
            }
            Operation::Look | Operation::Release => {}
        }
        command
    }

    /// The number that a reply means: for a claim 0 (claimed), `2 i - 1` (key i was delivered before) or `2 i` (it is in
    /// flight).
    pub(super) fn answer(&self, reply: &Value) -> Option<i64> {
        if let Value::Int(number) = reply {
            return Some(*number);
        }
        // The value that the key had, or has: none, the mark of a delivery, or the token of a claim.
        if let Value::BulkString(held) = reply {
            return Some(match held.as_slice() {
                b"1" => 1,
                own if own == self.token => 0,
                _ => 2,
            });
        }
        matches!(reply, Value::Nil).then_some(0)
    }
}

/// The result that an error means.
pub(super) fn classify(error: &RedisError) -> StoreResult {
    if error.is_timeout() {
        return StoreResult::Timeout;
    }
    if let ErrorKind::Io | ErrorKind::ClusterConnectionNotFound = error.kind() {
        return StoreResult::Down;
    }
    match error.code().unwrap_or_default() {
        "OOM" => StoreResult::OutOfMemory,
        "READONLY" | "MASTERDOWN" | "LOADING" | "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" | "TRYAGAIN" => {
            StoreResult::NotMaster
        }
        "NOAUTH" | "WRONGPASS" | "NOPERM" => StoreResult::Denied,
        // Before 7.0 the error of a script has a prefix.
        _ if error.detail().is_some_and(|detail| detail.contains("OOM command")) => StoreResult::OutOfMemory,
        _ if error.detail().is_some_and(|detail| detail.contains("READONLY")) => StoreResult::NotMaster,
        _ => StoreResult::Error,
    }
}

/// Whether the server does not know the script.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// The key's name in the store, `hookgate:SPACE:IDENTITY`. Both parts are hashes; half of the identity's 256 bits is
/// enough to distinguish all webhooks.
fn key_name(prefix: &str, key: &ReplayKey) -> String {
    let mut name = String::with_capacity(prefix.len() + 35);
    name.push_str(prefix);
    name.push(':');
    URL_SAFE_NO_PAD.encode_string(key.space.to_be_bytes(), &mut name);
    name.push(':');
    let (half, _) = key.identity.split_at(16);
    URL_SAFE_NO_PAD.encode_string(half, &mut name);
    name
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(text: &str) -> RedisError {
        let reply = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
        reply.extract_error().unwrap_err()
    }

    fn call(operation: Operation) -> Call {
        let key = |identity| {
            (
                ReplayKey {
                    space: 1,
                    identity: [identity; 32],
                },
                Duration::from_secs(9),
            )
        };
        Call {
            operation,
            token: *b"0123456789abcdef",
            keys: [Some(key(1)), Some(key(2)), None],
            lease: Duration::from_millis(700),
        }
    }

    fn words(command: &Cmd) -> Vec<String> {
        let words = command.args_iter().filter_map(|word| match word {
            redis::Arg::Simple(word) => Some(String::from_utf8_lossy(word).into_owned()),
            redis::Arg::Cursor | _ => None,
        });
        words.collect()
    }

    #[test]
    fn errors_are_classified_by_their_code() {
        for (text, result) in [
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                StoreResult::OutOfMemory,
            ),
            (
                "ERR Error running script: @user_script:9: OOM command not allowed when used memory > 'maxmemory'.",
                StoreResult::OutOfMemory,
            ),
            (
                "READONLY You can't write against a read only replica.",
                StoreResult::NotMaster,
            ),
            ("LOADING Redis is loading the dataset in memory", StoreResult::NotMaster),
            ("MOVED 3999 127.0.0.1:6381", StoreResult::NotMaster),
            ("CLUSTERDOWN The cluster is down", StoreResult::NotMaster),
            ("NOAUTH Authentication required.", StoreResult::Denied),
            ("ERR unknown command", StoreResult::Error),
        ] {
            assert_eq!(classify(&error(text)), result, "{text}");
        }
        assert!(is_unknown_script(&error("NOSCRIPT No matching script.")));
        assert!(!is_unknown_script(&error("ERR no script")));
    }

    #[test]
    fn a_call_for_one_key_keeps_the_others_out() {
        let both = call(Operation::Commit);
        let script = Script {
            text: "text".into(),
            hash: "hash".into(),
        };
        let sent = words(&both.script_command("p", &script, false));
        assert_eq!(
            (sent.len(), sent[2].as_str(), sent[6].as_str()),
            (8, "2", "9000"),
            "{sent:?}"
        );
        let one = words(&both.only(1).script_command("p", &script, true));
        assert_eq!(
            (one[0].as_str(), one[1].as_str(), one[2].as_str()),
            ("EVAL", "text", "1")
        );
        assert_eq!(one[3], sent[4]);
        assert!(both.only(2).keys.iter().all(Option::is_none));
    }

    #[test]
    fn only_single_keys_are_claimed_without_a_script() {
        let claim = call(Operation::Claim);
        assert!(claim.plain_command("p", true).is_none());
        assert!(claim.only(0).plain_command("p", false).is_none());
        let sent = words(&claim.only(0).plain_command("p", true).unwrap());
        assert_eq!(sent[0], "SET");
        assert_eq!(sent[3..], ["NX", "GET", "PX", "700"]);
        assert!(call(Operation::Release).only(0).plain_command("p", true).is_none());
    }

    #[test]
    fn a_held_key_is_delivered_in_flight_or_our_own() {
        let claim = call(Operation::Claim);
        let bulk = |text: &[u8]| claim.answer(&Value::BulkString(text.to_vec()));
        assert_eq!(bulk(b"1"), Some(1));
        assert_eq!(bulk(b"another token ..."), Some(2));
        // A client of a cluster may send a claim again whose reply was lost.
        assert_eq!(bulk(b"0123456789abcdef"), Some(0));
        assert_eq!(claim.answer(&Value::Nil), Some(0));
        assert_eq!(claim.answer(&Value::Okay), None);
    }

    #[test]
    fn a_key_name_shows_its_space_and_no_text_of_the_sender() {
        let key = ReplayKey {
            space: 1,
            identity: [0xff; 32],
        };
        assert_eq!(
            key_name("hookgate", &key),
            "hookgate:AAAAAAAAAAE:_____________________w"
        );
    }
}
