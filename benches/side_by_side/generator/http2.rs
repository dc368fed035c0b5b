//! HTTP/2 of the client (RFC 9113): one request at a time on a connection, each on a stream of its own.
//!
//! A general library would cost the generator more than the contender. This client reads of a response what the generator asks:
//! its status, its body, and whether the connection ends.

use crate::Result;
use std::io::IoSlice;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
/// Largest payload of a frame that a server must accept without being told.
const FRAME_BYTES: usize = 16 * 1024;
/// Added to the window of the connection, which is never filled up again.
const WINDOW: u32 = 0x7fff_0000 - 65_535;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A complete response.
pub struct Response {
    /// Its status; 0 when the fields encode it in a way that this client does not read.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// One connection.
#[derive(Default)]
pub struct Http2 {
    /// The stream of the request in flight.
    stream: u32,
    received: Vec<u8>,
    status: u16,
    body: Vec<u8>,
    /// Whether the server announced that it closes.
    pub closing: bool,
}

impl Http2 {
    /// Appends the frames of a request to `out`. `head` is the request in HTTP/1.1.
    pub fn request(&mut self, head: &[u8], body: &[IoSlice<'_>], out: &mut Vec<u8>) -> Result<()> {
        if self.stream == 0 {
            out.extend_from_slice(PREFACE);
            frame(out, SETTINGS, 0, 0, &[]);
            frame(out, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
            self.stream = 1;
        } else {
            self.stream += 2;
        }
        self.status = 0;
        self.body.clear();
        frame(out, HEADERS, END_HEADERS, self.stream, &fields(head)?);
        let body: Vec<u8> = body.iter().flat_map(|slice| slice.iter().copied()).collect();
        let last = body.len().saturating_sub(1) / FRAME_BYTES;
        for (number, piece) in body.chunks(FRAME_BYTES).enumerate() {
            frame(
                out,
                DATA,
                if number == last { END_STREAM } else { 0 },
                self.stream,
                piece,
            );
        }
        Ok(())
    }

    /// Takes bytes of the server; what has to be answered is appended to `out`. Returns the response when it is complete.
    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<Response>> {
        self.received.extend_from_slice(bytes);
        let mut at = 0;
        let mut complete = false;
        while let Some(head) = self.received.get(at..at + FRAME_HEAD) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let Some(payload) = self.received.get(at + FRAME_HEAD..at + FRAME_HEAD + length) else {
                break;
            };
            match kind {
                HEADERS | DATA if stream == self.stream => {
                    if kind == DATA {
                        self.body.extend_from_slice(payload);
                    } else {
                        self.status = status(payload);
                    }
                    complete |= flags & END_STREAM != 0;
                }
                // A refusal may be followed by the end of a stream whose response is complete.
                RST_STREAM if stream == self.stream && self.status == 0 => return Err("the stream was reset".into()),
                SETTINGS if flags & ACK == 0 => frame(out, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(out, PING, ACK, 0, payload),
                GOAWAY => self.closing = true,
                _ => {}
            }
            at += FRAME_HEAD + length;
        }
        self.received.drain(..at);
        Ok(complete.then(|| Response {
            status: self.status,
            body: std::mem::take(&mut self.body),
        }))
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The fields of an HTTP/1.1 head as literals that are not indexed (RFC 7541, section 6.2.2).
fn fields(head: &[u8]) -> Result<Vec<u8>> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let path = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .ok_or("no target")?;
    // `:method: POST` and `:scheme: https` are entries of the static table.
    let mut block = vec![0x83, 0x87];
    literal(&mut block, ":path", path)?;
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").ok_or("a line without a colon")?;
        match name.to_ascii_lowercase().as_str() {
            "host" => literal(&mut block, ":authority", value)?,
            name => literal(&mut block, name, value)?,
        }
    }
    Ok(block)
}

fn literal(block: &mut Vec<u8>, name: &str, value: &str) -> Result<()> {
    block.push(0);
    for text in [name, value] {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
        block.push(length.ok_or("a field is too long for this client")?);
        block.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

/// The status of a block of fields, which begins with it; 0 when it is not encoded as servers encode 200 and 401 first.
fn status(block: &[u8]) -> u16 {
    // Changes of the table's size may come before.
    let at = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap_or(block.len());
    match &block[at..] {
        [0x88, ..] => 200,
        // `:status` by its index 8, with incremental indexing, without, or never indexed; the text raw or in Huffman's code.
        [0x48 | 0x08 | 0x18, 3, b'4', b'0', b'1', ..] | [0x48 | 0x08 | 0x18, 0x82, 0x68, 0x01, ..] => 401,
        _ => 0,
    }
}
