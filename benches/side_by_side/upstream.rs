//! The protected application: it answers every request with a fixed 200, and counts the requests of each listener.
//!
//! It runs in the generator's thread and is polled without ever sleeping. If it slept, a contender's write would have to wake a process on
//! another core. That costs more than the rest of the write, and how often it happens would depend on the contender's speed. The upstream
//! must use very little CPU, or the generator's core becomes the bottleneck. So the kernel discards bodies (`MSG_TRUNC`), unless a
//! listener records, as the check before the measurement does.

use crate::Result;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};
use rustix::net::RecvFlags;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// The first token of connections; those below are of listeners.
const CONNECTIONS: usize = 1 << 20;

/// Buffer for the head of a request; far larger than any head here.
const HEAD_BYTES: usize = 16 * 1024;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

/// What one listener has received.
#[derive(Default)]
pub struct Received {
    /// Number of answered requests.
    pub requests: u64,
    /// Whether to keep whole requests and put their number into the answer.
    pub recording: bool,
    /// The last request, head and body, while recording.
    pub last: Vec<u8>,
}

/// The application, with one listener for each contender.
pub struct Upstream {
    poll: Poll,
    events: Events,
    /// By token, with the index of the listener whose requests these are.
    listeners: Vec<(Listener, usize)>,
    /// What each listener has received, by its index.
    pub received: Vec<Received>,
    connections: Vec<Option<Connection>>,
    scratch: Vec<u8>,
}

/// Where the application listens.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// The next connection that waits, if there is one.
    fn accept(&self) -> Result<Option<Stream>> {
        let accepted = match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        };
        match accepted {
            Ok(Stream::Tcp(stream)) => {
                stream.set_nodelay(true)?;
                Ok(Some(Stream::Tcp(stream)))
            }
            Ok(stream) => Ok(Some(stream)),
            Err(_) => Ok(None),
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn source(&mut self) -> &mut dyn mio::event::Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Connection {
    stream: Stream,
    listener: usize,
    head: Vec<u8>,
    /// Body bytes that have not arrived yet.
    remaining: usize,
    in_body: bool,
}

impl Upstream {
    /// Listens on `count` ports that the system chooses.
    pub fn new(count: usize) -> Result<Self> {
        let mut upstream = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            listeners: Vec::new(),
            received: (0..count).map(|_| Received::default()).collect(),
            connections: Vec::new(),
            scratch: vec![0; 1024 * 1024],
        };
        for index in 0..count {
            upstream.listen_also(index, "127.0.0.1:0".parse()?)?;
        }
        Ok(upstream)
    }

    /// Port of one listener.
    pub fn port(&self, listener: usize) -> Result<u16> {
        match &self.listeners[listener].0 {
            Listener::Tcp(listener) => Ok(listener.local_addr()?.port()),
            Listener::Unix(_) => Err("a Unix socket has no port".into()),
        }
    }

    /// Listens on a further address for `listener`.
    pub fn listen_also(&mut self, listener: usize, address: SocketAddr) -> Result<()> {
        let mut socket = TcpListener::bind(address)?;
        let token = Token(self.listeners.len());
        self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
        self.listeners.push((Listener::Tcp(socket), listener));
        Ok(())
    }

    /// Listens on a Unix socket for `listener`.
    pub fn listen_on_socket(&mut self, listener: usize, path: &Path) -> Result<()> {
        let mut socket = UnixListener::bind(path)?;
        let token = Token(self.listeners.len());
        self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
        self.listeners.push((Listener::Unix(socket), listener));
        Ok(())
    }

    /// Answers the requests that have arrived, without waiting. Returns whether there were any events.
    pub fn pump(&mut self) -> Result<bool> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(false),
            other => other?,
        }
        for event in &self.events {
            let token = event.token().0;
            let Some(slot) = token.checked_sub(CONNECTIONS) else {
                let (listener, index) = &self.listeners[token];
                while let Some(mut stream) = listener.accept()? {
                    let slot = self.connections.iter().position(Option::is_none).unwrap_or_else(|| {
                        self.connections.push(None);
                        self.connections.len() - 1
                    });
                    let name = Token(CONNECTIONS + slot);
                    self.poll
                        .registry()
                        .register(stream.source(), name, Interest::READABLE)?;
                    self.connections[slot] = Some(Connection {
                        stream,
                        listener: *index,
                        head: Vec::with_capacity(HEAD_BYTES),
                        remaining: 0,
                        in_body: false,
                    });
                }
                continue;
            };
            let Some(connection) = &mut self.connections[slot] else {
                continue;
            };
            let seen = &mut self.received[connection.listener];
            if !connection.serve(seen, &mut self.scratch).unwrap_or(false) {
                self.connections[slot] = None;
            }
        }
        Ok(!self.events.is_empty())
    }
}

impl Connection {
    /// Reads what has arrived; returns `false` when the connection has ended.
    fn serve(&mut self, seen: &mut Received, scratch: &mut [u8]) -> Result<bool> {
        loop {
            let space;
            let got = if self.in_body && !seen.recording {
                space = self.remaining.min(scratch.len());
                match rustix::net::recv(&self.stream, &mut scratch[..space], RecvFlags::TRUNC) {
                    Ok((_, n)) => n,
                    Err(rustix::io::Errno::AGAIN) => return Ok(true),
                    Err(e) => return Err(e.into()),
                }
            } else {
                space = HEAD_BYTES;
                match self.stream.read(&mut scratch[..space]) {
                    Ok(n) => n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(e) => return Err(e.into()),
                }
            };
            if got == 0 {
                return Ok(false);
            }
            if self.in_body {
                if seen.recording {
                    seen.last.extend_from_slice(&scratch[..got]);
                }
                self.remaining = self.remaining.checked_sub(got).ok_or("more body than declared")?;
            } else {
                self.head.extend_from_slice(&scratch[..got]);
                let Some(end) = find(&self.head, b"\r\n\r\n") else {
                    continue;
                };
                let length = content_length(&self.head[..end])?;
                let arrived = self.head.len() - end - 4;
                self.remaining = length.checked_sub(arrived).ok_or("bytes beyond the declared body")?;
                self.in_body = true;
                if seen.recording {
                    seen.last.clone_from(&self.head);
                }
            }
            if self.remaining == 0 {
                self.answer(seen)?;
            }
            // A short read has emptied the socket. More data causes a new event.
            if got < space {
                return Ok(true);
            }
        }
    }

    fn answer(&mut self, seen: &mut Received) -> Result<()> {
        self.in_body = false;
        self.head.clear();
        seen.requests += 1;
        // The answer is smaller than any socket buffer, so this write never blocks.
        if seen.recording {
            let body = recorded(seen.requests);
            write!(
                self.stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
        } else {
            self.stream.write_all(ANSWER)?;
        }
        Ok(())
    }
}

/// Body of the answer to the `n`th request of a listener that records.
pub fn recorded(n: u64) -> String {
    format!("recorded {n}\n")
}

/// Position at which `needle` begins.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The Content-Length of a head (without its empty line), or 0 if it has none.
pub fn content_length(head: &[u8]) -> Result<usize> {
    const NAME: &[u8] = b"content-length:";
    for line in head.split(|&byte| byte == b'\n') {
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            return Ok(std::str::from_utf8(&line[NAME.len()..])?.trim().parse()?);
        }
    }
    Ok(0)
}
