//! The scripts that the server runs: one round trip for a claim, one to settle it, each atomic over all keys of the
//! claim.
//!
//! The value of a key is the token of the claim that owns it, with a lease, or `1` after the delivery: the server
//! shares small integers, so the value of a delivered key needs no memory. The token protects settling: a claim whose
//! lease has expired must not release a key that another exchange has claimed since.

use super::super::store_metrics::StoreOperation;

/// The text of an operation's script.
///
/// - claim: arguments are token and lease (ms). It returns 0 if the keys were claimed; otherwise `2 i - 1` if key i
///   (from 1) was delivered before, and `2 i` if it is in flight. Delivered keys are looked for first, because they are
///   final.
/// - commit: arguments are the token, then for each key how long it is remembered (ms). It returns the number of keys
///   that this claim owned or that no claim owned.
/// - release: the argument is the token. It returns the number of keys that this claim owned.
pub(super) const fn text(operation: StoreOperation) -> &'static str {
    match operation {
        StoreOperation::Claim => {
            "local busy = 0
for i, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  if held == '1' then return 2 * i - 1 end
  if held and busy == 0 then busy = 2 * i end
end
if busy > 0 then return busy end
for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
return 0"
        }
        // After the lease has expired the key does not exist; the delivery is recorded all the same.
        StoreOperation::Commit => {
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
        StoreOperation::Release => {
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
pub(super) const fn flags(operation: StoreOperation) -> &'static str {
    match operation {
        StoreOperation::Commit | StoreOperation::Release => "#!lua flags=allow-oom\n",
        StoreOperation::Claim => "#!lua\n",
    }
}
