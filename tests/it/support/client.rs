//! A blocking HTTP/1 client that sends exactly the bytes it is given, over TCP, TLS or a Unix socket.

use super::certificates;
use super::message::{Message, Reader};
use super::wait::WAIT_TIMEOUT;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A stream in both directions; reads fail after [`WAIT_TIMEOUT`] instead of blocking for ever.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixStream),
}

/// One connection to the gateway.
pub(crate) struct Client {
    reader: Reader<Stream>,
}

/// An answer, with the statuses of the 1xx answers before it.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) informational: Vec<u16>,
    pub(crate) message: Message,
}

impl Client {
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        Self::tcp_on(TcpStream::connect(address).unwrap())
    }

    /// The same on a connection of the test.
    pub(crate) fn tcp_on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
        Self {
            reader: Reader::new(Stream::Tcp(stream)),
        }
    }

    /// TLS with `name` as SNI, trusting `certificate` only, offering `http/1.1`.
    pub(crate) fn tls(address: SocketAddr, name: &str, certificate: &CertificateDer<'static>) -> Self {
        Self::tls_offering(address, name, certificate, "http/1.1")
    }

    /// The same, offering the protocol `alpn`.
    pub(crate) fn tls_offering(
        address: SocketAddr,
        name: &str,
        certificate: &CertificateDer<'static>,
        alpn: &str,
    ) -> Self {
        Self::try_tls(address, name, certificates::client(certificate, &[alpn])).unwrap()
    }

    /// The same with a configuration of the test; an error means that the handshake failed.
    pub(crate) fn try_tls(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        Self::try_tls_on(TcpStream::connect(address)?, name, config)
    }

    /// The same on a connection of the test.
    pub(crate) fn try_tls_on(stream: TcpStream, name: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(config, name).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self {
            reader: Reader::new(Stream::Tls(Box::new(stream))),
        })
    }

    /// The certificate that the gateway presented.
    pub(crate) fn server_certificate(&self) -> CertificateDer<'static> {
        let Stream::Tls(stream) = &self.reader.stream else {
            panic!("not a TLS connection");
        };
        stream.conn.peer_certificates().unwrap()[0].clone()
    }

    pub(crate) fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(WAIT_TIMEOUT)).unwrap();
        Self {
            reader: Reader::new(Stream::Unix(stream)),
        }
    }

    /// Sends bytes; an error means that the gateway closed first.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.stream.write_all(bytes)?;
        self.reader.stream.flush()
    }

    /// The same; fails when the gateway reads nothing for `timeout`.
    pub(crate) fn try_send_within(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<()> {
        self.socket(
            |stream| stream.set_write_timeout(Some(timeout)),
            |stream| stream.set_write_timeout(Some(timeout)),
        );
        self.try_send(bytes)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// Sends a whole request and reads its answer. A gateway that refuses early may close while the client still sends:
    /// only the answer matters.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Response {
        let sent = self.try_send(request);
        match self.try_response(request.starts_with(b"HEAD ")) {
            Ok(response) => response,
            Err(error) => panic!("no answer: {error} (sending: {sent:?})"),
        }
    }

    /// The same for a gateway that may close the connection without an answer.
    pub(crate) fn try_exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.try_send(request)?;
        self.try_response(false)
    }

    pub(crate) fn response(&mut self) -> Response {
        self.try_response(false).unwrap()
    }

    /// Reads one answer; a close before it is an `UnexpectedEof`.
    pub(crate) fn try_response(&mut self, to_head: bool) -> io::Result<Response> {
        let (mut message, result, status, informational) = self.partial_response(to_head)?;
        message.complete = result.is_ok();
        result?;
        Ok(Response {
            status,
            informational,
            message,
        })
    }

    /// Reads one answer and keeps the received part when it is cut off: the message, and how reading its body ended.
    pub(crate) fn partial_response(&mut self, to_head: bool) -> io::Result<(Message, io::Result<()>, u16, Vec<u16>)> {
        let mut informational = Vec::new();
        loop {
            let Some(mut message) = self.reader.head()? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let status: u16 = message
                .start
                .split(' ')
                .nth(1)
                .and_then(|s| s.parse().ok())
                .expect("a status line");
            if status < 200 {
                informational.push(status);
                continue;
            }
            let bodiless = to_head || status == 204 || status == 304;
            let result = if bodiless {
                Ok(())
            } else {
                self.reader.body(&mut message, true)
            };
            return Ok((message, result, status, informational));
        }
    }

    /// Reads until `bytes` have arrived, and leaves them to be read.
    pub(crate) fn wait_for(&mut self, bytes: &[u8]) {
        self.reader.peek_until(bytes).unwrap();
    }

    /// Reads until the gateway closes; returns the bytes, and whether it closed cleanly (no reset, no timeout).
    pub(crate) fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut rest = self.reader.pending().to_vec();
        let result = self.reader.stream.read_to_end(&mut rest).map(drop);
        (rest, result)
    }

    /// Whether the gateway has closed: true on an end or a reset, false when nothing arrives within `timeout`.
    pub(crate) fn closed_within(&mut self, timeout: Duration) -> bool {
        self.set_timeout(timeout);
        let mut piece = [0; 4096];
        loop {
            match self.reader.stream.read(&mut piece) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }

    /// Exactly `length` bytes; `None` when the gateway closed before.
    pub(crate) fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        self.reader.exactly(length).ok()
    }

    /// Waits 20 ms; returns whether anything arrived from the gateway: an answer, an end or a reset.
    pub(crate) fn receives_anything(&mut self) -> bool {
        self.set_timeout(Duration::from_millis(20));
        let stirred = match self.reader.peek() {
            Ok(()) => true,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        };
        self.set_timeout(WAIT_TIMEOUT);
        stirred
    }

    /// Sets how long each read waits.
    pub(crate) fn set_timeout(&self, timeout: Duration) {
        self.socket(
            |stream| stream.set_read_timeout(Some(timeout)),
            |stream| stream.set_read_timeout(Some(timeout)),
        );
    }

    /// Ends the sending direction, and keeps reading. A gateway that has closed already is no error.
    pub(crate) fn finish_sending(&mut self) {
        let ended = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other,
        };
        self.socket(
            |stream| ended(stream.shutdown(Shutdown::Write)),
            |stream| ended(stream.shutdown(Shutdown::Write)),
        );
    }

    /// Closes with a reset: unsent and unread bytes are lost, as when a machine crashes.
    pub(crate) fn reset(self) {
        self.socket(
            |stream| socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            |stream| stream.shutdown(Shutdown::Both),
        );
    }

    fn socket(&self, tcp: impl FnOnce(&TcpStream) -> io::Result<()>, unix: impl FnOnce(&UnixStream) -> io::Result<()>) {
        match &self.reader.stream {
            Stream::Tcp(stream) => tcp(stream),
            Stream::Tls(stream) => tcp(&stream.sock),
            Stream::Unix(stream) => unix(stream),
        }
        .unwrap();
    }
}

impl Response {
    /// The `reason` of a refusal's problem document; panics when the answer is not one.
    pub(crate) fn reason(&self) -> String {
        assert_eq!(
            self.header("Content-Type").as_deref(),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(
            problem["title"].as_str().is_some_and(|title| !title.is_empty()),
            "{problem}"
        );
        problem["reason"].as_str().unwrap().to_owned()
    }
}

impl Deref for Response {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
        }
    }
}
