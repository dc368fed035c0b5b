//! The requests that the generator sends: Paddle webhooks, each with a different body and its own signature.
//!
//! A signature is stale after five seconds, and a replay guard refuses a repeated request, so every request contains a counter. The
//! counter is at the end of the body. The MAC state of everything before it is computed once a second and cloned, so that signing takes
//! a fraction of a microsecond for any body size.

use crate::Result;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::IoSlice;
use std::time::{SystemTime, UNIX_EPOCH};

/// The signing secret of every contender.
pub const SECRET: &str = "pdl_ntfset_01hbench_q7+ZkJx/5nVwY2s8uT4eR1mC";

/// The path of the webhooks.
pub const PATH: &str = "/webhooks/paddle";

const OPENING: &str =
    r#"{"event_id":"evt_01hv8x29kz0t586xy6zn1a62ny","event_type":"transaction.completed","data":{"filler":""#;
const BEFORE_COUNTER: &str = r#"","counter":""#;
const COUNTER_DIGITS: usize = 16;
const CLOSING: &str = r#""}}"#;

/// Whether a request is genuine, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Genuine.
    Signed,
    /// Signed, then one byte of the body changed.
    Tampered,
    /// Signed correctly, with a timestamp of a minute ago.
    Stale,
    /// No signature header.
    Unsigned,
}

/// Generates the requests of one row, one after the other.
pub struct Webhooks {
    request_kind: RequestKind,
    keyed: Hmac<Sha256>,
    /// MAC state after `ts:` and the body up to the counter.
    midstate: Hmac<Sha256>,
    /// The second that `midstate` and `head` are signed for.
    second: u64,
    head: Vec<u8>,
    /// Position of the 64 hex digits of `h1` in `head`; `None` without a signature.
    digest_at: Option<usize>,
    body: Vec<u8>,
    tail: [u8; COUNTER_DIGITS + CLOSING.len()],
    counter: u64,
}

impl Webhooks {
    /// Requests with bodies of `body_bytes` bytes.
    ///
    /// # Errors
    /// When the size is too small for the JSON around the filler.
    pub fn new(body_bytes: usize, request_kind: RequestKind) -> Result<Self> {
        let fixed = OPENING.len() + BEFORE_COUNTER.len() + COUNTER_DIGITS + CLOSING.len();
        let filler = body_bytes
            .checked_sub(fixed)
            .ok_or("the body is too small for its envelope")?;
        let mut body = Vec::with_capacity(body_bytes);
        body.extend_from_slice(OPENING.as_bytes());
        body.extend((0..filler).map(|i| b"abcdefghijklmnopqrstuvwxyz012345"[(i * 7 + i / 31) % 32]));
        body.extend_from_slice(BEFORE_COUNTER.as_bytes());
        let keyed = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
        let mut tail = [0; COUNTER_DIGITS + CLOSING.len()];
        tail[COUNTER_DIGITS..].copy_from_slice(CLOSING.as_bytes());
        // Two instances for one contender must not use the same counter within one second.
        let counter = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64;
        Ok(Self {
            request_kind,
            midstate: keyed.clone(),
            keyed,
            second: 0,
            head: Vec::new(),
            digest_at: None,
            body,
            tail,
            counter,
        })
    }

    /// The same with counters of lane `lane`, which no other lane uses.
    pub const fn in_lane(mut self, lane: u64) -> Self {
        self.counter += lane * 10_000_000_000_000;
        self
    }

    /// Signs for the current second. The caller calls this once for each batch of events, not for each request.
    pub fn refresh(&mut self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        if now == self.second {
            return Ok(());
        }
        self.second = now;
        let signed_for = if self.request_kind == RequestKind::Stale {
            now - 7_200
        } else {
            now
        };
        self.midstate = self.keyed.clone();
        self.midstate.update(format!("{signed_for}:").as_bytes());
        self.midstate.update(&self.body);
        let length = self.body.len() + self.tail.len();
        let mut head =
            format!("POST {PATH} HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: Paddle\r\nAccept: */*\r\n");
        self.digest_at = None;
        if self.request_kind != RequestKind::Unsigned {
            head.push_str(&format!("Paddle-Signature: ts={signed_for};h1="));
            self.digest_at = Some(head.len());
            head.push_str(&"0".repeat(64));
            head.push_str("\r\n");
        }
        head.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        ));
        self.head = head.into_bytes();
        Ok(())
    }

    /// The next request, as three slices for one vectored write.
    pub fn next(&mut self) -> Result<[IoSlice<'_>; 3]> {
        self.counter += 1;
        let mut rest = self.counter;
        for digit in self.tail[..COUNTER_DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        if let Some(at) = self.digest_at {
            let mut mac = self.midstate.clone();
            mac.update(&self.tail);
            hex::encode_to_slice(mac.finalize().into_bytes(), &mut self.head[at..at + 64])?;
        }
        if self.request_kind == RequestKind::Tampered {
            self.tail[0] ^= 1;
        }
        Ok([
            IoSlice::new(&self.head),
            IoSlice::new(&self.body),
            IoSlice::new(&self.tail),
        ])
    }

    /// The next request in one piece, for the check before the measurement.
    pub fn next_whole(&mut self) -> Result<Vec<u8>> {
        self.refresh()?;
        Ok(self.next()?.iter().flat_map(|slice| slice.iter().copied()).collect())
    }
}
