//! The step `key`: gives a request the fetched key that its signature names. Only routes whose scheme fetches keys have it.

use crate::outcome::Rejection;
use crate::remote::keyring::Source;
use crate::scheme::{Aged, WantedKey};
use bytes::Bytes;

/// Takes the keys from the key ring, or waits once for a bounded fetch of each. `body` is `None` before it has arrived: a
/// request whose body names the key passes then, and is asked again. A request that was refused before stays refused.
pub(super) async fn with_key(
    aged: Result<Aged, Rejection>,
    keys: &Source,
    body: Option<&[Bytes]>,
    now_unix: u64,
) -> Result<Aged, Rejection> {
    let mut aged = aged?;
    loop {
        match aged.wanted_key(body)? {
            WantedKey::None | WantedKey::InBody => return Ok(aged),
            WantedKey::Id(id) => aged.use_key(keys.key(&id, now_unix).await?),
        }
    }
}
