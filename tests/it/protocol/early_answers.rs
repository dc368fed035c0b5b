//! Answers over HTTP/2 that the gateway sends before it has read the body: the rest of the body is discarded within a
//! bound, and the stream is reset only after that. `clients` shows the same with real clients.

use crate::support::frames::{
    self, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::support::{Client, Gateway, Setup, Upstream, Webhook, assert_invariants};
use std::time::{Duration, Instant};

/// The most bytes that are discarded of one stream, and how long.
const MOST_BYTES: usize = 1024 * 1024;
const LONGEST: Duration = Duration::from_secs(2);
/// Sent in one DATA frame.
const PIECE_BYTES: usize = 16 * 1024;
const ACK: u8 = 1;

/// A sender that respects flow control, with its body on stream 1.
struct Sender {
    client: Client,
    connection_window: usize,
    stream_window: usize,
    /// Whether the answer has arrived completely.
    is_answered: bool,
    /// The error code of RST_STREAM.
    reset: Option<u32>,
}

impl Sender {
    /// Sends the head of a request that is refused for its signature.
    fn unsigned(gateway: &Gateway) -> Self {
        let mut client = frames::connect(gateway);
        let head = frames::hpack(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":path", &Webhook::new("").path),
            (":authority", "localhost"),
        ]);
        client.send(&frames::frame(HEADERS, END_HEADERS, 1, &head));
        Self {
            client,
            connection_window: 65_535,
            stream_window: 65_535,
            is_answered: false,
            reset: None,
        }
    }

    fn read_frame(&mut self) -> Frame {
        let frame = frames::read_until(&mut self.client, |_| true).expect("the connection stays open");
        let number = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
        match (frame.kind, frame.stream) {
            (WINDOW_UPDATE, 0) => self.connection_window += number(0) as usize,
            (WINDOW_UPDATE, 1) => self.stream_window += number(0) as usize,
            (SETTINGS, _) if frame.flags & ACK == 0 => {
                let window = (0..frame.payload.len())
                    .step_by(6)
                    .find(|&at| frame.payload[at..at + 2] == [0, 4]);
                let larger = number(window.expect("SETTINGS_INITIAL_WINDOW_SIZE") + 2) as usize;
                self.stream_window += larger - 65_535;
                self.client.send(&frames::frame(SETTINGS, ACK, 0, b""));
            }
            (HEADERS | DATA, 1) => self.is_answered |= frame.flags & END_STREAM != 0,
            (RST_STREAM, 1) => self.reset = Some(number(0)),
            _ => {}
        }
        frame
    }

    fn read_answer(&mut self) {
        while !self.is_answered {
            self.read_frame();
            assert_eq!(self.reset, None, "a reset before the answer");
        }
    }

    /// Sends up to this many bytes without ending the stream; fewer when the gateway resets it. Returns how many.
    fn send_body(&mut self, most_bytes: usize) -> usize {
        let mut sent = 0;
        while sent < most_bytes && self.reset.is_none() {
            if self.connection_window.min(self.stream_window) < PIECE_BYTES {
                self.read_frame();
                continue;
            }
            self.client.send(&frames::frame(DATA, 0, 1, &[b'x'; PIECE_BYTES]));
            self.connection_window -= PIECE_BYTES;
            self.stream_window -= PIECE_BYTES;
            sent += PIECE_BYTES;
        }
        sent
    }
}

#[test]
fn no_reset_follows_while_the_body_arrives() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    for bytes in [PIECE_BYTES, 100 * 1024, MOST_BYTES - PIECE_BYTES] {
        let mut sender = Sender::unsigned(&gateway);
        sender.read_answer();
        sender.send_body(bytes);
        sender.client.send(&frames::frame(DATA, END_STREAM, 1, b""));
        // The connection serves the next request.
        let webhook = Webhook::new(format!("after {bytes} bytes"));
        let head = frames::frame(HEADERS, END_HEADERS, 3, &frames::head(&webhook));
        let next = [head, frames::frame(DATA, END_STREAM, 3, &webhook.body)].concat();
        sender.client.send(&next);
        loop {
            let frame = sender.read_frame();
            if frame.stream == 3 && frame.flags & END_STREAM != 0 {
                break;
            }
        }
        assert_eq!(sender.reset, None, "after {bytes} bytes");
    }
    assert_eq!(upstream.requests().len(), 3);
    assert_invariants(&mut gateway, &upstream);
}

#[test]
fn a_body_without_end_is_cut_off() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let before = gateway.peak_resident();
    let mut sender = Sender::unsigned(&gateway);
    sender.read_answer();
    let sent = sender.send_body(64 * MOST_BYTES);
    assert_eq!(sender.reset, Some(0), "NO_ERROR, because the answer is complete");
    // What had been sent before the reset arrived is within the window of the stream.
    assert!((MOST_BYTES..2 * MOST_BYTES).contains(&sent), "{sent} bytes");
    let grown = gateway.peak_resident() - before;
    assert!(grown < 8 << 20, "memory grew by {} KiB", grown >> 10);
    upstream.assert_untouched();
    assert_invariants(&mut gateway, &upstream);
}

#[test]
fn a_sender_that_pauses_is_cut_off() {
    let upstream = Upstream::ok();
    let mut gateway = Setup::new(&upstream.url()).start();
    let started = Instant::now();
    let mut sender = Sender::unsigned(&gateway);
    sender.read_answer();
    while sender.reset.is_none() {
        sender.read_frame();
    }
    assert!(started.elapsed() >= LONGEST, "reset after {:?}", started.elapsed());
    assert_eq!(sender.reset, Some(0));
    upstream.assert_untouched();
    assert_invariants(&mut gateway, &upstream);
}
