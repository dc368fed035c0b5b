//! Finds floods of HTTP/2 control frames: SETTINGS, PING, PRIORITY and frames of unknown types, which a peer may send
//! without opening a stream and which hyper answers or ignores without a limit. Counts the heads of requests too, because
//! hyper does not report the streams that it refuses itself.
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
/// The types of the frames of a head, and the flag of its last one (RFC 9113, sections 6.2 and 6.10).
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
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
    /// Complete heads of requests.
    heads: u32,
    /// The last stream that a head opened. What follows on it are trailers.
    last_stream: u32,
    /// Whether the head of a new stream is arriving.
    is_opening: bool,
    /// Whether the present frame ends a head.
    ends_head: bool,
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
            heads: 0,
            last_stream: 0,
            is_opening: false,
            ends_head: false,
        }
    }

    /// The complete heads of requests that have arrived; trailers are none.
    pub(super) const fn heads(&self) -> u32 {
        self.heads
    }

    /// Reads the next bytes. Returns whether the peer floods the connection with control frames.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip_bytes.min(bytes.len());
            self.skip_bytes -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            self.count_head();
            for (place, byte) in self.head.iter_mut().skip(self.head_bytes).zip(bytes) {
                *place = *byte;
            }
            let taken = bytes.len().min(FRAME_HEAD_BYTES - self.head_bytes);
            self.head_bytes += taken;
            bytes = bytes.get(taken..).unwrap_or_default();
            if self.head_bytes == FRAME_HEAD_BYTES {
                self.head_bytes = 0;
                let [high, middle, low, kind, flags, stream @ ..] = self.head;
                self.skip_bytes = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.note_head(kind, flags, u32::from_be_bytes(stream));
                self.count_head();
                if is_control(kind) && self.count_one() {
                    return true;
                }
            }
        }
        false
    }

    /// Notes whether a frame belongs to the head of a new stream, and whether it ends the head.
    const fn note_head(&mut self, kind: u8, flags: u8, stream: u32) {
        if kind == HEADERS && stream > self.last_stream {
            self.last_stream = stream;
            self.is_opening = true;
        }
        self.ends_head = self.is_opening && matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0;
    }

    /// Counts a head once all of its last frame has arrived.
    const fn count_head(&mut self) {
        if self.ends_head && self.skip_bytes == 0 {
            self.heads = self.heads.wrapping_add(1);
            self.is_opening = false;
            self.ends_head = false;
        }
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

    /// However the bytes are divided, and with CONTINUATION: a head counts once its last byte has arrived, and once.
    #[tokio::test(start_paused = true)]
    async fn heads_of_new_streams_are_counted_once_they_are_complete() {
        let on_stream = |kind: u8, flags: u8, stream: u8, payload: usize| {
            let mut bytes = frame(kind, payload);
            (bytes[4], bytes[8]) = (flags, stream);
            bytes
        };
        let wire = [
            on_stream(HEADERS, END_HEADERS, 1, 5),
            on_stream(0, 0, 1, 9),
            on_stream(HEADERS, END_HEADERS, 1, 3),
            on_stream(HEADERS, 0, 3, 7),
            on_stream(CONTINUATION, 0, 3, 2),
            on_stream(CONTINUATION, END_HEADERS, 3, 0),
            on_stream(HEADERS, END_HEADERS, 5, 4),
        ]
        .concat();
        for step in [1, 4, 10, wire.len()] {
            let mut frames = ControlFrames::new();
            frames.read(&[0; PREFACE_BYTES]);
            let (all_but_one, last) = wire.split_at(wire.len() - 1);
            assert!(!all_but_one.chunks(step).any(|piece| frames.read(piece)));
            assert_eq!(frames.heads(), 2, "{step}");
            frames.read(last);
            assert_eq!(frames.heads(), 3, "{step}");
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
