//! Reads HTTP/1 messages from a stream, independently of hyper, and keeps every raw byte.

use std::io::{self, ErrorKind, Read};

/// The head and body of one message as read, with the raw bytes of both.
#[derive(Clone, Default)]
pub(crate) struct Message {
    /// Request or status line, without its line end.
    pub(crate) start: String,
    /// In order, names as sent, values without surrounding spaces.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// Without chunk framing.
    pub(crate) body: Vec<u8>,
    /// Head and body exactly as received, chunk framing included.
    pub(crate) raw: Vec<u8>,
    /// Whether the body was received to the end that its framing announced.
    pub(crate) complete: bool,
}

impl std::fmt::Debug for Message {
    /// The raw bytes as text, as far as a failed test needs them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.raw.get(..1500).unwrap_or(&self.raw);
        write!(
            f,
            "{:?} ({} bytes, complete: {})",
            String::from_utf8_lossy(shown),
            self.raw.len(),
            self.complete
        )
    }
}

impl Message {
    /// All values of a header; the case of the name is ignored.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let same = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        same.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// The only value of a header; panics when there are several.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut all = self.all(name);
        assert!(
            all.len() < 2,
            "{name} is there {} times in {:?}",
            all.len(),
            self.headers
        );
        all.pop()
    }
}

/// A stream with the bytes that were read after the last message.
pub(crate) struct Reader<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl<S: Read> Reader<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Bytes received that belong to no message yet.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads until the pending bytes contain `bytes`.
    pub(crate) fn peek_until(&mut self, bytes: &[u8]) -> io::Result<()> {
        while !self.buffer.windows(bytes.len()).any(|window| window == bytes) {
            self.fill_or_fail()?;
        }
        Ok(())
    }

    /// Exactly `length` bytes.
    pub(crate) fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        self.take(length, &mut Message::default())
    }

    /// Reads some more bytes; fails at the end.
    pub(crate) fn peek(&mut self) -> io::Result<()> {
        self.fill_or_fail()
    }

    /// Reads one head. `None` is a clean end before its first byte; an end inside it is an error.
    pub(crate) fn head(&mut self) -> io::Result<Option<Message>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if self.fill()? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
        };
        let raw: Vec<u8> = self.buffer.drain(..end).collect();
        let text = &raw[..end - 4];
        let mut lines = text
            .split(|&b| b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let start = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let headers = lines
            .map(|line| {
                let colon = line.iter().position(|&b| b == b':').ok_or(ErrorKind::InvalidData)?;
                let value = line[colon + 1..].trim_ascii().to_vec();
                Ok((String::from_utf8_lossy(&line[..colon]).into_owned(), value))
            })
            .collect::<io::Result<_>>()?;
        Ok(Some(Message {
            start,
            headers,
            raw,
            ..Message::default()
        }))
    }

    /// Reads the body of `message` as its headers frame it; without framing headers, `to_end` says whether it lasts
    /// until the end of the stream.
    pub(crate) fn body(&mut self, message: &mut Message, to_end: bool) -> io::Result<()> {
        if message
            .header("Transfer-Encoding")
            .is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
        {
            while self.chunk(message)? {}
        } else if let Some(length) = message.header("Content-Length") {
            let length = length.parse().map_err(|_| ErrorKind::InvalidData)?;
            let piece = self.take(length, message)?;
            message.body = piece;
        } else if to_end {
            while self.fill()? > 0 {}
            let rest = std::mem::take(&mut self.buffer);
            message.raw.extend_from_slice(&rest);
            message.body = rest;
        }
        message.complete = true;
        Ok(())
    }

    /// Reads one chunk; false after the last one and its trailers.
    fn chunk(&mut self, message: &mut Message) -> io::Result<bool> {
        let line = self.line(message)?;
        let size = line.split(|&b| b == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(size)
            .ok()
            .and_then(|s| usize::from_str_radix(s.trim(), 16).ok());
        let size = size.ok_or(ErrorKind::InvalidData)?;
        if size == 0 {
            while !self.line(message)?.is_empty() {}
            return Ok(false);
        }
        let piece = self.take(size, message)?;
        message.body.extend_from_slice(&piece);
        if !self.line(message)?.is_empty() {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(true)
    }

    /// A line without its CRLF; the raw bytes get it with the CRLF.
    fn line(&mut self, message: &mut Message) -> io::Result<Vec<u8>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                break at;
            }
            self.fill_or_fail()?;
        };
        let line = self.take(end + 2, message)?;
        Ok(line[..end].to_vec())
    }

    /// Exactly `length` bytes, added to the raw bytes. Bytes before an early end are kept in the message.
    fn take(&mut self, length: usize, message: &mut Message) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if let Err(error) = self.fill_or_fail() {
                message.raw.extend_from_slice(&self.buffer);
                message.body.append(&mut self.buffer);
                return Err(error);
            }
        }
        let piece: Vec<u8> = self.buffer.drain(..length).collect();
        message.raw.extend_from_slice(&piece);
        Ok(piece)
    }

    fn fill_or_fail(&mut self) -> io::Result<()> {
        if self.fill()? == 0 {
            Err(ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 65536];
        loop {
            match self.stream.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // rustls reports a peer that closed without close_notify; the framing of HTTP decides whether that is
                // early.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
                Ok(read) => {
                    self.buffer.extend_from_slice(&piece[..read]);
                    return Ok(read);
                }
            }
        }
    }
}
