//! What the server runs: one round trip for a claim, one to settle it, each atomic over all keys of the claim.
//!
//! A key holds the token of the claim that owns it, with a lease, or `1` until it may be forgotten: the server
//! shares small integers, so that a delivered key costs no memory for its value. The token guards
//! settling: a claim whose lease ran out must not release what another exchange has claimed since.

use super::super::store_metrics::StoreOperation;

/// The scripts, in the order of [`StoreOperation::ALL`].
///
/// - claim: token, lease (ms). 0 when claimed; otherwise `2 i - 1` when key i (from 1) was delivered before and `2 i` when
///   it is in flight. Deliveries are looked for before anything in flight: they are final.
/// - commit: token, then for each key how long it is to be remembered (ms). How many keys were ours, or nobody's.
/// - release: token. How many keys were ours.
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
        // Of a lease that ran out nothing is left: the delivery is written down all the same.
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

/// What stands before the text where the server (7.0 and later) knows it: what was delivered must be written down even
/// when the server has no memory left, and takes less of it than the token that it replaces.
pub(super) const fn flags(operation: StoreOperation) -> &'static str {
    match operation {
        StoreOperation::Commit | StoreOperation::Release => "#!lua flags=allow-oom\n",
        StoreOperation::Claim => "#!lua\n",
    }
}
