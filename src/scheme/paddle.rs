//! Paddle Billing: `Paddle-Signature: ts=1671552777;h1=<hex HMAC-SHA256 of "ts:body">`.
//!
//! The official libraries disagree about several `h1`, about odd timestamps and about the future; the rules here are
//! the strict union of theirs, see `docs/schemes.md`.

use super::header::{self, Candidates};
use super::mac::{Hash, Mac, Tag};
use super::time;
use crate::outcome::Rejection;
use bytes::Bytes;
use std::borrow::Cow;
use std::time::Duration;

/// Paddle's own tolerance.
pub(super) const TOLERANCE: Duration = Duration::from_secs(5);

/// What a `Paddle-Signature` header says.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) candidates: Candidates,
    pub(super) seconds: u64,
    /// The literal digits and a colon: what is signed before the body.
    prefix: [u8; 16],
    prefix_len: usize,
}

impl Claim {
    /// What is signed before the body: the digits as they were received, never the number printed again.
    pub(super) fn prefix(&self) -> &[u8] {
        self.prefix.get(..self.prefix_len).unwrap_or_default()
    }
}

/// Reads the header.
pub(super) fn read(text: &str) -> Result<Claim, Rejection> {
    let mut candidates = Candidates::default();
    let mut digits = None;
    for field in header::fields(text, ';') {
        match field? {
            ("ts", _) if digits.is_some() => return Err(Rejection::SignatureMalformed),
            ("ts", value) => digits = Some(value),
            ("h1", value) => {
                let mut bytes = [0; Hash::Sha256.len()];
                header::hex_lower(value, &mut bytes).ok_or(Rejection::SignatureMalformed)?;
                candidates.push(Tag::new(&bytes))?;
            }
            _ => {}
        }
    }
    let digits = digits.ok_or(Rejection::SignatureMalformed)?;
    let seconds = time::seconds(digits).ok_or(Rejection::SignatureMalformed)?;
    if candidates.is_empty() {
        return Err(Rejection::SignatureMalformed);
    }
    let mut prefix = [0; 16];
    for (to, byte) in prefix.iter_mut().zip(digits.bytes().chain([b':'])) {
        *to = byte;
    }
    Ok(Claim {
        candidates,
        seconds,
        prefix,
        prefix_len: digits.len() + 1,
    })
}

/// The header's value for a body.
pub(super) fn sign(macs: &[&Mac], body: &[u8], now: u64) -> Option<String> {
    let digits = now.to_string();
    time::seconds(&digits)?;
    let mut value = format!("ts={digits}");
    for mac in macs {
        let mut mac = Mac::clone(mac);
        mac.update(digits.as_bytes());
        mac.update(b":");
        mac.update(body);
        value.push_str(";h1=");
        value.push_str(&hex::encode(mac.finish().as_slice()));
    }
    Some(value)
}

/// `event_id` of the body.
pub(super) fn delivery_id(body: &[Bytes]) -> Option<Cow<'_, [u8]>> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        event_id: String,
    }
    let whole = match body {
        [one] => Cow::Borrowed(one.as_ref()),
        pieces => Cow::Owned(pieces.concat()),
    };
    let envelope: Envelope = serde_json::from_slice(&whole).ok()?;
    Some(Cow::Owned(envelope.event_id.into_bytes()))
}
