//! The step `key`: gives a request the fetched key that its signature names. Only routes whose scheme fetches keys have it.

use crate::gateway::long_work::LongWork;
use crate::outcome::Rejection;
use crate::remote::keyring::Source;
use crate::scheme::{Aged, WantedKey};
use bytes::Bytes;

/// The longest body that is searched for the names of keys on the worker: a slow core reads that much JSON in a millisecond.
const READ_ON_WORKER_BYTES: usize = 100 * 1024;

/// Takes the keys from the key ring, or waits once for a bounded fetch of each. `body` is `None` before it has arrived: a
/// request whose body names the key passes then, and is asked again. A request that was refused before stays refused.
pub(super) async fn with_key(
    aged: Result<Aged, Rejection>,
    keys: &Source,
    body: Option<&[Bytes]>,
    now_unix: u64,
    long_work: &LongWork,
) -> Result<Aged, Rejection> {
    let mut aged = aged?;
    loop {
        let wanted = match (aged.wanted_key(None)?, body) {
            (WantedKey::InBody, Some(body)) if body.iter().map(Bytes::len).sum::<usize>() > READ_ON_WORKER_BYTES => {
                let body = body.to_vec();
                let read = move || {
                    let wanted = aged.wanted_key(Some(&body));
                    (aged, wanted)
                };
                let wanted;
                (aged, wanted) = long_work.run(read).await?;
                wanted?
            }
            (WantedKey::InBody, Some(body)) => aged.wanted_key(Some(body))?,
            (wanted, _) => wanted,
        };
        match wanted {
            WantedKey::None | WantedKey::InBody => return Ok(aged),
            WantedKey::Id(id) => aged.use_key(keys.key(&id, now_unix).await?),
        }
    }
}
