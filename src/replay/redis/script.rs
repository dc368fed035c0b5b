//! The scripts that the server runs: one round trip for a claim, one to settle it, each atomic over all its keys.
//!
//! The value of a key is the token of the claim that owns it, with a lease, or `1` after the delivery: the server
//! shares small integers, so the value of a delivered key needs no memory. The token protects settling: a claim whose
//! lease has expired must not release a key that another exchange has claimed since.

use super::super::store_metrics::StoreOperation;
use sha1::{Digest as _, Sha1};

/// What a call does with its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Claims all keys or none.
    Claim,
    /// Reads one key and changes nothing.
    Look,
    /// Records the delivery.
    Commit,
    /// Gives the keys back.
    Release,
}

impl Operation {
    /// The label in the metrics.
    pub(super) const fn metric(self) -> StoreOperation {
        match self {
            Self::Claim | Self::Look => StoreOperation::Claim,
            Self::Commit => StoreOperation::Commit,
            Self::Release => StoreOperation::Release,
        }
    }
}

/// A script of one operation.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// What the server runs.
    pub(super) text: String,
    /// The hash by which the server knows it once it is loaded.
    pub(super) hash: String,
}

/// The operations that have a script, in the order of [`all`].
pub(super) const OPERATIONS: [Operation; 3] = [Operation::Claim, Operation::Commit, Operation::Release];

/// The scripts; `with_flags` for servers from 7.0.
pub(super) fn all(with_flags: bool) -> [Script; OPERATIONS.len()] {
    OPERATIONS.map(|operation| {
        let text = if with_flags {
            [flags(operation), text(operation)].concat()
        } else {
            text(operation).to_owned()
        };
        let hash = hex::encode(Sha1::digest(&text));
        Script { text, hash }
    })
}

/// The text of an operation's script; looking at a key needs none.
///
/// - claim: arguments are token and lease (ms). It returns 0 if the keys were claimed; otherwise `2 i - 1` if key i
///   (from 1) was delivered before, and `2 i` if it is in flight. Delivered keys are looked for first, because they are
///   final. A key with the same token is our own: the command was sent twice.
/// - commit: arguments are the token, then for each key how long it is remembered (ms). It returns the number of keys
///   that this claim owned or that no claim owned.
/// - release: the argument is the token. It returns the number of keys that this claim owned.
const fn text(operation: Operation) -> &'static str {
    match operation {
        Operation::Look => "",
        Operation::Claim => {
            "local busy = 0
for i, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  if held == '1' then return 2 * i - 1 end
  if held and held ~= ARGV[1] and busy == 0 then busy = 2 * i end
end
if busy > 0 then return busy end
for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
return 0"
        }
        // After the lease has expired the key does not exist; the delivery is recorded all the same.
        Operation::Commit => {
            "local kept = 0
for i, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  if not held or held == ARGV[1] then
    redis.call('SET', key, '1', 'PX', ARGV[i + 1])
    kept = kept + 1
  end
end
return kept"
        }
        Operation::Release => {
            "local gone = 0
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then gone = gone + redis.call('DEL', key) end
end
return gone"
        }
    }
}

/// The first line of a script on servers from 7.0: a delivery must be recorded even if the server has no memory left,
/// and its value needs less memory than the token that it replaces.
const fn flags(operation: Operation) -> &'static str {
    match operation {
        Operation::Commit | Operation::Release => "#!lua flags=allow-oom\n",
        Operation::Claim | Operation::Look => "#!lua\n",
    }
}
