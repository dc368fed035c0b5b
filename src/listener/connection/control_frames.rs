//! Finds floods of HTTP/2 control frames: SETTINGS, PING, PRIORITY and frames of unknown types, which a peer may send
//! without opening a stream and which hyper answers or ignores without a limit.
//!
//! Only the nine bytes before each frame are read (RFC 9113, section 4.1).

use std::time::Duration;
use tokio::time::Instant;

/// Length of the preface, which comes before the first frame, in bytes.
const PREFACE_BYTES: usize = 24;
/// Length of what precedes the payload of a frame, in bytes.
const FRAME_HEAD_BYTES: usize = 9;
/// So many control frames in less than [`FLOOD_TIME`] are a flood. No client needs one in a millisecond.
const FLOOD_FRAMES: u32 = 1_000;
/// The shortest time for [`FLOOD_FRAMES`] control frames.
const FLOOD_TIME: Duration = Duration::from_secs(10);

/// Reads the bytes of a connection as they arrive, and counts control frames.
#[derive(Debug)]
pub(super) struct ControlFrames {
    /// Bytes of the preface or of the present payload that have not arrived yet.
    skip_bytes: usize,
    /// The part of a frame's head that has arrived.
    head: [u8; FRAME_HEAD_BYTES],
    head_bytes: usize,
    /// Control frames since `since`.
    count: u32,
    /// When the count began.
    since: Instant,
}

impl ControlFrames {
    /// At the start of a connection.
    pub(super) fn new() -> Self {
        Self {
            skip_bytes: PREFACE_BYTES,
            head: [0; FRAME_HEAD_BYTES],
            head_bytes: 0,
            count: 0,
            since: Instant::now(),
        }
    }

    /// Reads the next bytes. Returns whether the peer floods the connection with control frames.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip_bytes.min(bytes.len());
            self.skip_bytes -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            for (place, byte) in self.head.iter_mut().skip(self.head_bytes).zip(bytes) {
                *place = *byte;
            }
            let taken = bytes.len().min(FRAME_HEAD_BYTES - self.head_bytes);
            self.head_bytes += taken;
            bytes = bytes.get(taken..).unwrap_or_default();
            if self.head_bytes == FRAME_HEAD_BYTES {
                self.head_bytes = 0;
                let [high, middle, low, kind, ..] = self.head;
                self.skip_bytes = u32::from_be_bytes([0, high, middle, low]) as usize;
                if is_control(kind) && self.count_one() {
                    return true;
                }
            }
        }
        false
    }

    /// Counts one control frame. The clock is read once for many of them.
    fn count_one(&mut self) -> bool {
        self.count += 1;
        if self.count < FLOOD_FRAMES {
            return false;
        }
        let now = Instant::now();
        let is_flood = now.saturating_duration_since(self.since) < FLOOD_TIME;
        (self.count, self.since) = (0, now);
        is_flood
    }
}

/// Whether a frame of this type belongs to no request: neither DATA, HEADERS, `RST_STREAM`, `WINDOW_UPDATE` nor
/// CONTINUATION. Those have limits in hyper.
const fn is_control(kind: u8) -> bool {
    !matches!(kind, 0 | 1 | 3 | 8 | 9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap_or(0).to_be_bytes();
        let mut bytes = length.get(1..).unwrap_or_default().to_vec();
        bytes.extend([kind, 0, 0, 0, 0, 0]);
        bytes.extend(vec![6; payload]);
        bytes
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_control_frames_in_ten_seconds_are_a_flood_however_they_are_divided() {
        let ping = frame(6, 8).repeat(FLOOD_FRAMES as usize);
        for step in [1, 7, 9, 17, 4096] {
            let mut frames = ControlFrames::new();
            assert!(!frames.read(&[0; PREFACE_BYTES]));
            let mut floods = ping.chunks(step).map(|piece| frames.read(piece));
            assert!(floods.any(|is_flood| is_flood), "{step}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_control_frames_and_the_frames_of_requests_are_no_flood() {
        let mut frames = ControlFrames::new();
        frames.read(&[0; PREFACE_BYTES]);
        for kind in [0, 1, 3, 8, 9] {
            assert!(!frames.read(&frame(kind, 4).repeat(3000)), "{kind}");
        }
        for _ in 0..5000 {
            assert!(!frames.read(&frame(6, 8)));
            advance(Duration::from_millis(11)).await;
        }
    }
}
