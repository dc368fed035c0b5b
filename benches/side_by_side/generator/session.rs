//! One TLS connection to a contender: writes a request and reads its answer, with as few system calls as possible.

use super::http2::Http2;
use crate::Result;
use crate::upstream::{content_length, find};
use mio::net::TcpStream;
use mio::{Interest, Poll, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

/// Bytes that rustls reads from the socket at a time. A shorter read has emptied the socket.
const READ_BYTES: usize = 4096;

/// State of a session after an event.
pub enum Progress {
    /// There is nothing to do.
    Pending,
    /// The handshake is complete; the first request may be sent.
    Ready,
    /// The answer to the request is complete.
    Answered(u16),
    /// The contender closed the connection.
    Closed,
}

/// What the TLS handshake negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Protocol version and cipher suite.
    pub cipher: String,
    /// Key exchange group.
    pub curve: String,
    /// Application protocol.
    pub alpn: String,
}

/// A connection and the answer for which it waits.
pub struct Session {
    stream: TcpStream,
    tls: ClientConnection,
    ready: bool,
    /// Whether a request was sent and its answer has not arrived.
    pub waiting: bool,
    answer: Vec<u8>,
    body: Vec<u8>,
    closing: bool,
    /// `None` for HTTP/1.1.
    http2: Option<Http2>,
}

impl Session {
    /// Starts to connect; events of this session have `token`.
    pub fn open(poll: &Poll, token: usize, address: SocketAddr, config: &Arc<ClientConfig>) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        poll.registry()
            .register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
        let name = ServerName::try_from("hooks.example.com")?;
        let mut tls = ClientConnection::new(config.clone(), name)?;
        tls.set_buffer_limit(None);
        Ok(Self {
            stream,
            tls,
            ready: false,
            waiting: false,
            answer: Vec::new(),
            body: Vec::new(),
            closing: false,
            http2: config
                .alpn_protocols
                .iter()
                .any(|name| name == b"h2")
                .then(Http2::default),
        })
    }

    /// Writes a request, whose first slice is the head in HTTP/1.1; `advance` returns its answer.
    pub fn send(&mut self, request: &[IoSlice<'_>]) -> Result<()> {
        self.waiting = true;
        self.answer.clear();
        if let (Some(http2), [head, body @ ..]) = (&mut self.http2, request) {
            let mut frames = Vec::with_capacity(4096);
            http2.request(head, body, &mut frames)?;
            self.tls.writer().write_all(&frames)?;
            return self.flush();
        }
        let wanted: usize = request.iter().map(|slice| slice.len()).sum();
        let taken = self.tls.writer().write_vectored(request)?;
        if taken != wanted {
            return Err("TLS took only a part of the request".into());
        }
        self.flush()
    }

    /// Reads from the socket and writes pending TLS data.
    pub fn advance(&mut self) -> Result<Progress> {
        self.flush()?;
        loop {
            let got = match self.tls.read_tls(&mut self.stream) {
                Ok(0) => return Ok(Progress::Closed),
                Ok(n) => n,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(Progress::Pending);
                }
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Ok(Progress::Closed);
                }
                Err(e) => return Err(e.into()),
            };
            let state = self.tls.process_new_packets()?;
            if self.tls.wants_write() {
                self.flush()?;
            }
            if state.plaintext_bytes_to_read() > 0 {
                let before = self.answer.len();
                self.answer.resize(before + state.plaintext_bytes_to_read(), 0);
                self.tls.reader().read_exact(&mut self.answer[before..])?;
                if let Some(status) = self.complete()? {
                    self.waiting = false;
                    self.closing |= state.peer_has_closed();
                    return Ok(Progress::Answered(status));
                }
            }
            if state.peer_has_closed() {
                return Ok(Progress::Closed);
            }
            if !self.ready && !self.tls.is_handshaking() {
                self.ready = true;
                return Ok(Progress::Ready);
            }
            if got < READ_BYTES {
                return Ok(Progress::Pending);
            }
        }
    }

    /// Whether the handshake is complete.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether the contender announced that it closes after this answer.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Cipher suite, curve and protocol of this connection; the handshake must have been a full one.
    pub fn agreed(&self) -> Result<Agreed> {
        if self.tls.handshake_kind() != Some(HandshakeKind::Full) {
            return Err("the handshake was not a full one".into());
        }
        Ok(Agreed {
            cipher: format!(
                "{:?}",
                self.tls.negotiated_cipher_suite().ok_or("no cipher suite")?.suite()
            ),
            curve: format!(
                "{:?}",
                self.tls
                    .negotiated_key_exchange_group()
                    .ok_or("no key exchange")?
                    .name()
            ),
            alpn: String::from_utf8_lossy(self.tls.alpn_protocol().unwrap_or(b"none")).into_owned(),
        })
    }

    /// The leaf certificate that the contender sent, in DER.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.tls.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// Sends close_notify and closes the connection.
    pub fn close(mut self) {
        self.tls.send_close_notify();
        // The contender may have closed the connection already.
        let _ = self.flush();
    }

    fn flush(&mut self) -> Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                // The next read returns the remaining data and then the end of the connection.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// The status, when `answer` is complete.
    fn complete(&mut self) -> Result<Option<u16>> {
        if let Some(http2) = &mut self.http2 {
            let mut frames = Vec::new();
            let response = http2.receive(&self.answer, &mut frames)?;
            self.answer.clear();
            self.closing |= http2.closing;
            self.tls.writer().write_all(&frames)?;
            self.flush()?;
            return Ok(response.map(|response| {
                self.body = response.body;
                response.status
            }));
        }
        let Some(end) = find(&self.answer, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = &self.answer[..end];
        let length = content_length(head)?;
        if self.answer.len() < end + 4 + length {
            return Ok(None);
        }
        let status = std::str::from_utf8(head.get(9..12).ok_or("a status line is missing")?)?.parse()?;
        self.closing = head
            .to_ascii_lowercase()
            .windows(17)
            .any(|window| window == b"connection: close");
        self.body.clear();
        self.body.extend_from_slice(&self.answer[end + 4..]);
        Ok(Some(status))
    }
}
